"""Every command works for every task: run, ask, score, train --best, report, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_run import programs

from hypernas.cli import main
from hypernas.config import Config
from hypernas.data import bundled
from hypernas.results import Limits
from hypernas.runs import Run

WORDS = {"sea": "wave ship sand fish", "wood": "tree leaf moss bird", "town": "road tram shop wall"}
COUNTS: dict[str, Any] = {
    "steps": 6,
    "trials": 12,
    "finalists": 1,
    "sample": 0,
    "seeds": 1,
    "epochs": 1,
    "best_epochs": 1,
    "batch": 16,
    "train_batch": 16,
    "survey": 40,
    "score_images": 20,
    "workers": 1,
}
TASKS: dict[str, tuple[str, dict[str, Any], str]] = {
    "text": ("text", {"widths": [8], "layers": 1}, "accuracy"),
    "table": ("mlp", {"layers": 2}, "accuracy"),
    "pixels": ("segmentation", {"width": 4, "layers": 1, "halvings": 1}, "mean IoU"),
    "boxes": ("detector", {"width": 4, "layers": 1, "halvings": 2}, "mAP"),
}


def texts(path: Path) -> str:
    """Write sentences of four words of a place, which a bag of words can tell apart."""
    draw = np.random.default_rng(0)
    rows = [
        {"text": " ".join(draw.choice(WORDS[place].split(), 4)), "label": place}
        for place in WORDS
        for _ in range(30)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


@pytest.fixture(scope="module", params=TASKS)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of a few steps on each kind of data."""
    folder = tmp_path_factory.mktemp(request.param)
    space, options, _ = TASKS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundled, "SCENES", 80)
        patch.setattr(bundled, "TEST_SCENES", 20)
        names = {"table": "wine", "pixels": "digit-scenes", "boxes": "digit-boxes"}
        data = names.get(request.param) or texts(folder / "places.jsonl")
        config = Config(data=data, space=space, options=options, **COUNTS)
        with programs():
            run = Run.start(folder / "run", config, quiet=True).everything()
        yield run


def kind(run: Run) -> str:
    return run.folder.parent.name.rstrip("0123456789")


def test_the_result_speaks_of_the_task(finished: Run) -> None:
    measure = TASKS[kind(finished)][2]
    result = finished.result
    assert (result.data["measure"], result.data["task"]) == (measure, finished.place.data.task)
    assert 0 <= result.best.val_accuracy <= 1
    split = [t.test_deviation for t in result.best.seeds]
    assert (None in split) == (measure == "accuracy")
    page = (finished.folder / "report.html").read_text()
    assert f"Validation {measure}" in page
    assert measure == "accuracy" or "Validation accuracy" not in page


def test_every_file_is_exported_and_checked(finished: Run) -> None:
    checks = finished.result.export
    assert set(checks) >= {"model.py", "model.pt2", "model.onnx", "model.safetensors"}
    assert {name for name, text in checks.items() if text.startswith("not written")} <= {
        "model.onnx"  # where the extra is not installed
    }


def test_the_exported_source_reads_what_users_have(finished: Run) -> None:
    """The file's ``preprocess`` gives what the run's own batches hold."""
    folder = finished.folder / "best"
    about: dict[str, Any] = {"__file__": str(folder / "model.py"), "__name__": "model"}
    exec((folder / "model.py").read_text(), about)
    inputs, _ = next(finished.place.batches(finished.place.splits.test, 4).in_order())
    raw = finished.place.splits.test.inputs[:4]
    given: Any = torch.from_numpy(raw)
    if kind(finished) == "text":
        given = [row.tobytes().rstrip(b"\0").decode() for row in raw]
    elif kind(finished) == "table":
        names = [column.name for column in finished.place.dataset.columns]
        given = [dict(zip(names, row.tolist(), strict=True)) for row in raw]
    found = about["preprocess"](given)
    torch.testing.assert_close(found, inputs.contiguous(), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(about["load"]()(found), finished.best.module(inputs))


def test_it_can_be_asked_again(finished: Run) -> None:
    answer = finished.ask(Limits(max_params=10**9), top=3)
    assert len(answer.found) >= 1
    (line,) = finished.score([answer.found[0].choices])
    assert line.score == pytest.approx(answer.found[0].score, rel=1e-5)


def test_the_winner_goes_on(finished: Run, capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", str(finished.folder), "--best", "--epochs", "1"])
    told = " ".join("".join(capsys.readouterr()).split())
    short = finished.place.task.short
    assert f"test {short}" in told
    assert f"best {short}:" in told


@pytest.mark.parametrize(("data", "space"), [("wine", "text"), ("digit-scenes", "cell")])
def test_wrong_pairs_are_refused_before_anything_is_written(
    data: str, space: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", data, "--space", space, "--out", str(tmp_path / "run")])
    assert end.value.code == 2
    told = capsys.readouterr().err.strip()
    assert "give --space" in told
    assert "\n" not in told
    assert not (tmp_path / "run").exists()


def test_options_for_images_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "wine", "--space", "mlp", "--crop", "2", "--out", str(tmp_path / "run")])
    assert "--crop is for images" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["run", "wine", "--space", "mlp", "--image-size", "8", "--out", str(tmp_path / "run")])
    assert "--image-size 8 is for images, not for table" in capsys.readouterr().err
