"""Every class of e3nn's that can be traced, and the ways to do so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import intertwine.e3nn
from intertwine.e3nn.sortcut import Sortcut
from intertwine.e3nn.tracing import Method, methods

jit, o3, nn = intertwine.e3nn.util.jit, intertwine.e3nn.o3, intertwine.e3nn.nn
_PATHS = [(0, 1, 0, "uvu", True), (1, 0, 0, "uvu", True), (1, 1, 1, "uvu", True)]
_PRODUCT = ("8x0e+8x1o", "0e+1o", "8x1o+8x0e", _PATHS)
_ARRAYS = {"biases": True, "f_in": 3, "f_out": 2}

CASES: dict[str, Callable[[], Any]] = {
    "TensorProduct": lambda: o3.TensorProduct(*_PRODUCT),
    "TensorProduct-own": lambda: o3.TensorProduct(*_PRODUCT, shared_weights=False, internal_weights=False),
    "TensorProduct-given": lambda: o3.TensorProduct(*_PRODUCT, internal_weights=False),
    "FullyConnectedTensorProduct": lambda: o3.FullyConnectedTensorProduct("8x0e+8x1o", "0e+1o", "8x1o+8x0e"),
    "ElementwiseTensorProduct": lambda: o3.ElementwiseTensorProduct("8x0e+8x1o+4x2e", "8x0e+8x1o+4x1o"),
    "FullTensorProduct": lambda: o3.FullTensorProduct("2x0e+3x1o", "0e+1o"),
    "FullTensorProduct-wide": lambda: o3.FullTensorProduct("8x0e+8x1o+8x2e", "0e+1o"),
    "FullTensorProductv2": lambda: o3.FullTensorProductv2("2x0e+3x1o", "0e+1o"),
    "ElementwiseTensorProductv2": lambda: o3.experimental.ElementwiseTensorProductv2("2x0e+3x1o", "2x1o+3x1e"),
    "TensorSquare": lambda: o3.TensorSquare("2x0e+3x1o"),
    "Linear": lambda: o3.Linear("8x0e+4x1o", "2x0e+3x1o", biases=True),
    "Linear-f": lambda: o3.Linear("8x0e+4x1o", "2x0e+3x1o", **_ARRAYS),
    "Linear-own": lambda: o3.Linear("8x0e+4x1o", "2x0e+3x1o", shared_weights=False),
    "Linear-given": lambda: o3.Linear("8x0e+4x1o", "2x0e+3x1o", internal_weights=False, biases=True),
    "Linear-f-own": lambda: o3.Linear("8x0e+4x1o", "2x0e+3x1o", shared_weights=False, **_ARRAYS),
    "Norm": lambda: o3.Norm("8x0e+4x1o"),
    "SphericalHarmonics": lambda: o3.SphericalHarmonics("0e+1o+2e+3o", True),
    "SphericalHarmonics-high": lambda: o3.SphericalHarmonics([7, 2, 9], True, "component"),
    "SphericalHarmonicsAlphaBeta": lambda: o3.SphericalHarmonicsAlphaBeta([0, 1, 2], "norm"),
    "Legendre": lambda: o3.Legendre([0, 1, 2]),
    "ReducedTensorProducts": lambda: o3.ReducedTensorProducts("ij=ji", i="1o+0e"),
    "ReducedTensorProducts-three": lambda: o3.ReducedTensorProducts("ijk=-jik", i="1o", k="0e+1o"),
    "CartesianTensor": lambda: intertwine.e3nn.io.CartesianTensor("ij=-ji").reduced_tensor_products(),
    "ToS2Grid": lambda: o3.ToS2Grid(3, (8, 9)),
    "ToS2Grid-large": lambda: o3.ToS2Grid(8, (40, 41)),
    "FromS2Grid": lambda: o3.FromS2Grid((8, 9), 3),
    "FromS2Grid-large": lambda: o3.FromS2Grid((40, 41), 8),
    "SO3Grid": lambda: o3.SO3Grid(2, 3),
    "Activation": lambda: nn.Activation("4x0e+2x0o", [torch.relu, torch.tanh]),
    "BatchNorm": lambda: nn.BatchNorm("4x0e+2x1o"),
    "BatchNorm-instance": lambda: nn.BatchNorm("4x0e+2x1o", instance=True),
    "BatchNorm-max": lambda: nn.BatchNorm("4x0e+2x1o", reduce="max", affine=False),
    "Dropout": lambda: nn.Dropout("4x0e+2x1o", 0.5),
    "Extract": lambda: nn.Extract("1e+0e+0e", ["0e", "0e"], [(1,), (2,)]),
    "ExtractIr": lambda: nn.ExtractIr("1e+0e+0e", "0e"),
    "FullyConnectedNet": lambda: nn.FullyConnectedNet([3, 8, 2], torch.relu),
    "Gate": lambda: nn.Gate("16x0o", [torch.tanh], "32x0o", [torch.tanh], "16x1e+16x1o"),
    "Identity": lambda: nn.Identity("2x0e", "2x0e"),
    "NormActivation": lambda: nn.NormActivation("4x0e+2x1o", torch.relu, bias=True),
    "S2Activation": lambda: nn.S2Activation("0e+1o+2e", torch.tanh, 20),
    "SO3Activation": lambda: nn.SO3Activation(2, 1, torch.tanh, 4),
    "normalize2mom": lambda: intertwine.e3nn.math.normalize2mom(torch.tanh),
    "Sortcut": lambda: Sortcut("2x0e", "3x1o"),
}
WAYS: dict[str, Callable[[Any, dict[str, Method]], Any]] = {
    "compile": lambda module, _: jit.compile(module),
    "script": lambda module, _: jit.script(module),
    "trace": lambda module, found: jit.trace(module, found["forward"].inputs),
    "trace_module": lambda module, found: jit.trace_module(
        module, {name: method.inputs for name, method in found.items()}
    ),
}
AXES = [(), (1,), (7,), (2, 5), (2, 3, 4), (0,), (0, 3), (3, 0)]


def built(case: str, dtype: torch.dtype) -> Any:
    """The module, in a precision."""
    torch.manual_seed(0)
    return CASES[case]().to(dtype)


def calls(module: Any, dtype: torch.dtype) -> Iterator[tuple[str, tuple[int, ...], list[Tensor]]]:
    """Methods, leading axes, and random arguments with them."""
    for name, method in methods(module).items():
        for axes in AXES:
            apart = len(method.sizes) - method.shared
            shapes = [(*axes, *sizes) if k < apart else sizes for k, sizes in enumerate(method.sizes)]
            yield name, axes, [torch.randn(shape, dtype=dtype) for shape in shapes]
