"""Peak memory of SMASH's fit steps against the same network written plainly.

    python benchmarks/smash_memory.py [--settings "S late" "M late"] [--architectures 4]

Each version runs in a process of its own, over the same architectures, with batches of 50; what
counts is by how much its steps raise the process's peak of resident memory over what it held
before the first one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch
from common import Row, resident, write
from smash_speed import Bench

VERSIONS = ("ours", "free", "plain")


def main() -> None:
    """Measure every version, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", nargs="*", default=["S late", "M late"])
    parser.add_argument("--architectures", type=int, default=4)
    parser.add_argument("--version", choices=VERSIONS, help="run one and print its MB")
    given = parser.parse_args()
    if given.version:
        print(measured(given.settings[0], given.version, given.architectures))
        return
    rows = []
    for setting in given.settings:
        used = {version: _apart(setting, version, given.architectures) for version in VERSIONS}
        for other, name in (("plain", "plain version"), ("free", "same network, free weights")):
            rows.append(
                Row(
                    what=f"peak memory of fit steps here / {name}, {setting}",
                    value=used["ours"] / used[other],
                    note=f"{used['ours']:.0f} MB here, {used[other]:.0f} MB there",
                )
            )
    write(Path(__file__), rows)


def _apart(setting: str, version: str, architectures: int) -> float:
    """Return what a process of its own measured."""
    command = [sys.executable, __file__, "--settings", setting, "--version", version]
    command += ["--architectures", str(architectures)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def measured(setting: str, version: str, architectures: int) -> float:
    """Return by how many MB the steps of one version raise this process's peak."""
    torch.set_num_threads(1)
    bench = Bench(setting, architectures)
    bench.hypernet.train()
    steps = {
        "ours": [lambda s=s: bench._ours(s) for s in range(architectures)],
        "free": [bench._free(candidate, s) for s, candidate in enumerate(bench.met)],
        "plain": [lambda s=s: bench._plain(s) for s in range(architectures)],
    }
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    for step in steps[version]:
        step()
    return resident("VmHWM") - before


if __name__ == "__main__":
    main()
