"""e3nn's small helpers that programs import: generated functions, default types, the fixture of precisions."""

from __future__ import annotations

import io
import pickle

import pytest
import torch
from switches import as_users_run_it, default_precision
from torch import fx, nn

from intertwine.e3nn import fixtures
from intertwine.e3nn.codegen import CodeGenMixin
from intertwine.e3nn.defaults import (
    explicit_default_types,
    torch_get_default_device,
    torch_get_default_tensor_type,
)
from intertwine.e3nn.testing import FLOAT_TOLERANCE
from intertwine.numerics import CheckpointError


class Squared(CodeGenMixin, nn.Module):
    """A program's module that makes its function."""

    def __init__(self) -> None:
        super().__init__()
        self._codegen_register({"square": fx.symbolic_trace(lambda x: x * x)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.square(x)


def test_generated_functions_are_submodules() -> None:
    module, x = Squared(), torch.arange(3.0)
    assert isinstance(module.square, fx.GraphModule)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), x * x)
    for wrong in (nn.Linear(1, 1), len, None):
        with as_users_run_it(), pytest.raises(AssertionError, match=r"not a torch\.fx\.GraphModule"):
            module._codegen_register({"wrong": wrong})  # type: ignore[dict-item]


def test_functions_kept_by_e3nn_are_read() -> None:
    kept = io.BytesIO()
    torch.jit.save(torch.jit.trace(Squared(), torch.arange(3.0)), kept)
    state = Squared().__dict__ | {"_modules": {}}
    for functions in ({"square": kept.getvalue()}, {"square": ("torchscript", kept.getvalue())}):
        module = Squared.__new__(Squared)
        module.__setstate__(state | {"__codegen__": functions, "_modules": {}})
        assert torch.equal(module(torch.arange(3.0)), torch.arange(3.0).square())
    with pytest.raises(CheckpointError, match="square was pickled as a graph"):
        Squared.__new__(Squared).__setstate__(state | {"__codegen__": {"square": ("fx", b"")}, "_modules": {}})


@pytest.mark.parametrize(
    ("dtype", "name"), [(torch.float32, "torch.FloatTensor"), (torch.float64, "torch.DoubleTensor")]
)
def test_default_types(dtype: torch.dtype, name: str) -> None:
    with default_precision(dtype):
        assert torch_get_default_tensor_type() == name
        assert torch_get_default_device() == torch.device("cpu")
        assert explicit_default_types(None, None) == (dtype, torch.device("cpu"))
        assert explicit_default_types(torch.float16, "meta") == (torch.float16, "meta")


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_the_fixture_sets_the_precision_and_sets_it_back(name: str, request: pytest.FixtureRequest) -> None:
    request.param = name  # as pytest gives it to a fixture with parameters
    steps = fixtures.float_tolerance.__wrapped__(request)
    assert next(steps) == FLOAT_TOLERANCE[getattr(torch, name)]
    assert torch.empty(0).dtype == getattr(torch, name)
    assert next(steps, None) is None
    assert torch.empty(0).dtype == torch.float32
