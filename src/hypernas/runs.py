"""A run: a folder that holds everything a search needed and found, and can be asked again.

::

    config.json   data.json   space.json   space.py   survey.json   plan.json
    teacher/                  the network that the fit learns from, with --teacher
    fit/                      checkpoint, log and some earlier states of the hypernetwork
    hypernet.safetensors
    study.journal             the scored candidates; opens in optuna-dashboard
    picks.json   networks/    the networks trained for real, and their weights
    ladder.json               what is believed of candidates, unless with --strategy top
    scaled/      transfer/    the winner under other options, and on other data
    best/                     the exported network
    explain.json   explain.svg   what good candidates have in common
    result.json   report.html
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import torch

from hypernas import hypernets, jobs, outcome, samplers, scaling, transferring
from hypernas.answers import Answers
from hypernas.best import GoOn, next_stage, stages
from hypernas.branches import require_counts
from hypernas.config import Config, check, in_full
from hypernas.console import Voice
from hypernas.errors import ConfigError, RunError
from hypernas.files import read_json, write_json, write_tensors
from hypernas.finalists import require_scored, sampled, so_far
from hypernas.fitting import fit
from hypernas.lock import owned
from hypernas.preparing import is_made, prepare
from hypernas.pruning import score_blocks
from hypernas.results import Limits, Meter, Network, Scaled, Transfer
from hypernas.searching import search
from hypernas.strategy import train_chosen
from hypernas.timing import seconds_of, timed
from hypernas.transferring import Target
from hypernas.trust import LEAST_SAMPLE
from hypernas.workers import Pool
from hypernas.workplace import Workplace


class Run(Answers):
    """A run folder, with the steps that fill it. Made by :meth:`start` or :meth:`open`."""

    @classmethod
    def open(cls, folder: str | Path, *, quiet: bool = False) -> Run:
        """Open an existing run folder.

        Raises:
            RunError: it is not one.
        """
        path = Path(folder)
        if not (path / "config.json").is_file():
            raise RunError(f"{path} is no run folder (it has no config.json); see `hypernas run`")
        return cls(Workplace(path, read_json(path / "config.json", Config)), Voice(quiet=quiet))

    @classmethod
    def start(cls, folder: str | Path, config: Config, *, quiet: bool = False) -> Run:
        """Make a run folder, or open the one that was made by the same configuration.

        Everything that can be wrong with the configuration is found before anything is written.

        Raises:
            HypernasError: an option cannot work, or the folder was made by another configuration.
        """
        path, voice = Path(folder), Voice(quiet=quiet)
        check(config)
        config = in_full(config)
        samplers.make(config.sampler, config.sampler_options)
        hypernets.check(config.hypernet, config.hypernet_options)
        place = Workplace(path, config)
        if not is_made(place):
            prepare(place, voice)
        return cls(place, voice)

    # -- steps ----------------------------------------------------------------------------------

    def everything(self) -> Run:
        """Do all steps that are not done yet, and return the run."""
        with owned(self.folder):
            self._fit()
            self._search()
            self._train()
            self._keep_up(self.place.plan.best_epochs)
            self._export()
            self._report()
        return self

    def fit(self) -> None:
        """Train the hypernetwork."""
        self.place.require_fit()
        with owned(self.folder):
            self._fit()

    def search(self, *, trials: int | None = None) -> None:
        """Score candidates until there are ``trials`` (by default as planned)."""
        with owned(self.folder):
            self._change_plan(trials=trials)
            self._search()

    def train(self, **counts: int | None) -> None:
        """Train the finalists, as many random networks, and the biggest that fits.

        Args:
            counts: ``finalists``, ``seeds`` or ``epochs`` where they are to differ from the plan.
        """
        with owned(self.folder):
            self._train(**counts)

    def go_on(self, *, epochs: int) -> None:
        """Train the winner for ``epochs`` more, and bring export and report up to date."""
        if epochs < 1:
            raise ConfigError(f"--epochs is {epochs}; expected 1 or more")
        request = self.folder / "going-on.json"
        with owned(self.folder):
            stage = len(stages(self.place, self._winner())) + 1
            if request.exists() and read_json(request, GoOn).epochs == epochs:
                stage = read_json(request, GoOn).stage  # it was stopped, perhaps in the export
            write_json(request, GoOn(stage=stage, epochs=epochs))
            if len(stages(self.place, self._winner())) < stage:
                self._go_on(epochs)
            self._export()
            self._report()
            request.unlink()

    def scale(
        self,
        options: dict[str, Any],
        *,
        epochs: int,
        seeds: int | None = None,
        start: scaling.Start = "scratch",
    ) -> list[Scaled]:
        """Train the winner's choices under other options of the space, such as ``width=32``.

        Args:
            options: those that are to differ.
            epochs: of each training.
            seeds: trainings; by default as planned.
            start: ``grown`` starts as the trained winner, whose outputs it gives (Net2Net).

        Returns:
            All that was so trained in this run, the last one last.
        """
        require_counts(epochs=epochs, seeds=seeds)
        with owned(self.folder):
            winner, seeds = self._winner(), seeds or self.place.plan.seeds
            found = scaling.scale(
                self.best, options, self.voice, epochs=epochs, seeds=seeds, start=start
            )
            scaling.show(self.voice, winner, found, self.place.task.short)
            self.voice.say(f"network: {self.folder / found[-1].folder / 'best'}{os.sep}")
        return found

    def transfer(self, target: Target, *, native: str | Path | None = None) -> Transfer:
        """Train the winner on other data, beside random architectures and one found there.

        Args:
            target: the data, and how much is trained there.
            native: a run folder on that data, whose winner is trained beside.
        """
        other = None
        if native is not None:
            there = Run.open(native, quiet=True)
            other = there.place, there._winner().choices
        with owned(self.folder):
            choices = self._winner().choices
            found = transferring.transfer(self.place, choices, target, self.voice, native=other)
            transferring.show(self.voice, found)
        return found

    def trust(self, *, train: int) -> Meter:
        """Train so many random networks in all, and say how well scores rank.

        They count among the random networks of the run from then on; one that is better than the
        winner takes its place, and goes on for as many epochs as that one did.

        Raises:
            ConfigError: they are too few to say anything.
        """
        if train < LEAST_SAMPLE:
            raise ConfigError(
                f"--train is {train}; expected {LEAST_SAMPLE} or more random networks"
            )
        if len(sampled(self.place, LEAST_SAMPLE)) < LEAST_SAMPLE:
            limited = self.config.limits != Limits()
            where = "are within the limits; raise the limit" if limited else "are in the space"
            raise ConfigError(f"fewer than {LEAST_SAMPLE} different networks {where}")
        with owned(self.folder):
            self._train(sample=max(train, self.place.plan.sample))
            self._keep_up()
            self._export()
            self._report()
        found = self.result.trust
        assert found is not None, "there are enough"
        return found

    def export(self) -> None:
        """Write ``best/`` anew, and bring ``result.json`` up to date.

        A run that was stopped gives the best of what it has; it is reported as soon as a finalist,
        a random network and the biggest are trained.
        """
        with owned(self.folder):
            (self.folder / "export.json").unlink(missing_ok=True)
            self._export()
            found = so_far(self.place, self._picks(), self.place.plan)
            if lacking := outcome.lacking(found):
                self.voice.say(f"network: {self.folder / 'best'}{os.sep}; no report yet: {lacking}")
            else:
                self._report()

    def report(self) -> None:
        """Write ``result.json`` and ``report.html``."""
        with owned(self.folder):
            self._report()

    # -- how each step is done --------------------------------------------------------------------

    def _fit(self) -> None:
        place = self.place
        if not self.config.fits or (self.folder / "hypernet.safetensors").exists():
            return
        place.threads(place.plan.threads)
        hypernet = place.new_hypernet()
        with (
            timed(self.folder, "fit"),
            self.voice.bar("fit") as update,
            torch.random.fork_rng(devices=[]),
        ):
            work = place.fit(hypernet, place.plan.steps)
            fit(work, self.folder / "fit", place.scorer(hypernet), progress=update)
        write_tensors(
            self.folder / "hypernet.safetensors", hypernet.state_dict(), {"largest": work.largest}
        )

    def _search(self) -> None:
        place, plan = self.place, self.place.plan
        if self.config.fits:
            place.hypernet  # noqa: B018 (refuses a folder without one before processes start)
        study = self._study("search")
        if len(study.trials) >= plan.trials:
            return
        with timed(self.folder, "search"), self._pool() as pool, self.voice.bar("search") as update:
            search(
                place.candidates,
                study,
                score_blocks(place, pool, study.scored),
                sampler=place.sampler,
                trials=plan.trials,
                limits=self.config.limits,
                feasible_share=place.survey.share(self.config.limits),
                seed=self.config.seed,
                scorer=place.generated if self.config.fits else None,
                block=place.block,
                progress=update,
            )

    def _train(self, **counts: int | None) -> None:
        require_scored(self.place, self.scored)  # or a plan would be changed for nothing
        self._change_plan(**counts)
        train_chosen(self.place, self.scored, self.voice)
        self._forget_best()

    def _keep_up(self, epochs: int = 0) -> None:
        """Let the winner go on until it has as many further epochs as any network, or ``epochs``.

        Another winner than before would else be exported with less training than the former one.
        """

        def further(network: Network) -> int:
            return sum(stage.epochs for stage in stages(self.place, network))

        trained = so_far(self.place, self._picks(), self.place.plan)
        lacking = max(epochs, *map(further, trained)) - further(self._winner())
        if lacking > 0:
            self._go_on(lacking)

    def _go_on(self, epochs: int) -> None:
        winner = self._winner()
        job = next_stage(winner, stages(self.place, winner), epochs)
        self.place.threads(self.place.plan.threads)
        with timed(self.folder, "longer"), self.voice.bar("winner") as update:
            job.do(self.place, lambda done, total: update(done, total, f"{epochs} more epochs"))
        self._forget_best()

    def _forget_best(self) -> None:
        self.__dict__.pop("best", None)

    def _export(self) -> None:
        if not outcome.is_exported(self.place, self.best.final):
            with timed(self.folder, "export"):
                outcome.export_network(self.place, self.best.network, self.best.final)

    def _report(self) -> None:
        picks, best, scored = self._picks(), self.best, self.scored
        with self.voice.bar("rivals") as update:
            result = outcome.collect(
                self.place, picks, best, scored, seconds_of(self.folder), update
            )
        write_json(self.folder / "result.json", result)
        outcome.write_page(self.place, result, scored)
        outcome.show(self.voice, result, self.folder)

    # -- helpers ----------------------------------------------------------------------------------

    def _pool(self) -> Pool:
        self.place.threads(1)
        return Pool(self.folder, self.config.processes, lambda job: jobs.do(self.place, job))

    def _change_plan(self, **counts: int | None) -> None:
        given = {name: count for name, count in counts.items() if count is not None}
        require_counts(**given)
        if given:
            plan = msgspec.structs.replace(self.place.plan, **given)
            write_json(self.folder / "plan.json", plan)
            self.place.plan = plan
