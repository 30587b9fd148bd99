"""What many tests share: a small space, and a run on real images that is finished in seconds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import RUN, programs
from small_space import SIGNATURE, space

from hypernas.candidate import Candidates
from hypernas.jobs import Train
from hypernas.runs import Run
from hypernas.survey import Survey, survey
from hypernas.workplace import Workplace


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread, so that figures are the same on every machine and small steps are fast."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("warmup",):
            patch.setattr(f"hypernas.{module}.cores", lambda: 1)
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_programs() -> Iterator[None]:
    """Export the source only, but where a test asks for more: programs take most of a small run."""
    with programs(write=False):
        yield


@pytest.fixture(scope="session", autouse=True)
def few_warm_steps(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have the ladder's rung of some steps, a short one; slow tests are of real runs."""
    with pytest.MonkeyPatch.context() as patch:
        if request.config.getoption("markexpr") != "slow":
            patch.setattr("hypernas.jobs.WARM_STEPS", 6)
            patch.setattr("hypernas.climbing.OFTEN", 0)
        yield


@pytest.fixture(scope="session")
def candidates() -> Candidates:
    """Candidates of the small space."""
    return Candidates(space(), SIGNATURE, remember=2000)


@pytest.fixture(scope="session")
def known(candidates: Candidates) -> Survey:
    """A survey of the small space."""
    return survey(candidates, seed=0, draws=300)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run on digits; only to be read."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    Run.start(folder, RUN, quiet=True).everything()
    return folder


@pytest.fixture
def finished_run(finished: Path) -> Run:
    """The finished run, newly opened; only to be read."""
    return Run.open(finished, quiet=True)


@pytest.fixture
def own_run(finished: Path, tmp_path: Path) -> Run:
    """A copy of the finished run that a test may change."""
    shutil.copytree(finished, tmp_path / "run")
    return Run.open(tmp_path / "run", quiet=True)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Train]:
    """Collect the trainings that are done."""
    found: list[Train] = []
    do = Train.do

    def spy(self: Train, place: Workplace, *rest: Any) -> Any:
        found.append(self)
        return do(self, place, *rest)

    monkeypatch.setattr(Train, "do", spy)
    return found
