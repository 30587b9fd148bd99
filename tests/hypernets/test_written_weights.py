"""Every hypernetwork writes every parameter of any candidate, alike alone and in company."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hypernas.candidate import Candidate, Candidates
from hypernas.errors import ConfigError
from hypernas.hypernets import Hypernet, Weights, check, known, make
from hypernas.spaces import Space, find
from hypernas.tasks import Signature

DATA = Signature(input_shape=(3, 8, 8), outputs=5)
SEEDS = st.integers(0, 2**32)


class Strange(nn.Module):
    """Parameters of every kind and shape, two of them shared."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.large = nn.Conv2d(width, width, 9, padding=4, groups=width)
        self.scale = nn.Parameter(torch.ones(width, 1, 1))
        self.alone = nn.Parameter(torch.tensor(1.0))
        self.act, self.norm = nn.PReLU(), nn.GroupNorm(1, width)
        self.line = nn.Conv1d(width, width, 3, padding=1)
        self.up = nn.ConvTranspose1d(width, width, 2)
        self.rnn = nn.GRU(width, width, batch_first=True)
        self.attend = nn.MultiheadAttention(width, 2, batch_first=True)
        self.fc, self.tied = nn.Linear(width, width), nn.Linear(width, width)
        self.tied.weight = self.fc.weight
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.act(self.large(self.first(x)))) * self.scale + self.alone
        x = self.up(self.line(x.flatten(2))).transpose(1, 2)
        x = self.rnn(x)[0]
        x = self.attend(x, x, x, need_weights=False)[0]
        return self.head(self.tied(self.fc(self.fc(x))).mean(1))


def strange(choose: Any, data: Signature) -> nn.Module:
    return Strange(choose("width", [2, 6]))


SPACES = {
    "cell": Candidates(find("cell", {"width": 4, "cells": 2, "nodes": 3}), DATA),
    "nas-bench-201": Candidates(find("nas-bench-201", {"width": 4, "cells": 1}), DATA),
    "flat": Candidates(Space("flat", lambda c, d: _unmarked(c, d)), DATA),
    "strange": Candidates(Space("strange", strange), DATA),
}
HYPERNETS: list[tuple[str, dict[str, Any]]] = [
    ("ghn", {}),
    ("ghn2", {}),
    ("ghn3", {}),
    ("shared", {}),
]
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("ghn", {"scheme": "synchronous"}),
    ("ghn", {"state": 16, "hidden": 8, "rounds": 0}),
    ("ghn", {"aggregation": "mean", "update": "lstm", "stacking": "shared"}),
    ("ghn", {"aggregation": "max", "update": "plain", "stacking": "position", "depth": 3}),
    ("ghn", {"stacking": "own-passed", "mlp": "kind"}),
    ("ghn", {"stacking": "own", "norms": False}),
    ("ghn", {"stacking": "flat"}),
    ("ghn2", {"decoder": "tiled", "reach": 0, "norms": False}),
    ("ghn2", {"decoder": "pieces", "state": 16, "rounds": 2}),
    ("ghn2", {"width": 2}),
    ("ghn3:s", {"cutoff": 2, "norms": False}),
]
CASES = [(*hypernet, space) for hypernet in HYPERNETS for space in SPACES]
CASES += [(*hypernet, space) for hypernet in VARIANTS for space in ("cell", "strange")]
IDS = ["-".join([name, *map(str, options.values()), space]) for name, options, space in CASES]
GRAPH_HYPERNETS = [h for h in [*HYPERNETS, *VARIANTS] if h[0] != "shared" and "tiled" not in str(h)]


def _unmarked(choose: Any, data: Signature) -> nn.Module:
    network = find("cell", {"width": 3, "cells": 2, "nodes": 2}).build(choose, data)
    network.cells = []
    return network


def drawn(space: str, *seeds: int) -> list[Candidate]:
    return [SPACES[space].draw(random.Random(seed)) for seed in seeds]


def wanted(candidate: Candidate) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in candidate.module.named_parameters()}


def shapes(weights: Weights) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def is_norm(candidate: Candidate, name: str) -> bool:
    """Say whether a parameter is a norm's scale or shift."""
    layer = candidate.module.get_submodule(name.rpartition(".")[0])
    return isinstance(layer, (nn.BatchNorm2d, nn.GroupNorm))


def prepared(name: str, options: dict[str, Any], candidates: list[Candidate]) -> Hypernet:
    hypernet = make(name, options)
    hypernet.prepare(candidates)
    return hypernet


@pytest.mark.parametrize(("name", "options", "space"), CASES, ids=IDS)
@given(seed=SEEDS)
@settings(max_examples=2, deadline=None)
def test_every_parameter_is_written_and_teaches_the_hypernetwork(
    name: str, options: dict[str, Any], space: str, seed: int
) -> None:
    (candidate,) = drawn(space, seed)
    hypernet = prepared(name, options, [candidate])
    (weights,) = hypernet([candidate])
    assert shapes(weights) == wanted(candidate)
    # what comes last; that it passes the rest on is looked at once, at the end
    last = "" if name == "shared" else "decoder"
    learn = [p for part, p in hypernet.named_parameters() if part.startswith(last)]
    for name_of, tensor in weights.items():
        assert torch.isfinite(tensor).all(), name_of
        if is_norm(candidate, name_of) and not options.get("norms", True):
            assert torch.equal(tensor, torch.full_like(tensor, float("weight" in name_of)))
            continue
        found = torch.autograd.grad(
            tensor.square().sum(), learn, retain_graph=True, allow_unused=True
        )
        # a shift or bias that is zero so far has no slope here, a generated one has
        flat = any(g is not None and g.abs().sum() > 0 for g in found) or not tensor.any()
        assert flat, f"{name_of} teaches nothing"
    x = torch.randn(4, 3, 8, 8)
    outputs = candidate(weights, x)
    assert isinstance(outputs, Tensor)
    assert torch.isfinite(outputs).all()
    outputs.square().mean().backward()
    reached = {n: p.grad for n, p in hypernet.named_parameters() if p.grad is not None}
    if name == "shared":
        assert len(reached) == len(wanted(candidate))
    else:
        ghn3 = {"degrees", "depths", "related", "unrelated", "layers"}
        graph = ghn3 if "ghn3" in name else {"propagation"}
        unused = graph if options.get("rounds") == 0 else set()
        parts = {"embed", "norm", "decoder"} | graph - unused
        assert {n.split(".")[0] for n, g in reached.items() if g.abs().sum() > 0} == parts
    assert all(torch.isfinite(g).all() for g in reached.values())


@pytest.mark.parametrize(("name", "options", "space"), CASES, ids=IDS)
@given(seeds=st.lists(SEEDS, min_size=2, max_size=5))
@settings(max_examples=2, deadline=None)
def test_candidates_in_one_pass_equal_one_by_one(
    name: str, options: dict[str, Any], space: str, seeds: list[int]
) -> None:
    candidates = drawn(space, *seeds)
    hypernet = prepared(name, options, candidates)
    together = hypernet(candidates)
    assert len(together) == len(candidates)
    for candidate, weights in zip(candidates, together, strict=True):
        (alone,) = hypernet([candidate])
        assert weights.keys() == alone.keys()
        for key, tensor in alone.items():
            assert torch.allclose(weights[key], tensor, atol=1e-5, rtol=1e-5), key


@pytest.mark.parametrize("name", ["ghn", "ghn2", "ghn3"])
def test_candidates_of_different_spaces_pass_together(name: str) -> None:
    candidates = [c for space in SPACES for c in drawn(space, 0)]
    hypernet = make(name)
    for candidate, weights in zip(candidates, hypernet(candidates), strict=True):
        assert shapes(weights) == wanted(candidate)
        (alone,) = hypernet([candidate])
        assert all(torch.allclose(weights[k], alone[k], atol=1e-5) for k in alone)


@pytest.mark.parametrize(("name", "options"), GRAPH_HYPERNETS)
@given(seed=SEEDS)
@settings(max_examples=1, deadline=None)
def test_no_two_filters_of_a_convolution_are_equal(
    name: str, options: dict[str, Any], seed: int
) -> None:
    for candidate in drawn("cell", seed) + drawn("nas-bench-201", seed):
        (weights,) = make(name, options)([candidate])
        for which, tensor in weights.items():
            if tensor.dim() > 1 and len(tensor) > 1:
                rows = tensor.detach().flatten(1)
                spread = torch.cdist(rows, rows) + torch.eye(len(rows)) * 1e9
                assert spread.min() > 1e-4 * rows.norm(dim=1).mean(), which


def wide(name: str, options: dict[str, Any], inputs: int, outputs: int, seed: int = 0) -> Tensor:
    """Return a weight of ``outputs`` × ``inputs`` channels that a new hypernetwork writes."""

    def network(choose: Any, data: Signature) -> nn.Module:
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(outputs, data.outputs)]
        return nn.Sequential(nn.Conv2d(3, inputs, 1), nn.Conv2d(inputs, outputs, 1), *head)

    with torch.no_grad():
        (weights,) = make(name, options, seed=seed)([Candidates(Space("w", network), DATA).of({})])
    return weights["1.weight"].flatten(1)


def ranks(name: str, options: dict[str, Any]) -> tuple[int, int]:
    """Return the rank of a 2048 × 512 weight and the number of its distinct filters."""
    matrix = wide(name, options, 512, 2048)
    return int(torch.linalg.matrix_rank(matrix, rtol=1e-3)), len(matrix.unique(dim=0))


@pytest.mark.parametrize("name", ["ghn", "ghn2", "ghn3:t", "ghn3:s"])
def test_a_weight_wider_than_the_decoder_has_a_high_rank_and_no_copies(name: str) -> None:
    rank, filters = ranks(name, {})
    assert rank > 500
    assert filters == 2048


@pytest.mark.parametrize("name", ["ghn", "ghn2", "ghn3:t", "ghn3:s"])
def test_wide_weights_have_no_long_tails(name: str) -> None:
    for inputs, outputs in ((64, 64), (65, 65), (129, 129), (512, 2048)):
        values = wide(name, {}, inputs, outputs, seed=1)
        values = (values - values.mean()) / values.std()
        assert 2 < values.pow(4).mean() < 6, (inputs, outputs)
        assert values.abs().max() < 8


def test_tiles_repeat_as_in_the_peers() -> None:
    rank, filters = ranks("ghn2", {"decoder": "tiled"})
    assert rank <= filters == 64


def test_cells_and_layers_of_one_kind_get_weights_of_their_own() -> None:
    choices = {f"edge{a}-{b}": "nor_conv_3x3" for a, b in [(0, 1), (0, 2), (1, 2)]}
    choices |= {f"edge{a}-3": "nor_conv_3x3" for a in range(3)}
    data = Signature(input_shape=(3, 8, 8), outputs=5)
    space = find("nas-bench-201", {"width": 4, "cells": 2, "stages": 1})
    (weights,) = make("ghn")([Candidates(space, data).of(choices)])
    kernels = [w.detach().flatten() for n, w in weights.items() if w.shape == (4, 4, 3, 3)]
    assert len(kernels) == 12
    spread = torch.pdist(torch.stack(kernels))
    # edge 0-1 is told from 0-2 by what it feeds, the second cell from the first by what it heard
    assert spread.min() > 1e-4


@pytest.mark.parametrize("name", ["ghn", "ghn2", "ghn3"])
def test_weights_start_with_the_scale_of_their_fan_in(name: str) -> None:
    space = Space(
        "deep",
        lambda c, d: nn.Sequential(*[nn.Conv2d(3, 64, 3), nn.Conv2d(64, 64, 3), nn.Flatten()]),
    )
    (weights,) = make(name)([Candidates(space, DATA).of({})])
    for which, fan_in in (("0.weight", 27), ("1.weight", 576)):
        spread = weights[which].detach().std().item() / (2 / fan_in) ** 0.5
        assert 0.3 < spread < 4, which


@pytest.mark.parametrize(("name", "options"), HYPERNETS)
def test_a_seed_makes_one_hypernetwork_and_leaves_the_generator_alone(
    name: str, options: dict[str, Any]
) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    (candidate,) = drawn("cell", 0)
    first, same, other = (make(name, options, seed=s)([candidate])[0] for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[k], same[k]) for k in first)
    if name != "shared":
        assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


def test_unknown_names_and_options_list_the_known() -> None:
    listed = "known are ghn, ghn2, ghn3, smash, shared"
    with pytest.raises(ConfigError, match=rf"did you mean 'shared'\?\); {listed}"):
        make("share")
    words = r"no option 'width'; it has state, hidden, rounds, scheme"
    with pytest.raises(ConfigError, match=words):
        make("ghn", {"width": 3})
    with pytest.raises(ConfigError, match="'shared' has no option 'state'; it has none"):
        make("shared", {"state": 3})
    assert known().keys() == {"ghn", "ghn2", "ghn3", "smash", "shared"}
    assert all(len(text) > 20 for text in known().values())


def test_a_size_may_follow_the_name() -> None:
    small, large = make("ghn3:t"), make("ghn3:s")
    assert len(small.get_submodule("layers")) == 3
    assert len(large.get_submodule("layers")) == 5
    assert make("ghn3", {"size": "s"}).state_dict().keys() == large.state_dict().keys()
    check("ghn3:s", {"cutoff": 9})
    with pytest.raises(ConfigError, match="'ghn2' has no sizes, got 'ghn2:s'; give ghn2"):
        check("ghn2:s", {})
    with pytest.raises(ConfigError, match="'ghn3:s' got size=t too; give one of them"):
        check("ghn3:s", {"size": "t"})
    with pytest.raises(ConfigError, match=r"size=xl: .*'ghn3:xl' expects t or s"):
        make("ghn3:xl")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ghn2", {"state": 30}),
        ("ghn2", {"state": 0}),
        ("ghn2", {"width": 0}),
        ("ghn2", {"reach": -1}),
        ("ghn2", {"decoder": "wide"}),
        ("ghn3", {"cutoff": 0}),
        ("ghn3", {"size": "m"}),
    ],
    ids=str,
)
def test_values_that_cannot_work_are_refused_by_the_successors(
    name: str, options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=str(next(iter(options.values())))) as refused:
        make(name, options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [
        {"state": "big"},
        {"scheme": "sideways"},
        {"state": 0},
        {"hidden": -1},
        {"rounds": -1},
        {"depth": 1},
        {"aggregation": "median"},
        {"update": "tanh"},
        {"mlp": "two"},
        {"stacking": "heap"},
        {"norms": "perhaps"},
    ],
    ids=str,
)
def test_values_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=str(next(iter(options.values())))):
        make("ghn", options)


def test_text_is_read_as_the_type_of_the_option() -> None:
    assert make("ghn", {"rounds": "3"}).get_submodule("propagation").rounds == 3
