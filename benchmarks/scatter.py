"""A scatter plot as SVG, for the documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np

WIDTH, HEIGHT, MARGIN = 520, 380, 56


def scatter(path: Path, x: np.ndarray, y: np.ndarray, names: tuple[str, str]) -> None:
    """Write the points (x, y) with ticks on both axes; ``names`` are the axes' names."""
    places = _place(x, MARGIN, WIDTH - 20), _place(y, HEIGHT - MARGIN, 20)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for value in _ticks(x):
        at = places[0](value)
        parts.append(
            f'<path d="M{at:.1f} 20V{HEIGHT - MARGIN}" stroke="#ddd"/>'
            f'<text x="{at:.1f}" y="{HEIGHT - MARGIN + 18}" text-anchor="middle">{value:g}</text>'
        )
    for value in _ticks(y):
        at = places[1](value)
        parts.append(
            f'<path d="M{MARGIN} {at:.1f}H{WIDTH - 20}" stroke="#ddd"/>'
            f'<text x="{MARGIN - 6}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for a, b in zip(x, y, strict=True):
        parts.append(
            f'<circle cx="{places[0](a):.1f}" cy="{places[1](b):.1f}" r="4" fill="#2b6cb0" '
            'fill-opacity="0.7"/>'
        )
    middle = (MARGIN + WIDTH - 20) / 2, (HEIGHT - MARGIN + 20) / 2
    parts.append(
        f'<text x="{middle[0]}" y="{HEIGHT - 16}" text-anchor="middle">{names[0]}</text>'
        f'<text x="16" y="{middle[1]}" text-anchor="middle" '
        f'transform="rotate(-90 16 {middle[1]})">{names[1]}</text></svg>'
    )
    path.write_text("\n".join(parts) + "\n")


def _ticks(values: np.ndarray) -> list[float]:
    """Return round numbers within the values' range, about five."""
    low, high = float(values.min()), float(values.max())
    step = 10.0 ** np.floor(np.log10(max(high - low, 1e-9) / 2))
    step *= next(k for k in (1, 2, 5, 10) if (high - low) / (step * k) <= 6)
    return [float(v) for v in np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step]


def _place(values: np.ndarray, first: float, last: float):
    """Return the map from a value to its place between two pixels, with room at both ends."""
    low, high = float(values.min()), float(values.max())
    room = 0.05 * (high - low) or 1.0
    scale = (last - first) / (high - low + 2 * room)
    return lambda value: first + (value - low + room) * scale
