"""What every hypernetwork is: a module from candidates to weights."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from hypernas.candidate import Candidate
from hypernas.errors import ConfigError
from hypernas.options import hint, resolved
from hypernas.randomness import derived_seed

Weights: TypeAlias = dict[str, Tensor]
"""one tensor for each parameter name of a candidate"""

BUILT_IN = {
    "ghn": "hypernas.hypernets.ghn:GHN",
    "ghn2": "hypernas.hypernets.ghn2:GHN2",
    "ghn3": "hypernas.hypernets.ghn3:GHN3",
    "smash": "hypernas.hypernets.smash:SMASH",
    "shared": "hypernas.hypernets.shared:SharedWeights",
}


EXAMPLE = "example"
"""argument of a hypernetwork whose shape depends on the space"""
SIZE = "size"
"""argument that may follow a hypernetwork's name: ghn3:s is ghn3 with size=s"""


class Hypernet(nn.Module, ABC):
    """Writes every parameter of the candidates it is given.

    Attributes:
        reads_more: flags of a hypernetwork that writes what this one was never fitted for.
    """

    reads_more = "--hypernet ghn"

    @abstractmethod
    def forward(self, candidates: Sequence[Candidate]) -> list[Weights]:
        """Return the weights of each candidate, with gradients to this module's parameters."""

    def prepare(
        self, candidates: Sequence[Candidate]
    ) -> list[tuple[nn.Parameter | None, nn.Parameter]]:
        """Make room for candidates not met before.

        Returns:
            The parameters that are new, each with the smaller one that it replaces or None.
        """
        return []

    def generator_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that generate weights; the rest are free, used as they are."""
        return list(self.parameters())

    def untrained(self, candidate: Candidate) -> list[str]:
        """Return the names of the candidate's parameters for which nothing was ever fitted."""
        return []


def known() -> dict[str, str]:
    """Return the hypernetworks: name and the first line of what they are."""
    return {name: (inspect.getdoc(_load(name)) or "").split("\n")[0] for name in BUILT_IN}


def make(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    example: Candidate | None = None,
    seed: int = 0,
) -> Hypernet:
    """Return a new hypernetwork, initialised by ``seed``.

    Args:
        name: which one, perhaps with its size: ``ghn3:s``.
        options: values for its arguments; text is read as their type.
        example: any candidate of the space, for those whose shape depends on it.
        seed: of the initialisation.

    Raises:
        ConfigError: no such hypernetwork or option, a value that it cannot have, or a space that it
            cannot read.
    """
    kind, arguments = _read(name, options or {})
    if EXAMPLE in inspect.signature(kind).parameters:
        if example is None:
            raise ConfigError(f"hypernetwork {name!r} needs a candidate of its space; give example")
        arguments[EXAMPLE] = example
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "hypernet"))
        return kind(**arguments)


def check(name: str, options: Mapping[str, Any]) -> None:
    """Refuse a name or an option that cannot be, before there is a space to make it for.

    Raises:
        ConfigError: no such hypernetwork or option, or a value of another type.
    """
    _read(name, options)


def _read(name: str, options: Mapping[str, Any]) -> tuple[type[Hypernet], dict[str, Any]]:
    """Return the class and the arguments of a hypernetwork."""
    plain, colon, size = name.partition(":")
    kind = _load(plain)
    if not colon:
        return kind, _converted(plain, kind, options)
    if SIZE not in inspect.signature(kind).parameters:
        raise ConfigError(f"hypernetwork {plain!r} has no sizes, got {name!r}; give {plain}")
    if options.get(SIZE, size) != size:
        raise ConfigError(f"hypernetwork {name!r} got size={options[SIZE]} too; give one of them")
    return kind, _converted(name, kind, {SIZE: size, **options})


def _load(name: str) -> type[Hypernet]:
    if name not in BUILT_IN:
        close = hint(name, BUILT_IN)
        raise ConfigError(f"no hypernetwork {name!r}{close}; known are {', '.join(BUILT_IN)}")
    module, attribute = BUILT_IN[name].split(":")
    return getattr(import_module(module), attribute)


def _converted(name: str, kind: type[Hypernet], options: Mapping[str, Any]) -> dict[str, Any]:
    types = inspect.get_annotations(kind.__init__, eval_str=True)
    types = {key: kind for key, kind in types.items() if key not in ("return", EXAMPLE)}
    of = f"hypernetwork {name!r}"
    return resolved(options, types, of=of, flag="--hypernet-set", error=ConfigError)
