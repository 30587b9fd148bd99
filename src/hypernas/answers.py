"""What a run folder can be asked, without a step being done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from hypernas import asking, calibrating, comparing, explaining, outcome
from hypernas.best import Best, final_of
from hypernas.calibrating import Calibrated
from hypernas.choices import Architecture
from hypernas.console import Voice
from hypernas.curves import Scale, front
from hypernas.errors import ConfigError, DataError
from hypernas.explaining import Explanation
from hypernas.files import read_json
from hypernas.finalists import Picks, best_of, networks, read_picks, so_far
from hypernas.flags import parse_file
from hypernas.ladder import by_promise
from hypernas.lock import owned
from hypernas.results import Better, Comparison, Limits, Network, Result, Scored
from hypernas.searching import top
from hypernas.study import Study
from hypernas.workplace import Workplace


class Answers:
    """A run folder that answers.

    Args:
        place: makes the parts of the run.
        voice: prints.
    """

    def __init__(self, place: Workplace, voice: Voice) -> None:
        self.place = place
        self.voice = voice
        self.folder = place.folder
        self.config = place.config

    @property
    def scored(self) -> list[Scored]:
        """The scored candidates, in order."""
        return self._study("search", owned=False).scored

    @property
    def front(self) -> list[Scored]:
        """With budgets: the candidates that no other reaches at every budget, best score first."""
        budgets = self.place.budgets
        return front(self.scored, budgets) if budgets is not None else []

    @property
    def result(self) -> Result:
        """What the run found out."""
        return read_json(self.folder / "result.json", Result)

    @cached_property
    def best(self) -> Best:
        """The network that the run recommends; of an unfinished one, the best that is trained."""
        winner = best_of(so_far(self.place, self._picks(), self.place.plan))
        return Best(winner, final_of(self.place, winner), self.place)

    def ask(
        self,
        limits: Limits,
        *,
        top: int = 5,
        budgets: tuple[int, int] | None = None,
        budget_scale: Scale | None = None,
    ) -> asking.Answer:
        """Return the best candidates within other limits; nothing is trained again.

        Args:
            limits: in place of the run's.
            top: how many candidates.
            budgets: range in MACs over which scores are means, in place of the run's.
            budget_scale: of these budgets.
        """
        with owned(self.folder):
            over = asking.other_budgets(self.place, budgets, budget_scale)
            searched, asked = self._study("search"), self._study("ask")
            return asking.ask(self.place, searched, asked, limits, top, over)

    def calibrated(self, limits: Limits) -> Calibrated:
        """Return what accuracy is to be expected of the scored candidates within limits.

        It is foretold from the networks that the run has trained; nothing is trained again.

        Args:
            limits: in place of the run's.

        Raises:
            RunError: nothing is trained yet.
            ConfigError: no scored candidate is within the limits, or training ranks them.
        """
        if self.config.score_by == "training":
            raise ConfigError(
                f"{self.folder} ranks candidates by training them, and there is nothing to "
                "foretell; ask without --calibrated"
            )
        with owned(self.folder):
            trained = so_far(self.place, self._picks(), self.place.plan)
            scored = [*self.scored, *self._study("ask", owned=False).scored]
            field = by_promise(top(scored, len(scored), limits))
            return calibrating.calibrated(self.place, field, trained, limits, self.voice)

    def compare(self, one: Architecture, other: Architecture) -> Better:
        """Say how sure it is that one architecture scores higher than another.

        Raises:
            RunError: the run ranks without a hypernetwork.
        """
        return comparing.compare(self.place, one, other, self.scored)

    def standings(self, answer: asking.Answer) -> Comparison | None:
        """Say how far the candidates of an answer are told apart.

        None without a hypernetwork, and where the data are gone, which is said.
        """
        seen = asking.judged(self.scored, answer.budgets)
        try:
            with self.voice.bar("compare") as update:
                return comparing.standings(self.place, answer.found, seen, answer.budgets, update)
        except DataError as error:
            self.voice.say(f"nothing is said of ties: {error}")
            return None

    def score(self, architectures: Iterable[Architecture]) -> Iterator[asking.Line]:
        """Yield a line for each architecture, in order: its score, or what is wrong with it."""
        return asking.score(self.place, architectures)

    def explain(
        self, *, random: int | None = None, every: bool = False, out: str | Path | None = None
    ) -> Explanation:
        """Say what scores depend on, and write it to ``explain.json``.

        Args:
            random: look at as many random candidates in place of those of the search.
            every: look at every candidate of a small space.
            out: file for it in place of ``explain.json``; its picture lies beside.

        Raises:
            ConfigError: the folder of ``out`` is not there.
        """
        path = self.folder / "explain.json" if out is None else parse_file(str(out))
        with owned(self.folder):
            sample = explaining.sample_of(self.place, self._study, self.voice, random, every)
            found = explaining.explain(self.place, sample, self.voice)
            outcome.write_explanation(found, path)
            if out is None and (self.folder / "result.json").exists():
                outcome.write_page(self.place, self.result, self.scored)
            explaining.show(self.voice, found)
        return found

    # -- helpers ----------------------------------------------------------------------------------

    def _study(self, name: str, *, owned: bool = True) -> Study:
        path = self.folder / "study.journal"
        return Study(path, name, self.place.sampler.directions, owned=owned)

    def _picks(self) -> Picks:
        return read_picks(self.place, self.scored)

    def _winner(self) -> Network:
        return best_of(networks(self.place, self._picks(), self.place.plan))
