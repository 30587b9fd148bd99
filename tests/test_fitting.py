"""A hypernetwork learns, and a fit that was killed ends as if it had not been."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_space import SIGNATURE, batches, space
from torch import Tensor, nn

from hypernas import fitting, hypernets
from hypernas.candidate import Candidate, Candidates
from hypernas.data import Augmentation
from hypernas.draws import Draws
from hypernas.errors import ConfigError
from hypernas.fitting import RECIPES, Fit, FitOptions, fit, kept_states, schedule
from hypernas.hypernets import Hypernet, Weights
from hypernas.scoring import Scorer
from hypernas.survey import Survey
from hypernas.tasks import Classification, Outputs

KINDS = ("ghn", "shared")


def work(
    known: Survey,
    *,
    hypernet: str | Hypernet = "ghn",
    dropout: float = 0.0,
    recipe: str = "default",
    steps: int = 20,
    meta_batch: int = 1,
    precision: str = "fp32",
    **changes: Any,
) -> Fit:
    """Return a fit of which every part is new, as in a process of its own; changes its recipe."""
    chosen = msgspec.structs.replace(RECIPES[recipe], **changes)
    candidates = Candidates(space(dropout=dropout), SIGNATURE)
    return Fit(
        hypernets.make(hypernet) if isinstance(hypernet, str) else hypernet,
        Draws(candidates, known, by="balanced", annealed=chosen.anneal * steps, seed=0),
        batches(augmentation=Augmentation(flip=False, crop=1)),
        Classification(),
        FitOptions(steps=steps, recipe=chosen, meta_batch=meta_batch, precision=precision),
    )


class Half(Hypernet):
    """Shares all weights; those of convolutions are scaled by a generator, the others are free."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = hypernets.make("shared")
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, candidates: Any) -> list[Weights]:
        scale = self.scale.mean()
        return [
            {name: w * scale if w.ndim == 4 else w for name, w in weights.items()}
            for weights in self.shared(candidates)
        ]

    def prepare(self, candidates: Any) -> list[tuple[nn.Parameter | None, nn.Parameter]]:
        return self.shared.prepare(candidates)

    def generator_parameters(self) -> list[nn.Parameter]:
        return [self.scale]

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        begin = "shared."
        table = {k.removeprefix(begin): v for k, v in state_dict.items() if k.startswith(begin)}
        self.shared.load_state_dict(table)
        return super().load_state_dict(state_dict, *args, **kwargs)


class Listed(Draws):
    """Gives listed candidates, one after the other."""

    def __init__(self, *listed: Candidate) -> None:
        self.listed = listed

    def __call__(self, step: int, position: int = 0) -> Candidate:
        return self.listed[step % len(self.listed)]


def scorer(made: Fit) -> Scorer:
    return Scorer(made.hypernet, batches(32, seed=1), made.task, images=32, seed=0)


def same(first: Fit, second: Fit) -> bool:
    """Say whether two hypernetworks are equal to the last bit."""
    one, other = first.hypernet.state_dict(), second.hypernet.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def stop_at(step: int) -> Callable[[int, int, str], None]:
    """Return a progress function that stops the fit, as Ctrl-C does."""

    def progress(done: int, total: int, text: str) -> None:
        if done == step:
            raise KeyboardInterrupt

    return progress


def log_of(folder: Path) -> list[dict[str, Any]]:
    """Read a log as strict JSON, in which there is no NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    lines = (folder / "log.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def test_what_is_there_before_a_fit_is_not_collected_meanwhile(
    known: Survey, tmp_path: Path
) -> None:
    frozen: list[int] = []
    made = work(known, steps=3)
    fit(made, tmp_path, scorer(made), progress=lambda *_: frozen.append(gc.get_freeze_count()))
    assert min(frozen) > 1000
    assert gc.get_freeze_count() == 0
    made = work(known, steps=3)
    with pytest.raises(KeyboardInterrupt):
        fit(made, tmp_path / "other", scorer(made), progress=stop_at(2))
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(("hypernet", "steps", "rate"), [("ghn", 80, 5e-3), ("shared", 150, 1e-2)])
def test_loss_falls(known: Survey, hypernet: str, steps: int, rate: float) -> None:
    made = work(known, hypernet=hypernet, steps=steps, rate=rate)
    losses = [made.advance() for _ in range(steps)]
    assert sum(losses[-20:]) < 0.6 * sum(losses[:20])


@pytest.mark.parametrize(
    ("hypernet", "recipe"),
    [
        ("ghn", "default"),
        ("ghn2", "default"),
        ("ghn3:t", "default"),
        ("shared", "default"),
        ("half", "default"),
        ("half", "classic"),
    ],
)
def test_saved_fit_goes_on_to_the_same_bits(
    known: Survey, hypernet: str, recipe: str, tmp_path: Path
) -> None:
    def made() -> Fit:
        # every gradient is clipped: its norm is a sum whose order must not change either
        kind = Half() if hypernet == "half" else hypernet
        torch.manual_seed(0)
        return work(known, hypernet=kind, recipe=recipe, dropout=0.3, meta_batch=2, clip=1e-2)

    whole = made()
    for _ in range(12):
        whole.advance()
    first = made()
    for _ in range(4):
        first.advance()
    first.save(tmp_path / "checkpoint.safetensors")
    before = {name: tensor.shape for name, tensor in first.hypernet.state_dict().items()}
    second = made()
    second.load(tmp_path / "checkpoint.safetensors")
    assert second.step == 4
    assert same(first, second)
    while second.step < 12:
        second.advance()
    assert same(whole, second)
    if "ghn" not in hypernet:  # the table must have grown on both sides of the stop
        after = second.hypernet.state_dict()
        assert before
        assert after.keys() > before.keys()
        assert any(after[name].shape != shape for name, shape in before.items())


@pytest.mark.parametrize(
    ("hypernet", "recipe"), [("ghn", "default"), ("shared", "default"), ("shared", "classic")]
)
def test_stopped_fit_goes_on_from_its_checkpoint(
    known: Survey, hypernet: str, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    whole = work(known, hypernet=hypernet, recipe=recipe, anneal=0.75)  # the stop is before 1
    fit(whole, tmp_path / "whole", scorer(whole))
    first = work(known, hypernet=hypernet, recipe=recipe, anneal=0.75)
    with pytest.raises(KeyboardInterrupt):
        fit(first, tmp_path / "cut", scorer(first), progress=stop_at(13))
    second = work(known, hypernet=hypernet, recipe=recipe, anneal=0.75)
    steps: list[int] = []
    note = lambda done, total, text: steps.append(done)  # noqa: E731
    fit(second, tmp_path / "cut", scorer(second), progress=note)
    assert steps == list(range(13, 21))
    assert same(whole, second)
    assert log_of(tmp_path / "cut") == log_of(tmp_path / "whole")
    kept = kept_states(tmp_path / "whole", 20)
    assert [path.name for path in kept] == [f"step-{n}.safetensors" for n in (10, 13, 15, 18)]
    for path in kept:
        assert path.read_bytes() == (tmp_path / "cut" / path.name).read_bytes()


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 100, 12_345])
def test_states_of_the_last_half_are_kept(steps: int, tmp_path: Path) -> None:
    kept = list(fitting._kept(tmp_path, steps))
    assert kept == sorted(set(kept))
    assert all(0 < step < steps and step >= steps // 2 for step in kept)
    assert len(kept) == min(fitting.KEPT, steps // 2)


def test_log_has_loss_and_validation_score(
    known: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "RECORDS", 8)
    monkeypatch.setattr(fitting, "CHECKS", 4)
    made = work(known, steps=29)  # no multiple of anything
    fit(made, tmp_path, scorer(made))
    lines = log_of(tmp_path)
    assert [line["step"] for line in lines] == [*range(3, 29, 3), 29]
    assert all(line["loss"] > 0 for line in lines)
    checks = [line for line in lines if "validation_score" in line]
    assert 3 <= len(checks) <= 6
    assert checks[-1]["step"] == 29
    assert all(line["validation_score"] < 0 for line in checks)


@pytest.mark.parametrize("torn", ['{"step": 12, "lo', '{"step": 12, "loss": 1.0}', "\x00\x00"])
def test_torn_log_is_mended(
    known: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: str
) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    first = work(known, steps=14)
    with pytest.raises(KeyboardInterrupt):
        fit(first, tmp_path, scorer(first), progress=stop_at(12))
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write(torn)
    second = work(known, steps=14)
    fit(second, tmp_path, scorer(second))
    assert [line["step"] for line in log_of(tmp_path)] == list(range(1, 15))


def test_meta_batch_averages_gradients(known: Survey) -> None:
    together, apart = (work(known, meta_batch=3, clip=float("inf")) for _ in range(2))
    together.advance()
    images, targets = apart.batches.random(0, "fit", 0)
    for position in range(3):
        candidate = apart.draws(0, position)
        candidate.module.train()
        weights = apart.hypernet([candidate])[0]
        (apart.task.loss(candidate(weights, images), targets) / 3).backward()
    pairs = zip(together.hypernet.parameters(), apart.hypernet.parameters(), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_every_step_has_its_own_batch_and_candidates(
    known: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = work(known, meta_batch=2)
    seen: list[tuple[str, ...]] = []
    images: list[Tensor] = []
    call = Candidate.__call__

    def spy(self: Candidate, weights: Any, x: Tensor) -> Outputs:
        seen.append(tuple(map(str, self.choices.values())))
        images.append(x)
        return call(self, weights, x)

    monkeypatch.setattr(Candidate, "__call__", spy)
    for _ in range(4):
        made.advance()
    assert len(set(seen)) > 4
    for step in range(4):
        assert images[2 * step] is images[2 * step + 1]
        for other in range(step):
            assert not torch.equal(images[2 * step], images[2 * other])


class Broken(Classification):
    """Has no finite loss at some of its calls."""

    def __init__(self, broken: set[int]) -> None:
        self.broken, self.calls = broken, 0

    def loss(self, outputs: Outputs, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        self.calls += 1
        factor = float("nan") if self.calls in self.broken else 1.0
        return super().loss(outputs, targets, smoothing=smoothing) * factor


def test_step_without_finite_loss_is_left_out(known: Survey, tmp_path: Path) -> None:
    made = work(known)
    made.task = Broken({2})
    made.advance()
    before = {name: tensor.clone() for name, tensor in made.hypernet.state_dict().items()}
    assert torch.tensor(made.advance()).isnan()
    after = made.hypernet.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (made.step, made.skipped) == (2, 1)
    made.save(tmp_path / "checkpoint.safetensors")
    other = work(known)
    other.load(tmp_path / "checkpoint.safetensors")
    assert (other.step, other.skipped) == (2, 1)
    made.advance()
    assert made.skipped == 1
    assert not all(torch.equal(before[k], v) for k, v in made.hypernet.state_dict().items())


def test_log_stays_json_without_finite_loss(known: Survey, tmp_path: Path) -> None:
    made = work(known, steps=10)
    made.task = Broken({3, 4})
    fit(made, tmp_path, scorer(made))
    assert [line["step"] for line in log_of(tmp_path)] == list(range(1, 11))
    assert [line["loss"] for line in log_of(tmp_path)][2:4] == [None, None]
    assert made.skipped == 2


def test_frequent_non_finite_losses_are_refused(known: Survey) -> None:
    made = work(known)
    made.task = Broken(set(range(100)))
    for _ in range(10):
        made.advance()
    with pytest.raises(ConfigError, match=r"11 of 11 steps .* --rate"):
        made.advance()


@given(st.integers(1, 5000))
def test_schedule_rises_once_and_falls_once(steps: int) -> None:
    factors = [schedule(step, steps, 0.05) for step in range(0, steps, max(1, steps // 50))]
    peak = factors.index(max(factors))
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[:peak] == sorted(factors[:peak])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert schedule(max(1, int(0.05 * steps)) - 1, steps, 0.05) == 1.0


def test_schedule_without_warm_up_is_half_a_cosine() -> None:
    factors = [schedule(step, 101, 0.0) for step in range(101)]
    assert factors[0] == 1.0
    assert factors[50] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0.0)
    assert factors == sorted(factors, reverse=True)


def test_classic_steps_are_those_of_adam_without_decay_of_the_generator(known: Survey) -> None:
    made = work(known, hypernet=Half(), recipe="classic", weight_decay=0.1, steps=10)
    candidate = Candidates(space(), SIGNATURE).of({"width": 3, "depth": 0, "heads": ["plain"]})
    made.draws = Listed(candidate)
    made.hypernet.prepare([candidate])
    made._group()
    mine = {name: p.detach().clone() for name, p in made.hypernet.named_parameters()}
    decay = {name: 0.0 if name == "scale" else 0.1 for name in mine}
    adams = {
        name: torch.optim.Adam([p], betas=(0.5, 0.999), eps=1e-4, weight_decay=decay[name])
        for name, p in mine.items()
    }
    for step in range(4):
        made.advance()
        for name, parameter in made.hypernet.named_parameters():
            mine[name].grad = parameter.grad  # unclipped
            adams[name].param_groups[0]["lr"] = 1e-3 * schedule(step, 10, 0.0)
            adams[name].step()
            assert torch.equal(parameter, mine[name])
    assert mine.keys() > {"scale"}


def test_default_recipe_is_adamw_for_all_parameters(known: Survey) -> None:
    made = work(known, hypernet=Half())
    made.advance()
    assert type(made.optimiser) is torch.optim.AdamW
    for group in made.optimiser.param_groups:
        assert group["params"]
        assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.9, 0.999), 1e-8, 1e-4)


def test_new_parameters_join_their_group(known: Survey, tmp_path: Path) -> None:
    half = Half()
    made = work(known, hypernet=half, recipe="classic")
    assert [len(group["params"]) for group in made.optimiser.param_groups] == [1, 0]
    sizes = []
    for _ in range(12):
        made.advance()
        generator, free = (group["params"] for group in made.optimiser.param_groups)
        assert [id(p) for p in generator] == [id(half.scale)]
        assert list(map(id, free)) == list(map(id, half.shared.parameters()))
        sizes.append(len(free))
    assert sizes[-1] > sizes[0] > 0
    made.save(tmp_path / "checkpoint.safetensors")
    other = work(known, hypernet=Half(), recipe="classic")
    other.load(tmp_path / "checkpoint.safetensors")
    assert [len(group["params"]) for group in other.optimiser.param_groups] == [1, sizes[-1]]


def test_classic_recipe_learns_without_clipping(
    known: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []
    clip = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(
        "torch.nn.utils.clip_grad_norm_",
        lambda parameters, most: norms.append(most) or clip(parameters, most),
    )
    made = work(known, hypernet="shared", recipe="classic", rate=1e-2, steps=120)
    losses = [made.advance() for _ in range(120)]
    assert set(norms) == {float("inf")}
    assert sum(losses[-20:]) < 0.7 * sum(losses[:20])


def test_grown_parameters_keep_their_momentum(known: Survey) -> None:
    made = work(known, hypernet="shared")
    candidates = Candidates(space(), SIGNATURE)
    narrow = candidates.of({"width": 3, "depth": 0, "heads": ["plain"]})
    wide = candidates.of({"width": 6, "depth": 0, "heads": ["plain"]})
    made.draws = Listed(narrow, wide)
    made.advance()
    table = dict(made.hypernet.named_parameters())
    before = {name: made.optimiser.state[p]["exp_avg"].clone() for name, p in table.items()}
    made.advance()
    grown = dict(made.hypernet.named_parameters())
    held = {id(p) for group in made.optimiser.param_groups for p in group["params"]}
    assert held == set(map(id, grown.values()))
    assert any(grown[name].shape != old.shape for name, old in before.items())
    for name, old in before.items():
        new = grown[name]
        padded = torch.zeros_like(new)
        padded[tuple(slice(0, n) for n in old.shape)] = old
        assert new.grad is not None
        expected = 0.9 * padded + 0.1 * new.grad
        torch.testing.assert_close(made.optimiser.state[new]["exp_avg"], expected)
        assert made.optimiser.state[new]["step"] == 2


def test_bf16_runs(known: Survey) -> None:
    made = work(known, precision="bf16", rate=1e-2)
    exact = work(known, rate=1e-2)
    losses = [made.advance() for _ in range(10)]
    assert torch.tensor(losses).isfinite().all()
    assert losses[0] != exact.advance()
    assert losses[0] == pytest.approx(work(known, rate=1e-2).advance(), rel=0.05)
    assert all(p.dtype is torch.float32 for p in made.hypernet.parameters())


def test_dropout_is_on_in_fitting_and_off_in_scoring(
    known: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[bool] = []
    dropout = torch.nn.functional.dropout

    def spy(x: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
        modes.append(training)
        return dropout(x, p, training, inplace)

    made = work(known, dropout=0.5)
    monkeypatch.setattr("torch.nn.functional.dropout", spy)
    made.advance()
    assert modes == [True]
    modes.clear()
    watched = [made.draws(0), made.draws(1)]
    first = scorer(made)(watched)
    assert modes == [False] * 2 * len(scorer(made).batches)
    assert scorer(made)(watched) == first
    modes.clear()
    made.step = 0
    made.advance()  # the same candidate, after it was scored
    assert modes == [True]
