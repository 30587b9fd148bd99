"""What a run hands over: the result, the exported network, the report, the closing table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from torch import nn

from hypernas import tasks, trust
from hypernas.best import Best, trained
from hypernas.comparing import standings
from hypernas.config import Plan
from hypernas.console import Update, Voice, share, short
from hypernas.early_exits import EarlyExits, asked, stops
from hypernas.errors import RunError
from hypernas.explaining import Explanation
from hypernas.files import read_json, write_json, write_text
from hypernas.finalists import Picks, so_far
from hypernas.largest import larger
from hypernas.remembered import DataRecord, LadderRecord
from hypernas.report import draw_mean, write_report
from hypernas.report.formats import ranked_by
from hypernas.results import (
    AskedExit,
    Exported,
    Final,
    Network,
    Result,
    Scaled,
    Scored,
    Search,
    Stop,
)
from hypernas.training import Recipe
from hypernas.verdict import verdict
from hypernas.versions import installed
from hypernas.workplace import MEASURE_BATCH, Workplace

SHOWN = ("score", "val", "test")
"""what the task measures with generated weights, on the validation and on the test split"""
STARTS = {"scratch": "scratch", "generated": "generated weights", "grown": "the trained winner"}
"""first weights of a recipe, in words"""


def collect(
    place: Workplace,
    picks: Picks,
    best: Best,
    scored: Sequence[Scored],
    seconds: dict[str, float],
    progress: Update = lambda *_: None,
) -> Result:
    """Return everything that the run found out.

    Of a run that was stopped it is what is trained by now.

    Args:
        place: of the run.
        picks: the networks that are trained, or are to be.
        best: the one that the run recommends.
        scored: every scored candidate.
        seconds: of each step, on the wall clock.
        progress: told which rival of the score is computed.

    Raises:
        RunError: there is no finalist yet, no random network, or not the biggest.
    """
    config, plan, data = place.config, place.plan, place.data
    found = so_far(place, picks, plan)
    if without := lacking(found):
        raise RunError(f"{place.folder}: {without}; run `hypernas train` on it")
    finalists = [n for n in found if n.source == "search"]
    random = [n for n in found if n.source == "random"]
    biggest = next(n for n in found if n.source == "biggest")
    exported = place.folder / "export.json"
    done = read_json(exported, Exported) if exported.exists() else Exported(weights="", checks={})
    return Result(
        data=described(data),
        space={"name": place.space.name, "options": place.space.options},
        hypernet=_hypernet(place),
        seed=config.seed,
        limits=config.limits,
        recipe=msgspec.to_builtins(place.recipe(plan.epochs)),
        best=best.network,
        final=best.final,
        finalists=finalists,
        random=random,
        biggest=biggest,
        search=Search(
            scored=len(scored),
            feasible_share=place.survey.share(config.limits),
            sampler=config.sampler,
            score_by=config.score_by,
            stages=place.sampler.stages(len(scored)),
        ),
        verdict=verdict(
            finalists,
            random,
            biggest,
            test_examples=data.test,
            chosen=config.score_by == "training",
        ),
        trust=trust.trust(place, found, seconds, len(scored), _climbed(place), progress),
        compared=standings(place, sorted(finalists, key=lambda n: (-n.score, n.params)), scored),
        export=done.checks,
        budgets=msgspec.to_builtins(place.budgets),
        exits=done.exits,
        stops=done.stops,
        larger=larger(place, found),
        unfinished=_unfinished(picks, found, plan),
        seconds=seconds,
        versions=installed(),
    )


def _climbed(place: Workplace) -> float:
    """Return the CPU seconds of a ladder beside its full trainings."""
    path = place.folder / "ladder.json"
    return read_json(path, LadderRecord).seconds if path.exists() else 0.0


def lacking(found: Sequence[Network]) -> str:
    """Say in words which of the three groups has no trained network yet; empty if all have."""
    groups = {"search": "finalist", "random": "random network", "biggest": "biggest that fits"}
    there = {network.source for network in found}
    without = [name for source, name in groups.items() if source not in there]
    return f"no {' and no '.join(without)} is trained yet" if without else ""


def _unfinished(picks: Picks, found: Sequence[Network], plan: Plan) -> str:
    """Say in words what a run that was stopped has yet to do."""
    planned = sum(pick.seeds or plan.seeds for pick in picks.networks)
    done = sum(len(network.seeds) for network in found)
    if picks.ended and done == planned:
        return ""
    more = "" if picks.ended else ", and the ladder may choose more"
    return f"the run is not finished: {done} of {planned} trainings are done{more}"


def _hypernet(place: Workplace) -> dict[str, Any]:
    """Return how the hypernetwork was trained; nothing where there is none."""
    config = place.config
    if not config.fits:
        return {}
    return {
        "name": config.hypernet,
        "options": config.hypernet_options,
        "steps": place.plan.steps,
        "recipe": config.fit_recipe,
        "rate": place.fit_recipe.rate,
        "batch": place.fit_recipe.batch,
        "anneal": place.fit_recipe.anneal,
        "draw": config.draw,
        "sampler": config.fit_sampler,
        "fitted on": config.fit_options,
        "teacher": config.teacher,
        "statistics": config.statistics,
    }


def described(data: DataRecord) -> dict[str, Any]:
    """Return what a result says of its data."""
    names = ("name", "fingerprint", "input_shape", "classes", "fit", "validation", "test")
    task = {"task": data.task, "measure": tasks.of(data.task).measure}
    return {name: getattr(data, name) for name in names} | task


def _encoded(data: DataRecord) -> dict[str, Any]:
    """Return how inputs become what a network reads, under the name of the kind."""
    kinds = ("normalisation", "vocabulary", "columns")
    found = {kind: msgspec.to_builtins(getattr(data, kind)) for kind in kinds}
    return {kind: value for kind, value in found.items() if value is not None}


def is_exported(place: Workplace, final: Final) -> bool:
    """Say whether ``best/`` holds these weights."""
    done = place.folder / "export.json"
    return done.exists() and read_json(done, Exported).weights == final.folder


def export_network(place: Workplace, network: Network | Scaled, final: Final) -> None:
    """Write a trained network to ``best/``, and to ``export.json`` how far it was checked."""
    # exporting needs half a second to import, and only this step needs it
    from hypernas.exporting import export

    data = place.data
    module = trained(place, network.choices, final.folder)
    exits = asked(place.candidates.of(network.choices).graph, final.curve)
    stopping = _stops(place, module, exits) if exits else []
    about = {
        "choices": network.choices,
        "space": {"name": place.space.name, "options": place.space.options},
        "data": data.name,
        "fingerprint": data.fingerprint,
        "classes": list(data.classes),
        "input_shape": list(data.input_shape),
        **_encoded(data),
        "params": network.params,
        "macs": network.macs,
        "source": network.source,
        "val_accuracy": final.val_accuracy,
        "test_accuracy": final.test_accuracy,
    }
    if exits:
        budgets = {"budgets": msgspec.to_builtins(place.budgets)}
        about |= budgets | msgspec.to_builtins({"exits": exits, "stops": stopping})
    example = place.signature.example_input()
    checks = export(module, example, place.folder / "best", about=about)
    done = Exported(weights=final.folder, checks=checks, exits=exits, stops=stopping)
    write_json(place.folder / "export.json", done)


def _stops(place: Workplace, module: nn.Module, exits: Sequence[AskedExit]) -> list[Stop]:
    """Return what stopping early reaches; networks that do not classify have no confidence."""
    if place.data.task != "classification":
        return []
    test = place.batches(place.splits.test, MEASURE_BATCH)
    return stops(EarlyExits(module, exits), place.validation_batches, test, place.task)


def write_explanation(found: Explanation, path: Path) -> None:
    """Write an explanation to a file, and its picture beside."""
    write_json(path, found)
    write_text(path.with_suffix(".svg"), draw_mean(found))


def write_page(place: Workplace, result: Result, scored: Sequence[Scored]) -> None:
    """Write ``report.html``, with what ``explain.json`` and ``ladder.json`` say where they are."""
    explained, climbed = place.folder / "explain.json", place.folder / "ladder.json"
    write_report(
        place.folder / "report.html",
        result,
        scored,
        place.candidates.of(result.best.choices).graph,
        title=f"{place.data.name}, {place.space.name}",
        explanation=read_json(explained, Explanation) if explained.exists() else None,
        ladder=read_json(climbed, LadderRecord) if climbed.exists() else None,
    )


def show(voice: Voice, result: Result, folder: Path) -> None:
    """Print the closing table, the verdict, and where everything lies."""
    word = tasks.of(result.data["task"]).short
    header = ("network", "params", "MACs", "score", *(f"{s} {word}" for s in SHOWN))
    rows = [_row(network, result.best) for network in all_networks(result)]
    voice.table(f"networks trained for real (score: {ranked_by(result.search)})", header, rows)
    final = result.final
    voice.say(
        f"best {word}: {final.val_accuracy:.2%} on validation, {final.test_accuracy:.2%} on test, "
        f"{short(result.best.params)} params, {short(result.best.macs)} MACs, "
        f"from {result.best.source}; {final.text}"
    )
    for text in filter(None, (result.larger, result.unfinished)):
        voice.say(text)
    if result.compared:
        voice.say(f"scores: {result.compared.text}")
    trust.show(voice, result.trust)
    voice.say(f"verdict: {result.verdict.text}")
    voice.say(f"network: {folder / 'best'}{os.sep}   report: {folder / 'report.html'}")


def all_networks(result: Result) -> list[Network]:
    """Return every network that was trained for real."""
    return [*result.finalists, *result.random, result.biggest]


def _row(network: Network, best: Network) -> tuple[str, ...]:
    mark = " *" if network == best else ""
    test = f"{network.test_accuracy:.2%}" if network.test_accuracy is not None else "–"
    return (
        f"{network.source}{mark}",
        short(network.params),
        short(network.macs),
        f"{network.score:.3f}",
        share(network.score_accuracy),
        f"{network.val_accuracy:.2%}",
        test,
    )


def in_words(recipe: Recipe) -> str:
    """Describe a recipe in one line."""
    augmentation: Any = recipe.augmentation
    changes = [
        "mirrored" if augmentation.flip else "",
        f"shifted by up to {augmentation.crop} pixels" if augmentation.crop else "",
        f"{augmentation.cutout}-pixel squares cut out" if augmentation.cutout else "",
    ]
    shown = ", ".join(filter(None, changes)) or "as they are"
    return (
        f"SGD {recipe.rate:g} with cosine, Nesterov {recipe.momentum:g}, weight decay "
        f"{recipe.weight_decay:g}, batch {recipe.batch}, examples {shown}, "
        f"from {STARTS[recipe.start]}"
    )
