"""What a person takes away: the final network as files that need this library no more.

Each file is checked before it takes its place: it is run again, on several batch sizes, and must
give the outputs of the module in eval mode.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import logging
import types
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from hypernas.errors import GraphError, RunError
from hypernas.files import replacing, write_json, write_tensors
from hypernas.results import AskedExit
from hypernas.standalone import Inputs, source_of
from hypernas.tasks import Outputs, exits

TOLERANCE = 1e-4
"""largest difference between outputs, relative to the largest output where that is above 1"""
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")

Case = tuple[Tensor, tuple[Tensor, ...]]
"""a batch, and what the module gives for it"""


def export(
    module: nn.Module, example: Tensor, folder: Path, *, about: dict[str, Any]
) -> dict[str, str]:
    """Write ``module`` into ``folder`` in every form that it can take, and check each of them.

    ``model.py`` is plain PyTorch source, ``model.safetensors`` the weights that it loads,
    ``model.pt2`` a torch.export program, ``model.onnx`` an ONNX model (with the extra ``onnx``) and
    ``architecture.json`` is ``about``. All take batches of any size. A file that cannot be made is
    removed if an older one is there. ``module`` and the random generators are left as they are.

    Args:
        module: returns a tensor, or a tuple of tensors.
        example: a batch (n, ...) of inputs.
        about: what is known of the network, as JSON. ``model.py`` takes from it ``input_shape`` (of
            one example; default: that of ``example``), ``classes`` (their names), ``normalisation``
            ({"mean": [...], "std": [...]} of the channels, or the two lists, or None), for texts
            ``vocabulary`` and for tables ``columns`` (as :mod:`hypernas.data` measures them), and
            ``summary``, a text for its docstring, and ``exits``, those that its ``predict`` asks
            (:class:`~hypernas.results.AskedExit`).

    Returns:
        For each file "same outputs to 3.0e-07", "written" or "not written: ..." with the reason.

    Raises:
        GraphError: a file was made but gives other outputs than the module; it is not kept.
        RunError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        network = copy.deepcopy(module).cpu().eval()
        cases = _cases(network, example.detach().cpu())
        write_json(folder / "architecture.json", about)
        return {
            "architecture.json": "written",
            **_write_source(network, cases, folder, about),
            **_write_programs(network, cases, folder),
        }


def read_export(folder: Path) -> nn.Module:
    """Return the network that :func:`export` wrote, in evaluation mode.

    Its ``model.py`` is run: give a folder whose source you trust, as with a search space.

    Raises:
        RunError: the folder's source and weights do not make a network.
    """
    path = folder / "model.py"
    try:
        weights = (folder / "model.safetensors").resolve()
        return _executed(path.read_text(encoding="utf-8"), path).load(weights).eval()
    except Exception as error:  # it may be anybody's file
        raise RunError(f"{path} gives no network: {error!r}; export it again") from error


def _cases(network: nn.Module, example: Tensor) -> list[Case]:
    """Return the example, one input alone, and one input more, each with its right outputs."""
    batches = [example, example[:1], torch.cat([example, example[:1]])]
    with torch.no_grad():
        return [(batch, exits(network(batch.clone()))) for batch in batches]


def _same(name: str, run: Callable[[Tensor], Outputs], cases: list[Case]) -> str:
    """Return how far the outputs of ``run`` are from the right ones, in words.

    Raises:
        GraphError: further than the tolerance, or of another number or shape.
    """
    worst = 0.0
    for batch, right in cases:
        with torch.no_grad():
            given = exits(run(batch.clone()))
        shapes = [tuple(t.shape) for t in given], [tuple(t.shape) for t in right]
        if shapes[0] != shapes[1]:
            raise GraphError(
                f"{name} gives outputs of shapes {shapes[0]}, the network {shapes[1]}; the file "
                "was not kept: please report this network's choices"
            )
        worst = max(worst, *(_distance(g, r) for g, r in zip(given, right, strict=True)))
    if worst > TOLERANCE:
        raise GraphError(
            f"{name} gives other outputs than the network, by {worst:.1e} where {TOLERANCE:.0e} is "
            "allowed; the file was not kept: please report this network's choices"
        )
    return f"same outputs to {worst:.1e}"


def _distance(given: Tensor, right: Tensor) -> float:
    """Return the largest difference relative to max(1, largest output); NaN counts as infinite."""
    difference = (given - right).abs().max() / right.abs().max().clamp(min=1)
    return float(difference.nan_to_num(nan=float("inf")))


def _missing(path: Path, reason: str) -> str:
    """Remove an older file, which would be of another network, and return the entry."""
    path.unlink(missing_ok=True)
    return f"not written: {reason}"


def _reason(error: Exception) -> str:
    """Return the first line of an error, short enough for a table."""
    words = str(error).strip().split("\n")[0] or type(error).__name__
    return words if len(words) <= 200 else words[:197] + "..."


# --- source and weights --------------------------------------------------------------------------


def _write_source(
    network: nn.Module, cases: list[Case], folder: Path, about: dict[str, Any]
) -> dict[str, str]:
    """Write the weights, and the source that loads them where it can be written."""
    weights, path = folder / "model.safetensors", folder / "model.py"
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    try:
        source = _source(network, cases[0][0], about)
    except GraphError as error:
        write_tensors(weights, state)
        return {weights.name: "written", path.name: _missing(path, str(error))}
    alive = _executed(source, path).build().state_dict()
    write_tensors(weights, {name: state[name] for name in alive})
    with replacing(path) as temporary:
        temporary.write_text(source, encoding="utf-8")
        model = _executed(temporary.read_text(encoding="utf-8"), path).load(weights.resolve())
        same = _same(path.name, model, cases)
        if _exits(about):
            # each exit alone gives what it gives among all
            every = range(len(cases[0][1]))
            _same(path.name, lambda x: tuple(next(model.stages(x, {i})) for i in every), cases)
    return {weights.name: "written", path.name: same}


def _source(network: nn.Module, example: Tensor, about: dict[str, Any]) -> str:
    normalisation = about.get("normalisation")
    if isinstance(normalisation, dict):
        normalisation = normalisation["mean"], normalisation["std"]
    return source_of(
        network,
        docstring=about.get("summary") or _summary(about),
        input_shape=tuple(about.get("input_shape") or example.shape[1:]),
        classes=[str(name) for name in about.get("classes") or ()],
        normalisation=tuple(normalisation) if normalisation else None,
        inputs=_inputs(about),
        exits=_exits(about),
    )


def _exits(about: dict[str, Any]) -> list[AskedExit]:
    """Return the exits that the network's ``predict`` asks; none where it has one exit."""
    return msgspec.convert(about.get("exits") or [], list[AskedExit])


def _inputs(about: dict[str, Any]) -> Inputs:
    """Return what the network is given, before it is encoded."""
    if about.get("columns"):
        return "rows"
    return about["vocabulary"]["unit"] if about.get("vocabulary") else "images"


def _summary(about: dict[str, Any]) -> str:
    sizes = [f"{about[key]:,} {word}" for key, word in _SIZES.items() if about.get(key)]
    space = f" in the space {about['space']}" if isinstance(about.get("space"), str) else ""
    first = f"A network found by hypernas{space}, as plain PyTorch."
    rest = "The weights are in model.safetensors, how they came about in architecture.json."
    return "\n".join([first, "", *([", ".join(sizes) + "."] if sizes else []), rest])


_SIZES = {"params": "parameters", "macs": "multiply-adds for an example"}


def _executed(source: str, path: Path) -> Any:
    """Run ``source`` as the module that stands at ``path``, without registering it anywhere."""
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    exec(compile(source, str(path), "exec"), vars(module))
    return module


# --- programs ------------------------------------------------------------------------------------


def _write_programs(network: nn.Module, cases: list[Case], folder: Path) -> dict[str, str]:
    """Write the torch.export program and, made from it, the ONNX model."""
    pt2, onnx = folder / "model.pt2", folder / "model.onnx"
    try:
        program = _program(network, cases[-1][0])  # of two examples or more
    except Exception as error:  # torch.export raises errors of many kinds, some of them private
        reason = f"torch.export cannot follow the network: {_reason(error)}"
        return {pt2.name: _missing(pt2, reason), onnx.name: _missing(onnx, reason)}
    with replacing(pt2) as temporary:
        same = _same(pt2.name, program.module(), cases)
        packed = io.BytesIO()
        torch.export.save(program, packed)
        temporary.write_bytes(packed.getvalue())
    return {pt2.name: same, onnx.name: _write_onnx(program, cases, onnx)}


def _program(network: nn.Module, batch: Tensor) -> torch.export.ExportedProgram:
    size = torch.export.Dim("batch", min=1)
    with _quiet():
        return torch.export.export(network, (batch,), dynamic_shapes=({0: size},))


def _write_onnx(program: torch.export.ExportedProgram, cases: list[Case], path: Path) -> str:
    absent = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        return _missing(path, f"install hypernas[onnx] for it ({', '.join(absent)} missing)")
    outputs = [f"output{i}" for i in range(len(cases[0][1]))]
    names = ["output"] if len(outputs) == 1 else outputs
    try:
        with _quiet():
            made = torch.onnx.export(
                program, input_names=["input"], output_names=names, dynamo=True, verbose=False
            )
    except torch.onnx.OnnxExporterError as error:
        return _missing(path, f"torch.onnx cannot express the network: {_reason(error)}")
    if made is None:  # what torch.onnx.export returns only when it is not given dynamo=True
        return _missing(path, "torch.onnx made no model")
    with replacing(path) as temporary:
        made.save(str(temporary), external_data=False)
        return _same(path.name, _onnx_runner(temporary.read_bytes()), cases)


def _onnx_runner(model: bytes) -> Callable[[Tensor], tuple[Tensor, ...]]:
    import onnxruntime  # of the extra `onnx`

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def run(batch: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(o) for o in session.run(None, {"input": batch.numpy()}))

    return run


@contextlib.contextmanager
def _quiet() -> Generator[None, None, None]:
    """Mute what torch 2.13 says while it exports and a user can do nothing about (2026-11)."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # "torchvision is not installed. Skipping torchvision::nms"
    try:
        with warnings.catch_warnings():
            # copyreg calls a deprecated class of torch.utils._pytree
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
            yield
    finally:
        log.setLevel(level)
