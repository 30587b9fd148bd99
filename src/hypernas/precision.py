"""Number formats and memory layout of the networks."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return a context in which convolutions and products run in ``precision`` (fp32, bf16)."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
