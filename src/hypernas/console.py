"""What a person sees while a run works: lines, progress bars with the remaining time, tables."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

Update = Callable[[int, int, str], None]
"""called with what is done, the total, and a short text"""


class Voice:
    """Speaks to the terminal, or keeps silent.

    Args:
        quiet: say nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, markup=False, soft_wrap=True)

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table; all columns but the first are numbers."""
        table = Table(title=title, title_justify="left")
        for position, name in enumerate(header):
            table.add_column(name, justify="right" if position else "left")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    @contextlib.contextmanager
    def bar(self, title: str) -> Generator[Update, None, None]:
        """Show a progress bar while the block runs, from the first progress on."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
        )
        progress = Progress(*columns, console=self.console, refresh_per_second=4)
        task = progress.add_task(title, total=None, text="")

        def update(done: int, total: int, text: str = "") -> None:
            progress.start()
            progress.update(task, completed=done, total=total, text=text)

        try:
            yield update
        finally:
            if progress.live.is_started:  # what is refused at once is said in one line
                progress.stop()


def share(value: float | None) -> str:
    """Return a share in percent, or a dash where there is none.

    >>> share(0.914), share(None)
    ('91.4%', '–')
    """
    return "–" if value is None else f"{value:.1%}"


def cost(seconds: float) -> str:
    """Return CPU seconds in few characters.

    >>> cost(0.00007), cost(0.0371), cost(1.92), cost(231.0)
    ('<0.01', '0.04', '1.9', '231')
    """
    if seconds < 0.01:
        return "<0.01"
    if seconds < 1:
        return f"{seconds:.2f}"
    return f"{seconds:.1f}" if seconds < 100 else f"{seconds:.0f}"


def short(number: float) -> str:
    """Return a count in few characters.

    >>> short(1234), short(1_530_000), short(12)
    ('1.2k', '1.5M', '12')
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return (
                f"{number / size:.3g}{unit}"
                if number / size >= 10
                else f"{number / size:.1f}{unit}"
            )
    return f"{number:.0f}"


def chance(p: float | None) -> str:
    """Write a probability in percent, none of them as 0 or 100.

    >>> chance(0.314), chance(0.999), chance(0.001), chance(None)
    ('31%', '> 99%', '< 1%', '–')
    """
    if p is None:
        return "–"
    return "< 1%" if p < 0.01 else "> 99%" if p > 0.99 else f"{p:.0%}"
