"""Writes the report: one HTML page that needs nothing but a browser."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from plotly.offline import get_plotlyjs

from hypernas.choices import canonical
from hypernas.console import chance, cost
from hypernas.explaining import MOST_ROWS, TITLES, Explanation, in_words, is_shown, sections
from hypernas.files import write_text
from hypernas.graph import Graph
from hypernas.ladder import REGRET
from hypernas.remembered import LadderRecord
from hypernas.report import charts, exits, formats
from hypernas.report.drawing import draw
from hypernas.report.mean_cell import draw_mean
from hypernas.results import Network, Result, Scored, Verdict
from hypernas.verdict import points

SOURCES = ("search", "random pick", "biggest that fits")
"""what the page calls the finalists, the random picks and the biggest"""


def write_report(
    path: Path,
    result: Result,
    scored: Sequence[Scored],
    graph: Graph,
    *,
    title: str,
    explanation: Explanation | None = None,
    ladder: LadderRecord | None = None,
) -> None:
    """Write the page of a finished run, as a whole or not at all.

    Args:
        path: of the HTML file.
        result: what the run found out.
        scored: every scored candidate.
        graph: of the best network.
        title: of the page.
        explanation: what good candidates have in common, where it was asked for.
        ladder: what it came to believe, where finalists climbed one.

    Raises:
        RunError: the file cannot be written.
    """
    page = render(result, scored, graph, title=title, explanation=explanation, ladder=ladder)
    write_text(path, page)


def render(
    result: Result,
    scored: Sequence[Scored],
    graph: Graph,
    *,
    title: str,
    explanation: Explanation | None = None,
    ladder: LadderRecord | None = None,
) -> str:
    """Return the page as text; see :func:`write_report`."""
    template = resources.files("hypernas.report").joinpath("page.html").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        count=formats.count,
        percent=formats.percent,
        signed=formats.signed,
        duration=formats.duration,
        cost=cost,
        plain=formats.plain,
        effect=in_words,
        chance=chance,
    )
    networks = charts.trained(result)
    return environment.from_string(template).render(
        title=title,
        result=result,
        measure=charts.measure_of(result),
        ranked_by=formats.ranked_by(result.search),
        facts=_facts(result),
        best=_row(result.best, result),
        differences=_differences(result.verdict),
        rows=_rows(networks, result),
        scored=scored,
        shown=len(charts.thinned(scored)),
        below=_below(scored),
        tau=charts.rank_correlation(networks),
        chance=charts.chance_tau(len(networks)) if len(networks) > 1 else None,
        size_chart=charts.embedded(charts.size_chart(result, scored), "size-chart"),
        trust_chart=charts.embedded(charts.trust_chart(result), "trust-chart"),
        exits=exits.section(result, scored),
        drawing=draw(graph),
        graph=graph,
        explanation=explanation,
        common=_common(explanation) if explanation else {},
        ladder=ladder,
        regret=f"{100 * REGRET:g}",
        steps=_steps(result.seconds),
        configuration=_configuration(result),
        plotly=get_plotlyjs(),
    )


def _facts(result: Result) -> list[str]:
    """Return the data, the space and the limits, each in a few words."""
    data, limits = result.data, result.limits
    words = [str(data.get("name", "data"))]
    if "input_shape" in data:
        words.append(f"examples of {formats.sizes(data['input_shape'])}")
    if "classes" in data:
        classes = data["classes"]
        words.append(f"{classes if isinstance(classes, int) else len(classes)} classes")
    bounds = [
        f"at most {formats.count(bound)} {name}"
        for bound, name in ((limits.max_params, "parameters"), (limits.max_macs, "MACs"))
        if bound is not None
    ]
    space = f"search space {result.space.get('name', '')}".strip()
    return [", ".join(words), space, " and ".join(bounds) or "no limit on size"]


def _row(network: Network, result: Result) -> dict[str, Any]:
    """Return what the page shows of a network."""
    tests = [t.test_accuracy for t in network.seeds if t.test_accuracy is not None]
    return {
        "network": network,
        "source": " and ".join(_sources(network, result)),
        "val": _accuracy([t.val_accuracy for t in network.seeds]),
        "test": _accuracy(tests),
        "epochs": sorted({t.epochs for t in network.seeds}),
        "is_best": canonical(network.choices) == canonical(result.best.choices),
    }


def _rows(networks: Sequence[Network], result: Result) -> list[dict[str, Any]]:
    """Return the rows of the table, the highest validation accuracy first."""
    order = sorted(networks, key=lambda n: n.val_accuracy, reverse=True)
    return [_row(network, result) for network in order]


def _sources(network: Network, result: Result) -> list[str]:
    """Return the ways in which a network was found; a random pick may also be a finalist."""
    groups = (result.finalists, result.random, [result.biggest])
    return [
        words
        for words, group in zip(SOURCES, groups, strict=True)
        if any(canonical(other.choices) == canonical(network.choices) for other in group)
    ]


def _accuracy(values: Sequence[float]) -> dict[str, str]:
    """Write the mean of some accuracies, their spread in words, and both in short.

    >>> _accuracy([0.91, 0.92])["spread"], _accuracy([])["short"]
    ('± 0.7 (mean and sd of 2 seeds)', 'not measured')
    """
    if not values:
        return {"mean": "–", "spread": "not measured", "short": "not measured"}
    mean = formats.percent(float(np.mean(values)))
    if len(values) == 1:
        return {"mean": mean, "spread": "1 seed, so no spread", "short": mean}
    spread = f"± {100 * float(np.std(values, ddof=1)):.1f}"
    return {
        "mean": mean,
        "spread": f"{spread} (mean and sd of {len(values)} seeds)",
        "short": f"{mean.removesuffix('%')}{spread} %".replace(" ", "\N{NO-BREAK SPACE}"),
    }


def _differences(verdict: Verdict) -> list[dict[str, Any]]:
    """Return the verdict's differences in points, and their places in percent of a common scale."""
    named = [
        ("search − random, on average", verdict.random_difference),
        ("search − random, best against best", verdict.best_difference),
        ("best of search − biggest that fits", verdict.biggest_difference),
    ]
    known = [(name, values) for name, values in named if values is not None]
    every = [0.0, *(value for _, values in known for value in values)]
    low, span = min(every), (max(every) - min(every)) or 1.0

    def place(value: float) -> float:
        return round(4 + 92 * (value - low) / span, 2)

    return [
        {
            "name": name,
            "text": [points(value) for value in values],
            "zero": place(0.0),
            "point": place(values[0]),
            "low": place(values[1]),
            "width": round(place(values[2]) - place(values[1]), 2),
        }
        for name, values in known
    ]


def _common(found: Explanation) -> dict[str, Any]:
    """Return what the page shows of an explanation: picture, findings by kind, and tables."""
    groups = []
    for kind, title in TITLES.items():
        asked = [finding for finding in found.findings if finding.kind == kind]
        shown = [finding for finding in asked if is_shown(finding)]
        groups.append((title, len(asked), len(shown), shown[:MOST_ROWS]))
    weighed = sections(found.importance, found.savings)
    return {"drawing": draw_mean(found), "groups": groups, "weighed": weighed}


def _below(scored: Sequence[Scored]) -> int:
    """Return how many candidates lie below what the chart shows at first."""
    floor = charts.visible_floor([c.score for c in charts.thinned(scored)])
    return 0 if floor is None else sum(c.score < floor for c in scored)


def _steps(seconds: dict[str, float]) -> list[tuple[str, float, float]]:
    """Return name, seconds and share of the longest, in percent, of each step."""
    longest = max(seconds.values(), default=0) or 1
    return [(name, value, 100 * value / longest) for name, value in seconds.items()]


def _configuration(result: Result) -> list[tuple[str, dict[str, Any]]]:
    """Return the groups of what was run, each with its names and values."""
    stages = ", ".join(f"{count:,} {name}" for name, count in result.search.stages.items())
    search = {
        "sampler": f"{result.search.sampler}: {stages}" if stages else result.search.sampler,
        "candidates scored": f"{result.search.scored:,}",
        "random draws within the limits": formats.percent(result.search.feasible_share),
        "seed": result.seed,
    }
    bounds = {"parameters": result.limits.max_params, "MACs": result.limits.max_macs}
    limits = {name: f"at most {bound:,}" for name, bound in bounds.items() if bound is not None}
    groups = [
        ("Data", result.data),
        ("Search space", result.space),
        ("Limits", limits),
        ("Hypernetwork", result.hypernet),
        ("Search", search),
        ("Training for real", result.recipe),
        ("Exported files", dict(result.export)),
        ("Versions", dict(result.versions)),
    ]
    return [(name, values) for name, values in groups if values]
