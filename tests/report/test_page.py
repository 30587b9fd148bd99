"""The page is whole, needs no network, and says what the result says."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest
from known_laws import every, known

from hypernas.errors import RunError
from hypernas.explaining.record import Change, Savings
from hypernas.remembered import Believed, LadderRecord
from hypernas.report import write_report
from hypernas.report.charts import (
    MOST_POINTS,
    rank_correlation,
    size_chart,
    thinned,
    trained,
    visible_floor,
)
from hypernas.report.page import render
from hypernas.results import Estimate

from .conftest import Demo, demo, point
from .test_mean_cell import explained

EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Collects what a browser would load, the styles, the sections and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.styles = ""
        self.sections: list[str] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag if tag in ("script", "style") else ""
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
                self.loaded.append(value or "")
            if name == "style":
                self.styles += value or ""
            if tag == "section" and name == "id":
                self.sections.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.styles += data
        elif self._inside == "script":
            self.scripts.append(data)
        else:
            self.text += data


@pytest.fixture(scope="module")
def page(finished: Demo) -> Page:
    """The page of a finished run."""
    return Page(rendered(finished))


def rendered(found: Demo, title: str = "A run") -> str:
    """Return the page of a run."""
    return render(found.result, found.scored, found.best.graph, title=title)


def test_all_sections_in_order(page: Page):
    assert page.sections == [
        *("best", "verdict", "size", "trust", "networks", "winner", "cost"),
        *("configuration", "reading"),
    ]


def test_nothing_is_loaded_from_anywhere(page: Page):
    assert page.loaded == ["data:,"]
    assert "@import" not in page.styles
    assert re.findall(r"url\((?!#)", page.styles) == []


def test_browser_is_told_to_load_nothing(finished: Demo):
    assert 'http-equiv="Content-Security-Policy" content="default-src \'none\';' in rendered(
        finished
    )


def test_verdict_stands_on_the_page(page: Page, finished: Demo):
    assert finished.result.verdict.text in page.text
    assert f"{finished.result.verdict.beats_random}" in page.text
    assert page.text.index("Search beats random picks") < page.text.index("Score against size")


def test_score_is_never_shown_as_accuracy(page: Page):
    assert "Score accuracy(with generated weights)" in page.text
    assert "minus the validation loss with these generated weights" in page.text


def test_every_trained_network_has_a_row(page: Page, finished: Demo):
    rows = page.text.split("All networks trained for real")[1].split("The best network")[0]
    assert rows.count("show") == len(trained(finished.result))
    assert rows.count("★") == 1


def test_written_as_a_whole(finished: Demo, tmp_path: Path):
    path = tmp_path / "run" / "report.html"
    write_report(path, finished.result, finished.scored, finished.best.graph, title="A run")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    assert 3e6 < path.stat().st_size < 8e6  # plotly's script is 4.8 MB of it
    with pytest.raises(RunError):  # a folder stands in the way
        write_report(
            path.parent, finished.result, finished.scored, finished.best.graph, title="A run"
        )


def test_names_cannot_become_code():
    found = demo("cell", k=2, classes=[EVIL, "b"])
    network = msgspec.structs.replace(found.result.best, choices={EVIL: EVIL})
    result = msgspec.structs.replace(
        found.result,
        best=network,
        finalists=[network],
        data=found.result.data | {"name": EVIL},
        versions={EVIL: EVIL},
        seconds={EVIL: 1.0},
        export={EVIL: EVIL},
    )
    scored = [point({EVIL: EVIL}, 10, -1.0)]
    text = render(result, scored, found.best.graph, title=EVIL)
    assert EVIL not in text
    assert html.escape(EVIL) in text
    assert not any(script.strip() == "alert(1)" for script in Page(text).scripts)


def test_run_with_little_to_show():
    """One network a group, one seed, no test split, no times, no limits."""
    found = demo("nas-bench-201", points=3, k=1)
    network = found.result.best
    training = msgspec.structs.replace(network.seeds[0], test_accuracy=None)
    network = msgspec.structs.replace(network, seeds=[training], test_accuracy=None)
    result = msgspec.structs.replace(
        found.result,
        best=network,
        finalists=[network],
        random=[network],
        biggest=network,
        verdict=msgspec.structs.replace(
            found.result.verdict,
            random_difference=None,
            best_difference=None,
            biggest_difference=None,
        ),
        final=msgspec.structs.replace(found.result.final, test_accuracy=None),
        data={},
        seconds={},
        limits=type(found.result.limits)(),
    )
    text = Page(render(result, [], found.best.graph, title="Little")).text
    assert "not measured" in text
    assert "no limit on size" in text
    assert "search and random pick and biggest that fits" in text
    assert "No rank correlation is given" in text
    assert "No times were recorded" in text


def test_rank_correlation_needs_five_networks_that_differ(finished: Demo):
    networks = trained(finished.result)
    assert rank_correlation(networks[:4]) is None
    assert rank_correlation(networks[:1] * 6) is None
    better = [
        msgspec.structs.replace(n, score=float(i), val_accuracy=i / 10)
        for i, n in enumerate(networks)
    ]
    assert rank_correlation(better) == pytest.approx(1)


def test_networks_found_twice_are_drawn_once(finished: Demo):
    result = msgspec.structs.replace(finished.result, random=finished.result.finalists)
    assert len(trained(result)) == len({str(n.choices) for n in trained(result)})


def test_axis_is_logarithmic_only_for_a_wide_range(finished: Demo):
    result = finished.result
    narrow = [point({}, result.best.params, -1.0)]
    one = msgspec.structs.replace(
        result, finalists=[result.best], random=[result.best], biggest=result.best
    )
    assert size_chart(one, narrow).layout.xaxis.type is None
    assert size_chart(one, [*narrow, point({}, 10**8, -1.0)]).layout.xaxis.type == "log"


def test_many_points_are_thinned_and_the_best_is_kept():
    scores = np.random.default_rng(0).normal(size=3 * MOST_POINTS)
    scored = [point({}, 1, float(score)) for score in scores]
    kept = thinned(scored)
    assert len(kept) == MOST_POINTS
    assert max(kept, key=lambda c: c.score).score == scores.max()


def test_outliers_do_not_press_the_others_together():
    assert visible_floor([-1.0 - i / 100 for i in range(50)]) is None
    floor = visible_floor([-1.0 - i / 100 for i in range(50)] + [-40.0])
    assert floor is not None
    assert -2.5 < floor < -1.4


def test_what_the_ladder_believes_has_a_section(finished: Demo):
    one = Believed(
        choices={"op": EVIL},
        params=1200,
        macs=34_000,
        score=-1.25,
        rungs=3,
        accuracy=0.912,
        deviation=0.004,
    )
    for ended in (True, False):
        known = LadderRecord(ended=ended, certainty=0.93, candidates=[one])
        text = render(
            finished.result, finished.scored, finished.best.graph, title="A run", ladder=known
        )
        page = Page(text)
        assert page.sections.index("ladder") == page.sections.index("winner") - 1
        assert EVIL not in text
        assert "91.2 % ± 0.4 %" in page.text.replace("\N{NO-BREAK SPACE}", " ")
        assert "0.5 points or more above the best trained network" in page.text
        assert ("The ladder has not ended yet" in page.text) is not ended


def test_explanation_has_a_section(finished: Demo):
    explanation = explained()
    text = render(
        finished.result,
        finished.scored,
        finished.best.graph,
        title="A run",
        explanation=explanation,
    )
    page = Page(text)
    assert page.sections.index("common") == page.sections.index("winner") + 1
    assert "What good candidates have in common" in page.text
    assert "edge0-3 = nor_conv_3x3" in page.text
    assert "An effect below" in page.text  # what cannot be told
    assert page.loaded == ["data:,"]


def test_weights_of_choices_and_savings_are_shown(finished: Demo):
    op = every(lambda c: 2.0 * (c["op"] == "wide"), op=("skip", "wide"), idle=("yes", "no"))
    gain = Estimate(value=-0.25, low=-0.3, high=-0.2)
    change = Change(
        name="op",
        before="wide",
        after="<skip>",
        choices={},
        params=1,
        macs=1000,
        saved=0.4,
        score=gain,
        best=True,
    )
    explanation = msgspec.structs.replace(
        explained(),
        importance=known(op),
        savings=Savings(
            whose="the winner",
            choices={},
            macs=1900,
            score=-1.0,
            possible=2,
            tried=2,
            changes=[change],
        ),
    )
    page = Page(
        render(
            finished.result,
            finished.scored,
            finished.best.graph,
            title="A run",
            explanation=explanation,
        )
    )
    for words in (
        "Share of the variance of scores (exact: all 4 architectures)",
        "Never matters: idle (no score depends on it).",
        "op: wide instead of skip",
        "Fewer MACs by one change of the winner",
        "op from wide to <skip>",
        "To save 25% of the MACs: op from wide to <skip> (saves 40%), score −0.250",
        "To save 50% of the MACs: no single change does.",
    ):
        assert words in page.text
