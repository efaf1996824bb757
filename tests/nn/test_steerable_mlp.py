"""Conditional linear layers: the partially evaluated tensor product, e3nn's too; their parts, their symmetry, and what
is built of them.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from nn_checks import swapped
from switches import as_users_run_it
from torch import Tensor, nn

from intertwine.nn.irreps.steerable_linear import GatheredSteerableLinear, StackedLinear, SteerableLinear
from intertwine.nn.irreps.steerable_mlp import SteerableMLP, reached
from intertwine.numerics import InputError
from intertwine.o3 import FullyConnectedTensorProduct, Irreps, Linear, rand_matrix

D = torch.float64
CASES: dict[str, tuple[Any, str, str]] = {
    "natural": ("3x0e+2x1o+1x1e", "0e+1o+2e", "2x0e+3x1o+2x2e+1x1e"),
    "a block twice": ("2x0e+3x1o+1x0e", "1o+0e", "2x1o+3x0e"),
    "parts": (["4x0e+3x1o", "4x0e+3x1o", "5x0e"], "0e+1o", "6x0e+3x1o"),
    "channels of a": ("2x1o+1x0e", "2x1o+2x0e", "2x1o+3x0e+2x1o+2x1e"),
    "parts of other irreps": (["2x0o+3x1o", "3x0e+2x1o"], "2x1o+1x0e", "2x1o+3x0e+2x1e"),
    "no scalars out": ("3x0e", "0e+1o", "2x1o"),
    "a block not reached": ("3x0e", "0e+1o", "2x0o+2x1o+1x0e"),
}
layouts = pytest.mark.parametrize("layout", ["ir_mul", "mul_ir"])
cases = pytest.mark.parametrize("name", CASES)


def build(name: str, layout: str = "ir_mul") -> Any:
    kind = GatheredSteerableLinear if isinstance(CASES[name][0], list) else SteerableLinear
    layer = kind(*CASES[name], layout=layout).double()
    for parameter_name, parameter in layer.named_parameters():
        if parameter_name.endswith("bias"):
            nn.init.normal_(parameter)
    return layer


def inputs(layer: Any, generator: torch.Generator, rows: int = 5) -> tuple[Tensor, Tensor]:
    v, a = (
        torch.randn(rows, irreps.dim, dtype=D, generator=generator)
        for irreps in (layer.irreps_in, layer.irreps_attribute)
    )
    return v.requires_grad_(), a.requires_grad_()


@cases
@layouts
def test_is_the_tensor_product_partially_evaluated(name: str, layout: str, generator: torch.Generator) -> None:
    """Values, gradients to v, a and weights, and the matrix W(a) itself."""
    layer = build(name, layout)
    v, a = inputs(layer, generator)
    product = FullyConnectedTensorProduct(
        layer.irreps_in,
        layer.irreps_attribute,
        layer.irreps_out,
        path_normalization="path",
        internal_weights=False,
        layout=layout,
    ).double()
    weight, rest = layer.product_weight(), layer(torch.zeros_like(v), a)
    expected = product(v, a, weight)
    found = layer(v, a) - rest
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
    direction = torch.randn(expected.shape, dtype=D, generator=generator)
    wanted = [v, a, *[parameter for name, parameter in layer.named_parameters() if name.endswith("weight")]]
    both = [
        torch.autograd.grad((y * direction).sum(), wanted, retain_graph=True, allow_unused=True)
        for y in (found, expected)
    ]
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)
    matrix = layer.matrix(a)
    assert matrix.shape == (5, layer.irreps_out.dim, layer.irreps_in.dim)
    torch.testing.assert_close(matrix, product.right(a, weight).transpose(1, 2), rtol=0, atol=1e-14)
    torch.testing.assert_close((matrix @ v.unsqueeze(-1)).squeeze(-1), expected, rtol=0, atol=1e-14)


@cases
def test_against_e3nn(name: str, generator: torch.Generator, oracle_in_double: None) -> None:
    o3 = pytest.importorskip("e3nn.o3")
    layer = build(name, "mul_ir")
    v, a = inputs(layer, generator)
    irreps = [str(one) for one in (layer.irreps_in, layer.irreps_attribute, layer.irreps_out)]
    theirs = o3.FullyConnectedTensorProduct(
        *irreps, path_normalization="path", internal_weights=False, shared_weights=True
    )
    expected = theirs(v, a, layer.product_weight())
    torch.testing.assert_close(layer(v, a) - layer(torch.zeros_like(v), a), expected, rtol=0, atol=1e-13)


@cases
def test_matrix_is_linear_in_the_attribute_and_steerable(name: str, generator: torch.Generator) -> None:
    r""":math:`W(a) = \sum_J a_J W_J`, and :math:`W(D_a a) = D_{out} W(a) D_{in}^{-1}`, reflections included."""
    layer = build(name, "mul_ir")
    _, a = inputs(layer, generator)
    basis = layer.matrix(torch.eye(a.shape[1], dtype=D))
    torch.testing.assert_close(layer.matrix(a), torch.einsum("zj,jok->zok", a, basis), rtol=0, atol=1e-14)
    for sign in (1, -1):
        q = sign * rand_matrix(dtype=D, generator=generator)
        d_in, d_a, d_out = (
            irreps.D_from_matrix(q) for irreps in (layer.irreps_in, layer.irreps_attribute, layer.irreps_out)
        )
        torch.testing.assert_close(layer.matrix(a @ d_a.T), d_out @ layer.matrix(a) @ d_in.T, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["parts", "parts of other irreps"])
def test_parts_of_nodes_are_mapped_before_the_gather(name: str, generator: torch.Generator) -> None:
    layer = build(name)
    _, a = inputs(layer, generator, rows=7)
    parts = [torch.randn(3, part.dim, dtype=D, generator=generator) for part in layer.parts]
    index = [torch.randint(3, (7,), generator=generator) for _ in parts]
    expanded = [layer.expand(part, number)[i] for number, (part, i) in enumerate(zip(parts, index))]
    found = layer.couple(layer.total(*expanded), a)
    expected = layer(torch.cat([part[i] for part, i in zip(parts, index)], dim=1), a)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


@layouts
def test_leading_axes_and_no_rows(layout: str, generator: torch.Generator) -> None:
    layer = build("natural", layout)
    v, a = inputs(layer, generator, rows=6)
    torch.testing.assert_close(layer(v.view(2, 3, -1), a.view(2, 3, -1)).flatten(0, 1), layer(v, a), rtol=0, atol=1e-15)
    torch.testing.assert_close(layer.matrix(a[0]), layer.matrix(a)[0], rtol=0, atol=1e-15)
    assert layer(v[:0], a[:0]).shape == (0, layer.irreps_out.dim)


def test_variance_is_kept(generator: torch.Generator) -> None:
    torch.manual_seed(1)
    irreps = ("0e+1o+2e", "30x0e+30x1o+30x2e")
    for layer in (GatheredSteerableLinear(["40x0e+30x1o", "20x0e"], *irreps), SteerableLinear("40x0e+30x1o", *irreps)):
        v, a = (
            torch.randn(2000, irreps.dim, generator=generator) for irreps in (layer.irreps_in, layer.irreps_attribute)
        )
        for block in layer(v, a).square().mean(0).split([mul * ir.dim for mul, ir in layer.irreps_out]):
            assert 0.7 < block.mean() < 1.4


def test_stacked_is_a_linear_map_of_the_concatenation(generator: torch.Generator) -> None:
    layer = StackedLinear("3x0e+2x1o", "0e+1o+2e", "2x0e+3x1o+2x2e").double()
    v, a = inputs(layer, generator)
    paths = zip(layer.linear.instructions, layer.linear.weight_views())
    w = {(path.i_in, path.i_out): view * path.path_weight for path, view in paths}  # blocks 2 to 4 are those of a
    assert isinstance(layer.linear, Linear)
    assert sorted(w) == [(0, 0), (1, 1), (2, 0), (3, 1), (4, 2)]
    vectors = v[:, 3:].view(-1, 3, 2) @ w[1, 1] + a[:, 1:4, None] * w[3, 1]
    expected = [v[:, :3] @ w[0, 0] + a[:, :1] @ w[2, 0], vectors.flatten(1), (a[:, 4:, None] * w[4, 2]).flatten(1)]
    torch.testing.assert_close(layer(v, a), torch.cat(expected, dim=1), rtol=0, atol=1e-14)


def naive_gate(z: Tensor, irreps: Irreps) -> Tensor:
    """One even scalar block, then gated blocks, in mul_ir: z has the scalars, the gates, the blocks."""
    moment = pytest.importorskip("e3nn.math").normalize2mom
    silu, sigmoid = moment(torch.nn.functional.silu), moment(torch.sigmoid)
    scalars = irreps[0].mul
    sizes = [scalars, *[mul for mul, _ in irreps[1:]], *[block.dim for block in irreps[1:]]]
    s, *rest = z.split(sizes, dim=1)
    n = len(irreps) - 1
    gated = [
        (x.view(len(z), mul, -1) * sigmoid(g)[..., None]).flatten(1)
        for g, x, (mul, _) in zip(rest[:n], rest[n:], irreps[1:])
    ]
    return torch.cat([silu(s), *gated], dim=1)


@layouts
@pytest.mark.parametrize("form", ["adaptive", "stacked"])
def test_mlp_is_layers_and_gates(form: str, layout: str, generator: torch.Generator) -> None:
    mlp = SteerableMLP(
        "3x0e+2x1o", "0e+1o+2e", ["4x0e+3x1o+2x2e+1x4e", "2x0e+2x1o"], "2x0e+1x1o+1x3o", form=form, layout=layout
    ).double()
    assert str(mlp.irreps_out) == ("2x0e+1x1o+1x3o" if form == "adaptive" else "2x0e+1x1o")
    v, a = inputs(mlp, generator)
    turn = (lambda t, irreps: t) if layout == "mul_ir" else (lambda t, irreps: swapped(t, irreps))
    h = v
    for layer, hidden in zip(mlp.layers, [Irreps("4x0e+3x1o+2x2e"), Irreps("2x0e+2x1o"), None]):
        z = layer(turn(h, layer.irreps_in), a)  # the layers are tested above
        h = z if layout == "mul_ir" else swapped(z, layer.irreps_out, "ir_mul")
        h = h if hidden is None else naive_gate(h, hidden)
    found = mlp(turn(v, mlp.irreps_in), a)
    torch.testing.assert_close(found, turn(h, mlp.irreps_out), rtol=0, atol=1e-13)


@pytest.mark.parametrize("form", ["adaptive", "stacked"])
def test_mlp_is_equivariant(form: str, generator: torch.Generator) -> None:
    mlp = SteerableMLP(
        "3x0e+2x1o", "0e+1o", ["4x0e+3x0o+3x1o+2x1e", "4x0e+3x0o+3x1o"], "2x0e+1x1o", form=form, layout="mul_ir"
    ).double()
    v, a = inputs(mlp, generator)
    for sign in (1, -1):
        q = sign * rand_matrix(dtype=D, generator=generator)
        d_in, d_a, d_out = (irreps.D_from_matrix(q) for irreps in (mlp.irreps_in, mlp.irreps_attribute, mlp.irreps_out))
        torch.testing.assert_close(mlp(v @ d_in.T, a @ d_a.T), mlp(v, a) @ d_out.T, rtol=0, atol=1e-12)


def test_last_gate_and_derivatives(generator: torch.Generator) -> None:
    mlp = SteerableMLP("2x0e+1x1o", "0e+1o", ["2x0e+1x1o"], "2x0e+1x1o", last=True).double()
    assert len(mlp.gates) == len(mlp.layers) == 2
    v, a = inputs(mlp, generator, rows=2)
    assert torch.autograd.gradcheck(mlp, (v, a))
    assert torch.autograd.gradgradcheck(mlp, (v, a))


def test_state_and_compilation(generator: torch.Generator) -> None:
    layer, twin = build("parts"), build("parts")
    assert sorted(layer.state_dict()) == ["bias", "maps.0.weight", "maps.1.weight", "maps.2.weight"]
    v, a = inputs(layer, generator)
    assert not torch.equal(twin(v, a), layer(v, a))
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin(v, a), layer(v, a))
    with as_users_run_it():
        torch.testing.assert_close(
            torch.compile(layer, backend="aot_eager", fullgraph=True)(v, a), layer(v, a), rtol=0, atol=1e-14
        )


def test_what_is_reached() -> None:
    irreps, attribute, wanted = Irreps("2x0e+0x1e"), Irreps("0e+1o"), Irreps("3x0e+3x1o+3x1e+3x2e")
    assert str(reached(irreps, attribute, wanted)) == "3x0e+3x1o"
    assert str(reached(Irreps("2x2e"), attribute, wanted, "stacked")) == "3x0e+3x1o+3x2e"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GatheredSteerableLinear(["2x0e+1x0e"], "0e", "0e"), "parts: .* has an irrep twice"),
        (lambda: SteerableLinear("2x0e", "0e", "2x1o"), "irreps_out: .* does not lead to"),
        (lambda: SteerableLinear("2x0e", "0e", "2x0e", layout="up"), "layout"),
        (lambda: SteerableMLP("2x0e", "0e", ["0e"], "1o"), "irreps_out: .* does not lead to"),
        (lambda: SteerableMLP("2x0e", "0e", ["1o"], "0e"), "hidden: .* does not lead to"),
        (lambda: SteerableMLP("2x0e", "1o", ["2x1o"], "0e"), "hidden: .* gives no scalars"),
        (lambda: SteerableMLP("2x0e", "0e", [], "0e", form="up"), "form"),
        (
            lambda: build("natural")(torch.zeros(2, 12, dtype=D), torch.zeros(3, 9, dtype=D)),
            "one attribute for each row",
        ),
        (lambda: build("natural")(torch.zeros(2, 11, dtype=D), torch.zeros(2, 9, dtype=D)), "expected"),
    ],
)
def test_wrong_arguments_are_named(make: Any, message: str) -> None:
    with as_users_run_it(), pytest.raises(InputError, match=message):
        make()
