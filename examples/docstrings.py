"""Writes real texts with a topic each: what public functions of a few packages say of themselves.

Code examples are left out, and the packages' names blanked, or they would tell.

    python examples/docstrings.py docstrings.jsonl
    hypernas run docstrings.jsonl --space text
"""

import importlib
import inspect
import json
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

PACKAGES = {"numpy": "arrays", "scipy": "science", "sklearn": "learning"}
PACKAGES |= {"torch": "networks", "optuna": "studies"}
BLANKED = [*PACKAGES, "plotly.graph_objects", "pytorch"]
LEAST_WORDS = 12
MOST = 600  # texts of a package, in the order of their names


def modules(package: str) -> Iterator[object]:
    root = importlib.import_module(package)
    yield root
    for found in pkgutil.iter_modules(getattr(root, "__path__", ()), f"{package}."):
        if not found.name.rsplit(".", 1)[-1].startswith(("_", "test", "conftest")):
            try:
                yield importlib.import_module(found.name)
            except Exception:  # a module for another system, or with an extra that is not here
                continue


def texts(package: str) -> list[str]:
    own = package.split(".")[0]
    found: dict[str, str] = {}
    for module in modules(package):
        for name, item in inspect.getmembers(module):
            whose = str(getattr(item, "__module__", ""))
            if name.startswith("_") or not callable(item) or not whose.startswith(own):
                continue
            prose = re.split(r">>>|\.\. code|::\n|Examples?:?\n", inspect.getdoc(item) or "")[0]
            plain = " ".join(re.sub("|".join(BLANKED), " ", prose).split())
            if len(plain.split()) >= LEAST_WORDS:
                found.setdefault(plain, name)
    return sorted(found, key=lambda text: (found[text], text))[:MOST]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with Path(sys.argv[1] if sys.argv[1:] else "docstrings.jsonl").open(
        "w", encoding="utf-8"
    ) as file:
        for package, topic in PACKAGES.items():
            for text in texts(package):
                file.write(json.dumps({"text": text, "label": topic}) + "\n")
