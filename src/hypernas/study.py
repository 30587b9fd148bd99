"""The study of a run: every scored candidate as an Optuna trial in a journal file.

The file opens in ``optuna-dashboard``. Each finished candidate is one record; proposals live in
memory. A torn last line, and the lock of a process that died, are mended on opening.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from hypernas.candidate import Candidate
from hypernas.choices import Chooser, Decision, Value
from hypernas.errors import RunError
from hypernas.results import Exit, Scored
from hypernas.scoring import Score

optuna.logging.set_verbosity(optuna.logging.WARNING)


Aim: TypeAlias = Literal["maximize", "minimize"]

MOST_PARAMETERS = 100
"""Optuna parameters beyond which an architecture is recorded by its choices alone: each parameter
takes 160 bytes of the journal, 24 µs to write and 5 µs to read again, and spaces of memory banks
have hundreds of them"""


def parameter_name(decision: Decision, option: Any = None) -> str:
    """Return the name of a decision in the study.

    Optuna's categorical parameters must not change between trials, so a decision has one parameter
    for each set of options: its name and their digest. A subset has one an option.

    >>> parameter_name(Decision("kernel", (3, 5)))
    'kernel #20201f'
    """
    text = msgspec.json.encode([decision.kind, *decision.options])
    digest = hashlib.blake2b(text, digest_size=3).hexdigest()
    part = "" if option is None else f" has {option}"
    return f"{decision.name}{part} #{digest}"


def distributions(decision: Decision) -> dict[str, BaseDistribution]:
    """Return the Optuna distributions of a decision, by parameter name."""
    name = parameter_name(decision)
    if decision.kind == "int":
        low, high = decision.options[0], decision.options[-1]
        return {name: IntDistribution(low, high)}  # ty: ignore[invalid-argument-type]
    if decision.kind == "one":
        return {name: CategoricalDistribution(decision.options)}
    return {
        parameter_name(decision, option): CategoricalDistribution((False, True))
        for option in decision.options
    }


def parameters(choices: Mapping[str, Value], decisions: Mapping[str, Decision]) -> dict[str, Any]:
    """Return the Optuna parameters of an architecture."""
    found: dict[str, Any] = {}
    for name, decision in decisions.items():
        value = choices[name]
        if isinstance(value, list):
            found |= {parameter_name(decision, o): o in value for o in decision.options}
        else:
            found[parameter_name(decision)] = value
    return found


class FollowTrial(Chooser):
    """Answers as an Optuna trial suggests."""

    def __init__(self, trial: optuna.Trial) -> None:
        super().__init__()
        self.trial = trial

    def decide(self, decision: Decision) -> Value:
        name = parameter_name(decision)
        if decision.kind == "int":
            low, high = decision.options[0], decision.options[-1]
            return self.trial.suggest_int(name, low, high)  # ty: ignore[invalid-argument-type]
        if decision.kind == "one":
            return self.trial.suggest_categorical(name, decision.options)
        picked = [
            option
            for option in decision.options
            if self.trial.suggest_categorical(parameter_name(decision, option), (False, True))
        ]
        # the nearest legal size: the last picked fall away, or the first missing are added
        size = min((s for s, _ in decision.sizes), key=lambda s: (abs(s - len(picked)), s))
        missing = [option for option in decision.options if option not in picked]
        kept = [*picked[:size], *missing[: max(0, size - len(picked))]]
        return [option for option in decision.options if option in kept]


class Study:
    """The scored candidates of a run, in the order in which they were proposed.

    Args:
        path: of the journal file.
        name: of the study in it.
        directions: what Optuna optimises: ``["maximize"]`` for the score alone.
        owned: whether this process owns the run folder, so that it may mend the file.

    Attributes:
        trials: the candidates as Optuna trials, in order.
        scored: the same as they are used elsewhere.
    """

    def __init__(self, path: Path, name: str, directions: list[Aim], *, owned: bool = True) -> None:
        if owned:
            _mend(path)
        try:
            storage = JournalStorage(JournalFileBackend(str(path)))
            if name in optuna.get_all_study_names(storage):  # to open is not to write
                self._optuna = optuna.load_study(study_name=name, storage=storage)
            else:
                self._optuna = optuna.create_study(
                    storage=storage, study_name=name, directions=directions
                )
        except (OSError, ValueError, KeyError) as error:
            raise RunError(f"{path} is damaged: {error}; remove it and search again") from error
        self.directions = directions
        self.trials = self._optuna.get_trials(deepcopy=False)
        self.scored = [scored_of(trial) for trial in self.trials]

    def add(self, trial: FrozenTrial) -> None:
        """Append one finished candidate, as one record."""
        self._optuna.add_trial(trial)
        self.trials.append(trial)
        self.scored.append(scored_of(trial))


def finished(
    candidate: Candidate, score: Score, *, aims: int, most: int = MOST_PARAMETERS
) -> FrozenTrial:
    """Return a scored candidate as a trial.

    Args:
        candidate: what was scored.
        score: what its generated weights reach.
        aims: how many values the study optimises: 1 the score, 2 also the parameters.
        most: Optuna parameters up to which they are recorded beside the choices.
    """
    values = parameters(candidate.choices, candidate.decisions)
    kinds: dict[str, BaseDistribution] = {}
    if len(values) > most:
        values = {}
    else:
        for decision in candidate.decisions.values():
            kinds |= distributions(decision)
    return create_trial(
        state=TrialState.COMPLETE,
        params=values,
        distributions=kinds,
        values=[score.score, float(candidate.params)][:aims],
        user_attrs={
            "choices": candidate.choices,
            "params": candidate.params,
            "macs": candidate.macs,
            "interval": list(score.interval),
            "score_accuracy": score.score_accuracy,
            "curve": msgspec.to_builtins(score.curve),
        },
    )


def scored_of(trial: FrozenTrial) -> Scored:
    """Return what a trial of the study records."""
    kept = trial.user_attrs
    assert trial.values is not None
    return Scored(
        choices=kept["choices"],
        params=kept["params"],
        macs=kept["macs"],
        score=trial.values[0],
        interval=(kept["interval"][0], kept["interval"][1]),
        score_accuracy=kept["score_accuracy"],
        curve=msgspec.convert(kept.get("curve", []), list[Exit]),
    )


def _mend(path: Path) -> None:
    """Cut a torn last line, and remove the lock of a process that is gone."""
    lock = path.with_name(path.name + ".lock")
    if lock.is_symlink() or lock.exists():
        # One process at a time owns a run folder (see runs.py), so a lock left here has no owner.
        lock.unlink()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return
    text = path.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        os.truncate(path, whole)
