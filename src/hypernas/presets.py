"""The size of a search space where the user leaves it open: the largest that the time allows.

A space offers sizes by an attribute of its function, ``presets``, and an option ``preset``.
"""

from __future__ import annotations

from hypernas.budget import MARGIN, SHARES
from hypernas.spaces import Space
from hypernas.warmup import OVERHEAD, step_cost
from hypernas.workplace import Workplace

ENOUGH_STEPS = 2000
"""steps of the hypernetwork that a space must get to be worth its size"""
TIMED_STEPS = 6
SURVEYED = 20
"""architectures from which the timed candidates are drawn"""


def is_open(space: Space) -> bool:
    """Say whether a space has presets of which none is chosen."""
    return bool(space.presets) and space.options.get("preset") is None


def choose_preset(
    place: Workplace, given: dict[str, int], *, spent: float = 0.0
) -> tuple[Space, str]:
    """Return the space with the largest preset that gets its fit steps, and why, in a line.

    Presets are timed from the smallest up, until one does not.

    Args:
        place: has the space with its preset open, and the data.
        given: the user's counts; where the steps are among them, they are what is needed.
        spent: seconds of the run's time that are already gone.
    """
    needed, minutes = given.get("steps", ENOUGH_STEPS), place.config.minutes
    seconds = SHARES["fit"] * max(0.0, 60 * minutes - OVERHEAD - spent) / MARGIN
    largest: tuple[Space, int] | None = None
    for preset in place.space.presets:
        trial = _with_preset(place, preset)
        cost, _ = step_cost(trial, trial.new_hypernet(), repeats=TIMED_STEPS)
        possible = int(seconds / cost)
        if possible >= needed or largest is None:
            largest = trial.space, possible
        if possible < needed:
            break
    assert largest is not None  # a space with no presets is not open
    space, steps = largest
    what = f"{needed:,} fit steps in {minutes:g} minutes"
    why = (
        f"the largest that gets {what} (about {steps:,})"
        if steps >= needed
        else f"the smallest; even it gets no {what}, only about {steps:,}"
    )
    return space, f"space {space.name}: preset {space.options['preset']}, {why}"


def _with_preset(place: Workplace, preset: str) -> Workplace:
    """Return a workplace for the same data with a preset of the space, hardly surveyed."""
    trial = Workplace(place.folder, place.config)
    trial.data, trial.splits = place.data, place.splits
    trial.space = place.space.with_options(preset=preset)
    trial.look(SURVEYED)
    return trial
