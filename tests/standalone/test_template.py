"""The generated file is whole: it says what was asked, reads well, and runs on its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hypernas.errors import GraphError
from hypernas.standalone import source_of

from .rebuilding import SHAPE, Cells, Given, Transformer, run, source


def test_the_module_and_the_generator_are_left_as_they_are() -> None:
    module = Cells().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    generator = torch.get_rng_state()
    source(module)
    assert torch.equal(generator, torch.get_rng_state())
    assert all(m.training for m in module.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.Sequential(nn.TransformerEncoderLayer(8, 2)), "layer '0' (TransformerEncoderLayer)"),
        (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))), "layer '0'"),
        (Branching(), "keep forward free of branches"),
        (nn.Linear(3, 3), "shape (3, 8, 8)"),
        (Given(lambda m, x: x * torch.ones(3, 8, 8)), "192 values"),
    ],
)
def test_what_cannot_be_written_is_named(module: nn.Module, words: str) -> None:
    shape = (8, 8) if "Transformer" in words else SHAPE
    with pytest.raises(GraphError) as caught:
        source(module, shape)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_preprocess_and_docstring() -> None:
    text = source_of(
        nn.Sequential(nn.Linear(8, 2)),
        docstring='It says """hello""" \\ ' + "word " * 40,
        input_shape=SHAPE,
        classes=["a 'cat'", 'a "dog"', "back\\slash", *map(str, range(40))],
        normalisation=([0.5, 0.25, 0.0], [0.5, 0.5, 1.0]),
    )
    model = run(text)
    assert model.CLASSES[:3] == ["a 'cat'", 'a "dog"', "back\\slash"]
    assert model.INPUT_SHAPE == SHAPE
    assert '"""hello""" \\ word' in model.__doc__
    images = torch.full((2, *SHAPE), 255, dtype=torch.uint8)
    expected = torch.tensor([1.0, 1.5, 1.0]).view(3, 1, 1).expand(2, *SHAPE)
    torch.testing.assert_close(model.preprocess(images), expected)
    assert max(map(len, text.splitlines())) <= 100


def test_volumes_are_normalised_by_channel() -> None:
    text = source_of(
        nn.Sequential(nn.Linear(4, 2)),
        docstring="Volumes.",
        input_shape=(2, 3, 4, 4),
        classes=["a", "b"],
        normalisation=([0.5, 0.0], [0.5, 1.0]),
    )
    volumes = torch.full((2, 2, 3, 4, 4), 255, dtype=torch.uint8)
    volumes[:, 1] = 0
    expected = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1).expand(2, 2, 3, 4, 4)
    torch.testing.assert_close(run(text).preprocess(volumes), expected)


def test_ruff_would_write_it_alike(tmp_path: Path) -> None:
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("ruff is not installed")
    for module in (Cells(), Transformer()):
        (tmp_path / f"{type(module).__name__}.py").write_text(source(module))
    for words in (["check", "--select", "E,F,I"], ["format", "--check"]):
        command = [ruff, *words, "--isolated", "--line-length", "100", tmp_path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


ALONE = """
import sys, runpy
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "hypernas":
            raise ImportError("hypernas was imported")
sys.meta_path.insert(0, Refuse())
sys.argv = ["model.py"]
runpy.run_path("model.py", run_name="__main__")
assert not any(name.split(".")[0] == "hypernas" for name in sys.modules)
"""


def test_the_file_runs_alone(tmp_path: Path) -> None:
    module = Cells()
    text = source(module)
    alive = run(text).build().state_dict()
    save_file({name: module.state_dict()[name] for name in alive}, tmp_path / "model.safetensors")
    (tmp_path / "model.py").write_text(text)
    command = [sys.executable, "-I", "-c", ALONE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count = sum(p.numel() for p in run(text).build().parameters())
    assert done.stdout == f"{count:,} parameters, output (1, 5)\n"
