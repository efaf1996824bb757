"""Tensor field network: the contract in its modes, and e3nn's building blocks at the same weights."""

from __future__ import annotations

import math

import pytest
import torch
from contract import ModelContract
from switches import as_users_run_it

from intertwine.geometry import Graph, connect
from intertwine.models.tensor_field import TensorField, TensorFieldLayer
from intertwine.nn import Backbone
from intertwine.numerics import GeometryError, InputError
from intertwine.o3.blocks import join_blocks, split_blocks

SMALL = {"width": 4, "layers": 2, "lmax": 1, "cutoff": 2.5, "species": (1, 6, 8), "radial_size": 5, "radial_width": 8}


class TestTensorField(ModelContract):
    @pytest.fixture
    def model(self) -> Backbone:
        return TensorField(**SMALL, average_degree=3.0).double()


class TestTensorFieldWithInputs(ModelContract):
    fields, species = ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        options = {
            "species": (),
            "vector_inputs": ("vel",),
            "node_inputs": ("charge",),
            "edge_inputs": ("charge_product",),
        }
        # at 4 A, since without residuals the features of few neighbours shrink to what single precision can't tell from
        # rounding
        return TensorField(**SMALL | options | {"cutoff": 4.0}, residual=False, parity=True, radial="gaussian").double()


def theirs(layer: TensorFieldLayer, x, harmonics, envelope, attributes, edge_index):
    """The layer by e3nn, features in mul_ir, with the shifted softplus and the norm written out."""
    from e3nn import o3

    j, i = edge_index
    ours = layer.convolution
    paths = [tuple(path[:5]) for path in ours.instructions]
    irreps = [o3.Irreps(str(part)) for part in (ours.irreps_in, ours.irreps_edge, ours.irreps_out, layer.irreps_out)]
    product = o3.TensorProduct(*irreps[:3], paths, shared_weights=False, internal_weights=False).double()
    weight = attributes
    for number, linear in enumerate(layer.radial.layers):
        weight = weight @ linear.weight.T + linear.bias
        weight = torch.log(0.5 * weight.exp() + 0.5) if number < len(layer.radial.layers) - 1 else weight
    messages = product(x[j], harmonics, weight) * envelope / math.sqrt(ours.average_degree)
    summed = torch.zeros(len(x), irreps[2].dim, dtype=x.dtype).index_add(0, i, messages)
    mix = o3.Linear(irreps[2], irreps[3], biases=True).double()
    mix.load_state_dict(layer.mix.state_dict(), strict=False)
    z = mix(summed)
    if layer.skip is not None:
        skip = o3.Linear(irreps[0], irreps[3]).double()
        skip.load_state_dict(layer.skip.state_dict(), strict=False)
        z = z + skip(x)
    blocks, start = [], 0
    for (mul, ir), where in zip(irreps[3], irreps[3].slices()):
        block = z[:, where].reshape(len(z), mul, ir.dim)
        if ir.is_scalar():
            blocks.append(torch.log(0.5 * block.exp() + 0.5).flatten(1))
            continue
        epsilon = layer.nonlinearity.smoothing
        norm = (block.square().sum(-1) + epsilon**2).sqrt() - epsilon
        factor = torch.log(0.5 * (norm + layer.nonlinearity.bias[start : start + mul]).exp() + 0.5) / (1 + norm)
        blocks.append((factor.unsqueeze(-1) * block).flatten(1))
        start += mul
    return torch.cat(blocks, dim=1)


@pytest.mark.parametrize("options", [{}, {"residual": False, "parity": True, "layers": 3}], ids=["residual", "plain"])
def test_against_e3nn(options: dict) -> None:
    """Features after all layers, and derivatives by positions, with random biases."""
    from e3nn import o3

    model = TensorField(**SMALL | options, average_degree=3.0).double()
    for layer in model.layers:
        for bias in (layer.mix.bias, layer.nonlinearity.bias, *(linear.bias for linear in layer.radial.layers)):
            torch.nn.init.normal_(bias, std=0.3)
    pos = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    graph = connect(Graph(pos.detach(), z=[1, 6, 8, 1, 6, 8]), 2.5)
    graph.pos = pos
    j, i = graph.edge_index
    edges = model.edges(graph)
    harmonics = o3.spherical_harmonics([0, 1], pos[j] - pos[i], normalize=True, normalization="component")
    x = model.embedding(graph)
    for layer in model.layers:
        x = theirs(layer, x, harmonics, edges.envelope, edges.attributes, graph.edge_index)
    ours = model(graph)
    torch.testing.assert_close(ours, x, rtol=0, atol=1e-12)
    direction = torch.randn_like(ours)
    gradients = [torch.autograd.grad((direction * f).sum(), pos)[0] for f in (ours, x)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-11)


def test_the_nonlinearity_in_its_layout() -> None:
    """The order of the channels does not matter to it."""
    layer = TensorField(**SMALL).double().layers[0].nonlinearity
    x = torch.randn(3, layer.irreps.dim, dtype=torch.float64)
    swapped = join_blocks([block.flip(1) for block in split_blocks(x, layer.irreps, "ir_mul")], "ir_mul")
    expected = join_blocks([block.flip(1) for block in split_blocks(layer(x), layer.irreps, "ir_mul")], "ir_mul")
    torch.testing.assert_close(layer(swapped), expected, rtol=0, atol=0)


def test_compiled() -> None:
    with as_users_run_it():
        model = TensorField(**SMALL).double()
        graph = connect(Graph(torch.randn(6, 3, dtype=torch.float64), z=[8, 1, 1, 6, 8, 1]), 2.5)
        torch.testing.assert_close(torch.compile(model, backend="aot_eager")(graph), model(graph), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lmax": -1}, "lmax"),
        ({"smoothing": 0.0}, "smoothing"),
        ({"outputs": "0e+2o", "layers": 1}, "nothing leads to 2o"),
        ({"average_degree": 0.0}, "neighbours on average"),
        ({"width": 0}, "width"),
        ({"layers": 0}, "layers"),
        ({"cutoff": -1.0}, "cutoff"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TensorField(**SMALL | arguments)


def test_the_plane_is_refused() -> None:
    with pytest.raises(GeometryError, match="2 dimensions"):
        TensorField(**SMALL)(Graph(torch.zeros(2, 2), z=[1, 1]))
