"""Writes docs/coverage.md: which families of networks can be written, and what is left.

python tests/coverage_table.py
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from families import OWN, hugging_face
from torch import nn

from hypernas.initialising import Initialised, initialise

PAGE = Path(__file__).parent.parent / "docs" / "coverage.md"
HEAD = """# Which networks can be written

What `hypernas.initialise(module, "ghn", example)` does with small networks of many families: the
share of the parameters that is written, what is left as it was and why, and how the network is
read ([any-module.md](any-module.md)). A test makes this table and compares it with this page;
`python tests/coverage_table.py` writes it anew.
"""
COLUMNS = (
    "| family | parameters | written | left, and why | read by |\n| --- | --- | --- | --- | --- |"
)


def row(family: str, made: Initialised) -> str:
    """Return the line of a family."""
    reasons: dict[str, list[str]] = {}
    for name, reason in made.left.items():
        reasons.setdefault(reason, []).append(f"`{name}`")
    left = "; ".join(
        f"{', '.join(names[:2])}{f' and {len(names) - 2} more' if len(names) > 2 else ''}: {reason}"
        for reason, names in reasons.items()
    )
    way = "`torch.fx`" if made.reader == "torch.fx" else "a run"
    return f"| {family} | {made.values:,} | {made.share:.1%} | {left or '–'} | {way} |"


def written(make: Any, example: Any) -> Initialised:
    """Return how a family's network is initialised."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the older weight and spectral norms
        module: nn.Module = make()
    return initialise(module, "ghn", example)


def own() -> list[str]:
    """Return the lines of our own families."""
    return [row(family, written(*given)) for family, given in OWN.items()]


def title() -> str:
    """Return the words above the table of others, with the version of ``transformers``."""
    import transformers

    return (
        f"Models of `transformers` {transformers.__version__}, with tiny random configurations:\n"
    )


def of_others() -> list[str]:
    """Return the lines of the models of ``transformers``."""
    return [
        row(f"{name} (`{kind}`)", written(lambda name=name: hugging_face.made(name), example))
        for name, (kind, _, example) in hugging_face.MODELS.items()
    ]


if __name__ == "__main__":
    parts = (HEAD, "Plain networks, written for this purpose:\n", COLUMNS, *own(), "")
    more = (title(), COLUMNS, *of_others())
    PAGE.write_text("\n".join((*parts, *more)) + "\n", encoding="utf-8")
