"""The network that a run recommends, ready to use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import msgspec
from torch import nn

from hypernas.candidate import build_network
from hypernas.choices import Architecture
from hypernas.early_exits import EarlyExits, asked
from hypernas.finalists import best_seed
from hypernas.jobs import Train, load_weights
from hypernas.results import Final, Network, Struct
from hypernas.workplace import Workplace


class GoOn(Struct, frozen=True):
    """A request to go on with the winner, kept until it is answered in full."""

    stage: int
    epochs: int


@dataclass(frozen=True)
class Best:
    """The winner of a run.

    Attributes:
        network: its choices, size, score, and accuracies over the seeds.
        final: the weights that are recommended, and what they reach.
    """

    network: Network
    final: Final
    place: Workplace

    @property
    def choices(self) -> Architecture:
        """The architecture."""
        return self.network.choices

    @property
    def source(self) -> str:
        """Where it came from: ``search``, ``random`` or ``biggest``."""
        return self.network.source

    @cached_property
    def module(self) -> nn.Module:
        """The trained network, a plain module in evaluation mode.

        With several exits it is an :class:`hypernas.early_exits.EarlyExits`, which can ``predict``
        within a budget.
        """
        module = trained(self.place, self.choices, self.final.folder)
        exits = asked(self.place.candidates.of(self.choices).graph, self.final.curve)
        return EarlyExits(module, exits).eval() if exits else module


def trained(place: Workplace, choices: Architecture, folder: str) -> nn.Module:
    """Return a trained network in evaluation mode, with the weights in ``folder`` of the run."""
    module = build_network(place.space, choices, place.signature, seed=0)
    load_weights(module, place, folder)
    return module.eval()


def stages(place: Workplace, winner: Network) -> list[Train]:
    """Return the trainings by which the winner went on, in order."""
    found: list[Train] = []
    while True:
        start = place.folder / next_stage(winner, found, 0).folder.removesuffix("0")
        done = start.parent.glob(f"{start.name}*/result.json")
        names = [path.parent.name.removeprefix(start.name) for path in done]
        epochs = [int(name) for name in names if name.isdigit()]  # not those of later stages
        if not epochs:
            return found
        found.append(next_stage(winner, found, min(epochs)))


def next_stage(winner: Network, before: list[Train], epochs: int) -> Train:
    """Return the training by which the winner goes on after the stages ``before``."""
    first = best_seed(winner)
    last = (
        before[-1]
        if before
        else Train(choices=winner.choices, seed=first.seed, epochs=first.epochs)
    )
    return Train(
        choices=winner.choices,
        seed=first.seed,
        epochs=epochs,
        goes_on_from=last.folder,
        stage=len(before) + 1,
    )


def final_of(place: Workplace, winner: Network) -> Final:
    """Return the best of the winner's trainings by validation accuracy, going on included."""
    first = best_seed(winner)
    epochs = first.epochs
    start = Train(choices=winner.choices, seed=first.seed, epochs=epochs)
    best = Final(
        seed=first.seed,
        epochs=epochs,
        val_accuracy=first.val_accuracy,
        test_accuracy=first.test_accuracy,
        folder=start.folder,
        curve=first.curve,
        text=f"the best of {len(winner.seeds)} trainings by validation {place.task.measure}",
    )
    for stage in stages(place, winner):
        result = stage.known(place)
        assert result is not None
        epochs += result.epochs
        if result.val_accuracy < best.val_accuracy:
            text = f"{result.epochs} further epochs did not improve it"
            best = msgspec.structs.replace(best, text=text)
            continue
        best = msgspec.structs.replace(
            best,
            epochs=epochs,
            val_accuracy=result.val_accuracy,
            test_accuracy=result.test_accuracy,
            folder=stage.folder,
            curve=result.curve,
            text=f"its best training went on for {epochs - first.epochs} epochs",
        )
    return best
