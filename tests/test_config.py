"""What cannot work is refused by the name of its option."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch

from hypernas.config import Config, check, cores, difference
from hypernas.errors import ConfigError
from hypernas.results import Limits


def test_defaults_work() -> None:
    check(Config(data="digits"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_params", 0),
        ("max_macs", -1),
        ("minutes", 0.0),
        ("minutes", -3.0),
        ("minutes", float("nan")),
        ("minutes", 1e9),
        ("steps", -1),
        ("trials", 0),
        ("finalists", 0),
        ("seeds", -1),
        ("epochs", 0),
        ("best_epochs", -1),
        ("batch", 1),
        ("meta_batch", 0),
        ("rate", 0.0),
        ("rate", float("nan")),
        ("anneal", -0.1),
        ("anneal", 1.5),
        ("score_images", 1),
        ("train_batch", 1),
        ("train_rate", -0.1),
        ("crop", -1),
        ("cutout", -2),
        ("examples", 0),
        ("image_size", 0),
        ("workers", 0),
        ("survey", 0),
    ],
)
def test_numbers_that_cannot_work_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        check(Config(data="digits", **{name: value}))
    text = str(refused.value)
    assert text.startswith(f"--{name.replace('_', '-')} is {value}; expected ")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("name", "value"), [("steps", 0), ("best_epochs", 0), ("crop", 0), ("score_images", 2)]
)
def test_smallest_values_are_allowed(name: str, value: int) -> None:
    check(Config(data="digits", **{name: value}))


@pytest.mark.parametrize("device", ["gpu", "cuda:x", ""])
def test_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match=r"--device .* is no device; give cpu or cuda"):
        check(Config(data="digits", device=device))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_missing_gpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 CUDA devices are there; give another, or cpu"):
        check(Config(data="digits", device="cuda:0"))


def test_first_difference_is_said() -> None:
    one = Config(data="digits", trials=10)
    assert difference(one, one) is None
    other = msgspec.structs.replace(one, trials=20, seed=3)
    assert difference(one, other) == "trials 10 instead of 20"
    assert difference(one, msgspec.structs.replace(one, max_params=5)) == (
        "max-params None instead of 5"
    )


def test_number_of_processes_is_no_difference() -> None:
    one = Config(data="digits", workers=1)
    assert difference(one, msgspec.structs.replace(one, workers=2)) is None


def test_config_returns_from_its_file() -> None:
    config = Config(data="d", options={"width": 4}, max_params=7, flip=False, minutes=2.5)
    assert msgspec.json.decode(msgspec.json.encode(config), type=Config) == config
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"data": "d", "widht": 3}', type=Config)


def test_limits_and_processes() -> None:
    assert Config(data="d", max_params=5).limits == Limits(max_params=5)
    assert Config(data="d", workers=3).processes == 3
    assert Config(data="d", device="cuda").processes == 1
    assert Config(data="d").processes == min(cores(), 16) >= 1


def test_sampler_may_say_how_many_candidates() -> None:
    smash = Config(data="d", sampler="smash", sampler_options={"random": 20, "perturb": 5})
    assert smash.given(10) == {"trials": 125}
    assert msgspec.structs.replace(smash, trials=30).given(10) == {"trials": 30}
    assert Config(data="d").given(10) == {}


def test_steps_are_given_once() -> None:
    with pytest.raises(ConfigError, match="--fit-epochs"):
        check(Config(data="digits", steps=5, fit_epochs=1.0))


def test_a_ladder_is_no_use_where_all_are_trained() -> None:
    all_trained = Config(data="digits", strategy="ladder", score_by="training")
    with pytest.raises(ConfigError, match="--score-by training trains all"):
        check(all_trained)
    assert not msgspec.structs.replace(all_trained, strategy=None).climbs


def test_a_random_network_whose_first_training_is_its_score_gets_another() -> None:
    assert Config(data="digits", score_by="training").least_seeds == 2
    assert Config(data="digits", score_by="naswot").least_seeds == 1
