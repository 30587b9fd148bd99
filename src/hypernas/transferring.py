"""Transfer: what the winner of a search on one data set is worth on another.

On the other data, by one recipe, are trained: the winner, random architectures of its space, and
where there is one the winner of a search on that data. Without the random ones no one could say
whether the architecture was carried over or the space alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from hypernas import tasks
from hypernas.branches import (
    branch,
    folder_name,
    jobs_of,
    rebuilt,
    require_answer,
    require_counts,
    train_all,
    write_branch,
)
from hypernas.choices import Architecture
from hypernas.config import in_full
from hypernas.console import Voice, short
from hypernas.errors import ConfigError, GraphError, RunError, SpaceError
from hypernas.files import write_json
from hypernas.options import in_words
from hypernas.outcome import described
from hypernas.randomness import rng
from hypernas.results import Contrast, Rebuilt, Struct, Transfer
from hypernas.searching import random_feasible
from hypernas.verdict import contrast, interval_of_mean, with_interval
from hypernas.workplace import Workplace


class Target(Struct, frozen=True):
    """Where to, and how much is trained there."""

    data: str
    """name of a data set, a folder of images, or a .npz file"""
    random: int = 3
    """random architectures; 2 or more, or their spread is not known"""
    epochs: int | None = None
    """of each training; by default as planned"""
    seeds: int | None = None
    """trainings of each; by default as planned"""
    image_size: int | None = None
    """side to which images are brought, pixels; by default as in the run"""
    options: dict[str, Any] = {}
    """options of the space that differ there, such as width=32"""


def transfer(
    run: Workplace,
    winner: Architecture,
    target: Target,
    voice: Voice,
    *,
    native: tuple[Workplace, Architecture] | None = None,
) -> Transfer:
    """Train the winner of ``run`` and what it is held against on other data.

    Args:
        run: where the winner was found.
        winner: its choices.
        target: the other data, and the counts.
        voice: says how it goes.
        native: a run on the other data, and its winner.

    Raises:
        HypernasError: the data, or the winner on them, cannot be used; nothing was trained.
    """
    if target.random < 2:
        raise ConfigError(f"--random is {target.random}; expected 2 or more")
    require_counts(epochs=target.epochs, seeds=target.seeds)
    epochs, seeds = target.epochs or run.plan.epochs, target.seeds or run.plan.seeds
    place = _place(run, target)
    if native is not None:
        _require_same(place, run, native[0])
    drawn = random_feasible(
        lambda number: run.candidates.draw(rng(run.config.seed, "transfer", number)),
        target.random,
        run.config.limits,
    )
    architectures = [winner, *([native[1]] if native else []), *(c.choices for c in drawn)]
    _require_fit(place, architectures)
    require_answer(place, winner)
    write_branch(place)
    todo = [jobs_of(choices, seeds, epochs) for choices in architectures]
    train_all(place, [job for of_one in todo for job in of_one], voice)
    found = [rebuilt(place, of_one) for of_one in todo]
    first_random = len(found) - len(drawn)
    result = _result(place, epochs, found[:first_random], found[first_random:])
    if target.options:
        text = f"with {in_words(target.options)}, {result.text}"
        result = msgspec.structs.replace(result, options=target.options, text=text)
    write_json(place.folder / "result.json", result)
    return result


def _place(run: Workplace, target: Target) -> Workplace:
    """Return the branch for the other data.

    Raises:
        ConfigError: they are the run's own.
    """
    data = in_full(msgspec.structs.replace(run.config, data=target.data)).data
    size = target.image_size or run.config.image_size
    name = ",".join(filter(None, (Path(data).stem, in_words(target.options, ","))))
    space = run.space.with_options("--scale", **target.options)
    place = branch(run, f"transfer/{folder_name(name)}", space, data=data, image_size=size)
    space.require(place.signature)
    if place.data.fingerprint == run.data.fingerprint:
        raise ConfigError(
            f"--transfer-to {target.data} is the data that the run was made with; give other data"
        )
    return place


def _require_same(place: Workplace, run: Workplace, native: Workplace) -> None:
    """Refuse a native run on other data or in another space."""
    if native.data.fingerprint != place.data.fingerprint:
        raise RunError(
            f"--native {native.folder} was made with {native.config.data} "
            f"({_data(native)}), not with {place.config.data} ({_data(place)}); "
            "give a run on the data of --transfer-to"
        )
    if native.space.digest != run.space.digest:
        raise RunError(
            f"--native {native.folder} searched space {native.space}, "
            f"and {run.folder} {run.space}; give a run in the same space"
        )


def _data(place: Workplace) -> str:
    return f"{len(place.data.classes)} classes, {'×'.join(map(str, place.data.input_shape))}"


def _require_fit(place: Workplace, architectures: Sequence[Architecture]) -> None:
    for choices in architectures:
        try:
            place.candidates.of(choices)
        except (SpaceError, GraphError) as error:
            raise SpaceError(
                f"an architecture of {place.space} does not fit {place.config.data} "
                f"({_data(place)}): {error}; give data of another shape (--image-size)"
            ) from error


def _result(
    place: Workplace, epochs: int, carried: Sequence[Rebuilt], random: Sequence[Rebuilt]
) -> Transfer:
    """Compare; ``carried`` is the transferred network, and the native one where there is one."""
    transferred, *native = carried
    tested = place.data.test
    against_random = contrast(transferred, random, test_examples=tested)
    against_native = contrast(transferred, native, test_examples=tested) if native else None
    says = [_in_words("random architectures on average", against_random)]
    if native and native[0].choices == transferred.choices:
        says.append("the search on these data found the same architecture")
    elif against_native:
        says.append(_in_words("the one found there", against_native))
    if len(transferred.seeds) == 1:
        says.append("with one seed, luck was not measured")
    return Transfer(
        data=described(place.data),
        recipe=msgspec.to_builtins(place.recipe(epochs)),
        transferred=transferred,
        native=native[0] if native else None,
        random=list(random),
        against_native=against_native,
        against_random=against_random,
        text=f"on {place.data.name}, test split of {tested:,} examples: {'; '.join(says)}",
    )


def _in_words(others: str, found: Contrast) -> str:
    start = {
        "yes": f"the transferred architecture is better than {others}:",
        "no": f"the transferred architecture is worse than {others}:",
        "not shown": f"a tie between the transferred architecture and {others}:",
    }[found.answer]
    return f"{start} {with_interval(found.difference)}"


def show(voice: Voice, result: Transfer) -> None:
    """Print all networks, and in words what they show."""
    word = tasks.of(result.data["task"]).short
    header = ("network", "params", "MACs", "seeds", f"val {word}", f"test {word} (95 %)")
    native = [("found there", result.native)] if result.native else []
    named = [("transferred", result.transferred), *native]
    named += [(f"random {number}", one) for number, one in enumerate(result.random, start=1)]
    rows = [_row(name, one) for name, one in named]
    means = [one.test_accuracy for one in result.random]
    mean = ("random, mean", "", "", "", "", _with_interval(means))
    title = f"trained on {result.data['name']} (interval: over seeds; of the mean, over networks)"
    voice.table(title, header, [*rows, mean])
    voice.say(result.text)


def _row(name: str, one: Rebuilt) -> tuple[str, ...]:
    return (
        name,
        short(one.params),
        short(one.macs),
        str(len(one.seeds)),
        f"{one.val_accuracy:.2%}",
        _with_interval([t.test_accuracy for t in one.seeds if t.test_accuracy is not None]),
    )


def _with_interval(accuracies: Sequence[float]) -> str:
    found = interval_of_mean(accuracies)
    shown = f" ({100 * max(found[0], 0):.1f} to {100 * min(found[1], 1):.1f})" if found else ""
    return f"{fmean(accuracies):.2%}{shown}"
