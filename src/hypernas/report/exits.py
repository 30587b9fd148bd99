"""What the report shows of networks with early exits: curves over the budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import plotly.graph_objects as go

from hypernas.curves import Budgets, front, on_test, reached_by
from hypernas.report import charts
from hypernas.results import Network, Result, Scored

MOST_CURVES = 6
"""candidates of the front that are drawn in colour"""
BEHIND = 60
"""other candidates, the best by score, whose curves are drawn behind"""


@dataclass(frozen=True)
class Section:
    """What the page shows; charts are HTML."""

    budgets: Budgets
    trained: str
    front: str
    kept: int
    """candidates of which no other is better everywhere"""


def section(result: Result, scored: Sequence[Scored]) -> Section | None:
    """Return the section; None where the run has no budgets."""
    if result.budgets is None:
        return None
    budgets = msgspec.convert(result.budgets, Budgets)
    kept = front(scored, budgets)
    return Section(
        budgets=budgets,
        trained=charts.embedded(trained_chart(result, budgets), "budget-chart"),
        front=charts.embedded(front_chart(scored, kept, budgets), "front-chart"),
        kept=len(kept),
    )


def trained_chart(result: Result, budgets: Budgets) -> go.Figure:
    """Return what trained networks reach on the test split within each budget."""
    measure = result.data.get("measure", "accuracy")
    made = charts.blank("budget, MACs", f"test {measure}, trained")
    grid = budgets.grid()
    shown: set[str] = set()
    for source, name, color, _ in charts.GROUPS:
        for network in (n for n in charts.trained(result) if n.source == source):
            best = network == result.best
            _add(
                made, grid, 100 * _on_test(network, grid), color=color, group=source,
                name=f"{name} (best)" if best else name, width=3.5 if best else 1.5,
                legend=best or name not in shown,
            )  # fmt: skip
            shown.add(name)
    return made.update_yaxes(ticksuffix=" %")


def front_chart(scored: Sequence[Scored], kept: Sequence[Scored], budgets: Budgets) -> go.Figure:
    """Return the scores within each budget of the front, before those of other candidates."""
    made = charts.blank("budget, MACs", "score (higher is better)")
    grid = budgets.grid()
    ranked = sorted((s for s in scored if s.curve), key=lambda s: -s.score)
    for number, one in enumerate(ranked[:BEHIND]):
        curve = _scores(one, grid)
        _add(made, grid, curve, color="#8794a3", width=1, name="candidates", group="others",
             legend=number == 0, opacity=0.35)  # fmt: skip
    colors = ("#0f82c6", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
    for number, one in enumerate(kept[:MOST_CURVES], start=1):
        _add(made, grid, _scores(one, grid), color=colors[number - 1], width=2.5,
             name=f"front {number}: mean {one.score:.3f}", group=f"front{number}")  # fmt: skip
    return made


def _scores(one: Scored, grid: np.ndarray) -> np.ndarray:
    return reached_by([e.macs for e in one.curve], [e.score for e in one.curve], grid)


def _on_test(network: Network, grid: np.ndarray) -> np.ndarray:
    """Return the mean over the seeds."""
    return np.mean([on_test(training.curve, grid) for training in network.seeds], axis=0)


def _add(
    made: go.Figure,
    x: np.ndarray,
    y: np.ndarray,
    *,
    name: str,
    color: str,
    width: float,
    group: str,
    legend: bool = True,
    opacity: float = 1.0,
) -> None:
    made.add_trace(
        go.Scatter(
            x=x.round(),
            y=y,
            name=name,
            mode="lines",
            line={"color": color, "width": width, "shape": "hv"},
            opacity=opacity,
            legendgroup=group,
            showlegend=legend,
        )
    )
