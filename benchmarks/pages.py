"""Write ``docs/ranking.md`` from ``ranking_page.md`` and the results of ranking and search cost.

    python benchmarks/pages.py

Where the text says ``<!-- NAME -->`` there comes a table.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from common import Row
from known import TRUTH

from hypernas.ground_truth import Table, read
from hypernas.spaces import find

RESULTS = Path(__file__).parent / "results"
TEXT = Path(__file__).parent / "ranking_page.md"
PAGE = Path(__file__).parents[1] / "docs/ranking.md"
CRITERIA = ("rivals that cost no more", "regret beyond")
KINDS = ("all", "better half", "equal size")

Rows = Sequence[dict[str, Any]]


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


def page() -> str:
    """Return the page as the results have it."""
    results = {
        name: json.loads((RESULTS / f"{name}.json").read_text())
        for name in ("ranking", "search_cost")
    }
    ranking, cost = results["ranking"]["rows"], results["search_cost"]["rows"]
    made = {f"tau, {table}": taus(ranking, table) for table in tables(ranking)}
    made["truth"] = truth(tables(ranking))
    made |= {
        "criteria": listed([row for row in ranking if row["what"].startswith(CRITERIA)]),
        "seeds": seeds(ranking),
        "intervals": listed([row for row in ranking if row["what"].startswith("95 % intervals")]),
        "Pearson": listed([row for row in ranking if row["what"].startswith("Pearson")]),
        "seconds": listed([row for row in cost if row["unit"] == "CPU s"]),
        "regret": regrets([row for row in cost if row["unit"] == "points"]),
        "times": listed([row for row in cost if row["unit"] == "times"]),
    }
    made |= {f"how, {name}": how(result) for name, result in results.items()}
    return re.sub(r"<!-- (.+?) -->", lambda found: made[found[1]], TEXT.read_text())


def tables(rows: Rows) -> list[str]:
    """Return the tables of ground truth, in order."""
    return list(
        dict.fromkeys(r["what"].split(", ")[2] for r in rows if r["what"].startswith("tau"))
    )


def truth(names: Sequence[str]) -> str:
    """Return a line for each table of ground truth that is there: what it is made of."""
    lines = [
        "| table | networks | seeds of a network | acc. on test, first seed | CPU hours "
        "| trainings on a GPU | options | recipe |",
        "| --- | ---: | --- | --- | ---: | ---: | --- | --- |",
    ]
    for name in names:
        path = TRUTH / f"{name}.jsonl.gz"
        if path.exists():
            table = read(path)
            lines.append(f"| `{name}` | {' | '.join(_of_table(table))} |")
    return "\n".join(lines)


def _of_table(table: Table) -> Iterator[str]:
    networks = [network for network in table.networks if network.trials]
    trials = [trial for network in networks for trial in network.trials]
    often = sorted(Counter(len(network.trials) for network in networks).items())
    low, high = np.quantile([network.trials[0].test_accuracy for network in networks], [0, 1])
    usual = find(table.setting.space, {}).options
    options = [f"{k}={v}" for k, v in table.setting.options.items() if usual.get(k) != v]
    recipe = table.setting.recipe
    yield str(len(networks))
    yield ", ".join(f"{seeds} of {count}" for seeds, count in often)
    yield f"{100 * low:.1f} to {100 * high:.1f} %"
    here = [trial for trial in trials if trial.device == "cpu"]
    yield f"{sum(trial.seconds for trial in here) / 3600:.1f}"
    yield str(len(trials) - len(here))
    yield f"`{' '.join(options)}`"
    examples = table.setting.examples
    images = "all images" if examples is None else f"{examples:,} images"
    yield f"{images}, {recipe.epochs} epochs of batch {recipe.batch}"


def seeds(rows: Rows) -> str:
    """Return a line for each table: how well one seed agrees with another."""
    notes = {row["what"]: row["note"].split("; ")[-1] for row in rows}
    lines = ["| table | all | better half | equal size |", "| --- " * (1 + len(KINDS)) + "|"]
    for table in tables(rows):
        told = [notes[f"tau, {kind}, {table}, ceiling"] for kind in KINDS]
        cells = " | ".join(each.split(": ")[1] for each in told)
        lines.append(f"| {table}, {told[0].split(', ')[1].split(':')[0]} | {cells} |")
    return "\n".join(lines)


def how(result: dict[str, Any]) -> str:
    """Say how a result came about."""
    return f"`{result['command']}`, commit {result['commit']}, {result['machine']}."


def taus(rows: Rows, table: str) -> str:
    """Return a line for each way: tau by each statistic, regret, and cost."""
    by_name = {row["what"]: row for row in rows}
    names = [
        r["what"].split(", ", 3)[3] for r in rows if r["what"].startswith(f"tau, all, {table},")
    ]
    regrets = f"regret of the best of 5 picks, {table}, "
    for row in rows:
        if (
            row["what"].startswith(regrets)
            and (name := row["what"].removeprefix(regrets)) not in names
        ):
            names.append(name)
    lines = [
        "| way | all | better half | equal size | regret | CPU s: once, each |",
        "| --- " * 6 + "|",
    ]
    for name in names:
        found = [by_name.get(f"tau, {kind}, {table}, {name}") for kind in KINDS]
        cells = [_cell(row) for row in found]
        regret = by_name.get(regrets + name)
        cells.append("" if regret is None else f"{regret['value']:.1f}{_goal(regret, '.1f')}")
        cells.append(found[0]["note"].split("; ")[1].removesuffix(" (CPU)") if found[0] else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def regrets(rows: Rows) -> str:
    """Return a line for each search: what its picks lack on each table."""
    found = {tuple(row["what"].split(", ", 2)[1:]): row for row in rows}
    names, ways = (list(dict.fromkeys(key[n] for key in found)) for n in range(2))
    lines = [f"| search | {' | '.join(names)} |", "| --- " + "| ---: " * len(names) + "|"]
    for way in ways:
        cells = [found.get((name, way)) for name in names]
        told = [
            f"{row['value']:.1f} ({row['note'].split(' in ')[0]})" if row else "" for row in cells
        ]
        lines.append(f"| {way} | {' | '.join(told)} |")
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    return f"{row['value']:.2f} ({row['note'].split('; ')[0]}){_goal(row, '.2f')}"


def _goal(row: dict[str, Any], form: str) -> str:
    found = msgspec.convert(row, Row)
    return "" if found.goal is None else f"; goal {found.goal:{form}} {found.met}"


def listed(rows: Rows) -> str:
    """Return a line for each row."""
    lines = ["| row | value | | peer | note |", "| --- | ---: | --- | --- | --- |"]
    for row in rows:
        goal = _goal(row, ".3g").removeprefix("; ")
        value = f"{row['value']:{',.0f' if row['value'] >= 100 else '.3g'}} {row['unit']}"
        lines.append(f"| {row['what']} | {value} | {goal} | {row['peer']} | {row['note']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
