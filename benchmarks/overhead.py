"""What a hypernetwork costs beside the candidates themselves.

Medians of interleaved pairs, one thread, CPU seconds, batches of 64 images of 3×32×32:

- a fit step, from the draw to the optimiser, against forward, loss, backward and SGD of the built
  eager module in the default layout;
- scoring, from choices to a score on one batch, against that module's bare forward pass.

    python benchmarks/overhead.py [--pairs 15] [--hypernet ghn]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from common import Row, write

from hypernas import hypernets
from hypernas.candidate import Candidate, Candidates, build_network
from hypernas.data import Augmentation, Batches, Examples, Normalisation
from hypernas.draws import Draws
from hypernas.fitting import Fit, FitOptions
from hypernas.scoring import BLOCK, Scorer
from hypernas.spaces import find
from hypernas.survey import survey
from hypernas.tasks import Classification, Signature

BATCH = 64
DATA = Signature(input_shape=(3, 32, 32), outputs=10)
SETTINGS = (
    ("cell", 5, {"cells": 5}),
    ("cell", 8, {"cells": 8}),
    ("nas-bench-201", 3, {"cells": 1}),
    ("nas-bench-201", 15, {"cells": 5}),
)
"""space, cells in the network, options"""


def main() -> None:
    """Measure every row, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15, help="interleaved pairs of each row")
    parser.add_argument("--hypernet", default="ghn", help="which hypernetwork")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for space, cells, options in SETTINGS:
        bench = Bench(space, {"width": 16} | options, arguments.hypernet)
        rows += [bench.fit_row(f"{space} {cells}", seen, arguments.pairs) for seen in (False, True)]
        rows += [bench.score_row(f"{space} {cells}", s, arguments.pairs) for s in (False, True)]
    write(Path(__file__), rows)


class Bench:
    """One space with a hypernetwork, synthetic images, and the measurements on them."""

    def __init__(
        self, space: str, options: dict[str, int], hypernet: str, *, surveyed: int = 300
    ) -> None:
        self.space = find(space, options)
        self.candidates = Candidates(self.space, DATA)
        generator = np.random.default_rng(0)
        images = generator.integers(0, 256, (1024, *DATA.input_shape), dtype=np.uint8)
        examples = Examples(images, generator.integers(0, 10, 1024))
        self.batches = Batches(
            examples=examples,
            batch_size=BATCH,
            encoding=Normalisation.of(examples),
            augmentation=Augmentation(flip=True, crop=4),
            channels_last=True,
        )
        draws = Draws(
            self.candidates,
            survey(self.candidates, seed=0, draws=surveyed),
            by="balanced",
            seed=0,
        )
        made = hypernets.make(hypernet)
        self.fit = Fit(made, draws, self.batches, Classification(), FitOptions(steps=10_000))
        self.scorer = Scorer(made, self.batches, Classification(), images=BATCH, seed=0)

    def fit_row(self, where: str, seen: bool, pairs: int) -> Row:
        """Compare steps of the hypernetwork with steps of the network alone."""
        ratios = self.fit_ratios(seen, pairs)
        return Row(
            what=f"fit step / plain step, {where}, {'seen' if seen else 'new'} candidate",
            value=statistics.median(ratios),
            goal=1.15 if seen else 1.30,
            better="less",
            peer="GHN-2 1.5, GHN-3-T 1.3 (graphs stored)",
            note=f"middle half {spread(ratios)}",
        )

    def fit_ratios(self, seen: bool, pairs: int) -> list[float]:
        """Return the cost of steps of the hypernetwork over that of steps of the network alone."""
        ratios = []
        for _ in range(pairs + 2):
            candidate = self.fit.draws(self.fit.step)
            self.candidates._known.clear()
            step = self._seen_step(candidate) if seen else cpu(self.fit.advance)
            ratios.append(step / cpu(self._plain_step(candidate)))
        return ratios[2:]

    def _seen_step(self, candidate: Candidate) -> float:
        """Return the CPU seconds of a second step with one candidate."""
        kept = self.fit.draws
        self.fit.draws = lambda step, position: candidate  # ty: ignore[invalid-assignment]
        self.fit.advance()  # from here on its tables are known
        seconds = cpu(self.fit.advance)
        self.fit.draws = kept
        return seconds

    def _plain_step(self, candidate: Candidate) -> Callable[[], object]:
        """Return a step of the built module in the default layout, warmed up."""
        module = build_network(self.space, candidate.choices, DATA, seed=0)
        optimiser = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        images, targets = self.batches.random(0, "plain", 0)
        images = images.contiguous()

        def step() -> None:
            loss = torch.nn.functional.cross_entropy(module(images), targets)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

        step()
        return step

    def score_row(self, where: str, seen: bool, pairs: int) -> Row:
        """Compare scoring a block of candidates with their bare forward passes."""
        ratios = []
        for number in range(max(3, pairs // 3)):
            block = list(self._block(number + 1000 * seen))
            choices = [candidate.choices for candidate in block]
            if not seen:
                self.candidates._known.clear()
            score = cpu(lambda c=choices: self.scorer([self.candidates.of(x) for x in c]))
            bare = sum(cpu(self._forward(candidate)) for candidate in block)
            ratios.append(bare / score)
        return Row(
            what=f"score / bare forward, {where}, {'seen' if seen else 'new'} candidate",
            value=statistics.median(ratios),
            goal=0.85 if seen else 0.75,
            better="more",
            peer="0.56 to 0.80",
            note=f"rate, blocks of {BLOCK}; middle half {spread(ratios)}",
        )

    def _block(self, number: int) -> Iterator[Candidate]:
        for position in range(BLOCK):
            yield self.candidates.draw(random.Random(f"{number}/{position}"))

    def _forward(self, candidate: Candidate) -> Callable[[], object]:
        module = build_network(self.space, candidate.choices, DATA, seed=0)
        images = self.batches.random(0, "plain", 0)[0].contiguous()

        @torch.no_grad()
        def forward() -> None:
            module(images)

        forward()
        return forward


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds of ``work``."""
    began = time.process_time()
    work()
    return time.process_time() - began


def spread(values: list[float]) -> str:
    """Describe the middle half of the values."""
    low, _, high = statistics.quantiles(values, n=4)
    return f"{low:.2f} to {high:.2f}"


if __name__ == "__main__":
    main()
