"""What Net2Net saves: a larger network from scratch, and grown from a smaller one, at equal steps.

One architecture, drawn at random, is trained small. Under options that widen it and options that
deepen it, it is then trained for the same numbers of epochs from its own first weights and from
the small network's. Each seed has a small network of its own. Test accuracies, means over seeds.

    python benchmarks/net2net.py [--data digits] [--space memory-bank] [--set preset=tiny]
        [--wide unit=8] [--deep repeats=2] [--small-epochs 20] [--epochs 2 5 20] [--seeds 3]

Only spaces that say how further layers start (``module.idle``) can be deepened.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from common import Row, write

from hypernas.branches import branch, jobs_of, write_branch
from hypernas.choices import Architecture
from hypernas.config import Config
from hypernas.flags import parse_options
from hypernas.jobs import Train
from hypernas.randomness import rng
from hypernas.workplace import Workplace

GROWN = {"wide": "widened", "deep": "deepened"}
"""what a network grown under the options of an argument is called"""


def main() -> None:
    """Train every row, print the table, and write it."""
    arguments = parsed()
    torch.set_num_threads(1)
    config = Config(
        data=arguments.data,
        space=arguments.space,
        options=parse_options(arguments.set),
        examples=arguments.examples,
    )
    with tempfile.TemporaryDirectory() as folder:
        small = Workplace(Path(folder) / "run", config)
        small.data = small.record_data()
        write_branch(small)
        choices = small.candidates.draw(rng(0, "net2net", arguments.architecture)).choices
        first = jobs_of(choices, arguments.seeds, arguments.small_epochs)
        rows = [row(small, f"small, {arguments.small_epochs} epochs", first)]
        for name in GROWN:
            options = parse_options(getattr(arguments, name))
            if options:
                rows += grown_rows(small, name, options, first, choices, arguments.epochs)
        write(Path(__file__), rows)


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", help="a data set, as for hypernas run")
    parser.add_argument("--space", default="memory-bank", help="a search space")
    parser.add_argument("--set", nargs="*", default=["preset=tiny"], help="of the small one")
    parser.add_argument("--wide", nargs="*", default=["unit=8"], help="options that widen it")
    parser.add_argument("--deep", nargs="*", default=["repeats=2"], help="options that deepen it")
    parser.add_argument("--architecture", type=int, default=0, help="which draw is trained")
    parser.add_argument("--small-epochs", type=int, default=20, help="of the small network")
    parser.add_argument("--epochs", type=int, nargs="*", default=[2, 5, 20], help="of the larger")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each")
    parser.add_argument("--examples", type=int, default=None, help="no more training examples")
    return parser.parse_args()


def grown_rows(
    small: Workplace,
    name: str,
    options: dict[str, Any],
    first: list[Train],
    choices: Architecture,
    epochs: list[int],
) -> Iterator[Row]:
    """Yield the larger network's rows, from scratch and grown, for each number of epochs."""
    place = branch(small, f"scaled/{name}", small.space.with_options(**options))
    write_branch(place)
    for count in epochs:
        scratch = jobs_of(choices, len(first), count)
        grown = [
            Train(
                choices=choices,
                seed=job.seed,
                epochs=count,
                goes_on_from=f"../../{job.folder}",
                grown=True,
            )
            for job in first
        ]
        shown = " ".join(f"{key}={value}" for key, value in options.items())
        for start, jobs in (("from scratch", scratch), (GROWN[name], grown)):
            yield row(place, f"{shown}, {count} epochs, {start}", jobs)


def row(place: Workplace, what: str, jobs: list[Train]) -> Row:
    """Do the trainings and return their mean test accuracy."""
    found = [job.do(place).test_accuracy or 0.0 for job in jobs]
    note = f"{min(found):.3f} to {max(found):.3f} over {len(found)} seeds"
    size = place.candidates.of(jobs[0].choices).params
    return Row(what=what, value=fmean(found), unit="test accuracy", note=f"{note}, {size} params")


if __name__ == "__main__":
    main()
