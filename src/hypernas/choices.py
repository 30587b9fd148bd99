"""Choices: what makes an architecture, and the choosers that make the choices.

A search space is a function that asks a *chooser* to decide, by name. What was decided, a flat
JSON dictionary, is the architecture. The same function runs under every chooser: one draws at
random, one replays a dictionary, one perturbs a dictionary, one follows an Optuna trial.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

import msgspec

from hypernas.errors import SpaceError

Scalar: TypeAlias = str | int | float | bool | None
Value: TypeAlias = Scalar | list[Scalar]
Architecture: TypeAlias = dict[str, Value]
Int: TypeAlias = int  # `Chooser.int` hides the builtin inside the class


def canonical(choices: Mapping[str, Value]) -> str:
    """Return the one JSON text of an architecture, whatever the order of its names.

    >>> canonical({"b": 1, "a": "conv"}) == canonical({"a": "conv", "b": 1})
    True
    """
    return msgspec.json.encode(dict(choices), order="deterministic").decode()


def identity(choices: Mapping[str, Value]) -> str:
    """Return a short digest that names an architecture in files and caches.

    >>> len(identity({"a": 1}))
    16
    """
    return hashlib.blake2b(canonical(choices).encode(), digest_size=8).hexdigest()


def family_of(name: str) -> str:
    """Return a decision's name with its numbers left out.

    >>> family_of("block0.op12.kernel1")
    'block*.op*.kernel*'
    """
    return re.sub(r"\d+", "*", name)


@dataclass(frozen=True)
class Decision:
    """One question that a space asks: a name, and what may be answered."""

    name: str
    options: tuple[Scalar, ...]
    kind: Literal["one", "int", "subset"] = "one"
    weights: tuple[float, ...] | None = None
    sizes: tuple[tuple[int, float], ...] = ()
    """of a subset: how many options may be chosen, each number with its weight"""

    def __post_init__(self) -> None:
        strange = [option for option in self.options if not _is_plain(option)]
        if strange:
            raise SpaceError(
                f"decision {self.name!r} has the option {strange[0]!r}; expected strings, finite "
                "numbers, booleans or None, which JSON can hold"
            )
        tokens = {_token(option) for option in self.options}
        if not self.options or len(tokens) != len(self.options):
            raise SpaceError(
                f"decision {self.name!r} has options {list(self.options)}; expected one or more, "
                "each once"
            )
        if self.weights is not None and not _are_weights(self.weights, len(self.options)):
            raise SpaceError(
                f"decision {self.name!r} has weights {list(self.weights)} for {len(self.options)} "
                "options; expected one finite number of 0 or more for each, not all 0"
            )
        if self.kind == "subset" and not _are_sizes(self.sizes, len(self.options)):
            raise SpaceError(
                f"decision {self.name!r} wants subsets of {[size for size, _ in self.sizes]} of "
                f"{len(self.options)} options; give sizes from 0 to the number of options, with "
                "weights of 0 or more, not all 0"
            )

    def draw(self, rng: random.Random) -> Value:
        """Draw an option by its weight, or a size by its weight and then uniformly a subset."""
        if self.kind != "subset":
            return rng.choices(self.options, self.weights)[0]
        sizes, weights = zip(*self.sizes, strict=True)
        chosen = set(rng.sample(range(len(self.options)), rng.choices(sizes, weights)[0]))
        return [option for i, option in enumerate(self.options) if i in chosen]

    def admits(self, value: Value) -> bool:
        """Say whether ``value`` is a legal answer; ``1``, ``1.0`` and ``True`` are different."""
        tokens = [_token(option) for option in self.options]
        if self.kind != "subset":
            return not isinstance(value, list) and _token(value) in tokens
        if not isinstance(value, list) or len(value) not in dict(self.sizes):
            return False
        positions = [tokens.index(t) if t in tokens else -1 for t in map(_token, value)]
        return -1 not in positions and positions == sorted(set(positions))

    @property
    def answers(self) -> int:
        """How many answers may be drawn; those of weight 0 are none.

        >>> Decision("kernel", (3, 5)).answers
        2
        """
        if self.kind != "subset":
            return sum(weight > 0 for weight in self.weights or [1] * len(self.options))
        return sum(math.comb(len(self.options), size) for size, weight in self.sizes if weight > 0)

    def expected(self) -> str:
        """Describe the legal answers, for an error message."""
        shown = ", ".join(msgspec.json.encode(o).decode() for o in self.options[:12])
        shown += ", …" if len(self.options) > 12 else ""
        if self.kind == "subset":
            sizes = [size for size, _ in self.sizes]
            if sizes == list(range(sizes[0], len(self.options) + 1)):
                return f"a list, in this order, of at least {sizes[0]} of {shown}"
            return f"a list, in this order, of {' or '.join(map(str, sizes))} of {shown}"
        return f"one of {shown}"


def _token(value: Scalar) -> tuple[type, Scalar]:
    return type(value), value


def _is_plain(option: Any) -> bool:
    if type(option) is float:
        return math.isfinite(option)
    return option is None or type(option) in (str, int, bool)


def _are_sizes(sizes: Sequence[tuple[int, float]], count: int) -> bool:
    fit = all(0 <= size <= count for size, _ in sizes)
    return fit and _are_weights([weight for _, weight in sizes], len(sizes))


def _are_weights(weights: Sequence[float], count: int) -> bool:
    finite = all(math.isfinite(weight) and weight >= 0 for weight in weights)
    return len(weights) == count and finite and sum(weights) > 0


class Chooser(ABC):
    """Answers a space's questions and records what was answered.

    Attributes:
        choices: the architecture so far, in the order of the questions.
        decisions: the questions, by name.
    """

    def __init__(self) -> None:
        self.choices: Architecture = {}
        self.decisions: dict[str, Decision] = {}

    @abstractmethod
    def decide(self, decision: Decision) -> Value:
        """Return a legal answer to ``decision``."""

    def finish(self) -> None:  # noqa: B027 (most choosers have nothing to check)
        """Check what can only be checked once the space has asked everything."""

    def __call__(
        self, name: str, options: Iterable[Scalar], *, weights: Sequence[float] | None = None
    ) -> Any:
        """Choose one of ``options``, which are strings, numbers, booleans or None.

        Raises:
            SpaceError: the name was used before in this architecture, or the options are unusable.
        """
        wanted = None if weights is None else tuple(weights)
        return self._ask(Decision(name, tuple(options), weights=wanted))

    def int(self, name: str, low: Int, high: Int) -> Any:
        """Choose a whole number from ``low`` to ``high``, both included."""
        if low > high:
            raise SpaceError(f"decision {name!r} runs from {low} to {high}; give low <= high")
        return self._ask(Decision(name, tuple(range(low, high + 1)), kind="int"))

    def subset(
        self,
        name: str,
        options: Iterable[Scalar],
        *,
        at_least: Int = 1,
        sizes: Mapping[Int, float] | None = None,
    ) -> Any:
        """Choose a list of some of ``options``, in their order.

        Args:
            name: of the decision.
            options: what may be in the list.
            at_least: how many at least; every subset is as likely as any other.
            sizes: in its place the numbers of options that may be chosen, each with its weight; the
                subsets of one size are equally likely.
        """
        listed = tuple(options)
        if sizes is None:
            most = max(len(listed), at_least)  # too many are refused below
            sizes = {n: math.comb(len(listed), max(n, 0)) for n in range(at_least, most + 1)}
        return self._ask(Decision(name, listed, kind="subset", sizes=tuple(sizes.items())))

    def _ask(self, decision: Decision) -> Value:
        if decision.name in self.choices:
            raise SpaceError(
                f"the space asks for {decision.name!r} twice in one architecture; "
                "give each decision a name of its own"
            )
        value = self.decide(decision)
        self.choices[decision.name] = value
        self.decisions[decision.name] = decision
        return list(value) if isinstance(value, list) else value  # the space may change its copy


class Draw(Chooser):
    """Draws every answer at random.

    >>> chooser = Draw(random.Random(0))
    >>> chooser("kernel", [3, 5]) in (3, 5)
    True
    """

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.rng = rng

    def decide(self, decision: Decision) -> Value:
        return decision.draw(self.rng)


class Replay(Chooser):
    """Answers from a dictionary; missing, extra and illegal entries are refused by name.

    >>> Replay({"kernel": 5})("kernel", [3, 5])
    5
    """

    def __init__(self, choices: Mapping[str, Value]) -> None:
        super().__init__()
        self.given = choices

    def decide(self, decision: Decision) -> Value:
        if decision.name not in self.given:
            raise SpaceError(
                f"choice {decision.name!r} is missing; expected {decision.expected()}"
                + _did_you_mean(decision.name, self.given)
            )
        value = self.given[decision.name]
        if not decision.admits(value):
            raise SpaceError(
                f"choice {decision.name!r} is {msgspec.json.encode(value).decode()}; "
                f"expected {decision.expected()}"
            )
        return value

    def finish(self) -> None:
        extra = [name for name in self.given if name not in self.choices]
        if extra:
            raise SpaceError(
                f"choice {extra[0]!r} is not asked for by this architecture"
                + _did_you_mean(extra[0], self.choices)
                + f"; remove it ({len(extra)} such)"
            )


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


class Perturb(Chooser):
    """Draws each answer anew with a probability, and otherwise keeps that of a given architecture.

    Names that no longer occur fall away; new names, and values no longer among the options, are
    drawn.
    """

    def __init__(
        self, choices: Mapping[str, Value], probability: float, rng: random.Random
    ) -> None:
        super().__init__()
        self.base = choices
        self.probability = probability
        self.rng = rng

    def decide(self, decision: Decision) -> Value:
        kept = decision.name in self.base and decision.admits(self.base[decision.name])
        if kept and self.rng.random() >= self.probability:
            return self.base[decision.name]
        return decision.draw(self.rng)
