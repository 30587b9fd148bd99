"""The generated file computes what the module computes, under the same names, on its own."""

from __future__ import annotations

import math
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from hypernas.errors import GraphError
from hypernas.standalone import _wrap, source_of

SHAPE = (3, 8, 8)


def source(module: nn.Module, shape: tuple[int, ...] = SHAPE) -> str:
    return source_of(
        module, docstring="A network.", input_shape=shape, classes=["cat"], normalisation=None
    )


def run(text: str) -> Any:
    module = types.ModuleType("model")
    module.__file__ = "model.py"
    exec(compile(text, "model.py", "exec"), vars(module))
    return module


def rebuilt(module: nn.Module, shape: tuple[int, ...] = SHAPE) -> tuple[str, nn.Module]:
    """Write, rebuild, load what is alive, and compare on three batch sizes; return both."""
    module = warmed(module, shape)
    text = source(module, shape)
    network = run(text).build()
    state = module.state_dict()
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    network.eval()
    for n in (1, 2, 5):
        batch = torch.randn(n, *shape)
        for given, right in zip(tuples(network(batch)), tuples(module(batch)), strict=True):
            torch.testing.assert_close(given, right)
    assert max(map(len, text.splitlines())) <= 100
    return text, network


def warmed(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Return the module in eval mode, its running statistics no longer those of the beginning."""
    with torch.no_grad():
        module.train()(torch.randn(4, *shape))
    return module.eval()


def tuples(outputs: Any) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


class Given(nn.Module):
    """A module made of a function of itself and its input, and of members."""

    def __init__(self, forward: Any, **members: Any) -> None:
        super().__init__()
        self.function = forward
        for name, member in members.items():
            if isinstance(member, Tensor) and not isinstance(member, nn.Parameter):
                self.register_buffer(name, member)
            else:
                setattr(self, name, member)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


class ConvBN(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int = 3, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, padding="same" if not options else 2, bias=False, **options
        )
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(F.relu(x)))


class Cell(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(
            {
                "edge0-1": ConvBN(inputs, outputs),
                "edge0-2": ConvBN(inputs, outputs, dilation=2),
                "edge1-2": ConvBN(outputs, outputs, 1),
                "dead": ConvBN(inputs, outputs),
            }
        )

    def forward(self, states: list[Tensor]) -> Tensor:
        first, second = states
        self.edges["dead"](second)
        one = self.edges["edge0-1"](first)
        return torch.cat([self.edges["edge0-2"](second) + self.edges["edge1-2"](one), one], 1)


class Cells(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True))
        self.cells = nn.ModuleList([Cell(8, 4), Cell(8, 4), Cell(8, 6)])
        self.head = nn.Linear(12, 5)
        self.unused = nn.Linear(2, 2)
        self.unused_scale = nn.Parameter(torch.ones(2))

    def forward(self, images: Tensor) -> Tensor:
        first = self.stem(images)
        second = F.max_pool2d(first, 3, stride=1, padding=1)
        for cell in self.cells:
            first, second = second, cell([first, second])
        return self.head(torch.flatten(F.adaptive_avg_pool2d(second, 1), 1))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t = x.shape[0], x.shape[1]
        parts = self.qkv(x).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        queries, keys, values = parts[0], parts[1], parts[2]
        weights = (queries @ keys.transpose(-2, -1)) / math.sqrt(8) - 0.5
        return self.out((weights.softmax(-1) @ values).transpose(1, 2).reshape(n, t, -1))


class Transformer(nn.Module):
    place: Tensor
    gains: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.register_buffer("place", torch.randn(1, 5, 16))
        self.register_buffer("gains", torch.tensor([0.5, math.inf]), persistent=False)
        self.blocks = nn.ModuleList([Attention(16, 2), Attention(16, 4)])
        self.last = nn.MultiheadAttention(16, 4, bias=False, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.exits = nn.ModuleList([nn.Linear(16, 3), nn.Linear(16, 3)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.size(0), -1, -1), x], dim=1) + self.place
        for block in self.blocks:
            x = x + block(self.norm(x))
        early = self.exits[0](x[:, 0])
        return early, self.exits[1]((x + self.last(x, x, x)[0])[:, 0] * self.gains[0])


def test_a_chain_is_one_sequential() -> None:
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    text, _ = rebuilt(nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 2)))
    assert "nn.Conv2d(3, 8, 3)" in text
    assert "nn.Linear(8, 2)" in text


def test_equal_cells_share_a_class_and_dead_parts_are_dropped() -> None:
    module = Cells()
    text, network = rebuilt(module)
    assert text.count("class Cell") == 1
    assert text.count("class ConvBN") == 1
    names = set(network.state_dict())
    assert "cells.0.edges.edge0-1.conv.weight" in names
    gone = {name for name in module.state_dict() if ".dead." in name or name.startswith("unused")}
    assert names == set(module.state_dict()) - gone


def test_attention_parameters_buffers_and_two_exits() -> None:
    text, network = rebuilt(Transformer())
    assert "gains" not in network.state_dict()
    assert 'torch.tensor([0.5, float("inf")])' in text
    assert text.count("class Attention") == 2  # the number of heads is inside a view


LAYERS = [
    (nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), SHAPE),
    (nn.Conv1d(3, 6, 3, padding="same", groups=3, padding_mode="circular"), (3, 8)),
    (nn.Conv3d(3, 4, (1, 3, 3), dilation=(1, 2, 1)), (3, 4, 8, 8)),
    (nn.BatchNorm2d(3, eps=1e-3, momentum=None, affine=False), SHAPE),
    (nn.BatchNorm2d(3, track_running_stats=False), SHAPE),
    (nn.GroupNorm(3, 3), SHAPE),
    (nn.LayerNorm([8, 8], bias=False), SHAPE),
    (nn.LayerNorm(8, elementwise_affine=False), SHAPE),
    (nn.InstanceNorm2d(3, affine=True), SHAPE),
    (nn.RMSNorm(8), SHAPE),
    (nn.MaxPool2d(2), SHAPE),
    (nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), SHAPE),
    (nn.AvgPool2d((2, 1), count_include_pad=False), SHAPE),
    (nn.AdaptiveMaxPool2d((2, None)), SHAPE),
    (nn.LPPool2d(2, 2), SHAPE),
    (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), SHAPE),
    (nn.Upsample(size=(5, 5)), SHAPE),
    (nn.ZeroPad2d((1, 0, 2, 0)), SHAPE),
    (nn.PReLU(3), SHAPE),
    (nn.LeakyReLU(0.2, inplace=True), SHAPE),
    (nn.GELU("tanh"), SHAPE),
    (nn.Hardtanh(-2, 2), SHAPE),
    (nn.Softmax(dim=1), SHAPE),
    (nn.Dropout2d(0.3), SHAPE),
    (nn.PixelShuffle(1), SHAPE),
    (nn.Unflatten(1, (1, 3)), SHAPE),
    (nn.Linear(8, 4, bias=False), SHAPE),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda v: str(v)[:40])
def test_layers(layer: nn.Module, shape: tuple[int, ...]) -> None:
    rebuilt(nn.Sequential(layer), shape)


class SwappedSequential(nn.Sequential):
    def forward(self, input: Tensor) -> Tensor:
        return self[0](self[1](input)) + self[1](input) + input


def twice(m: Any, x: Tensor) -> Tensor:
    return m.inner(m.inner(x)) + m.inner[0].weight.sum()


def changed_in_place(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    y.mul_(2)
    z = y.flatten(1)
    z.add_(1)
    F.relu(m.dead(x), inplace=True)  # changes nothing that is used
    return y


def sizes(m: Any, x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], x.size(1) * (x.shape[2] - 1 + 1), -1) ** 2 / -3


FUNCTIONS = {
    "called twice": Given(twice, inner=nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())),
    "in place": Given(changed_in_place, conv=nn.Conv2d(3, 4, 1), dead=nn.Conv2d(3, 4, 1)),
    "sizes": Given(sizes),
    "names that are no identifiers": Given(lambda m, x: getattr(m, "a-b")(x), **{"a-b": nn.Tanh()}),
    "parameter list": Given(
        lambda m, x: x * m.p[1] + m.p[2], p=nn.ParameterList([torch.ones(1) * i for i in range(3)])
    ),
    "slices": Given(lambda m, x: x[:, 1:, ..., ::2] - x[:, :-1, :, None, 0]),
    "chunks": Given(lambda m, x: torch.stack(x.chunk(2, dim=2), 1).amax(dim=(1,), keepdim=False)),
    "split sizes": Given(lambda m, x: F.silu(x.split([1, 2], 1)[1]) * torch.sigmoid(x[:, :1])),
    "a constant": Given(lambda m, x: x * torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)),
    "a fixed filter": Given(
        lambda m, x: F.conv2d(x, m.blur * m.gain, padding=1, groups=3),
        blur=torch.rand(3, 1, 3, 3),
        gain=torch.tensor(2.0),
    ),
    "several results": Given(
        lambda m, x: m.cell(x)[0] - m.cell.last(x),
        cell=Given(lambda m, x: (m.last(x) + 1, x), last=nn.Conv2d(3, 3, 1)),
    ),
    "comparison": Given(lambda m, x: torch.where(x > 0, x, -x).clamp(min=0.1).to(torch.float64)),
    "functional dropout": Given(lambda m, x: F.dropout(x, 0.5, m.training)),
    "attention": Given(lambda m, x: F.scaled_dot_product_attention(x, x, x, is_causal=True)),
    "embedding": Given(
        lambda m, x: F.linear(x, m.table.weight) + m.table(m.rows),
        table=nn.Embedding(8, 8),
        rows=torch.arange(8),
    ),
    "holes": Given(
        lambda m, x: m.list[2](m.net[1](x)) + m.list[0](x),
        list=nn.ModuleList([nn.Conv2d(3, 3, 1), nn.Tanh(), nn.Conv2d(3, 3, 1)]),
        net=nn.Sequential(nn.Linear(2, 2), nn.Sigmoid()),
    ),
    "a chain with nothing in it": nn.Sequential(
        nn.Conv2d(3, 3, 1), Given(lambda m, x: x), nn.Conv2d(3, 3, 1)
    ),
    "numbers as names in the network itself": SwappedSequential(nn.Conv2d(3, 3, 1), nn.Tanh()),
    "the input itself": Given(lambda m, x: (x, m.fc(x)), fc=nn.Linear(8, 2)),
    "keywords": Given(
        lambda m, x: m.inner(x=m.conv(x)),
        conv=nn.Conv2d(3, 3, 1),
        inner=Given(lambda m, x: x.mean(dim=(2, 3))),
    ),
    "long lines": Given(
        lambda m, x: torch.cat(
            [x.roll(shifts=i, dims=3) + x.roll(shifts=-i, dims=2) for i in range(9)]
        )
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    rebuilt(FUNCTIONS[name])


def test_shared_activation_does_not_flatten_the_blocks() -> None:
    act = nn.ReLU()
    blocks = [Given(lambda m, x: m.act(m.conv(x)), conv=nn.Conv2d(3, 3, 1), act=act) for _ in "ab"]
    text, _ = rebuilt(Given(lambda m, x: m.two(m.one(x)) + x, one=blocks[0], two=blocks[1]))
    assert "self.act(self.conv(x))" in text


def test_shared_weights_keep_one_name() -> None:
    shared = nn.Conv2d(3, 3, 1)
    blocks = [Given(lambda m, x: m.conv(x).relu(), conv=shared) for _ in "ab"]
    _, network = rebuilt(Given(lambda m, x: m.two(m.one(x)), one=blocks[0], two=blocks[1]))
    assert set(network.state_dict()) == {"one.conv.weight", "one.conv.bias"}


def test_the_module_and_the_generator_are_left_as_they_are() -> None:
    module = Cells().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    generator = torch.get_rng_state()
    source(module)
    assert torch.equal(generator, torch.get_rng_state())
    assert all(m.training for m in module.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


class Own(nn.Linear):
    pass


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


def test_a_subclass_of_a_layer_is_traced_through() -> None:
    rebuilt(nn.Sequential(Own(8, 4)))


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


def test_long_lines_break_at_the_last_brackets() -> None:
    call = "y = f(" + ", ".join(f"argument{i}[0, 1]" for i in range(8)) + ")"
    assert _wrap(call)[0] == "y = f("
    assert _wrap(call)[-1] == ")"
    assert "".join(_wrap(call)).replace(" ", "").replace(",)", ")") == call.replace(" ", "")


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
