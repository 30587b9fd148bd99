"""What makes the score rank better, tried one by one on a table of ground truth.

    python benchmarks/trials.py TABLE [NAME ...] [--fits 3] [--steps 1000] [--hypernet ghn]
        [--teacher RUN] [--work runs/ranking]

NAME is one of :func:`variants.names`, by default all; with ``--teacher``, a run on the same data
whose best network is learned from, also ``distilled``. Each is told by the same statistics as in
``ranking.py``, and by how much it is above ``plain``, with 95 % intervals over resampled networks
and fits, the same ones for both. Writes ``results/trials_TABLE-HYPERNET-FITS.json``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
import variants
from common import Row, write
from known import Known
from way import Settings, Way
from ways import fitted

from hypernas.ranking import pairs_of, tau, tau_gain


def main() -> None:
    """Measure each variant, print the rows, and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table")
    parser.add_argument("names", nargs="*", help="by default all")
    parser.add_argument("--fits", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000, help="of each fit")
    parser.add_argument("--hypernet", default="ghn")
    parser.add_argument("--teacher", type=Path, help="a run on the same data")
    parser.add_argument("--work", type=Path, default=Path("runs/ranking"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings, known = Settings(fits=given.fits, steps=given.steps), Known(given.table, given.work)
    plain, rows = fitted(known, given.hypernet, settings), []
    if given.teacher:
        variants.teach(given.teacher)
    for name in given.names or variants.names():
        rows += rows_of(known, name, fitted(known, given.hypernet, settings, name), plain)
        print(*(f"{row.what}: {row.value:.3f}; {row.note}" for row in rows[-3:]), sep="\n")
    fits = f"{given.fits}-{'fit' if given.fits == 1 else 'fits'}"
    write(Path(__file__), rows, suffix=f"{given.table}-{given.hypernet}-{fits}")


def rows_of(known: Known, name: str, way: Way, plain: Way) -> Iterator[Row]:
    """Yield how well a variant ranks, by each statistic, and by how much it is above the plain."""
    for kind, pairs in pairs_of(known.accuracy, known.macs).items():
        found = tau(way.values, known.accuracy, pairs)
        gain = tau_gain(way.values, plain.values, known.accuracy, pairs)
        yield Row(
            what=f"tau, {kind}, {name}",
            value=found.value,
            unit="tau",
            better="more",
            note=f"{found.low:.2f} to {found.high:.2f}; above plain by {gain.value:+.3f} "
            f"({gain.low:+.3f} to {gain.high:+.3f}); {way.fixed:.0f} s a fit, {way.each:.2g} s "
            "each (CPU)",
        )


if __name__ == "__main__":
    main()
