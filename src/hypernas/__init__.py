"""hypernas: architecture search with hypernetworks.

>>> import hypernas
>>> run = hypernas.run("fashion-mnist", space="cell", max_params=200_000)  # doctest: +SKIP
>>> run.best.module  # a plain torch.nn.Module, trained                     # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hypernas.api import open_run as open_run
    from hypernas.api import run as run
    from hypernas.choices import Chooser as Chooser
    from hypernas.errors import ConfigError as ConfigError
    from hypernas.errors import DataError as DataError
    from hypernas.errors import GraphError as GraphError
    from hypernas.errors import HypernasError as HypernasError
    from hypernas.errors import RunError as RunError
    from hypernas.errors import SpaceError as SpaceError
    from hypernas.initialising import initialise as initialise
    from hypernas.placing import place as place
    from hypernas.reading import graph_of as graph_of
    from hypernas.results import Limits as Limits
    from hypernas.runs import Run as Run
    from hypernas.tasks import Signature as Signature

_WHERE = {
    "Chooser": "choices",
    "ConfigError": "errors",
    "DataError": "errors",
    "GraphError": "errors",
    "HypernasError": "errors",
    "Limits": "results",
    "Run": "runs",
    "RunError": "errors",
    "Signature": "tasks",
    "SpaceError": "errors",
    "graph_of": "reading",
    "initialise": "initialising",
    "open_run": "api",
    "place": "placing",
    "run": "api",
}

__all__ = sorted(_WHERE)  # they load on first use: `import hypernas` stays fast


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'hypernas' has no attribute {name!r}")
    value = getattr(import_module(f"hypernas.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
