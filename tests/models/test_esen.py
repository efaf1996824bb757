"""eSEN: the contract in its modes, the equations in loops over edges and orders, high degrees, mirror images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import pytest
import torch
from contract import ModelContract
from switches import as_users_run_it, default_precision
from torch import Tensor

from intertwine.geometry import Graph, act, connect
from intertwine.groups import Isometry
from intertwine.models.esen import ESEN, DegreeNorm, FeedForward
from intertwine.nn import Backbone
from intertwine.nn.so2.frame_convolution import FrameConvolution
from intertwine.nn.so2.linear import SO2Linear
from intertwine.numerics import InputError

SMALL = {
    "width": 4,
    "layers": 2,
    "lmax": 2,
    "mmax": 1,
    "hidden": 2,
    "cutoff": 2.5,
    "species": (1, 6, 8),
    "radial_size": 5,
    "radial_width": 8,
    "average_degree": 3.0,
}


class TestESEN(ModelContract):
    @pytest.fixture
    def model(self) -> Backbone:
        return ESEN(**SMALL).double()


class TestESENWithoutReflections(ModelContract):
    """The papers': rotations, not reflections; with attention."""

    lacks = ("reflection",)

    @pytest.fixture
    def model(self) -> Backbone:
        return ESEN(**SMALL | {"hidden": 4, "mmax": 2, "cutoff": 3.5, "layers": 1}, reflections=False, heads=2).double()

    def test_symmetry(self, model: Backbone) -> None:
        assert (model.card.symmetry, ESEN.CARD.symmetry) == ("SE(3)", "E(3)")


class TestESENOfThePaper(ModelContract):
    """Its networks of the edges."""

    @pytest.fixture
    def model(self) -> Backbone:
        return ESEN(**SMALL | {"layers": 1}, radial_layers=2, radial_norm=True).double()


class TestESENWithInputs(ModelContract):
    fields, species = ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        options = {
            "species": (),
            "vector_inputs": ("vel",),
            "node_inputs": ("charge",),
            "edge_inputs": ("charge_product",),
        }
        return ESEN(**SMALL | options | {"layers": 1, "lmax": 1}, radial="bessel").double()


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def scaled(f):
    from e3nn.math import normalize2mom

    return normalize2mom(f)


def edge_function(mlp, f_i: Tensor, f_j: Tensor, a_ij: Tensor) -> Tensor:
    first = mlp.first
    weight = torch.cat([first.received.weight, first.sent.weight, first.attributes.weight], dim=1)
    y = weight @ torch.cat([f_i, f_j, a_ij]) + first.attributes.bias
    for number, layer in enumerate(mlp.second.layers):
        if mlp.norms is not None:
            norm = mlp.norms[number]
            y = norm.weight * (y - y.mean()) / (y.var(correction=0) + 1e-5).sqrt() + norm.bias
        y = layer.weight @ silu(y) + layer.bias
    return y


def frame(r: Tensor, lmax: int) -> list[Tensor]:
    """Wigner matrices of a rotation that takes r to the polar axis, with a roll of its own, by e3nn."""
    from e3nn import o3

    back = o3.angles_to_matrix(*o3.xyz_to_angles(r), torch.rand((), dtype=r.dtype))
    return [o3.Irrep(l, (-1) ** l).D_from_matrix(back.T) for l in range(lmax + 1)]


def so2(maps: SO2Linear, weight: Tensor, x: list[Tensor], scale: Tensor | None) -> list[Tensor]:
    """Order by order: x and the result are blocks (2l + 1, channels), all orders of them."""
    z = [weight.new_zeros(ir.dim, mul) for mul, ir in maps.irreps_out]
    start = 0
    scales = {}
    for m in range(maps.mmax + 1):
        for a, (mul, ir) in enumerate(maps.irreps_in):
            if ir.l >= m:
                scales[m, a] = 1.0 if scale is None else scale[start : start + mul]
                start += mul
    for slot in maps.slots:
        m, w = slot.order, weight[slot.start : slot.start + slot.numel].view(slot.shape)
        minus, plus = (torch.cat([x[a][len(x[a]) // 2 + k] * scales[m, a] for a in slot.inputs]) @ w for k in (-m, m))
        if slot.kind == "odd":
            minus, plus = plus, -minus
        place = 0
        for b in slot.outputs:
            mul, ir = maps.irreps_out[b]
            for k, value in {-m: minus, m: plus}.items():
                z[b][ir.l + k] += value[place : place + mul]
            place += mul
    return z


def norm(layer: DegreeNorm, x: list[Tensor]) -> list[Tensor]:
    x = [x[0] - x[0].mean(), *x[1:]]
    size = (sum(block.square().mean() for block in x) / len(x) + layer.smoothing**2).sqrt()
    x = [block / size * w for block, w in zip(x, layer.weight)]
    return [x[0] + layer.bias, *x[1:]]


@cache
def feeding(layer: FeedForward, lmax: int) -> tuple[torch.nn.Module, ...]:
    """By e3nn: linear, gate, linear; each takes long to make."""
    from e3nn import nn, o3

    hidden = layer.hidden
    gated = "+".join(f"{hidden}x{l}{'eo'[l % 2]}" for l in range(1, lmax + 1))
    gates, acts = (f"{hidden * lmax}x0e", [torch.sigmoid]) if lmax else ("", [])
    gate = nn.Gate(f"{hidden}x0e", [torch.nn.functional.silu], gates, acts, gated).double()
    up, down = (
        o3.Linear(str(one.irreps_in), str(one.irreps_out), biases=True).double() for one in (layer.up, layer.down)
    )
    for theirs, ours in ((up, layer.up), (down, layer.down)):
        theirs.load_state_dict(ours.state_dict(), strict=False)
    return up, gate, down


def feed(layer: FeedForward, x: list[Tensor]) -> list[Tensor]:
    """In mul_ir."""
    up, gate, down = feeding(layer, len(x) - 1)
    y = down(gate(up(torch.cat([block.T.flatten() for block in x]))))
    return [piece.view(-1, 2 * l + 1).T for l, piece in enumerate(y.split([block.numel() for block in x]))]


def message(layer: FrameConvolution, x_i, x_j, s_i, s_j, a_ij, D) -> tuple[list[Tensor], Tensor | None]:
    """Turned back, and its logits."""
    scale = edge_function(layer.factors, s_i, s_j, a_ij)
    y = so2(layer.first, layer.first_weight, [d @ block for x in (x_j, x_i) for d, block in zip(D, x)], scale)
    logits = None
    if layer.heads:
        logits = (scaled(silu)(y[0][0]) * layer.logits).view(layer.heads, -1).sum(1)
        y = y[1:]
    gates, others = y[1 : 1 + layer.lmax], y[1 + layer.lmax :]
    inside = [scaled(silu)(y[0]), *(block * scaled(torch.sigmoid)(gate) for gate, block in zip(gates, others))]
    return [d.T @ block for d, block in zip(D, so2(layer.second, layer.second_weight, inside, None))], logits


OPTIONS = {
    "sum": {},
    "attention": {"heads": 2, "hidden": 4, "mmax": 2},
    "rotations": {"reflections": False},
    "scalars": {"outputs": "0e", "mmax": 0},
    "norms": {"radial_layers": 2, "radial_norm": True},
    "deep": {"radial_layers": 3},
}


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain torch in the place of compiled kernels, which take a second for each new plan."""
    monkeypatch.setenv("INTERTWINE_KERNELS", "reference")


@pytest.fixture
def double() -> Iterator[None]:
    with default_precision(torch.float64):
        yield


@pytest.mark.usefixtures("double", "plain")
@pytest.mark.parametrize("name", OPTIONS)
def test_against_the_equations(name: str, generator: torch.Generator) -> None:
    pos = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    z, cutoff, degree = [1, 6, 8, 1], 2.5, 3.0
    model = ESEN(**SMALL | OPTIONS[name]).double()
    for parameter in model.parameters():  # biases and the weights of norms too
        if parameter.std() == 0:
            torch.nn.init.normal_(parameter, 0.5, 0.5)
    s = [model.embedding.species.weight[{1: 0, 6: 1, 8: 2}[k]] for k in z]
    edges = []
    for i in range(4):
        for j in range(4):
            d = (pos[j] - pos[i]).norm()
            if i != j and d < cutoff:
                u, centres = d / cutoff, torch.linspace(0, cutoff, 5, dtype=torch.float64)
                a = torch.exp(-0.5 * (d - centres) ** 2 / (cutoff / 4) ** 2)
                edges.append((i, j, a, 1 - 28 * u**6 + 48 * u**7 - 21 * u**8, frame(pos[j] - pos[i], 2)))
    x = [[s[i][None], torch.zeros(3, 4).double(), torch.zeros(5, 4).double()] for i in range(4)]
    for i, j, a, c, D in edges:
        value = edge_function(model.degree.mlp, s[i], s[j], a).view(3, 4) * c / math.sqrt(degree)
        x[i] = [block + math.sqrt(2 * l + 1) * torch.outer(D[l][l], value[l]) for l, block in enumerate(x[i])]
    for layer in model.layers:
        before, kept = [norm(layer.before, f) for f in x], math.isqrt(layer.kept)
        x = [f[:kept] for f in x]
        found = [message(layer.convolution, before[i], before[j], s[i], s[j], a, D) for i, j, a, _, D in edges]
        totals = [
            1 + sum(c * torch.exp(m[1]) for (k, *_, c, _), m in zip(edges, found) if k == i and m[1] is not None)
            for i in range(4)
        ]
        for (i, _, _, c, _), (m, logits) in zip(edges, found):
            w = (
                torch.full((1,), 1 / math.sqrt(degree)).double() * c
                if logits is None
                else math.sqrt(degree) * c * logits.exp() / totals[i]
            )
            x[i] = [block + piece * w.repeat_interleave(4 // len(w)) for block, piece in zip(x[i], m)]
        x = [[a + b for a, b in zip(f, feed(layer.feed, norm(layer.between, f)))] for f in x]
    x = [norm(model.norm, f) for f in x]
    expected = torch.stack([torch.cat([f[ir.l].T.flatten() for _, ir in model.irreps_out]) for f in x])
    ours = model(Graph(pos, z=z))
    assert (ours - expected).abs().max() < 1e-12 * expected.abs().max()


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_high_degrees(dtype: torch.dtype, bound: float) -> None:
    """l = 6, edges along both poles among them."""
    model = ESEN(**SMALL | {"lmax": 6, "mmax": 3, "width": 3}, outputs="0e+1o+6e").to(dtype)
    pos = torch.tensor([[0, 0, 0], [0, 1.2, 0], [1.1, 0.2, 0.3], [0.2, -0.9, 0.8]], dtype=torch.float64)
    graph = connect(Graph(pos, z=[6, 1, 8, 1]), 2.5)
    f = model(graph.cast(dtype)).double()
    for seed in range(3):
        g = Isometry.random(3, generator=torch.Generator().manual_seed(seed), improper=bool(seed % 2), shift=1.0)
        moved = model(act(g, graph).cast(dtype)).double()
        assert (moved - model.irreps_out.transform(g.rotation, f)).abs().max() / f.square().mean().sqrt() < bound


@pytest.mark.usefixtures("plain")
def test_the_grid_is_as_equivariant_as_it_is_fine() -> None:
    graph = connect(Graph(torch.randn(5, 3, dtype=torch.float64), z=[6, 1, 8, 1, 6]), 2.5)
    g = Isometry.random(3, generator=torch.Generator().manual_seed(0), improper=True, shift=1.0)
    errors = []
    for grid in (8, 16, 48):
        torch.manual_seed(0)
        model = ESEN(**SMALL, feed_forward="grid", grid=grid).double()
        f = model(graph)
        errors.append(
            ((model(act(g, graph)) - model.irreps_out.transform(g.rotation, f)).abs().max() / f.abs().max()).item()
        )
    assert errors[0] > 10 * errors[1] > 100 * errors[2]
    assert errors[2] < 1e-8


HAND = [(0.0, 0.0, 0.0), (1.1, 0.0, 0.0), (0.0, 1.3, 0.0), (0.0, 0.0, 1.7), (-0.8, -0.9, -0.4)]


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("reflections", [False, True])
def test_chirality(reflections: bool) -> None:
    """Scalars of a molecule and of its mirror image differ if and only if the maps do not commute with mirrors."""
    model = ESEN(**SMALL | {"layers": 3, "cutoff": 3.5}, reflections=reflections).double()
    one, two = (
        torch.tensor(HAND, dtype=torch.float64) * torch.tensor([1, 1, sign], dtype=torch.float64) for sign in (1, -1)
    )
    difference = (model(Graph(one, z=[6, 1, 8, 1, 6]))[:, :4] - model(Graph(two, z=[6, 1, 8, 1, 6]))[:, :4]).abs().max()
    assert difference < 1e-12 if reflections else difference > 1e-4


def test_compiled() -> None:
    model = ESEN(**SMALL | {"layers": 1, "lmax": 1, "mmax": 1}).double()  # all layers are alike
    graph = connect(Graph(torch.randn(6, 3, dtype=torch.float64), z=[8, 1, 1, 6, 8, 1]), 2.5)
    with as_users_run_it():
        torch.testing.assert_close(torch.compile(model, backend="aot_eager")(graph), model(graph), rtol=0, atol=1e-13)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("name", ESEN.PRESETS)
def test_presets(name: str) -> None:
    model = ESEN(**ESEN.PRESETS[name] | {"layers": 1})
    assert model(Graph(torch.randn(2, 3), z=[6, 1])).shape == (2, model.irreps_out.dim)


def test_scalars_alone() -> None:
    model = ESEN(**SMALL | {"lmax": 0, "mmax": 0}, outputs="0e").double()
    assert str(model.irreps_out) == "4x0e"
    assert model(Graph(torch.randn(3, 3, dtype=torch.float64), z=[6, 1, 8])).isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lmax": -1, "mmax": -1}, "lmax = -1"),
        ({"mmax": 3}, "mmax = 3 above lmax = 2"),
        ({"heads": 3}, "3 heads for 4 channels, 2 hidden"),
        ({"outputs": "0e+3o"}, "nothing leads to 3o"),
        ({"outputs": "0e+1e"}, "nothing leads to 1e"),
        ({"outputs": ""}, "no outputs"),
        ({"feed_forward": "mlp"}, "feed_forward"),
        ({"feed_forward": "grid", "grid": 4}, "4 parallels"),
        ({"feed_forward": "grid", "lmax": 6, "grid": 10}, "10 parallels"),
        ({"smoothing": 0.0}, "smoothing"),
        ({"average_degree": 0.0}, "neighbours on average"),
        ({"lmax": 0, "mmax": 0, "outputs": "0e", "vector_inputs": ("vel",)}, "vectors for a model of scalars"),
        ({"hidden": 0}, "hidden"),
        ({"cutoff": 0.0}, "cutoff"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ESEN(**SMALL | arguments)
