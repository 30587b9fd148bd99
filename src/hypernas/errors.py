"""The errors that a user can cause, one root and a few children.

A message says what was given, what was expected, where, and one way out, on one line: the command
line prints it as it is and exits with status 2.
"""

from __future__ import annotations


class HypernasError(Exception):
    """Root of every error that is the input's fault, not the program's."""


class SpaceError(HypernasError):
    """A search space, its options or an architecture's choices are not usable."""


class GraphError(HypernasError):
    """A module cannot be read as a computation graph, or its shapes do not fit."""


class DataError(HypernasError):
    """Images or labels are missing, damaged or inconsistent."""


class ConfigError(HypernasError):
    """An option has a value that cannot work, alone or with the others."""


class RunError(HypernasError):
    """A run folder is missing, damaged, or was made by something else."""
