"""The methods of a network with early exits, which runs no further than it is asked to."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

from torch import fx

from hypernas.errors import GraphError
from hypernas.standalone.forward import Writer
from hypernas.standalone.nodes import ancestors, uses
from hypernas.standalone.scopes import Item, Scope, inputs, results


def methods_of(scope: Scope, graph: fx.Graph, access: Callable[[str], str]) -> list[str]:
    """Return the lines of ``stages``, ``forward`` and ``predict``, at no indentation.

    Args:
        scope: of the whole network, which has one input and returns a tuple of different values.
        graph: the scope's.
        access: from the path of a member to how the network reaches it.
    """
    writer = _Stages(scope, graph, access)
    (given,) = writer.parameters()
    every = "{" + ", ".join(map(str, range(len(writer.returned)))) + "}"
    head = [
        f"def stages(self, {given}, wanted=frozenset({every})):",
        '    """Yield the outputs of the wanted exits, each as soon as it is computed."""',
    ]
    lines = [*head, *(f"    {line}" for line in writer.body())]
    return [*lines, *textwrap.dedent(_METHODS).replace("{x}", given).splitlines()]


_METHODS = '''
    def forward(self, {x}):
        return tuple(self.stages({x}))

    @torch.no_grad()
    def predict(self, {x}, budget=math.inf, threshold=None):
        """Return the outputs of one exit for each example, and run only what they need.

        The exit is the best that `budget` multiply-adds an example pay for. With a threshold,
        each example by itself goes from exit to exit until the largest probability of a class
        reaches it, or the budget is spent.
        """
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"a threshold of {threshold} is no probability; give 0 to 1")
        column = 1 if threshold is None else 2
        paid = [exit[0] for exit in ASKED if exit[column] <= budget]
        if not paid:
            raise ValueError(f"a budget of {budget} pays for no exit; give {ASKED[0][1]} or more")
        if threshold is None:
            return next(self.stages({x}, {paid[-1]}))
        return torch.cat([self.until(threshold, one, paid) for one in {x}.split(1)])

    def until(self, threshold, {x}, wanted):
        """Return the outputs of the first wanted exit that is as sure as `threshold`."""
        for outputs in self.stages({x}, set(wanted)):
            if outputs.softmax(1).max() >= threshold:
                break
        return outputs
'''


class _Stages(Writer):
    """Writes what each exit needs, and what exits share, once, where it is first needed."""

    def __init__(self, scope: Scope, graph: fx.Graph, access: Callable[[str], str]) -> None:
        outputs = uses(graph.output_node())
        self.needs = [ancestors(output) for output in outputs]
        useless = [item for item in scope.items if not self._exits(item)]
        if useless or len(set(outputs)) < len(outputs):
            raise GraphError(
                "the network gives one value twice, or changes one in place whose change no exit "
                "takes, so it cannot be written exit by exit; return and use each value once"
            )
        scope.items.sort(key=lambda item: (self._exits(item)[0], _gives(item, outputs)))
        super().__init__(scope, graph, access)
        ends = {output for output in outputs if not set(output.users) - {graph.output_node()}}
        self.nested |= ends  # written where they are yielded

    def _exits(self, item: Item) -> list[int]:
        """Return the numbers of the exits that need an item."""
        nodes = set(item.nodes if isinstance(item, Scope) else [item])
        return [number for number, needed in enumerate(self.needs) if nodes & needed]

    def body(self) -> list[str]:
        """Return the statements; those that not every exit needs stand under a condition."""
        lines: list[str] = []
        before: list[int] = list(range(len(self.needs)))
        for exits, line in self._lines():
            if exits != before and len(exits) < len(self.needs):
                lines.append(f"if wanted & {{{', '.join(map(str, exits))}}}:")
            before = exits
            lines.append(line if len(exits) == len(self.needs) else f"    {line}")
        return lines

    def _lines(self) -> Iterator[tuple[list[int], str]]:
        """Yield each statement, with the numbers of the exits that need it."""
        items = self.scope.items
        last = {value: i for i, item in enumerate(items) for value in inputs(item)}
        for i, item in enumerate(items):
            dying = [value for value in dict.fromkeys(inputs(item)) if last[value] == i]
            for line in self._statement(item, dying):
                yield self._exits(item), line
            for number, output in enumerate(self.returned):
                if output in results(item):
                    yield [number], f"yield {self.expressions.say(output)}"


def _gives(item: Item, outputs: list[fx.Node]) -> bool:
    return any(value in outputs for value in results(item))
