"""Hypernetworks: modules from candidates to weights, chosen by name."""

from hypernas.hypernets.hypernet import Hypernet, Weights, check, known, make

__all__ = ["Hypernet", "Weights", "check", "known", "make"]
