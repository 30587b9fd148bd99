"""Any module's parameters are written or listed, and nothing else about it changes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from coverage_table import PAGE, of_others, own, title
from families import IMAGE, OWN, ROW, hugging_face
from families.others import Shared, parametrised
from small_run import RUN
from torch import Tensor, nn
from torch.nn.utils import weight_norm
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

from hypernas import hypernets
from hypernas.candidate import build_network
from hypernas.errors import ConfigError, GraphError, RunError
from hypernas.foreign import foreign
from hypernas.initialising import Initialised, initialise
from hypernas.runs import Run


def called(module: nn.Module, example: Any) -> list[Tensor]:
    args, kwargs = ((), example) if isinstance(example, dict) else (example, {})
    with torch.no_grad():
        given = args if isinstance(args, tuple) else (args,)
        result = module.eval()(*given, **kwargs)
    values = result.values() if isinstance(result, dict) else [result]
    return [value for value in values if isinstance(value, Tensor)]


def made(make: Any) -> nn.Module:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return make()


@pytest.mark.parametrize(("make", "example"), OWN.values(), ids=OWN)
def test_every_parameter_is_written_or_listed_and_nothing_else_changes(
    make: Any, example: Any
) -> None:
    module = made(make)
    held = {name: (p, p.detach().clone()) for name, p in module.named_parameters()}
    buffers = {name: b.clone() for name, b in module.named_buffers()}
    modes = [part.training for part in module.modules()]
    state = torch.get_rng_state()
    report = initialise(module, "ghn", example)
    assert report.written.keys() | report.left.keys() == held.keys()
    assert not report.written.keys() & report.left.keys()
    assert dict(module.named_parameters()).keys() == held.keys()
    for name, parameter in module.named_parameters():
        before, values = held[name]
        assert parameter is before, "the parameter itself is to stay"
        assert torch.equal(parameter, values) == (name in report.left), name
        assert torch.isfinite(parameter).all()
        assert parameter.abs().max() < 12
    assert all(torch.equal(b, buffers[name]) for name, b in module.named_buffers())
    assert [part.training for part in module.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    for value in called(module, example):
        assert torch.isfinite(value).all()
        assert 1e-6 < value.std() < 1e6  # batch norms do not know the new weights yet
    assert all(value.grad_fn is None for value in module.parameters())


@pytest.mark.parametrize("name", ["ghn", "ghn2", "ghn3"])
def test_written_values_have_the_ranges_of_their_layers(name: str) -> None:
    wide = nn.Sequential(
        nn.Conv2d(64, 128, 3), nn.BatchNorm2d(128), nn.ConvTranspose2d(128, 8, 4, 2),
        nn.Flatten(), nn.Linear(8 * 18 * 18, 50), nn.LayerNorm(50), nn.GRU(50, 20),
    )  # fmt: skip
    assert initialise(wide, name, torch.zeros(1, 64, 10, 10)).share == 1
    he = {"0": (2 / (64 * 9)) ** 0.5, "2": (1 / (128 * 4)) ** 0.5, "4": (1 / (8 * 18**2)) ** 0.5}
    for layer, spread in he.items():
        assert 0.6 * spread < wide.get_submodule(layer).weight.std() < 1.8 * spread
    for layer in ("1", "5"):
        scale, shift = wide.get_submodule(layer).weight, wide.get_submodule(layer).bias
        assert 0 < scale.min() <= scale.max() < 2
        assert shift.abs().max() < 1
    filters = wide.get_submodule("0").weight.flatten(1)
    assert len(torch.unique(filters, dim=0)) == 128, "no filter is a copy of another"


# --- the table ----------------------------------------------------------------------------------


def test_the_table_in_the_docs_is_what_happens() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = own()
    assert len(rows) >= 25
    assert [line for line in rows if line not in lines] == []


def test_the_models_of_others_in_the_docs_are_what_happens() -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    if title().strip() not in lines:
        pytest.skip("the page is of another version of transformers, whose models may differ")
    assert [line for line in of_others() if line not in lines] == []


@pytest.mark.parametrize("name", hugging_face.MODELS)
def test_models_of_others_run_with_what_was_written(name: str) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    module, example = made(lambda: hugging_face.made(name)), hugging_face.MODELS[name][2]
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    report = initialise(module, "ghn", example)
    changed = {n for n, p in module.named_parameters() if not torch.equal(p, before[n])}
    assert changed == report.written.keys()
    assert all(torch.isfinite(value).all() for value in called(module, example))


# --- what is left, and why ----------------------------------------------------------------------


def test_shared_tensors_are_written_once_and_stay_shared() -> None:
    module = Shared()
    report = initialise(module, "ghn", torch.arange(6).view(2, 3))
    assert module.last.weight is module.words.weight
    assert "last.weight" not in report.written
    assert report.values == sum(report.written.values()) == 20 * 8 + 8 * 8 + 8


def test_parametrised_layers_are_written_through_their_originals_or_left() -> None:
    module = made(parametrised)
    report = initialise(module, "ghn", IMAGE)
    conv = module[0].parametrizations.weight
    gain, direction = conv.original0.detach(), conv.original1.detach()
    assert {f"0.parametrizations.weight.original{i}" for i in (0, 1)} <= report.written.keys()
    assert 0 < gain.min() <= gain.max() < 2
    norms = direction.flatten(1).norm(dim=1)
    expected = direction * (gain.flatten() / norms).view(-1, 1, 1, 1)
    assert torch.allclose(module[0].weight, expected, atol=1e-6)
    assert "4.parametrizations.weight.original" in report.written
    assert torch.equal(module[4].weight, module[4].weight.T)
    reason = "parametrised by SpectralNorm, whose buffers go with its present value"
    assert report.left == {
        "1.parametrizations.weight.original": reason, "5.weight_orig": reason,
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_older_weight_norm_is_written_through_gain_and_direction() -> None:
    module = nn.Sequential(weight_norm(nn.Linear(6, 3)))
    assert initialise(module, "ghn", ROW).left == {}
    assert 0 < module[0].weight_g.min() <= module[0].weight_g.max() < 2
    norms = torch.linalg.vector_norm(called(module, torch.eye(6))[0] - module[0].bias, dim=0)
    assert torch.allclose(norms, module[0].weight_g.flatten().abs(), atol=1e-5)


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.never = nn.Linear(6, 2), nn.Linear(2, 2)
        self.used.bias.requires_grad_(False)
        self.empty = nn.Parameter(torch.zeros(0, 3))
        self.complex = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
        self.weights = nn.ParameterList([nn.Parameter(torch.ones(()))])
        self.wide = nn.Parameter(torch.ones(1).expand(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x) * self.weights[0] + self.empty.sum() + self.complex.real * self.wide


def test_what_is_left_is_listed_with_its_reason() -> None:
    report = initialise(Odd(), "ghn", ROW)
    assert report.left == {
        "used.bias": "frozen",
        "never.weight": "does not reach the output",
        "never.bias": "does not reach the output",
        "empty": "holds no values",
        "complex": "is of type complex64",
        "wide": "its values share memory",
        "weights.0": UNKNOWN,
    }
    assert report.written == {"used.weight": 12}
    assert str(report) == (
        "1 tensors written, 48.0% of the parameters; 1 left: holds no values; 1 left: is of type "
        "complex64; 1 left: its values share memory; 1 left: frozen; 2 left: does not reach the "
        "output; 1 left: what it is for is not known"
    )
    assert Initialised({}, {}, 0, "run").share == 1


class Meanings(nn.Module):
    """Parameters of many uses: temperatures, slopes and scales beside tables and tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 8, padding_idx=0)
        self.bags = nn.EmbeddingBag(20, 8, padding_idx=3)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.places = nn.Parameter(torch.zeros(10, 8))
        self.gamma = nn.Parameter(1e-5 * torch.ones(8))
        self.gate = nn.Parameter(torch.zeros(8))
        self.act, self.both = nn.PReLU(), nn.Bilinear(8, 8, 3)
        self.logit_scale = nn.Parameter(torch.tensor(2.66))
        self.core = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids) + self.bags(ids)[:, None]
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        x = x + self.places + self.gate
        x = x + self.act(self.core(x, x)) * self.gamma + self.gate * x
        return self.both(x, x) * self.logit_scale.exp()


def test_parameters_that_carry_a_meaning_keep_their_values() -> None:
    module = Meanings()
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    report = initialise(module, "ghn", torch.arange(18).view(2, 9))
    left = ["gamma", "gate", "act.weight", "logit_scale"]
    assert report.left == dict.fromkeys(left, UNKNOWN)
    assert all(torch.equal(module.get_parameter(name), before[name]) for name in left)
    for table in ("token", "places"):
        assert 1e-3 < module.get_parameter(table).abs().mean() < 1
    for name in ("both.weight", "core.encoder.layers.0.self_attn.out_proj.weight"):
        assert 0.02 < module.get_parameter(name).std() < 2
    assert not module.words.weight[0].any(), "the row for padding"
    assert not module.bags.weight[3].any()
    assert module.words.weight[1:].any(dim=1).all()
    with torch.no_grad():
        module.words.weight[0] = 1.5
    initialise(module, "ghn", torch.arange(18).view(2, 9))
    assert (module.words.weight[0] == 1.5).all(), "its own value, whatever that is"


UNKNOWN = "what it is for is not known"


class Compiled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(6, 6), nn.Linear(6, 2)
        self.core = torch.jit.script(nn.Linear(6, 6))

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.core(self.before(x)))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_compiled_parts_are_left_and_what_lies_around_them_is_written() -> None:
    report = initialise(Compiled(), "ghn", ROW)
    reason = "in compiled code (TorchScript)"
    assert report.left == {"core.weight": reason, "core.bias": reason}
    assert report.written.keys() == {f"{n}.{p}" for n in ("before", "after") for p in BOTH}
    assert initialise(torch.jit.script(nn.Linear(6, 2)), "ghn", ROW).written == {}


BOTH = ("weight", "bias")


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.core, self.last = nn.GRU(6, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        made, _ = pad_packed_sequence(self.core(packed)[0], batch_first=True)
        return self.last(made[:, -1])


class Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        return x @ w


class Unusual(nn.Module):
    """A function of its own, a way through NumPy, a checkpoint, and layers made on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(6, 6) for _ in range(3))
        self.w = nn.Parameter(torch.ones(6, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = Function.apply(nn.ReLU()(self.a(x)), self.w)
        x = checkpoint(self.b, torch.from_numpy(x.detach().numpy()), use_reentrant=False)
        return nn.Softmax(-1)(self.c(x))


def test_unusual_forwards_are_read_to_the_end() -> None:
    lengths = torch.tensor([5, 2, 3])
    assert initialise(Packed(), "ghn", (torch.randn(3, 5, 6), lengths)).share == 1
    assert initialise(Unusual(), "ghn", ROW).share == 1


def test_other_types_and_what_is_not_finite() -> None:
    module = nn.Linear(6, 2).to(torch.bfloat16)
    initialise(module, "ghn", ROW.to(torch.bfloat16))
    assert module.weight.dtype is torch.bfloat16
    net = hypernets.make("ghn").train()
    module = nn.Linear(6, 2)
    before = module.weight.detach().clone()
    for parameter in net.parameters():
        nn.init.constant_(parameter, torch.nan)
    report = initialise(module, net, ROW)
    assert set(report.left.values()) == {"what the hypernetwork wrote is not finite"}
    assert torch.equal(module.weight, before)
    assert net.training, "the hypernetwork's mode is to stay"


# --- which hypernetwork -------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(hypernets.known()) - {"smash"}))
def test_every_hypernetwork_that_reads_graphs_writes_every_kind_of_tensor(name: str) -> None:
    for family in ("Swin", "transposed convolutions", "LSTM, GRU cell, bilinear", "ConvNeXt"):
        make, example = OWN[family]
        module = made(make)
        report = initialise(module, name, example)
        assert set(report.left) == {n for n in report.left if n.endswith("layer_scale")}
        assert report.share > 0.99
        assert all(torch.isfinite(value).all() for value in called(module, example))


def test_a_trained_run_writes_and_its_folder_writes_the_same(
    finished_run: Run, finished: Path
) -> None:
    example = finished_run.place.signature.example_input()
    make = lambda: nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(288, 10))  # noqa: E731
    modules = [make(), make()]
    for module, run in zip(modules, (finished_run, finished), strict=True):
        assert initialise(module, run, example).share == 1
    assert all(map(torch.equal, modules[0].parameters(), modules[1].parameters()))


def test_what_weight_sharing_never_fitted_is_left(tmp_path: Path) -> None:
    shared = hypernets.make("shared")
    known = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    shared.prepare([foreign(known, ROW)])
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    before = module[2].weight.detach().clone()
    report = initialise(module, shared, ROW)
    assert report.written.keys() == {"0.weight", "0.bias"}
    reason = "the hypernetwork was never fitted for it"
    assert report.left == dict.fromkeys(("2.weight", "2.bias"), reason)
    assert torch.equal(module[2].weight, before)
    assert initialise(module, "shared", ROW).share == 1, "a new one by name was asked for as it is"


def test_what_a_run_of_weight_sharing_never_fitted_is_left(tmp_path: Path) -> None:
    config = msgspec.structs.replace(RUN, hypernet="shared", steps=2)
    run = Run.start(tmp_path / "run", config, quiet=True)
    run.fit()
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(288, 10))
    example = run.place.signature.example_input()
    report = initialise(module, run, example)
    assert (report.written, report.share) == ({}, 0)
    assert set(report.left.values()) == {"the hypernetwork was never fitted for it"}
    candidate = run.place.candidates.of(run.place.survey.drawn[0].choices)
    network = build_network(run.place.space, candidate.choices, run.place.signature, seed=0)
    assert initialise(network, tmp_path / "run", example).written


@pytest.mark.parametrize("hypernet", [None, 3, nn.Linear(2, 2)], ids=str)
def test_what_is_no_hypernetwork_is_said_in_a_line(hypernet: Any) -> None:
    with pytest.raises(ConfigError, match=r"no hypernetwork and no run folder .*; give the folder"):
        initialise(nn.Linear(6, 2), hypernet, ROW)
    with pytest.raises(GraphError, match="network is of type int; expected a torch"):
        initialise(3, hypernet, ROW)


def test_what_cannot_be_done_is_said_in_a_line(tmp_path: Path) -> None:
    module = nn.Linear(6, 2)
    with pytest.raises(ConfigError, match="no hypernetwork and no run folder 'gnh'; give the fold"):
        initialise(module, "gnh", ROW)
    with pytest.raises(RunError, match="is no run folder"):
        initialise(module, tmp_path, ROW)
    with pytest.raises(ConfigError, match=r"hypernetwork .smash. .*memory-bank"):
        initialise(module, "smash", ROW)
    with pytest.raises(GraphError, match="Linear does not run on an example"):
        initialise(module, "ghn", torch.zeros(2, 7))
    with pytest.raises(GraphError, match=r"holds .0\.weight., which has no shape before"):
        initialise(nn.Sequential(nn.LazyLinear(3)), "ghn", ROW)
