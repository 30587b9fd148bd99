"""Points and curves as SVG, for the documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from hypernas.console import short

WIDTH, HEIGHT, MARGIN = 520, 380, 56
COLORS = ("#0072b2", "#8794a3", "#d55e00", "#009e73", "#cc79a7")
"""of curves, in their order; Okabe and Ito's"""


def scatter(path: Path, x: np.ndarray, y: np.ndarray, names: tuple[str, str]) -> None:
    """Write the points (x, y) with ticks on both axes; ``names`` are the axes' names."""
    places = _place(x, MARGIN, WIDTH - 20), _place(y, HEIGHT - MARGIN, 20)
    parts = _frame(places, {v: f"{v:g}" for v in _ticks(x)}, {v: f"{v:g}" for v in _ticks(y)})
    for a, b in zip(x, y, strict=True):
        parts.append(
            f'<circle cx="{places[0](a):.1f}" cy="{places[1](b):.1f}" r="4" fill="#2b6cb0" '
            'fill-opacity="0.7"/>'
        )
    path.write_text("\n".join([*parts, *_titles(names)]) + "\n")


def curves(
    path: Path, drawn: Mapping[str, tuple[np.ndarray, np.ndarray]], names: tuple[str, str]
) -> None:
    """Write curves (x, y) by their names, x logarithmic; of y what lies above its lower tenth."""
    every = np.concatenate([y for _, y in drawn.values()])
    low, high = float(np.quantile(every, 0.1)), float(every.max())
    x = np.log10(np.concatenate([x for x, _ in drawn.values()]))
    places = _place(x, MARGIN, WIDTH - 20), _place(np.array([low, high]), HEIGHT - MARGIN, 20)
    decades = range(int(np.floor(x.min())), int(np.ceil(x.max())) + 1)
    steps = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    shown = {float(np.log10(s)): short(int(s)) for s in steps if x.min() <= np.log10(s) <= x.max()}
    parts = _frame(places, shown, {v: f"{v:g}" for v in _ticks(np.array([low, high]))})
    parts.append(
        f'<clipPath id="inside"><rect x="{MARGIN}" y="20" width="{WIDTH - 20 - MARGIN}" '
        f'height="{HEIGHT - MARGIN - 20}"/></clipPath>'
    )
    for number, (name, (across, up)) in enumerate(drawn.items()):
        color = COLORS[number % len(COLORS)]
        points = zip(np.log10(across), up, strict=True)
        line = " ".join(f"{places[0](a):.1f},{places[1](b):.1f}" for a, b in points)
        top = 42 + 16 * number
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2" '
            'clip-path="url(#inside)"/>'
            f'<path d="M{MARGIN + 14} {top - 4}h22" stroke="{color}" stroke-width="3"/>'
            f'<text x="{MARGIN + 44}" y="{top}">{name}</text>'
        )
    path.write_text("\n".join([*parts, *_titles(names)]) + "\n")


Places = tuple[Callable[[float], float], Callable[[float], float]]


def _frame(places: Places, across: dict[float, str], up: dict[float, str]) -> list[str]:
    """Return the head of the picture and its grid, with a text at each line."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *_grid(places, across, up),
    ]


def _grid(places: Places, across: dict[float, str], up: dict[float, str]) -> Iterator[str]:
    for value, text in across.items():
        at = places[0](value)
        yield (
            f'<path d="M{at:.1f} 20V{HEIGHT - MARGIN}" stroke="#ddd"/>'
            f'<text x="{at:.1f}" y="{HEIGHT - MARGIN + 18}" text-anchor="middle">{text}</text>'
        )
    for value, text in up.items():
        at = places[1](value)
        yield (
            f'<path d="M{MARGIN} {at:.1f}H{WIDTH - 20}" stroke="#ddd"/>'
            f'<text x="{MARGIN - 6}" y="{at + 4:.1f}" text-anchor="end">{text}</text>'
        )


def _titles(names: tuple[str, str]) -> list[str]:
    """Return the axes' names and the end of the picture."""
    middle = (MARGIN + WIDTH - 20) / 2, (HEIGHT - MARGIN + 20) / 2
    return [
        f'<text x="{middle[0]}" y="{HEIGHT - 16}" text-anchor="middle">{names[0]}</text>'
        f'<text x="16" y="{middle[1]}" text-anchor="middle" '
        f'transform="rotate(-90 16 {middle[1]})">{names[1]}</text></svg>'
    ]


def _ticks(values: np.ndarray) -> list[float]:
    """Return round numbers within the values' range, about five."""
    low, high = float(values.min()), float(values.max())
    step = 10.0 ** np.floor(np.log10(max(high - low, 1e-9) / 2))
    step *= next(k for k in (1, 2, 5, 10) if (high - low) / (step * k) <= 6)
    return [float(v) for v in np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step]


def _place(values: np.ndarray, first: float, last: float) -> Callable[[float], float]:
    """Return the map from a value to its place between two pixels, with room at both ends."""
    low, high = float(values.min()), float(values.max())
    room = 0.05 * (high - low) or 1.0
    scale = (last - first) / (high - low + 2 * room)
    return lambda value: first + (value - low + room) * scale
