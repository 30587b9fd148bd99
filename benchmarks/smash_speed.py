"""What SMASH costs: fit steps and scores of new memory-bank candidates.

One thread, CPU seconds, random images of 3×32×32 and 10 classes; everything is measured in turn on
the same architectures, several times, and medians are taken over times, then architectures.

- A fit step (draw, build, encode, generate, forward, loss, backward, optimiser) against a step of
  the same module in the same layout whose generated weights are parameters of their own.
- A fit step, and scoring on one batch of 100 images, against a plain version of the same network
  and the same function (``plain_smash.py``).
- Encoding one architecture.

    python benchmarks/smash_speed.py [--architectures 6] [--repeats 3] [--only "S early"]

Peer figures are of the public code of 2017, ported, on another processor, against its own network
with free weights.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import Row, write
from plain_smash import PlainSmash
from torch import nn
from torch.nn import functional as F

from hypernas import hypernets
from hypernas.candidate import Candidate, Candidates
from hypernas.choices import Draw
from hypernas.data import Batches, Examples, Normalisation
from hypernas.draws import Draws
from hypernas.fitting import RECIPES, Fit, FitOptions
from hypernas.randomness import rng
from hypernas.scoring import Scorer
from hypernas.spaces import find
from hypernas.spaces.banks.architecture import drawn
from hypernas.survey import Survey
from hypernas.tasks import Classification, Signature

DATA = Signature(input_shape=(3, 32, 32), outputs=10)
CLASSIC = {"preset": "classic", "structures": ["1"], "stem_stride": 1}
SIZES = {
    "S": {"width": 2, "unit": 4, "cap": 4, "groups": 4},
    "M": {"width": 2, "unit": 8, "cap": 4},
    "L": {"width": 4, "unit": 8, "cap": 8},
}
SETTINGS = {
    # goal and peer of a fit step against free weights
    "S early": (1.15, "1.22"),
    "S late": (1.15, "1.06"),
    "M early": (1.15, "1.09"),
    "M late": (1.05, "1.04"),
    "L early": (1.05, "1.09"),
    "L late": (1.05, "1.03"),
}
"""early: the draws at the begin of an annealed fit; late: those of its second half"""
SCORED = 100
"""images"""
STEPS = 10**9
"""of a fit so long that it stays as annealed as it begins"""
OPS = 35
"""of the architecture that is encoded"""


def main() -> None:
    """Measure every row, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architectures", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=SETTINGS, help="one configuration, printed only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[list[Row]] = []
    for setting in [arguments.only] if arguments.only else SETTINGS:
        bench = Bench(setting, arguments.architectures)
        rows.append([*bench.fit_rows(arguments.repeats), bench.score_row(arguments.repeats)])
        print(*(f"{row.what}: {row.value:.3g} ({row.note})" for row in rows[-1]), sep="\n")
        sys.stdout.flush()
    if not arguments.only:
        grouped = [row for group in zip(*rows, strict=True) for row in group]
        write(Path(__file__), [*grouped, encode_row()])


def space_of(size: str, **options: float) -> Candidates:
    """Return the candidates of a size."""
    return Candidates(find("memory-bank", CLASSIC | SIZES[size] | options), DATA)


class Bench:
    """One configuration, with all three versions of its network."""

    def __init__(self, setting: str, architectures: int) -> None:
        self.setting, self.count = setting, architectures
        size, stage = setting.split()
        self.ease = float(stage == "late")
        self.candidates = space_of(size)
        generator = np.random.default_rng(0)
        images = generator.integers(0, 256, (1000, *DATA.input_shape), dtype=np.uint8)
        self.examples = Examples(images, generator.integers(0, 10, 1000))
        recipe = RECIPES["classic"]
        annealed = 0.0 if self.ease else float(STEPS)
        self.draws = Draws(
            self.candidates, Survey(drawn=[]), by="uniform", annealed=annealed, seed=0
        )
        self.met = [self.draws(step) for step in range(architectures)]
        self.hypernet = hypernets.make("smash", example=self.met[0])
        self.hypernet.table.orthogonal = recipe.orthogonal
        self.hypernet.prepare(self.met)
        self.settings = space_of(size, ease=self.ease).draw(rng(0)).module.encoding.settings
        self.plain = PlainSmash(self.hypernet, self.settings)
        self.check()
        batches = self.batches(recipe.batch)
        options = FitOptions(steps=STEPS, recipe=recipe)
        self.fit = Fit(self.hypernet, self.draws, batches, Classification(), options)
        self.plain_batches = self.batches(recipe.batch, channels_last=False)

    def batches(self, size: int, *, channels_last: bool = True) -> Batches:
        """Return batches of the random images."""
        return Batches(
            examples=self.examples,
            batch_size=size,
            encoding=Normalisation.of(self.examples),
            channels_last=channels_last,
        )

    def check(self) -> None:
        """Refuse to compare versions that compute different functions."""
        images, _ = self.batches(20).random(0, "check", 0)
        hypernet = copy.deepcopy(self.hypernet).eval()
        for candidate in self.met[:2]:
            with torch.no_grad():
                ours = candidate(hypernet([candidate])[0], images)
                encoding = candidate.module.encoding
                noise = hypernet._noise(encoding.map().values.shape[1])
                theirs = self.plain.logits(encoding.blocks, images.contiguous(), noise)
            torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-3)

    # -- fit steps --------------------------------------------------------------------------------

    def fit_rows(self, repeats: int) -> list[Row]:
        """Compare a fit step with one of free weights and with a plain one."""
        self.hypernet.train()
        free, plain, ours, first = [], [], [], []
        for step, candidate in enumerate(self.met):
            works = (
                lambda s=step: self._ours(s),
                self._free(candidate, step),
                lambda s=step: self._plain(s),
            )
            times = [[] for _ in works]
            for turn in range(repeats):  # in turn, for each leaves its memory to the next
                for number in sorted(range(len(works)), key=lambda n: (n + turn) % len(works)):
                    times[number].append(cpu(works[number]))
            mine, alone, other = (statistics.median(column) for column in times)
            ours.append(mine)
            free.append(mine / alone)
            plain.append(mine / other)
            first.append(times[0][0] / mine)
        goal, peer = SETTINGS[self.setting]
        return [
            Row(
                what=f"fit step / step of the same network with free weights, {self.setting}",
                value=statistics.median(free),
                goal=goal,
                peer=peer,
                note=f"{among(free)}; {1000 * statistics.median(ours):.0f} ms a step, the first "
                f"with an architecture {statistics.median(first):.2f} times as long",
            ),
            Row(
                what=f"candidate step here / plain version, {self.setting}",
                value=statistics.median(plain),
                goal=0.75,
                note=among(plain),
            ),
        ]

    def _ours(self, step: int) -> None:
        """Do the whole step of a candidate that nobody remembers."""
        self.candidates._known.clear()
        self.fit.step = step
        self.fit.advance()

    def _free(self, candidate: Candidate, step: int) -> Callable[[], object]:
        """Return a step of a module whose generated weights are parameters of their own."""
        sheet = self.hypernet._sheet(candidate)
        weights = self.hypernet([candidate])[0]
        own = {p.name: nn.Parameter(weights[p.name].detach().clone()) for p in sheet.pieces}
        table, recipe = self.hypernet.table, self.fit.options.recipe
        optimiser = torch.optim.Adam(
            [{"params": [*own.values()], "weight_decay": 0.0}, {"params": [*table.parameters()]}],
            lr=recipe.rate,
            betas=recipe.betas,
            eps=recipe.eps,
            weight_decay=recipe.weight_decay,
        )
        candidate.module.train()

        def advance() -> None:
            images, targets = self.fit.batches.random(0, "fit", step)
            scaled = {name: self.hypernet.heads._scaled(value) for name, value in own.items()}
            outputs = candidate(table.look_up(sheet.free) | scaled, images)
            loss = F.cross_entropy(outputs, targets)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss.item()

        return advance

    def _plain(self, step: int) -> None:
        blocks = drawn(Draw(rng(0, "draw", step, 0)), self.settings)
        self.plain.step(blocks, *self.plain_batches.random(0, "fit", step))

    # -- scores -----------------------------------------------------------------------------------

    def score_row(self, repeats: int) -> Row:
        """Compare candidates scored in a second, from the draw to the score."""
        task = Classification()
        scorer = Scorer(self.hypernet, self.batches(SCORED), task, images=SCORED, seed=0)
        images, targets = (t.contiguous() for t in scorer.batches[0])

        def ours() -> None:
            self.candidates._known.clear()
            rngs = [rng(0, "draw", step, 0) for step in range(self.count)]
            scorer([self.candidates.draw(r, ease=self.ease) for r in rngs], block=self.count)

        @torch.no_grad()
        def plain() -> None:
            for step in range(self.count):
                blocks = drawn(Draw(rng(0, "draw", step, 0)), self.settings)
                losses, right = task.judge(self.plain.logits(blocks, images), targets)
                _ = losses.mean().item(), right.mean().item()

        times = [(cpu(ours), cpu(plain)) for _ in range(max(1, repeats - 1))]
        ratios = [theirs / mine for mine, theirs in times]
        rate = self.count / statistics.median(mine for mine, _ in times)
        return Row(
            what=f"scoring here / plain version, {self.setting}",
            value=statistics.median(ratios),
            goal=1.8,
            better="more",
            note=f"{among(ratios)}; {rate:.1f} candidates a second here, blocks of {self.count}",
        )


def encode_row() -> Row:
    """Measure the encoding of one architecture of the largest size."""
    candidates = space_of("L")
    found = (candidates.draw(rng(0, "encode", n)).module.encoding for n in itertools.count())
    encoding = next(encoding for encoding in found if len(encoding.ops) == OPS)
    times = [cpu(encoding.map) for _ in range(200)]
    return Row(
        what="encode one architecture",
        value=1000 * statistics.median(times),
        unit="ms",
        goal=1.0,
        note=f"{OPS} ops, {encoding.map().values.shape[1]} slices; median of {len(times)}",
    )


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds of ``work``."""
    began = time.process_time()
    work()
    return time.process_time() - began


def among(values: list[float]) -> str:
    """Describe from where to where the values lie."""
    return f"{min(values):.2f} to {max(values):.2f}"


if __name__ == "__main__":
    main()
