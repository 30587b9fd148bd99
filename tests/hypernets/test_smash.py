"""SMASH's hypernetwork writes just a candidate's parameters, and by what the candidate is."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import torch
from banked_space import DATA, EVERYTHING, LISTS, SMALL
from small_space import batches
from torch import nn

from hypernas.candidate import Candidate, Candidates
from hypernas.draws import Draws
from hypernas.errors import ConfigError
from hypernas.fitting import RECIPES, Fit, FitOptions
from hypernas.hypernets import Weights, make
from hypernas.hypernets.smash import NOISE, SMASH
from hypernas.spaces import find
from hypernas.survey import survey
from hypernas.tasks import Classification

MADE = Candidates(find("memory-bank", {**EVERYTHING, **SMALL}), DATA)
CANDIDATES = [MADE.draw(random.Random(seed)) for seed in range(6)]
TINY = {"layers": (2, 1), "growth": 3}
"""a generator of milliseconds"""


def smash(*candidates: Candidate, seed: int = 0, **options: Any) -> SMASH:
    """Return a hypernetwork that has met the candidates, its free weights all different."""
    made = make("smash", TINY | options, example=CANDIDATES[0], seed=seed)
    assert isinstance(made, SMASH)
    made.prepare(candidates or CANDIDATES)
    torch.manual_seed(seed)
    for entry in made.table.parameters():
        nn.init.normal_(entry)
    return made.eval()


def one(hypernet: SMASH, candidate: Candidate = CANDIDATES[0]) -> Weights:
    return hypernet([candidate])[0]


def generated(hypernet: SMASH, candidate: Candidate = CANDIDATES[0]) -> set[str]:
    """Return which parameters the generator has a part in."""
    other = copy.deepcopy(hypernet).eval()
    with torch.no_grad():
        for parameter in other.generator_parameters():
            parameter += torch.randn_like(parameter)
    before, after = one(copy.deepcopy(hypernet).eval(), candidate), one(other, candidate)
    return {name for name in before if not torch.equal(before[name], after[name])}


def convolutions(candidate: Candidate = CANDIDATES[0]) -> dict[str, str]:
    """Return the name of each weight that may be generated, with its place in the op."""
    encoding = candidate.module.encoding
    return {
        f"{encoding.path(n, what)}{encoding.layer(n, what)}.weight": what
        for n, what, _, _ in encoding.weights(slots=True)
    }


def alike(first: Weights, second: Weights, tolerance: float = 0.0) -> bool:
    assert first.keys() == second.keys()
    return all(torch.allclose(first[k], second[k], atol=tolerance, rtol=tolerance) for k in first)


OPTIONS: list[dict[str, Any]] = [
    {}, {"generated": "all"}, {"generated": "0.5"}, {"generated": "0"}, {"generated": "1"},
    {"generated": "mix,conv0"}, {"generated": "conv1"}, {"generator": "attention"},
    {"generator": "gated"}, {"normalise": "layer"}, {"normalise": "none"}, {"scale": "unit"},
    {"generated": "all", "scale": "unit"}, {"encoding": "embedding"}, {"encoding": "counts"},
    {"norms": True}, {"norms": True, "generated": "all"}, {"noise": False}, {"share": "op"},
    {"layers": (1,), "growth": 1},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_writes_exactly_the_parameters(options: dict[str, Any]) -> None:
    hypernet = smash(**options)
    x = torch.randn(4, *DATA.input_shape)
    for candidate, weights in zip(CANDIDATES, hypernet(CANDIDATES), strict=True):
        shapes = {name: p.shape for name, p in candidate.module.named_parameters()}
        assert {name: weight.shape for name, weight in weights.items()} == shapes
        outputs = candidate(weights, x)
        assert outputs.shape == (4, DATA.outputs)
        assert outputs.isfinite().all()
        assert hypernet.untrained(candidate) == []


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_candidates_are_alike_alone_and_in_company(options: dict[str, Any]) -> None:
    hypernet = smash(**options)
    for candidate, weights in zip(CANDIDATES, hypernet(CANDIDATES), strict=True):
        assert alike(weights, one(hypernet, candidate), 1e-5)


def test_an_empty_slice_parts_two_candidates() -> None:
    hypernet = smash(layers=(8, 10, 4))
    first, second = CANDIDATES[:2]
    code = hypernet.code(second)
    alone = hypernet.write(first, hypernet.code(first))
    sheets = [hypernet._sheet(first), hypernet._sheet(second)]
    for changed in (code, 1 - code, 100 * code):
        pair = hypernet._write(sheets, [hypernet.code(first), changed])
        assert alike(pair[0], alone, 1e-4)


@pytest.mark.parametrize("what", ["mix", "all", "mix,conv0", "conv1,conv2", "0", "1"])
def test_what_is_generated(what: str) -> None:
    for candidate in CANDIDATES[:3]:
        wanted = {"0": [], "1": ["mix"], "all": {*convolutions(candidate).values()}}
        places = wanted.get(what, what.split(","))
        expected = {name for name, place in convolutions(candidate).items() if place in places}
        assert generated(smash(generated=what), candidate) == expected


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_a_share_of_the_ops_is_generated(share: float) -> None:
    hypernet = smash(generated=str(share))
    for candidate in CANDIDATES:
        names = generated(hypernet, candidate)
        assert len(names) == int(share * len(candidate.module.encoding.ops))
        assert all(".mix.2." in name for name in names)


def test_norms_of_the_mix_are_generated() -> None:
    names = generated(smash(norms=True)) - {*convolutions()}
    ops = len(CANDIDATES[0].module.encoding.ops)
    assert {name.split(".mix.")[1] for name in names} == {
        "0.weight",
        "0.bias",
        "3.weight",
        "3.bias",
    }
    assert len(names) == 4 * ops


def test_generated_weights_have_the_norm_of_a_fresh_layer() -> None:
    whole, unit = smash(generated="all"), smash(generated="all", scale="unit")
    for name in convolutions():
        weight = one(whole)[name]
        fan_in = weight[0].numel()
        torch.testing.assert_close(weight.square().mean(), torch.tensor(2 / fan_in))
        each = one(unit)[name].flatten(1).square().mean(dim=1)
        torch.testing.assert_close(each, torch.full_like(each, 2 / fan_in))
        if len(each) > 1:
            assert weight.flatten(1).norm(dim=1).std() > 1e-6  # units differ where all are scaled


def test_noise_is_fixed_for_scores_and_new_for_fits() -> None:
    hypernet = smash()
    assert alike(one(hypernet), one(hypernet))
    hypernet.train()
    first, second = one(hypernet), one(hypernet)
    different = {name for name in first if not torch.equal(first[name], second[name])}
    assert different == generated(hypernet)
    torch.manual_seed(5)
    again = one(hypernet)
    torch.manual_seed(5)
    assert alike(again, one(hypernet))
    silent = smash(noise=False).train()
    assert alike(one(silent), one(silent))


def test_noise_reaches_every_slice_of_a_long_map() -> None:
    hypernet = smash()
    noise = hypernet._noise(2 * NOISE + 3)
    assert noise.shape == (hypernet.rows, 2 * NOISE + 3)
    assert torch.equal(noise[:, :NOISE], noise[:, NOISE : 2 * NOISE])
    assert noise[:, -3:].std() > 0.1


def changed_in(seed: int, field: str, candidate: Candidate = CANDIDATES[1]) -> Candidate:
    """Return a candidate that differs in one choice of this field."""
    rng = random.Random(seed)
    for _ in range(1000):
        name = rng.choice([name for name in candidate.choices if name.endswith(field)])
        value = candidate.decisions[name].draw(rng)
        if value != candidate.choices[name]:
            try:
                return MADE.of(candidate.choices | {name: value})
            except Exception:
                continue
    raise AssertionError(f"no other {field}")


@pytest.mark.parametrize("field", ["kernel0", "groups", "layer", "nonlinearity", "order", "write"])
def test_a_choice_that_changes_no_shape_changes_code_and_weights(field: str) -> None:
    hypernet = smash()
    first, second = CANDIDATES[1], changed_in(0, field)
    assert not torch.equal(hypernet.code(first), hypernet.code(second))
    one_, other = one(hypernet, first), one(hypernet, second)
    names = generated(hypernet, first) & generated(hypernet, second)
    assert any(not torch.allclose(one_[n], other[n], atol=1e-6) for n in names)


def test_counts_know_of_reads_and_writes_only() -> None:
    hypernet = smash(encoding="counts")
    first, second = CANDIDATES[1], changed_in(0, "nonlinearity")
    assert hypernet.code(first).shape[0] == 2
    assert torch.equal(hypernet.code(first), hypernet.code(second))
    encoding = first.module.encoding
    op, memory = encoding.ops[0][1], encoding.settings.memory
    expected = torch.tensor([len(op.units) / memory, len(op.writes) * _bank(first) / memory])
    torch.testing.assert_close(hypernet.code(first)[:, 0], expected)


def _bank(candidate: Candidate) -> int:
    return candidate.module.encoding.blocks[0].bank


def test_another_code_writes_other_weights() -> None:
    hypernet, candidate = smash(), CANDIDATES[0]
    code = hypernet.code(candidate).clone().requires_grad_()
    assert alike(hypernet.write(candidate, code), one(hypernet))
    weights = hypernet.write(candidate, code)
    sum(w.pow(3).sum() for w in weights.values()).backward()
    assert code.grad is not None
    assert code.grad.abs().sum() > 0
    assert not alike(hypernet.write(candidate, 1 - code), one(hypernet))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"generated": "all", "norms": True},
        {"generator": "attention"},
        {"encoding": "embedding"},
    ],
    ids=str,
)
def test_gradients_reach_the_generator_and_the_table(options: dict[str, Any]) -> None:
    hypernet = smash(**options)
    x = torch.randn(8, *DATA.input_shape)
    for candidate, weights in zip(CANDIDATES, hypernet(CANDIDATES), strict=True):
        candidate(weights, x).square().sum().backward(retain_graph=True)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in hypernet.parameters())
    for name, parameter in hypernet.named_parameters():
        # attention's questions have none while its values are 0, biases in front of norms never
        if "ask" not in name and not name.startswith("table"):
            assert parameter.grad.abs().sum() > 0, name


def test_free_weights_are_shared_by_the_ops_of_a_block() -> None:
    candidate = next(c for c in CANDIDATES if len(c.module.blocks[0].ops) > 1)
    weights = one(smash(), candidate)
    first, second = (f"blocks.0.ops.{n}.mix.3.weight" for n in (0, 1))
    count = min(len(weights[first]), len(weights[second]))
    assert torch.equal(weights[first][:count], weights[second][:count])
    own = one(smash(share="op"), candidate)
    assert not torch.equal(own[first][:count], own[second][:count])


def test_generator_and_free_parameters_are_told_apart() -> None:
    hypernet = smash()
    generator = set(hypernet.generator_parameters())
    free = set(hypernet.table.parameters())
    assert generator | free == set(hypernet.parameters())
    assert not generator & free
    assert set(hypernet.generator.parameters()) | set(hypernet.heads.parameters()) == generator


def test_the_classic_recipe_decays_free_weights_only() -> None:
    hypernet = smash()
    options = FitOptions(steps=10, recipe=RECIPES["classic"])
    draws = Draws(MADE, survey(MADE, seed=0, draws=2), by="uniform", annealed=0, seed=0)
    generator, free = Fit(
        hypernet, draws, batches(), Classification(), options
    ).optimiser.param_groups
    assert set(generator["params"]) == set(hypernet.generator_parameters())
    assert set(free["params"]) == set(hypernet.table.parameters())
    assert (generator["weight_decay"], free["weight_decay"]) == (0, 1e-4)


def test_what_was_never_met_is_named() -> None:
    hypernet = smash(CANDIDATES[0])
    assert hypernet.untrained(CANDIDATES[0]) == []
    missing = [name for c in CANDIDATES for name in hypernet.untrained(c)]
    assert missing
    assert not set(missing) & {*convolutions()} - {n for n in convolutions() if ".mix." not in n}
    fresh = make("smash", TINY, example=CANDIDATES[0])
    names = {name for name, _ in CANDIDATES[0].module.named_parameters()}
    assert set(fresh.untrained(CANDIDATES[0])) == names - generated(hypernet)


def test_a_saved_hypernetwork_is_the_same() -> None:
    for options in ({}, {"generated": "all", "encoding": "embedding", "norms": True}):
        hypernet = smash(**options)
        other = make("smash", TINY | options, example=CANDIDATES[0], seed=1).eval()
        assert not alike(other([CANDIDATES[0]])[0], one(hypernet))
        other.load_state_dict(hypernet.state_dict())
        for candidate in CANDIDATES:
            assert alike(other([candidate])[0], one(hypernet, candidate))


def test_the_size_does_not_depend_on_the_candidates() -> None:
    sizes = set()
    for candidate in CANDIDATES:
        hypernet = make("smash", TINY, example=candidate)
        assert isinstance(hypernet, SMASH)
        sizes.add(sum(p.numel() for p in hypernet.generator_parameters()))
    assert len(sizes) == 1


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"generated": "mixed"}, "give --hypernet-set generated=mix,conv0"),
    ({"generated": "mix,conv9"}, "mix and conv0 to conv3"),
    ({"generated": ""}, "generated="),
    ({"generated": "1.5"}, "a share of the ops from 0 to 1"),
    ({"generated": "nan"}, "a share of the ops from 0 to 1"),
    ({"growth": 0}, "give --hypernet-set growth=10"),
    ({"layers": "0"}, "give --hypernet-set layers=8,10,4"),
    ({"layers": []}, "give --hypernet-set layers=8,10,4"),
    ({"generator": "deep"}, "deep"),
    ({"scale": "half"}, "half"),
    ({"heads": 3}, "has no option 'heads'; it has generated, generator"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED, ids=str)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        make("smash", options, example=CANDIDATES[0])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_space_without_an_encoding_is_refused() -> None:
    cells = Candidates(find("cell", {"width": 4, "cells": 1}), DATA)
    with pytest.raises(ConfigError, match=r"--space memory-bank .* --hypernet ghn or shared"):
        make("smash", example=cells.draw(random.Random(0)))


def test_signals_and_volumes() -> None:
    for shape in ((2, 9), (1, 5, 5, 5)):
        data = type(DATA)(input_shape=shape, outputs=5)
        made = Candidates(find("memory-bank", {**LISTS, **SMALL}), data)
        two = [made.draw(random.Random(seed)) for seed in range(2)]
        hypernet = make("smash", TINY | {"generated": "all"}, example=two[0])
        for candidate, weights in zip(two, hypernet(two), strict=True):
            assert candidate(weights, torch.randn(3, *shape)).isfinite().all()
