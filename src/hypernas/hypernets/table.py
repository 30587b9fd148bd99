"""A table of weights that many architectures share, sliced to the shapes that each one needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from hypernas.graph import Parameter
from hypernas.hypernets.parts import cut
from hypernas.randomness import torch_generator

Entry = tuple[str, Parameter]
"""a key of the table and the parameter that it is looked up for"""


class Table(nn.Module):
    """Weights by key. It grows as larger shapes and new keys are met.

    A smaller tensor is the first part of an entry along its first two axes (output and input
    channels), and the middle of it along the others (the kernel), as in SMASH.

    Attributes:
        orthogonal: first weights are drawn orthogonal, else by He's rule.
    """

    seed: Tensor
    """decides the first values; it lies where the table does"""

    def __init__(self) -> None:
        super().__init__()
        self.orthogonal = False
        self.entries = nn.ParameterDict()
        self.register_buffer("seed", torch.randint(2**62, ()))

    def look_up(self, wanted: Iterable[Entry]) -> dict[str, Tensor]:
        """Return the weights of parameters, by the parameters' names."""
        by_key: dict[str, list[Parameter]] = {}
        for key, parameter in wanted:
            by_key.setdefault(key, []).append(parameter)
        found = {}
        for key, parameters in by_key.items():
            known = [p for p in parameters if not self.lacks(key, p)]
            if known:
                entry = self.entries[key]
                parts = cut(entry, [_part(entry.shape, p.shape) for p in known])
                found |= zip((p.name for p in known), parts, strict=True)
            # never fitted: first values, not kept, so that no score depends on an earlier one
            new = [p for p in parameters if p.name not in found]
            old = self.entries.get(key)
            found |= {p.name: _cut(self._initial(key, p, old), p) for p in new}
        return found

    def grow(self, wanted: Iterable[Entry]) -> list[tuple[nn.Parameter | None, nn.Parameter]]:
        """Make room for parameters; return what is new, each with what it replaces or None."""
        grown = []
        for key, parameter in wanted:
            old = self.entries.get(key)
            if old is not None and _covers(old.shape, parameter.shape):
                continue
            self.entries[key] = nn.Parameter(self._initial(key, parameter, old))
            grown.append((old, self.entries[key]))
        return grown

    def lacks(self, key: str, parameter: Parameter) -> bool:
        """Say whether nothing was ever fitted for a parameter."""
        return key not in self.entries or not _covers(self.entries[key].shape, parameter.shape)

    def _initial(self, key: str, parameter: Parameter, old: Tensor | None) -> Tensor:
        """Draw an entry by its name, so that it does not depend on when it is first met."""
        shape = parameter.shape
        if old is not None:
            shape = tuple(map(max, old.shape, shape))
        generator = torch_generator(int(self.seed), "shared", key, *shape)
        value = self._drawn(parameter.role, shape, generator).to(self.seed.device)
        if old is not None:
            value[_part(shape, old.shape)] = old.detach()
        return value

    def _drawn(self, role: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        if role == "scale":
            return torch.ones(shape)
        if role in ("shift", "bias"):
            return torch.zeros(shape)
        if role == "weight" and self.orthogonal and len(shape) > 1:
            return nn.init.orthogonal_(torch.empty(shape), generator=generator)
        spread = math.sqrt(2 / max(math.prod(shape[1:]), 1)) if role == "weight" else 0.02
        return torch.randn(shape, generator=generator) * spread

    def make_room(self, state_dict: Mapping[str, Tensor], prefix: str) -> None:
        """Make the entries that a state dictionary holds under ``prefix``, so that it loads."""
        start = f"{prefix}entries."
        for name, tensor in state_dict.items():
            if name.startswith(start):
                self.entries[name.removeprefix(start)] = nn.Parameter(torch.empty_like(tensor))


def _cut(entry: Tensor, parameter: Parameter) -> Tensor:
    return entry[_part(entry.shape, parameter.shape)]


def _covers(have: tuple[int, ...], want: tuple[int, ...]) -> bool:
    return all(h >= w for h, w in zip(have, want, strict=True))


def _part(whole: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[slice, ...]:
    """Return where a tensor lies in a larger one: at the start, or of a kernel in the middle."""
    first = [
        0 if axis < 2 else (have - want) // 2
        for axis, (have, want) in enumerate(zip(whole, wanted, strict=True))
    ]
    return tuple(slice(start, start + want) for start, want in zip(first, wanted, strict=True))
