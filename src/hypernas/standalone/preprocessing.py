"""The standalone file's ``preprocess``: from images, texts or rows to what the network reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from hypernas.standalone.literals import literal
from hypernas.standalone.wrapping import wrapped

Inputs = Literal["images", "words", "bytes", "numbers", "rows"]
"""what ``preprocess`` takes: images, texts cut into words or bytes, texts as numbers, or rows"""
Normalisation = tuple[Sequence[float], Sequence[float]]
"""mean and standard deviation of each channel, on the scale where black is 0 and white is 1"""

EXAMPLES = {
    "images": "torch.zeros(1, *INPUT_SHAPE, dtype=torch.uint8)",
    "words": '["a text"]',
    "bytes": '["a text"]',
    "numbers": "[[1, 2, 3]]",
    "rows": "[{}]",
}
"""what the file shows its use with"""


def preprocess(inputs: Inputs, normalisation: Normalisation | None, axes: int) -> str:
    """Return the source of the function.

    Args:
        inputs: what it takes.
        normalisation: of images.
        axes: of images (2) or volumes (3).
    """
    if inputs == "images":
        return _IMAGES.format(lines=_normalised(normalisation, axes))
    if inputs == "rows":
        return _ROWS
    return _TEXTS.format(cut=_CUT[inputs], numbers=_NUMBERS if inputs == "words" else "")


def _normalised(normalisation: Normalisation | None, axes: int) -> str:
    """Return the lines that normalise each channel of images, or volumes, of so many ``axes``."""
    if normalisation is None:
        return "    return images.float() / 255"
    mean, std = (literal([float(v) for v in values]) for values in normalisation)
    ones = ", 1" * axes
    lines = [
        f"    mean = torch.tensor({mean}, device=images.device).view(-1{ones})",
        f"    std = torch.tensor({std}, device=images.device).view(-1{ones})",
        "    return (images.float() / 255 - mean) / std",
    ]
    return "\n".join(short for line in lines for short in wrapped(line))


_IMAGES = '''def preprocess(images: torch.Tensor) -> torch.Tensor:
    """Turn uint8 images (n, *INPUT_SHAPE) into the floats that the network expects."""
{lines}
'''

_CUT = {
    "words": 'known = [numbers.get(w, 1) for w in re.findall(r"\\w+|[^\\w\\s]", text.lower())]',
    "bytes": "known = [byte + 1 for byte in text.encode()]",
    "numbers": "known = list(text)",
}
"""as :mod:`hypernas.data.vocabulary` cuts texts"""

_NUMBERS = """    about = Path(__file__).resolve().with_name("architecture.json").read_text("utf-8")
    words = json.loads(about)["vocabulary"]["words"]
    numbers = {word: number for number, word in enumerate(words, start=2)}
"""

_TEXTS = '''def preprocess(texts: list) -> torch.Tensor:
    """Turn texts into the integers (n, *INPUT_SHAPE) that the network expects, 0 at the end."""
{numbers}    rows = torch.zeros(len(texts), *INPUT_SHAPE, dtype=torch.int64)
    for row, text in zip(rows, texts):
        {cut}
        known = known[: len(row)]
        row[: len(known)] = torch.tensor(known, dtype=torch.int64)
    return rows
'''

_ROWS = '''def preprocess(rows: list) -> torch.Tensor:
    """Turn rows, dictionaries from column to cell, into the floats that the network expects."""
    about = Path(__file__).resolve().with_name("architecture.json").read_text("utf-8")
    made = []
    for row in rows:
        cells = []
        for column in json.loads(about)["columns"]["columns"]:
            cell = row.get(column["name"])
            if column["type"] == "categorical":
                cells += [float(str(cell) == name) for name in column["categories"]]
            else:
                empty = cell is None or cell == ""
                cells.append(0.0 if empty else (float(cell) - column["mean"]) / column["std"])
        made.append(cells)
    return torch.tensor(made)
'''
