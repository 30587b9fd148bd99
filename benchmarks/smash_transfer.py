"""Transfer (SMASH's experiment (d)): an architecture found on one data set, trained on another.

    python benchmarks/smash_transfer.py --source fashion-mnist --target digits [--minutes 20]
        [--set preset=tiny] [--random 4] [--epochs 10] [--seeds 3] [--work runs/smash-transfer]

Searches on both data sets by the same commands as a user, then ``hypernas train RUN
--transfer-to``: the winner of the source, the winner of the target, and random architectures, all
trained on the target by one recipe. It goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from common import Row, write

from hypernas.config import Config
from hypernas.flags import parse_options
from hypernas.results import Rebuilt
from hypernas.runs import Run
from hypernas.transferring import Target


def main() -> None:
    """Search twice, transfer, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="fashion-mnist")
    parser.add_argument("--target", default="digits")
    parser.add_argument("--minutes", type=float, default=20.0, help="of each search")
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--set", nargs="*", default=["preset=tiny"], help="options of the space")
    parser.add_argument("--random", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--work", type=Path, default=Path("runs/smash-transfer"))
    given = parser.parse_args()
    found = {}
    for name in (given.source, given.target):
        config = Config(
            data=name,
            space="memory-bank",
            options=parse_options(given.set),
            hypernet="smash",
            minutes=given.minutes,
            examples=given.examples,
            device=given.device,
        )
        found[name] = Run.start(given.work / Path(name).stem, config).everything()
    target = Target(data=given.target, random=given.random, epochs=given.epochs, seeds=given.seeds)
    result = found[given.source].transfer(target, native=given.work / Path(given.target).stem)
    rows = [_row(f"found on {given.source}", result.transferred)]
    if result.native is not None:
        rows.append(_row(f"found on {given.target}", result.native))
    rows += [_row(f"random {i}", network) for i, network in enumerate(result.random, start=1)]
    rows[0].note += f"; {result.text}"
    write(Path(__file__), rows)


def _row(what: str, network: Rebuilt) -> Row:
    return Row(
        what=f"{what}: accuracy on test",
        value=100 * (network.test_accuracy or 0.0),
        unit="%",
        better="more",
        note=f"{network.params} params, {len(network.seeds)} seeds",
    )


if __name__ == "__main__":
    main()
