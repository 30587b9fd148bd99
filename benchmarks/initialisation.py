"""What first weights are worth: epochs to a target accuracy from four starts.

    python benchmarks/initialisation.py RUN [--networks 4] [--seeds 3] [--epochs 8] [--checks 4]
        [--shares 0.5 0.8 0.9 1.0] [--rate 1.0] [--work FOLDER]

RUN is a finished run. Networks of its space that it has not trained (half of them its best by
score, half drawn at random within its limits) are trained by its recipe from

- ``ordinary``: the weights that their own constructors draw;
- ``generated``: what the run's hypernetwork writes for them, as a training starts with it: weights
  before norms are brought to the norm of the ordinary ones (:mod:`hypernas.scale_free`);
- ``as written``: the same without that;
- ``nearest``: the trained network of the run whose choices differ in the fewest places; tensors of
  the same name are copied as far as they overlap, channels from the first on, kernels from the
  middle, and the rest is ordinary.

All have the same batches in the same order. Before the first step batch norms get statistics
over a few batches, so that there is an accuracy at 0 epochs. A target is a share of the way from
guessing (1 / classes) to the validation accuracy with which the network ends from its ordinary
weights (the mean over seeds). A network that does not get there counts as one check after the last,
and is counted in the note. Differences are paired: means over seeds, with Student's interval over
networks. It goes on where it was stopped, training by training.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal, get_args

import torch
from common import Row, write
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from hypernas.candidate import build_network
from hypernas.choices import Architecture, canonical, identity
from hypernas.files import read_json, write_json
from hypernas.finalists import Picks
from hypernas.jobs import Train, read_weights
from hypernas.randomness import derived_seed, rng
from hypernas.runs import Run
from hypernas.scale_free import at_own_scale
from hypernas.searching import distinct, random_feasible, top
from hypernas.training import Trainer, measure
from hypernas.verdict import interval_of_mean
from hypernas.workplace import Workplace

Start = Literal["ordinary", "generated", "as written", "nearest"]
STATISTICS = 4
"""batches over which first statistics are taken"""


def main() -> None:
    """Train what is not trained yet, print the table, and write it."""
    given = parsed()
    torch.set_num_threads(1)
    run = Run.open(given.run, quiet=True)
    work = given.work or given.run / "initialisation"
    networks = chosen(run, given.networks)
    curves = {
        (number, seed, start): curve(run.place, choices, seed, start, given, work)
        for number, choices in enumerate(networks)
        for seed in range(given.seeds)
        for start in get_args(Start)
    }
    chance = 1 / len(run.place.data.classes)
    rows = [r for share in given.shares for r in compared(curves, share, chance, given)]
    rows[0].note += f"; {copied_in_words(run.place, networks)}"
    write(Path(__file__), rows, suffix=given.run.name)


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a finished run folder")
    parser.add_argument("--networks", type=int, default=4, help="networks, 2 or more")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each from each start")
    parser.add_argument("--epochs", type=int, default=8, help="of each training")
    parser.add_argument("--checks", type=int, default=4, help="measurements in an epoch")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 0.8, 0.9, 1.0])
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the learning rate")
    parser.add_argument("--work", type=Path, default=None, help="default RUN/initialisation")
    return parser.parse_args()


def chosen(run: Run, count: int) -> list[Architecture]:
    """Return architectures that were not trained: the best by score, and random ones."""
    place = run.place
    known = {canonical(pick.choices) for pick in picks(place).networks}
    best = (place.candidates.of(s.choices) for s in top(run.scored, 200, place.config.limits))
    found = distinct((c for c in best if canonical(c.choices) not in known), count // 2)
    drawn = random_feasible(
        lambda number: place.candidates.draw(rng(place.config.seed, "initialisation", number)),
        count - len(found),
        place.config.limits,
    )
    return [candidate.choices for candidate in (*found, *drawn)]


def picks(place: Workplace) -> Picks:
    """Return the networks that the run has trained."""
    return read_json(place.folder / "picks.json", Picks)


def curve(
    place: Workplace,
    choices: Architecture,
    seed: int,
    start: Start,
    given: argparse.Namespace,
    work: Path,
) -> list[float]:
    """Return the validation accuracy at 0 epochs and after each check; known ones are read."""
    settings = f"seed-{seed}-epochs-{given.epochs}-checks-{given.checks}-rate-{given.rate:g}"
    file = work / identity(choices) / f"{start}-{settings}.json"
    if file.exists():
        return read_json(file, list[float])
    network = started(place, choices, seed, start)
    first = derived_seed(place.config.seed, "initialisation", seed)
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        recipe = place.recipe(given.epochs, rate=given.rate)
        batches = place.train_batches
        trainer = Trainer(network, batches, place.task, recipe, Path(folder), seed=first)
        update_bn((batches.random(first, "train", s)[0] for s in range(STATISTICS)), network)
        optimiser = trainer.optimiser()
        found = [accuracy(place, network)]
        checks = given.epochs * given.checks
        for check in range(1, checks + 1):
            while trainer.step < round(trainer.steps * check / checks):
                trainer.advance(optimiser)
            found.append(accuracy(place, network))
    write_json(file, found)
    print(f"{file.parent.name} {file.stem}: {found[0]:.3f} to {found[-1]:.3f}", flush=True)
    return found


def accuracy(place: Workplace, network: nn.Module) -> float:
    """Return what the task measures on the validation split."""
    return measure(network, place.validation_batches, place.task).accuracy


def started(place: Workplace, choices: Architecture, seed: int, start: Start) -> nn.Module:
    """Return a network with its first weights."""
    first = derived_seed(place.config.seed, "initialisation", seed)
    network = build_network(place.space, choices, place.signature, seed=first)
    if start == "ordinary":
        return network
    state = network.state_dict()
    if start in ("generated", "as written"):
        candidate = place.candidates.of(choices)
        with torch.no_grad():
            weights = place.hypernet([candidate])[0]
        plain = {name: tensor.cpu() for name, tensor in weights.items()}
        state |= plain if start == "as written" else at_own_scale(plain, state, candidate.graph)
    else:
        overlap(state, read_weights(place, nearest(place, choices)))
    network.load_state_dict(state)
    return network


def nearest(place: Workplace, choices: Architecture) -> str:
    """Return the folder of the trained network whose choices differ in the fewest places."""

    def apart(other: Architecture) -> int:
        return sum(choices.get(name) != other.get(name) for name in choices.keys() | other.keys())

    found = min(picks(place).networks, key=lambda pick: apart(pick.choices))
    plan = place.plan
    done = [Train(choices=found.choices, seed=s, epochs=plan.epochs) for s in range(plan.seeds)]
    return max(done, key=lambda job: getattr(job.known(place), "val_accuracy", 0.0)).folder


def overlap(state: dict[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Copy what overlaps of ``other`` into ``state``; return the share of its values that were."""
    copied = 0
    for name, tensor in state.items():
        there = other.get(name)
        if there is None or there.ndim != tensor.ndim:
            continue
        sizes = list(map(min, tensor.shape, there.shape))
        target = tensor[_middle(tensor.shape, sizes)]
        target.copy_(there[_middle(there.shape, sizes)])
        copied += target.numel()
    return copied / sum(tensor.numel() for tensor in state.values())


def _middle(shape: Sequence[int], sizes: Sequence[int]) -> tuple[slice, ...]:
    """Return the first channels and the middle of a kernel."""
    first = [
        0 if axis < 2 else (n - s) // 2
        for axis, (n, s) in enumerate(zip(shape, sizes, strict=True))
    ]
    return tuple(slice(start, start + size) for start, size in zip(first, sizes, strict=True))


def copied_in_words(place: Workplace, networks: Sequence[Architecture]) -> str:
    """Say how much of the networks the nearest trained ones give."""
    shares = []
    for choices in networks:
        state = build_network(place.space, choices, place.signature, seed=0).state_dict()
        shares.append(overlap(state, read_weights(place, nearest(place, choices))))
    return f"nearest gives {fmean(shares):.0%} of the values"


def compared(
    curves: Mapping[tuple[int, int, Start], list[float]],
    share: float,
    chance: float,
    given: argparse.Namespace,
) -> list[Row]:
    """Return a row for each start: epochs to a share of the way from chance to the ordinary end."""
    networks = range(1 + max(number for number, _, _ in curves))
    epochs: dict[Start, list[float]] = {}
    missed: dict[Start, int] = dict.fromkeys(get_args(Start), 0)
    for start in get_args(Start):
        epochs[start] = []
        for number in networks:
            ends = [curves[number, seed, "ordinary"][-1] for seed in range(given.seeds)]
            mine = [curves[number, seed, start] for seed in range(given.seeds)]
            target = chance + share * (fmean(ends) - chance)
            reached = [_first(line, target) for line in mine]
            missed[start] += sum(at == len(line) for at, line in zip(reached, mine, strict=True))
            epochs[start].append(fmean(reached) / given.checks)
    rows = []
    for start, values in epochs.items():
        differences = [v - o for v, o in zip(values, epochs["ordinary"], strict=True)]
        note = "" if start == "ordinary" else _against(differences) + "; "
        note += f"{missed[start]} of {len(networks) * given.seeds} did not get there"
        what = f"epochs to {share:.0%} of the way to the ordinary end, {start}"
        rows.append(Row(what=what, value=fmean(values), unit="epochs", note=note))
    return rows


def _first(line: Sequence[float], target: float) -> int:
    """Return the first check at which the target is reached, or the number of checks."""
    return next((at for at, value in enumerate(line) if value >= target), len(line))


def _against(differences: Sequence[float]) -> str:
    """Say how many epochs are saved, with an interval over networks."""
    found = interval_of_mean(differences)
    if found is None:
        return f"{fmean(differences):+.2f} epochs; one network, so nothing is shown"
    low, high = found
    word = "helps" if high < 0 else "hurts" if low > 0 else "not shown to help"
    return f"{word}: {fmean(differences):+.2f} epochs ({low:+.2f} to {high:+.2f})"


if __name__ == "__main__":
    main()
