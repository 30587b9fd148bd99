"""Trains for real whom a strategy chooses: the top by score, or who climbs the ladder."""

from __future__ import annotations

from collections.abc import Sequence

from hypernas.branches import train_all
from hypernas.climbing import climbed
from hypernas.console import Voice
from hypernas.finalists import Picks, promoted, renewed, trainings
from hypernas.results import Scored
from hypernas.timing import timed
from hypernas.workplace import Workplace


def train_chosen(place: Workplace, scored: Sequence[Scored], voice: Voice) -> None:
    """Train the finalists, random networks and the biggest that fits, those not trained yet."""
    if place.config.climbs:
        with timed(place.folder, "train"):
            picks: Picks | None = climbed(place, scored, voice)
    else:
        picks = renewed(place, scored, voice)
    while picks is not None:
        if todo := [job for job in trainings(picks, place.plan) if job.known(place) is None]:
            best, drawn = len(picks.of("search")), len(picks.of("random"))
            voice.say(f"{best} finalists, {drawn} random networks, the biggest that fits")
            with timed(place.folder, "train"):
                train_all(place, todo, voice)
        picks = promoted(place, picks)
