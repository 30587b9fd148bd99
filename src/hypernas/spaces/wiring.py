"""How a cell is wired, for pictures of the mean of many cells.

A space whose architectures are one cell may say so: its function has an attribute ``wiring``, a
function from choices to a :class:`Wiring`.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Wiring:
    """The values of a cell and what connects them.

    Attributes:
        values: names, in the order in which they are computed; the same for all architectures.
        edges: pairs of positions (from, to) in ``values``, each with the name of the operation that
            it carries, or "" where it carries none.
        operations: of the values that an operation makes out of all that enters: its name.
    """

    values: tuple[str, ...]
    edges: dict[tuple[int, int], str]
    operations: dict[int, str] = field(default_factory=dict)
