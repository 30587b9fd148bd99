"""A hypernetwork that learns from small candidates and scores large ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_run import RUN

from hypernas import cli
from hypernas.asking import ScoredLine
from hypernas.config import Config
from hypernas.draws import Draws
from hypernas.errors import ConfigError, SpaceError
from hypernas.files import read_json, read_tensors
from hypernas.fit_space import require_readable
from hypernas.fitting import Fit
from hypernas.largest import fitted
from hypernas.remembered import SpaceRecord
from hypernas.runs import Run
from hypernas.survey import Survey
from hypernas.warmup import step_cost
from hypernas.workplace import Workplace

SMALL = f"{Path(__file__).parent / 'small_space.py'}:small"
LARGER = msgspec.structs.replace(
    RUN, options={"width": 4, "cells": 1, "nodes": 4}, fit_options={"nodes": 2}, survey=60
)


def surveyed(tmp_path: Path, draws: int = 40, **settings: Any) -> Workplace:
    """Return a workplace with data and surveys, nothing of it written."""
    place = Workplace(tmp_path / "run", Config(**{"data": "digits", "examples": 200} | settings))
    place.data = place.record_data()
    place.look(draws)
    return place


def nodes(choices: dict[str, Any]) -> int:
    return sum(name.endswith(".op") for name in choices)


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted run: two nodes in a cell while fitting, four while searching."""
    folder = tmp_path_factory.mktemp("larger") / "run"
    run = Run.start(folder, LARGER, quiet=True)
    run.fit()
    run.search(trials=8)
    return folder


def test_fits_small_ones_and_scores_large_ones(larger: Path) -> None:
    run = Run.open(larger, quiet=True)
    work = run.place.fit(run.place.new_hypernet(), 10)
    assert {nodes(work.draws(step).choices) for step in range(10)} == {2}
    assert {nodes(s.choices) for s in run.scored} == {4}
    assert {nodes(a.choices) for a in read_json(larger / "survey.json", Survey).drawn} == {4}
    assert {nodes(a.choices) for a in read_json(larger / "fit-survey.json", Survey).drawn} == {2}


def test_larger_than_what_was_fitted_on_is_warned_about(larger: Path) -> None:
    """Also where the space that is searched has larger ones."""
    run = Run.open(larger, quiet=True)
    bound = fitted(run.place)
    assert bound
    most = bound.params
    assert most <= max(a.params for a in run.place.fit_survey.drawn)
    drawn = sorted(run.place.survey.drawn, key=lambda a: a.params)
    assert drawn[0].params < most < drawn[-1].params
    small, large = run.score([drawn[0].choices, drawn[-1].choices])
    told = f"params {drawn[-1].params} is more than any that was fitted on ({most})"
    assert isinstance(small, ScoredLine)
    assert isinstance(large, ScoredLine)
    assert told in large.warnings
    assert not any("params" in warning for warning in small.warnings)


def test_the_folder_records_it(larger: Path) -> None:
    assert read_json(larger / "config.json", Config).fit_options == {"nodes": 2}
    kept = read_json(larger / "space.json", SpaceRecord)
    assert (kept.options["nodes"], kept.fit_options) == (4, {"nodes": 2})


def test_stopped_fit_goes_on_to_the_same_weights(
    larger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(larger, tmp_path / "run")
    (tmp_path / "run" / "hypernet.safetensors").unlink()
    shutil.rmtree(tmp_path / "run" / "fit")
    monkeypatch.setattr("hypernas.fitting.CHECKPOINT_SECONDS", 0.0)
    plain, left = Fit.advance, [25]

    def stop(self: Fit) -> float:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return plain(self)

    monkeypatch.setattr(Fit, "advance", stop)
    with pytest.raises(KeyboardInterrupt):
        Run.open(tmp_path / "run", quiet=True).fit()
    Run.open(tmp_path / "run", quiet=True).fit()
    one, _ = read_tensors(larger / "hypernet.safetensors")
    other, _ = read_tensors(tmp_path / "run" / "hypernet.safetensors")
    assert one.keys() == other.keys()
    assert all(one[name].equal(other[name]) for name in one)


def test_the_warm_up_times_what_is_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = surveyed(tmp_path, options={"width": 4, "nodes": 4}, fit_options={"nodes": 2})
    timed = []
    call = Draws.__call__

    def spy(self: Draws, *position: int) -> Any:
        timed.append(call(self, *position))
        return timed[-1]

    monkeypatch.setattr(Draws, "__call__", spy)
    step_cost(place, place.new_hypernet(), repeats=2)
    assert {nodes(candidate.choices) for candidate in timed} == {2}


def test_without_options_there_is_one_space(tmp_path: Path) -> None:
    place = surveyed(tmp_path, options={"width": 4, "cells": 1, "nodes": 2})
    assert place.fit_candidates is place.candidates
    assert place.fit_survey is place.survey
    require_readable(place)


@pytest.mark.parametrize(
    ("options", "fit_options", "lacks"),
    [
        ({"nodes": 3, "cells": 1, "width": 4}, {"nodes": 2}, r"nodes\.2"),
        ({"nodes": 2, "cells": 2, "width": 4}, {"cells": 1}, r"body\.1"),
        ({"nodes": 2, "cells": 1, "width": 4}, {"width": 2}, r"stem\.0\.weight"),
    ],
)
def test_a_table_that_would_never_be_fitted_is_refused(
    tmp_path: Path, options: dict[str, Any], fit_options: dict[str, Any], lacks: str
) -> None:
    place = surveyed(tmp_path, hypernet="shared", options=options, fit_options=fit_options)
    words = rf"--fit-set {next(iter(fit_options))}=.*'shared' would never fit .*--hypernet ghn"
    with pytest.raises(ConfigError, match=words) as refused:
        require_readable(place)
    assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match=lacks):
        require_readable(place)
    require_readable(surveyed(tmp_path, options=options, fit_options=fit_options))


def test_a_table_is_refused_where_some_would_never_be_fitted(tmp_path: Path) -> None:
    settings = {"space": SMALL, "hypernet": "shared"}
    with pytest.raises(ConfigError, match=r"deepest=1: .* would never fit"):
        require_readable(surveyed(tmp_path, fit_options={"deepest": 1}, **settings))
    # the other way round it meets all that it needs, and a few rare ones may be luck
    less = surveyed(tmp_path, options={"deepest": 1}, fit_options={"deepest": 3}, **settings)
    require_readable(less)
    require_readable(surveyed(tmp_path, fit_options={"dropout": 0.1}, **settings))


@pytest.mark.parametrize("stacking", ["own", "own-passed", "position"])
def test_cells_whose_own_networks_would_never_be_fitted_are_refused(
    tmp_path: Path, stacking: str
) -> None:
    settings = {"hypernet_options": {"stacking": stacking}, "fit_options": {"cells": 2}}
    small = {"nodes": 2, "width": 4}
    words = r"cells=2: hypernetwork 'ghn' would never fit .*--hypernet-set stacking=passed"
    with pytest.raises(ConfigError, match=words) as refused:
        require_readable(surveyed(tmp_path, 12, options={"cells": 4, **small}, **settings))
    assert "\n" not in str(refused.value)
    require_readable(surveyed(tmp_path, 12, options={"cells": 1, **small}, **settings))
    settings["hypernet_options"] = {"stacking": "passed"}
    require_readable(surveyed(tmp_path, 12, options={"cells": 4, **small}, **settings))


def test_smash_reads_other_depths_but_no_other_layout(tmp_path: Path) -> None:
    tiny = {"preset": "tiny", "depth": 1, "width": 2}
    settings = {"space": "memory-bank", "hypernet": "smash", "options": tiny}
    require_readable(surveyed(tmp_path, 12, fit_options={"depth": 3}, **settings))
    other = surveyed(tmp_path, 2, fit_options={"unit": 2}, **settings)
    with pytest.raises(ConfigError, match=r"another; between fit and search .*depth"):
        require_readable(other)


@pytest.mark.parametrize(
    ("given", "words"),
    [({"ndoes": 3}, "no option 'ndoes'"), ({"nodes": "many"}, "--fit-set nodes=many: ")],
)
def test_options_that_are_none_are_refused(
    tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    config = msgspec.structs.replace(RUN, fit_options=given)
    with pytest.raises(SpaceError, match=words):
        Run.start(tmp_path / "run", config, quiet=True)
    assert not (tmp_path / "run").exists()


def test_ease_is_no_option_of_the_fit(tmp_path: Path) -> None:
    place = Workplace(tmp_path, Config(data="digits", space=SMALL, fit_options={"ease": 0.5}))
    with pytest.raises(ConfigError, match=r"ease=0\.5: .* --anneal"):
        place.space  # noqa: B018


def test_the_command_line_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = "--set width=4 cells=1 nodes=3 --fit-set nodes=2 --survey 40 --examples 200"
    counts = "--steps 2 --trials 4 --finalists 1 --sample 0 --seeds 1 --epochs 1 --best-epochs 1"
    cli.main(["init", "digits", *shape.split(), *counts.split(), "--out", str(tmp_path / "run")])
    said = capsys.readouterr().err
    assert "fit on nodes=2: " in said
    kept = read_json(tmp_path / "run" / "config.json", Config)
    assert (kept.options["nodes"], kept.fit_options) == (3, {"nodes": 2})
