"""The start of a run: looks at data and space, fixes the counts, lays out the folder."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path

import msgspec
import torch

from hypernas import budget, fit_samplers, warmup
from hypernas.candidate import Candidate
from hypernas.config import COUNTS, Config, Plan, difference
from hypernas.console import Voice, short
from hypernas.distilling import copy_teacher, teacher_of
from hypernas.errors import ConfigError, GraphError, RunError, SpaceError
from hypernas.files import new_folder, read_json, write_json
from hypernas.fit_space import require_readable
from hypernas.fitting import RECIPES
from hypernas.hypernets import Hypernet
from hypernas.options import in_words
from hypernas.presets import choose_preset, is_open
from hypernas.randomness import rng
from hypernas.survey import Survey
from hypernas.workplace import Workplace

SURVEY_SHARE = 0.05
"""most of the wall clock that the survey of the space may take"""


def is_made(place: Workplace) -> bool:
    """Say whether the run folder is there, made by the same configuration.

    Raises:
        RunError: what is there was made by another, or is no run folder.
    """
    path = place.folder
    if (path / "config.json").exists():
        other = difference(read_json(path / "config.json", Config), place.config)
        if other is None:
            return True
        raise RunError(
            f"{path} holds a run with {other}; give the same options to go on, or another --out"
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path} is there already and is no run folder; give another --out")
    return False


def prepare(place: Workplace, voice: Voice) -> None:
    """Look at data and space, fix the counts, and write the folder as a whole."""
    began = time.perf_counter()
    config = place.config
    place.data = place.record_data()
    place.space.require(place.signature)
    _say_data(place, voice)
    given = config.given(place.fit_batches.batches_per_epoch)
    counted = given.keys() == set(COUNTS)
    _say_signal(place, voice)
    if is_open(place.space) and (counted or not config.fits):
        smallest = place.space.presets[0]
        place.space = place.space.with_options(preset=smallest)
        why = "all counts are given" if counted else "nothing is fitted"
        voice.say(
            f"space {place.space.name}: preset {smallest}, the smallest; "
            f"{why}, so none is timed (--set preset=…)"
        )
    elif is_open(place.space):
        voice.say(f"measuring what a step costs in each preset of space {place.space.name} …")
        place.space, why = choose_preset(place, given, spent=time.perf_counter() - began)
        voice.say(why)
    hypernet = _first_hypernet(place)
    with voice.bar("survey") as update:
        place.look(
            config.survey,
            seconds=math.inf if counted else SURVEY_SHARE * 60 * config.minutes,
            progress=lambda done, total: update(done, total, "architectures"),
        )
    known = place.survey
    known.require(config.limits)
    largest = max(known.drawn, key=lambda architecture: len(architecture.choices))
    biggest = max(known.drawn, key=lambda architecture: architecture.params)
    place.sampler.require(place.candidates.of(largest.choices), hypernet)
    if hypernet is not None:
        _require_writable(hypernet, place.candidates.of(biggest.choices))
        require_readable(place)
        fit_samplers.require(place)
    _require_budgets(place, voice)
    _say_space(place, known, voice)
    _say_fit_space(place, voice)
    if counted:
        most = budget.CLIMBERS * given["finalists"]
        others = {"sample": config.sample, "at_once": budget.at_once(most, config.processes)}
        others |= {"threads": config.threads or 1}
        place.plan = msgspec.convert(given | others, Plan)
    else:
        voice.say("measuring what a step, a score and an epoch cost on this machine …")
        costs = warmup.costs(place)
        place.plan = budget.plan(config, given, costs, spent=time.perf_counter() - began)
    spent = time.perf_counter() - began
    _say_plan(place, voice)
    _write(place, spent)


def _first_hypernet(place: Workplace) -> Hypernet | None:
    """Return an untrained hypernetwork, and try what ranks candidates; None where none is needed.

    Raises:
        HypernasError: the hypernetwork cannot read the space, or the signal is not for such data.
    """
    example = place.candidates.draw(rng(place.config.seed, "example"))
    if not place.config.fits:
        if place.config.score_by != "training":
            place.score([example])
        place.sampler.require(example, None)
        return None
    hypernet = place.new_hypernet()
    place.sampler.require(example, hypernet)
    _require_writable(hypernet, example, *_fit_example(place))
    return hypernet


def _fit_example(place: Workplace) -> list[Candidate]:
    """Return a candidate that the hypernetwork may learn from, where these are others.

    Raises:
        SpaceError: the space does not work under the options of --fit-set.
    """
    if not place.config.fit_options:
        return []
    candidates = place.fit_candidates  # names --fit-set where there is no such option
    try:
        return [candidates.draw(rng(place.config.seed, "example"))]
    except (SpaceError, GraphError) as error:
        raise SpaceError(f"--fit-set {in_words(place.config.fit_options)}: {error}") from error


def _require_writable(hypernet: Hypernet, *candidates: Candidate) -> None:
    """Refuse candidates whose weights the hypernetwork cannot write.

    Raises:
        ConfigError: it says why.
    """
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for candidate in candidates:
            hypernet.prepare([candidate])
            hypernet([candidate])


def _require_budgets(place: Workplace, voice: Voice) -> None:
    """Refuse budgets with a pruner, and those in which all are silent; warn where most are.

    Raises:
        ConfigError: says what the cheapest answer costs.
    """
    budgets = place.budgets
    if budgets is None:
        return
    if place.config.pruner != "none":
        raise ConfigError(
            f"--pruner {place.config.pruner} stops networks by their last exit, and this run "
            "judges them over budgets; leave it out"
        )
    place.survey.require_answers(budgets)
    share = place.survey.answering(budgets.high)
    if share < 0.5:
        voice.say(
            f"only {share:.0%} of the candidates have an exit that costs at most {budgets.high:,} "
            "MACs; the others never answer and score alike (--budgets, --set)"
        )


def _write(place: Workplace, spent: float) -> None:
    """Write the folder, whole or not at all."""
    with new_folder(place.folder) as beside:
        write_parts(place, beside)
        copy_teacher(place, beside)
        write_json(beside / "survey.json", place.survey)
        if place.config.fit_options:
            write_json(beside / "fit-survey.json", place.fit_survey)
        write_json(beside / "plan.json", place.plan)
        write_json(beside / "seconds.json", {"prepare": spent})


def write_parts(place: Workplace, folder: Path) -> None:
    """Write to ``folder`` what a workplace there is made from: configuration, data, space."""
    write_json(folder / "config.json", place.config)
    write_json(folder / "data.json", place.data)
    write_json(folder / "space.json", place.record_space())
    shutil.copyfile(place.space.file, folder / "space.py")


def _say_data(place: Workplace, voice: Voice) -> None:
    data = place.data
    left_out = f", {data.skipped} damaged files left out" if data.skipped else ""
    shape = "×".join(map(str, data.input_shape))
    views = f" in {data.views} views" if data.views > 1 else ""
    voice.say(
        f"data {data.name}: {data.task}, {len(data.classes)} classes, "
        f"{place.signature.inputs} of {shape}{views}; {data.fit} to fit, "
        f"{data.validation} to choose by, {data.test} to test{left_out}"
    )


def _say_signal(place: Workplace, voice: Voice) -> None:
    if place.config.fits:
        _say_fit(place, voice)
    elif place.config.score_by == "training":
        pruner = place.config.pruner
        stopped = f"; {pruner} stops the bad ones" if pruner != "none" else ""
        epochs = f"{place.score_epochs} epochs each{stopped}"
        voice.say(f"candidates are trained for real, {epochs}; no fit")
    else:
        voice.say(f"candidates are ranked by {place.config.score_by}, untrained; no fit")


def _say_fit(place: Workplace, voice: Voice) -> None:
    recipe, named = place.fit_recipe, RECIPES[place.config.fit_recipe]
    annealed = f", candidates annealed over {recipe.anneal:.0%} of the steps"
    if not recipe.anneal:
        unable = named.anneal and place.config.anneal is None
        annealed = f", not annealed: {place.space.name} has no option ease" if unable else ""
    sampler = place.config.fit_sampler
    sampled = f", candidates by {sampler}" if sampler != "random" else ""
    voice.say(
        f"fit by recipe {place.config.fit_recipe}: {recipe.optimiser} {recipe.rate:g}, "
        f"batch {recipe.batch}{annealed}{sampled}"
    )
    if teacher := teacher_of(place):
        voice.say(
            f"distilled from {place.config.teacher}: {teacher.weight:.0%} of the loss, temperature "
            f"{teacher.temperature:g}"
        )
        if teacher.rescale is not None:
            voice.say(
                "the teacher learned from another split of the data: it may have seen images that "
                "candidates are scored on (give both runs the same --seed and --examples)"
            )


def _say_space(place: Workplace, known: Survey, voice: Voice) -> None:
    params = sorted(a.params for a in known.drawn)
    share = known.share(place.config.limits)
    voice.say(
        f"space {place.space}, {len(known.drawn)} drawn: "
        f"{short(params[0])} to {short(params[-1])} params, "
        f"median {short(params[len(params) // 2])}; {share:.0%} of it meets the limits"
    )
    example = place.candidates.of(known.drawn[0].choices)
    if example.graph.segments == 1 and place.config.fits and place.config.hypernet == "ghn":
        voice.say("the space marks no cells: the hypernetwork reads each network as one flat graph")
    if place.budgets is not None:
        voice.say(f"scores and accuracies are means over budgets of {place.budgets}")


def _say_fit_space(place: Workplace, voice: Voice) -> None:
    """Say on what the hypernetwork is trained where that is not what is searched."""
    if options := place.config.fit_options:
        params = sorted(a.params for a in place.fit_survey.drawn)
        voice.say(
            f"fit on {in_words(options)}: {short(params[0])} to {short(params[-1])} params, "
            f"median {short(params[len(params) // 2])}"
        )


def _seeds(count: int) -> str:
    return f"{count} seed{'s' if count > 1 else ''}"


def _say_plan(place: Workplace, voice: Voice) -> None:
    plan = place.plan
    parts = {"fit": f"{plan.steps} steps"} if plan.steps else {}
    parts |= {"search": f"{plan.trials} candidates"}
    parts["train"] = (
        f"2 × {plan.finalists} + 1 networks × {_seeds(plan.seeds)} × {plan.epochs} epochs"
    )
    if (more := plan.sample - plan.finalists) > 0:
        parts["train"] += f", {more} more random ones × {_seeds(place.config.least_seeds)}"
    if place.config.climbs:
        parts["train"] += f"; finalists: the best of at most {budget.climbers(plan)} candidates"
    parts["longer"] = f"{plan.best_epochs} more epochs of the winner"
    total = sum(plan.seconds.values())
    for part, text in parts.items():
        seconds = plan.seconds.get(part)
        share = f"  ({seconds / total:.0%} of the time, {seconds / 60:.1f} min)" if seconds else ""
        voice.say(f"  {part:7}{text}{share}")
    if plan.forced:
        voice.say(f"  {plan.forced}")
