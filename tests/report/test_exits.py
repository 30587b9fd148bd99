"""What the page says of networks with early exits is what the run found."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from hypernas.curves import Budgets, front, on_test
from hypernas.report import exits
from hypernas.report.page import render
from hypernas.results import AskedExit, Exit, Network, Scored, Stop, TrainedExit

from .conftest import Demo, demo

BUDGETS = Budgets(low=1000, high=9000)


def with_curve(one: Scored, number: int) -> Scored:
    """Return a candidate with a curve of its own: early and low, or late and high."""
    macs = (0, 1000 + 700 * number, 8000)
    values = (-2.3, -1.9 + 0.1 * number, -0.8 - 0.05 * number)
    curve = [Exit(macs=m, score=v, score_accuracy=0.5) for m, v in zip(macs, values, strict=True)]
    return msgspec.structs.replace(one, score=BUDGETS.mean(macs, values), curve=curve)


def trained(network: Network, number: int) -> Network:
    """Return a network whose seeds have curves."""
    curve = [
        TrainedExit(macs=m, val_accuracy=v, val_loss=1.0, test_accuracy=v - 0.02)
        for m, v in ((0, 0.1), (1000 + 700 * number, 0.6), (4000, 0.5), (8000, 0.8))
    ]
    seeds = [msgspec.structs.replace(t, curve=curve) for t in network.seeds]
    return msgspec.structs.replace(network, seeds=seeds)


@pytest.fixture(scope="module")
def anytime() -> Demo:
    made = demo("cell", points=12, k=2)
    result = made.result
    networks = [*result.finalists, *result.random, result.biggest]
    finalists = [trained(n, i) for i, n in enumerate(networks)]
    result = msgspec.structs.replace(
        result,
        finalists=finalists[:2],
        random=finalists[2:4],
        biggest=finalists[4],
        best=finalists[0],
        budgets=msgspec.to_builtins(BUDGETS),
        exits=[AskedExit(number=3, macs=1234, stop_macs=56_789, val_accuracy=0.625,
                         test_accuracy=0.612)],
        stops=[Stop(threshold=0.95, val_macs=4321.0, val_accuracy=0.71, test_macs=4422.0,
                    test_accuracy=0.705)],
    )  # fmt: skip
    return Demo(result, [with_curve(s, i) for i, s in enumerate(made.scored)], made.best)


def test_the_section_stands_only_where_there_are_budgets(anytime: Demo) -> None:
    plain = demo("cell", points=12, k=2)
    assert exits.section(plain.result, plain.scored) is None
    assert 'id="exits"' not in render(plain.result, plain.scored, plain.best.graph, title="x")
    page = render(anytime.result, anytime.scored, anytime.best.graph, title="x")
    assert 'id="exits"' in page
    for text in ("1,000 to 9,000 MACs", "1.23k", "56.8k", "62.5", "61.2", "0.95", "4.42k", "70.5"):
        assert text in page


def test_trained_curves_are_means_over_seeds_on_test(anytime: Demo) -> None:
    figure = exits.trained_chart(anytime.result, BUDGETS)
    assert len(figure.data) == 5
    best = next(line for line in figure.data if "best" in line.name)
    right = on_test(anytime.result.best.seeds[0].curve, BUDGETS.grid())
    np.testing.assert_allclose(best.y, 100 * right)
    assert sorted(set(right.round(2))) == [0.58, 0.78]  # the exit at 4,000 never answers
    assert sum(bool(line.showlegend) for line in figure.data) <= 4


def test_the_front_is_drawn_before_the_others(anytime: Demo) -> None:
    kept = front(anytime.scored, BUDGETS)
    assert 1 < len(kept) <= len(anytime.scored)
    figure = exits.front_chart(anytime.scored, kept, BUDGETS)
    named = [line.name for line in figure.data if line.name.startswith("front")]
    assert len(named) == min(len(kept), exits.MOST_CURVES)
    assert len(figure.data) == len(anytime.scored) + len(named)
    assert exits.section(anytime.result, anytime.scored).kept == len(kept)  # ty: ignore
