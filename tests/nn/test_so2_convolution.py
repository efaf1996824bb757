"""The SO(2) form of convolutions: equal to the tensor product to the last digits, and what it adds keeps its
symmetry.
"""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from nn_checks import differentiates, swapped
from switches import as_users_run_it
from torch import Tensor

from intertwine.nn.so2.convolution import SO2Convolution
from intertwine.nn.so2.from_paths import PathsToSO2
from intertwine.numerics import InputError
from intertwine.o3 import Irreps, TensorProduct, rand_matrix, spherical_harmonics
from intertwine.o3.edge_frames import edge_frames

D = torch.float64
PRODUCTS = {
    "natural": ("4x0e+4x1o+4x2e", 4, "4x0e+4x1o+4x2e"),
    "all parities": ("3x0e+3x0o+3x1o+3x1e+2x2e+3x1o", 3, "3x2o+3x0o+2x1o+3x1e+2x3o+3x1e"),
    "few harmonics": ("2x4e", 2, "2x3o+2x3e+2x0e"),
    "up": ("0x0e+2x1o", 3, "2x1o+5x2e+2x3o"),
    "scalars": ("3x0e", 0, "3x0e"),
}
LAYERS = {
    "uvu": ("2x0e+2x1o+2x2e", "2x1o+2x0e+2x3o", {}),
    "uvu, parities, truncated": ("2x0o+2x1e+2x2e", "2x1o+2x2o", {"mmax": 1}),
    "uvu, SO(3)": ("2x0e+2x1o", "2x1e+2x2e", {"reflections": False}),
    "uvw, parities": ("1x0o+2x1o+2x1e", "3x1o+2x2o", {"mode": "uvw"}),
    "uvw, SO(3), truncated": ("2x0e+3x1o+1x2e", "2x1e+1x2e", {"mode": "uvw", "mmax": 1, "reflections": False}),
    "uvw, m = 0": ("2x0e+3x1o", "2x2e+1x1o", {"mode": "uvw", "mmax": 0}),
}
layers = pytest.mark.parametrize("name", LAYERS)
layouts = pytest.mark.parametrize("layout", ["ir_mul", "mul_ir"])


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain torch in the place of compiled kernels, which take a second for each new plan."""
    monkeypatch.setenv("INTERTWINE_KERNELS", "reference")


def product(name: str, layout: str) -> TensorProduct:
    """Every path between blocks of equal multiplicity."""
    left, lmax, out = PRODUCTS[name]
    left, right, out = Irreps(left), Irreps.spherical_harmonics(lmax), Irreps(out)
    paths = [
        (a, b, c, "uvu", True)
        for a, (mul, one) in enumerate(left)
        for b, (_, other) in enumerate(right)
        for c, (mul_out, ir) in enumerate(out)
        if mul == mul_out and ir in one * other
    ]
    return TensorProduct(left, right, out, paths, shared_weights=False, internal_weights=False, layout=layout, dtype=D)


def edges(generator: torch.Generator, nodes: int = 4, count: int = 9, zero: bool = True) -> tuple[Tensor, Tensor]:
    """Vectors along both poles, next to them, of length zero, on the border of the charts, and random; a node without
    edges.
    """
    r = torch.randn(count, 3, dtype=D, generator=generator)
    r[:5] = torch.tensor([[0.0, 1, 0], [0, -2, 0], [1e-9, -1, 0], [1, 0, 0], [0, 0, 0 if zero else 2]], dtype=D)
    return r, torch.randint(nodes - 1, (2, count), generator=generator)


def build(name: str, layout: str = "ir_mul") -> SO2Convolution:
    left, right, options = LAYERS[name]
    return SO2Convolution(left, right, layout=layout, dtype=D, **options)


def inputs(
    layer: SO2Convolution, generator: torch.Generator, zero: bool = True
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r, edge_index = edges(generator, zero=zero)
    x = torch.randn(4, layer.irreps_in.dim, dtype=D, generator=generator)
    return x, r, edge_index, torch.randn(len(r), layer.weight_numel, dtype=D, generator=generator)


@layouts
@pytest.mark.parametrize("name", PRODUCTS)
def test_equals_the_tensor_product_with_two_derivatives(
    name: str, layout: str, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "natural":
        monkeypatch.setenv("INTERTWINE_KERNELS", "reference")
    tensor = product(name, layout)
    to_so2 = PathsToSO2(tensor, dtype=D)
    layer = to_so2.convolution(layout=layout, dtype=D)
    r, edge_index = edges(generator)
    x = torch.randn(4, tensor.irreps_in1.dim, dtype=D, generator=generator)
    leaves = [
        t.requires_grad_() for t in (x, r, torch.randn(len(r), tensor.weight_numel, dtype=D, generator=generator))
    ]

    def by_product(x: Tensor, r: Tensor, w: Tensor) -> Tensor:
        y = spherical_harmonics(list(range(PRODUCTS[name][1] + 1)), r, True, "component")
        return x.new_zeros(4, tensor.irreps_out.dim).index_add(0, edge_index[1], tensor(x[edge_index[0]], y, w))

    found = [by_product(*leaves)], [layer(x, r, edge_index, to_so2(leaves[2]))]
    for orders in found:
        for order in range(2):
            cotangents = [
                torch.randn(t.shape, dtype=D, generator=torch.Generator().manual_seed(order)) for t in orders[-1:]
            ]
            total = sum((t * c).sum() for t, c in zip(orders[-1:], cotangents)) + sum(0 * t.sum() for t in leaves)
            gradients = torch.autograd.grad(total, leaves, create_graph=True)
            orders += gradients if order == 0 else []
            orders.append(torch.cat([t.flatten() for t in gradients]))
    for expected, value in zip(*found, strict=True):
        torch.testing.assert_close(
            value, expected, rtol=1e-12, atol=1e-12 * max(1.0, float(expected.detach().abs().max()))
        )


@pytest.mark.parametrize("normalization", ["norm", "integral"])
def test_other_normalizations_of_the_harmonics(normalization: str, generator: torch.Generator) -> None:
    tensor = product("natural", "mul_ir")
    to_so2 = PathsToSO2(tensor, normalization, dtype=D)
    x = torch.randn(1, tensor.irreps_in1.dim, dtype=D, generator=generator)
    r = torch.randn(1, 3, dtype=D, generator=generator)
    w = torch.randn(1, tensor.weight_numel, dtype=D, generator=generator)
    expected = tensor(x, spherical_harmonics([0, 1, 2, 3, 4], r, True, normalization), w)
    found = to_so2.convolution(layout="mul_ir", dtype=D)(x, r, torch.zeros(2, 1, dtype=torch.int64), to_so2(w))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_all_harmonics_span_all_so2_maps() -> None:
    tensor = product("natural", "ir_mul")
    to_so2 = PathsToSO2(tensor, dtype=D)
    matrix = to_so2(torch.eye(tensor.weight_numel, dtype=D))
    assert matrix.shape == (tensor.weight_numel, tensor.weight_numel)
    assert float(torch.linalg.svdvals(matrix).min()) > 1e-2
    weight = torch.randn(7, tensor.weight_numel, dtype=D)
    # so it can be folded into a last layer
    torch.testing.assert_close(to_so2(weight), weight @ matrix, rtol=1e-12, atol=1e-12)


def deviation(
    layer: SO2Convolution, q: Tensor, arguments: tuple[Tensor, ...], layout: str, dtype: torch.dtype = D
) -> float:
    """max |f(g x) - g f(x)| / rms(f) in units of the layer's precision, g applied in float64."""

    def act(t: Tensor, irreps: Irreps) -> Tensor:
        plain = swapped(t, irreps, "ir_mul") if layout == "ir_mul" else t
        moved = plain @ irreps.D_from_matrix(q).T
        return swapped(moved, irreps) if layout == "ir_mul" else moved

    x, r, edge_index, w = (t.to(dtype).to(D) if t.is_floating_point() else t for t in arguments)
    before = layer(x.to(dtype), r.to(dtype), edge_index, w.to(dtype)).to(D)
    after = layer(act(x, layer.irreps_in).to(dtype), (r @ q.T).to(dtype), edge_index, w.to(dtype)).to(D)
    error = (after - act(before, layer.irreps_out)).abs().max() / before.square().mean().sqrt()
    return float(error.detach()) / torch.finfo(dtype).eps


@layers
def test_equivariance(name: str, generator: torch.Generator, plain: None) -> None:
    layer = build(name)
    arguments = inputs(layer, generator)
    q = rand_matrix(dtype=D, generator=generator)
    assert deviation(layer, q, arguments, "ir_mul") <= 500
    reflected = deviation(layer, -q, arguments, "ir_mul")
    assert reflected <= 500 if layer.linear.reflections else reflected > 1e12
    assert deviation(layer.float(), q, arguments, "ir_mul", torch.float32) <= 40


def test_equivariance_in_single_precision_with_compiled_kernels(generator: torch.Generator) -> None:
    layer = build("uvu", "mul_ir")
    q = rand_matrix(dtype=D, generator=generator)
    for rotation in (q, -q):
        assert deviation(layer.float(), rotation, inputs(layer, generator), "mul_ir", torch.float32) <= 40


@layers
def test_both_layouts_compute_the_same(name: str, generator: torch.Generator, plain: None) -> None:
    one, other = build(name, "ir_mul"), build(name, "mul_ir")
    other.load_state_dict(one.state_dict())
    x, r, edge_index, w = inputs(one, generator)
    expected = swapped(other(swapped(x, one.irreps_in, "ir_mul"), r, edge_index, w), one.irreps_out)
    torch.testing.assert_close(one(x, r, edge_index, w), expected, rtol=1e-13, atol=1e-13)


@layers
def test_first_and_second_derivatives(name: str, generator: torch.Generator, plain: None) -> None:
    layer = build(name)
    x, r, edge_index, w = inputs(layer, generator, zero=False)
    differentiates(lambda x, r, w: layer(x, r, edge_index, w), x, r, w)
    if layer.weight is not None:

        def of_weights(own: Tensor) -> Tensor:
            return torch.func.functional_call(layer, {"weight": own}, (x, r, edge_index, w))

        differentiates(of_weights, layer.weight)


@layers
def test_an_edge_of_length_zero_is_the_mean_over_all_directions(
    name: str, generator: torch.Generator, plain: None
) -> None:
    layer = build(name)
    x = torch.randn(1, layer.irreps_in.dim, dtype=D, generator=generator)
    w = torch.randn(1, layer.weight_numel, dtype=D, generator=generator)
    heights, weights = torch.from_numpy(np.stack(np.polynomial.legendre.leggauss(8)))  # exact to degree 15
    turns = torch.arange(16, dtype=D) * (2 * torch.pi / 16)
    circle = torch.stack([turns.cos(), torch.zeros(16, dtype=D), turns.sin()], -1)
    axis = torch.tensor([0.0, 1, 0], dtype=D)
    r = (heights[:, None, None] * axis + (1 - heights[:, None, None] ** 2).sqrt() * circle).reshape(-1, 3)
    count = len(r)
    each = layer(
        x,
        r,
        torch.stack([torch.zeros(count, dtype=torch.int64), torch.arange(count)]),
        w.expand(count, -1),
        nodes=count,
    )
    mean = (each * weights.repeat_interleave(16)[:, None]).sum(0) / 32
    zero = torch.zeros(1, 3, dtype=D, requires_grad=True)
    found = layer(x, zero, torch.zeros(2, 1, dtype=torch.int64), w)
    torch.testing.assert_close(found[0], mean, rtol=1e-12, atol=1e-12)
    (gradient,) = torch.autograd.grad(found.sum(), zero, create_graph=True, materialize_grads=True)
    assert not bool(gradient.any())


def test_frames_are_shared(generator: torch.Generator, plain: None) -> None:
    layer = build("uvw, SO(3), truncated")
    x, r, edge_index, w = inputs(layer, generator)
    expected = layer(x, r, edge_index, w)
    for frames in (layer.frames(r), edge_frames(r, 3), edge_frames(r, 2, 1)):
        torch.testing.assert_close(layer(x, frames, edge_index, w), expected, rtol=1e-13, atol=1e-13)


@layers
def test_travels(name: str, generator: torch.Generator, plain: None) -> None:
    layer = build(name)
    arguments = inputs(layer, generator)
    expected = layer(*arguments)
    assert torch.equal(copy.deepcopy(layer)(*arguments), expected)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(*arguments), expected)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    layer.load_state_dict(torch.load(file, weights_only=True))
    x, r, edge_index, w = arguments
    assert not bool(layer(x, r[:0], edge_index[:, :0], w[:0]).any())
    assert layer(x[:0], r[:0], edge_index[:, :0], w[:0]).shape == (0, layer.irreps_out.dim)
    assert torch.equal(layer(x, r, edge_index, w, nodes=7)[:4], expected)
    torch.testing.assert_close(
        layer(x.mT.contiguous().mT, r.mT.contiguous().mT, edge_index, w.mT.contiguous().mT), expected
    )
    single = copy.deepcopy(layer).float()(*(t.float() if t.is_floating_point() else t for t in arguments))
    torch.testing.assert_close(single.double(), expected, rtol=1e-4, atol=1e-5)


def test_compiles_with_forces_and_exports(generator: torch.Generator, plain: None) -> None:
    layer = build("uvw, m = 0")
    arguments = inputs(layer, generator)
    expected = layer(*arguments)
    with as_users_run_it():
        torch._dynamo.reset()
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(
            torch.export.export(layer, arguments).module()(*arguments), expected, rtol=1e-12, atol=1e-12
        )
        forces = []
        for function in (layer, compiled):
            r = arguments[1].clone().requires_grad_()
            z = function(arguments[0], r, *arguments[2:])
            torch.testing.assert_close(z, expected, rtol=1e-12, atol=1e-12)
            forces.append(torch.autograd.grad(z.square().sum(), r)[0])
        torch.testing.assert_close(*forces, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["uvu, SO(3)", "uvw, parities"])
def test_batches(name: str, generator: torch.Generator, plain: None) -> None:
    layer = build(name)
    x, *others = inputs(layer, generator)
    many = torch.stack([x, -2 * x])
    expected = torch.stack([layer(x, *others), -2 * layer(x, *others)])
    torch.testing.assert_close(torch.func.vmap(lambda x: layer(x, *others))(many), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("left", "right"), [("", "2x1o"), ("2x1o", ""), ("0x1o", "2x1o"), ("2x1o", "0x1o+0x0e"), ("2x0e", "3x0e")]
)
def test_nothing_to_join_gives_zero(left: str, right: str) -> None:
    layer = SO2Convolution(left, right)
    x, r, edge_index = torch.randn(3, layer.irreps_in.dim), torch.randn(2, 3), torch.tensor([[0, 1], [1, 2]])
    assert layer.weight_numel == 0
    assert torch.equal(layer(x, r, edge_index, torch.zeros(2, 0)), torch.zeros(3, layer.irreps_out.dim))


REFUSED: dict[str, tuple[Any, str]] = {
    "mode": (lambda: SO2Convolution("0e", "0e", mode="uuu"), "mode"),
    "layout": (lambda: SO2Convolution("0e", "0e", layout="mul"), "layout"),
    "mmax": (lambda: SO2Convolution("0e", "0e", mmax=-1), "start at 0"),
    "features": (lambda: call(x=torch.zeros(3, 5)), "expected"),
    "precision": (lambda: call(x=torch.zeros(3, 8, dtype=D)), "float64"),
    "precision of the layer": (lambda: call("uvw", x=torch.zeros(3, 8, dtype=D), weight=None), "the layer is in"),
    "nodes": (lambda: call(x=torch.zeros(8)), "one row a node"),
    "vectors": (lambda: call(edges=torch.zeros(2, 2)), "floats of shape"),
    "number of vectors": (lambda: call(edges=torch.zeros(3, 3)), "one vector an edge"),
    "precision of vectors": (lambda: call(edges=torch.ones(2, 3, dtype=D)), "precision"),
    "frames": (lambda: call(edges=edge_frames(torch.ones(2, 3), 1, 0)), "edge_frames"),
    "index": (lambda: call(edge_index=torch.tensor([[0, 3], [0, 1]])), "3"),
    "destination": (lambda: call(edge_index=torch.tensor([[0, 1], [0, 5]])), "5"),
    "negative": (lambda: call(edge_index=torch.tensor([[0, -1], [0, 1]])), "-1"),
    "type of index": (lambda: call(edge_index=torch.zeros(2, 2, dtype=torch.int32)), "int64"),
    "no weights": (lambda: call(weight=None), "missing"),
    "weights": (lambda: call(weight=torch.zeros(2, 3)), "weight"),
    "shared product": (lambda: PathsToSO2(TensorProduct("2x0e", "0e", "2x0e", [(0, 0, 0, "uvu", True)])), "shared"),
    "no harmonics": (
        lambda: PathsToSO2(TensorProduct("2x0e", "2x0e", "2x0e", [(0, 0, 0, "uvu", True)], shared_weights=False)),
        "harmonics",
    ),
    "path weights": (lambda: PathsToSO2(product("natural", "mul_ir"), dtype=D)(torch.zeros(3, 2, dtype=D)), "weights"),
}


def call(mode: str = "uvu", **changed: Any) -> Tensor:
    layer = SO2Convolution("2x0e+2x1o", "2x0e+2x1o", mode=mode)
    given: dict[str, Any] = {
        "x": torch.zeros(3, 8),
        "edges": torch.ones(2, 3),
        "edge_index": torch.tensor([[0, 1], [1, 2]]),
    }
    return layer(**{**given, "weight": torch.zeros(2, layer.weight_numel), **changed})


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name: str) -> None:
    action, words = REFUSED[name]
    with as_users_run_it(), pytest.raises(InputError, match=words) as raised:
        action()
    assert raised.value.remedy
