"""Spaces for texts, tables, pixels and boxes: every size, two hypernetworks, what they refuse."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernas import hypernets, tasks
from hypernas.candidate import Candidates, build_network
from hypernas.errors import SpaceError
from hypernas.spaces import find
from hypernas.tasks import Signature
from hypernas.tasks.detection import NUMBERS
from hypernas.tracing import read_graph

TEXTS = Signature(input_shape=(9,), outputs=3, vocabulary=20)
TABLES = Signature(input_shape=(7,), outputs=3)
PIXELS = Signature(input_shape=(1, 13, 10), outputs=3, task="segmentation")
SCENES = Signature(input_shape=(3, 13, 10), outputs=3, task="detection")
SPACES: dict[str, Signature] = {
    "text": TEXTS,
    "mlp": TABLES,
    "segmentation": PIXELS,
    "detector": SCENES,
}
SMALL: dict[str, dict[str, Any]] = {
    "text": {"widths": (8, 16), "layers": 2},
    "mlp": {},
    "segmentation": {"width": 4, "layers": 1},
    "detector": {"width": 4, "layers": 1, "halvings": 2},
}


def targets(data: Signature, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    if data.task == "segmentation":
        shape = (count, *data.input_shape[1:])
        return torch.randint(4, shape, generator=generator, dtype=torch.uint8)
    if data.task == "detection":
        boxes = torch.tensor([[0.1, 0.2, 0.4, 0.9, 1.0], [0.0, 0.0, 0.0, 0.0, -1.0]])
        return boxes.expand(count, 2, 5)
    return torch.randint(3, (count,), generator=generator)


@pytest.mark.parametrize("hypernet", ["ghn", "shared"])
@pytest.mark.parametrize("name", SPACES)
def test_both_hypernetworks_write_what_learns(name: str, hypernet: str) -> None:
    data = SPACES[name]
    candidates, task = Candidates(find(name, SMALL[name]), data), tasks.of(data.task)
    made = hypernets.make(hypernet, example=candidates.draw(random.Random(0)))
    for seed in range(4):
        candidate = candidates.draw(random.Random(seed))
        made.prepare([candidate])
        (weights,) = made([candidate])
        assert weights.keys() == dict(candidate.module.named_parameters()).keys()
        loss = task.loss(candidate(weights, data.example_input(3)), targets(data, 3))
        assert torch.isfinite(loss)
        loss.backward()
    moved = [p for p in made.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert len(moved) > 3


@pytest.mark.parametrize("name", SPACES)
def test_networks_give_what_the_task_reads(name: str) -> None:
    data = SPACES[name]
    space = find(name, SMALL[name])
    for seed in range(6):
        candidate = Candidates(space, data).draw(random.Random(seed))
        network = build_network(space, candidate.choices, data, seed=0).eval()
        graph = read_graph(network, data.input_shape, dtype=data.dtype)
        assert graph == candidate.graph
        assert not graph.unwritten
        found = network(data.example_input(5))
        (output,) = graph.outputs
        assert tuple(found.shape[1:]) == graph.nodes[output].shape
        assert len(found) == 5
        judged = tasks.of(data.task).judge(found, targets(data, 5))
        assert judged.losses.shape == (5,)


@given(seed=st.integers(0, 2**32), height=st.integers(4, 20), width=st.integers(4, 20))
@settings(max_examples=12, deadline=None)
def test_pixels_and_boxes_of_every_size(seed: int, height: int, width: int) -> None:
    for name, task in (("segmentation", "segmentation"), ("detector", "detection")):
        data = Signature(input_shape=(2, height, width), outputs=3, task=task)
        candidate = Candidates(find(name, SMALL[name]), data).draw(random.Random(seed))
        network = build_network(find(name, SMALL[name]), candidate.choices, data, seed=0).eval()
        found = network(data.example_input(1))
        if name == "segmentation":
            assert found.shape == (1, 3, height, width)
        else:  # each halving rounds up
            assert found.shape == (1, NUMBERS + 3, -(-height // 4), -(-width // 4))


@pytest.mark.parametrize("mixers", [("attention",), ("conv",)])
def test_text_can_be_held_to_transformers_or_convolutions(mixers: tuple[str, ...]) -> None:
    space = find("text", {"mixers": mixers})
    candidates = Candidates(space, TEXTS)
    kinds = {
        node.kind for seed in range(5) for node in candidates.draw(random.Random(seed)).graph.nodes
    }
    assert ("attention" in kinds) == ("attention" in mixers)
    assert ("conv" in kinds) == ("conv" in mixers)


def test_padding_tells_nothing() -> None:
    space = find("text", SMALL["text"])
    tokens = torch.randint(1, 20, (1, 9), generator=torch.Generator().manual_seed(0))
    tokens[:, 5:] = 0
    empty = torch.zeros(1, 9, dtype=torch.int64)
    for seed in range(8):
        candidate = Candidates(space, TEXTS).draw(random.Random(seed))
        network = build_network(space, candidate.choices, TEXTS, seed=0).eval()
        right = network(tokens)
        with torch.no_grad():
            network.tokens.weight[0] = 100.0  # ty: ignore
            if network.places is not None:
                network.places[5:] = 100.0  # ty: ignore
        torch.testing.assert_close(network(tokens), right)
        assert torch.isfinite(network(empty)).all()


@pytest.mark.parametrize("space", [*SPACES, "cell", "nas-bench-201", "memory-bank", "anytime"])
@pytest.mark.parametrize("name", SPACES)
def test_a_space_refuses_what_it_is_not_for(name: str, space: str) -> None:
    data = SPACES[name]
    if name == space or (name, space) == ("text", "memory-bank"):
        find(space).require(data)
        return
    with pytest.raises(SpaceError) as caught:
        find(space).require(data)
    told = str(caught.value)
    assert f"the data ask for {data.task} of {data.inputs}; give --space" in told
    assert name in told.rsplit("--space", 1)[1]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("hypernet", ["smash", "ghn", "shared"])
def test_texts_in_memory_banks(hypernet: str) -> None:
    """The one-dimensional form of SMASH's space, with its own hypernetwork."""
    candidates = Candidates(find("memory-bank", {"preset": "tiny"}), TEXTS)
    example = candidates.draw(random.Random(0))
    made, task = hypernets.make(hypernet, example=example), tasks.of(TEXTS.task)
    for seed in range(3):
        candidate = candidates.draw(random.Random(seed))
        made.prepare([candidate])
        (weights,) = made([candidate])
        assert weights.keys() == dict(candidate.module.named_parameters()).keys()
        assert "stem.tokens.weight" in weights
        task.loss(candidate(weights, TEXTS.example_input(3)), targets(TEXTS, 3)).backward()
        network = build_network(candidates.space, candidate.choices, TEXTS, seed=0)
        assert network(TEXTS.example_input(4)).shape == (4, 3)
        assert {n.kernel for n in candidate.graph.nodes if n.kind == "conv"} <= {
            (side,) for side in range(1, 8)
        }


def test_spaces_of_users_take_everything(tmp_path: Any) -> None:
    path = tmp_path / "own.py"
    path.write_text("def own(choose, data):\n    return None\n")
    for data in SPACES.values():
        find(f"{path}:own").require(data)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("text", {"mixers": ("recurrent",)}, "expected some of attention, conv"),
        ("text", {"widths": (6,)}, "multiples of 4"),
        ("mlp", {"widths": (0,)}, "widths"),
        ("segmentation", {"halvings": 0}, "halvings"),
        ("detector", {"width": 0}, "width"),
    ],
)
def test_options_that_cannot_be(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        Candidates(find(name, options), SPACES[name]).draw(random.Random(0))
