"""Reduced tensor products: e3nn's basis number for number, equivariance, symmetry, and everything that a module must
survive.
"""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from e3nn import o3 as e3nn_o3
from switches import as_users_run_it

from intertwine.groups.index_symmetry import germinate_formulas
from intertwine.groups.permutations import inverse
from intertwine.numerics import InputError
from intertwine.o3.irreps import Irreps
from intertwine.o3.reduce import ReducedTensorProducts

CASES: list[tuple[str, dict[str, Any]]] = [
    ("i", {"i": "1o+0e+1o"}),
    ("ij", {"i": "1o", "j": "2e+0e"}),
    ("ij", {"i": "2x0e+1o", "j": "0e+1o"}),
    ("ij=ji", {"i": "1o"}),
    ("ij=ji", {"i": "1e"}),
    ("ij=ji", {"i": "2e"}),
    ("ij=ji", {"i": "1o+0e+1o"}),
    ("ij=ji", {"i": "2x0e+2x1o"}),
    ("ij=-ji", {"i": "1o"}),
    ("ij=-ji", {"i": "5x0e+1e"}),
    ("ij=-ji", {"i": "0e+1o+2e"}),
    ("ijk=jki", {"i": "0e+1o"}),
    ("ijk=-jik", {"i": "1o+0e", "k": "2e+1o+0e+1o"}),
    ("ijk=jik=ikj", {"i": "1o"}),
    ("ijk=jik=ikj", {"i": "0e+1o"}),
    ("ijk=jik=ikj", {"i": "1o+2e"}),
    ("ijk=-jik=-ikj", {"i": "2e"}),
    ("ijkl=jikl=klij", {"i": "1o"}),
    ("ijkl=-jikl=klij", {"i": "1o"}),
    ("ijkl=jikl=ikjl=ijlk", {"i": "1e"}),
    ("ijk=jik=ikj", {"i": "0e+1o+2e", "filter_ir_mid": ["0e", "1o"]}),
    ("ijk=jik=ikj", {"i": "1o+2e", "filter_ir_out": ["0e", "1o"], "filter_ir_mid": ["0e", "1o", "2e"]}),
    ("ijkl=jikl=klij", {"i": "1o", "filter_ir_out": ["2e"]}),
]


def vectors(module: ReducedTensorProducts, *batch: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*batch, irreps.dim, dtype=dtype, generator=generator) for irreps in module.irreps_in]


def rotation(seed: int = 0) -> torch.Tensor:
    q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))
    return -q  # improper or proper, as the seed has it


@pytest.mark.parametrize(("formula", "options"), CASES)
@pytest.mark.usefixtures("oracle_in_double")
def test_oracle(formula: str, options: dict[str, Any]):
    """The same irreps and the same change of basis, also where a multiplicity leaves a choice; values and gradients."""
    ours, theirs = ReducedTensorProducts(formula, **options), e3nn_o3.ReducedTensorProducts(formula, **options)
    assert str(ours.irreps_out) == str(theirs.irreps_out)
    assert [str(irreps) for irreps in ours.irreps_in] == [str(irreps) for irreps in theirs.irreps_in]
    torch.testing.assert_close(ours.change_of_basis, theirs.change_of_basis, atol=1e-13, rtol=0)
    xs = [x.requires_grad_() for x in vectors(ours, 4)]
    ours.load_state_dict(theirs.state_dict())
    results = []
    for module in (ours, theirs):
        y = module(*xs)
        results.append([y, *torch.autograd.grad((y**2).sum(), xs)])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-12)


@pytest.mark.parametrize(("formula", "options"), CASES)
def test_basis(formula: str, options: dict[str, Any]):
    """Orthonormal, equivariant, and of the symmetry; without a filter it spans all tensors of the symmetry."""
    module = ReducedTensorProducts(formula, dtype=torch.float64, **options)
    Q, (_, group) = module.change_of_basis, germinate_formulas(formula)
    torch.testing.assert_close(
        Q.flatten(1) @ Q.flatten(1).T, torch.eye(len(Q), dtype=torch.float64), atol=1e-13, rtol=0
    )
    for s, p in group:
        torch.testing.assert_close(s * Q.permute(0, *[1 + i for i in inverse(p)]), Q, atol=1e-13, rtol=0)
    R, xs = rotation(), vectors(module, 3)
    turned = module(*[irreps.transform(R, x) for irreps, x in zip(module.irreps_in, xs)])
    torch.testing.assert_close(turned, module.irreps_out.transform(R, module(*xs)), atol=1e-12, rtol=0)
    if not {"filter_ir_out", "filter_ir_mid"} & set(options):
        t = torch.randn(Q.shape[1:], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        symmetric = sum(s * t.permute(inverse(p)) for s, p in group) / len(group)
        torch.testing.assert_close(
            torch.einsum("z...,z->...", Q, Q.flatten(1) @ t.flatten()), symmetric, atol=1e-13, rtol=0
        )


def test_layout():
    options = {"i": "2x0e+3x1o", "j": "2x1o+2e"}
    ours, turned = (
        ReducedTensorProducts("ij", layout=layout, dtype=torch.float64, **options) for layout in ("mul_ir", "ir_mul")
    )

    def channels_last(x: torch.Tensor, irreps: Irreps) -> torch.Tensor:
        return torch.cat(
            [x[..., s].unflatten(-1, (mul, ir.dim)).mT.flatten(-2) for (mul, ir), s in zip(irreps, irreps.slices())],
            dim=-1,
        )

    xs = vectors(ours, 4)
    y = turned(*[channels_last(x, irreps) for x, irreps in zip(xs, ours.irreps_in)])
    torch.testing.assert_close(y, channels_last(ours(*xs), ours.irreps_out), atol=1e-14, rtol=0)


def test_derivatives():
    module = ReducedTensorProducts("ijk=jik", i="0e+1o", k="1o", dtype=torch.float64)
    xs = [x.requires_grad_() for x in vectors(module, 2)]
    assert torch.autograd.gradcheck(module, xs)
    assert torch.autograd.gradgradcheck(module, xs)


def test_leading_axes():
    module = ReducedTensorProducts("ij=ji", i="0e+1o")
    x, y = vectors(module, 2, 3, dtype=torch.float32)
    assert module(x, y).shape == (2, 3, module.irreps_out.dim)
    assert module(x[0, 0], y[0, 0]).shape == (module.irreps_out.dim,)
    assert module(x, y[0, 0]).shape == (2, 3, module.irreps_out.dim)
    assert module(x[:0], y[:0]).shape == (0, 3, module.irreps_out.dim)
    torch.testing.assert_close(torch.func.vmap(torch.func.vmap(module))(x, y), module(x, y))


@pytest.mark.parametrize(
    ("formula", "options", "dim"),
    [
        ("ij=ji", {"i": ""}, 0),
        ("ij=ji", {"i": "0x1o"}, 0),
        ("ij", {"i": "0x1o+0e", "j": "1o"}, 3),
        ("ij=ji=-ji", {"i": "1o"}, 0),
        ("ij=ji", {"i": "1o", "filter_ir_out": ["5e"]}, 0),
        ("ij=ji", {"i": "1o", "filter_ir_out": []}, 0),
    ],
)
def test_nothing(formula: str, options: dict[str, Any], dim: int):
    module = ReducedTensorProducts(formula, **options)
    xs = vectors(module, 5, dtype=torch.float32)
    assert module.irreps_out.dim == dim
    assert module(*xs).shape == (5, dim)


def test_precision_is_never_lost():
    exact = ReducedTensorProducts("ij=ji", i="1o+2e", dtype=torch.float64).change_of_basis
    module = ReducedTensorProducts("ij=ji", i="1o+2e")
    assert module.change_of_basis.dtype == torch.get_default_dtype()
    assert torch.equal(module.half().double().change_of_basis, exact)


def test_the_default_device_does_not_matter():
    with torch.device("meta"):
        module = ReducedTensorProducts("ij=ji", i="0e+1o", device="cpu")
    assert torch.equal(module.change_of_basis, ReducedTensorProducts("ij=ji", i="0e+1o").change_of_basis)


def test_copies():
    module = ReducedTensorProducts("ijk=jik", i="1o", k="2e")
    xs = vectors(module, 4, dtype=torch.float32)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    loaded = ReducedTensorProducts("ijk=jik", i="1o", k="2e")
    loaded.load_state_dict(torch.load(file, weights_only=True))
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), loaded):
        assert torch.equal(other(*xs), module(*xs))


def test_compile_and_export():
    module = ReducedTensorProducts("ij=-ji", i="0e+1o")
    xs = tuple(vectors(module, 4, dtype=torch.float32))
    with as_users_run_it():
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(*xs), module(*xs))
        torch.testing.assert_close(torch.export.export(module, xs).module()(*xs), module(*xs))


@pytest.mark.parametrize(
    ("formula", "options", "message"),
    [
        ("ij=jk", {"i": "1o"}, "not a permutation"),
        ("ij=ji", {}, "has no irreps"),
        ("ij=ji", {"i": "1o", "k": "1o"}, "do not appear"),
        ("ij=ji", {"i": "1o", "j": "1e"}, "different irreps"),
        ("ij=ji", {"i": "1z"}, "1z"),
        ("ij=ji", {"i": "1o", "word": "1o"}, "word"),
        ("ij", {"i": "1o", "j": "1o", "filter_ir_out": "0e"}, "one string"),
        ("ij", {"i": "1o", "j": "1o", "filter_ir_mid": ["x"]}, "x"),
        ("ij=ji", {"i": "1o", "layout": "ir-mul"}, "did you mean 'ir_mul'"),
    ],
)
def test_bad_arguments(formula: str, options: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        ReducedTensorProducts(formula, **options)


def test_bad_inputs():
    module = ReducedTensorProducts("ij=ji", i="1o")
    for xs in ([torch.randn(3)], [torch.randn(3), torch.randn(4)], [torch.randn(3)] * 3, [torch.tensor(1.0)] * 2):
        with pytest.raises(InputError, match="last axes are"):
            module(*xs)
