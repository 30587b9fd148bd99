"""Every architecture of a small space, in order, conditional choices included."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

from hypernas.candidate import Candidates, own_random_numbers
from hypernas.choices import Architecture, Chooser, Decision, Draw, Value
from hypernas.errors import SpaceError
from hypernas.hollow import hollow_parameters
from hypernas.randomness import rng

LOOKS = 20
"""random architectures by which the number of all is guessed"""
BEYOND = 10
"""times the most by which a guess must exceed it before it is believed: it is rough where choices
depend on others"""


class Walk(Chooser):
    """Gives the answers of given numbers, and then the first ones.

    Attributes:
        path: for each decision, the number of the answer and how many there are.

    >>> walk = Walk([1])
    >>> walk("kernel", [3, 5]), walk("width", [8, 16]), walk.path
    (5, 8, [(1, 2), (0, 2)])
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__()
        self.numbers = numbers
        self.path: list[tuple[int, int]] = []

    def decide(self, decision: Decision) -> Value:
        place = len(self.path)
        number = self.numbers[place] if place < len(self.numbers) else 0
        every = answers(decision)
        self.path.append((number, len(every)))
        return every[number]

    def following(self) -> list[int] | None:
        """Return the numbers of the next architecture; None after the last."""
        path = list(self.path)
        while path and path[-1][0] + 1 == path[-1][1]:
            path.pop()
        if not path:
            return None
        return [*(number for number, _ in path[:-1]), path[-1][0] + 1]


def answers(decision: Decision) -> list[Value]:
    """Return every legal answer to a decision.

    >>> answers(Decision("heads", ("a", "b"), kind="subset", sizes=((1, 1.0), (2, 1.0))))
    [['a'], ['b'], ['a', 'b']]
    """
    if decision.kind != "subset":
        return list(decision.options)
    sizes = sorted(size for size, _ in decision.sizes)
    return [list(some) for size in sizes for some in combinations(decision.options, size)]


def every_architecture(candidates: Candidates, *, most: int, seed: int) -> Iterator[Architecture]:
    """Yield all architectures of a space, in order.

    Args:
        candidates: of the space.
        most: how many there may be.
        seed: of the random architectures by which a far larger space is found out at once.

    Raises:
        SpaceError: there are more.
    """
    guessed = sum(_guess(candidates, seed, look) for look in range(LOOKS)) / LOOKS
    if guessed > BEYOND * most:
        raise _too_many(candidates, f"about {guessed:.2g}", most)
    numbers: list[int] | None = []
    count = 0
    while numbers is not None:
        walk = Walk(numbers)
        _ask(candidates, walk)
        count += 1
        if count > most:
            raise _too_many(candidates, f"more than {most:,}", most)
        yield walk.choices
        numbers = walk.following()


def _guess(candidates: Candidates, seed: int, look: int) -> float:
    """Return the number of paths by one of them (Knuth, Mathematics of Computation 29:121)."""
    draw = Draw(rng(seed, "enumerate", look))
    _ask(candidates, draw)
    sizes = [len(d.options) if d.kind != "subset" else _subsets(d) for d in draw.decisions.values()]
    return math.prod(map(float, sizes))


def _subsets(decision: Decision) -> int:
    return sum(math.comb(len(decision.options), size) for size, _ in decision.sizes)


def _ask(candidates: Candidates, choose: Chooser) -> None:
    with hollow_parameters(), own_random_numbers(0):
        candidates.space.ask(choose, candidates.data)


def _too_many(candidates: Candidates, count: str, most: int) -> SpaceError:
    return SpaceError(
        f"space {candidates.space} has {count} architectures, and all are looked at of {most:,} at "
        "most; give --random 300 in place of --all"
    )
