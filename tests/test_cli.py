"""What a person gets for bad input: one line that names it and the mend, exit status 2."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_run import programs

from hypernas import cli

TINY = (
    "--set width=4 cells=1 nodes=2 --steps 8 --trials 6 --finalists 1 --sample 0 --seeds 1 "
    "--epochs 1 --best-epochs 1 --survey 40 --batch 16 --workers 1 --quiet"
).split()


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command line; return its status and what it printed."""
    status = 0
    try:
        cli.main([str(a) for a in arguments])
    except SystemExit as end:
        status = int(end.code or 0)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the one line of a refusal."""
    status, _, errors = call(capsys, *arguments)
    assert status == 2
    shown = [line for line in errors.splitlines() if line.startswith("hypernas: ")]
    assert len(shown) == 1, errors
    assert "Traceback" not in errors
    return shown[0]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train nas-bench-201 digits", "for a table of SPACE and DATA --table FILE"),
        ("train x --epochs y z", "Unrecognized options: z; for full helptext, run"),
        ("train --epochs", "Expected 1 values; for full helptext, run hypernas train --help"),
        ("run digits --minuts 3", "--minuts, 3; perhaps you meant: --minutes FLOAT"),
    ],
)
def test_what_cannot_be_read_has_a_way_out(
    capsys: pytest.CaptureFixture[str], command: str, words: str
) -> None:
    said = refused(capsys, *command.split())
    assert words in said
    assert ("takes one run folder" in said) == (command == "train nas-bench-201 digits")


def picture(path: Path, size: tuple[int, int] = (8, 8), shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(shade).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of two classes, twelve images each."""
    for label in ("cat", "dog"):
        for number in range(12):
            picture(tmp_path / "images" / label / f"{number}.png", shade=number)
    return tmp_path / "images"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with all steps done."""
    out = tmp_path_factory.mktemp("cli") / "run"
    with programs():
        cli.main(["run", "digits", *TINY, "--out", str(out)])
    return out


class TestRefusals:
    """Each is one line; nothing is written."""

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["nowhere/at/all"], "nowhere/at/all"),
            (["digits", "--space", "cel"], "known are anytime, cell, "),
            (["digits", "--space", "no.py:space"], "no.py"),
            (["digits", "--set", "wide=3"], "width"),
            (["digits", "--set", "width=many"], "width"),
            (["digits", "--hypernet", "ghm"], "known are ghn, ghn2, "),
            (["digits", "--hypernet-set", "round=3"], "rounds"),
            (["digits", "--max-params", "10"], "smallest"),
            (["digits", "--max-macs", "1k"], "smallest"),
            (["digits", "--minutes", "-1"], "--minutes"),
            (["digits", "--minutes", "0.01", "--set", "width=4", "cells=1", "nodes=2"], "at least"),
            (["digits", "--minutes", "1e12"], "--minutes"),
            (["digits", "--epochs", "0"], "--epochs"),
            (["digits", "--trials", "-3"], "--trials"),
            (["digits", "--batch", "1"], "--batch"),
            (["digits", "--anneal", "0.5"], "no option ease"),
            (["digits", "--fit-recipe", "modern"], "classic"),
            (["digits", "--device", "toaster"], "--device"),
            (["digits", "--device", "meta"], "--device"),
            (["digits", "--max-params", "many"], "no count"),
            (["digits", "--set", "cells=0"], "cells=0"),
            (["digits", "--set", "width"], "NAME=VALUE"),
            (["digits", "--no-such-option", "3"], "--no-such-option"),
            (["digits", "--sampler", "annealing"], "evolution"),
            (["digits", "--sampler-set", "random=3"], "it has none"),
            (["digits", "--sampler", "smash", "--sampler-set", "steps=3"], "markov, temperature"),
            (
                ["digits", "--sampler", "smash", "--sampler-set", "random=0"],
                "--sampler-set random=0: ",
            ),
            (["digits", "--examples", "3"], "examples"),
        ],
    )
    def test_of_run(
        self,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
        arguments: list[str],
        words: str,
    ) -> None:
        out = tmp_path / "out"
        line = refused(capsys, "run", *arguments, "--survey", 30, "--quiet", "--out", out)
        assert words in line
        assert not out.exists()
        assert not list(tmp_path.iterdir())

    def test_one_class(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        picture(tmp_path / "data" / "cat" / "0.png")
        assert "cat" in refused(capsys, "run", tmp_path / "data", "--quiet")

    def test_empty_class(self, capsys: pytest.CaptureFixture[str], images: Path) -> None:
        (images / "emu").mkdir()
        assert "emu" in refused(capsys, "run", images, "--quiet")

    def test_damaged_image_is_named(
        self, capsys: pytest.CaptureFixture[str], images: Path, tmp_path: Path
    ) -> None:
        (images / "cat" / "3.png").write_bytes((images / "cat" / "3.png").read_bytes()[:60])
        line = refused(capsys, "run", images, "--quiet", "--out", tmp_path / "out")
        assert "3.png" in line
        assert "--skip-bad" in line

    def test_damaged_image_is_skipped_and_counted(
        self, capsys: pytest.CaptureFixture[str], images: Path, tmp_path: Path
    ) -> None:
        (images / "cat" / "3.png").write_bytes(b"not an image")
        options = [o for o in TINY if o != "--quiet"]
        arguments = ["init", images, "--skip-bad", *options, "--out", tmp_path / "out"]
        status, _, errors = call(capsys, *arguments)
        assert status == 0
        assert "1 damaged" in errors

    def test_mixed_sizes(
        self, capsys: pytest.CaptureFixture[str], images: Path, tmp_path: Path
    ) -> None:
        picture(images / "dog" / "big.png", (9, 13))
        line = refused(capsys, "run", images, "--quiet", "--out", tmp_path / "out")
        assert "--image-size" in line
        assert re.search(r"13\s*[×x]\s*9|9\s*[×x]\s*13", line)

    def test_labels_out_of_range(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        labels = np.array([0, 1, 7] * 5)
        np.savez(tmp_path / "x.npz", images=np.zeros((15, 8, 8), np.uint8), labels=labels)
        assert "labels" in refused(capsys, "run", tmp_path / "x.npz", "--quiet")

    def test_no_run_folder(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        for command in ("fit", "search", "train", "report", "export", "ask"):
            assert "no run folder" in refused(capsys, command, tmp_path)

    def test_folder_of_something_else(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        (tmp_path / "letter.txt").write_text("Dear all")
        line = refused(capsys, "run", "digits", *TINY, "--out", tmp_path)
        assert "another --out" in line
        assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]

    def test_unwritable_place(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        line = refused(capsys, "run", "digits", *TINY, "--out", tmp_path / "file" / "run")
        assert "file" in line


class TestRunFolder:
    """One folder, asked again and again."""

    def test_result(self, finished: Path) -> None:
        result = json.loads((finished / "result.json").read_text())
        for name in (
            "data space hypernet seed limits best finalists random biggest search verdict "
            "seconds versions"
        ).split():
            assert name in result
        for name in (
            "choices params macs score score_accuracy val_accuracy test_accuracy seeds source"
        ).split():
            assert name in result["best"]
        assert result["search"]["scored"] == 6
        # 269 test images and one seed can show nothing
        assert result["verdict"]["beats_random"] == "not shown"
        assert result["verdict"]["beats_biggest"] == "not shown"

    def test_best_files(self, finished: Path) -> None:
        names = {path.name for path in (finished / "best").iterdir()}
        assert {"model.safetensors", "architecture.json", "model.pt2", "model.py"} <= names

    def test_other_options_are_refused(
        self, capsys: pytest.CaptureFixture[str], finished: Path
    ) -> None:
        line = refused(capsys, "run", "digits", *TINY, "--seed", 1, "--out", finished)
        assert "seed 0 instead of 1" in line

    def test_again_changes_nothing(
        self, capsys: pytest.CaptureFixture[str], finished: Path
    ) -> None:
        before = json.loads((finished / "result.json").read_text())
        assert call(capsys, "run", "digits", *TINY, "--out", finished)[0] == 0
        after = json.loads((finished / "result.json").read_text())
        assert before | {"seconds": 0} == after | {"seconds": 0}

    def test_ask(self, capsys: pytest.CaptureFixture[str], finished: Path) -> None:
        status, out, errors = call(capsys, "ask", finished, "--max-params", "2k", "--top", 3)
        assert status == 0
        assert 1 <= len(out.splitlines()) <= 3
        for line in out.splitlines():
            assert "node0.op" in json.loads(line)
        assert "MACs" in errors

    def test_what_was_asked_for_can_be_scored(
        self, capsys: pytest.CaptureFixture[str], finished: Path, tmp_path: Path
    ) -> None:
        asked, out = tmp_path / "asked.jsonl", tmp_path / "scores.jsonl"
        assert call(capsys, "ask", finished, "--top", 2, "--out", asked)[1] == ""
        assert call(capsys, "score", finished, asked, "--out", out)[0] == 0
        scores = [json.loads(line)["score"] for line in out.read_text().splitlines()]
        assert len(scores) == 2
        assert scores == sorted(scores, reverse=True)

    @pytest.mark.parametrize("command", ["ask", "score", "explain"])
    def test_no_folder_is_made_for_a_file(
        self, capsys: pytest.CaptureFixture[str], finished: Path, tmp_path: Path, command: str
    ) -> None:
        what = ["networks.jsonl"] if command == "score" else []
        missing = refused(capsys, command, finished, *what, "--out", tmp_path / "no" / "x.json")
        assert f"--out {tmp_path}/no/x.json: there is no folder {tmp_path}/no; make it" in missing
        folder = refused(capsys, command, finished, *what, "--out", tmp_path)
        assert f"--out {tmp_path} is a folder" in folder
        assert not list(tmp_path.iterdir())

    def test_ask_for_the_impossible(
        self, capsys: pytest.CaptureFixture[str], finished: Path
    ) -> None:
        assert "smallest" in refused(capsys, "ask", finished, "--max-macs", "5")
        assert "--top" in refused(capsys, "ask", finished, "--top", 0)

    def test_score(
        self, capsys: pytest.CaptureFixture[str], finished: Path, tmp_path: Path
    ) -> None:
        best = json.loads((finished / "result.json").read_text())["best"]["choices"]
        given = [best, best | {"node0.op": "teleport"}, {"node0.op": "conv_1x1"}, best]
        file = tmp_path / "architectures.jsonl"
        file.write_text("".join(json.dumps(choices) + "\n" for choices in given))
        out = tmp_path / "scores.jsonl"
        assert call(capsys, "score", finished, file, "--out", out)[0] == 0
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert [line["choices"] for line in lines] == given
        assert "teleport" in lines[1]["error"]
        assert "missing" in lines[2]["error"]
        assert lines[0] == lines[3]
        assert set(lines[0]) == {
            "choices",
            "score",
            "interval",
            "score_accuracy",
            "curve",
            "params",
            "macs",
            "warnings",
        }

    def test_score_of_a_damaged_file(
        self, capsys: pytest.CaptureFixture[str], finished: Path, tmp_path: Path
    ) -> None:
        file = tmp_path / "a.jsonl"
        file.write_text('{"node0.op": "conv_1x1"}\n[1, 2]\n')
        assert "line 2" in refused(capsys, "score", finished, file)
        assert "a.jsonl" in refused(capsys, "score", finished, tmp_path / "no" / "a.jsonl")

    def test_train_best_further(self, capsys: pytest.CaptureFixture[str], finished: Path) -> None:
        assert "--epochs" in refused(capsys, "train", finished, "--best")
        before = json.loads((finished / "result.json").read_text())["final"]
        assert call(capsys, "train", finished, "--best", "--epochs", 1, "--quiet")[0] == 0
        after = json.loads((finished / "result.json").read_text())["final"]
        assert after["val_accuracy"] >= before["val_accuracy"]

    def test_winner_under_other_options(
        self, capsys: pytest.CaptureFixture[str], finished: Path
    ) -> None:
        scale = ["train", finished, "--best", "--scale", "width=8", "--epochs", 1]
        for start in ("scratch", "grown"):
            status, _, errors = call(capsys, *scale, "--start", start)
            assert status == 0
        assert "width=8" in errors
        assert "grown" in errors
        assert "scratch" in errors
        kept = json.loads((finished / "scaled.json").read_text())
        assert [(s["options"], s["start"]) for s in kept] == [
            ({"width": 8}, "scratch"),
            ({"width": 8}, "grown"),
        ]
        about = json.loads((finished / kept[1]["folder"] / "best/architecture.json").read_text())
        assert about["space"]["options"]["width"] == 8
        assert about["params"] == kept[1]["params"]
        line = refused(capsys, *scale[:-3], "nodes=3", "--epochs", 1)
        assert "--scale nodes=3: the winner does not fit" in line

    def test_winner_on_other_data(
        self, capsys: pytest.CaptureFixture[str], finished: Path, images: Path
    ) -> None:
        transfer = ["train", finished, "--transfer-to"]
        rest = ["--epochs", 1, "--random", 2, "--image-size", 8]
        status, _, errors = call(capsys, *transfer, images, *rest)
        assert status == 0
        for words in ("transferred", "random 2", "random, mean", "luck was not measured"):
            assert words in errors
        found = json.loads((finished / "transfer" / "images" / "result.json").read_text())
        assert found["data"]["classes"] == ["cat", "dog"]
        assert len(found["random"]) == 2
        assert "made with" in refused(capsys, *transfer, images, *rest, "--native", finished)
        assert "nowhere" in refused(capsys, *transfer, "nowhere", *rest)
        assert call(capsys, *transfer, images, *rest, "--scale", "width=8")[0] == 0
        wider = json.loads((finished / "transfer" / "images,width=8" / "result.json").read_text())
        assert wider["options"] == {"width": 8}
        assert wider["transferred"]["params"] > found["transferred"]["params"]

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ("--best --epochs 1 --finalists 2", "--finalists does not go with --best"),
            ("--best --epochs 1 --seeds 2", "--seeds does not go with --best without --scale"),
            ("--best --epochs 1 --start grown", "--start does not go with --best without --scale"),
            ("--best --scale width=8", "--best needs --epochs"),
            ("--scale width=8 --epochs 1", "--scale does not go with a training without --best"),
            ("--transfer-to digits --best", "--best does not go with --transfer-to"),
            ("--transfer-to digits --start grown", "--start does not go with --transfer-to"),
            ("--random 3", "--random does not go with a training without --transfer-to"),
            ("--native x", "--native does not go with a training without --transfer-to"),
            ("--best --scale width --epochs 1", "NAME=VALUE"),
        ],
    )
    def test_options_that_do_not_go_together(
        self, capsys: pytest.CaptureFixture[str], finished: Path, options: str, words: str
    ) -> None:
        assert words in refused(capsys, "train", finished, *options.split())

    def test_another_space_under_the_run(
        self, capsys: pytest.CaptureFixture[str], finished: Path, tmp_path: Path
    ) -> None:
        source = Path("examples/my_space.py").read_text()
        (tmp_path / "mine.py").write_text(source)
        space = ["--space", f"{tmp_path / 'mine.py'}:residual"]
        rest = TINY[4:]
        out = tmp_path / "run"
        assert call(capsys, "init", "digits", *space, *rest, "--out", out)[0] == 0
        (tmp_path / "mine.py").write_text(source.replace("[8, 16, 32]", "[8, 16]"))
        assert "another version of space" in refused(capsys, "fit", out)
        (tmp_path / "mine.py").unlink()  # the folder has its own copy
        assert call(capsys, "fit", out, "--quiet")[0] == 0

    def test_another_data_under_the_run(
        self, capsys: pytest.CaptureFixture[str], images: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "run"
        assert call(capsys, "init", images, *TINY, "--out", out)[0] == 0
        picture(images / "dog" / "new.png", shade=99)
        assert "other data" in refused(capsys, "fit", out)


class TestSpacesCheck:
    """What a space is like, before a run."""

    def test_figures(self, capsys: pytest.CaptureFixture[str]) -> None:
        data = ["--shape", "1,7,7", "--classes", 3, "--max-params", "5k", "--draws", 20]
        status, out, _ = call(capsys, "spaces", "check", "cell", "--set", "width=4", *data)
        assert status == 0
        lines = out.splitlines()
        assert lines[0].startswith("space cell (width=4), ")
        assert lines[0].endswith("examples 1×7×7, 3 classes")
        assert re.match(r"20 architectures drawn: \d+ different networks, [\d.]+% within", lines[1])
        assert "MACs" in out
        assert len(lines) == 9

    @pytest.mark.parametrize(
        "space", ["nas-bench-201", "tests/small_space.py:small", "examples/my_space.py:residual"]
    )
    def test_of_any_space(self, capsys: pytest.CaptureFixture[str], space: str) -> None:
        arguments = ("spaces", "check", space, "--data", "digits", "--draws", 5, "--quiet")
        status, out, errors = call(capsys, *arguments)
        assert (status, errors) == (0, "")
        assert "examples 1×8×8, 10 classes" in out

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["cel"], "did you mean 'cell'"),
            (["cell", "--set", "wide=3"], "width"),
            (["cell", "--set", "cells=0"], "cells=0"),
            (["cell", "--shape", "3x32x32"], "3,32,32"),
            (["cell", "--draws", "0"], "--draws"),
            (["cell", "--data", "digits", "--classes", "4"], "--data says"),
            (["cell", "--data", "nowhere/at/all"], "nowhere/at/all"),
            ([], "search space: NAME"),
        ],
    )
    def test_refusals(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
    ) -> None:
        status, _, errors = call(capsys, "spaces", "check", *arguments)
        assert status == 2
        assert words in errors
        assert errors.count("\n") == 1  # and no empty progress bar


def test_an_optuna_sampler_is_refused_for_a_large_space_before_the_fit(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "large.py").write_text(
        "from torch import nn\n"
        "def large(choose, data):\n"
        "    width = [choose(f'w{i}', [1, 2]) for i in range(201)][0]\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, 10))\n"
    )
    space = ["--space", f"{tmp_path / 'large.py'}:large", *TINY[4:]]
    out = tmp_path / "out"
    line = refused(capsys, "run", "digits", *space, "--sampler", "tpe", "--out", out)
    assert "201 Optuna parameters" in line
    assert "--sampler smash" in line
    assert not out.exists()
    assert call(capsys, "init", "digits", *space, "--sampler", "smash", "--out", out)[0] == 0


def test_smash_scores_as_many_as_its_options_say(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out, options = tmp_path / "run", [*TINY]
    place = options.index("--trials")
    del options[place : place + 2]
    smash = ["--sampler", "smash", "--sampler-set", "random=9", "perturb=3", "markov=4"]
    assert call(capsys, "run", "digits", *options, *smash, "--out", out)[0] == 0
    search = json.loads((out / "result.json").read_text())["search"]
    assert search["scored"] == 16
    assert search["stages"] == {"random": 9, "perturbed": 3, "Markov": 4}
    assert "smash: 9 random, 3 perturbed, 4 Markov" in (out / "report.html").read_text()


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "spaces")
    assert status == 0
    assert "nas-bench-201" in out
    status, out, _ = call(capsys, "data")
    assert status == 0
    assert "fashion-mnist" in out


def test_help_needs_no_torch() -> None:
    code = (
        "import sys\nfrom hypernas import cli\n"
        "try: cli.main(['run', '--help'])\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "minutes" in done.stdout


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    arguments = ["run", "digits", *TINY, "--steps", "4000", "--out", str(tmp_path / "run")]
    log, until = tmp_path / "run/fit/log.jsonl", time.monotonic() + 300  # starting may take long
    with subprocess.Popen(
        [sys.executable, "-m", "hypernas", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        # a shell starts what runs in the background with SIGINT ignored, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            while not log.exists() and process.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 2
    assert "goes on from there" in errors.splitlines()[-1]
    assert "Traceback" not in errors


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full to act as a full disk")
def test_full_disk(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hypernas import files

    def full(*_: object, **__: object) -> None:
        Path("/dev/full").write_text("x" * 10)

    monkeypatch.setattr(files, "save_file", full)
    line = refused(capsys, "run", "digits", *TINY, "--out", tmp_path / "run")
    assert "No space left" in line
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m hypernas run --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
