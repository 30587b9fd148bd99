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
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Row, write
from scatter import scatter
from scipy.stats import kendalltau
from smash_truth import Setting, Truth, Work, read

from hypernas import hypernets
from hypernas.candidate import Candidate
from hypernas.fitting import RECIPES, Fit, FitOptions, fit
from hypernas.hypernets import Hypernet, Weights
from hypernas.hypernets.table import Table
from hypernas.randomness import derived_seed, rng
from hypernas.scoring import Scorer
from hypernas.survey import Draws, survey

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
        self.work = Work(setting, given.device)
        self.given = given
        self.truths = [truth for truth in truths if truth.seed == 0]
        self.twice = [truth for truth in truths if truth.seed == 1]
        self.accuracy = np.array([truth.test_accuracy for truth in self.truths])
        self.candidates = [self.work.candidates.of(truth.choices) for truth in self.truths]

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
            rows.append(self._tau(f"{name} alone", sizes, "the bigger the better"))
        first = {truth.number: truth.test_accuracy for truth in self.truths}
        if len(self.twice) > 2:
            pairs = np.array([(first[t.number], t.test_accuracy) for t in self.twice])
            tau = kendalltau(pairs[:, 0], pairs[:, 1]).statistic
            note = f"two trainings of {len(pairs)} networks: no score can do better"
            rows.append(Row(what="another seed", value=tau, unit="tau", better="more", note=note))
        return rows

    def variant(self, name: str, seed: int) -> list[Row]:
        """Fit one variant, score the table, and return its rows."""
        kind, options, note = VARIANTS[name]
        began = time.process_time()
        hypernet = self._fitted(name, kind, options, seed)
        spent = time.process_time() - began
        rows = [self._scored(name, hypernet, seed, f"{note}; {spent / 60:.0f} CPU-minutes")]
        if name == "true":
            draws = [rng(seed, "another", number) for number in range(16)]
            others = [self.work.candidates.draw(generator) for generator in draws]
            swapped = Swapped(hypernet, others)
            rows.append(self._scored(OTHER, swapped, seed, "code of a random architecture"))
        return rows

    def _fitted(self, name: str, kind: str, options: dict[str, Any], seed: int) -> Hypernet:
        work, given = self.work, self.given
        recipe = RECIPES[given.recipe]
        hypernet = hypernets.make(kind, options, example=self.candidates[0], seed=seed)
        hypernet.to(given.device)
        for part in hypernet.modules():
            if isinstance(part, Table):
                part.orthogonal = recipe.orthogonal
        known = survey(work.candidates, seed=seed, draws=50)
        fitting = FitOptions(
            steps=given.steps,
            recipe=recipe,
            precision="bf16" if name == "bf16" else "fp32",
            seed=seed,
        )
        annealed = recipe.anneal * given.steps
        draws = Draws(work.candidates, known, balanced=False, annealed=annealed, seed=seed)
        batches = work.batches(work.splits.fit, given.batch, augment=True)
        what = [name.replace(" ", "-"), given.steps, seed]
        if (given.batch, given.recipe) != (BATCH, "default"):
            what += [given.batch, given.recipe]
        folder = given.work / given.table / "-".join(map(str, what))
        fit(Fit(hypernet, draws, batches, work.task, fitting), folder, self._scorer(hypernet, name))
        return hypernet.eval()

    def _scorer(self, hypernet: Hypernet, name: str) -> Scorer:
        work = self.work
        return Scorer(
            hypernet,
            work.batches(work.splits.validation, 250),
            work.task,
            images=self.given.images,
            seed=0,
            precision="bf16" if name == "bf16" else "fp32",
        )

    def _scored(self, name: str, hypernet: Hypernet, seed: int, note: str) -> Row:
        scores = self._scorer(hypernet, name)(self.candidates)
        values = np.array([score.score for score in scores])
        shares = np.array([score.score_accuracy for score in scores])
        if name == "true" and seed == 0:
            self._draw(shares)
        mean = f"mean score accuracy {shares.mean():.1%}, mean score {values.mean():.3f}"
        return self._tau(f"{name}, fit {seed}", values, f"{mean}; {note}")

    def _draw(self, shares: np.ndarray) -> None:
        path = Path(__file__).parents[1] / "docs" / f"{self.given.table}.svg"
        scatter(
            path,
            100 * shares,
            100 * self.accuracy,
            ("score accuracy, generated weights, %", "accuracy on test, trained, %"),
        )

    def _tau(self, what: str, values: np.ndarray, note: str) -> Row:
        tau, low, high = tau_with_interval(values, self.accuracy)
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
