"""Each file of an export is right, or it is not there and the entry says why."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import programs
from small_space import SIGNATURE, OptionalInputs
from torch import Tensor, nn

from hypernas import exporting
from hypernas.errors import GraphError
from hypernas.exporting import export, read_export
from hypernas.results import AskedExit

ABOUT = {
    "choices": {"width": 8},
    "space": "tiny",
    "input_shape": [3, 8, 8],
    "classes": ["cat", "dog"],
    "normalisation": {"mean": [0.5] * 3, "std": [0.25] * 3},
    "params": 1234,
}
FILES = {"architecture.json", "model.safetensors", "model.py", "model.pt2", "model.onnx"}


class TwoExits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.edges = nn.ModuleDict({"0-1": nn.Conv2d(8, 8, 3, padding=1, groups=8)})
        self.exits = nn.ModuleList([nn.Linear(8, 2), nn.Linear(16, 2)])
        self.drop = nn.Dropout(0.5)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        early = self.exits[0](x.mean((2, 3)))
        x = torch.cat([x, x + self.edges["0-1"](x)], 1)
        return early, self.exits[1](self.drop(x.mean((2, 3)).view(x.shape[0], -1)))


@pytest.fixture(scope="module", autouse=True)
def every_form() -> Iterator[None]:
    with programs():
        yield


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    network = TwoExits()
    network(torch.randn(8, 3, 8, 8))  # running statistics that matter
    return network


@pytest.fixture
def without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n.startswith("onnx") else found(n, *a)
    )


def example(n: int = 2) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_every_file_is_right(
    module: nn.Module, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    generator, modules = torch.get_rng_state(), set(sys.modules)

    entries = export(module, example(), tmp_path / "best", about=ABOUT)

    assert set(entries) == FILES == {path.name for path in (tmp_path / "best").iterdir()}
    written = {"architecture.json", "model.safetensors"}
    assert all(entries[name] == "written" for name in written)
    assert all(entries[name].startswith("same outputs to ") for name in FILES - written)
    assert capfd.readouterr() == ("", "")
    assert not {"model", "standalone_model"} & (set(sys.modules) - modules)
    # the module and the generator are as they were
    assert torch.equal(generator, torch.get_rng_state())
    assert module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert json.loads((tmp_path / "best/architecture.json").read_text()) == ABOUT
    source = (tmp_path / "best/model.py").read_text()
    assert "unused" not in source
    assert "1,234 parameters" in source
    assert "std = torch.tensor([0.25, 0.25, 0.25]" in source

    session = runtime.InferenceSession(tmp_path / "best/model.onnx")
    outputs = session.run(["output0", "output1"], {"input": example(7).numpy()})
    for given, right in zip(outputs, module.eval()(example(7)), strict=True):
        torch.testing.assert_close(torch.from_numpy(given), right, rtol=1e-4, atol=1e-4)
    # one exit as a model of its own, as docs/anytime.md has it
    whole, alone = tmp_path / "best/model.onnx", tmp_path / "exit0.onnx"
    onnx.utils.extract_model(str(whole), str(alone), ["input"], ["output0"])
    (first,) = runtime.InferenceSession(alone).run(None, {"input": example(7).numpy()})
    torch.testing.assert_close(torch.from_numpy(first), torch.from_numpy(outputs[0]))
    assert len(onnx.load(alone).graph.node) < len(onnx.load(whole).graph.node)


@pytest.mark.parametrize("asked", [False, True])
def test_inputs_that_are_not_given_are_left_out(tmp_path: Path, asked: bool) -> None:
    torch.manual_seed(0)
    module, x = OptionalInputs().eval(), torch.randn(3, *SIGNATURE.input_shape)
    exits = [
        AskedExit(number=i, macs=i + 1, stop_macs=i + 1, val_accuracy=0.5, test_accuracy=None)
        for i in range(2)
    ]
    entries = export(module, x, tmp_path, about={"exits": exits} if asked else {})
    programs = {"model.py", "model.pt2"}
    programs |= (
        {"model.onnx"} if not entries["model.onnx"].startswith("not written: inst") else set()
    )
    assert all(entries[name].startswith("same outputs to ") for name in programs)
    network, right = read_export(tmp_path), module(x)
    torch.testing.assert_close(network(x), right)
    assert not [name for name in network.state_dict() if name.startswith("other")]
    if asked:
        torch.testing.assert_close(network.predict(x, budget=1), right[0])
        torch.testing.assert_close(network.predict(x), right[1])


@pytest.mark.usefixtures("without_onnx")
def test_without_onnx_an_older_file_goes_and_the_entry_says_how_to_get_it(
    module: nn.Module, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_text("of another network")
    entries = export(module, example(1), tmp_path, about={})
    assert entries["model.onnx"].startswith("not written: install hypernas[onnx]")
    assert not (tmp_path / "model.onnx").exists()
    assert entries["model.pt2"].startswith("same outputs")
    assert entries["model.py"].startswith("same outputs")


class ByBatch(nn.Module):
    """Follows neither torch.fx nor torch.export: it looks at values."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) if x.sum().item() > 1e9 else self.fc(x) * 2


def test_what_cannot_be_followed_still_leaves_weights(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("of another network")
    entries = export(ByBatch(), example(), tmp_path, about=ABOUT)
    assert entries["model.safetensors"] == "written"
    assert "torch.fx cannot follow" in entries["model.py"]
    assert "torch.export cannot follow" in entries["model.pt2"]
    assert {p.name for p in tmp_path.iterdir()} == {"architecture.json", "model.safetensors"}


def test_a_source_that_computes_something_else_is_refused(
    module: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = exporting.source_of

    def wrong(*args: Any, **options: Any) -> str:
        return right(*args, **options).replace("torch.cat([x, ", "torch.cat([x * 1.01, ")

    monkeypatch.setattr(exporting, "source_of", wrong)
    with pytest.raises(GraphError, match=r"model\.py gives other outputs .* by \d\.\de-\d\d"):
        export(module, example(), tmp_path, about=ABOUT)
    assert not (tmp_path / "model.py").exists()


@pytest.mark.usefixtures("without_onnx")
def test_a_program_that_computes_something_else_is_refused(
    module: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = TwoExits().eval()
    right = exporting._program
    monkeypatch.setattr(exporting, "_program", lambda _, batch: right(other, batch))
    with pytest.raises(GraphError, match=r"model\.pt2 gives other outputs"):
        export(module, example(), tmp_path, about=ABOUT)
    assert not (tmp_path / "model.pt2").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: y + 1e-3, r"other outputs than the network, by 1\.0e-03"),
        (lambda y: y * float("nan"), "other outputs"),
        (lambda y: y[:, :1], "outputs of shapes"),
    ],
)
def test_the_check_sees_differences(change: Any, words: str) -> None:
    layer = nn.Linear(4, 2).requires_grad_(requires_grad=False)
    layer.weight.mul_(0.1)
    cases = exporting._cases(layer, torch.randn(2, 4))
    assert exporting._same("model.x", layer, cases) == "same outputs to 0.0e+00"
    with pytest.raises(GraphError, match=words):
        exporting._same("model.x", lambda x: change(layer(x)), cases)
