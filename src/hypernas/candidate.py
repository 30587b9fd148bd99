"""A candidate: an architecture and its module, whose parameters hold no memory.

The same code builds the module for scoring, for training and for export, so what is scored is what
is trained. Only parameters are hollow: buffers carry values (position tables, masks, filters).
"""

from __future__ import annotations

import contextlib
import random
from collections import OrderedDict, defaultdict
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from hypernas.choices import Architecture, Chooser, Decision, Draw, Perturb, Replay, canonical
from hypernas.errors import SpaceError
from hypernas.graph import Graph
from hypernas.hollow import hollow_parameters
from hypernas.randomness import derived_seed
from hypernas.spaces import Space
from hypernas.tasks import Outputs, Signature
from hypernas.tracing import prune, read_graph


@dataclass(frozen=True, eq=False)
class Candidate:
    """An architecture with its module and its computation graph.

    Attributes:
        choices: what the space's function was told.
        decisions: what it asked, by name.
        module: without memory for parameters, pruned, in evaluation mode; its batch norms keep no
            running statistics, so they normalise by the batch.
        data: shape of an example and number of outputs.
        norms: those of its batch norms that keep running statistics in a network trained for real.
        notes: what a hypernetwork remembers of the candidate between steps, by its own key.
    """

    choices: Architecture
    decisions: dict[str, Decision]
    module: nn.Module
    data: Signature
    norms: tuple[_BatchNorm, ...] = ()
    notes: dict[Any, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def graph(self) -> Graph:
        """The computation graph, which graph hypernetworks read."""
        return read_graph(self.module, self.data.input_shape, dtype=self.data.dtype)

    @cached_property
    def params(self) -> int:
        """Number of parameters that reach the output."""
        return self.graph.params

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and linear layers for one example."""
        return self.graph.macs

    @cached_property
    def exit_macs(self) -> tuple[int, ...]:
        """The same of what each exit depends on, in the order of the exits.

        Raises:
            SpaceError: the exits are not in the order of these, or two are one and the same.
        """
        outputs, found = self.graph.outputs, self.graph.exit_macs
        if len(set(outputs)) < len(outputs):
            twice = next(i for i, output in enumerate(outputs) if output in outputs[:i])
            raise SpaceError(
                f"exits {outputs.index(outputs[twice]) + 1} and {twice + 1} of the module's "
                f"{len(outputs)} are results of the same operation; return each exit once"
            )
        if list(found) != sorted(found):
            raise SpaceError(
                f"the module's exits cost {list(found)} MACs, in this order; return the cheapest "
                "first and the dearest last"
            )
        return found

    def __call__(self, weights: Mapping[str, Tensor], x: Tensor) -> Outputs:
        """Run the module with ``weights``, one tensor for each parameter name."""
        try:
            for name, tensor in weights.items():
                # on a GPU no layout but the plain one is safe: see Workplace.batches
                plain = tensor.contiguous() if tensor.is_cuda else tensor
                for holder, key, _ in self._holders[name]:
                    holder[key] = plain
            return self.module(x)
        finally:
            for places in self._holders.values():
                for holder, key, parameter in places:
                    holder[key] = parameter

    @cached_property
    def _holders(self) -> dict[str, list[tuple[dict[str, Any], str, nn.Parameter]]]:
        """Where each parameter stands: which dictionaries hold it, under which keys.

        ``torch.func.functional_call`` looks for them at every call.
        """
        names = {parameter: name for name, parameter in self.module.named_parameters()}
        found: dict[str, list[tuple[dict[str, Any], str, nn.Parameter]]] = defaultdict(list)
        for layer in self.module.modules():
            for key, parameter in layer._parameters.items():
                if parameter is not None:
                    found[names[parameter]].append((layer._parameters, key, parameter))
        return dict(found)


class Candidates:
    """Makes the candidates of one space for one kind of data, and remembers the last ones.

    Args:
        space: the search space with its options.
        data: shape of an example and number of outputs.
        remember: how many candidates are kept for the next time their choices are asked for.
        device: where their buffers lie.
    """

    def __init__(
        self, space: Space, data: Signature, *, remember: int = 256, device: str = "cpu"
    ) -> None:
        self.space = space
        self.data = data
        self.device = torch.device(device)
        self._remember = remember
        self._known: OrderedDict[str, Candidate] = OrderedDict()

    def of(self, choices: Architecture) -> Candidate:
        """Return the candidate of an architecture.

        Raises:
            SpaceError: a choice is missing, extra or illegal.
        """
        key = canonical(choices)
        if key not in self._known:
            return self.make(Replay(choices))
        self._known.move_to_end(key)
        return self._known[key]

    def draw(self, rng: random.Random, *, ease: float = 1.0) -> Candidate:
        """Return a random candidate, drawn by the space's own weights.

        Args:
            rng: decides.
            ease: below 1 the weights are those of the space's option ``ease``.

        Raises:
            SpaceError: at this ease the space draws what it does not admit at ease 1.
        """
        choose = Draw(rng)
        if ease >= 1:
            return self.make(choose)
        with hollow_parameters(), own_random_numbers(0):
            self.space.with_options(ease=ease).ask(choose, self.data)
        # built again, so that ease has no part in what a candidate is, only in how likely it is
        return self.of(choose.choices)

    def perturb(self, choices: Architecture, probability: float, rng: random.Random) -> Candidate:
        """Return a candidate with each choice drawn anew with ``probability``."""
        return self.make(Perturb(choices, probability, rng))

    def make(self, choose: Chooser) -> Candidate:
        """Return the candidate that ``choose`` decides on."""
        with hollow_parameters(), own_random_numbers(0):
            module = self.space.build(choose, self.data)
        key = canonical(choose.choices)
        if key not in self._known:
            self._known[key] = _candidate(choose, module, self.data, self.device)
            if len(self._known) > self._remember:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]


def _candidate(
    choose: Chooser, module: nn.Module, data: Signature, device: torch.device
) -> Candidate:
    graph = None
    if not getattr(module, "whole", False):  # else the space vouches that nothing in it is dead
        graph = read_graph(module, data.input_shape, dtype=data.dtype)
        module = prune(module, graph)
    norms = prepare(module, device)
    candidate = Candidate(dict(choose.choices), choose.decisions, module, data, norms=norms)
    if graph is not None:
        candidate.__dict__["graph"] = graph  # as read before pruning, which leaves the same
    return candidate


def prepare(module: nn.Module, device: torch.device | str) -> tuple[_BatchNorm, ...]:
    """Bring a module into the state of a candidate's, see there; return norms that it changed."""
    norms = [n for n in module.modules() if isinstance(n, _BatchNorm) and n.track_running_stats]
    for layer in module.eval().modules():
        if isinstance(layer, _NormBase):
            layer.running_mean = layer.running_var = layer.num_batches_tracked = None
            layer.track_running_stats = False
        for name, buffer in layer.named_buffers(recurse=False):
            setattr(layer, name, buffer.to(device, copy=True))  # the space may hold on to it
    return tuple(norms)


def build_network(space: Space, choices: Architecture, data: Signature, *, seed: int) -> nn.Module:
    """Return the plain module of an architecture, initialised by its own constructors.

    Args:
        space: the search space.
        choices: the architecture.
        data: shape of an example and number of outputs.
        seed: of the initialisation; the caller's random state is left as it was.
    """
    with own_random_numbers(derived_seed(seed, "initialisation")):
        module = space.build(Replay(choices), data)
    return prune(module, read_graph(module, data.input_shape, dtype=data.dtype))


@contextlib.contextmanager
def own_random_numbers(seed: int) -> Generator[None, None, None]:
    """While the block runs, torch draws from ``seed``; then its state is what it was before."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # of the CPU, where networks are built
        yield
