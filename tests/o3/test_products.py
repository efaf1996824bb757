"""The products whose paths follow from the representations, against e3nn's; and the lecture's numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from e3nn import o3 as oracle
from torch import Tensor

from intertwine.numerics import InputError
from intertwine.o3 import products
from intertwine.o3.products import (
    ElementwiseTensorProduct,
    FullTensorProduct,
    FullyConnectedTensorProduct,
    TensorSquare,
)

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("FullyConnectedTensorProduct", ("4x0e+3x1o+2x2e", "0e+1o+2e", "5x0e+2x1o+1e+2x2e"), {}),
    (
        "FullyConnectedTensorProduct",
        ("2x0e+2x1o", "3x0e+4x1o", "0e+1o"),
        {"irrep_normalization": "norm", "path_normalization": "path"},
    ),
    ("FullyConnectedTensorProduct", ("6x0e", "0e+1o+2e", "6x0e+6x1o+6x2e"), {}),
    ("FullyConnectedTensorProduct", ("1o+2x0e", "8x1o+8x0e", "4x0e+1o"), {"shared_weights": False}),
    ("FullyConnectedTensorProduct", ("0e+1e", [], "0e+1e"), {}),
    ("ElementwiseTensorProduct", ("5x0e+4x1o", "3x1o+6x0e"), {}),
    ("ElementwiseTensorProduct", ("5x1o+5x1e", "10x1e", ["0e", "0o"]), {"irrep_normalization": "norm"}),
    ("ElementwiseTensorProduct", ("3x0e+2x2e", "5x0e"), {}),
    ("ElementwiseTensorProduct", ("0x0e+2x1o", "2x1o"), {}),
    ("FullTensorProduct", ("2x0e+3x1o", "2x1o+2e"), {}),
    ("FullTensorProduct", ("1o", "1e", ["1o"]), {"irrep_normalization": "none"}),
    ("TensorSquare", ("3x0e+2x1o+2e",), {}),
    ("TensorSquare", ("3x0e+2x1o+2e",), {"irrep_normalization": "norm"}),
    ("TensorSquare", ("3x1o",), {"filter_ir_out": ["0e", "2e"], "irrep_normalization": "none"}),
    ("TensorSquare", ("3x0e+2x1o+2e", "2x0e+3x1o+2e+1e"), {}),
    ("TensorSquare", ("1o", "2x0e+2e"), {"irrep_normalization": "norm"}),
]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.usefixtures("oracle_in_double")
@pytest.mark.parametrize(("name", "given", "options"), CASES)
def test_paths_values_and_gradients_are_those_of_e3nn(
    name: str, given: tuple[Any, ...], options: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    theirs = getattr(oracle, name)(*given, **options)
    torch.manual_seed(0)
    ours = getattr(products, name)(*given, **options)
    assert repr(ours) == repr(theirs)
    assert str(ours.irreps_out) == str(theirs.irreps_out)
    for mine, other in zip(ours.instructions, theirs.instructions, strict=True):
        assert (mine[:5], mine[6]) == (other[:5], other[6])
        assert mine[5] == pytest.approx(other[5], rel=1e-14)
    ours.load_state_dict(theirs.state_dict())
    sizes = [theirs.irreps_in1.dim] if name == "TensorSquare" else [theirs.irreps_in1.dim, theirs.irreps_in2.dim]
    inputs = [random(6, size, seed=n) for n, size in enumerate(sizes)]
    inputs += [random(6, theirs.weight_numel, seed=5)] if options.get("shared_weights") is False else []
    results = []
    for module in (theirs, ours):
        leaves = [x.clone().requires_grad_() for x in inputs]
        z = module(*leaves)
        parameters = list(module.parameters())
        if z.requires_grad:
            cotangent = random(*z.shape, seed=9)
            results.append([z.detach(), *torch.autograd.grad(z, leaves + parameters, cotangent, allow_unused=True)])
        else:
            results.append([z])
    for mine, other in zip(results[1], results[0]):
        assert (mine is None) == (other is None)
        if other is not None and other.numel():
            assert (mine - other).abs().max() < 1e-12 * max(1.0, float(other.abs().max()))


def test_the_product_of_a_vector_and_a_pseudovector_of_the_lecture() -> None:
    """1o x 1e = 0o + 1o + 2o: the scalar product, the cross product, the rest; with unit variance."""
    product = FullTensorProduct("1o", "1e", dtype=torch.float64)
    x, y = random(4, 3), random(4, 3, seed=1)
    z = product(x, y)
    assert str(product.irreps_out) == "1x0o+1x1o+1x2o"
    assert torch.allclose(z[:, 0], (x * y).sum(-1) / 3**0.5, atol=1e-14, rtol=0)
    assert torch.allclose(z[:, 1:4], torch.linalg.cross(x, y) / 2**0.5, atol=1e-14, rtol=0)
    symmetric = (x[:, :, None] * y[:, None] + y[:, :, None] * x[:, None]) / 2
    traceless = symmetric - (x * y).sum(-1)[:, None, None] * torch.eye(3, dtype=torch.float64) / 3
    assert torch.allclose(z[:, 4:].square().sum(-1), traceless.square().sum((-1, -2)), atol=1e-13, rtol=0)


def test_the_square_of_a_vector() -> None:
    """x^2 and the symmetric traceless part, each component of second moment 1 if those of x are normal."""
    square = TensorSquare("1o", dtype=torch.float64)
    x = random(5, 3)
    z = square(x)
    assert torch.allclose(z[:, 0], x.square().sum(-1) / 15**0.5, atol=1e-14, rtol=0)
    assert torch.allclose(z[:, 1:].square().sum(-1), x.square().sum(-1) ** 2 / 3, atol=1e-12, rtol=0)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="2 irreps and"):
        ElementwiseTensorProduct("2x0e", "3x0e")
    with pytest.raises(InputError, match="both irreps_out and filter_ir_out"):
        TensorSquare("1o", "0e", filter_ir_out=["0e"])
    with pytest.raises(InputError, match="unknown normalisation"):
        TensorSquare("1o", irrep_normalization="norms")
    with pytest.raises(InputError, match="7z"):
        FullTensorProduct("1o", "1o", filter_ir_out=["7z"])
    with pytest.raises(InputError):
        FullyConnectedTensorProduct("1o", "1o", "0f")


def test_layout_and_dtype_pass_through() -> None:
    module = FullyConnectedTensorProduct("2x1o", "1o", "3x0e", layout="ir_mul", dtype=torch.float64)
    assert module.layout == "ir_mul"
    assert module.weight.dtype == torch.float64
    outer = FullyConnectedTensorProduct("2x1o", "1o", "3x0e", dtype=torch.float64)
    outer.load_state_dict(module.state_dict())
    x, y = random(4, 3, 2), random(4, 3, seed=1)
    assert torch.allclose(module(x.flatten(1), y), outer(x.transpose(1, 2).flatten(1), y), atol=1e-13, rtol=0)


def test_a_filter_may_be_a_string() -> None:
    assert str(FullTensorProduct("1o", "1o", filter_ir_out="0e + 2e").irreps_out) == "1x0e+1x2e"
