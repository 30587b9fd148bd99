"""SMASH: a convolutional hypernetwork that reads an architecture's encoding and writes its weights.

Source: Brock et al., SMASH: One-Shot Model Architecture Search through HyperNetworks (arXiv
1708.05344), section 3, and its public code. What is not generated is learned freely, in a table
that all architectures of the space share.

Shapes: C channels, R rows and S slices of an encoding; N channels a unit, d units a slice: at each
place of the map stands an N × dN piece of a weight.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from hypernas.candidate import Candidate
from hypernas.errors import ConfigError
from hypernas.graph import Parameter
from hypernas.hypernets.generator import Generator, Kind, Normalise
from hypernas.hypernets.heads import Heads, Piece
from hypernas.hypernets.hypernet import Hypernet, Weights
from hypernas.hypernets.table import Entry, Table
from hypernas.operations import kind_of, role_of
from hypernas.randomness import torch_generator
from hypernas.spaces.banks.encoding import Encoding
from hypernas.spaces.banks.settings import MOST_KERNEL

NOISE = 1024
"""slices of fixed noise; longer maps use it again"""
EMBEDDING = 32


@dataclass(frozen=True)
class Sheet:
    """What there is to write for a candidate.

    Attributes:
        code: the encoding, (C, S).
        rows: 1 where a place of the map stands for a weight, (R, S).
        pieces: what is generated.
        free: what is looked up.
    """

    code: Tensor
    rows: Tensor
    pieces: tuple[Piece, ...]
    free: tuple[Entry, ...]


class SMASH(Hypernet):
    """Convolutional hypernetwork over a memory-bank architecture's encoding (SMASH).

    Args:
        example: any candidate of the space.
        generated: which convolutions of ops are generated: ``mix`` (1×1 only, as in the paper),
            ``all``, a share of the ops such as ``0.5``, or a list such as ``mix,conv0``.
        generator: dense, attention, or gated.
        layers: convolutions in each dense block of the generator.
        growth: channels that each of them adds.
        normalise: the generator's normalisation: weight, layer or none.
        scale: generated weights are divided by the norm of the ``whole`` tensor, or of each output
            ``unit``.
        encoding: ``one-hot``; a learned ``embedding`` of it; or ``counts``, how many units are
            read and written and nothing else.
        norms: also generate the scales and shifts of the norms around a generated 1×1 convolution.
        noise: a channel of noise in the map, new at each step of fitting and fixed when scoring.
        share: free weights are shared by all ops of a ``block`` (SMASH), or belong to an ``op``'s
            place in it.
    """

    noise: Tensor
    coordinates: Tensor

    def __init__(
        self,
        example: Candidate,
        generated: str = "mix",
        generator: Kind = "dense",
        layers: tuple[int, ...] = (8, 10, 4),
        growth: int = 10,
        normalise: Normalise = "weight",
        scale: Literal["whole", "unit"] = "whole",
        encoding: Literal["one-hot", "embedding", "counts"] = "one-hot",
        norms: bool = False,
        noise: bool = True,
        share: Literal["block", "op"] = "block",
    ) -> None:
        super().__init__()
        code = _encoding_of(example)
        settings, self.rows = code.settings, code.layout.rows
        self.reads = _reads(code)
        _require_sizes(layers, growth)
        self.generated, self.slots = generated, _slots(generated, settings.slots)
        self.norms, self.noisy, self.share = norms, noise, share
        self.counts = encoding == "counts"
        channels = 2 if self.counts else code.layout.channels
        self.embed = None
        if encoding == "embedding":
            self.embed = nn.Conv1d(channels, EMBEDDING, 1, bias=False)
            channels = EMBEDDING
        self.generator = Generator(
            channels + 1 + self.rows,
            layers=layers,
            growth=growth,
            kind=generator,
            normalise=normalise,
        )
        kernel = MOST_KERNEL**settings.axes if self.slots else 0
        self.heads = Heads(
            self.generator.channels,
            unit=settings.unit,
            wide=settings.compression * settings.unit,
            kernel=kernel,
            norms=norms,
            scale=scale,
        )
        self.table = Table()
        fixed = torch_generator(int(self.table.seed), "noise")
        self.register_buffer("noise", torch.randn(self.rows, NOISE, generator=fixed))
        self.register_buffer("coordinates", torch.eye(self.rows)[:, :, None], persistent=False)

    def forward(self, candidates: Sequence[Candidate]) -> list[Weights]:
        sheets = [self._sheet(candidate) for candidate in candidates]
        return self._write(sheets, [sheet.code for sheet in sheets])

    def code(self, candidate: Candidate) -> Tensor:
        """Return a candidate's encoding as the generator is told it, (C, S)."""
        return self._sheet(candidate).code

    def write(self, candidate: Candidate, code: Tensor) -> Weights:
        """Return the weights of a candidate for another map of its size, (C, S)."""
        return self._write([self._sheet(candidate)], [code])[0]

    def prepare(
        self, candidates: Sequence[Candidate]
    ) -> list[tuple[nn.Parameter | None, nn.Parameter]]:
        return self.table.grow(entry for c in candidates for entry in self._sheet(c).free)

    def generator_parameters(self) -> list[nn.Parameter]:
        free = set(self.table.parameters())
        return [parameter for parameter in self.parameters() if parameter not in free]

    def untrained(self, candidate: Candidate) -> list[str]:
        return [p.name for key, p in self._sheet(candidate).free if self.table.lacks(key, p)]

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load weights; entries that the table lacks are made."""
        self.table.make_room(state_dict, "table.")
        return super().load_state_dict(state_dict, *args, **kwargs)

    # -- from maps to weights ---------------------------------------------------------------------

    def _write(self, sheets: Sequence[Sheet], codes: Sequence[Tensor]) -> list[Weights]:
        spans, start = [], 0
        for code in codes:
            spans.append(slice(start, start + code.shape[1]))
            start = spans[-1].stop + 1  # an empty slice between two candidates
        features = self.generator(self._map(sheets, codes), spans)[0]
        found = [self.table.look_up(sheet.free) for sheet in sheets]
        wanted = [
            (piece, span.start + piece.start, weights)
            for weights, sheet, span in zip(found, sheets, spans, strict=True)
            for piece in sheet.pieces
        ]
        self.heads(features, wanted)
        return found

    def _map(self, sheets: Sequence[Sheet], codes: Sequence[Tensor]) -> Tensor:
        """Return the maps side by side with noise and row numbers, (1, channels, R, S)."""
        parts: list[Tensor] = []
        for sheet, code in zip(sheets, codes, strict=True):
            told = self.embed(code[None])[0] if self.embed is not None else code
            slices = code.shape[1]
            noise = self._noise(slices) if self.noisy else code.new_zeros(self.rows, slices)
            rows = self.coordinates.expand(-1, -1, slices)
            parts.append(torch.cat([noise[None], rows, told[:, None] * sheet.rows]))
            parts.append(parts[-1].new_zeros(*parts[-1].shape[:2], 1))
        return torch.cat(parts[:-1], dim=2)[None]

    def _noise(self, slices: int) -> Tensor:
        """Return new noise while fitting, and else the same for every candidate, (R, slices)."""
        if self.training:
            return torch.randn(self.rows, slices, device=self.noise.device)
        return self.noise.repeat(1, -(-slices // NOISE))[:, :slices]

    # -- what there is to write -------------------------------------------------------------------

    def _sheet(self, candidate: Candidate) -> Sheet:
        """Return what there is to write for a candidate; it is remembered."""
        device = self.noise.device
        key = (SMASH, self.generated, self.norms, self.share, self.counts, device)
        if key not in candidate.notes:
            candidate.notes[key] = self._new_sheet(candidate, device)
        return candidate.notes[key]

    def _new_sheet(self, candidate: Candidate, device: torch.device) -> Sheet:
        encoding = _encoding_of(candidate)
        if _reads(encoding) != self.reads:
            raise ConfigError(
                "hypernetwork 'smash' reads the maps of one layout, and these candidates have "
                "another; between fit and search only options may differ that leave it as it is, "
                "such as depth (--fit-set depth=6)"
            )
        code = encoding.map(slots=self.slots)
        values = _counts(encoding, code.values) if self.counts else code.values
        lit = torch.arange(self.rows)[:, None] < torch.from_numpy(code.rows)
        owned = _owned(candidate.module)
        pieces = {p.name: p for p in self._pieces(encoding, code.starts.tolist(), owned)}
        free = [(self._key(p), p) for p in owned.values() if p.name not in pieces]
        return Sheet(
            code=torch.from_numpy(values).to(device),
            rows=lit.float().to(device),
            pieces=tuple(pieces.values()),
            free=tuple(free),
        )

    def _pieces(
        self, encoding: Encoding, starts: Sequence[int], owned: Mapping[str, Parameter]
    ) -> Iterator[Piece]:
        """Yield the parameters that are generated."""
        weights = encoding.weights(slots=self.slots)
        for (number, what, slices, _), start in zip(weights, starts, strict=True):
            if not self._is_generated(what, number):
                continue
            path = encoding.path(number, what)
            parameter = owned[f"{path}{encoding.layer(number, what)}.weight"]
            head = "kernel" if max(parameter.shape[2:]) > 1 else "mix"
            yield Piece(parameter.name, parameter.shape, head, start, slices)
            if what == "mix" and self.norms:
                for name, along in (("0", "slices"), ("3", "rows")):
                    for role, end in (("scale", "weight"), ("shift", "bias")):
                        p = owned[f"{path}{name}.{end}"]
                        yield Piece(p.name, p.shape, "norm", start, slices, along, role)

    def _is_generated(self, what: str, number: int) -> bool:
        """Say whether a convolution of an op is generated."""
        share = _share(self.generated)
        if share is not None:
            before, after = (round(ops * share, 9) // 1 for ops in (number, number + 1))
            return what == "mix" and after > before
        return self.generated == "all" or what in self.generated.split(",")

    def _key(self, parameter: Parameter) -> str:
        """Name a free weight in the table; SMASH's are shared by all ops of a block."""
        name = parameter.name
        if self.share == "block":
            name = re.sub(r"\.ops\.\d+\.", ".ops.", name)
        return f"{name}#{len(parameter.shape)}".replace(".", "/")


def _encoding_of(candidate: Candidate) -> Encoding:
    encoding = getattr(candidate.module, "encoding", None)
    if encoding is None:
        raise ConfigError(
            "hypernetwork 'smash' reads an encoding, which only --space memory-bank has; "
            "give that space, or --hypernet ghn or shared"
        )
    return encoding


def _reads(encoding: Encoding) -> tuple[Any, ...]:
    """Return what a map's channels and places mean: equal for maps that one SMASH can read."""
    settings, layout = encoding.settings, encoding.layout
    return settings.unit, settings.compression, settings.axes, layout.place, layout.rows


def _require_sizes(layers: Sequence[int], growth: int) -> None:
    """Refuse a generator without convolutions."""
    if not layers or min(layers) < 1:
        raise ConfigError(
            f"option layers={','.join(map(str, layers))}: expected the convolutions of each dense "
            "block, 1 or more; give --hypernet-set layers=8,10,4"
        )
    if growth < 1:
        raise ConfigError(
            f"option growth={growth}: expected 1 or more; give --hypernet-set growth=10"
        )


def _slots(generated: str, count: int) -> bool:
    """Say whether more than 1×1 convolutions are generated; refuse what cannot be read.

    Args:
        generated: the option.
        count: of an op's places for a convolution.
    """
    share = _share(generated)
    known = {"mix", *(f"conv{slot}" for slot in range(count))}
    if generated == "all" or set(generated.split(",")) <= known:
        return generated == "all" or "conv" in generated
    if share is None or not 0 <= share <= 1:
        raise ConfigError(
            f"option generated={generated}: expected mix, all, a share of the ops from 0 to 1, or "
            f"a list of mix and conv0 to conv{count - 1}; give --hypernet-set generated=mix,conv0"
        )
    return False


def _share(generated: str) -> float | None:
    try:
        return float(generated)
    except ValueError:
        return None


def _owned(module: nn.Module) -> dict[str, Parameter]:
    """Return the parameters of a module by name."""
    found = {}
    for path, layer in module.named_modules():
        kind = kind_of(layer, None)
        for name, tensor in layer._parameters.items():
            if tensor is not None:
                full = f"{path}.{name}" if path else name
                found[full] = Parameter(full, tuple(tensor.shape), role_of(kind, name))
    return found


def _counts(encoding: Encoding, values: np.ndarray) -> np.ndarray:
    """Return how many units an op reads and writes, as shares of the memory, (2, S)."""
    sections = encoding.layout.sections
    ops = values[sections["first"].start].cumsum().astype(int) - 1
    found = []
    for name in ("read", "written"):
        lit = values[sections[name].start : sections[name].stop]
        each = [lit[:, ops == op].any(axis=1).mean() for op in range(ops[-1] + 1)]
        found.append(np.array(each, np.float32)[ops])
    return np.stack(found)
