"""A branch of a run: its space with other options, or its winner on other data.

A branch is a folder in the run's folder that holds what a run holds before its search, and the
networks trained in it. Trainings and worker processes therefore treat it as any run folder, and
what was stopped in it goes on by the same command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

import msgspec

from hypernas import jobs
from hypernas.choices import Architecture
from hypernas.config import Config, difference
from hypernas.console import Voice
from hypernas.errors import ConfigError, RunError
from hypernas.files import new_folder, read_json
from hypernas.jobs import Train
from hypernas.outcome import in_words
from hypernas.preparing import write_parts
from hypernas.results import Rebuilt, Training
from hypernas.spaces import Space
from hypernas.workers import Pool
from hypernas.workplace import Workplace


def branch(run: Workplace, folder: str, space: Space, **changes: Any) -> Workplace:
    """Return the place of a branch, as it is kept or new; a new one is not written yet.

    Args:
        run: the run it leaves from.
        folder: its place in the run's folder.
        space: the run's space, perhaps with other options.
        changes: of the configuration; without any of the data, they are the run's.

    Raises:
        RunError: the folder holds another branch.
    """
    # no hypernetwork was fitted here, so networks start from scratch or from a trained one
    own: dict[str, Any] = {"options": space.options, "fit_options": {}, "start": "scratch"}
    own |= {"teacher": None, "distil": None}
    config = msgspec.structs.replace(run.config, **own, **changes)
    if run.budgets is not None:  # perhaps those of its survey, which a branch has not
        config = msgspec.structs.replace(config, budgets=(run.budgets.low, run.budgets.high))
    place = Workplace(run.folder / folder, config)
    if (place.folder / "config.json").exists():
        require_same(place)
        return place
    place.space = space
    place.data = place.record_data() if "data" in changes else run.data
    return place


def require_same(place: Workplace) -> None:
    """Refuse a folder in which networks are trained with other options; a new one is fine.

    Raises:
        RunError: names the option.
    """
    path = place.folder / "config.json"
    if not path.exists():
        return
    other = difference(read_json(path, Config), place.config)
    if other is not None:
        raise RunError(
            f"{place.folder} holds networks trained with {other}; give the same options to go on, "
            "or remove it"
        )


def require_answer(place: Workplace, choices: Architecture) -> None:
    """Refuse to train a network that is silent within all budgets of the run it comes from.

    Raises:
        ConfigError: says what its cheapest exit costs.
    """
    budgets, cheapest = place.budgets, min(place.candidates.of(choices).exit_macs)
    if budgets is not None and cheapest > budgets.high:
        raise ConfigError(
            f"the winner's cheapest exit would cost {cheapest} MACs there, and the run's budgets "
            f"end at {budgets.high}: it would never answer; give what makes it smaller, or make a "
            "run with other --budgets"
        )


def folder_name(text: str) -> str:
    """Return ``text`` with nothing in it that a folder's name may not hold.

    >>> folder_name("width=32,mode=a/b")
    'width=32,mode=a_b'
    """
    return re.sub(r"[^\w.=,-]", "_", text)


def write_branch(place: Workplace) -> None:
    """Write the folder of a new branch, whole or not at all; a kept one stays."""
    if not (place.folder / "config.json").exists():
        with new_folder(place.folder) as beside:
            write_parts(place, beside)


def jobs_of(choices: Architecture, seeds: int, epochs: int, **start: Any) -> list[Train]:
    """Return the trainings of an architecture, one a seed."""
    return [Train(choices=choices, seed=s, epochs=epochs, **start) for s in range(seeds)]


def train_all(place: Workplace, todo: Sequence[Train], voice: Voice) -> None:
    """Do the trainings that are not done yet, in the run's processes, the costliest first."""
    macs = {job.folder: place.candidates.of(job.choices).macs for job in todo}
    new = {job.folder: job for job in todo if job.known(place) is None}
    for _ in train_each(place, sorted(new.values(), key=lambda job: -macs[job.folder]), voice):
        pass


def train_each(
    place: Workplace, todo: Sequence[Train], voice: Voice
) -> Iterator[tuple[Train, Training]]:
    """Do trainings in the run's processes, and yield each with what it reached, in order."""
    if not todo:
        return
    recipe = in_words(todo[0].recipe(place))
    voice.say(f"training {len(todo)} times, {todo[0].epochs} epochs each; recipe: {recipe}")
    place.threads(1)
    here = Pool(place.folder, place.config.processes, lambda job: jobs.do(place, job))
    with here as pool, voice.bar("train") as update:
        answers = pool.do([msgspec.to_builtins(job) for job in todo])
        for done, (job, answer) in enumerate(zip(todo, answers, strict=True), start=1):
            yield job, msgspec.convert(answer, Training)
            update(done, len(todo), "networks")


def rebuilt(place: Workplace, done: Sequence[Train]) -> Rebuilt:
    """Return what an architecture reached in its trainings, all of which are done."""
    candidate = place.candidates.of(done[0].choices)
    results = [result for job in done if (result := job.known(place)) is not None]
    return Rebuilt(
        choices=candidate.choices,
        params=candidate.params,
        macs=candidate.macs,
        val_accuracy=fmean(t.val_accuracy for t in results),
        test_accuracy=fmean(t.test_accuracy for t in results if t.test_accuracy is not None),
        seeds=results,
    )


def require_counts(**counts: int | None) -> None:
    """Refuse counts below 1; None leaves a count open.

    Raises:
        ConfigError: names the option and its value.
    """
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ConfigError(f"--{name} is {count}; expected 1 or more")
