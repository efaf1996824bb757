"""MACE's symmetric contraction: the definition, symmetry, derivatives, every way in which a module travels."""

from __future__ import annotations

import copy

import pytest
import torch
from nn_checks import D, commutes, differentiates, finite_to_the_third, swapped, travels
from switches import as_users_run_it
from torch import nn
from torch.autograd import forward_ad
from torch.nn.utils import parametrize, prune
from torch.utils._python_dispatch import TorchDispatchMode

from intertwine.nn.irreps.contraction_operator import recorded
from intertwine.nn.irreps.symmetric_contraction import SymmetricContraction
from intertwine.numerics import InputError
from intertwine.o3 import Irreps
from intertwine.o3.symmetric_coupling import symmetric_couplings

layouts = pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
IN, OUT = "3x0e+3x1o+3x2e", "3x0e+3x1o+3x1e"


def layer_of(
    irreps_in: str = IN, irreps_out: str = OUT, correlation=3, species: int = 3, **options
) -> SymmetricContraction:
    torch.manual_seed(0)
    return SymmetricContraction(irreps_in, irreps_out, correlation, species, **({"dtype": D} | options))


def features(irreps: str = IN, nodes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    species = torch.tensor([2, 0, 0, 1, 2])[:nodes]
    return Irreps(irreps).randn(nodes, -1, dtype=D, generator=generator), species


class OneSpecies(nn.Module):
    """The layer for nodes that are all of species 1: a function of the features alone."""

    def __init__(self, layer: SymmetricContraction) -> None:
        super().__init__()
        self.layer, self.irreps_in, self.irreps_out = layer, layer.irreps_in, layer.irreps_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x, torch.ones(x.shape[:-1], dtype=torch.int64, device=x.device))


@layouts
@pytest.mark.parametrize("correlation", [1, 2, 3, {"0e": 2, "1o": 1, "1e": 3}])
def test_definition(correlation, layout) -> None:
    """The sum over paths and components, with the tensors U."""
    layer = layer_of(correlation=correlation, layout=layout)
    x, species = features()
    apart = torch.cat([block.unflatten(1, (3, -1)) for block in x.split([3, 9, 15], 1)], 2)  # node, channel, component
    weights, expected = iter(layer.weights), []
    for _, ir in layer.irreps_out:
        total = torch.zeros(5, 3, ir.dim, dtype=D)
        for degree in range(1, (correlation if isinstance(correlation, int) else correlation[str(ir)]) + 1):
            value = torch.from_numpy(symmetric_couplings("0e+1o+2e", ir, degree).tensor(9))[None, None].expand(
                5, 3, *[-1] * (degree + 2)
            )
            for _ in range(degree):
                value = (value * apart.reshape(5, 3, *[1] * (value.ndim - 3), 9)).sum(-1)
            total = total + torch.einsum("npc,ncpm->ncm", next(weights)[species], value)
        expected.append(total.flatten(1))
    assert next(weights, None) is None
    given = swapped(x, IN) if layout == "ir_mul" else x
    found = layer(given, species)
    found = swapped(found, OUT, "ir_mul") if layout == "ir_mul" else found
    torch.testing.assert_close(found, torch.cat(expected, 1), rtol=1e-13, atol=1e-13)


@layouts
def test_commutes_and_travels(layout) -> None:
    module = OneSpecies(layer_of(layout=layout))
    x, _ = features()
    commutes(module, x, layout)
    travels(module, x)


def test_derivatives() -> None:
    layer = layer_of("2x0e+2x1o", "2x0e+2x1o")
    x, species = features("2x0e+2x1o")

    def of_weights(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(
            layer, {f"weights.{k}": weight for k, weight in enumerate(weights)}, (x, species)
        )

    differentiates(of_weights, x, *layer.weights)
    differentiates(layer, x, torch.rand(5, 3, dtype=D, generator=torch.Generator().manual_seed(1)))
    differentiates(
        lambda x: torch.autograd.grad(layer(x.requires_grad_(), species).sin().sum(), x, create_graph=True)[0], x
    )
    zeros = finite_to_the_third(OneSpecies(layer), torch.zeros(2, 8, dtype=D))
    assert not zeros[0].any()


def test_against_plain_torch(monkeypatch) -> None:
    """Values and three derivatives of the kernel; single precision too."""
    module, (x, _) = OneSpecies(layer_of("17x0e+17x1o+17x2e", "17x0e+17x1o")), features("17x0e+17x1o+17x2e")
    single = copy.deepcopy(module).float()
    rounded = copy.deepcopy(single).double()  # with its weights
    found, singly = finite_to_the_third(module, x), single(x.float())
    monkeypatch.setenv("INTERTWINE_KERNELS", "reference")
    for one, other in zip(found, finite_to_the_third(module, x), strict=True):
        assert (one - other).abs().max() <= 500 * torch.finfo(D).eps * other.square().mean().sqrt()
    exact = rounded(x.float().double())
    assert (singly - exact).abs().max() <= 40 * torch.finfo(torch.float32).eps * exact.square().mean().sqrt()


def test_species() -> None:
    layer, (x, species) = layer_of(), features()
    expected = layer(x, species)
    one_hot = torch.nn.functional.one_hot(species, 3).to(D)
    torch.testing.assert_close(layer(x, one_hot), expected, rtol=1e-14, atol=1e-14)
    mixed = 0.25 * one_hot + 0.75 * one_hot.roll(1, 1)
    torch.testing.assert_close(
        layer(x, mixed), 0.25 * expected + 0.75 * layer(x, (species + 1) % 3), rtol=1e-13, atol=1e-13
    )
    order = torch.tensor([3, 1, 4, 0, 2])
    assert torch.equal(layer(x[order], species[order]), expected[order])
    assert torch.equal(layer(x, species.int()), expected)
    assert torch.equal(layer(x[0], species[0]), expected[0])
    assert torch.equal(layer(x[None].expand(2, -1, -1), species.expand(2, -1)), expected.expand(2, -1, -1))


def test_transformations_and_compilers() -> None:
    layer, (x, species) = layer_of(), features()

    def energy(x: torch.Tensor, species: torch.Tensor) -> torch.Tensor:
        return layer(x, species).square().sum()

    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(energy(leaf, species), leaf)
    with as_users_run_it():
        torch._dynamo.reset()
        torch.testing.assert_close(
            torch.func.vmap(torch.func.grad(energy))(x, species), expected, rtol=1e-12, atol=1e-12
        )
        torch.testing.assert_close(torch.func.grad(energy)(x, species), expected, rtol=1e-12, atol=1e-12)
        batches = torch.func.vmap(energy, in_dims=(0, None))(x.expand(2, -1, -1), species)
        torch.testing.assert_close(batches, energy(x, species).expand(2), rtol=1e-12, atol=1e-12)
        with pytest.raises(InputError, match="species"):
            torch.func.vmap(energy)(x, species + 1)
        with pytest.raises(InputError, match="species"):
            torch.func.vmap(torch.func.vmap(energy))(x.expand(2, -1, -1), species.expand(2, -1) + 1)
        compiled = torch.compile(energy, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(
            torch.autograd.grad(compiled(leaf, species), leaf)[0], expected, rtol=1e-12, atol=1e-12
        )
        with pytest.raises(InputError, match="species 3"):
            compiled(leaf, species + 1)
        nodes = {0: torch.export.Dim("nodes")}
        exported = torch.export.export(layer, (x, species), dynamic_shapes=(nodes, nodes)).module()
        for count in (2, 5):
            torch.testing.assert_close(
                exported(x[:count], species[:count]), layer(x[:count], species[:count]), rtol=1e-13, atol=1e-13
            )
        weight = torch.cat(list(layer.weights), 1).detach().requires_grad_()
        apart = torch.cat([block.unflatten(1, (3, -1)).mT for block in x.split([3, 9, 15], 1)], 1).requires_grad_()
        tests = ("test_schema", "test_faketensor", "test_autograd_registration")
        torch.library.opcheck(recorded, ([apart, weight], species, 3, layer._shared, ""), test_utils=tests)


class Largest(TorchDispatchMode):
    """The size of the largest tensor that an operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, tuple | list) else (found,):
            if isinstance(one, torch.Tensor):
                self.bytes = max(self.bytes, one.numel() * one.element_size())
        return found


@pytest.mark.parametrize("kernels", ["cpu", "reference"])
def test_no_tensor_of_all_products(kernels, monkeypatch) -> None:
    """Not of the size of the products of three of 16 components, forward or backward."""
    monkeypatch.setenv("INTERTWINE_KERNELS", kernels)
    layer = layer_of("8x0e+8x1o+8x2e+8x3o", "8x0e", dtype=torch.float32)
    x = torch.randn(64, 128, requires_grad=True)
    species = torch.zeros(64, dtype=torch.int64)
    layer(x, species).sum().backward()  # the check of the kernel
    with Largest() as largest:
        layer(x, species).sum().backward()
    assert largest.bytes < 64 * 8 * 16**3 * 4 / 4


def test_precision(monkeypatch) -> None:
    layer, (x, species) = layer_of(), features()
    expected = layer(x, species)
    half = layer_of().bfloat16()
    found = half(x.bfloat16(), species)
    assert found.dtype == torch.bfloat16
    assert (found.double() - expected).abs().max() < 0.1 * expected.abs().max()
    single = layer_of(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(single(x.bfloat16(), species), single(x.bfloat16().float(), species))


def test_nothing() -> None:
    assert layer_of()(torch.zeros(0, 27, dtype=D), torch.zeros(0, dtype=torch.int64)).shape == (0, 21)
    assert layer_of("0x0e+0x1o", "0x1o")(torch.zeros(4, 0, dtype=D), torch.zeros(4, dtype=torch.int64)).shape == (4, 0)
    for layout in ("mul_ir", "ir_mul"):
        found = layer_of("", "2x1o", layout=layout)(torch.zeros(4, 0, dtype=D), torch.zeros(4, dtype=torch.int64))
        assert torch.equal(found, torch.zeros(4, 6, dtype=D))
        assert layer_of("2x1o", "", layout=layout)(
            torch.zeros(4, 6, dtype=D), torch.zeros(4, dtype=torch.int64)
        ).shape == (4, 0)
        unreachable = layer_of("2x0e", "2x1o", layout=layout)
        x = torch.ones(4, 2, dtype=D, requires_grad=True)
        y = unreachable(x, torch.zeros(4, dtype=torch.int64))
        assert torch.equal(y, torch.zeros(4, 6, dtype=D))
        assert not torch.autograd.grad(y.sum(), x)[0].any()


@pytest.mark.parametrize(
    "arguments",
    [
        ("2x0e+3x1o", "2x0e", 3, 2),
        ("2x0e", "3x0e", 3, 2),
        ("2x0e", "2x0e", 0, 2),
        ("2x0e", "2x0e", True, 2),
        ("2x0e", "2x0e", {"1o": 2}, 2),
        ("2x0e", "2x0e", 3, 0),
    ],
)
def test_bad_arguments(arguments) -> None:
    with pytest.raises(InputError, match="SymmetricContraction"):
        SymmetricContraction(*arguments)
    with pytest.raises(InputError, match="layout"):
        SymmetricContraction("2x0e", "2x0e", 2, 2, layout="mulir")


def test_bad_input() -> None:
    layer, (x, species) = layer_of(), features()
    with as_users_run_it():
        for bad in (species + 1, species - 1):
            with pytest.raises(InputError, match="species"):
                layer(x, bad)
        for features_given, species_given in (
            (x[:, :-1], species),
            (x, species[:-1]),
            (x, species.to(D)),
            (x, species.bool()),
            (x, torch.ones(5, 2, dtype=D)),
            (x.float(), species),
            (x.to("meta"), species),
            (x, species[:, None]),
        ):
            with pytest.raises(InputError, match=r"SymmetricContraction|expected"):
                layer(features_given, species_given)


def test_weights_that_are_computed_or_pruned() -> None:
    x, species = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0, 1, 1])
    for change in (
        prune.identity,
        lambda weights, name: parametrize.register_parametrization(weights, name, torch.nn.Identity()),
    ):
        layer = SymmetricContraction("2x0e+2x1o", "2x0e+2x1o", 3, 2)
        expected = layer(x, species)
        change(layer.weights, "0")
        assert torch.equal(layer(x, species), expected)


def test_forward_mode() -> None:
    layer = SymmetricContraction("2x0e+2x1o", "2x0e+2x1o", 3, 2, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    x, v = (torch.randn(5, 8, dtype=torch.float64, generator=generator) for _ in range(2))
    species = torch.tensor([0, 1, 0, 1, 1])
    slope = torch.func.jvp(lambda x: layer(x, species), (x,), (v,))[1]
    jacobian = torch.func.jacrev(lambda x: layer(x, species))(x)
    torch.testing.assert_close(slope, torch.einsum("nkml,ml->nk", jacobian, v), rtol=0, atol=1e-12)
    with forward_ad.dual_level():
        assert torch.equal(forward_ad.unpack_dual(layer(forward_ad.make_dual(x, v), species)).tangent, slope)

    def scalar(x):
        return layer(x, species).sin().sum()

    second = torch.func.hessian(scalar)(x)
    torch.testing.assert_close(second, torch.func.jacrev(torch.func.jacrev(scalar))(x), rtol=0, atol=1e-11)


def test_a_default_device_elsewhere() -> None:
    layer = SymmetricContraction("3x0e+3x1o", "3x0e", 2, 2)
    x, species = torch.randn(4, 12), torch.tensor([0, 1, 1, 0])
    with torch.device("meta"):
        found = layer(x, species)
    assert torch.equal(found, layer(x, species))
