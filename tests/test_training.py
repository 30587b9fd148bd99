"""A network trains, and a training that was killed ends as if it had not been."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_space import SIGNATURE, batches, space
from torch import nn

from hypernas import training
from hypernas.candidate import build_network
from hypernas.config import Config
from hypernas.data import Augmentation
from hypernas.scoring import WORST
from hypernas.tasks import Classification
from hypernas.training import Recipe, Trained, Trainer, measure, measure_exits
from hypernas.workplace import Workplace

CHOICES = {"width": 6, "depth": 1, "layer0.op": "conv", "layer0.kernel": 3, "heads": ["plain"]}


def network(seed: int = 0, *, dropout: float = 0.0) -> nn.Module:
    return build_network(space(dropout=dropout), CHOICES, SIGNATURE, seed=seed)


def trainer(
    folder: Path,
    *,
    dropout: float = 0.0,
    seed: int = 0,
    layout: bool = True,
    device: str = "cpu",
    **options: Any,
) -> Trainer:
    """Return a training of which every part is new, as in a process of its own."""
    data = batches(96, augmentation=Augmentation(crop=1), channels_last=layout, device=device)
    recipe = Recipe(**{"epochs": 3, "batch": 16} | options)
    module = network(dropout=dropout)
    return Trainer(module, data, Classification(), recipe, folder, seed=seed)


def silent(done: int, total: int) -> None:
    pass


def stop_at(step: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == step:
            raise KeyboardInterrupt

    return progress


def same(first: nn.Module, second: nn.Module) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("stop", [2, 7, 18])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stopped_training_goes_on_to_the_same_bits(
    tmp_path: Path, stop: int, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    options: dict[str, Any] = {"dropout": 0.3, "precision": precision}
    validation = batches(64, 32, seed=1)
    whole = trainer(tmp_path / "whole", **options)
    expected = whole.run(validation, silent)
    first = trainer(tmp_path / "cut", **options)
    with pytest.raises(KeyboardInterrupt):
        first.run(validation, stop_at(stop))
    second = trainer(tmp_path / "cut", **options)
    steps: list[int] = []
    found = second.run(validation, lambda done, total: steps.append(done))
    assert steps == list(range(stop, 19))  # the checkpoint was written a step earlier
    assert same(whole.module, second.module)
    assert msgspec.structs.replace(found, seconds=0) == msgspec.structs.replace(expected, seconds=0)
    assert found.seconds > 0


def test_every_step_has_its_own_batch(tmp_path: Path) -> None:
    made = trainer(tmp_path)
    made.fit = batches(96)  # not augmented: the examples are others
    seen: list[torch.Tensor] = []
    made.module.register_forward_pre_hook(lambda _, given: seen.append(given[0].flatten()))
    optimiser = made.optimiser()
    for _ in range(5):
        made.advance(optimiser)
    assert len(torch.stack(seen).unique(dim=0)) == 5


def test_seed_decides_the_training(tmp_path: Path) -> None:
    modules = []
    for number, seed in enumerate((0, 0, 1)):
        made = trainer(tmp_path / str(number), seed=seed, dropout=0.3)
        made.run(batches(32), silent)
        modules.append(made.module)
    assert same(modules[0], modules[1])
    assert not same(modules[0], modules[2])


def test_training_leaves_the_random_state_alone(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    trainer(tmp_path, dropout=0.3).run(batches(32), silent)
    assert torch.equal(torch.get_rng_state(), state)


def test_network_learns_what_can_be_learnt(tmp_path: Path) -> None:
    made = trainer(tmp_path, epochs=12)
    before = measure(made.module, batches(200, 50, seed=1), made.task)
    found = made.run(batches(200, 50, seed=1), silent)
    assert before.accuracy < 0.6
    assert found.accuracy > 0.9
    assert found.loss < before.loss
    assert measure(made.module, batches(200, 50, seed=1), made.task).accuracy == found.accuracy
    assert found.epochs == 12


def test_both_layouts_learn_alike(tmp_path: Path) -> None:
    losses = [
        trainer(tmp_path / str(layout), layout=layout).run(batches(64, seed=1), silent).loss
        for layout in (True, False)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_measure_is_the_mean_over_all_examples() -> None:
    module, data = network(), batches(50, 16, seed=1)
    found = measure(module, data, Classification())
    assert not module.training
    with torch.no_grad():
        logits = module(torch.cat([images for images, _ in data.in_order()]))
    labels = torch.cat([targets for _, targets in data.in_order()])
    assert len(labels) == 50
    assert found.accuracy == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    loss = nn.functional.cross_entropy(logits, labels).item()
    assert found.loss == pytest.approx(loss, rel=1e-4)


def test_outputs_that_overflow_have_a_loss_that_files_can_hold(tmp_path: Path) -> None:
    """JSON knows no infinity, and a result that cannot be read would stop a run for good."""
    broken = trainer(tmp_path)
    broken.measured = []
    with torch.no_grad():
        next(broken.module.parameters()).fill_(torch.nan)
    reached = broken.run(batches(), lambda done, total: None)
    assert reached.loss == -WORST
    assert set(reached.loss_by_epoch) == {-WORST}
    assert msgspec.json.decode(msgspec.json.encode(reached), type=Trained) == reached


def test_network_without_parameters_trains_to_nothing(tmp_path: Path) -> None:
    data = batches(32)
    module = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    made = Trainer(module, data, Classification(), Recipe(epochs=1), tmp_path, seed=0)
    assert made.run(data, silent).accuracy == 1.0  # the brightest quarter is the label


@given(st.integers(1, 3000))
def test_rate_rises_once_and_falls_once(steps: int) -> None:
    factors = [Recipe(epochs=1).factor(step, steps) for step in range(steps)]
    peak = factors.index(max(factors))
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[:peak] == sorted(factors[:peak])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert max(factors) == 1.0


class TwoExits(nn.Module):
    """Two linear classifiers, of which the second adds to the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(36, 4), nn.Linear(36, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        value = self.first(x.flatten(1))
        return value, value + self.second(x.flatten(1))


def test_the_losses_of_exits_are_summed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CLIP", 1e9)
    torch.manual_seed(0)
    module, data, task = TwoExits(), batches(32), Classification()
    images, targets = data.random(0, "train", 0)
    losses = [nn.functional.cross_entropy(o, targets) for o in module(images)]
    expected = torch.autograd.grad(losses[0] + losses[1], list(module.parameters()))
    made = Trainer(module, data, task, Recipe(epochs=1, batch=32), tmp_path, seed=0)
    made.advance(made.optimiser())
    for parameter, gradient in zip(module.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_exits_are_measured_beside_silence() -> None:
    torch.manual_seed(0)
    module, data = TwoExits(), batches(40, 16)
    reached = measure_exits(module, data, Classification())
    last = measure(module, data, Classification())
    assert len(reached.measures) == 3
    assert reached.measures[2] == pytest.approx(last.accuracy)
    assert reached.losses[2].mean().item() == pytest.approx(last.loss)
    assert reached.measures[0] == pytest.approx(0.25)


on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@on_gpu
def test_recorded_training_computes_what_a_plain_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = trainer(tmp_path / "fast", device="cuda")
    fast.run(fast.fit, silent)
    assert fast._recorded is not None
    assert "forward" in vars(fast._recorded), "nothing was recorded"
    monkeypatch.setattr(training, "recorded", lambda module, images: module)
    plain = trainer(tmp_path / "plain", device="cuda")
    plain.run(plain.fit, silent)
    expected = plain.module.state_dict()
    for name, tensor in fast.module.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-4)


@on_gpu
def test_stopped_recorded_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    whole = trainer(tmp_path / "whole", dropout=0.5, device="cuda")
    whole.run(whole.fit, silent)
    first = trainer(tmp_path / "cut", dropout=0.5, device="cuda")
    with pytest.raises(KeyboardInterrupt):
        first.run(first.fit, stop_at(7))
    second = trainer(tmp_path / "cut", dropout=0.5, device="cuda")
    second.run(second.fit, silent)
    expected = whole.module.state_dict()
    for name, tensor in second.module.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-4)


@on_gpu
def test_what_cannot_be_recorded_trains_all_the_same() -> None:
    class Waiting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(x) if x.sum().item() > -1e9 else x

    module = Waiting().cuda()
    x = torch.randn(8, 3, device="cuda")
    made = training.recorded(module, x)
    assert torch.equal(module.norm.running_mean, torch.zeros(3, device="cuda"))
    made.train()(x).sum().backward()
    assert module.norm.weight.grad is not None
    assert not torch.equal(module.norm.running_mean, torch.zeros(3, device="cuda"))


@on_gpu
@pytest.mark.parametrize("hypernet", ["", "ghn", "ghn2", "shared"])
def test_a_gpu_finds_the_gradients_of_the_cpu(tmp_path: Path, hypernet: str) -> None:
    """Those of padded average pools are wrong on a GPU in channels-last, up to torch 2.13 or so."""
    found = []
    for device in ("cpu", "cuda"):
        config = Config(
            data="digits",
            space="nas-bench-201",
            options={"width": 8, "cells": 1, "stages": 2},
            hypernet=hypernet or "ghn",
            device=device,
        )
        place = Workplace(tmp_path / f"{device}-{hypernet}", config)
        place.data = place.record_data()
        edges = ["avg_pool_3x3", "nor_conv_3x3", "skip_connect"] * 2
        names = place.candidates.draw(random.Random(0)).choices
        candidate = place.candidates.of(dict(zip(names, edges, strict=True)))
        images, targets = place.batches(place.splits.fit, 64).random(0, "step", 0)
        if hypernet:
            taught = place.new_hypernet()
            taught.prepare([candidate])
            (weights,) = taught([candidate])
            candidate.module.train()
            outputs = candidate(weights, images)
        else:
            module = build_network(place.space, candidate.choices, place.signature, seed=0)
            taught, outputs = module, module.to(device).train()(images)
        place.task.loss(outputs, targets).backward()
        found.append([p.grad.cpu() for p in taught.parameters() if p.grad is not None])
    for one, other in zip(*found, strict=True):
        scale = max(float(one.abs().max()), 1e-3)
        torch.testing.assert_close(other, one, rtol=0.02, atol=0.02 * scale)
