"""Which values of a ``forward`` are written inside the expression that uses them."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence

from torch import fx

from hypernas.standalone.nodes import INFIX, same
from hypernas.standalone.scopes import Item, Scope, inputs, results

OPERATIONS = 4
"""how many operations one expression holds at most"""


def nested(items: Sequence[Item], returned: Sequence[fx.Node], *, by_line: bool) -> set[fx.Node]:
    """Return the values without a variable of their own; the order of execution stays.

    Args:
        returned: what the method returns.
        by_line: give each inner container a line, unless it is added or returned.
    """
    users = _only_users(items, returned)
    held: list[fx.Node] = []  # values that may still be written inside what comes next
    inside: set[fx.Node] = set()
    sizes: dict[fx.Node, int] = {}
    for item in [*items, None]:
        held, wanted = _taken(item, held, inputs(item) if item else returned, sizes)
        inside.update(wanted)
        made = results(item) if item else []
        user = users.get(made[0]) if len(made) == 1 else None
        if user is None or (by_line and _has_line(item, items[user:][:1])):
            held = []
        else:
            sizes[made[0]] = _size(item, wanted, sizes)
            held.append(made[0])
    return inside


def _taken(
    item: Item | None, held: list[fx.Node], given: Sequence[fx.Node], sizes: dict[fx.Node, int]
) -> tuple[list[fx.Node], list[fx.Node]]:
    """Return what is still held after ``item``, and which of its inputs are written inside it.

    These must be the last held ones in their order, so that all runs in the order it is written.
    """
    # of the values in a list all are written inside it, or none
    lists = isinstance(item, fx.Node) and item.args and isinstance(item.args[0], list | tuple)
    while wanted := [value for value in given if value in held]:
        if held[-len(wanted) :] == wanted and _size(item, wanted, sizes) <= OPERATIONS:
            break
        held = held[held.index(wanted[-1 if lists else 0]) + 1 :]
    return [value for value in held if value not in wanted], wanted


def _only_users(items: Sequence[Item], returned: Sequence[fx.Node]) -> dict[fx.Node, int]:
    """Return the number of the item that uses a value, for values that are used once."""
    sites = [(value, i) for i, item in enumerate(items) for value in inputs(item)]
    sites += [(value, len(items)) for value in returned]
    counts = Counter(value for value, _ in sites)
    return {value: i for value, i in sites if counts[value] == 1}


def _size(item: Item | None, wanted: list[fx.Node], sizes: dict[fx.Node, int]) -> int:
    """Return the number of operations; indexing, say, is none."""
    free = isinstance(item, fx.Node) and item.target in (operator.getitem, same)
    return (item is not None and not free) + sum(sizes[value] for value in wanted)


def _has_line(item: Item | None, user: Sequence[Item]) -> bool:
    """Say whether a container's result is more than a term of a sum, say x + block(norm(x))."""
    if not user or not isinstance(item, Scope):
        return False
    return isinstance(user[0], Scope) or user[0].target not in INFIX
