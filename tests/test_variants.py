"""The experiments of ``benchmarks/variants.py`` measure what they say."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hypernas import fitting, hypernets
from hypernas.candidate import Candidate, Candidates
from hypernas.config import Config
from hypernas.errors import ConfigError
from hypernas.files import read_tensors
from hypernas.fitting import Fit
from hypernas.hypernets.shared import entries
from hypernas.spaces import find
from hypernas.tasks import Signature
from hypernas.workplace import Workplace

STEPS = 12
SPACE = f"{Path(__file__).parent / 'small_space.py'}:small"
SMALL = Candidates(find(SPACE, {}), Signature((1, 8, 8), 10))


@pytest.fixture
def variants(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module ``variants``; its hypernetworks are not known to other tests."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    monkeypatch.setattr(hypernets.hypernet, "BUILT_IN", dict(hypernets.hypernet.BUILT_IN))
    import variants

    hypernets.hypernet.BUILT_IN.update(variants.OWN)
    return variants


def place(folder: Path, seed: int = 0) -> Workplace:
    small = {"data": "digits", "examples": 200, "batch": 16, "score_images": 40, "space": SPACE}
    made = Workplace(folder, Config(**small, seed=seed))
    made.data = made.record_data()
    made.look(10)
    return made


def drawn(count: int) -> list[Candidate]:
    return [SMALL.draw(random.Random(seed)) for seed in range(count)]


def choices(count: int) -> list[Any]:
    return [candidate.choices for candidate in drawn(count)]


def test_every_way_is_measured(
    variants: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hypernas.jobs.WARM_STEPS", 2)
    names = [name for name in variants.names() if name != "1 cell"]  # which this space has not
    places = [place(tmp_path, seed) for seed in range(2)]
    asked = choices(4)
    found = {
        name: variants.measured(places, asked, name, steps=STEPS, folder=tmp_path) for name in names
    }
    for name, measured in found.items():
        values = np.array(measured.values)
        assert values.shape == (1 if name in ("ensemble", "pairs") else 2, 4)
        assert np.isfinite(values).all()
        assert measured.fit > measured.score > 0
        # TPE begins with random ones, and here there are no cells that could hear each other
        if name not in ("plain", "draws by TPE", "stacking shared"):
            assert not np.allclose(values, found["plain"].values), name
    plain = np.array(found["plain"].values)
    assert np.allclose(found["ensemble"].values, plain.mean(0))
    assert (np.array(found["accuracy"].values) >= 0).all()
    assert found["mean score"].score > found["plain"].score
    assert (plain < 0).all()
    assert len(list((tmp_path / "short").iterdir())) == 8
    fits = sorted(p.name for p in tmp_path.iterdir() if p.is_dir() and p.name != "short")
    assert fits == [
        f"{kind}-{seed}"
        for kind in (
            f"4-candidates-a-step-{STEPS // 4}",
            f"draws-by-Hyperband-{STEPS}",
            f"draws-by-TPE-{STEPS}",
            f"draws-by-operation-{STEPS}",
            f"modulated-{STEPS}",
            f"no-places-{STEPS}",
            f"operations-only-{STEPS}",
            f"plain-{STEPS}",
            f"plain-{4 * STEPS}",
            f"stacking-shared-{STEPS}",
            f"uniform-draws-{STEPS}",
            f"wider-{STEPS}",
        )
        for seed in (0, 1)
    ]


def test_a_refitted_head_is_fitted_to_what_reaches_it(variants: Any, tmp_path: Path) -> None:
    import refitted

    torch.manual_seed(0)
    features, slopes = torch.randn(4000, 3) * torch.tensor([1.0, 5.0, 0.1]), torch.randn(2, 3)
    found, intercept = refitted.ridge(features, features @ slopes.T + 0.5)
    torch.testing.assert_close(found, slopes, rtol=0.05, atol=0.01)
    torch.testing.assert_close(intercept, torch.full((2,), 0.5), rtol=0, atol=0.05)
    one, candidate = place(tmp_path), drawn(1)[0]
    (weights,) = one.new_hypernet()([candidate])
    better = refitted.refitted(one, candidate, weights)
    (head,) = {name.rpartition(".")[0] for name in weights if better[name] is not weights[name]}
    assert better.keys() == weights.keys()
    assert {f"{head}.weight", f"{head}.bias"} <= weights.keys()
    judge = one.scorer(one.new_hypernet()).judge
    assert judge(candidate, better).score_accuracy > judge(candidate, weights).score_accuracy


def test_short_fits_together_are_as_long_as_one(variants: Any, tmp_path: Path) -> None:
    asked, one = choices(3), place(tmp_path, 1)
    found = variants.measured([one], asked, "4 short fits", steps=12, folder=tmp_path)
    each = [place(tmp_path / "other", seed) for seed in range(4, 8)]
    for other in each:
        other.splits, other.data, other.survey = one.splits, one.data, one.survey
    plain = variants.measured(each, asked, "plain", steps=3, folder=tmp_path / "other")
    assert np.allclose(found.values, np.mean(plain.values, axis=0))
    kept = variants.measured(each, asked, "plain", steps=3, folder=tmp_path / "short")
    assert found.values == [np.mean(kept.values, axis=0).tolist()]
    assert found.fit == pytest.approx(4 * kept.fit)


def test_a_distilled_fit_learns_from_another_network(
    variants: Any, tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "CHANGES", dict(variants.CHANGES))
    with pytest.raises(ConfigError, match="no way 'distilled'"):
        variants.measured([place(tmp_path)], choices(2), "distilled", steps=3, folder=tmp_path)
    variants.teach(finished)
    found = [
        variants.measured([place(tmp_path)], choices(2), name, steps=3, folder=tmp_path).values
        for name in ("plain", "distilled")
    ]
    assert not np.allclose(*found)
    name = variants.kept_as("distilled")
    variants.teach(tmp_path)
    assert name != variants.kept_as("distilled")
    assert variants.kept_as("plain") == "plain"


def test_means_are_those_of_the_last_checkpoints(variants: Any, tmp_path: Path) -> None:
    one = place(tmp_path)
    variants.measured([one], choices(1), "plain", steps=STEPS, folder=tmp_path)
    folder = tmp_path / f"plain-{STEPS}-0"
    kept = [read_tensors(folder / f"weights-{step}.safetensors")[0] for step in range(8, 13)]
    (mean,) = variants._weights("mean weights", folder, STEPS).values()
    assert mean.keys() == kept[0].keys()
    for name, value in mean.items():
        torch.testing.assert_close(value, sum(k[name] for k in kept) / 5)
    (average,) = variants._weights("averaged", folder, STEPS).values()
    assert _distance(average, kept[0]) > _distance(average, kept[-1]) > 0
    single = [
        variants.measured([one], choices(3), "plain", steps=STEPS, folder=tmp_path).values[0],
        variants.measured([one], choices(3), "mean score", steps=STEPS, folder=tmp_path).values[0],
    ]
    hypernet = one.new_hypernet()
    by_hand = []
    for weights in kept:
        hypernet.load_state_dict(weights)
        networks = [one.candidates.of(c) for c in choices(3)]
        by_hand.append([score.score for score in one.scorer(hypernet)(networks)])
    assert single[0] == pytest.approx(by_hand[-1])
    assert single[1] == pytest.approx(np.mean(by_hand, axis=0))


def test_an_average_that_forgets_at_once_is_the_last(
    variants: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "DECAY", 0.0)
    one = place(tmp_path)
    plain, averaged = (
        variants.measured([one], choices(2), name, steps=3, folder=tmp_path).values
        for name in ("plain", "averaged")
    )
    assert averaged == plain


def _distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return sum(float((one[name] - other[name]).square().sum()) for name in one)


def test_a_killed_measurement_goes_on_to_the_same_values(
    variants: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    ways = ("averaged", "mean weights", "modulated")

    def found(folder: Path) -> list[Any]:
        asked = choices(2)
        return [
            variants.measured([place(folder)], asked, name, steps=STEPS, folder=folder).values
            for name in ways
        ]

    whole = found(tmp_path / "whole")
    plain, left = Fit.advance, [0]

    def stop(self: Fit) -> float:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return plain(self)

    monkeypatch.setattr(Fit, "advance", stop)
    for steps in (10, STEPS):  # in the first fit, and in the second
        left[0] = steps
        with pytest.raises(KeyboardInterrupt):
            found(tmp_path / "cut")
    assert found(tmp_path / "cut") == whole


def test_modulated_begins_as_plain_weight_sharing(variants: Any) -> None:
    modulated = hypernets.make("modulated")
    both = drawn(2)
    modulated.prepare(both)
    shared = [modulated.table.look_up(entries(candidate)) for candidate in both]
    for weights, plain in zip(modulated(both), shared, strict=True):
        assert weights.keys() == plain.keys()
        assert all(torch.equal(weights[name], plain[name]) for name in weights)


def test_modulated_weights_tell_architectures_apart(variants: Any) -> None:
    modulated = hypernets.make("modulated")
    both = drawn(2)
    modulated.prepare(both)
    torch.nn.init.normal_(modulated.decoder.vector, std=0.1)
    (one,), (other,) = modulated(both[:1]), modulated(both[1:])
    common = [n for n in one if n in other and one[n].shape == other[n].shape and one[n].ndim > 1]
    ratio = (one[common[-1]] / other[common[-1]]).flatten(1)
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-3, atol=1e-3)
    assert ratio[:, 0].std() > 1e-3  # for each output channel another
    together = modulated(both)
    for alone, beside in zip((one, other), together, strict=True):
        for key in alone:
            torch.testing.assert_close(alone[key], beside[key])
    sum(w.square().sum() for w in one.values()).backward()
    generator = set(modulated.generator_parameters())
    assert all(p.grad is not None for p in generator)
    assert {p for p in modulated.parameters() if p not in generator} == set(
        modulated.table.parameters()
    )


def test_operations_only_hides_shapes(variants: Any) -> None:
    blind, seeing = hypernets.make("operations only"), hypernets.make("ghn")
    blind.load_state_dict(seeing.state_dict())
    (candidate,) = drawn(1)
    tables = seeing._tables([candidate])
    told = tables.features.clone()
    tables.features[:, -3:-1] += 1.0
    tables.features[:, -4] += 1.0
    changed = seeing.states(tables)
    assert not torch.allclose(changed, seeing.states(replace(tables, features=told)))
    assert torch.equal(blind.states(tables), blind.states(replace(tables, features=told)))
    tables.features[:, 1] += 1.0
    assert not torch.allclose(blind.states(tables), blind.states(replace(tables, features=told)))
