"""The encoding of a memory-bank architecture: a map that SMASH's hypernetwork turns into weights.

A map has channels that say what an op is, rows that stand for units of output channels, and slices
that stand for groups of ``compression`` units of input channels, op after op in the order in which
they run (arXiv 1708.05344, section 3.2). The layout depends on the settings alone. Values are 0 and
1. What is one op's is the same in all its slices, except which units of memory a slice reads.

The public code's encoding leaves out bank sizes, op structures and the order of writes, and lets
sections overlap; here a map determines the architecture (:func:`decode`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from hypernas.choices import Architecture, Chooser, Decision, Value
from hypernas.errors import SpaceError
from hypernas.spaces.banks.architecture import Block, Op, bank_span, drawn
from hypernas.spaces.banks.settings import FIELDS, KEEPS, SHRINKS, Settings


@dataclass(frozen=True)
class Section:
    """Channels that answer one question.

    Attributes:
        name: of the question.
        start: first channel.
        options: the answers, one channel each.
    """

    name: str
    start: int
    options: tuple[object, ...]

    @property
    def stop(self) -> int:
        """The channel after the last."""
        return self.start + len(self.options)


class Layout:
    """Where each section of an encoding lies; a function of the settings."""

    def __init__(self, settings: Settings) -> None:
        self.sections: dict[str, Section] = {}
        for name, options in _questions(settings):
            self.sections[name] = Section(name, self.channels, tuple(options))
        self.place = {
            (name, option): section.start + number
            for name, section in self.sections.items()
            for number, option in enumerate(section.options)
        }
        self.rows = settings.most_bottleneck * settings.cap

    @property
    def channels(self) -> int:
        """Number of channels C."""
        return max((section.stop for section in self.sections.values()), default=0)


def _questions(settings: Settings) -> Iterator[tuple[str, Sequence[object]]]:
    """Yield each section's name and options; what cannot differ needs no section."""
    slots = range(settings.slots)
    yield "weight", ("mix", *(f"conv{slot}" for slot in slots))
    yield "first", (True,)
    yield "read", range(settings.memory)
    yield "written", range(settings.memory)
    asked: list[tuple[str, Sequence[object]]] = [
        ("block", range(settings.blocks)),
        ("bank", range(1, settings.cap + 1)),
        ("width", range(1, settings.cap + 1)),
        *((name, getattr(settings, name)) for name in FIELDS),
    ]
    for slot in slots:
        asked.append((f"layer{slot}", settings.layers))
        for axis in range(1 if settings.square else settings.axes):
            asked.append((f"kernel{slot}.{axis}", settings.kernels))
            asked.append((f"dilation{slot}.{axis}", settings.dilations(3)))
        asked.append((f"groups{slot}", settings.groupings))
    if settings.macro:
        asked += [("keep", KEEPS), ("shrink", SHRINKS)]
    yield from ((name, options) for name, options in asked if len(options) > 1)


@lru_cache(maxsize=16)
def layout_of(settings: Settings) -> Layout:
    """Return the layout of an encoding, made once for each settings."""
    return Layout(settings)


@dataclass(frozen=True)
class Map:
    """An encoded architecture.

    Attributes:
        values: what each slice's op is, 0 or 1, (C, S).
        rows: how many rows of each slice stand for output units, (S,); the others are 0.
        starts: first slice of each weight.
    """

    values: np.ndarray
    rows: np.ndarray
    starts: np.ndarray


class Encoding:
    """An architecture and its map.

    Args:
        settings: of the space.
        blocks: the architecture.
    """

    def __init__(self, settings: Settings, blocks: Sequence[Block]) -> None:
        self.settings = settings
        self.blocks = blocks

    @property
    def layout(self) -> Layout:
        """Where each section lies."""
        return layout_of(self.settings)

    @cached_property
    def ops(self) -> list[tuple[int, Op]]:
        """Block number and op, in the order in which ops run."""
        repeats = self.settings.repeats
        return [(b, op) for b, block in enumerate(self.blocks) for op in block.ops * repeats]

    def weights(self, slots: bool = False) -> list[tuple[int, str, int, int]]:
        """List the weights that a map covers: number of the op, name, slices and rows.

        Args:
            slots: also the convolutions, not only the 1×1 convolution ``mix``.
        """
        found = []
        step = self.settings.compression
        for number, (_, op) in enumerate(self.ops):
            found.append((number, "mix", -(-len(op.units) // step), op.middle))
            if slots:
                for slot, convolution in op.convolutions.items():
                    units = op.middle if slot % self.settings.longest == 0 else op.width
                    shared = step * convolution.groups
                    found.append((number, f"conv{slot}", -(-units // shared), op.width))
        return found

    def path(self, number: int, what: str) -> str:
        """Return where in the module a weight's layer lies, as a prefix of parameter names.

        Args:
            number: of the op, counted over all blocks.
            what: ``mix`` or ``conv0``, ``conv1``, …
        """
        block = self.ops[number][0]
        before = sum(len(b.ops) for b in self.blocks[:block]) * self.settings.repeats
        op = f"blocks.{block}.ops.{number - before}"
        if what == "mix":
            return f"{op}.mix."
        path, position = divmod(int(what.removeprefix("conv")), self.settings.longest)
        return f"{op}.paths.{path}.{position}."

    def layer(self, number: int, what: str) -> str:
        """Return the name, after its path, of the layer whose weight is generated."""
        if what == "mix":
            return "2"
        layer = self.ops[number][1].convolutions[int(what.removeprefix("conv"))].layer
        return "conv" if layer == "conv" else "point"

    def map(self, slots: bool = False) -> Map:
        """Return the map of the 1×1 convolutions, or with ``slots`` of all convolutions."""
        layout, step = self.layout, self.settings.compression
        place = layout.place
        table = np.zeros((layout.channels, len(self.ops)), np.float32)
        lit = [self._channels(b, op) for b, op in self.ops]
        owner = np.repeat(np.arange(len(lit)), [len(channels) for channels in lit])
        table[np.concatenate(lit), owner] = 1
        weights = self.weights(slots)
        numbers, names, slices, rows = zip(*weights, strict=True)
        counts = np.array(slices)
        values = np.repeat(table[:, numbers], counts, axis=1)
        starts = np.cumsum(counts) - counts
        values[
            np.repeat([place["weight", name] for name in names], counts), np.arange(values.shape[1])
        ] = 1
        values[place["first", True], starts] = 1
        mixed = [i for i, name in enumerate(names) if name == "mix"]
        units = [self.ops[numbers[i]][1].units for i in mixed]
        at = [starts[i] + np.arange(len(u)) // step for i, u in zip(mixed, units, strict=True)]
        read = place["read", 0]
        values[read + np.concatenate([np.array(u) for u in units]), np.concatenate(at)] = 1
        return Map(values, np.repeat(rows, counts), starts)

    def _channels(self, number: int, op: Op) -> list[int]:
        """Return the channels that are 1 in all slices of an op."""
        place, block = self.layout.place, self.blocks[number]
        answers: list[tuple[str, object]] = [
            ("block", number),
            ("bank", block.bank),
            ("width", op.width),
            ("structures", op.structure),
            ("nonlinearities", op.nonlinearity),
            ("orders", op.order),
            ("norms", op.norm),
            ("gates", op.gate),
            ("writes", op.write),
            ("attention", op.attention),
            ("keep", block.keep),
            ("shrink", block.shrink),
        ]
        for slot, convolution in op.convolutions.items():
            answers.append((f"layer{slot}", convolution.layer))
            for axis, (k, d) in enumerate(
                zip(convolution.kernel, convolution.dilation, strict=True)
            ):
                answers.append((f"kernel{slot}.{axis}", k))
                answers.append((f"dilation{slot}.{axis}", d))
            answers.append((f"groups{slot}", convolution.groups))
        found = [place[answer] for answer in answers if answer in place]
        written = place["written", 0]
        for bank in op.writes:
            first, size = bank_span(block.inputs, block.bank, bank)
            found.extend(range(written + first, written + first + size))
        return found


def decode(settings: Settings, values: np.ndarray) -> Architecture:
    """Return the choices of the architecture whose map of 1×1 convolutions has these values.

    Args:
        settings: of the space that made it.
        values: 0 or 1, (C, S), as in :class:`Map`.

    Raises:
        SpaceError: the values are no map of these settings.
    """
    chooser = _Read(settings, values)
    blocks = drawn(chooser, settings)
    again = Encoding(settings, blocks).map().values
    if not np.array_equal(again > 0.5, values > 0.5):
        raise SpaceError(f"the map of {_size(values)} contradicts itself; {_WAY_OUT}")
    return chooser.choices


_WAY_OUT = "give a map of the same settings"


def _size(values: np.ndarray) -> str:
    return " × ".join(map(str, values.shape))


class _Read(Chooser):
    """Answers the space's questions from a map."""

    def __init__(self, settings: Settings, values: np.ndarray) -> None:
        super().__init__()
        self.settings = settings
        layout = layout_of(settings)
        if values.ndim != 2 or len(values) != layout.channels:
            raise SpaceError(
                f"a map of {_size(values)}; expected {layout.channels} channels × slices: "
                f"{_WAY_OUT}"
            )
        self.sections = layout.sections
        self.values = values > 0.5
        starts = np.flatnonzero(self.values[self.sections["first"].start])
        self.spans: dict[int, list[slice]] = {b: [] for b in range(settings.blocks)}
        ends = [*starts, values.shape[1]][1:]
        for start, stop in zip(starts, ends, strict=True):
            block = self._answer("block", start) if settings.blocks > 1 else 0
            self.spans[block].append(slice(start, stop))
        if not all(self.spans.values()):
            raise SpaceError(f"the map of {_size(values)} has a block without ops; {_WAY_OUT}")

    def decide(self, decision: Decision) -> Value:
        value = self._read(decision)
        if not decision.admits(value):
            raise SpaceError(
                f"the map says that {decision.name} is {value}; expected {decision.expected()}: "
                f"{_WAY_OUT}"
            )
        return value

    def _read(self, decision: Decision) -> Value:
        if decision.kind == "one" and len(decision.options) == 1:
            return decision.options[0]  # such a question may have no section
        name, _, field = decision.name.partition(".")
        block = int(name.removeprefix("block"))
        if not field.startswith("op"):
            return self._answer(field, self.spans[block][0].start)
        op, _, field = field.partition(".")
        number = int(op.removeprefix("op"))
        span = self.spans[block][number]
        match field:
            case "more":
                return number + 1 < len(self.spans[block]) // self.settings.repeats
            case "reads":
                return self._banks(block, "read", span, decision.options)
            case "writes":
                return self._banks(block, "written", span, decision.options)
            case "opens":
                return self._opened(block, span)
        return self._answer(section_of(field), span.start)

    def _answer(self, section: str, column: int) -> Any:
        found = self.sections[section]
        lit = np.flatnonzero(self.values[found.start : found.stop, column])
        if len(lit) != 1:
            raise SpaceError(
                f"section {section!r} of the map has {len(lit)} answers in slice {column}; "
                f"expected one: {_WAY_OUT}"
            )
        return found.options[lit[0]]

    def _lit(self, section: str, start: int, stop: int) -> np.ndarray:
        """Return which units of memory any slice of a stretch lights in a section."""
        found = self.sections[section]
        return np.any(self.values[found.start : found.stop, start:stop], axis=1)

    def _banks(self, block: int, section: str, span: slice, banks: Iterable[Any]) -> list[Any]:
        """Return which of ``banks`` are lit in a section of units."""
        lit = self._lit(section, span.start, span.stop)
        inputs, size = self._inputs(block), self._chosen(f"block{block}.bank", 0)
        return [bank for bank in banks if lit[bank_span(inputs, size, bank)[0]]]

    def _opened(self, block: int, span: slice) -> int:
        """Return how many banks an op writes that held nothing."""
        new = self._lit("written", span.start, span.stop)
        new &= ~self._lit("written", self.spans[block][0].start, span.start)
        return int(new[self._inputs(block) :].sum()) // self._chosen(f"block{block}.bank", 0)

    def _inputs(self, block: int) -> int:
        keeps = [self._chosen(f"block{b}.keep", 0.5) for b in range(block)]
        return self.settings.inputs(block, keeps)

    def _chosen(self, name: str, default: Any) -> Any:
        return self.choices.get(name, default)


_SECTIONS = {
    "structure": "structures",
    "nonlinearity": "nonlinearities",
    "order": "orders",
    "norm": "norms",
    "gate": "gates",
    "write": "writes",
}


def section_of(field: str) -> str:
    """Return the section that answers a decision.

    >>> section_of("conv3.kernel1"), section_of("gate"), section_of("width")
    ('kernel3.1', 'gates', 'width')
    """
    if not field.startswith("conv"):
        return _SECTIONS.get(field, field)
    slot, _, what = field.removeprefix("conv").partition(".")
    if what in ("layer", "groups"):
        return f"{what}{slot}"
    axis = what[-1] if what[-1].isdigit() else "0"
    return f"{what.rstrip('0123456789')}{slot}.{axis}"
