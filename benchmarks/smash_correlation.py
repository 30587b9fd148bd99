"""How well SMASH scores rank networks that were trained for real (the paper's main experiment).

    python benchmarks/smash_truth.py fashion-mnist --table NAME ...     # first: the ground truth
    python benchmarks/smash_correlation.py NAME [--variants true "small generator" ...]
        [--steps 3000] [--device cuda]

Each variant is one fit of a hypernetwork on the table's data and space, and the scores of the
table's networks with it; Kendall's tau with the test accuracy of the trained networks, its 95 %
bootstrap interval, and beside it the tau of size alone. Fits are kept in ``--work``; a killed one
goes on by the same command. Writes ``results/smash_correlation_NAME.json`` and ``docs/NAME.svg``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
import numpy as np
import torch
from common import Row, write
from scatter import scatter
from scipy.stats import kendalltau
from smash_truth import Setting, Truth, place_of, read

from hypernas.candidate import Candidate
from hypernas.fitting import RECIPES, fit
from hypernas.hypernets import Hypernet, Weights
from hypernas.randomness import derived_seed, rng
from hypernas.scoring import Score
from hypernas.survey import survey
from hypernas.workplace import Workplace

VARIANTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "true": ("smash", {}, "as in the paper: 1×1 convolutions of ops are generated"),
    "small generator": ("smash", {"layers": (2,), "growth": 2}, "two layers of two channels"),
    "free capacity": (
        "smash",
        {"generated": "0.2", "share": "op"},
        "one op in five is generated, the others have k×k and 1×1 weights of their own",
    ),
    "all generated": ("smash", {"generated": "all"}, "k×k convolutions too"),
    "embedding": ("smash", {"encoding": "embedding"}, "a learned embedding of the encoding"),
    "counts": ("smash", {"encoding": "counts"}, "how many units are read and written, no more"),
    "attention": ("smash", {"generator": "attention"}, "attention over slices"),
    "gated": ("smash", {"generator": "gated"}, "tanh · sigmoid convolutions"),
    "layer norm": ("smash", {"normalise": "layer"}, "layer norm in the generator"),
    "no norm": ("smash", {"normalise": "none"}, "no normalisation in the generator"),
    "norms generated": ("smash", {"norms": True}, "scales and shifts are generated too"),
    "unit": ("smash", {"scale": "unit"}, "generated weights normalised per output unit"),
    "bf16": ("smash", {}, "networks in bfloat16"),
    "shared": ("shared", {}, "plain weight sharing"),
    "ghn": ("ghn", {}, "graph hypernetwork"),
}
OTHER = "another's encoding"
BATCH = 64


class Swapped(Hypernet):
    """Writes the weights that a hypernetwork generates for another architecture's encoding."""

    def __init__(self, hypernet: Any, others: Sequence[Candidate]) -> None:
        super().__init__()
        self.hypernet, self.others = hypernet, others

    def forward(self, candidates: Sequence[Candidate]) -> list[Weights]:
        found = []
        for candidate in candidates:
            number = derived_seed(0, "swap", str(candidate.choices)) % len(self.others)
            own = self.hypernet.code(candidate)
            other = self.hypernet.code(self.others[number])
            times = -(-own.shape[1] // other.shape[1])
            found.append(self.hypernet.write(candidate, other.repeat(1, times)[:, : own.shape[1]]))
        return found


def main() -> None:
    """Fit and score every variant, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", help="name of the ground truth")
    parser.add_argument("--variants", nargs="*", default=["true", "small generator"])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--recipe", choices=RECIPES, default="default", help="of the fits")
    parser.add_argument("--images", type=int, default=1000, help="validation images of a score")
    parser.add_argument("--seeds", type=int, default=1, help="fits of each variant")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--work", type=Path, default=Path("runs/smash-correlation"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    setting, truths = read(given.table)
    bench = Bench(setting, truths, given)
    rows = bench.size_rows()
    for name in given.variants:
        for seed in range(given.seeds):
            rows += bench.variant(name, seed)
            write(Path(__file__), rows, suffix=given.table)


class Bench:
    """A table of ground truth, and what is measured against it."""

    def __init__(self, setting: Setting, truths: list[Truth], given: argparse.Namespace) -> None:
        self.given = given
        self.table = place_of(setting, given.work / given.table, device=given.device)
        self.truths = [truth for truth in truths if truth.seed == 0]
        self.twice = [truth for truth in truths if truth.seed == 1]
        self.accuracy = np.array([truth.test_accuracy for truth in self.truths])

    def size_rows(self) -> list[Row]:
        """Describe the table, and how well size alone ranks its networks."""
        low, middle, high = np.quantile(self.accuracy, [0.0, 0.5, 1.0])
        hours = sum(t.seconds for t in self.truths + self.twice) / 3600
        rows = [
            Row(
                what="median trained accuracy",
                value=100 * float(middle),
                unit="%",
                better="more",
                note=f"{len(self.truths)} networks, {low:.1%} to {high:.1%}, {hours:.1f} CPU-hours",
            )
        ]
        for name in ("params", "macs"):
            sizes = np.array([getattr(truth, name) for truth in self.truths])
            rows.append(_tau(f"{name} alone", sizes, self.accuracy, "the bigger the better"))
        first = {truth.number: truth.test_accuracy for truth in self.truths}
        if len(self.twice) > 2:
            pairs = np.array([(first[t.number], t.test_accuracy) for t in self.twice])
            note = f"the same {len(pairs)} networks trained again: how much of their order is luck"
            rows.append(_tau("another seed", *pairs.T, note))
        return rows

    def variant(self, name: str, seed: int) -> list[Row]:
        """Fit one variant, score the table, and return its rows."""
        kind, options, note = VARIANTS[name]
        place = Workplace(
            self.table.folder,
            msgspec.structs.replace(
                self.table.config,
                hypernet=kind,
                hypernet_options=options,
                draw="uniform",
                batch=self.given.batch,
                fit_recipe=self.given.recipe,
                score_images=self.given.images,
                precision="bf16" if name == "bf16" else "fp32",
                seed=seed,
            ),
        )
        place.splits, place.data = self.table.splits, self.table.data
        place.survey = survey(place.candidates, seed=seed, draws=50)
        hypernet = self._fitted(place, name)
        candidates = [place.candidates.of(truth.choices) for truth in self.truths]
        scores = place.scorer(hypernet)(candidates)
        if name == "true" and seed == 0:
            self._draw(scores)
        rows = [self._ranked(f"{name}, fit {seed}", scores, note)]
        if name == "true":
            draws = [rng(seed, "another", number) for number in range(16)]
            others = [place.candidates.draw(generator) for generator in draws]
            scores = place.scorer(Swapped(hypernet, others))(candidates)
            note = "code of a random architecture"
            rows.append(self._ranked(f"{OTHER}, fit {seed}", scores, note))
        return rows

    def _fitted(self, place: Workplace, name: str) -> Hypernet:
        given = self.given
        what = [name.replace(" ", "-"), given.steps, place.config.seed]
        if (given.batch, given.recipe) != (BATCH, "default"):
            what += [given.batch, given.recipe]
        hypernet = place.new_hypernet()
        work = place.fit(hypernet, given.steps)
        fit(work, place.folder / "-".join(map(str, what)), place.scorer(hypernet))
        return hypernet.eval()

    def _ranked(self, what: str, scores: Sequence[Score], note: str) -> Row:
        values = np.array([score.score for score in scores])
        share = fmean(score.score_accuracy for score in scores)
        mean = f"mean score accuracy {share:.1%}, mean score {values.mean():.3f}"
        return _tau(what, values, self.accuracy, f"{mean}; {note}")

    def _draw(self, scores: Sequence[Score]) -> None:
        path = Path(__file__).parents[1] / "docs" / f"{self.given.table}.svg"
        scatter(
            path,
            100 * np.array([score.score_accuracy for score in scores]),
            100 * self.accuracy,
            ("score accuracy, generated weights, %", "accuracy on test, trained, %"),
        )


def _tau(what: str, values: np.ndarray, accuracy: np.ndarray, note: str) -> Row:
    tau, low, high = tau_with_interval(values, accuracy)
    return Row(
        what=what, value=tau, unit="tau", better="more", note=f"{low:.2f} to {high:.2f}; {note}"
    )


def tau_with_interval(values: np.ndarray, accuracy: np.ndarray) -> tuple[float, float, float]:
    """Return Kendall's tau and its 95 % interval over 2,000 resamplings of the networks."""
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(2000):
        chosen = generator.integers(0, len(values), len(values))
        drawn.append(kendalltau(values[chosen], accuracy[chosen]).statistic)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(kendalltau(values, accuracy).statistic), float(low), float(high)


if __name__ == "__main__":
    main()
