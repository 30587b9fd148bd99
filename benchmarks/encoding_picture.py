"""Draw the encoding of a small memory-bank architecture, docs/encoding.svg."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hypernas.choices import Architecture, Replay
from hypernas.spaces import find
from hypernas.spaces.banks.architecture import Op, drawn
from hypernas.spaces.banks.encoding import Encoding, Map, Section
from hypernas.spaces.memory_bank import settings_of
from hypernas.tasks import Signature

OUT = Path(__file__).parent.parent / "docs" / "encoding.svg"
OPTIONS = {"blocks": 1, "depth": 4, "kernel": 3, "dilation": 1, "structures": ["1", "1+1"]}
CHOICES: Architecture = {
    "block0.bank": 2,
    "block0.op0.reads": [0, 1],
    "block0.op0.width": 4,
    "block0.op0.opens": 1,
    "block0.op0.writes": [1],
    "block0.op0.structure": "1",
    "block0.op0.conv0.groups": 1,
    "block0.op0.more": True,
    "block0.op1.reads": [2],
    "block0.op1.width": 2,
    "block0.op1.opens": 1,
    "block0.op1.writes": [],
    "block0.op1.structure": "1+1",
    "block0.op1.conv0.groups": 1,
    "block0.op1.conv1.groups": 4,
    "block0.op1.more": True,
    "block0.op2.reads": [0, 2, 3],
    "block0.op2.width": 2,
    "block0.op2.opens": 0,
    "block0.op2.writes": [0],
    "block0.op2.structure": "1",
    "block0.op2.conv0.groups": 2,
    "block0.op2.more": False,
}
LEFT, TOP, CELL, LINE, GAP = 210, 92, 72, 15, 7
"""pixels: margins, width of a slice, height of a channel, and between sections"""
COLOURS = ("#2b6cb0", "#b7791f", "#2f855a")
"""of the ops"""
NAMES = {
    "weight": "weight",
    "first": "first slice",
    "read": "unit read",
    "written": "unit written",
    "bank": "units a bank",
    "width": "units returned",
    "structures": "structure",
}


def main() -> None:
    """Write the picture."""
    data = Signature(input_shape=(3, 16, 16), outputs=10)
    settings = settings_of(find("memory-bank", OPTIONS).options, data)
    encoding = Encoding(settings, drawn(Replay(CHOICES), settings))
    OUT.write_text("\n".join(picture(encoding)) + "\n")
    print(
        f"wrote {OUT.name}: {encoding.layout.channels} channels × {len(encoding.map().rows)} slices"
    )


def picture(encoding: Encoding) -> Iterator[str]:
    """Yield the lines of an SVG."""
    code, sections = encoding.map(), list(encoding.layout.sections.values())
    slices = len(code.rows)
    owners = [number for number, _, count, _ in encoding.weights() for _ in range(count)]
    bottom = TOP + encoding.layout.channels * LINE + (len(sections) - 1) * GAP
    width, height = LEFT + slices * CELL + 24, bottom + 66
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="12">'
    )
    yield f'<rect width="{width}" height="{height}" fill="white"/>'
    for index, (number, _, count, _) in enumerate(encoding.weights()):
        yield from _heading(index, encoding.ops[number][1], int(code.starts[index]), count)
    yield _text(LEFT - 12, TOP - 20, "banks", "end", "#555")
    top = TOP
    for section in sections:
        yield from _section(section, code, owners, top)
        top += len(section.options) * LINE + GAP
    for slice_, rows in enumerate(code.rows):
        middle = LEFT + (slice_ + 0.5) * CELL
        yield _text(middle, bottom + 20, f"slice {slice_}", "middle")
        yield _text(middle, bottom + 38, f"0 to {rows - 1}", "middle", "#555")
    yield _text(LEFT - 12, bottom + 38, "rows (units of output)", "end", "#555")
    for start in [*code.starts, slices]:
        x = LEFT + start * CELL
        yield f'<path d="M{x} {TOP - 60}V{bottom + 44}" stroke="#333" stroke-width="1.5"/>'
    yield "</svg>"


def _heading(index: int, op: Op, start: int, count: int) -> Iterator[str]:
    """Yield an op's name and what it does, above its slices."""
    middle = LEFT + (start + count / 2) * CELL
    lines = [
        f"op {index}",
        f"reads {', '.join(map(str, op.reads))}",
        f"writes {', '.join(map(str, op.writes))}",
    ]
    for number, line in enumerate(lines):
        weight = "bold" if number == 0 else "normal"
        yield _text(middle, TOP - 46 + 17 * number, line, "middle", COLOURS[index], weight)


def _section(section: Section, code: Map, owners: list[int], top: int) -> Iterator[str]:
    """Yield a section's name, its options, and a cell for each channel and slice."""
    middle = top + len(section.options) * LINE / 2 + 4
    yield _text(LEFT - 70, middle, NAMES.get(section.name, _spaced(section.name)), "end")
    for line, option in enumerate(section.options):
        y = top + line * LINE
        yield _text(LEFT - 8, y + 12, "" if option is True else str(option), "end", "#555")
        for slice_, owner in enumerate(owners):
            lit = code.values[section.start + line, slice_]
            fill = COLOURS[owner] if lit else "#f3f3f3"
            x = LEFT + slice_ * CELL
            size = f'width="{CELL - 2}" height="{LINE - 2}"'
            yield f'<rect x="{x + 1}" y="{y + 1}" {size} fill="{fill}"/>'


def _spaced(name: str) -> str:
    """Return a section's name with its convolution's number apart."""
    return f"{name.rstrip('0123456789')} of conv{name.lstrip('abcdefghijklmnopqrstuvwxyz')}"


def _text(
    x: float, y: float, text: str, anchor: str, colour: str = "#111", weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}" '
        f'font-weight="{weight}">{text}</text>'
    )


if __name__ == "__main__":
    main()
