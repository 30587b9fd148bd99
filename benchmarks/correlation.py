"""How well scores rank networks that were trained for real.

    hypernas train SPACE DATA --table benchmarks/truth/NAME.jsonl.gz    # first: the ground truth
    python benchmarks/correlation.py NAME --signals sgd shared ghn [--steps 3000] [--seeds 3]

A signal gives every network of the table a value. ``sgd`` is ordinary training for 10, 100, ...
steps, by the first steps of the table's own recipe with other seeds; every other signal is the
score by a hypernetwork fitted on the table's data and space (SIGNALS says how). Each is compared
with the test accuracy after training: Kendall's tau and Pearson's r, over all networks and over the
better half, means over seeds with 95 % intervals from resampled networks and seeds; beside them
those of size alone, and the cost. Fits are kept in ``--work``; a killed run goes on by the same
command. Writes ``results/correlation_NAME.json`` (with ``--suffix`` another file beside it) and
``docs/NAME.svg`` (the first signal).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from common import Row, write
from scatter import scatter

from hypernas.candidate import Candidate, build_network
from hypernas.choices import Architecture
from hypernas.config import Config
from hypernas.files import read_json, write_json
from hypernas.fitting import RECIPES, fit
from hypernas.ground_truth import Table, Truth, place_of, read
from hypernas.hypernets import Hypernet, Weights
from hypernas.randomness import derived_seed, rng
from hypernas.ranking import pearson, tau
from hypernas.scoring import Score, Scorer
from hypernas.training import Trainer
from hypernas.workplace import Workplace

SMASH = {"hypernet": "smash"}
SIGNALS: dict[str, tuple[dict[str, Any], str]] = {
    "shared": ({"hypernet": "shared"}, "plain weight sharing"),
    "ghn": ({"hypernet": "ghn"}, "cells share message passing and hear the one before; 2 rounds"),
    "ghn2": ({"hypernet": "ghn2"}, "virtual edges, shapes, a deep decoder"),
    "ghn3": ({"hypernet": "ghn3"}, "a transformer over the graph"),
    "no norms": (
        {"hypernet": "ghn", "hypernet_options": {"norms": False}},
        "scales and shifts of norms are not written",
    ),
    "re-estimated": (
        {"hypernet": "ghn", "statistics": "reestimated"},
        "the same fit; norms by statistics of the fit split",
    ),
    "distilled": ({"hypernet": "ghn"}, "from the best network of --teacher"),
    # what the graph hypernetworks paper takes away, for tables of cells
    **{
        f"stacking {name}": ({"hypernet": "ghn", "hypernet_options": {"stacking": name}}, note)
        for name, note in {
            "shared": "cells share message passing, nothing is passed on",
            "own-passed": "each cell has message passing of its own, and hears the one before",
            "own": "each cell has message passing of its own, nothing is passed on",
            "position": "a learned vector for a cell's position in place of what is passed on",
            "flat": "one graph without cells",
        }.items()
    },
    **{
        f"{rounds} rounds {scheme}": (
            {"hypernet": "ghn", "hypernet_options": {"rounds": rounds, "scheme": scheme}},
            "of message passing in each cell",
        )
        for rounds in (0, 1, 5)
        for scheme in ("forward-backward", "synchronous")
    },
    **{
        f"{name}={value}": ({"hypernet": "ghn", "hypernet_options": {name: value}}, note)
        for name, value, note in (
            ("aggregation", "mean", "of the messages"),
            ("aggregation", "max", "of the messages"),
            ("update", "lstm", "cell that updates a state"),
            ("update", "plain", "the tanh of a sum updates a state"),
            ("state", 16, "numbers in a state"),
            ("state", 64, "numbers in a state"),
            ("depth", 3, "layers of the MLP that writes weights"),
            ("mlp", "kind", "an MLP for each kind of operation"),
        )
    },
    **{
        f"{nodes} nodes": (
            {"hypernet": "ghn", "fit_options": {"nodes": nodes}},
            "in the cells that the hypernetwork is trained on",
        )
        for nodes in (3, 5)
    },
    # SMASH's experiments, for tables of memory-bank networks
    "smash": (SMASH, "as in the paper: 1×1 convolutions of ops are generated"),
    "small generator": (
        SMASH | {"hypernet_options": {"layers": (2,), "growth": 2}},
        "two layers of two channels",
    ),
    "free capacity": (
        SMASH | {"hypernet_options": {"generated": "0.2", "share": "op"}},
        "one op in five is generated, the others have k×k and 1×1 weights of their own",
    ),
    "all generated": (SMASH | {"hypernet_options": {"generated": "all"}}, "k×k convolutions too"),
    "embedding": (
        SMASH | {"hypernet_options": {"encoding": "embedding"}},
        "a learned embedding of the encoding",
    ),
    "counts": (
        SMASH | {"hypernet_options": {"encoding": "counts"}},
        "how many units are read and written, no more",
    ),
    "attention": (SMASH | {"hypernet_options": {"generator": "attention"}}, "over slices"),
    "gated": (SMASH | {"hypernet_options": {"generator": "gated"}}, "tanh · sigmoid convolutions"),
    "layer norm": (SMASH | {"hypernet_options": {"normalise": "layer"}}, "in the generator"),
    "no norm": (SMASH | {"hypernet_options": {"normalise": "none"}}, "none in the generator"),
    "norms generated": (SMASH | {"hypernet_options": {"norms": True}}, "scales and shifts too"),
    "unit": (
        SMASH | {"hypernet_options": {"scale": "unit"}},
        "generated weights normalised per output unit",
    ),
    "bf16": (SMASH | {"precision": "bf16"}, "networks in bfloat16"),
}
SAME_FIT = {"re-estimated": "ghn"}
"""signals that only score otherwise than another"""
TRUTH = Path(__file__).parent / "truth"
OTHERS = 16
"""architectures whose encodings stand in for a network's own"""


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
    """Measure every signal, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", help="name of the ground truth")
    parser.add_argument("--signals", nargs="*", choices=["sgd", *SIGNALS], default=["sgd", "ghn"])
    parser.add_argument("--steps", type=int, default=3000, help="of each fit")
    parser.add_argument("--batch", type=int, default=64, help="of each fit")
    parser.add_argument("--recipe", choices=RECIPES, default="default", help="of each fit")
    parser.add_argument("--sgd-steps", nargs="*", type=int, default=[10, 100, 200, 1000])
    parser.add_argument("--images", type=int, default=1000, help="validation images of a score")
    parser.add_argument("--seeds", type=int, default=1, help="fits of each signal")
    parser.add_argument("--sgd-seeds", type=int, default=1, help="trainings of each network")
    parser.add_argument("--teacher", help="a finished run, for the signal distilled")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--work", type=Path, default=Path("runs/correlation"))
    parser.add_argument("--suffix", default="", help="of the results file of some signals alone")
    given = parser.parse_args()
    if "distilled" in given.signals and not given.teacher:
        parser.error("the signal distilled needs --teacher RUN")
    torch.set_num_threads(1)
    bench = Bench(read(TRUTH / f"{given.table}.jsonl.gz"), given)
    rows = bench.size_rows()
    for name in given.signals:
        rows += bench.sgd_rows() if name == "sgd" else bench.fit_rows(name)
        write(Path(__file__), rows, suffix=given.table + given.suffix)


class Bench:
    """A table of ground truth, and what is measured against it."""

    def __init__(self, known: Table, given: argparse.Namespace) -> None:
        self.given, self.epochs = given, known.setting.recipe.epochs
        self.table = place_of(known.setting, given.work / given.table, device=given.device)
        self.truths = known.networks
        self.accuracy = np.array([truth.accuracy(0) for truth in self.truths], dtype=float)
        self.drawn = False

    # -- what costs nothing -----------------------------------------------------------------------

    def size_rows(self) -> list[Row]:
        """Describe the table, and how well size alone ranks its networks."""
        low, middle, high = 100 * np.quantile(self.accuracy, [0.0, 0.5, 1.0])
        hours = sum(trial.seconds for truth in self.truths for trial in truth.trials) / 3600
        note = f"{len(self.truths)} networks, {low:.1f} to {high:.1f}; {hours:.1f} CPU-hours"
        rows = [
            Row(
                what="median test accuracy", value=float(middle), unit="%", better="more", note=note
            )
        ]
        for name in ("params", "macs"):
            sizes = np.array([[getattr(truth, name) for truth in self.truths]])
            rows += compared(f"{name} alone", sizes, self.accuracy, "the bigger the better")
        again = np.array([truth.accuracy(1) for truth in self.truths], dtype=float)
        twice = ~np.isnan(again)
        if sum(twice) > 3:
            note = f"the same {sum(twice)} networks trained again: how much of their order is luck"
            rows += compared("another seed", again[twice][None], self.accuracy[twice], note)
        return rows

    # -- some steps of ordinary training ----------------------------------------------------------

    def sgd_rows(self) -> list[Row]:
        """Compare ordinary training for some steps."""
        total = self.epochs * self.table.train_batches.batches_per_epoch
        steps = [count for count in self.given.sgd_steps if count < total]
        for count in self.given.sgd_steps:
            if count >= total:
                print(f"sgd {count} is left out: the whole training has {total} steps")
        found = [self._trained(seed, steps) for seed in range(1, self.given.sgd_seeds + 1)]
        rows = []
        for place, count in enumerate(steps):
            values = np.array([[line["scores"][place] for line in lines] for lines in found])
            cost = np.mean([[line["seconds"][place] for line in lines] for lines in found])
            note = f"{cost:.1f} CPU seconds a network; the whole training has {total} steps"
            rows += compared(f"sgd {count}", values, self.accuracy, note)
        return rows

    def _trained(self, seed: int, steps: Sequence[int]) -> list[dict[str, Any]]:
        """Return scores and CPU seconds of each network after so many steps."""
        path = self.table.folder / f"sgd-{'-'.join(map(str, steps))}-{seed}.json"
        lines = read_json(path) if path.exists() else []
        scorer = self.table.scorer(self.table.new_hypernet())
        for truth in self.truths[len(lines) :]:
            lines.append(self._train(truth, seed, steps, scorer))
            write_json(path, lines)
        return lines

    def _train(
        self, truth: Truth, seed: int, steps: Sequence[int], scorer: Scorer
    ) -> dict[str, Any]:
        place = self.table
        candidate = place.candidates.of(truth.choices)
        own = derived_seed(place.config.seed, "sgd", seed)
        module = build_network(place.space, truth.choices, place.signature, seed=own)
        batches, recipe = place.train_batches, place.recipe(self.epochs)
        trainer = Trainer(module, batches, place.task, recipe, place.folder, seed=own)
        optimiser = trainer.optimiser()
        line: dict[str, Any] = {"scores": [], "seconds": []}
        began = time.process_time()
        while trainer.step < steps[-1]:
            trainer.advance(optimiser)
            if trainer.step in steps:
                line["seconds"].append(time.process_time() - began)
                weights = {name: tensor.detach() for name, tensor in module.named_parameters()}
                line["scores"].append(scorer.judge(candidate, weights).score)
        return line

    # -- hypernetworks ----------------------------------------------------------------------------

    def fit_rows(self, name: str) -> list[Row]:
        """Compare the scores by a hypernetwork, one fit a seed."""
        scores, others, costs = [], [], []
        for seed in range(self.given.seeds):
            place = self._place(name, seed)
            hypernet, cost = self._fitted(place, name)
            found, each = self._kept(place, hypernet, name)
            scores.append(found)
            costs.append((cost, each))
            if name == "smash":
                draws = [rng(seed, "another", number) for number in range(OTHERS)]
                swapped = Swapped(hypernet, [place.candidates.draw(draw) for draw in draws])
                others.append(self._kept(place, swapped, "another's encoding")[0])
        if not self.drawn:
            self._draw(scores[0])
        minutes, each = np.mean(costs, axis=0) / (60, 1)
        note = f"{SIGNALS[name][1]}; {minutes:.0f} CPU-minutes a fit, {each:.2f} s a score"
        rows = self._scored(name, scores, note)
        if others:
            rows += self._scored("another's encoding", others, "code of a random architecture")
        return rows

    def _place(self, name: str, seed: int) -> Workplace:
        """Return where a hypernetwork is fitted: the table's data, its own options."""
        given = self.given
        settings: dict[str, Any] = {
            "draw": "uniform",
            "batch": given.batch,
            "fit_recipe": given.recipe,
            "score_images": given.images,
            "seed": seed,
        } | SIGNALS[name][0]
        if name == "distilled":
            settings["teacher"] = given.teacher
        config: Config = msgspec.structs.replace(self.table.config, **settings)
        place = Workplace(self.table.folder, config)
        place.splits, place.data = self.table.splits, self.table.data
        place.look(50)
        return place

    def _fitted(self, place: Workplace, name: str) -> tuple[Hypernet, float]:
        """Return the fitted hypernetwork and the CPU seconds that this took."""
        hypernet = place.new_hypernet()
        work = place.fit(hypernet, self.given.steps)
        fit(work, self._folder(place, SAME_FIT.get(name, name)), place.scorer(hypernet))
        return hypernet.eval(), work.seconds

    def _kept(self, place: Workplace, hypernet: Hypernet, name: str) -> tuple[list[Score], float]:
        """Return the table's scores and the CPU seconds of each."""
        path = self._folder(place, name) / f"scores-{self.given.images}-{len(self.truths)}.json"
        return kept_scores(place, hypernet, [truth.choices for truth in self.truths], path)

    def _folder(self, place: Workplace, name: str) -> Path:
        given, config = self.given, place.config
        what = [name, given.steps, given.batch, given.recipe, config.seed]
        what += [Path(config.teacher).name] if config.teacher else []
        return place.folder / "-".join(map(str, what)).replace(" ", "-")

    def _scored(self, name: str, fits: Sequence[Sequence[Score]], note: str) -> list[Row]:
        values = np.array([[score.score for score in scores] for scores in fits])
        share = np.mean([[score.score_accuracy for score in scores] for scores in fits])
        mean = f"mean score accuracy {share:.1%}, mean score {values.mean():.3f}"
        return compared(name, values, self.accuracy, f"{mean}; {note}")

    def _draw(self, scores: Sequence[Score]) -> None:
        self.drawn = True
        scatter(
            Path(__file__).parents[1] / "docs" / f"{self.given.table}.svg",
            np.array([score.score for score in scores]),
            100 * self.accuracy,
            ("score: minus the loss with generated weights", "accuracy on test, trained, %"),
        )


def kept_scores(
    place: Workplace, hypernet: Hypernet, architectures: Sequence[Architecture], path: Path
) -> tuple[list[Score], float]:
    """Return the scores of architectures and the CPU seconds of each; they are worked out once."""
    if not path.exists():
        networks = [place.candidates.of(choices) for choices in architectures]
        began = time.process_time()
        scores = place.scorer(hypernet)(networks)
        write_json(path, (scores, (time.process_time() - began) / len(networks)))
    return read_json(path, tuple[list[Score], float])


STATISTICS = {"tau": tau, "Pearson r": pearson}


def compared(what: str, values: np.ndarray, accuracy: np.ndarray, note: str) -> list[Row]:
    """Return a row for each statistic, over all networks and over the better half.

    Args:
        what: the signal.
        values: of each seed and network, (seeds, networks).
        accuracy: of each network, trained.
        note: stands with the first row.
    """
    rows = []
    better = accuracy >= np.median(accuracy)
    for name, statistic in STATISTICS.items():
        for suffix, chosen in (("", np.full(len(accuracy), True)), (", better half", better)):
            found = statistic(values[:, chosen], accuracy[chosen])
            each = [f"{statistic(fit[chosen], accuracy[chosen]).value:.2f}" for fit in values]
            fits = f"; each seed {', '.join(each)}" if len(each) > 1 else ""
            text = f"{found.low:.2f} to {found.high:.2f}{fits}"
            rows.append(
                Row(
                    what=f"{what}: {name}{suffix}",
                    value=found.value,
                    unit=name,
                    better="more",
                    note=f"{text}; {note}" if not rows else text,
                )
            )
    return rows


if __name__ == "__main__":
    main()
