"""The module SphericalHarmonics: transforms, compilation, copies, irreps, layouts and errors."""

from __future__ import annotations

import copy
import io
import pickle

import e3nn.o3
import pytest
import torch
from switches import as_users_run_it
from torch.fx.experimental.proxy_tensor import make_fx

from intertwine.numerics import InputError
from intertwine.o3.harmonic_constants import _TABLES, tables_of
from intertwine.o3.irreps import Irrep, Irreps
from intertwine.o3.solid_harmonics import solid_harmonics
from intertwine.o3.spherical_harmonics import SphericalHarmonics, spherical_harmonics

F64 = torch.float64


def points(*shape: int, seed: int = 0, dtype: torch.dtype = F64) -> torch.Tensor:
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


@pytest.mark.parametrize("degrees", [[0, 1, 2, 3], [0, 1, 4]])
@pytest.mark.parametrize("normalize", [True, False])
def test_transforms(degrees, normalize):
    """vmap, forward mode, batched gradients, and both Jacobians of torch.func."""
    module = SphericalHarmonics(degrees, normalize)
    x = points(6)
    torch.testing.assert_close(torch.func.vmap(module)(x), module(x), rtol=1e-13, atol=1e-13)
    forward, reverse = (jacobian(module)(x[0]) for jacobian in (torch.func.jacfwd, torch.func.jacrev))
    torch.testing.assert_close(forward, reverse, rtol=1e-12, atol=1e-12)
    leaf = x[0].clone().requires_grad_()
    batched = torch.autograd.functional.jacobian(module, leaf, vectorize=True)
    torch.testing.assert_close(batched, reverse, rtol=1e-12, atol=1e-12)
    looped = torch.autograd.functional.jacobian(module, leaf)
    torch.testing.assert_close(looped, reverse, rtol=1e-12, atol=1e-12)
    with torch.autograd.forward_ad.dual_level():
        dual = module(torch.autograd.forward_ad.make_dual(x[0], x[1]))
        torch.testing.assert_close(
            torch.autograd.forward_ad.unpack_dual(dual).tangent, forward @ x[1], rtol=1e-12, atol=1e-12
        )
    hessian = torch.func.hessian(lambda v: module(v).sin().sum())(x[0])
    looped = torch.autograd.functional.hessian(lambda v: module(v).sin().sum(), leaf)
    torch.testing.assert_close(hessian, looped, rtol=1e-12, atol=1e-12)
    vectorized = torch.autograd.functional.hessian(lambda v: module(v).sin().sum(), leaf, vectorize=True)
    torch.testing.assert_close(hessian, vectorized, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("degrees", [[0, 1, 2], [0, 1, 4]])
def test_compile_and_export(degrees):
    module = SphericalHarmonics(degrees, True)
    x = points(5).requires_grad_()
    with as_users_run_it():
        _compile_and_export(degrees, module, x)


def _compile_and_export(degrees, module, x):
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), module(x), rtol=1e-13, atol=1e-13)
    (ours,), (theirs,) = (torch.autograd.grad(f(x).sin().sum(), x) for f in (module, compiled))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    function = torch.compile(lambda v: spherical_harmonics(degrees, v, True), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(function(x), module(x), rtol=1e-13, atol=1e-13)
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(module, (points(5),), dynamic_shapes=({0: batch},)).module()
    torch.testing.assert_close(exported(points(9)), module(points(9)), rtol=1e-13, atol=1e-13)


def test_copies_and_precision():
    module = SphericalHarmonics("0e + 1o + 2e", True)
    x = points(5)
    right = module(x)  # float64 input to a float32 module: constants of its own
    assert right.dtype == F64
    for copied in (
        copy.deepcopy(module),
        pickle.loads(pickle.dumps(module)),
        copy.deepcopy(module).double(),
        copy.deepcopy(module).half().double(),
    ):
        assert torch.equal(copied(x), right)
    assert torch.equal(module.double()(x), right)
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    module.load_state_dict(torch.load(buffer, weights_only=True))
    module.load_state_dict(e3nn.o3.SphericalHarmonics("0e + 1o + 2e", True).state_dict())
    assert not module.state_dict()


def test_irreps_of_the_module():
    for argument in (2, [0, 1, 1], "0e + 1o + 2e", "0e + 1e", Irreps("2x1o + 0e"), (3, 3)):
        theirs = e3nn.o3.SphericalHarmonics(str(argument) if isinstance(argument, Irreps) else argument, True)
        ours = SphericalHarmonics(argument, True)
        assert str(ours.irreps_out) == str(theirs.irreps_out)
        assert str(ours.irreps_in) == str(theirs.irreps_in)
    assert str(SphericalHarmonics([0, 1, 2], True, irreps_in="1e").irreps_out) == "1x0e+1x1e+1x2e"


def test_layout():
    x = points(4)
    inner = SphericalHarmonics("0e + 2x1o + 2e", False)(x)
    outer = SphericalHarmonics("0e + 2x1o + 2e", False, layout="ir_mul")(x)
    assert torch.equal(outer[:, 1:7].reshape(4, 3, 2).transpose(1, 2).reshape(4, 6), inner[:, 1:7])
    assert torch.equal(outer[:, 7:], inner[:, 7:])


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((-1, True), {}),
        (([0, -2], True), {}),
        ((1.5, True), {}),
        ((1, True, "orthonormal"), {}),
        (("1e + 1o", True), {}),
        (("0o", True), {}),
        (("1e", True), {"irreps_in": "1o"}),
        ((1, True), {"irreps_in": "2x1o"}),
        ((1, True), {"irreps_in": "0e"}),
        ((1, True), {"layout": "soa"}),
    ],
)
def test_bad_arguments_are_named(arguments, options):
    with as_users_run_it(), pytest.raises(InputError):
        SphericalHarmonics(*arguments, **options)


@pytest.mark.parametrize("x", [torch.zeros(4, 2), torch.zeros(()), torch.zeros(4, 3, dtype=torch.int64)])
def test_bad_vectors_are_named(x):
    with as_users_run_it():
        for function in (SphericalHarmonics(2, True), lambda v: spherical_harmonics(2, v, True)):
            with pytest.raises(InputError, match=r"shape \(\.\.\., 3\)"):
                function(x)


def test_plain_operations_and_blocks_agree_in_half_precision():
    tables = tables_of((0, 1, 2), "integral", torch.bfloat16)
    x = points(10, dtype=torch.bfloat16)
    torch.testing.assert_close(spherical_harmonics([0, 1, 2], x, False), solid_harmonics(x.t(), tables).t())


def test_tables_made_under_a_mode_of_torch_are_not_kept() -> None:
    x = torch.randn(5, 3, dtype=torch.float64)

    def harmonics(x: torch.Tensor) -> torch.Tensor:
        return spherical_harmonics([0, 1, 4, 9], x, True, "norm")

    for call in (
        torch.func.functionalize(harmonics),
        make_fx(harmonics),
        make_fx(harmonics, tracing_mode="symbolic"),
        torch.vmap(harmonics),
    ):
        _TABLES.clear()
        call(x)
        y = x.clone().requires_grad_()
        out = harmonics(y)
        out.sum().backward()
        torch.testing.assert_close(out, e3nn.o3.spherical_harmonics([0, 1, 4, 9], x, True, "norm"), atol=1e-13, rtol=0)
    with torch.inference_mode():
        _TABLES.clear()
        harmonics(x)
    harmonics(x.clone().requires_grad_()).sum().backward()


def test_a_recorded_graph_holds_at_the_zero_vector() -> None:
    recorded = make_fx(lambda x: spherical_harmonics([0, 1, 2], x, True))(torch.randn(5, 3))
    zero = torch.zeros(5, 3)
    torch.testing.assert_close(recorded(zero), spherical_harmonics([0, 1, 2], zero, True))


def test_the_device_meta() -> None:
    assert spherical_harmonics([0, 1, 5], torch.ones(4, 3, device="meta"), True).shape == (4, 15)
    with torch.device("meta"):
        module = SphericalHarmonics("2x1o", True, layout="ir_mul")
    x = torch.randn(5, 3)
    torch.testing.assert_close(module.to_empty(device="cpu")(x), SphericalHarmonics("2x1o", True, layout="ir_mul")(x))


def test_one_irrep_is_one_degree() -> None:
    x = torch.randn(5, 3)  # as a pair of numbers, 1e would be the degrees 1 and 1
    assert spherical_harmonics(Irrep("1e"), x, True).equal(spherical_harmonics(1, x, True))
    assert str(SphericalHarmonics(Irrep("2e"), True).irreps_out) == "1x2e"
