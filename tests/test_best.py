"""The recommended network is the one that was measured, and further training is told truly."""

from __future__ import annotations

import msgspec
import pytest

from hypernas.best import Best, final_of, next_stage, stages
from hypernas.files import write_json
from hypernas.finalists import best_seed
from hypernas.jobs import Train
from hypernas.results import Network, Training
from hypernas.runs import Run
from hypernas.training import measure


def done(run: Run, job: Train, accuracy: float) -> None:
    """Write a training's result, as if it had been done."""
    result = Training(
        seed=job.seed,
        epochs=job.epochs,
        val_accuracy=accuracy,
        val_loss=1.0,
        test_accuracy=accuracy - 0.1,
        seconds=1.0,
    )
    write_json(run.folder / job.folder / "result.json", result)


@pytest.fixture
def winner(own_run: Run) -> Network:
    """The winner of a run, with what it went on for taken away."""
    found = own_run.best.network
    for job in stages(own_run.place, found):
        (own_run.folder / job.folder / "result.json").unlink()
    return found


def test_module_is_what_was_measured(finished_run: Run) -> None:
    best = finished_run.best
    module = best.module
    assert not module.training
    place = finished_run.place
    found = measure(module, place.validation_batches, place.task)
    assert found.accuracy == pytest.approx(best.final.val_accuracy)
    test = place.batches(place.splits.test, 500)
    assert measure(module, test, place.task).accuracy == pytest.approx(best.final.test_accuracy)
    params = sum(p.numel() for p in module.parameters())
    assert params == best.network.params
    assert best.choices == best.network.choices
    assert best.source in ("search", "random", "biggest")


def test_finished_run_went_on_once(finished_run: Run) -> None:
    found = stages(finished_run.place, finished_run.best.network)
    assert [(job.stage, job.epochs) for job in found] == [(1, 1)]
    first = best_seed(finished_run.best.network)
    assert found[0].seed == first.seed
    assert found[0].goes_on_from.endswith(f"seed-{first.seed}-epochs-{first.epochs}")


def test_without_going_on_the_best_seed_is_final(own_run: Run, winner: Network) -> None:
    final, first = final_of(own_run.place, winner), best_seed(winner)
    assert stages(own_run.place, winner) == []
    assert (final.seed, final.epochs) == (first.seed, first.epochs)
    assert (final.val_accuracy, final.test_accuracy) == (first.val_accuracy, first.test_accuracy)
    assert final.text == "the best of 2 trainings by validation accuracy"


def test_each_stage_goes_on_from_the_one_before(own_run: Run, winner: Network) -> None:
    place, first = own_run.place, best_seed(winner)
    for number, (epochs, accuracy) in enumerate(((5, 0.97), (12, 0.99)), start=1):
        job = next_stage(winner, stages(place, winner), epochs)
        assert job.stage == number
        done(own_run, job, accuracy)
    found = stages(place, winner)
    assert [job.epochs for job in found] == [5, 12]
    assert found[1].goes_on_from == found[0].folder
    final = final_of(place, winner)
    assert final.epochs == first.epochs + 5 + 12
    assert (final.val_accuracy, final.folder) == (0.99, found[1].folder)
    assert final.text == "its best training went on for 17 epochs"


def test_stage_that_does_not_improve_is_not_taken(own_run: Run, winner: Network) -> None:
    first = best_seed(winner)
    done(own_run, next_stage(winner, [], 7), first.val_accuracy - 0.01)
    final = final_of(own_run.place, winner)
    assert (final.epochs, final.val_accuracy) == (first.epochs, first.val_accuracy)
    base = Train(choices=winner.choices, seed=first.seed, epochs=first.epochs)
    assert (final.seed, final.folder) == (first.seed, base.folder)
    assert final.text == "7 further epochs did not improve it"


def test_longer_base_training_has_no_part_in_older_stages(own_run: Run, winner: Network) -> None:
    """After ``hypernas train --epochs 9`` what went on from 1 epoch is another network's."""
    done(own_run, next_stage(winner, [], 5), 0.99)
    longer = [msgspec.structs.replace(t, epochs=9) for t in winner.seeds]
    again = msgspec.structs.replace(winner, seeds=longer)
    assert stages(own_run.place, again) == []
    assert final_of(own_run.place, again).epochs == 9


def test_unfinished_stage_does_not_count(own_run: Run, winner: Network) -> None:
    job = next_stage(winner, [], 5)
    (own_run.folder / job.folder).mkdir(parents=True, exist_ok=True)
    assert stages(own_run.place, winner) == []


def test_module_of_a_stage_has_its_weights(own_run: Run) -> None:
    best = own_run.best
    assert isinstance(best, Best)
    own_run.go_on(epochs=1)
    found = stages(own_run.place, own_run.best.network)
    assert [job.epochs for job in found] == [1, 1]
    place = own_run.place
    accuracy = measure(own_run.best.module, place.validation_batches, place.task).accuracy
    assert accuracy == pytest.approx(own_run.best.final.val_accuracy)
