"""A user's network is scored as a candidate is, ranked among its size, or refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hypernas.candidate import build_network
from hypernas.choices import canonical
from hypernas.cli import main
from hypernas.errors import ConfigError, GraphError
from hypernas.likeness import Likeness
from hypernas.placing import SIZES, Placed, built, placed
from hypernas.runs import Run


def network(run: Run, choices: dict[str, Any]) -> nn.Module:
    return build_network(run.place.space, choices, run.place.signature, seed=3)


def put(run: Run, module: nn.Module) -> Placed:
    return placed(run.place, run.scored, module)


def test_the_module_of_a_candidate_has_the_candidates_score_and_place(finished_run: Run) -> None:
    run = finished_run
    by_score = sorted(run.scored, key=lambda s: -s.score)
    middle = by_score[len(by_score) // 2]
    found = put(run, network(run, middle.choices))
    (alone,) = run.score([middle.choices])
    assert found.reached.score == alone.score == pytest.approx(middle.score, abs=1e-4)
    assert (found.params, found.macs) == (middle.params, middle.macs)
    assert found.left == {}
    assert found.distance <= found.usual
    peers = [s for s in run.scored if found.range[0] <= s.macs <= found.range[1]]
    assert found.range[0] <= middle.macs <= found.range[1]
    assert sorted(found.peers) == sorted(s.score for s in peers)
    assert len(run.scored) / SIZES - 2 <= len(found.peers) < len(run.scored) / 2
    assert found.rank == 1 + sum(s.score > found.reached.score for s in peers)
    assert found.better
    assert all(near.scored.score > found.reached.score for near in found.better)
    assert [n.distance for n in found.better] == sorted(n.distance for n in found.better)


def test_near_ones_are_the_nearest_of_all_that_are_better(finished_run: Run) -> None:
    run = finished_run
    worst = min(run.scored, key=lambda s: s.score)
    found = put(run, network(run, worst.choices))
    own = run.place.candidates.of(worst.choices).graph
    known = run.place.survey.drawn[:128]
    like = Likeness([run.place.candidates.of(a.choices).graph for a in known])
    better = {canonical(s.choices): s for s in run.scored if s.score > found.reached.score}
    every = [like.between(own, run.place.candidates.of(s.choices).graph) for s in better.values()]
    assert [n.distance for n in found.better] == pytest.approx(sorted(every)[:3])


def test_frozen_parameters_are_left_and_count_as_they_are(finished_run: Run) -> None:
    run = finished_run
    choices = run.scored[0].choices
    module = network(run, choices)
    frozen = next(name for name, p in module.named_parameters() if p.dim() == 4)
    module.get_parameter(frozen).requires_grad_(False).fill_(0.0)
    found = put(run, module)
    assert found.left == {frozen: "frozen"}
    assert found.reached.score != run.scored[0].score
    assert not module.get_parameter(frozen).any()


def test_what_is_unlike_the_space_is_refused_with_a_reason(finished_run: Run) -> None:
    data = finished_run.place.signature
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(data.input_shape[1] ** 2, 500), nn.Linear(500, 10))
    with pytest.raises(ConfigError, match=r"unlike all .* from the nearest .* linear operations"):
        put(finished_run, mlp)
    with pytest.raises(ConfigError, match=r"returns values of shape \(7,\) .* candidates .* \(10,"):
        put(finished_run, nn.Sequential(nn.Conv2d(1, 7, 8), nn.Flatten()))
    with pytest.raises(GraphError, match="does not run on an example"):
        put(finished_run, nn.Linear(3, 10))


def test_weights_that_were_never_fitted_are_refused(
    finished_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished_run
    hypernet = run.place.hypernet
    monkeypatch.setattr(type(hypernet), "untrained", lambda self, candidate: ["a.weight"])
    with pytest.raises(ConfigError, match=r"never fitted for 1 weights .* such as a\."):
        put(run, network(run, run.scored[0].choices))


def test_without_a_search_there_is_a_score_and_no_rank(finished_run: Run) -> None:
    run = finished_run
    found = placed(run.place, [], network(run, run.scored[0].choices))
    assert found.better == found.peers == []
    assert "no candidates were scored yet" in found.lines("acc.")[-1]


# --- the command --------------------------------------------------------------------------------

FILE = """
import torch
from torch import nn
from hypernas.runs import Run
from hypernas.candidate import build_network

def build():
    torch.rand(3)
    run = Run.open({folder!r}, quiet=True)
    return build_network(run.place.space, run.scored[5].choices, run.place.signature, seed=0)

def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 500), nn.Linear(500, 10))

def fails():
    raise ValueError("no\\nluck")

def number():
    return 3
"""


@pytest.fixture
def file(tmp_path: Path, finished: Path) -> Path:
    path = tmp_path / "my_model.py"
    path.write_text(FILE.format(folder=str(finished)))
    return path


def test_score_prints_or_writes_where_a_network_stands(
    file: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = torch.get_rng_state()
    main(["score", str(finished), f"{file}:build"])
    lines = capsys.readouterr().out.splitlines()
    assert torch.equal(torch.get_rng_state(), state)
    assert [line.split()[0] for line in lines[:4]] == ["size", "score", "unlike", "rank"]
    assert "of its size" in lines[3]
    assert all(line.startswith("better ") for line in lines[4:])
    main(["score", str(finished), f"{file}:build", "--out", str(tmp_path / "found.txt")])
    assert (tmp_path / "found.txt").read_text().splitlines() == lines


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("mlp", "the network is unlike all that the hypernetwork was trained on"),
        ("fails", "fails: ValueError('no\\nluck'); mend its function"),
        ("number", "returned int; expected a torch.nn.Module"),
        ("nothing", "has no function 'nothing'"),
    ],
)
def test_errors_are_one_line(
    function: str, words: str, file: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["score", str(finished), f"{file}:{function}"])
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert words in printed.err


def test_a_file_that_is_not_there_or_does_not_import(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"network 'no\.py:build': no file no\.py"):
        built("no.py:build", seed=0)
    (tmp_path / "bad.py").write_text("import nothing_of_this_name")
    with pytest.raises(ConfigError, match="does not import: ModuleNotFoundError"):
        built(f"{tmp_path / 'bad.py'}:build", seed=0)
