"""What processes do for a run: score blocks, train networks, each training once."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from hypernas import jobs
from hypernas.config import Config
from hypernas.data import Batches
from hypernas.files import read_tensors
from hypernas.jobs import GOING_ON, ScoreBlock, Train
from hypernas.results import Training
from hypernas.runs import Run
from hypernas.training import Measured, Trained, Trainer
from hypernas.workplace import Workplace


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Trainer]:
    """Collect the trainers as they are before their first step; nothing is trained."""
    found: list[Trainer] = []

    def run(self: Trainer, validation: Batches, progress: Any) -> Trained:
        found.append(self)
        return Trained(epochs=self.recipe.epochs, accuracy=0.5, loss=1.0, seconds=0.0)

    monkeypatch.setattr(Trainer, "run", run)
    return found


def with_config(run: Run, **changes: Any) -> Workplace:
    return Workplace(run.folder, msgspec.structs.replace(run.config, **changes))


def test_score_job_is_the_scoring_protocol(finished_run: Run) -> None:
    scored = finished_run.scored[:16]
    answer = jobs.do(finished_run.place, {"type": "score", "block": [s.choices for s in scored]})
    assert [found["score"] for found in answer] == [s.score for s in scored]
    assert [tuple(found["interval"]) for found in answer] == [s.interval for s in scored]


def test_a_block_is_made_up_to_the_size_it_is_told(finished_run: Run) -> None:
    """No more passes the hypernetwork than that, and all that differs are the last digits."""
    place, sizes = finished_run.place, []
    hypernet = place.score.hypernet
    counted = hypernet.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    block = [scored.choices for scored in finished_run.scored[:3]]
    alone = ScoreBlock(block=block[:1], padded=1).do(place)
    three = ScoreBlock(block=block, padded=4).do(place)
    usual = ScoreBlock(block=block).do(place)
    counted.remove()
    assert sizes == [1, 4, 16]
    assert alone == ScoreBlock(block=block[:1], padded=1).do(place)
    assert [s.score for s in three] == pytest.approx([s.score for s in usual], abs=1e-5)
    assert alone[0].score == pytest.approx(usual[0].score, abs=1e-5)


def test_job_survives_json(finished_run: Run) -> None:
    choices = finished_run.scored[0].choices
    for job in (ScoreBlock(block=[choices]), Train(choices=choices, seed=1, epochs=2)):
        text = msgspec.json.encode(job)
        assert msgspec.json.decode(text, type=ScoreBlock | Train) == job


def test_training_is_done_once_and_the_test_split_measured_once(
    own_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = own_run.place
    tested: list[int] = []
    measure = jobs.measure

    def spy(module: Any, batches: Batches, *args: Any, **options: Any) -> Measured:
        tested.append(len(batches))
        return measure(module, batches, *args, **options)

    monkeypatch.setattr(jobs, "measure", spy)
    job = Train(choices=own_run.scored[0].choices, seed=7, epochs=1)
    assert job.known(place) is None
    first = job.do(place)
    assert tested == [place.data.test]
    assert job.do(place) == first == job.known(place)
    assert tested == [place.data.test]
    assert (first.seed, first.epochs) == (7, 1)
    left = sorted(path.name for path in (own_run.folder / job.folder).iterdir())
    assert left == ["result.json", "weights.safetensors"]


def test_known_training_is_not_repeated(own_run: Run, starts: list[Trainer]) -> None:
    network = own_run.best.network
    for training in network.seeds:
        job = Train(choices=network.choices, seed=training.seed, epochs=training.epochs)
        assert job.do(own_run.place) == training
    assert starts == []


def test_seed_and_run_decide_the_first_weights(own_run: Run, starts: list[Trainer]) -> None:
    choices = own_run.scored[0].choices
    for place in (own_run.place, with_config(own_run, seed=1)):
        for seed in (50, 51):
            place.__dict__["splits"] = own_run.place.splits
            Train(choices=choices, seed=seed, epochs=3).do(place)
            (own_run.folder / Train(choices=choices, seed=seed, epochs=3).folder).joinpath(
                "result.json"
            ).unlink()
    first = [next(t.module.parameters()).detach().clone() for t in starts]
    for i in range(4):
        for j in range(i):
            assert not torch.equal(first[i], first[j])


def test_going_on_starts_with_the_weights_before(own_run: Run, starts: list[Trainer]) -> None:
    winner = own_run.best.network
    before = Train(choices=winner.choices, seed=winner.seeds[0].seed, epochs=1)
    more = Train(
        choices=winner.choices, seed=before.seed, epochs=4, goes_on_from=before.folder, stage=3
    )
    more.do(own_run.place)
    kept = read_tensors(own_run.folder / before.folder / "weights.safetensors")[0]
    module = starts[0].module.state_dict()
    assert module.keys() == kept.keys()
    assert all(torch.equal(module[name], kept[name]) for name in kept)
    assert starts[0].recipe.rate == own_run.config.train_rate * GOING_ON
    assert starts[0].recipe.epochs == 4
    assert more.folder != before.folder


@pytest.mark.parametrize(
    ("space", "options", "hypernet"),
    [
        ("cell", {"width": 4, "cells": 2, "nodes": 3}, "ghn"),
        ("cell", {"width": 4, "cells": 2, "nodes": 3}, "shared"),
        ("nas-bench-201", {"width": 4, "cells": 1}, "ghn"),
        ("nas-bench-201", {"width": 4, "cells": 1}, "shared"),
        ("memory-bank", {"preset": "tiny"}, "shared"),
        ("memory-bank", {"preset": "tiny"}, "smash"),
    ],
)
def test_generated_start_is_the_candidate(
    space: str, options: dict[str, Any], hypernet: str, tmp_path: Path, starts: list[Trainer]
) -> None:
    """Before the first step the network gives the logits of the candidate, by the same batch.

    But for what norms add to the variance, which other scales of weights feel more or less.
    """
    config = Config(
        data="digits", space=space, options=options, hypernet=hypernet, start="generated"
    )
    place = Workplace(tmp_path, config)
    place.data = place.record_data()
    place.hypernet = place.new_hypernet().eval()
    images, _ = next(place.validation_batches.in_order())
    for number in range(3):
        candidate = place.candidates.draw(random.Random(number))
        Train(choices=candidate.choices, seed=0, epochs=1).do(place)
        for layer in (*candidate.module.modules(), *starts[-1].module.modules()):
            if hasattr(layer, "eps"):
                layer.eps = 1e-12
        with torch.no_grad():
            expected = candidate(place.hypernet([candidate])[0], images)
            outputs = starts[-1].module.train()(images)
        torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-4)


def test_start_decides_the_first_weights(own_run: Run, starts: list[Trainer]) -> None:
    choices = own_run.scored[0].choices
    Train(choices=choices, seed=9, epochs=1).do(with_config(own_run, start="generated"))
    Train(choices=choices, seed=10, epochs=1).do(with_config(own_run))
    names = dict(starts[0].module.named_parameters())
    other = dict(starts[-1].module.named_parameters())
    assert not all(torch.equal(names[name], other[name]) for name in names)


def test_stages_and_epochs_have_folders_of_their_own() -> None:
    base = {"choices": {"a": 1}, "seed": 0}
    every = [
        Train(**base, epochs=1),
        Train(**base, epochs=2),
        Train(choices={"a": 1}, seed=1, epochs=1),
        Train(choices={"a": 2}, seed=0, epochs=1),
    ]
    every += [Train(**base, epochs=1, stage=1, goes_on_from=job.folder) for job in every]
    every += [Train(**base, epochs=1, stage=2, goes_on_from=every[4].folder)]
    every += [Train(**base, epochs=11, stage=1, goes_on_from=every[0].folder)]
    assert len({job.folder for job in every}) == len(every)


def test_result_is_typed(finished_run: Run) -> None:
    found = finished_run.best.network.seeds[0]
    assert isinstance(found, Training)
    assert 0 <= found.val_accuracy <= 1
    assert found.test_accuracy is not None
