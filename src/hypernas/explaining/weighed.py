"""What an explanation says of the weight of choices, of steps and of savings, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hypernas.console import Voice, short
from hypernas.explaining.changes import cheapest
from hypernas.explaining.record import Change, Importance, Savings
from hypernas.results import Estimate

MOST = 10
"""rows of a table that are printed; all are in the file"""
SHARES = (0.10, 0.25, 0.50)
"""of the MACs that are to be saved"""
MOST_NAMES = 8
"""names in a sentence"""

Row = tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A table with what is said below it.

    Attributes:
        title, header, rows: of the table, which may be empty.
        sentences: below it.
    """

    title: str
    header: Row
    rows: list[Row]
    sentences: list[str]


def sections(importance: Importance | None, savings: Savings | None) -> list[Section]:
    """Return what there is to say, in order."""
    found = []
    if importance is not None:
        title = f"share of the variance of scores ({basis(importance)})"
        header = ("choice", "alone", "with its interactions")
        found.append(Section(title, header, weights(importance), sentences(importance)))
        header = ("two choices", "share beyond each alone")
        found.append(Section("pairs of choices, the largest", header, pairs(importance), []))
        header = ("answer", "score", "MACs", "score for 1 % of the median MACs")
        title = "what dearer answers buy, all else equal"
        found.append(Section(title, header, steps(importance), []))
    if savings is not None:
        title = f"fewer MACs by one change of {savings.whose} ({short(savings.macs)} MACs)"
        header = ("change", "MACs saved", "score")
        found.append(Section(title, header, changes(savings), advice(savings)))
    return [section for section in found if section.rows or section.sentences]


def show(voice: Voice, importance: Importance | None, savings: Savings | None) -> None:
    """Print what choices explain, what dearer answers buy, and what fewer MACs cost."""
    for section in sections(importance, savings):
        if section.rows:
            voice.table(section.title, section.header, section.rows)
        for sentence in section.sentences:
            voice.say(sentence)


def basis(found: Importance) -> str:
    """Say whether shares are exact."""
    if found.exact:
        return f"exact: all {found.candidates:,} architectures"
    return f"estimated from {found.candidates:,} candidates, 95 % intervals"


def weights(found: Importance) -> list[Row]:
    """Return the choices that explain most."""
    return [(one.name, _percent(one.alone), _percent(one.total)) for one in found.choices[:MOST]]


def pairs(found: Importance) -> list[Row]:
    """Return the pairs that explain most."""
    return [(" × ".join(one.names), _percent(one.share)) for one in found.pairs[:MOST]]


def steps(found: Importance) -> list[Row]:
    """Return the steps that buy most."""
    return [
        (
            f"{one.name}: {one.after} instead of {one.before}",
            _signed(one.score) + ("" if one.better is None else f", better in {one.better:.0%}"),
            f"{short(one.macs)} ({one.macs_share:.0%})",
            _signed(one.per_percent),
        )
        for one in found.steps[:MOST]
    ]


def changes(found: Savings) -> list[Row]:
    """Return the changes that nothing beats in MACs and score, the least saving first."""
    return [
        (_change(one), f"{short(found.macs - one.macs)} ({one.saved:.0%})", _signed(one.score))
        for one in found.changes
        if one.best
    ]


def sentences(found: Importance) -> list[str]:
    """Say what the rest of the variance is, what does not matter, and what is left out."""
    what = "three and more choices together"
    if not found.exact:
        what += ", what is left out, and chance"
    told = [f"the rest, {_percent(found.rest)} of the variance: {what}"]
    words = "never matters" if found.exact else "not shown to matter"
    told += [f"{words}: {one.name} ({one.silent})" for one in found.choices if one.silent]
    if not any(one.silent for one in found.choices):
        told.append("every choice matters" if found.exact else "every choice is shown to matter")
    for left in found.left_out:
        more = len(left.names) - MOST_NAMES
        names = ", ".join(left.names[:MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")
        told.append(f"left out ({left.reason}): {names}")
    return told


def advice(found: Savings) -> list[str]:
    """Say what to change for each share of the MACs."""
    told = []
    for share in SHARES:
        change = cheapest(found, share)
        if change is None:
            told.append(f"to save {share:.0%} of the MACs: no single change does")
            continue
        told.append(
            f"to save {share:.0%} of the MACs: {_change(change)} (saves {change.saved:.0%}), score "
            f"{_signed(change.score)}"
        )
    if found.tried < found.possible:
        told.append(f"{found.tried:,} of {found.possible:,} changes were tried, picked at random")
    return told


def _change(one: Change) -> str:
    return f"{one.name} from {one.before} to {one.after}"


def _percent(one: Estimate) -> str:
    """Write a share of 1 in percent, with its interval where it has one.

    >>> _percent(Estimate(value=0.123, low=0.1, high=0.15))
    '12.3 % (10.0 to 15.0)'
    """
    if one.low == one.high:
        return f"{100 * one.value:.1f} %"
    return f"{100 * one.value:.1f} % ({100 * one.low:.1f} to {100 * one.high:.1f})".replace(
        "-", "−"
    )


def _signed(one: Estimate) -> str:
    """Write a change with three decimals or two digits, and its interval where it has one.

    >>> _signed(Estimate(value=-0.0123, low=-0.02, high=0.0))
    '−0.012 (−0.020 to +0.000)'
    >>> _signed(Estimate(value=0.00042, low=0.00042, high=0.00042))
    '+0.00042'
    """
    most = max(abs(one.low), abs(one.high), 1e-6)
    digits = max(3, 1 - math.floor(math.log10(most)))
    every = (one.value, one.low, one.high)
    value, low, high = (f"{x:+.{digits}f}".replace("-", "−") for x in every)
    return value if one.low == one.high else f"{value} ({low} to {high})"
