"""Candidates learn from a trained network; what it says is computed no oftener than needed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from small_run import RUN
from small_space import SIGNATURE, batches, space
from torch import Tensor, nn
from torch.nn import functional as F

from hypernas import distilling, hypernets
from hypernas.candidate import Candidates
from hypernas.config import Config, check
from hypernas.data import Augmentation
from hypernas.distilling import Teacher, teacher_of
from hypernas.draws import Draws
from hypernas.errors import ConfigError, HypernasError
from hypernas.exporting import read_export
from hypernas.files import read_json, read_tensors
from hypernas.fitting import RECIPES, Fit, FitOptions
from hypernas.runs import Run
from hypernas.survey import Survey
from hypernas.tasks import Classification
from hypernas.tasks.detection import Detection
from hypernas.tasks.segmentation import Segmentation
from hypernas.workplace import Workplace

SHIFTED = Augmentation(flip=False, crop=1)


class Counted(nn.Module):
    """A teacher that counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.Dropout(0.5))
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.layers(x)


def work(known: Survey, augmentation: Augmentation | None = SHIFTED, **teaching: float) -> Fit:
    """Return a fit with a teacher, or without where no weight is given."""
    fit = batches(augmentation=augmentation)
    given = {"temperature": 2.0} | teaching
    teacher = Teacher(Counted(), fit, **given) if teaching else None  # type: ignore[arg-type]
    return Fit(
        hypernets.make("ghn"),
        Draws(Candidates(space(), SIGNATURE), known, by="balanced", seed=0),
        fit,
        Classification(),
        FitOptions(steps=20, recipe=RECIPES["default"], meta_batch=2),
        teacher,
    )


def test_the_distance_is_that_of_the_paper() -> None:
    outputs, said = torch.randn(2, 5, 4)
    soft = F.softmax(said / 3, 1)
    expected = 9 * (soft * (soft.log() - F.softmax(outputs / 3, 1).log())).sum(1).mean()
    found = Classification().distil(outputs, said, temperature=3.0)
    torch.testing.assert_close(found, expected)
    assert Classification().distil(said + 7, said, temperature=3.0) == pytest.approx(0, abs=1e-5)
    exits = Classification().distil((outputs, said), said, temperature=3.0)
    torch.testing.assert_close(exits, expected / 2)


def test_maps_are_compared_pixel_by_pixel_and_boxes_not_at_all() -> None:
    outputs, said = torch.randn(2, 3, 4, 6, 6)
    found = Segmentation().distil(outputs, said, temperature=2.0)
    flat = [x.permute(0, 2, 3, 1).reshape(-1, 4) for x in (outputs, said)]
    torch.testing.assert_close(found, Classification().distil(flat[0], flat[1], temperature=2.0))
    small = F.avg_pool2d(outputs, 2)
    assert Segmentation().distil(small, said, temperature=2.0) > 0
    with pytest.raises(ConfigError, match="--teacher: detectors"):
        Detection().distil(outputs, said, temperature=2.0)


def test_the_loss_is_mixed(known: Survey) -> None:
    plain = work(known).advance()
    assert work(known, weight=0.0).advance() == pytest.approx(plain, rel=1e-6)
    whole, half = work(known, weight=1.0).advance(), work(known, weight=0.5).advance()
    assert half == pytest.approx((plain + whole) / 2, rel=1e-5)
    assert whole != pytest.approx(plain, rel=1e-2)


def test_candidates_come_near_to_the_teacher(known: Survey) -> None:
    made = work(known, weight=1.0)
    losses = [made.advance() for _ in range(20)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_it_speaks_once_a_step_without_a_gradient(known: Survey) -> None:
    made = work(known, weight=0.5)
    assert made.teacher is not None
    for _ in range(3):
        made.advance()
    teacher = made.teacher.module
    assert isinstance(teacher, Counted)
    assert teacher.calls == 3
    assert not teacher.training
    assert all(p.grad is None for p in teacher.parameters())


def test_it_speaks_once_for_the_whole_fit_where_images_do_not_change(known: Survey) -> None:
    made = work(known, augmentation=None, weight=0.5)
    assert made.teacher is not None
    for _ in range(9):
        made.advance()
    teacher = made.teacher.module
    assert isinstance(teacher, Counted)
    assert teacher.calls == len(made.batches) // made.batches.batch_size
    for step in (0, 3, 4, 11):
        images, _ = made.batches.random(0, "fit", step)
        said = made.teacher.says(images, 0, "fit", step)
        torch.testing.assert_close(said, teacher(images).detach())


def test_what_is_too_much_is_not_kept(known: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distilling, "MOST_KEPT", 100)
    made = work(known, augmentation=Augmentation(), weight=0.5)
    losses = [made.advance() for _ in range(2)]
    monkeypatch.undo()
    kept = work(known, augmentation=Augmentation(), weight=0.5)
    assert losses == pytest.approx([kept.advance() for _ in range(2)], rel=1e-5)
    assert made.teacher is not None
    assert made.teacher._kept is None


def test_batches_say_which_examples_they_show() -> None:
    data = batches(augmentation=SHIFTED)
    for step in (0, 2, 5):
        _, labels = data.random(0, "fit", step)
        assert torch.equal(labels, data.labels[data.shown(0, "fit", step)])
    assert not data.unchanged
    assert batches().unchanged
    assert batches(augmentation=Augmentation()).unchanged


# -- in a run --------------------------------------------------------------------------------------


def taught(teacher: Path, **changes: Any) -> Config:
    return msgspec.structs.replace(RUN, teacher=str(teacher), **{"steps": 20} | changes)


@pytest.mark.parametrize("part", ["", "best"])
def test_a_run_learns_from_another(finished: Path, tmp_path: Path, part: str) -> None:
    config = taught(finished / part, distil=0.7, distil_temperature=3.0)
    run = Run.start(tmp_path / "run", config, quiet=True)
    assert read_json(tmp_path / "run" / "config.json", Config).teacher == str(finished / part)
    teacher = run.place.fit(run.place.new_hypernet(), 5).teacher
    assert teacher is not None
    assert (teacher.weight, teacher.temperature, teacher.rescale) == (0.7, 3.0, None)
    best = Run.open(finished, quiet=True).best.module
    example = run.place.signature.example_input()
    with torch.no_grad():
        torch.testing.assert_close(teacher.module(example), best(example))


def test_a_teacher_of_another_split_is_said_to_be_one(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Run.start(tmp_path / "same", taught(finished))
    assert "another split" not in capsys.readouterr().err
    Run.start(tmp_path / "other", taught(finished, examples=500))
    assert "the teacher learned from another split" in capsys.readouterr().err


def test_it_goes_on_without_the_other_run_to_the_same_weights(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path / "teacher")
    config = taught(tmp_path / "teacher")
    for name in ("whole", "cut"):
        Run.start(tmp_path / name, config, quiet=True)
    Run.open(tmp_path / "whole", quiet=True).fit()
    shutil.rmtree(tmp_path / "teacher")
    monkeypatch.setattr("hypernas.fitting.CHECKPOINT_SECONDS", 0.0)
    plain, left = Fit.advance, [12]

    def stop(self: Fit) -> float:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return plain(self)

    monkeypatch.setattr(Fit, "advance", stop)
    with pytest.raises(KeyboardInterrupt):
        Run.open(tmp_path / "cut", quiet=True).fit()
    Run.open(tmp_path / "cut", quiet=True).fit()
    one, other = (read_tensors(tmp_path / n / "hypernet.safetensors")[0] for n in ("whole", "cut"))
    assert all(one[name].equal(other[name]) for name in one)


def test_a_teacher_sees_images_as_it_learned_them(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "best", tmp_path / "best")
    file = tmp_path / "best" / "architecture.json"
    about = json.loads(file.read_text())
    about["normalisation"] = {"mean": [0.25], "std": [0.5]}
    file.write_text(json.dumps(about))
    place = Workplace(tmp_path / "run", taught(tmp_path / "best"))
    place.data = place.record_data()
    teacher = teacher_of(place)
    assert teacher is not None
    images = place.fit_batches.inputs[:20].float() / 255
    normalised, _ = place.fit_batches.fixed(torch.arange(20))
    with torch.no_grad():
        expected = teacher.module((images - 0.25) / 0.5)
    torch.testing.assert_close(teacher._outputs(normalised), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"classes": ["a", "b"]}, r"trained with classes \['a', 'b'\]"),
        ({"input_shape": [3, 8, 8]}, r"input_shape \[3, 8, 8\], this run has \[1, 8, 8\]"),
        ({"data": "letters"}, "data letters, this run has digits"),
        ({"fingerprint": "0"}, "fingerprint 0"),
        ({"vocabulary": {"words": []}}, "vocabulary"),
    ],
)
def test_a_teacher_of_other_data_is_refused(
    finished: Path, tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    shutil.copytree(finished / "best", tmp_path / "best")
    file = tmp_path / "best" / "architecture.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    with pytest.raises(ConfigError, match=words) as refused:
        Run.start(tmp_path / "run", taught(tmp_path / "best"), quiet=True)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_run_on_other_images_of_the_same_name_is_refused(finished: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    images, labels = draw.integers(0, 256, (300, 8, 8), np.uint8), np.arange(300) % 10
    np.savez(tmp_path / "digits.npz", images=images, labels=labels)
    config = taught(finished, data=str(tmp_path / "digits.npz"), examples=None)
    with pytest.raises(ConfigError, match=r"--teacher .*: it was trained with"):
        Run.start(tmp_path / "run", config, quiet=True)


def test_what_is_no_teacher_is_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no architecture.json there; give a finished run"):
        Run.start(tmp_path / "run", taught(tmp_path / "nothing"), quiet=True)
    shutil.copytree(finished / "best", tmp_path / "best")
    (tmp_path / "best" / "model.py").write_text("def load(path): raise ValueError('broken')\n")
    with pytest.raises(HypernasError, match=r"model.py gives no network: ValueError"):
        Run.start(tmp_path / "run", taught(tmp_path / "best"), quiet=True)
    with pytest.raises(HypernasError, match="gives no network"):
        read_export(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"distil": 0.5}, "--distil 0.5 needs a network to be like; give --teacher RUN"),
        ({"teacher": "x", "distil": 1.5}, "--distil is 1.5; expected 0 to 1"),
        ({"teacher": "x", "distil_temperature": 0.0}, "--distil-temperature is 0.0"),
    ],
)
def test_options_that_cannot_be_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check(msgspec.structs.replace(RUN, **changes))
