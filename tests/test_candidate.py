"""A candidate is the network itself, without memory for weights and without what is dead."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from small_space import SIGNATURE
from torch import Tensor, nn

from hypernas.candidate import Candidate, Candidates, build_network
from hypernas.choices import Draw, Replay
from hypernas.early_exits import EarlyExits
from hypernas.errors import GraphError, SpaceError
from hypernas.results import AskedExit
from hypernas.spaces import Space, find
from hypernas.tasks import Signature

DATA = Signature(input_shape=(3, 8, 8), outputs=5)
TABLE = torch.arange(4.0)


class Net(nn.Module):
    """Parts that are computed but unused, never called, shared, random and in buffers."""

    def __init__(self, dead: bool, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.aux = nn.Sequential(nn.Conv2d(width, 50, 1), nn.BatchNorm2d(50)) if dead else None
        self.never = nn.Linear(100, 100) if dead else None
        self.unused = nn.Parameter(torch.ones(7)) if dead else None
        self.fc, self.same = nn.Linear(width, width), nn.Linear(width, width)
        self.same.weight = self.fc.weight
        self.register_buffer("table", TABLE)
        self.register_buffer("noise", torch.randn(width))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        if self.aux is not None:
            self.aux(x)
        x = x.mean((2, 3)) + self.table.sum() + self.noise
        return self.head(self.drop(self.same(torch.relu(self.fc(x)))))


def net(choose: Any, data: Signature, *, width: int = 6) -> nn.Module:
    return Net(choose("dead", [False, True]), width)


SPACE = Space("net", net)
SPACES = [
    SPACE,
    find("cell", {"width": 4, "cells": 2}),
    find("nas-bench-201", {"width": 4, "cells": 1}),
]


def candidates_of(space: Space, count: int = 3) -> list[Candidate]:
    made = Candidates(space, DATA)
    return [made.draw(random.Random(seed)) for seed in range(count)]


def weights_of(candidate: Candidate) -> dict[str, Tensor]:
    named = candidate.module.named_parameters()
    return {name: torch.randn(p.shape) / 2 for name, p in named}


# --- parameters without memory, buffers with ----------------------------------------------------


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_parameters_hold_no_memory_and_buffers_do(space: Space) -> None:
    for candidate in candidates_of(space):
        parameters = dict(candidate.module.named_parameters())
        assert parameters
        assert all(p.is_meta and p.requires_grad for p in parameters.values())
        assert not any(b.is_meta for b in candidate.module.buffers())
        assert candidate.params == sum(p.numel() for p in parameters.values())
        assert {p.name for n in candidate.graph.nodes for p in n.parameters} == set(parameters)


def test_no_buffer_is_shared_between_candidates_or_with_the_space() -> None:
    first, second = (Candidates(SPACE, DATA).of({"dead": dead}).module for dead in (False, True))
    assert torch.equal(first.get_buffer("table"), TABLE)
    places = [m.get_buffer("table").data_ptr() for m in (first, second)] + [TABLE.data_ptr()]
    assert len(set(places)) == 3


def test_a_random_buffer_does_not_depend_on_when_the_candidate_is_made() -> None:
    torch.manual_seed(1)
    first = Candidates(SPACE, DATA).of({"dead": False})
    torch.manual_seed(2)
    second = Candidates(SPACE, DATA).of({"dead": False})
    assert torch.equal(first.module.get_buffer("noise"), second.module.get_buffer("noise"))


# --- what runs is the network -------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
@pytest.mark.parametrize("seed", range(4))
def test_generated_weights_run_as_the_real_module_that_holds_them(space: Space, seed: int) -> None:
    candidate = Candidates(space, DATA).draw(random.Random(seed))
    torch.manual_seed(seed)
    weights, x = weights_of(candidate), torch.randn(6, 3, 8, 8)
    real = build_network(space, candidate.choices, DATA, seed=0)
    missing, unexpected = real.load_state_dict(weights, strict=False)
    assert not unexpected
    assert not set(missing) & dict(real.named_parameters()).keys()
    buffers = dict(candidate.module.named_buffers())
    real.load_state_dict(buffers, strict=False)
    real.train()  # batch norms normalise by the batch ...
    for layer in real.modules():
        if isinstance(layer, nn.Dropout):
            layer.eval()  # ... but dropout is off
    with torch.no_grad():
        assert torch.equal(candidate(weights, x), real(x))
        assert torch.equal(candidate(weights, x[:3]), real(x[:3])), "it kept statistics"


def test_gradients_reach_generated_weights() -> None:
    candidate = Candidates(SPACE, DATA).of({"dead": False})
    weights = {k: v.requires_grad_() for k, v in weights_of(candidate).items()}
    outputs = candidate(weights, torch.randn(4, 3, 8, 8))
    assert isinstance(outputs, Tensor)
    outputs.square().sum().backward()
    assert all(w.grad is not None and w.grad.abs().sum() > 0 for w in weights.values())


# --- pruning ------------------------------------------------------------------------------------


def test_dead_branches_are_no_part_of_a_candidate() -> None:
    made = Candidates(SPACE, DATA)
    alive, pruned = made.of({"dead": False}), made.of({"dead": True})
    assert (pruned.params, pruned.macs) == (alive.params, alive.macs)
    dead = {"aux", "never", "unused"}
    assert {n.split(".")[0] for n in pruned.graph.unwritten} == dead
    for module in (pruned.module, build_network(SPACE, {"dead": True}, DATA, seed=0)):
        assert not {name.split(".")[0] for name in module.state_dict()} & dead
        assert sum(p.numel() for p in module.parameters()) == alive.params


def test_a_pruned_network_gives_the_outputs_of_the_whole_one() -> None:
    torch.manual_seed(0)
    whole = SPACE.build(Replay({"dead": True}), DATA)
    pruned = build_network(SPACE, {"dead": True}, DATA, seed=0)
    missing, _ = pruned.load_state_dict(whole.state_dict(), strict=False)
    assert not missing
    x = torch.randn(4, 3, 8, 8)
    assert torch.equal(pruned.eval()(x), whole.eval()(x))


# --- random states ------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_building_leaves_the_global_generator_alone(space: Space) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    candidate = Candidates(space, DATA).draw(random.Random(0))
    first = build_network(space, candidate.choices, DATA, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    again, other = (build_network(space, candidate.choices, DATA, seed=s) for s in (1, 2))
    assert all(map(torch.equal, first.state_dict().values(), again.state_dict().values()))
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_a_network_is_initialised_by_its_own_constructors() -> None:
    network = build_network(SPACE, {"dead": False}, DATA, seed=0)
    assert all(p.is_leaf and not p.is_meta for p in network.parameters())
    bound = 1 / 27**0.5  # of nn.Conv2d's own initialisation
    weight = network.get_parameter("conv.weight")
    assert bound * 0.8 < weight.abs().max() <= bound
    assert network.get_parameter("same.weight") is network.get_parameter("fc.weight")


def test_layers_of_unknown_size_are_refused() -> None:
    space = Space("lazy", lambda choose, data: nn.Sequential(nn.LazyLinear(3)))
    with pytest.raises(SpaceError, match="LazyLinear"):
        Candidates(space, DATA).of({})


# --- remembering --------------------------------------------------------------------------------


def test_a_candidate_is_remembered_by_its_choices() -> None:
    made = Candidates(find("nas-bench-201", {"width": 4, "cells": 1}), DATA, remember=2)
    first = made.draw(random.Random(0))
    assert made.of(dict(reversed(first.choices.items()))) is first
    assert made.draw(random.Random(0)) is first
    second = made.draw(random.Random(1))
    assert made.of(first.choices) is first  # the last one asked for stays longest
    made.draw(random.Random(2))
    assert made.of(first.choices) is first
    assert made.of(second.choices) is not second
    assert made.of(second.choices).graph == second.graph


def test_a_candidate_knows_its_choices_and_decisions() -> None:
    candidate = Candidates(SPACE, DATA).perturb({"dead": True}, 0.0, random.Random(0))
    assert candidate.choices == {"dead": True}
    assert candidate.decisions["dead"].options == (False, True)
    assert not candidate.module.training


def test_ease_must_not_change_what_is_legal() -> None:
    def honest(choose: Any, data: Signature, *, ease: float = 1.0) -> nn.Module:
        return nn.Linear(8, choose("width", [2, 3], weights=[1, ease]))

    def wrong(choose: Any, data: Signature, *, ease: float = 1.0) -> nn.Module:
        return nn.Linear(8, choose("width", [2, 3] if ease == 1 else [1]))

    data = Signature(input_shape=(8,), outputs=2)
    eased = Candidates(Space("honest", honest), data).draw(random.Random(0), ease=0.0)
    assert eased.choices == {"width": 2}
    assert eased.decisions["width"].weights == (1, 1)
    with pytest.raises(SpaceError, match="choice 'width' is 1; expected one of 2, 3"):
        Candidates(Space("wrong", wrong), data).draw(random.Random(0), ease=0.0)
    with pytest.raises(SpaceError, match="no option 'ease'"):
        Candidates(Space("none", lambda choose, data: nn.Linear(8, 2)), data).draw(
            random.Random(0), ease=0.0
        )


def test_what_does_not_fit_the_space_is_refused() -> None:
    made = Candidates(SPACE, DATA)
    for choices in ({}, {"dead": 1}, {"dead": True, "more": 1}):
        with pytest.raises(SpaceError):
            made.of(choices)
    narrow = Candidates(Space("narrow", lambda c, d: nn.Sequential(nn.Linear(3, 2))), DATA)
    with pytest.raises(GraphError, match="expected 3 input features, got 8"):
        narrow.make(Draw(random.Random(0)))


class Asks(nn.Module):
    """Does less where it is not given a second input, and has a dead layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.more, self.dead = (nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        self.dead(x)
        return self.fc(x) if other is None else self.more(x) + other


def test_an_input_that_candidates_are_not_given_is_none() -> None:
    data = Signature(input_shape=(8,), outputs=8)
    candidate = Candidates(Space("asks", lambda choose, data: Asks()), data).make(
        Draw(random.Random(0))
    )
    assert [node.path for node in candidate.graph.nodes] == ["input0", "fc"]
    assert [name for name, _ in candidate.module.named_parameters()] == ["fc.weight", "fc.bias"]
    weights = {"fc.weight": torch.eye(8), "fc.bias": torch.zeros(8)}
    torch.testing.assert_close(candidate(weights, torch.ones(3, 8)), torch.ones(3, 8))


class Exits(nn.Module):
    """Two exits in a given order, and a layer that reaches neither."""

    def __init__(self, width: int, *, dear_first: bool) -> None:
        super().__init__()
        self.cheap, self.dear = nn.Linear(36, 4), nn.Linear(width, 4)
        self.hidden, self.dead = nn.Linear(36, width), nn.Linear(36, 2)
        self.dear_first = dear_first

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.flatten(1)
        self.dead(x)
        found = self.cheap(x), self.dear(self.hidden(x))
        return found[::-1] if self.dear_first else found


def exits(choose: Any, data: Signature) -> nn.Module:
    """Networks of two exits."""
    return Exits(choose("width", [5, 6]), dear_first=choose("order", [False, True]))


def test_exits_cost_what_they_depend_on_and_stand_in_that_order() -> None:
    made = Candidates(Space("exits", exits), SIGNATURE)
    candidate = made.of({"width": 5, "order": False})
    assert candidate.exit_macs == (36 * 4, 36 * 5 + 5 * 4)
    assert candidate.macs == sum(candidate.exit_macs)
    with pytest.raises(SpaceError, match=r"exits cost \[200, 144\] MACs, in this order"):
        made.of({"width": 5, "order": True}).exit_macs  # noqa: B018
    network = EarlyExits(
        build_network(made.space, candidate.choices, SIGNATURE, seed=0),
        [AskedExit(number=n, macs=m, stop_macs=m, val_accuracy=0.5, test_accuracy=None)
         for n, m in enumerate(candidate.exit_macs)],
    )  # fmt: skip
    x = torch.randn(3, *SIGNATURE.input_shape)
    torch.testing.assert_close(network.predict(x, budget=150), network(x)[0])
    torch.testing.assert_close(network.predict(x), network(x)[1])


class Again(nn.Module):
    """The first of two exits stands there again, as it is or cast to the type that it has."""

    def __init__(self, *, cast: bool) -> None:
        super().__init__()
        self.exits, self.cast = Exits(5, dear_first=False), cast

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        cheap, dear = self.exits(x)
        return (cheap, cheap.float(), dear) if self.cast else (cheap, dear, cheap)


@pytest.mark.parametrize(("cast", "number"), [(True, 2), (False, 3)])
def test_an_exit_that_stands_there_twice_is_refused(cast: bool, number: int) -> None:
    space = Space("again", lambda choose, data: Again(cast=choose("cast", [cast])))
    candidate = Candidates(space, SIGNATURE).draw(random.Random(0))
    assert len(candidate.graph.outputs) == 3
    with pytest.raises(SpaceError, match=f"exits 1 and {number} of the module's 3 are results of"):
        candidate.exit_macs  # noqa: B018
