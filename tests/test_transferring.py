"""The winner on other data, beside random architectures and one found there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.datasets import load_digits

from hypernas.errors import DataError, HypernasError, RunError
from hypernas.files import read_json
from hypernas.jobs import Train
from hypernas.results import Rebuilt, Training, Transfer
from hypernas.runs import Run
from hypernas.transferring import Target
from hypernas.verdict import contrast, interval_of_mean
from hypernas.workplace import Workplace


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of digits at twice the size, in colour."""
    digits = load_digits()
    few = digits.target < 4
    images = (15 * digits.images[few]).astype(np.uint8).repeat(2, 1).repeat(2, 2)
    path = tmp_path_factory.mktemp("data") / "large.npz"
    np.savez(path, images=np.stack([images] * 3, axis=1), labels=digits.target[few])
    return path


@pytest.fixture(scope="session")
def native(other: Path, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the other data."""
    folder = tmp_path_factory.mktemp("native") / "run"
    less = {"steps": 10, "trials": 8, "finalists": 1, "survey": 60}
    config = msgspec.structs.replace(Run.open(finished).config, data=str(other), **less)
    run = Run.start(folder, config, quiet=True)
    run.fit()
    run.search()
    run.train()
    return folder


def target(other: Path, **changes: Any) -> Target:
    return Target(data=str(other), **({"epochs": 1, "seeds": 1, "random": 2} | changes))


def test_all_are_trained_there_by_one_recipe(
    own_run: Run, other: Path, native: Path, trained: list[Train]
) -> None:
    found = own_run.transfer(target(other, seeds=2), native=native)
    there = Run.open(native, quiet=True)
    assert found.data["input_shape"] == (3, 16, 16)
    assert len(found.data["classes"]) == 4
    assert found.data["fingerprint"] == there.place.data.fingerprint
    assert found.transferred.choices == own_run.best.choices
    assert found.native is not None
    assert found.native.choices == there.best.choices
    assert len(found.random) == 2
    every = [found.transferred, found.native, *found.random]
    assert all([t.seed for t in one.seeds] == [0, 1] for one in every)
    assert all(t.epochs == 1 for one in every for t in one.seeds)
    assert found.recipe["epochs"] == 1
    assert found.recipe["rate"] == own_run.config.train_rate
    assert found.against_native is not None
    for words in ("large", "random architectures on average", "found"):
        assert words in found.text
    kept = own_run.folder / "transfer" / "large" / "result.json"
    assert msgspec.json.encode(read_json(kept, Transfer)) == msgspec.json.encode(found)
    count = len(trained)
    again = Run.open(own_run.folder, quiet=True).transfer(target(other, seeds=2), native=native)
    assert again == found
    assert len(trained) == count


def test_sizes_are_those_on_the_other_data(own_run: Run, other: Path) -> None:
    found = own_run.transfer(target(other))
    own = own_run.best.network
    assert found.transferred.params != own.params  # three input channels, four classes
    assert found.transferred.macs > own.macs
    assert found.native is None
    assert found.against_native is None
    assert "with one seed, luck was not measured" in found.text


def test_a_cell_is_carried_to_another_skeleton(own_run: Run, other: Path) -> None:
    options = {"skeleton": "imagenet-mobile", "width": "auto", "macs": 1_000_000}
    found = own_run.transfer(target(other, options=options))
    every = [found.transferred, *found.random]
    own = own_run.best
    assert found.transferred.choices == own.choices
    assert all(one.macs <= 1_000_000 for one in every)
    assert found.transferred.macs > 300_000 > own.network.macs
    assert found.options == options
    assert found.text.startswith("with skeleton=imagenet-mobile width=auto macs=1000000, on large")
    kept = own_run.folder / "transfer" / "large,skeleton=imagenet-mobile,width=auto,macs=1000000"
    assert read_json(kept / "result.json", Transfer).options == options
    with pytest.raises(HypernasError, match="no option 'wide'"):
        own_run.transfer(target(other, options={"wide": 3}))


def test_random_ones_keep_the_limits_of_the_run(own_run: Run, other: Path) -> None:
    sizes = sorted(s.params for s in own_run.scored)
    limit = sizes[len(sizes) // 2]
    config = msgspec.structs.replace(own_run.config, max_params=limit)
    run = Run(Workplace(own_run.folder, config), own_run.voice)
    found = run.transfer(target(other, random=3))
    own = [run.place.candidates.of(one.choices).params for one in found.random]
    assert all(params <= limit for params in own)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": "nowhere"}, "nowhere"),
        ({"data": "digits"}, "the run was made with"),
        ({"random": 1}, "--random is 1"),
        ({"epochs": 0}, "--epochs is 0"),
        ({"seeds": -1}, "--seeds is -1"),
    ],
)
def test_bad_targets_are_refused_before_training(
    own_run: Run, other: Path, trained: list[Train], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(HypernasError) as caught:
        own_run.transfer(msgspec.structs.replace(target(other), **changes))
    assert words in str(caught.value)
    assert trained == []
    assert not (own_run.folder / "transfer").exists()


def test_damaged_data_are_refused_before_training(
    own_run: Run, tmp_path: Path, trained: list[Train]
) -> None:
    np.savez(tmp_path / "bad.npz", images=np.zeros((12, 8, 8), np.uint8), labels=np.zeros(12, int))
    with pytest.raises(DataError, match="two classes"):
        own_run.transfer(target(tmp_path / "bad.npz"))
    assert trained == []
    assert not (own_run.folder / "transfer").exists()


def test_native_run_on_other_data_or_space_is_refused(
    own_run: Run, other: Path, native: Path, finished: Path, trained: list[Train]
) -> None:
    with pytest.raises(RunError, match=r"--native .* was made with digits"):
        own_run.transfer(target(other), native=finished)
    wider = own_run.place.space.with_options(width=8)
    own_run.place.space = wider
    with pytest.raises(RunError, match=r"--native .* searched space cell .*width=4"):
        own_run.transfer(target(other), native=native)
    assert trained == []
    assert not (own_run.folder / "transfer").exists()


def test_other_data_under_the_same_name_is_refused(
    own_run: Run, other: Path, tmp_path: Path
) -> None:
    own_run.transfer(target(other))
    (tmp_path / "large.npz").write_bytes(other.read_bytes())
    with pytest.raises(RunError, match=r"holds networks trained with data"):
        own_run.transfer(target(tmp_path / "large.npz"))


def test_image_size(own_run: Run, other: Path) -> None:
    found = own_run.transfer(target(other, image_size=8))
    assert found.data["input_shape"] == (3, 8, 8)


def network(name: str, *test: float) -> Rebuilt:
    """Return an architecture with these accuracies, one a seed."""
    seeds = [
        Training(seed=s, epochs=1, val_accuracy=t, val_loss=1, test_accuracy=t, seconds=1)
        for s, t in enumerate(test)
    ]
    mean = float(np.mean(test))
    return Rebuilt(
        choices={"name": name},
        params=1,
        macs=1,
        val_accuracy=mean,
        test_accuracy=mean,
        seeds=seeds,
    )


RANDOM = [network(f"r{i}", 0.70 + i / 100, 0.705 + i / 100, 0.71 + i / 100) for i in range(4)]


def test_a_clear_difference_is_told_in_both_directions() -> None:
    good, bad = network("good", 0.90, 0.91, 0.92), network("bad", 0.40, 0.41, 0.42)
    for one, answer in ((good, "yes"), (bad, "no")):
        for others in (RANDOM, RANDOM[:1]):
            found = contrast(one, others, test_examples=10_000)
            point, low, high = found.difference
            assert found.answer == answer
            assert low < point < high
            mean = np.mean([other.test_accuracy for other in others])
            assert point == pytest.approx(one.test_accuracy - mean)


def test_ties_are_ties() -> None:
    close = network("close", 0.71, 0.72, 0.73)
    assert contrast(close, RANDOM, test_examples=10_000).answer == "not shown"
    assert contrast(RANDOM[0], [RANDOM[0]], test_examples=10_000).answer == "not shown"
    one_seed = network("one", 0.99)  # its luck is not known
    assert contrast(one_seed, RANDOM, test_examples=10_000).answer == "not shown"
    good = network("good", 0.78, 0.785, 0.79)  # what 10,000 images show, 50 do not
    assert contrast(good, RANDOM, test_examples=10_000).answer == "yes"
    assert contrast(good, RANDOM, test_examples=50).answer == "not shown"


def test_interval_against_random_covers() -> None:
    """In 95 of 100 cases, or more, the interval holds the true difference, which is 0 here."""
    rng = np.random.default_rng(0)

    def drawn(name: str, level: float) -> Rebuilt:
        return network(name, *(level + 0.005 * rng.standard_normal(3)))

    covered = 0
    for _ in range(100):
        one = drawn("one", 0.8)
        others = [drawn(str(i), 0.8 + 0.01 * rng.standard_normal()) for i in range(4)]
        _, low, high = contrast(one, others, test_examples=10**7).difference
        covered += low <= 0 <= high
    assert covered >= 92


def test_interval_of_a_mean_is_students() -> None:
    assert interval_of_mean([0.5]) is None
    low, high = interval_of_mean([0.4, 0.6]) or (0, 0)
    assert (low, high) == pytest.approx((0.5 - 12.706 * 0.1, 0.5 + 12.706 * 0.1), rel=1e-3)
