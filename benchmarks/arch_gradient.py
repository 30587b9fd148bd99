"""Steps by the gradient of the encoding against perturbation, at equal cost.

    python benchmarks/arch_gradient.py RUN [--seeds 5] [--random 64] [--more 96] [--images 250]

RUN is a run folder with a fitted SMASH hypernetwork. For each seed all samplers start from the same
random candidates; then each spends the same CPU seconds, its proposals included, and the best score
counts. ``markov`` is SMASH's chain, ``perturb`` its perturbations of the best random candidate.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from common import Row, write

from hypernas.results import Limits, Scored
from hypernas.runs import Run
from hypernas.samplers import Asked, Sampler, make, propose
from hypernas.scoring import Scorer
from hypernas.workplace import SCORE_BATCH, Workplace


def main() -> None:
    """Search by each sampler, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run folder with a fitted SMASH hypernetwork")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--random", type=int, default=64, help="random candidates at the start")
    parser.add_argument("--more", type=int, default=96, help="candidates after these")
    parser.add_argument("--images", type=int, default=250)
    given = parser.parse_args()
    torch.set_num_threads(1)
    place = Run.open(given.run).place
    scorer = Scorer(
        place.hypernet,
        place.batches(place.splits.validation, SCORE_BATCH),
        place.task,
        images=given.images,
        seed=place.config.seed,
    )
    drawn = {"random": given.random}
    samplers = {
        "arch-gradient": make("arch-gradient", drawn),
        "markov": make("smash", drawn | {"perturb": 0, "markov": given.more}),
        "perturb": make("smash", drawn | {"perturb": given.more, "markov": 0}),
    }
    gains: dict[str, list[float]] = {name: [] for name in samplers}
    for seed in range(given.seeds):
        walks = {
            name: list(walk(place, scorer, sampler, seed, given.random, given.more))
            for name, sampler in samplers.items()
        }
        least = min(times[-1][0] for times in walks.values())
        for name, times in walks.items():
            within = [score for seconds, score in times if seconds <= least]
            gains[name].append(max(within, default=times[0][1]) - times[0][1])
        print(
            f"seed {seed}: " + ", ".join(f"{n} {g[-1]:+.4f}" for n, g in gains.items()), flush=True
        )
    rows = [row(name, np.array(found)) for name, found in gains.items()]
    for name in ("markov", "perturb"):
        difference = np.array(gains["arch-gradient"]) - np.array(gains[name])
        rows.append(row(f"arch-gradient less {name}", difference))
    write(Path(__file__), rows)


def walk(
    place: Workplace, scorer: Scorer, sampler: Sampler, seed: int, start: int, more: int
) -> Iterator[tuple[float, float]]:
    """Yield CPU seconds since the random candidates, and the best score until then."""
    history: list[Scored] = []
    spent, number = 0.0, 0
    while len(history) < start + more:
        size = min(sampler.round_size(len(history)), start + more - len(history))
        began = time.process_time()
        asked = Asked(place.candidates, history, [], seed, number, Limits(), scorer)
        proposed = propose(sampler, asked, size, most_draws=5000)
        if not proposed:
            raise SystemExit(
                "the space has no more new candidates; give smaller --random and --more"
            )
        for candidate in proposed:
            score = scorer([candidate], block=1)[0]
            history.append(
                Scored(
                    choices=candidate.choices,
                    params=candidate.params,
                    macs=candidate.macs,
                    score=score.score,
                    interval=score.interval,
                    score_accuracy=score.score_accuracy,
                )
            )
            if len(history) > start:
                yield spent + time.process_time() - began, max(s.score for s in history)
        if len(history) > start:
            spent += time.process_time() - began
        elif len(history) == start:
            yield 0.0, max(scored.score for scored in history)
        number += 1


def row(name: str, gains: np.ndarray) -> Row:
    """Return a row with the mean gain of the best score and its standard error."""
    error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else float("nan")
    return Row(
        what=f"gain of the best score, {name}",
        value=float(gains.mean()),
        unit="score (minus loss)",
        better="more",
        note=f"standard error {error:.4f}, {len(gains)} seeds",
    )


if __name__ == "__main__":
    main()
