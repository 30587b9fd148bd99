"""``hypernas explain`` on a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from known_laws import known
from small_space import SIGNATURE, six

from hypernas.candidate import Candidate, Candidates
from hypernas.choices import canonical
from hypernas.cli import main
from hypernas.errors import ConfigError, RunError
from hypernas.explaining import Explanation, at_random, of_all, of_search
from hypernas.files import read_json, write_json
from hypernas.results import Scored
from hypernas.runs import Run
from hypernas.scoring import Score, Scorer
from hypernas.spaces import Space
from hypernas.study import Study


def test_explanation_picture_and_report(
    own_run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scorer, "__call__", None)  # nothing is scored
    before = own_run.scored
    result = (own_run.folder / "result.json").read_bytes()
    main(["explain", str(own_run.folder)])
    told = capsys.readouterr().err
    assert "explained from 40 candidates: the search, all of them random" in told
    assert "note: the top 5 % are 2 candidates" in told
    found = read_json(own_run.folder / "explain.json", Explanation)
    assert (found.candidates, found.best) == (40, 2)
    assert found.cell is not None
    assert found.importance is None
    assert "40 candidates are too few to estimate how much each choice explains" in told
    assert found.savings is not None
    assert "fewer MACs by one change of the winner" in told
    assert "to save 50% of the MACs" in told
    ElementTree.fromstring((own_run.folder / "explain.svg").read_text())
    assert "What good candidates have in common" in (own_run.folder / "report.html").read_text()
    assert (own_run.folder / "result.json").read_bytes() == result
    assert Run.open(own_run.folder, quiet=True).scored == before
    own_run.report()  # the section stays
    assert "What good candidates have in common" in (own_run.folder / "report.html").read_text()


def test_out_leaves_the_run_as_it_was(own_run: Run, tmp_path: Path) -> None:
    names = sorted(path.name for path in own_run.folder.iterdir())
    page = (own_run.folder / "report.html").read_bytes()
    main(["explain", str(own_run.folder), "--out", str(tmp_path / "why.json"), "--quiet"])
    assert read_json(tmp_path / "why.json", Explanation).candidates == 40
    assert (tmp_path / "why.svg").exists()
    assert {path.name for path in own_run.folder.iterdir()} - set(names) <= {".lock"}
    assert (own_run.folder / "report.html").read_bytes() == page


@pytest.mark.parametrize(
    ("name", "words"), [("no/why.json", "there is no folder"), ("", "is a folder")]
)
def test_no_folder_is_made_for_a_file(
    own_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.setattr(Scorer, "__call__", None)  # it is refused before anything is scored
    beside = tmp_path / "beside"
    beside.mkdir()
    for out in (beside / name, str(beside / name)):
        with pytest.raises(ConfigError, match=f"^--out {beside / name}.* {words}"):
            own_run.explain(random=20, out=out)
    assert not list(beside.iterdir())


def test_random_candidates_are_scored_once(own_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = own_run.explain(random=20)
    assert first.candidates == 20
    assert first.source == "drawn at random for this explanation"
    again = Run.open(own_run.folder, quiet=True)
    assert len(again.scored) == 40  # the search has none of them
    score = Scorer.__call__
    scored: list[int] = []

    def spy(self: Scorer, candidates: list[object], **how: int) -> object:
        scored.append(len(candidates))
        return score(self, candidates, **how)  # ty: ignore[invalid-argument-type]

    monkeypatch.setattr(Scorer, "__call__", spy)
    assert again.explain(random=20) == first
    assert scored == []
    assert again.explain(random=25).candidates == 25
    assert scored == [5]


def test_limits_of_the_run_hold_for_random_candidates(finished_run: Run, tmp_path: Path) -> None:
    place = finished_run.place
    params = sorted(s.params for s in finished_run.scored)
    most = params[len(params) // 2]
    place.config = msgspec.structs.replace(place.config, max_params=most)
    study = Study(tmp_path / "study", "explain", ["maximize"])
    sample = at_random(place, study, 10, finished_run.voice)
    assert len(sample.scored) == 10
    assert all(scored.params <= most for scored in sample.scored)
    place.config = msgspec.structs.replace(place.config, max_params=1)
    none = Study(tmp_path / "study", "none", ["maximize"])
    with pytest.raises(ConfigError, match="none of 150 random architectures meets the limits"):
        at_random(place, none, 3, finished_run.voice)


def test_all_of_a_small_space(finished_run: Run, tmp_path: Path) -> None:
    place, blocks = finished_run.place, []

    def score(candidates: list[Candidate], *, block: int) -> list[Score]:
        blocks.append(len(candidates))
        made = [float(one.choices["width"]) + one.choices["bias"] for one in candidates]
        return [Score(score=x, interval=(x, x), score_accuracy=0.5) for x in made]

    place.__dict__ |= {"candidates": Candidates(Space("six", six), SIGNATURE), "score": score}
    study = Study(tmp_path / "study", "all", ["maximize"])
    sample = of_all(place, study, finished_run.voice)
    assert sample.source == "all architectures of the space"
    assert len({canonical(one.choices) for one in sample.scored}) == len(sample.scored) == 6
    found = known(sample.scored)
    assert found.exact
    assert {one.name: one.alone.value for one in found.choices} == {
        "width": pytest.approx(8 / 11),
        "bias": pytest.approx(3 / 11),
    }
    assert of_all(place, study, finished_run.voice).scored == sample.scored
    assert blocks == [6]  # they are scored once
    params = sorted(one.params for one in sample.scored)
    place.config = msgspec.structs.replace(place.config, max_params=params[2])
    within = of_all(place, Study(tmp_path / "study", "some", ["maximize"]), finished_run.voice)
    assert [one.params for one in within.scored] == [p for p in params if p <= params[2]]
    assert within.source == "all within the limits, of 6 architectures of the space"
    place.config = msgspec.structs.replace(place.config, max_params=1)
    with pytest.raises(ConfigError, match="none of all 6 architectures meets the limits"):
        of_all(place, Study(tmp_path / "study", "none", ["maximize"]), finished_run.voice)


def test_all_and_random_exclude_each_other(finished_run: Run) -> None:
    with pytest.raises(ConfigError, match="--random 20 and --all exclude each other"):
        finished_run.explain(random=20, every=True)


@pytest.mark.parametrize("asked", [{"random": 20}, {"every": True}])
def test_an_explanation_trains_nothing(own_run: Run, asked: dict[str, Any]) -> None:
    config = msgspec.structs.replace(own_run.config, score_by="training", steps=None)
    write_json(own_run.folder / "config.json", config)
    with pytest.raises(ConfigError, match="would train them"):
        Run.open(own_run.folder, quiet=True).explain(**asked)


def test_related_candidates_are_said_to_be(finished_run: Run) -> None:
    place, scored = finished_run.place, finished_run.scored
    place.config = msgspec.structs.replace(place.config, sampler="evolution")
    place.__dict__.pop("sampler", None)
    sample = of_search(place, scored)
    assert len(sample.scored) == len(scored)
    assert "relatives of the best" in sample.notes[0]
    assert "--random 300" in sample.notes[0]


def test_random_stage_of_a_search_is_preferred(finished_run: Run) -> None:
    place, scored = finished_run.place, finished_run.scored
    many: list[Scored] = scored * 4
    place.config = msgspec.structs.replace(
        place.config, sampler="smash", sampler_options={"random": 120}
    )
    place.__dict__.pop("sampler", None)
    sample = of_search(place, many)
    assert len(sample.scored) == 120
    assert sample.source == "the random ones of the search by smash"
    assert sample.notes == []


def test_nothing_to_explain_is_said(finished_run: Run) -> None:
    with pytest.raises(RunError, match="no scored candidates; run `hypernas search`"):
        of_search(finished_run.place, [])
    with pytest.raises(ConfigError, match="--random is 0; expected 1 or more"):
        finished_run.explain(random=0)
