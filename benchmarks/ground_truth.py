"""Ground truth: random networks of a search space trained for real, one line each.

    python benchmarks/ground_truth.py fashion-mnist --table NAME [--space cell] [--set width=8]
        [--architectures 40] [--seeds 1] [--twice 14] [--examples 12000] [--epochs 4]

Every network is drawn by the space's own weights, trained by one recipe on the fit split, and
measured once on the test split. The table is ``truth/NAME.jsonl``: first the settings, then one
line a training. A killed run goes on by the same command; several processes may share the work
(``--share 0/2`` and ``--share 1/2``).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import torch

from hypernas.candidate import Candidate
from hypernas.config import Config
from hypernas.flags import parse_options
from hypernas.jobs import Train
from hypernas.randomness import rng
from hypernas.workplace import Workplace

TABLES = Path(__file__).parent / "truth"


class Setting(msgspec.Struct, kw_only=True):
    """What decides a table; its first line."""

    data: str
    space: str
    options: dict[str, Any]
    """of the space"""
    examples: int
    epochs: int
    batch: int
    rate: float
    seed: int = 0


class Truth(msgspec.Struct, kw_only=True):
    """One training of one network."""

    number: int
    seed: int
    choices: dict[str, Any]
    params: int
    macs: int
    val_accuracy: float
    test_accuracy: float
    seconds: float
    """CPU seconds of the training"""


def place_of(setting: Setting, folder: Path, **changes: Any) -> Workplace:
    """Return a workplace with the data and the space of a table; nothing is written yet."""
    config = Config(
        data=setting.data,
        space=setting.space,
        options=setting.options,
        examples=setting.examples,
        train_batch=setting.batch,
        train_rate=setting.rate,
        seed=setting.seed,
        **changes,
    )
    place = Workplace(folder, config)
    place.data = place.record_data()
    return place


def architecture(place: Workplace, number: int) -> Candidate:
    """Return the random architecture of a number."""
    return place.candidates.draw(rng(place.config.seed, "truth", number))


def train(place: Workplace, number: int, seed: int, epochs: int) -> Truth:
    """Train a network for real and measure it once."""
    candidate = architecture(place, number)
    trained = Train(choices=candidate.choices, seed=seed, epochs=epochs).do(place)
    assert trained.test_accuracy is not None
    return Truth(
        number=number,
        seed=seed,
        choices=candidate.choices,
        params=candidate.params,
        macs=candidate.macs,
        val_accuracy=trained.val_accuracy,
        test_accuracy=trained.test_accuracy,
        seconds=trained.seconds,
    )


def read(name: str) -> tuple[Setting, list[Truth]]:
    """Return the settings and the trainings of a table, a torn last line left out."""
    settings, found = [], []
    for path in sorted(TABLES.glob(f"{name}.jsonl*")):
        lines = path.read_text().split("\n")[:-1]
        settings.append(msgspec.json.decode(lines[0], type=Setting))
        found += [msgspec.json.decode(line, type=Truth) for line in lines[1:]]
    return settings[0], sorted(found, key=lambda truth: (truth.seed, truth.number))


def main() -> None:
    """Train what the table lacks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="name of a data set, or a path")
    parser.add_argument("--table", required=True, help="name of the table")
    parser.add_argument("--architectures", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each of --twice")
    parser.add_argument("--twice", type=int, default=0, help="networks trained with every seed")
    parser.add_argument("--space", default="cell")
    parser.add_argument("--set", nargs="*", default=[], help="options of the space")
    parser.add_argument("--examples", type=int, default=12_000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--share", default="0/1", help="which part of the work: 0/2, 1/2")
    given = parser.parse_args()
    torch.set_num_threads(1)
    part, parts = map(int, given.share.split("/"))
    setting = Setting(
        data=given.data,
        space=given.space,
        options=parse_options(given.set),
        examples=given.examples,
        epochs=given.epochs,
        batch=given.batch,
        rate=given.rate,
    )
    jobs = [(0, number) for number in range(given.architectures)]
    jobs += [(seed, n) for seed in range(1, given.seeds) for n in range(given.twice)]
    path = TABLES / f"{given.table}.jsonl{f'.{part}' if parts > 1 else ''}"
    _begin(path, setting)
    done = {(truth.seed, truth.number) for truth in read(given.table)[1]}
    todo = [job for p, job in enumerate(jobs) if p % parts == part and job not in done]
    with tempfile.TemporaryDirectory() as folder:
        place = place_of(setting, Path(folder), device=given.device)
        for seed, number in todo:
            truth = train(place, number, seed, setting.epochs)
            with path.open("ab") as file:
                file.write(msgspec.json.encode(truth) + b"\n")
            print(
                f"{number} seed {seed}: {truth.test_accuracy:.1%} on test, {truth.params} params, "
                f"{truth.macs / 1e6:.1f} M MACs, {truth.seconds:.0f} CPU seconds",
                flush=True,
            )


def _begin(path: Path, setting: Setting) -> None:
    """Write the first line, or refuse a table of other settings; cut a torn last line."""
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(msgspec.json.encode(setting) + b"\n")
        return
    text = path.read_bytes()
    path.write_bytes(text[: text.rfind(b"\n") + 1])
    if msgspec.json.decode(text.split(b"\n", 1)[0], type=Setting) != setting:
        raise SystemExit(f"{path} has other settings; give another --table")


if __name__ == "__main__":
    main()
