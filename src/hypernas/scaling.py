"""Scaling: the winner's choices built under other options of its space, and trained.

A cell that was searched in a small network is wanted in a large one. The large one starts from
scratch, or is *grown* from the trained winner by :mod:`hypernas.net2net`, so that the two can be
compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec
import torch

from hypernas.best import Best
from hypernas.branches import (
    branch,
    folder_name,
    jobs_of,
    rebuilt,
    require_answer,
    train_all,
    write_branch,
)
from hypernas.candidate import Candidates, build_network
from hypernas.choices import Architecture, canonical
from hypernas.console import Voice, short
from hypernas.errors import ConfigError, GraphError, SpaceError
from hypernas.files import read_json, write_json
from hypernas.finalists import best_seed
from hypernas.jobs import Train, read_weights
from hypernas.net2net import WAY_OUT, grown
from hypernas.options import in_words
from hypernas.outcome import export_network, is_exported
from hypernas.results import Final, Network, Scaled
from hypernas.spaces import Space
from hypernas.tasks import exits
from hypernas.workplace import Workplace

Start = Literal["scratch", "grown"]

RECORD = "scaled.json"
TOLERANCE = 1e-3
"""how far a grown network's outputs may be off the winner's, as a share of the largest output"""


def scale(
    best: Best, options: dict[str, Any], voice: Voice, *, epochs: int, seeds: int, start: Start
) -> list[Scaled]:
    """Train the winner's choices under other options; return all that was so trained in the run.

    Args:
        best: the winner.
        options: of the space, those that are to differ.
        voice: says how it goes.
        epochs: of each training.
        seeds: trainings.
        start: first weights.

    Raises:
        HypernasError: the options, or the choices under them, do not work.
    """
    run = best.place
    space = scaled_space(run, best.choices, options)
    changed = {k: v for k, v in space.options.items() if v != run.space.options[k]}
    if not changed:
        raise ConfigError(
            f"--scale {in_words(options)} changes nothing: the run has these options; give others"
        )
    place = branch(run, f"scaled/{folder_name(in_words(changed, ','))}", space)
    require_answer(place, best.choices)
    source = _grown_from(best, place) if start == "grown" else {}
    write_branch(place)
    todo = jobs_of(best.choices, seeds, epochs, **source)
    train_all(place, todo, voice)
    found = Scaled(
        **msgspec.structs.asdict(rebuilt(place, todo)),
        options=changed,
        start=start,
        folder=place.folder.relative_to(run.folder).as_posix(),
    )
    final = _final(found, todo, place.task.measure)
    if not is_exported(place, final):
        export_network(place, found, final)
    return _recorded(run, found)


def _final(found: Scaled, done: Sequence[Train], measure: str) -> Final:
    """Return the best training by its measure on the validation split."""
    best = best_seed(found)
    return Final(
        seed=best.seed,
        epochs=best.epochs,
        val_accuracy=best.val_accuracy,
        test_accuracy=best.test_accuracy,
        folder=next(job.folder for job in done if job.seed == best.seed),
        curve=best.curve,
        text=f"the best of {len(done)} trainings by validation {measure}",
    )


def scaled_space(run: Workplace, choices: Architecture, options: dict[str, Any]) -> Space:
    """Return the run's space under other options, in which the choices are found to fit.

    Raises:
        SpaceError: no such option, or the choices do not fit; names the option.
    """
    space = run.space.with_options("--scale", **options)
    try:
        Candidates(space, run.signature).of(choices)
    except (SpaceError, GraphError) as error:
        blamed = _blamed(run, choices, options)
        raise SpaceError(
            f"--scale {in_words(blamed)}: the winner does not fit: {error}; give another value"
        ) from error
    return space


def _blamed(run: Workplace, choices: Architecture, options: dict[str, Any]) -> dict[str, Any]:
    """Return the first option that alone is too much, else all."""
    for name, value in options.items():
        try:
            Candidates(run.space.with_options("--scale", **{name: value}), run.signature).of(
                choices
            )
        except (SpaceError, GraphError):
            return {name: value}
    return options


def _grown_from(best: Best, place: Workplace) -> dict[str, Any]:
    """Return how trainings start from the winner's weights, found to give its outputs.

    Raises:
        SpaceError: the larger network cannot start as the winner.
    """
    source = PurePosixPath("../..") / best.final.folder  # a branch lies two folders deep
    module = build_network(place.space, best.choices, place.signature, seed=0)
    graph = place.candidates.of(best.choices).graph
    weights = grown(read_weights(best.place, best.final.folder), module, graph)
    module.load_state_dict(weights)
    images = place.signature.example_input()
    with torch.no_grad():
        expected, outputs = best.module.cpu()(images), module.eval()(images)
    gap = max(_gap(a, b) for a, b in zip(exits(expected), exits(outputs), strict=True))
    if not gap <= TOLERANCE:
        raise SpaceError(
            f"--start grown: the larger network gives other outputs than the winner it grew from "
            f"(off by {gap:.1%}), as this space does not treat all channels alike; {WAY_OUT}"
        )
    return {"goes_on_from": source.as_posix(), "grown": True}


def _gap(expected: torch.Tensor, outputs: torch.Tensor) -> float:
    scale = expected.abs().max().clamp_min(1e-6)
    return ((outputs - expected).abs().max() / scale).item()


def _recorded(run: Workplace, found: Scaled) -> list[Scaled]:
    """Keep what was found in the run folder; return it with what is kept of the same winner."""
    path = run.folder / RECORD
    kept = read_json(path, list[Scaled]) if path.exists() else []
    every = [s for s in kept if _question(s) != _question(found)] + [found]
    write_json(path, every)
    return [s for s in every if canonical(s.choices) == canonical(found.choices)]


def _question(scaled: Scaled) -> tuple[Any, ...]:
    epochs = scaled.seeds[0].epochs
    return canonical(scaled.choices), canonical(scaled.options), scaled.start, epochs


def show(voice: Voice, winner: Network, found: Sequence[Scaled], word: str) -> None:
    """Print the winner at its own size and what it became; ``word`` is what the task measures."""
    figures = (f"val {word}", f"test {word}")
    header = ("network", "start", "params", "MACs", "epochs", "seeds", *figures)
    rows = [("winner", "", *_figures(winner))]
    rows += [(in_words(s.options), s.start, *_figures(s)) for s in found]
    voice.table("the winner under other options (means over seeds)", header, rows)


def _figures(network: Network | Scaled) -> tuple[str, ...]:
    test = network.test_accuracy
    return (
        short(network.params),
        short(network.macs),
        str(network.seeds[0].epochs),
        str(len(network.seeds)),
        f"{network.val_accuracy:.2%}",
        f"{test:.2%}" if test is not None else "–",
    )
