"""SE(3)-Transformer: the contract in its modes, and e3nn's building blocks at the same weights, with the softmax in
loops.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from contract import ModelContract
from switches import as_users_run_it, default_precision
from torch import Tensor

from intertwine.geometry import Graph, connect
from intertwine.models.se3_transformer import SE3Layer, SE3Transformer
from intertwine.nn import Backbone
from intertwine.numerics import GeometryError, InputError
from intertwine.tasks import Dynamics

SMALL = {
    "width": 4,
    "layers": 2,
    "lmax": 1,
    "heads": 2,
    "keys": 2,
    "cutoff": 2.5,
    "species": (1, 6, 8),
    "radial_size": 5,
    "radial_width": 8,
}


class TestSE3Transformer(ModelContract):
    @pytest.fixture
    def model(self) -> Backbone:
        return SE3Transformer(**SMALL).double()


class TestSE3TransformerOfAllPairs(ModelContract):
    """The n-body task: no cutoff, velocities, charges, both parities."""

    fields, species = ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        options = {
            "species": (),
            "vector_inputs": ("vel",),
            "node_inputs": ("charge",),
            "edge_inputs": ("charge_product",),
        }
        return SE3Transformer(**SMALL | options | {"cutoff": None, "parity": True}).double()


def loaded(theirs: torch.nn.Module, ours: torch.nn.Module) -> torch.nn.Module:
    theirs = theirs.double()
    theirs.load_state_dict(ours.state_dict(), strict=False)
    return theirs


def linear(layer: torch.nn.Module, x: Tensor) -> Tensor:
    from e3nn import o3

    return loaded(o3.Linear(str(layer.irreps_in), str(layer.irreps_out)), layer)(x)


def product(layer: torch.nn.Module, x: Tensor, harmonics: Tensor, weight: Tensor) -> Tensor:
    from e3nn import o3

    irreps = [str(part) for part in (layer.irreps_in, layer.irreps_edge, layer.irreps_out)]
    paths = [tuple(path[:5]) for path in layer.instructions]
    return o3.TensorProduct(*irreps, paths, shared_weights=False, internal_weights=False).double()(x, harmonics, weight)


def head_parts(x: Tensor, irreps: str, heads: int) -> list[Tensor]:
    """The components of each head, of all blocks."""
    from e3nn import o3

    parts: list[list[Tensor]] = [[] for _ in range(heads)]
    for (mul, ir), where in zip(o3.Irreps(irreps), o3.Irreps(irreps).slices()):
        for h, piece in enumerate(x[where].reshape(mul, ir.dim).chunk(heads)):
            parts[h].append(piece.flatten())
    return [torch.cat(pieces) for pieces in parts]


def theirs(
    layer: SE3Layer, f: Tensor, harmonics: Tensor, attributes: Tensor, envelope: Tensor, edge_index: Tensor, rest: float
) -> Tensor:
    """The layer by e3nn, features in mul_ir; ``rest`` is the weight of the edge to nowhere."""
    from e3nn import nn, o3

    (j, i), ours, nodes = edge_index, layer.attention, len(f)
    widths, variance = ours.radial.hs, ours.radial.layer0.var_in
    radial = loaded(nn.FullyConnectedNet(widths, torch.nn.functional.silu, variance_in=variance), ours.radial)
    w_k, w_v = radial(attributes).split(ours.sizes, dim=1)
    k = product(ours.key, linear(ours.key_up, f)[j], harmonics, w_k)
    v = product(ours.value, linear(ours.value_up, f)[j], harmonics, w_v)
    q, irreps, heads = linear(ours.query, f), str(ours.key.irreps_out), ours.heads
    logits = torch.stack(
        [
            torch.stack(
                [
                    a @ b / math.sqrt(len(a))
                    for a, b in zip(head_parts(q[n], irreps, heads), head_parts(k[e], irreps, heads))
                ]
            )
            for e, n in enumerate(i.tolist())
        ]
    )
    sums = []
    for n in range(nodes):
        here = (i == n).nonzero().flatten().tolist()
        total = [rest + sum(envelope[e] * logits[e, h].exp() for e in here) for h in range(heads)]
        z = f.new_zeros(ours.value.irreps_out.dim)
        for e in here:
            pieces = []
            for (mul, ir), where in zip(
                o3.Irreps(str(ours.value.irreps_out)), o3.Irreps(str(ours.value.irreps_out)).slices()
            ):
                alpha = torch.stack(
                    [envelope[e] * logits[e, u * heads // mul].exp() / total[u * heads // mul] for u in range(mul)]
                )
                pieces.append((alpha[:, None] * v[e, where].reshape(mul, ir.dim)).flatten())
            z = z + torch.cat(pieces)
        sums.append(z)
    y = (linear(ours.mix, torch.stack(sums)) + linear(layer.self_interaction, f)) / math.sqrt(2)
    g = layer.gate
    acts = [torch.nn.functional.silu if ir.p == 1 else torch.tanh for _, ir in g.irreps_scalars]
    irreps = [str(part) for part in (g.irreps_scalars, g.irreps_gates, g.irreps_gated)]
    gate = nn.Gate(irreps[0], acts, irreps[1], [torch.sigmoid] * len(g.irreps_gates), irreps[2]).double()
    assert str(gate.irreps_in) == str(g.irreps_in)
    return gate(y)


@pytest.fixture
def double() -> Iterator[None]:
    with default_precision(torch.float64):
        yield


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(
    "options", [{}, {"parity": True, "layers": 3}, {"cutoff": None}], ids=["natural", "both", "all pairs"]
)
def test_against_e3nn(options: dict) -> None:
    """Features after all layers, and derivatives by positions."""
    from e3nn import o3

    model = SE3Transformer(**SMALL | options).double()
    pos = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    graph = connect(Graph(pos.detach(), z=[1, 6, 8, 1, 6]), model.cutoff)
    graph.pos = pos
    j, i = graph.edge_index
    if model.cutoff is None:
        d = (pos[j] - pos[i]).norm(dim=1)
        attributes, envelope = model.edges.radial(d / (d + 2)), torch.ones(len(i), dtype=torch.float64)
    else:
        edges = model.edges(graph)
        attributes, envelope = edges.attributes, edges.envelope.squeeze(1)
    harmonics = o3.spherical_harmonics([0, 1], pos[j] - pos[i], normalize=True, normalization="component")
    f = model.embedding(graph)
    for layer in model.layers:
        f = theirs(layer, f, harmonics, attributes, envelope, graph.edge_index, float(model.cutoff is not None))
    ours = model(graph)
    torch.testing.assert_close(ours, f, rtol=0, atol=1e-13)
    direction = torch.randn_like(ours)
    gradients = [torch.autograd.grad((direction * x).sum(), pos)[0] for x in (ours, f)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)


def test_odd_scalars_tell_left_from_right() -> None:
    """With both parities there is a pseudoscalar, which changes its sign in the mirror; natural scalars are blind."""
    pos = torch.tensor(
        [[0, 0, 0], [1.1, 0, 0], [0, 1.2, 0.1], [0.2, 0.3, 1.3], [-0.9, -0.8, -0.4]], dtype=torch.float64
    )
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    model = SE3Transformer(**SMALL | {"layers": 4, "cutoff": 4.0, "parity": True, "lmax": 2}, outputs="0e+0o").double()
    f, g = (model(Graph(x, z=[6, 1, 8, 6, 8])) for x in (pos, pos @ mirror))
    odd = model.irreps_out.part(f, "0o")
    assert odd.abs().max() > 1e-6
    assert (odd + model.irreps_out.part(g, "0o")).abs().max() < 1e-11 * odd.abs().max()
    torch.testing.assert_close(model.irreps_out.part(f, "0e"), model.irreps_out.part(g, "0e"), rtol=0, atol=1e-13)


def test_attention_is_bounded() -> None:
    """Values are averaged, not summed: without a cutoff copies of the neighbours change nothing."""
    model = SE3Transformer(**SMALL | {"cutoff": None}).double()
    found = []
    for copies in (1, 5):
        pos = torch.tensor([(0.0, 0.0, 0.0)] + [(1.2, 0.0, 0.0)] * copies, dtype=torch.float64)
        edges = torch.stack([torch.arange(1, copies + 1), torch.zeros(copies, dtype=torch.int64)])
        found.append(model(Graph(pos, z=[6] + [1] * copies, edge_index=edges))[0])
    torch.testing.assert_close(*found, rtol=0, atol=1e-14)


def test_particles() -> None:
    """The task of the charged particles, with a derivative for every weight."""
    options = {
        "species": (),
        "vector_inputs": ("vel",),
        "node_inputs": ("charge", "speed"),
        "edge_inputs": ("charge_product",),
    }
    task = Dynamics(SE3Transformer(**SMALL | options | {"cutoff": None}))
    pos, vel, target = torch.randn(3, 5, 3)
    graph = Graph(pos, vel=vel, charge=torch.tensor([1.0, -1, 1, 1, -1]), target_pos=target)
    task.residuals(task.predict(graph), graph)["pos"].square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in task.parameters())


def test_compiled() -> None:
    model = SE3Transformer(**SMALL).double()
    graph = connect(Graph(torch.randn(6, 3, dtype=torch.float64), z=[8, 1, 1, 6, 8, 1]), 2.5)
    with as_users_run_it():
        torch.testing.assert_close(torch.compile(model, backend="aot_eager")(graph), model(graph), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", SE3Transformer.PRESETS)
def test_presets(name: str) -> None:
    model = SE3Transformer(**SE3Transformer.PRESETS[name] | {"layers": 2})
    assert model(Graph(torch.randn(2, 3), z=[6, 1])).shape == (2, model.irreps_out.dim)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lmax": -1}, "lmax"),
        ({"outputs": "0e+2o", "layers": 1}, "nothing leads to 2o"),
        ({"heads": 3}, "3 heads for 4 channels and 2 of keys"),
        ({"heads": 4}, "4 heads for 4 channels and 2 of keys"),
        ({"keys": 0}, "keys"),
        ({"width": 0}, "width"),
        ({"layers": 0}, "layers"),
        ({"cutoff": -1.0}, "cutoff"),
        ({"cutoff": None, "scale": 0.0}, "scale"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SE3Transformer(**SMALL | arguments)


def test_velocities_that_are_missing_are_named() -> None:
    with pytest.raises(GeometryError, match="vel"):
        SE3Transformer(**SMALL, vector_inputs=("vel",))(Graph(torch.zeros(2, 3), z=[1, 1]))
