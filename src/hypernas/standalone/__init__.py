"""A network as one file of plain PyTorch, for people who want it without this library."""

from hypernas.standalone.template import Normalisation, source_of

__all__ = ["Normalisation", "source_of"]
