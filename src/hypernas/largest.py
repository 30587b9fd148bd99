"""The largest networks that a hypernetwork was fitted on: scores of larger ones were never tried.

The sizes are those of the candidates of the fit's steps, and lie beside the weights, in
``hypernet.safetensors``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

import msgspec

from hypernas.console import short
from hypernas.files import read_metadata
from hypernas.results import Struct

if TYPE_CHECKING:
    from hypernas.workplace import Workplace


class Sized(Protocol):
    """A network of which it is known how large it is."""

    @property
    def params(self) -> int: ...
    @property
    def macs(self) -> int: ...


class Largest(Struct, frozen=True):
    """The most parameters, and the most MACs, of several networks."""

    params: int = 0
    macs: int = 0

    def among(self, several: Iterable[Sized]) -> Largest:
        """Return the largest of these and of several others."""
        every = [self, *several]
        return Largest(params=max(o.params for o in every), macs=max(o.macs for o in every))

    def warnings(self, network: Sized) -> list[str]:
        """Say where a network is larger."""
        found = []
        for name in ("params", "macs"):
            size, most = getattr(network, name), getattr(self, name)
            if size > most:
                found.append(f"{name} {size} is more than any that was fitted on ({most})")
        return found

    def larger(self, several: Iterable[Sized]) -> str:
        """Say in words how many of several are larger; empty where none is."""
        count = sum(one.params > self.params or one.macs > self.macs for one in several)
        if not count:
            return ""
        which = "1 network here is" if count == 1 else f"{count} networks here are"
        return (
            f"{which} larger than any that the hypernetwork was trained on (at most "
            f"{short(self.params)} params and {short(self.macs)} MACs), and scores of such "
            "may be far off"
        )


def fitted(place: Workplace) -> Largest | None:
    """Return the largest that a run's hypernetwork was fitted on; None where it has none.

    Fits of earlier versions kept no sizes; then those of the survey are the bound.

    Raises:
        RunError: the hypernetwork is not trained yet.
    """
    if not place.config.fits:
        return None
    kept = read_metadata(place.folder / "hypernet.safetensors").get("largest")
    if kept is None:
        return Largest().among(place.fit_survey.drawn)
    return msgspec.convert(kept, Largest)


def larger(place: Workplace, several: Iterable[Sized]) -> str:
    """Say in words how many of several are larger than any that was fitted on."""
    bound = fitted(place)
    return "" if bound is None else bound.larger(several)
