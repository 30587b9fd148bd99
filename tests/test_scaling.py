"""The winner under other options: what fits is trained and kept; what does not is refused."""

from __future__ import annotations

import shutil
from typing import Any

import msgspec
import pytest
import torch

from hypernas import scaling
from hypernas.candidate import Candidates, build_network
from hypernas.errors import ConfigError, RunError, SpaceError
from hypernas.files import read_json, read_tensors
from hypernas.jobs import GOING_ON, Train, load_weights
from hypernas.results import Scaled
from hypernas.runs import Run
from hypernas.training import Trainer
from hypernas.workplace import Workplace


def test_same_choices_under_other_options(own_run: Run, trained: list[Train]) -> None:
    winner = own_run.best.network
    found = own_run.scale({"width": 8, "cells": 2}, epochs=1, seeds=1)
    assert len(found) == 1
    assert found[0].options == {"width": 8, "cells": 2}
    assert found[0].choices == winner.choices
    assert found[0].params > winner.params
    assert found[0].macs > winner.macs
    assert [(t.seed, t.epochs) for t in found[0].seeds] == [(0, 1)]
    assert found[0].test_accuracy == found[0].seeds[0].test_accuracy
    larger = own_run.place.space.with_options(width=8, cells=2)
    module = build_network(larger, winner.choices, own_run.place.signature, seed=0)
    place = Workplace(own_run.folder / found[0].folder, own_run.config)
    load_weights(module, place, Train(choices=winner.choices, seed=0, epochs=1).folder)
    assert sum(p.numel() for p in module.parameters()) == found[0].params
    assert len(trained) == 1
    # the run itself is as it was
    assert own_run.place.space.options["width"] == 4
    assert own_run.best.network == winner


def test_a_cell_gets_another_skeleton(own_run: Run) -> None:
    options = {"skeleton": "imagenet-mobile", "width": "auto", "macs": 500_000}
    found = own_run.scale(options, epochs=1, seeds=1)[-1]
    assert found.options == options
    assert 100_000 < found.macs <= 500_000
    module = build_network(
        own_run.place.space.with_options(**options), found.choices, own_run.place.signature, seed=0
    )
    assert len(module.body) == 14
    assert (own_run.folder / found.folder / "best" / "model.py").exists()


def test_asked_again_only_what_is_new_is_trained(own_run: Run, trained: list[Train]) -> None:
    first = own_run.scale({"width": 8}, epochs=1, seeds=1)
    assert own_run.scale({"width": 8}, epochs=1, seeds=1) == first
    assert len(trained) == 1
    more = own_run.scale({"width": 8}, epochs=1, seeds=2)  # takes the place of the first answer
    assert [len(s.seeds) for s in more] == [2]
    assert more[0].seeds[0] == first[0].seeds[0]
    assert [job.seed for job in trained] == [0, 1]
    other = own_run.scale({"cells": 2}, epochs=1, seeds=1)
    assert [s.options for s in other] == [{"width": 8}, {"cells": 2}]
    assert read_json(own_run.folder / scaling.RECORD, list[Scaled]) == other
    assert own_run.place.space.options == Run.open(own_run.folder, quiet=True).place.space.options


def test_stopped_goes_on_to_the_same_result(
    own_run: Run, finished: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path / "other")
    other = Run.open(tmp_path / "other", quiet=True)
    expected = other.scale({"width": 8}, epochs=2, seeds=2)
    advance = Trainer.advance
    left = [5]

    def stop(self: Trainer, optimiser: torch.optim.SGD) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        advance(self, optimiser)

    monkeypatch.setattr(Trainer, "advance", stop)
    monkeypatch.setattr("hypernas.training.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        own_run.scale({"width": 8}, epochs=2, seeds=2)
    left[0] = 10**6
    found = Run.open(own_run.folder, quiet=True).scale({"width": 8}, epochs=2, seeds=2)
    assert [untimed(s) for s in found] == [untimed(s) for s in expected]
    assert 10**6 - left[0] < own_run.place.train_batches.batches_per_epoch * 4  # not all anew


def untimed(scaled: Scaled) -> Scaled:
    seeds = [msgspec.structs.replace(t, seconds=0.0) for t in scaled.seeds]
    return msgspec.structs.replace(scaled, seeds=seeds)


def test_grown_starts_as_the_winner(own_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[torch.Tensor] = []
    rates: list[float] = []
    run = Trainer.run

    def spy(self: Trainer, *rest: Any) -> Any:
        images = own_run.place.signature.example_input()
        with torch.no_grad():
            starts.append(self.module.eval()(images))
        rates.append(self.recipe.rate / own_run.config.train_rate)
        return run(self, *rest)

    monkeypatch.setattr(Trainer, "run", spy)
    found = own_run.scale({"width": 8}, epochs=1, seeds=2, start="grown")
    images = own_run.place.signature.example_input()
    with torch.no_grad():
        expected = own_run.best.module(images)
    for outputs in starts:  # noise moves them a little, differently for each seed
        torch.testing.assert_close(outputs, expected, rtol=0.1, atol=0.1 * expected.abs().max())
    assert not torch.equal(starts[0], starts[1])
    assert found[0].start == "grown"
    scratch = own_run.scale({"width": 8}, epochs=1, seeds=2)
    assert [s.start for s in scratch] == ["grown", "scratch"]
    assert rates == [GOING_ON, GOING_ON, 1, 1]


def test_further_training_of_the_winner_is_another_start(
    own_run: Run, trained: list[Train]
) -> None:
    own_run.scale({"width": 8}, epochs=1, seeds=1, start="grown")
    folder = own_run.best.final.folder
    assert trained[0].goes_on_from == f"../../{folder}"
    assert read_tensors(own_run.folder / folder / "weights.safetensors")
    other = msgspec.structs.replace(trained[0], goes_on_from=trained[0].goes_on_from + "-more-3")
    assert other.folder != trained[0].folder


@pytest.mark.parametrize(
    ("options", "start", "words"),
    [
        ({"wide": 8}, "scratch", "has no option 'wide'"),
        ({"width": "many"}, "scratch", "--scale width=many: "),
        ({"width": 0}, "scratch", "width=0"),
        ({"width": 8, "nodes": 1}, "scratch", "--scale nodes=1: the winner does not fit"),
        ({"nodes": 3}, "scratch", "'node2.inputs' is missing"),
        ({"width": 6}, "grown", "no whole multiple"),
        ({"cells": 2}, "grown", "module.idle"),
    ],
)
def test_what_does_not_fit_is_refused(
    own_run: Run, trained: list[Train], options: dict[str, Any], start: Any, words: str
) -> None:
    with pytest.raises(SpaceError) as caught:
        own_run.scale(options, epochs=1, start=start)
    assert words in str(caught.value)
    assert trained == []
    assert not (own_run.folder / "scaled").exists()


def test_a_space_that_mixes_channels_cannot_grow(
    own_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "grown", lambda state, module, graph: module.state_dict())
    with pytest.raises(SpaceError, match=r"gives other outputs .* \(off by [1-9]\d*"):
        own_run.scale({"width": 8}, epochs=1, start="grown")


def test_counts_and_no_change_are_refused(own_run: Run) -> None:
    with pytest.raises(ConfigError, match="changes nothing"):
        own_run.scale({"width": 4}, epochs=1)
    with pytest.raises(ConfigError, match="--epochs is 0"):
        own_run.scale({"width": 8}, epochs=0)
    with pytest.raises(ConfigError, match="--seeds is 0"):
        own_run.scale({"width": 8}, epochs=1, seeds=0)


def test_branch_of_something_else_is_refused(own_run: Run) -> None:
    own_run.scale({"width": 8}, epochs=1, seeds=1)
    file = own_run.folder / "scaled" / "width=8" / "config.json"
    file.write_text(file.read_text().replace('"train_rate": 0.1', '"train_rate": 0.2'))
    with pytest.raises(RunError, match=r"train-rate 0\.2 instead of 0\.1"):
        own_run.scale({"width": 8}, epochs=1, seeds=1)


def test_sizes_are_those_of_the_larger_network(own_run: Run) -> None:
    found = own_run.scale({"width": 8}, epochs=1, seeds=1)[0]
    larger = own_run.place.space.with_options(width=8)
    candidate = Candidates(larger, own_run.place.signature).of(found.choices)
    assert (found.params, found.macs) == (candidate.params, candidate.macs)
