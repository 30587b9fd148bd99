"""Anytime prediction: networks found in the space `anytime` against hand-made ones.

    python benchmarks/anytime.py --data fashion-mnist [--examples 10000] [--width 8]
        [--steps 1500] [--trials 300] [--finalists 3] [--epochs 8] [--seeds 3]
        [--budget-scale linear] [--work runs/anytime]

A search as a user runs it; then a DenseNet with exits, an MSDNet and an ensemble of sizes, as large
as the budgets allow, are trained by the recipe of the run on its data, with its seeds. Each curve
is read on the test split; which exit answers within a budget is decided on the validation split.
Prints and writes the means over the budgets, and accuracies at five budgets; draws the curves. It
goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import msgspec
import numpy as np
import torch
from anytime_baselines import Dense, MSDNet, costs, sized
from common import Row, write
from scatter import curves
from torch import Tensor, nn

from hypernas.config import Config
from hypernas.curves import Budgets, Reached, gathered, judge_exits, on_test
from hypernas.data import Batches
from hypernas.flags import parse_options
from hypernas.randomness import derived_seed
from hypernas.results import TrainedExit
from hypernas.runs import Run
from hypernas.tasks import final
from hypernas.training import Trainer, answered
from hypernas.workplace import MEASURE_BATCH, Workplace

MEMBERS = (1 / 15, 2 / 15, 4 / 15, 8 / 15)
"""what the networks of the ensemble may cost, as shares of the most"""
DOCS = Path(__file__).parent.parent / "docs"


Curve = list[TrainedExit]
"""what one training reaches: silence, then each exit"""


def main() -> None:
    """Search, train the hand-made networks, print the table, draw the curves."""
    given = _arguments()
    run = Run.start(given.work / "search", _config(given)).everything()
    place, budgets = run.place, run.place.budgets
    assert budgets is not None
    networks = run.result.finalists
    found = {
        "found": [t.curve for t in max(networks, key=lambda n: n.val_accuracy).seeds],
        "random, mean": [t.curve for n in run.result.random for t in n.seeds],
    }
    for name, train in _baselines(place, budgets).items():
        kept = given.work / f"{name}.json"
        done = msgspec.json.decode(kept.read_bytes(), type=list[Curve]) if kept.exists() else []
        for seed in range(len(done), place.plan.seeds):
            done.append(train(seed))
            kept.write_bytes(msgspec.json.encode(done))
            last = done[-1][-1]
            print(f"{name}, seed {seed}: {last.test_accuracy:.2%} at {last.macs:,} MACs")
        found[name] = done
    _write(found, budgets, place, given.suffix)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=8, help="of the searched networks")
    parser.add_argument("--set", nargs="*", default=[], help="other options of the space")
    parser.add_argument("--hypernet", default="ghn")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--finalists", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--survey", type=int, default=300)
    parser.add_argument("--budget-scale", choices=["linear", "log"], default="linear")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--work", type=Path, default=Path("runs/anytime"))
    parser.add_argument("--suffix", default="", help="of the names of the files written")
    return parser.parse_args()


def _config(given: argparse.Namespace) -> Config:
    names = ("data", "hypernet", "steps", "trials", "finalists", "epochs", "seeds", "survey")
    names += ("budget_scale", "workers", "device")
    return Config(
        space="anytime",
        options={"width": given.width} | parse_options(given.set),
        examples=given.examples or None,
        best_epochs=0,
        **{name: getattr(given, name) for name in names},
    )


def _baselines(place: Workplace, budgets: Budgets) -> dict[str, Callable[[int], Curve]]:
    """Return what trains each hand-made network with a seed."""
    data, most = place.signature, budgets.high

    def dense(growth: int, layers: int) -> nn.Module:
        return Dense(data, growth, layers)

    def msdnet(growth: int, layers: int) -> nn.Module:
        return MSDNet(data, growth, layers, every=max(layers // 5, 1))

    def single(growth: int, layers: int) -> nn.Module:
        return Dense(data, growth, layers, every=None)

    sizes = {
        "DenseNet with exits": (dense, sized(dense, range(3, 6), data, most)),
        "MSDNet": (msdnet, sized(msdnet, range(5, 12), data, most)),
    }
    members = [sized(single, range(1, 5), data, share * most) for share in MEMBERS]
    for name, (_, size) in sizes.items():
        print(f"{name}: growth {size[0]}, {size[1]} layers")
    print("ensemble: growth and layers", *members)

    def one(make: Any, size: tuple[int, int]) -> Callable[[int], Curve]:
        return lambda seed: _together(place, [_trained(place, lambda: make(*size), seed)])

    found = {name: one(make, size) for name, (make, size) in sizes.items()}
    found["ensemble of sizes"] = lambda seed: _together(
        place,
        [
            _trained(place, lambda size=size: single(*size), derived_seed(seed, number))
            for number, size in enumerate(members)
        ],
    )
    return found


def _trained(place: Workplace, make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return a network trained by the recipe of the run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "initialisation"))
        module = make()
    recipe = place.recipe(place.plan.epochs)
    own = derived_seed(place.config.seed, "training", seed)
    trainer = Trainer(module, place.train_batches, place.task, recipe, place.folder, seed=own)
    optimiser = trainer.optimiser()
    with torch.random.fork_rng(devices=[]):
        while trainer.step < trainer.steps:
            trainer.advance(optimiser)
    return module


def _together(place: Workplace, modules: Sequence[nn.Module]) -> Curve:
    """Return the curve of a network's exits; of several networks, that of their mean.

    Several are run one after the other, the smallest first, and the mean of the probabilities so
    far is the answer.
    """
    macs = np.cumsum([costs(module, place.signature)[-1] for module in modules]).tolist()
    if len(modules) == 1:
        macs = list(costs(modules[0], place.signature))
    test = place.batches(place.splits.test, MEASURE_BATCH)
    val, tested = (_reached(place, modules, b) for b in (place.validation_batches, test))
    losses = val.losses.mean(1).tolist()
    every = zip([0, *macs], val.measures, losses, tested.measures, strict=True)
    return [
        TrainedExit(macs=cost, val_accuracy=right, val_loss=loss, test_accuracy=on_test)
        for cost, right, loss, on_test in every
    ]


@torch.no_grad()
def _reached(place: Workplace, modules: Sequence[nn.Module], batches: Batches) -> Reached:
    """Return what silence and each exit, or the first, the first two, ... networks reach."""
    judged = []
    for outputs in zip(
        *(answered(m, batches, place.config.precision) for m in modules), strict=True
    ):
        exits, targets = outputs[0]
        if len(modules) > 1:
            exits = _means([o for o, _ in outputs])
        judged.append(judge_exits(place.task, exits, targets, views=batches.views))
    return gathered(place.task, judged)


def _means(outputs: Sequence[Any]) -> tuple[Tensor, ...]:
    """Return the logs of the mean probabilities of the first network, the first two, ..."""
    chances = torch.stack([final(o).softmax(1) for o in outputs])
    counts = torch.arange(1, len(outputs) + 1, device=chances.device).view(-1, 1, 1)
    return tuple((chances.cumsum(0) / counts).log())


def _write(found: dict[str, list[Curve]], budgets: Budgets, place: Workplace, suffix: str) -> None:
    """Print and write the rows, and draw the curves."""
    grid = budgets.grid(400)
    few = np.geomspace(budgets.low, budgets.high, 6)[1:].round()
    rows, drawn = [], {}
    for name, trainings in found.items():
        means = [100 * _mean(curve, budgets) for curve in trainings]
        spread = f"sd {stdev(means):.2f}" if len(means) > 1 else "one training"
        note = f"{spread} of {len(means)} trainings"
        what = f"{name}: test accuracy, mean over the budgets"
        rows.append(Row(what=what, value=fmean(means), unit="%", better="more", note=note))
        at = 100 * np.mean([on_test(c, few) for c in trainings], axis=0)
        for budget, value in zip(few, at, strict=True):
            what = f"{name}: test accuracy within {budget / 1e6:.2g} M MACs"
            rows.append(Row(what=what, value=float(value), unit="%", better="more"))
        drawn[name] = (grid, 100 * np.mean([on_test(c, grid) for c in trainings], axis=0))
    rows[0].note += f"; budgets {budgets}; {len(place.splits.fit)} images to fit"
    write(Path(__file__), rows, suffix=suffix)
    name = f"anytime-{suffix}.svg" if suffix else "anytime.svg"
    curves(DOCS / name, drawn, ("MACs (log scale)", "test accuracy, %"))


def _mean(curve: Curve, budgets: Budgets) -> float:
    """Return the test accuracy's mean over the budgets."""
    shares = budgets.shares([e.macs for e in curve], [e.val_accuracy for e in curve])
    return sum(s * (e.test_accuracy or 0.0) for s, e in zip(shares, curve, strict=True))


if __name__ == "__main__":
    main()
