"""Hollow parameters; layers made by copying are what their constructors would make."""

from __future__ import annotations

import gc
import threading

import pytest
import torch
from torch import nn

from hypernas.hollow import COPIED, hollow_parameters


def test_registration_is_restored_also_after_an_error() -> None:
    register = nn.Module.register_parameter
    with hollow_parameters():
        assert nn.Linear(2, 2).weight.is_meta
        with hollow_parameters():
            assert nn.Linear(2, 2).weight.is_meta
        assert nn.Linear(2, 2).weight.is_meta, "the outer block is still on"
    assert nn.Module.register_parameter is register
    with pytest.raises(ZeroDivisionError), hollow_parameters():
        _ = 1 / 0
    assert nn.Module.register_parameter is register
    assert not nn.Linear(2, 2).weight.is_meta


def test_the_lock_is_free_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), hollow_parameters():
        _ = 1 / 0
    done = threading.Event()

    def other() -> None:
        with hollow_parameters():
            done.set()

    threading.Thread(target=other, daemon=True).start()
    assert done.wait(5)


def test_hollow_parameters_keep_what_they_are() -> None:
    with hollow_parameters():
        layer = nn.Linear(2, 3, dtype=torch.float64)
        frozen = nn.Module()
        frozen.weight = nn.Parameter(torch.ones(2), requires_grad=False)
        frozen.none = nn.Parameter(torch.ones(2))
        frozen.none = None
        frozen.same = layer.weight
    assert (layer.weight.dtype, layer.weight.shape) == (torch.float64, (3, 2))
    assert not frozen.weight.requires_grad
    assert frozen.none is None
    assert frozen.same is layer.weight


ARGUMENTS = {nn.BatchNorm1d: (4,), nn.BatchNorm2d: (4,), nn.BatchNorm3d: (4,), nn.Linear: (4, 3)}
ARGUMENTS |= {nn.ReLU: (), nn.Identity: (), nn.AvgPool2d: (2,), nn.MaxPool2d: (2,)}


@pytest.mark.parametrize("kind", COPIED)
def test_a_copied_layer_is_what_the_constructor_makes(kind: type[nn.Module]) -> None:
    arguments = ARGUMENTS.get(kind, (4, 2, 3))
    plain = kind(*arguments)
    with hollow_parameters():
        first, second = kind(*arguments), kind(*arguments)
    assert type(second) is kind
    assert repr(second) == repr(plain)
    assert second.__dict__.keys() == plain.__dict__.keys()
    for name, parameter in plain.named_parameters():
        copy = second.get_parameter(name)
        assert copy.is_meta
        assert copy.shape == parameter.shape
        assert copy.requires_grad
        assert copy is not first.get_parameter(name)
    for name, buffer in plain.named_buffers():
        assert torch.equal(second.get_buffer(name), buffer)
        assert second.get_buffer(name).data_ptr() != first.get_buffer(name).data_ptr()
    first.register_forward_hook(lambda *_: None)
    first.eval()
    assert not second._forward_hooks
    assert second.training


def test_copies_follow_the_default_type_and_tell_arguments_apart() -> None:
    with hollow_parameters():
        single = nn.Linear(4, 3)
        torch.set_default_dtype(torch.float64)
        try:
            double = nn.Linear(4, 3)
        finally:
            torch.set_default_dtype(torch.float32)
        assert (single.weight.dtype, double.weight.dtype) == (torch.float32, torch.float64)
        assert nn.Linear(4, 3, bias=False).bias is None
        assert nn.AvgPool2d(2).kernel_size == 2
        assert nn.AvgPool2d([2, 2]).kernel_size == [2, 2], "what cannot be looked up is constructed"


def test_wrong_arguments_fail_as_they_do_elsewhere() -> None:
    with hollow_parameters(), pytest.raises(TypeError, match="required positional"):
        nn.Linear(4)
    with hollow_parameters(), pytest.raises(ValueError, match="divisible"):
        nn.Conv2d(3, 4, 1, groups=2)


def test_a_subclass_is_constructed() -> None:
    class Marked(nn.Linear):
        def reset_parameters(self) -> None:
            self.mark = True

    with hollow_parameters():
        assert Marked(2, 2).mark
        assert Marked(2, 2).weight.is_meta


def test_the_collector_is_on_again() -> None:
    with hollow_parameters():
        assert not gc.isenabled()
    assert gc.isenabled()
