"""What all benchmarks share: a row, the printed table, and the committed file."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

from hypernas.config import cores


class Row(msgspec.Struct, kw_only=True):
    """One figure of a benchmark."""

    what: str
    value: float
    unit: str = "ratio"
    goal: float | None = None
    better: Literal["less", "more"] = "less"
    peer: str = ""
    note: str = ""

    @property
    def met(self) -> str:
        """Whether the goal is reached, in a word."""
        if self.goal is None:
            return ""
        reached = self.value <= self.goal if self.better == "less" else self.value >= self.goal
        return "met" if reached else "missed"


def write(script: Path, rows: list[Row], *, suffix: str = "") -> None:
    """Print ``rows`` and write ``results/NAME.json`` beside the script; NAME may get a suffix."""
    name = f"{script.stem}_{suffix}" if suffix else script.stem
    table = Table(title=name)
    for column in ("what", "value", "goal", "", "peer", "note"):
        table.add_column(column)
    for row in rows:
        goal = "" if row.goal is None else f"{'≤' if row.better == 'less' else '≥'} {row.goal:g}"
        table.add_row(row.what, f"{row.value:.3g}", goal, row.met, row.peer, row.note)
    Console(width=160).print(table)
    result = {
        "machine": f"{processor()}, {cores()} cores, {platform.system()}",
        "commit": commit(),
        "command": shlex.join(["python", f"benchmarks/{script.name}", *sys.argv[1:]]),
        "rows": rows,
    }
    path = script.parent / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def resident(which: str) -> float:
    """Return this process's resident memory in MB: ``VmRSS`` now, ``VmHWM`` at its highest.

    ``ru_maxrss`` would begin with that of the process that started this one.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(which))


def commit() -> str:
    """Return the commit that runs, marked where the tree has changes."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    found = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return found.stdout.strip() or "unknown"


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
