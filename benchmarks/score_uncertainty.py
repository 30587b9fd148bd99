"""Does a fit's own interval foretell how much scores move from fit to fit?

    python benchmarks/score_uncertainty.py digits --steps 600 --seeds 8 --work runs/uncertainty

Fits hypernetworks on one split of the data with different seeds, and scores the same random
candidates with each, image by image. Every pair of candidates has a difference of scores in every
fit; the truth is how these differ from fit to fit. Foretold is that by one fit alone, on one half
of the scoring images, and held against other fits on the other half, from

- ``images alone``;
- ``last tenth``, ``last half``: four states of the fit, evenly over the last part of it;
- ``drawn``: four hypernetworks drawn around the mean of the last half's states and the end, by
  their deviations (SWAG, arXiv 1902.02476).

All by :func:`hypernas.uncertainty.better`. Rows say by which factor the foretold deviation (root
mean square over pairs) is off, how often a 95 % interval holds another fit's difference, and what
share of pairs came true that were told with P in some range. The best are the quarter of the
candidates with the highest scores by the fit that tells. Fits are kept in ``--work``; a killed run
goes on. The first by score was chosen for being so: what is told of it and of those after it has a
row of its own. Writes ``results/score_uncertainty_NAME.json``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from common import Row, write
from numpy.typing import NDArray

from hypernas import hypernets
from hypernas.candidate import Candidate
from hypernas.config import Config
from hypernas.draws import Draws
from hypernas.files import read_tensors, write_tensors
from hypernas.fitting import Fit, FitOptions
from hypernas.hypernets import Hypernet
from hypernas.randomness import rng, torch_generator
from hypernas.results import Better
from hypernas.runs import Run
from hypernas.searching import distinct
from hypernas.uncertainty import better
from hypernas.workplace import Workplace

CANDIDATES = 48
PARTS = {"last tenth": (0.9, 0.925, 0.95, 0.975), "last half": (0.5, 0.625, 0.75, 0.875)}
DRAWN = 4
FOLLOWING = 9
EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.975, 1.0)
"""of the ranges of P"""

State = dict[str, torch.Tensor]
Losses = NDArray[np.float64]
"""of candidates, (candidates, S, M): S states, the end first, and M images"""


def hypernet_of(place: Workplace, seed: int) -> Hypernet:
    example = place.candidates.draw(rng(0, "example"))
    return hypernets.make(place.config.hypernet, example=example, seed=seed)


def states_of(place: Workplace, seed: int) -> dict[float, State]:
    """Return the states of a fit by the share of the steps; fitted where they are not known."""
    steps = place.plan.steps
    kept = {round(share * steps): share for share in (*PARTS["last half"], *PARTS["last tenth"], 1)}
    paths = {step: place.folder / f"seed-{seed}" / f"{step}.safetensors" for step in kept}
    if not paths[steps].exists():
        hypernet = hypernet_of(place, seed)
        draws = Draws(place.fit_candidates, place.fit_survey, by="balanced", seed=seed)
        options = FitOptions(steps=steps, recipe=place.fit_recipe, seed=seed)
        work = Fit(hypernet, draws, place.fit_batches, place.task, options)
        while work.step < steps:
            work.advance()
            if work.step in kept:
                write_tensors(paths[work.step], hypernet.state_dict())
    return {share: read_tensors(paths[step])[0] for step, share in kept.items()}


def drawn(states: Sequence[State], seed: int) -> list[State]:
    """Return states around the mean of some, half by each value's deviation, half by theirs."""
    first, generator, count = states[0], torch_generator(seed, "drawn"), len(states)
    alike = [k for k, v in first.items() if v.is_floating_point() and _everywhere(k, v, states)]
    every = {key: torch.stack([state[key] for state in states]) for key in alike}
    found = []
    for _ in range(DRAWN):
        weights, changed = torch.randn(count, generator=generator), {}
        for key, values in every.items():
            mean, deviation = values.mean(0), values.std(0, correction=0)
            own = deviation * torch.randn(mean.shape, generator=generator) / 2**0.5
            common = torch.tensordot(weights, values - mean, 1) / (2 * (count - 1)) ** 0.5
            changed[key] = mean + own + common
        found.append(first | changed)
    return found


def _everywhere(key: str, value: torch.Tensor, states: Iterable[State]) -> bool:
    """Say whether each state has a value, and of one shape: tables grow while they are fitted."""
    return all(key in state and state[key].shape == value.shape for state in states)


def losses_of(place: Workplace, candidates: Sequence[Candidate], seed: int) -> dict[str, Losses]:
    """Return what each way to foretell rests on, for one fit."""
    path = place.folder / f"losses-{seed}.safetensors"
    if path.exists():
        return {name: tensor.numpy() for name, tensor in read_tensors(path)[0].items()}
    states = states_of(place, seed)
    end, half = states[1], [states[share] for share in PARTS["last half"]]
    asked = {name: [states[share] for share in shares] for name, shares in PARTS.items()}
    asked["drawn"] = drawn([end, *half], seed)
    last = judged(place, candidates, end)
    found = {"images alone": last[:, None]}
    for name, others in asked.items():
        found[name] = np.stack([last, *(judged(place, candidates, s) for s in others)], axis=1)
    write_tensors(path, {name: torch.from_numpy(values) for name, values in found.items()})
    return found


def judged(place: Workplace, candidates: Sequence[Candidate], state: State) -> Losses:
    """Return losses by one state, (candidates, M)."""
    hypernet = hypernet_of(place, 0)
    hypernet.load_state_dict(state)
    scorer = place.scorer(hypernet)
    return np.stack([scorer.losses(candidate).numpy() for candidate in candidates])


def pairs_of(losses: Losses) -> list[Better]:
    """Compare all pairs of candidates."""
    count, seen = len(losses), -losses[:, 0].mean(1)
    return [better(losses[a], losses[b], seen) for a in range(count) for b in range(a + 1, count)]


def rows_of(name: str, fits: Sequence[Losses]) -> list[Row]:
    """Return how well one way foretells; ``fits`` are of different seeds."""
    half = fits[0].shape[2] // 2
    told = [pairs_of(fit[..., :half]) for fit in fits]
    came = np.array([[p.difference for p in pairs_of(fit[:, :1, half:])] for fit in fits])
    one, other = np.triu_indices(len(fits[0]), 1)
    ranks = np.array([fit[:, 0, :half].mean(1).argsort().argsort() for fit in fits])
    best = ranks < len(fits[0]) // 4
    rows = []
    for which, chosen in (
        ("all pairs", np.full(came.shape, True)),
        ("pairs of the best", best[:, one] & best[:, other]),
    ):
        rows += _figures(f"{name}, {which}", told, came, chosen)
    return [*rows, *_of_the_first(name, fits)]


def _of_the_first(name: str, fits: Sequence[Losses]) -> list[Row]:
    """Return how often the first by a fit's score, on one half of the images, is the better one.

    The other fits tell, on the other half, which is few images, and on all, which shares luck.
    """
    half, told = fits[0].shape[2] // 2, []
    right: dict[str, list[bool]] = {"the other images": [], "all images": []}
    for position, fit in enumerate(fits):
        part, other = fit[..., :half], np.delete(fits, position, 0)[:, :, 0]
        first, *after = np.argsort(part[:, 0].mean(1))[: 1 + FOLLOWING]
        seen = -part[:, 0].mean(1)
        told += [better(part[first], part[one], seen).probability for one in after]
        for words, asked in (("the other images", other[..., half:]), ("all images", other)):
            means = -asked.mean((0, 2))
            right[words] += [means[first] > means[one] for one in after]
    what = f"the first is better than each of the {FOLLOWING} after it"
    note = f"told {np.mean(told):.2f} on average"
    return [
        Row(
            what=f"{what}, {name}, on {words}", value=float(np.mean(found)), unit="share", note=note
        )
        for words, found in right.items()
    ]


def _figures(
    name: str, told: Sequence[Sequence[Better]], came: Losses, chosen: NDArray[np.bool_]
) -> list[Row]:
    point = np.array([[p.difference for p in fit] for fit in told])
    width = np.array([[p.interval[1] - p.interval[0] for p in fit] for fit in told]) / 2
    sure = np.array([[p.probability for p in fit] for fit in told])[chosen]
    squares = [[p.images**2 + (p.fit or 0.0) ** 2 for p in fit] for fit in told]
    foretold = np.array(squares)[chosen].mean()
    # what is foretold and what comes each have luck of their own: so do the squares
    other = [(a, b) for a in range(len(told)) for b in range(len(told)) if a != b]
    moved = np.concatenate([(point[a] - came[b])[chosen[a]] for a, b in other])
    allowed = np.concatenate([2**0.5 * width[a][chosen[a]] for a, _ in other])
    held = (np.abs(moved) <= allowed).mean()
    rows = [
        Row(what=f"deviation, {name}", value=float(np.sqrt(2 * foretold / (moved**2).mean()))),
        Row(what=f"95 % intervals that hold, {name}", value=float(held), unit="share"),
    ]
    others = np.array([np.delete(came, fit, 0).mean(0) for fit in range(len(told))])
    right = np.where(point > 0, others > 0, others < 0)[chosen]
    told_sure = np.maximum(sure, 1 - sure)
    for low, high in pairwise(EDGES):
        inside = (told_sure >= low) & ((told_sure < high) | (high == 1))
        if inside.any():
            note = f"told {told_sure[inside].mean():.2f} on average, {inside.mean():.0%} of pairs"
            what = f"came true of P {low:g} to {high:g}, {name}"
            rows.append(Row(what=what, value=float(right[inside].mean()), unit="share", note=note))
    return rows


def main() -> None:
    """Fit, score, and hold one against the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data")
    parser.add_argument("--hypernet", default="ghn")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--examples", type=int)
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--work", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    config = Config(
        data=asked.data,
        space="nas-bench-201",
        options={"width": 8, "cells": 1},
        hypernet=asked.hypernet,
        steps=asked.steps,
        trials=16,
        finalists=1,
        seeds=1,
        epochs=1,
        best_epochs=0,
        survey=600,
        workers=1,
        examples=asked.examples,
        image_size=asked.image_size,
    )
    name = f"{asked.data}-{asked.hypernet}"
    place = Run.start(asked.work / name, config, quiet=True).place
    draws = (place.candidates.draw(rng(0, "compared", number)) for number in range(10_000))
    candidates = distinct(draws, CANDIDATES)
    fits = []
    for seed in range(1, asked.seeds + 1):
        fits.append(losses_of(place, candidates, seed))
        print(f"seed {seed} of {asked.seeds}", flush=True)
    rows = [row for way in fits[0] for row in rows_of(way, [fit[way] for fit in fits])]
    write(Path(__file__), rows, suffix=name)


if __name__ == "__main__":
    main()
