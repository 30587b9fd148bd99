"""Networks of the memory-bank space are whole with any option; what cannot be is refused."""

from __future__ import annotations

import math
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from banked_space import DATA, EVERYTHING, LISTS, SMALL, drawn, images
from small_run import programs
from small_space import SIGNATURE, batches
from torch import nn

from hypernas import hypernets
from hypernas.candidate import Candidates
from hypernas.choices import Perturb, Replay
from hypernas.draws import Draws
from hypernas.errors import SpaceError
from hypernas.exporting import export
from hypernas.fitting import RECIPES, Fit, FitOptions
from hypernas.flags import parse_options
from hypernas.scoring import Scorer
from hypernas.spaces import find
from hypernas.spaces.banks.modules import Attention
from hypernas.spaces.memory_bank import CLASSIC, PRESETS, settings_of
from hypernas.survey import survey
from hypernas.tasks import Classification, Signature
from hypernas.tracing import read_graph


def works(seed: int, data: Signature = DATA, **options: Any) -> nn.Module:
    """Check that a network is whole and learns: all parameters reach the output."""
    network, _ = drawn(seed, data, **options)
    graph = read_graph(network, data.input_shape)
    assert (graph.dead, graph.unwritten) == (0, ())
    assert graph.params == sum(p.numel() for p in network.parameters())
    outputs = network(torch.randn(3, *data.input_shape))
    assert outputs.shape == (3, data.outputs)
    outputs.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    return network


# -- every network is whole -----------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, 2, 7, 14, 28, 33])
def test_images_of_any_size(side: int) -> None:
    network = works(side, images(3, side, side)).eval()
    x = network.stem(torch.randn(1, 3, side, side))
    assert x.shape[-1] <= 16
    for block, transition in zip(network.blocks, network.transitions, strict=False):
        before, x = x.shape[-1], transition(block(x))
        assert x.shape[-1] == -(-before // 2)  # odd sizes are rounded up


@pytest.mark.parametrize("shape", [(2, 9), (2, 1), (3, 7, 12), (1, 6, 6, 6), (2, 5, 2, 1)])
def test_signals_images_and_volumes_with_everything(shape: tuple[int, ...]) -> None:
    for seed in range(2):
        works(seed, images(*shape), **EVERYTHING, **SMALL)


@pytest.mark.parametrize(("option", "value"), [(k, v) for k, vs in LISTS.items() for v in vs])
def test_each_value_of_each_list(option: str, value: str) -> None:
    network = works(1, **{option: [value]}, **SMALL)
    found = {getattr(op, _field(option), None) for _, op in network.encoding.ops}
    layers = {c.layer for _, op in network.encoding.ops for c in op.convolutions.values()}
    split = option == "gates" and value == "split"  # only where halves are whole banks
    assert (layers if option == "layers" else found) <= {value, *(["none"] if split else [])}


def _field(option: str) -> str:
    return {"nonlinearities": "nonlinearity"}.get(option, option.removesuffix("s"))


@pytest.mark.parametrize(
    "options",
    [
        {"macro": True}, {"persistent": 3}, {"repeats": 3}, {"square": True}, {"blocks": 1},
        {"blocks": 5}, {"structures": ["4"]}, {"structures": ["3+1", "1+1+1+1"]}, {"cap": 1},
        {"compression": 1}, {"compression": 3, "width": 3}, {"bottleneck": 1}, {"kernel": 7},
        {"most_bottleneck": 1}, {"dilation": 1}, {"stem_kernel": 1}, {"stem_stride": 4},
        {"ease": 0.0}, {"budget": 0.3}, {"unit": 1, "groups": 1}, {"unit": 6},
    ],
)  # fmt: skip
def test_other_options(options: dict[str, Any]) -> None:
    works(2, **{"depth": 2, **options})


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(preset: str) -> None:
    works(0, preset=preset, depth=1)
    settings = settings_of(find("memory-bank", {"preset": preset}).options, images(3, 32, 32))
    given = CLASSIC | PRESETS[preset]
    for name in ("unit", "cap", "depth", "width", "kernel", "groups", "stem_kernel"):
        assert getattr(settings, name) == given[name]
    assert settings.stem_stride == (1 if preset == "classic" else 2)


def test_no_preset_is_the_smallest() -> None:
    settings = settings_of(find("memory-bank").options, DATA)
    assert settings == settings_of(find("memory-bank", {"preset": "tiny"}).options, DATA)


def test_perturbed_networks_are_whole() -> None:
    space = find("memory-bank", EVERYTHING | SMALL)
    _, choices = drawn(0, **EVERYTHING, **SMALL)
    for seed in range(12):
        choose = Perturb(choices, 0.3, random.Random(seed))
        graph = read_graph(space.build(choose, DATA), DATA.input_shape)
        assert (graph.dead, graph.unwritten) == (0, ())
        choices = choose.choices


# -- options that cannot be -----------------------------------------------------------------------

BAD: list[dict[str, Any]] = [
    *({name: 0} for name in ("unit", "cap", "depth", "width", "blocks", "compression")),
    *({name: 0} for name in ("bottleneck", "most_bottleneck", "repeats")),
    *({name: 0} for name in ("stem_kernel", "stem_stride")),
    *({"kernel": kernel} for kernel in (-3, 1, 4, 9)),
    {"dilation": 0}, {"dilation": 4}, {"groups": 3}, {"groups": 0}, {"groups": -2},
    {"ease": -0.1}, {"ease": float("nan")}, {"ease": 2}, {"budget": 0.2}, {"budget": 1.5},
    {"persistent": -1}, {"persistent": 9}, {"persistent": 5, "macro": True},
    *({name: ["strange"]} for name in LISTS), *({name: []} for name in LISTS),
    {"structures": ["5"]}, {"structures": ["1", "1"]}, {"structures": ["1+1+1+1+1"]},
    {"preset": "huge"}, {"compression": 8}, {"compression": 4, "blocks": 5, "macro": True},
    {"compression": 3, "cap": 2, "width": 1},
]  # fmt: skip


@pytest.mark.parametrize("options", BAD, ids=str)
def test_a_bad_option_is_refused_with_one_that_works(options: dict[str, Any]) -> None:
    with pytest.raises(SpaceError) as error:
        drawn(0, **options)
    said = str(error.value)
    assert "\n" not in said
    assert next(iter(options)) in said
    _, _, advice = said.partition("give --set ")
    assert re.fullmatch(r"(\w+=[\w.,+-]+ ?)+", advice), said
    drawn(0, **options | parse_options(advice.split()))


@pytest.mark.parametrize("shape", [(3,), (3, 4, 4, 4, 4)])
def test_data_without_space_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SpaceError, match="give texts, signals, images or volumes"):
        drawn(0, images(*shape))


def test_a_choice_that_cannot_be_is_named() -> None:
    _, choices = drawn(0)
    space = find("memory-bank")
    with pytest.raises(SpaceError, match=r"'block0\.bank' is 9; expected one of 1, 2, 4"):
        space.build(Replay(choices | {"block0.bank": 9}), DATA)
    with pytest.raises(SpaceError, match=r"'block0\.op0\.width' is missing"):
        space.build(Replay({k: v for k, v in choices.items() if k != "block0.op0.width"}), DATA)


# -- with the rest --------------------------------------------------------------------------------


@cache
def varied() -> nn.Module:
    """Return a small network in which much is switched on, its norms fitted to something."""
    for seed in range(100):
        network, _ = drawn(seed, **EVERYTHING | SMALL | {"repeats": 1, "structures": ["1", "1+1"]})
        ops = [op for _, op in network.encoding.ops]
        layers = {c.layer for op in ops for c in op.convolutions.values()}
        gates = {op.gate for op in ops}
        attends = any(isinstance(layer, Attention) for layer in network.modules())
        if len(ops) < 5 and "gabor" in layers and "product" in gates and attends:
            with torch.no_grad():
                network.train()(torch.randn(8, *DATA.input_shape))
            return network.eval()
    raise AssertionError("no such network; change the options")


def test_export(tmp_path: Path) -> None:
    with programs():
        made = export(varied(), torch.randn(2, *DATA.input_shape), tmp_path, about={})
    for name in ("model.py", "model.pt2", "model.onnx"):
        assert made[name].startswith(("same outputs", "not written: install hypernas[onnx]")), made
    source = (tmp_path / "model.py").read_text()
    assert "hypernas" not in source.partition('"""\n')[2].replace("by hypernas", "")
    assert "class Attention" in source


@pytest.mark.parametrize("name", ["ghn", "shared", "smash"])
def test_hypernetworks_fit_and_score(name: str) -> None:
    space = find("memory-bank", {**LISTS, **SMALL})
    candidates = Candidates(space, SIGNATURE)
    known = survey(candidates, seed=0, draws=3)
    example = candidates.draw(random.Random(0))
    hypernet = hypernets.make(name, example=example)
    task, options = Classification(), FitOptions(steps=4, recipe=RECIPES["default"])
    draws = Draws(candidates, known, by="uniform", annealed=0, seed=0)
    fit = Fit(hypernet, draws, batches(), task, options)
    hypernet.prepare([example])
    before = {name: w.detach().clone() for name, w in hypernet([example])[0].items()}
    losses = [fit.advance(), fit.advance()]
    assert all(map(math.isfinite, losses))
    after = hypernet([example])[0]
    assert before.keys() == after.keys() == dict(example.module.named_parameters()).keys()
    assert not torch.equal(before["stem.weight"], after["stem.weight"])
    (score,) = Scorer(hypernet, batches(32, seed=1), task, images=32, seed=0)([example])
    assert -10 < score.score < 0
