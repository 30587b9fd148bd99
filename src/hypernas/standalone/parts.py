"""The members of a class as source: calls with literal arguments and with parts inside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypernas.standalone.literals import literal

Hole = tuple[str, ...]
"""where a literal stands in a class: member names, then the argument"""


@dataclass
class Part:
    """A call with literal arguments and with parts inside."""

    opening: str
    closing: str = ")"
    values: dict[str, str] = field(default_factory=dict)
    usual: dict[str, str] = field(default_factory=dict)
    """defaults by argument; an argument without one is written by position"""
    inside: dict[str, Part] = field(default_factory=dict)
    item: str = "{text}"
    """how a part inside is written, with its {name} or {quoted} name"""
    assign: str = "self.{name} = {text}"
    """how the part becomes a member"""

    def skeleton(self) -> tuple[Any, ...]:
        """Return everything but the arguments' values."""
        inner = tuple((name, part.skeleton()) for name, part in self.inside.items())
        return (self.opening, self.closing, tuple(self.usual.items()), inner)

    def holes(self, path: Hole) -> Iterator[tuple[Hole, str]]:
        """Yield each literal with its place."""
        for name, text in self.values.items():
            yield (*path, name), text
        for name, part in self.inside.items():
            yield from part.holes((*path, name))

    def text(self, path: Hole, names: dict[Hole, str]) -> str:
        """Write the call, with the constructor's argument for each of the holes in ``names``."""
        words = []
        for name, usual in self.values.items():
            value = names.get((*path, name), usual)
            if value != self.usual.get(name):
                words.append(f"{name}={value}" if name in self.usual else value)
        for name, part in self.inside.items():
            inner = part.text((*path, name), names)
            words.append(self.item.format(name=name, quoted=literal(name), text=inner))
        return f"{self.opening}{', '.join(words)}{self.closing}"


def sequential(inside: dict[str, Part], call: str = "nn.Sequential") -> Part:
    """Write a chain; what did nothing in it is an nn.Identity, so that the numbers stay."""
    if not all(name.isdigit() for name in inside):
        item = "({quoted}, {text})"
        return Part(f"{call}(OrderedDict([", "]))", inside=inside, item=item)
    names = [str(i) for i in range(int(max(inside, key=int)) + 1)]
    return Part(f"{call}(", inside={n: inside.get(n) or Part("nn.Identity(") for n in names})


def collection(family: str, inside: dict[str, Part]) -> Part:
    """Write an nn.ModuleList or its like (``family`` ModuleList, ParameterDict and so on)."""
    if family.endswith("List"):
        return Part(f"nn.{family}([", "])", inside=inside)
    return Part(f"nn.{family}({{", "})", inside=inside, item="{quoted}: {text}")
