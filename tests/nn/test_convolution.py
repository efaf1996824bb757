"""Convolutions: the definition (gather, product, sum) to the last digits, its symmetry, and what must not be stored."""

from __future__ import annotations

import copy
import io
import os
import pickle
from typing import Any

import pytest
import torch
from convolution_cases import ALL, LEFT, SHARED, D, build, definition, inputs
from nn_checks import differentiates, swapped
from switches import as_users_run_it
from torch import Tensor, nn

from intertwine.nn.convolution import Convolution
from intertwine.nn.irreps.fully_connected_convolution import FullyConnectedConvolution
from intertwine.numerics import InputError, segment
from intertwine.o3 import FullyConnectedTensorProduct, Irreps, Linear, rand_matrix, split_blocks

layouts = pytest.mark.parametrize("layout", ["ir_mul", "mul_ir"])
every_layer = pytest.mark.parametrize(("kind", "name"), ALL, ids=[" ".join(one) for one in ALL])


@layouts
@every_layer
def test_equals_gather_product_sum_with_two_derivatives(
    kind: str, name: str, layout: str, generator: torch.Generator
) -> None:
    layer = build(kind, name, layout)
    x, y, edge_index, *weight = inputs(layer, generator)
    product = definition(layer)
    scale = getattr(layer, "convolution", layer).average_degree ** -0.5

    def by_definition(x: Tensor, y: Tensor, _: Tensor, *weight: Tensor) -> Tensor:
        return scale * segment.sum(product(x.index_select(0, edge_index[0]), y, *weight), edge_index[1], len(x))

    orders = []
    for function, owner in ((layer, layer), (by_definition, product)):
        leaves = [t.clone().requires_grad_() for t in (x, y, *weight) if t is not None]
        z = function(*leaves[:2], edge_index, *leaves[2:])
        leaves += list(owner.parameters())
        cotangent = torch.randn(z.shape, dtype=D, generator=torch.Generator().manual_seed(1))
        first = torch.autograd.grad((z * cotangent).sum(), leaves, create_graph=True)
        second = torch.autograd.grad(
            sum((g * (1 + torch.arange(g.numel(), dtype=D).view_as(g).sin())).sum() for g in first), leaves
        )
        orders.append([z, *first, *second])
    for found, expected in zip(*orders, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@layouts
def test_blocks_are_sorted_and_a_linear_map_reads_them(layout: str, generator: torch.Generator) -> None:
    layer = build("plain", "all", layout)
    assert layer.irreps_out == layer.irreps_out.sort().irreps
    assert [path.i_out for path in layer.instructions] == list(range(len(layer.irreps_out)))
    mixed = Linear(layer.irreps_out, "2x0e+2x1o", layout=layout, dtype=D)(layer(*inputs(layer, generator)))
    assert mixed.shape == (4, 8)


def test_layouts_agree(generator: torch.Generator) -> None:
    for name in ("all", "channels of edges"):
        one, other = build("plain", name, "mul_ir"), build("plain", name, "ir_mul")
        x, y, edge_index, w = inputs(one, generator)
        there = other(swapped(x, one.irreps_in), swapped(y, one.irreps_edge), edge_index, w)
        torch.testing.assert_close(
            swapped(there, one.irreps_out, "ir_mul"), one(x, y, edge_index, w), rtol=1e-13, atol=1e-13
        )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@every_layer
def test_commutes_with_rotations_and_reflections(
    kind: str, name: str, dtype: torch.dtype, generator: torch.Generator
) -> None:
    layer = build(kind, name, "mul_ir").to(dtype)
    x, y, *rest = inputs(layer, generator)
    rest = [t.to(dtype) if t is not None and t.is_floating_point() else t for t in rest]
    q = rand_matrix(dtype=D, generator=generator)
    value = layer(x.to(dtype), y.to(dtype), *rest)
    for rotation in (q, -q):
        turned = layer(
            *(s.transform(rotation, t).to(dtype) for s, t in ((layer.irreps_in, x), (layer.irreps_edge, y))), *rest
        )
        expected = layer.irreps_out.transform(rotation, value.detach().double())
        deviation = (turned.double() - expected).abs().max() / expected.square().mean().sqrt() / torch.finfo(dtype).eps
        assert deviation < (500 if dtype == D else 40)


@every_layer
def test_order_of_nodes_and_edges(kind: str, name: str, generator: torch.Generator) -> None:
    layer = build(kind, name)
    x, y, edge_index, *weight = inputs(layer, generator)
    expected = layer(x, y, edge_index, *weight)
    nodes, edges = torch.randperm(4, generator=generator), torch.randperm(9, generator=generator)
    moved = torch.argsort(nodes)[edge_index][:, edges]  # node n of the old graph is argsort(nodes)[n] of the new one
    found = layer(x[nodes], y[edges], moved, *(w if w is None else w[edges] for w in weight))
    torch.testing.assert_close(found, expected[nodes], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("edge", "degree"), [("0e+1o+2e", 1), ("0e+1o+2e", 4.0), ("2x0e+2x1o", 1)])
def test_variance_of_a_message(edge: str, degree: float) -> None:
    """Of x, y and w with independent components of variance 1: the sum over all components of x and y of the
    squares.
    """
    layer = Convolution("0e+1o+2e", edge, average_degree=degree, layout="mul_ir")
    dim = layer.irreps_edge.dim
    source, component = torch.arange(9).repeat_interleave(dim), torch.arange(dim).repeat(9)
    alone = torch.stack([source, torch.arange(9 * dim)])  # a message a row
    z = layer(
        torch.eye(9, dtype=D),
        torch.eye(dim, dtype=D)[component],
        alone,
        torch.ones(9 * dim, layer.weight_numel, dtype=D),
        9 * dim,
    )
    torch.testing.assert_close(
        z.square().sum(0), torch.full((layer.irreps_out.dim,), 1 / degree, dtype=D), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("layer", [("plain", "filtered"), ("shared", "small")], ids=str)
def test_first_and_second_derivatives(layer: tuple[str, str], generator: torch.Generator) -> None:
    module = build(*layer)
    x, y, edge_index, *weight = inputs(module, generator, nodes=3, edges=5)
    names = [name for name, _ in module.named_parameters()]

    def function(x: Tensor, y: Tensor, *rest: Tensor) -> Tensor:
        parameters = dict(zip(names, rest[len(weight) :]))
        return torch.func.functional_call(module, parameters, (x, y, edge_index, *rest[: len(weight)]))

    differentiates(function, x, y, *weight, *module.parameters())


def test_a_filter_leaves_no_gradient_behind(generator: torch.Generator) -> None:
    layer = Convolution("4x0e", "0e+1o+2e", "1o")
    x, y, edge_index, w = inputs(layer, generator)
    y.requires_grad_()
    layer(x, y, edge_index, w).sum().backward()
    assert layer.irreps_out == Irreps("4x1o")
    assert y.grad is not None
    assert not y.grad[:, 0].any()
    assert not y.grad[:, 4:].any()
    assert y.grad[:, 1:4].all()


def test_two_sets_of_nodes(generator: torch.Generator) -> None:
    for layer in (build("plain", "all"), build("shared", "natural")):
        x, y, edge_index, *weight = inputs(layer, generator)
        edge_index = torch.stack([edge_index[0], torch.arange(9) + 1])
        z = layer(x, y, edge_index, *weight, nodes=12)
        assert z.shape == (12, layer.irreps_out.dim)
        assert not z[[0, 10, 11]].any()
        assert z[1:10].any(1).all()


@every_layer
def test_nothing_to_sum(kind: str, name: str, generator: torch.Generator) -> None:
    layer = build(kind, name)
    for nodes, edges in ((3, 0), (0, 0), (1, 1)):
        arguments = inputs(layer, generator, nodes, edges)
        z = layer(*[t.requires_grad_() if t is not None and t.is_floating_point() else t for t in arguments])
        assert z.shape == (nodes, layer.irreps_out.dim)
        assert bool(z.any()) == (edges > 0)
        gradients = torch.autograd.grad(
            z.sum(), [t for t in arguments if t is not None and t.requires_grad], create_graph=True
        )
        assert all(bool(g.isfinite().all()) for g in gradients)


@pytest.mark.parametrize(
    ("left", "edge", "out", "dim"),
    [
        ("", "0e", None, 0),
        ("2x0e", "", None, 0),
        ("0x1o+2x0e", "0e+1o", "0e+1o", 8),
        ("2x0e", "0x1o+0e", None, 2),
        ("2x0e", "0e", "", 0),
    ],
)
def test_empty_representations(left: str, edge: str, out: str | None, dim: int, generator: torch.Generator) -> None:
    layer = Convolution(left, edge, out)
    z = layer(*inputs(layer, generator))
    assert z.shape == (4, dim)
    assert bool(z[:3].any()) == (dim > 0)
    assert bool(z.isfinite().all())
    shared = FullyConnectedConvolution(left, edge, "3x0e" if out is None else out, dtype=D)
    z = shared(*inputs(shared, generator))
    assert z.shape == (4, shared.irreps_out.dim)
    assert bool(z.isfinite().all())


def test_state_of_a_tensor_product() -> None:
    left, right, out, _ = SHARED["channels of edges"]
    layer = FullyConnectedConvolution(left, right, out, dtype=D)
    product = FullyConnectedTensorProduct(left, right, out, dtype=D)
    assert list(layer.state_dict()) == list(product.state_dict())
    torch.testing.assert_close(layer.output_mask, product.output_mask)
    layer.load_state_dict(product.state_dict())
    assert torch.equal(layer.weight, product.weight)


@pytest.mark.parametrize("layer", [("plain", "filtered"), ("shared", "small")], ids=str)
def test_travels(layer: tuple[str, str], generator: torch.Generator) -> None:
    module = build(*layer)
    arguments = inputs(module, generator)
    expected = module(*arguments)
    assert torch.equal(expected, module(*arguments))
    assert torch.equal(copy.deepcopy(module)(*arguments), expected)
    assert torch.equal(pickle.loads(pickle.dumps(module))(*arguments), expected)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    module.load_state_dict(torch.load(file, weights_only=True))
    strided = [t.mT.contiguous().mT for t in arguments]
    assert torch.equal(module(*strided), expected)
    single = copy.deepcopy(module).float()(*(t.float() if t.is_floating_point() else t for t in arguments))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        for parameter in module.parameters():  # of few digits, or single precision would round them
            parameter.copy_(parameter.float())
    expected = module(*arguments)
    assert torch.equal(copy.deepcopy(module).float().double()(*arguments), expected)
    batch = torch.stack([arguments[0], 2 * arguments[0]])
    several = torch.func.vmap(lambda x: module(x, *arguments[1:]))(batch)
    torch.testing.assert_close(several, torch.stack([expected, 2 * expected]), rtol=1e-13, atol=1e-13)


class Both(nn.Module):
    """One layer of each kind, so that one compilation is enough."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Convolution("2x1o", "1o", "0e+1e", average_degree=2)
        self.second = FullyConnectedConvolution(self.first.irreps_out, "1o", "1o", dtype=D)

    def forward(self, x: Tensor, edge_attr: Tensor, edge_index: Tensor, weight: Tensor) -> Tensor:
        return self.second(self.first(x, edge_attr, edge_index, weight), edge_attr, edge_index)


def test_compiled_and_exported(generator: torch.Generator) -> None:
    """Exported for any number of nodes and edges."""
    module = Both()
    arguments, larger = inputs(module.first, generator), inputs(module.first, generator, nodes=6, edges=13)
    nodes, edges = torch.export.Dim("nodes"), torch.export.Dim("edges")
    shapes = {"x": {0: nodes}, "edge_attr": {0: edges}, "edge_index": {1: edges}, "weight": {0: edges}}
    with as_users_run_it():
        torch._dynamo.reset()
        exported = torch.export.export(module, tuple(arguments), dynamic_shapes=shapes).module()
        for given in (arguments, larger):
            torch.testing.assert_close(exported(*given), module(*given), rtol=1e-13, atol=1e-13)
        leaves = [t.clone().requires_grad_() if t.is_floating_point() else t for t in arguments]
        wanted = [*(t for t in leaves if t.is_floating_point()), *module.parameters()]
        expected, found = module(*leaves), torch.compile(module, fullgraph=True, backend="aot_eager")(*leaves)
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
        for one, other in zip(torch.autograd.grad(found.sum(), wanted), torch.autograd.grad(expected.sum(), wanted)):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.skipif(os.environ.get("INTERTWINE_KERNELS") == "reference", reason="plain torch stores the messages")
@pytest.mark.parametrize("shared", [False, True])
def test_no_messages_are_stored(shared: bool, generator: torch.Generator) -> None:
    left, right = "8x0e+8x1o", "0e+1o"
    layer: Any = (
        FullyConnectedConvolution(left, right, "2x0e+1e+1o+2e", dtype=D) if shared else Convolution(left, right)
    )
    arguments = inputs(layer, generator, nodes=20, edges=2000)
    leaves = [t.requires_grad_() if t.is_floating_point() else t for t in arguments]
    messages = 8 * 2000 * (layer.convolution if shared else layer).irreps_out.dim
    needed = 8 * 2000 * (layer.irreps_edge.dim if shared else layer.weight_numel)

    def twice() -> None:
        wanted = [t for t in leaves if t.is_floating_point()]
        first = torch.autograd.grad(layer(*leaves).square().sum(), wanted, create_graph=True)
        torch.autograd.grad(sum(g.square().sum() for g in first), wanted)

    twice()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        twice()
    largest = max(event.nbytes() for event in profile.profiler.kineto_results.events() if event.name() == "[memory]")
    assert 0 < largest <= needed + 50_000 < messages / 2


def test_bad_input_is_named(generator: torch.Generator) -> None:
    layer = build("plain", "all")
    x, y, edge_index, w = inputs(layer, generator)
    shared = build("shared", "natural")
    wrong = [
        (lambda: Convolution("2x0e", "0e+1o", "2e+3o"), "filter_ir_out", "1x0e+1x1o"),
        (lambda: Convolution("2x1o", "1o", lmax=-1), "filter_ir_out", "1x0e+1x1e+1x2e"),
        (lambda: FullyConnectedConvolution("2x0e", "1o", "2x0e"), "filter_ir_out", "1x1o"),
        (lambda: Convolution("0e", "0e", average_degree=0), "average_degree", "> 0"),
        (lambda: Convolution("0e", "0e", layout="mulir"), "Convolution", "mul_ir"),
        (lambda: layer(x, y, edge_index), "weight", str(layer.weight_numel)),
        (lambda: layer(x, y, edge_index, w[:, 1:]), "weight", str(layer.weight_numel)),
        (lambda: layer(x, y, edge_index, w[1:]), "weight", "(9, "),
        (lambda: layer(x[:, 1:], y, edge_index, w), LEFT, ""),
        (lambda: layer(x, y[:, :4], edge_index, w), "1x0e+1x1o+1x2e", ""),
        (lambda: layer(x, y[1:], edge_index, w), "edge", ""),
        (lambda: layer(x, y.float(), edge_index, w), "dtype", ""),
        (lambda: layer(x[None], y, edge_index, w), "x", "rows"),
        (lambda: layer(x, y, edge_index.T, w), "edge_index", "(2, edges)"),
        (lambda: layer(x, y, edge_index.int(), w), "source", "int64"),
        (lambda: layer(x, y, edge_index + 3, w), "", "count the nodes"),
        (lambda: layer(x, y, edge_index, w, -1), "nodes", ">= 0"),
        (lambda: build("plain", "no weights")(x, y, edge_index, w), "weight", "None"),
        (lambda: shared(x.float(), y.float(), edge_index), "x", ".to(dtype)"),
        (lambda: shared(x, y[:, 1:], edge_index), "1x0e+1x1o+1x2e", ""),
    ]
    with as_users_run_it():
        for function, where, remedy in wrong:
            with pytest.raises(InputError) as caught:
                function()
            assert where in caught.value.where, caught.value
            assert remedy in caught.value.remedy, caught.value


def test_scalars_are_a_continuous_filter(generator: torch.Generator) -> None:
    """With scalars alone it is SchNet's sum of filter times features."""
    layer = Convolution("5x0e", "0e")
    x, _, edge_index, w = inputs(layer, generator)
    z = layer(x, torch.ones(9, 1, dtype=D), edge_index, w)
    torch.testing.assert_close(z, segment.sum(w * x[edge_index[0]], edge_index[1], 4), rtol=1e-14, atol=1e-14)
    assert split_blocks(z, layer.irreps_out, "ir_mul")[0].shape == (4, 5, 1)
