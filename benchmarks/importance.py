"""How well shares of the variance estimated from a few scores agree with the exact ones.

    python benchmarks/importance.py nas-bench-macro_cifar10.json

reads the published table of NAS-Bench-Macro (github.com/xiusu/NAS-Bench-Macro, Apache-2.0): the
mean accuracy of three trainings of each of its 6,561 networks. Its shares are exact; samples of it
are explained as a run's scores are, beside a random forest whose predictions for the whole grid are
decomposed exactly, and Optuna's fANOVA and PED-ANOVA, which know single choices only.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import optuna
from common import Row, write
from scipy.stats import kendalltau
from sklearn.ensemble import RandomForestRegressor

from hypernas.explaining.exact import Table, full_table
from hypernas.explaining.factors import plain_factors
from hypernas.explaining.importance import importance_of
from hypernas.explaining.record import Importance
from hypernas.results import Scored

Shares = dict[tuple[str, ...], float]
"""of the variance, by one name or two"""


def published(path: Path) -> list[Scored]:
    """Return the networks of the table, their accuracies in percent as scores."""
    return [
        Scored(
            choices={f"layer{place}": block for place, block in enumerate(name)},
            params=found["params"],
            macs=found["flops"],
            score=found["mean_acc"],
            interval=(found["mean_acc"], found["mean_acc"]),
            score_accuracy=None,
        )
        for name, found in sorted(json.loads(path.read_text()).items())
    ]


def shares(found: Importance) -> Shares:
    """Return the shares of choices and of pairs."""
    own = {(one.name,): one.alone.value for one in found.choices}
    return own | {tuple(sorted(one.names)): one.share.value for one in found.pairs}


def forest(every: Sequence[Scored], sample: Sequence[Scored]) -> Shares:
    """Return the exact shares of what a random forest predicts for the whole grid."""
    model = RandomForestRegressor(200, max_features=1 / 3, random_state=0)
    model.fit(encoded(sample), [one.score for one in sample])
    factors = plain_factors([one.choices for one in every])
    assert factors is not None
    table = full_table(factors, model.predict(encoded(every)), np.ones(len(every)))
    assert isinstance(table, Table)
    names = [factor.name for factor in table.factors]
    own = {(name,): one.value for name, one in zip(names, table.main(), strict=True)}
    return own | {(names[i], names[j]): one.value for (i, j), one in table.pairs().items()}


def encoded(scored: Sequence[Scored]) -> np.ndarray:
    """Return choices as columns of 0 and 1."""
    return np.array([[v == o for v in one.choices.values() for o in "012"] for one in scored])


def by_optuna(
    sample: Sequence[Scored], evaluator: optuna.importance.BaseImportanceEvaluator
) -> Shares:
    """Return what an evaluator of Optuna says of single choices."""
    study = optuna.create_study(direction="maximize")
    kinds = {
        name: optuna.distributions.CategoricalDistribution(("0", "1", "2"))
        for name in sample[0].choices
    }
    study.add_trials(
        [
            optuna.create_trial(params=one.choices, distributions=kinds, value=one.score)
            for one in sample
        ]
    )
    return {(name,): value for name, value in evaluator.evaluate(study).items()}


def agreement(name: str, exact: Shares, found: Sequence[Shares]) -> list[Row]:
    """Return how far shares of several samples are off, and how they rank."""
    rows = []
    for size, kind in ((1, "choices"), (2, "pairs")):
        keys = [key for key in exact if len(key) == size and key in found[0]]
        if not keys:
            continue
        truth = np.array([exact[key] for key in keys])
        values = np.array([[one[key] for key in keys] for one in found])
        tau = float(np.mean([kendalltau(row, truth).statistic for row in values]))
        rows.append(Row(what=f"{name}, {kind}: tau", value=tau, better="more"))
        if "PED" in name:
            continue  # it gives divergences, no shares
        rows.append(
            Row(what=f"{name}, {kind}: mean error", value=float(np.abs(values - truth).mean()))
        )
        rows.append(Row(what=f"{name}, {kind}: bias", value=float((values - truth).mean())))
    return rows


def coverage(name: str, exact: Importance, found: Sequence[Importance]) -> list[Row]:
    """Return in which share of cases intervals hold the exact figure."""
    own = {one.name: one for one in exact.choices}
    pairs = {one.names: one.share.value for one in exact.pairs}
    steps = {(one.name, one.before, one.after): one.score.value for one in exact.steps}
    cases = {
        "choices": [(c.alone, own[c.name].alone.value) for f in found for c in f.choices],
        "pairs": [(p.share, pairs[tuple(sorted(p.names))]) for f in found for p in f.pairs],
        "steps": [
            (s.score, steps[s.name, s.before, s.after])
            for f in found
            for s in f.steps
            if (s.name, s.before, s.after) in steps
        ],
    }
    return [
        Row(
            what=f"{name}, {kind}: intervals that hold the truth",
            value=float(np.mean([e.low <= truth <= e.high for e, truth in some])),
            better="more",
            note=f"{len(some)} intervals of 95 %",
        )
        for kind, some in cases.items()
    ]


def explained(scored: Sequence[Scored]) -> Importance:
    """Return the importance that there is."""
    found = importance_of(scored)[0]
    assert found is not None
    return found


def main() -> None:
    """Measure and write ``results/importance.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="+", default=[300])
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning)
    every = published(asked.table)
    exact = explained(every)
    assert exact.exact
    truth = shares(exact)
    rows = [
        Row(what="exact: all choices", value=sum(v for k, v in truth.items() if len(k) == 1)),
        Row(what="exact: all pairs", value=sum(v for k, v in truth.items() if len(k) == 2)),
        Row(what="exact: three and more", value=exact.rest.value),
    ]
    for size in asked.sizes:
        picks = [
            np.random.default_rng(seed).choice(len(every), size, replace=False)
            for seed in range(asked.samples)
        ]
        samples = [[every[i] for i in pick] for pick in picks]
        start = time.process_time()
        found = [explained(sample) for sample in samples]
        seconds = (time.process_time() - start) / len(samples)
        name = f"{size} scores"
        rows += agreement(f"{name}, hypernas", truth, [shares(one) for one in found])
        rows += coverage(f"{name}, hypernas", exact, found)
        rows.append(Row(what=f"{name}, hypernas: time", value=seconds, unit="CPU s"))
        rivals: dict[str, Callable[[Sequence[Scored]], Shares]] = {
            "random forest": lambda sample: forest(every, sample),
            "Optuna fANOVA": lambda s: by_optuna(
                s, optuna.importance.FanovaImportanceEvaluator(seed=0)
            ),
            "Optuna PED-ANOVA": lambda s: by_optuna(
                s, optuna.importance.PedAnovaImportanceEvaluator()
            ),
        }
        for rival, how in rivals.items():
            rows += agreement(f"{name}, {rival}", truth, [how(sample) for sample in samples])
    write(Path(__file__), rows)


if __name__ == "__main__":
    main()
