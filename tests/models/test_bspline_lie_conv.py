"""BSplineLieConv: the contract, the splines by their definition, the convolution by loops over pairs of elements."""

from __future__ import annotations

import itertools

import pytest
import torch
from contract import ModelContract
from scipy.interpolate import BSpline

from intertwine.geometry import Graph, act
from intertwine.groups import SE, SO, Isometry
from intertwine.models.bspline_lie_conv import BSplineLieConv
from intertwine.nn import Backbone
from intertwine.nn.groups.cardinal_spline import cardinal_spline
from intertwine.nn.groups.polar_splines import PolarSplines
from intertwine.nn.groups.splines import SplineKernel, ball_of_centres, spread_elements
from intertwine.numerics import InputError

SMALL = {"width": 8, "layers": 2, "cutoff": 2.5, "size": 1, "shells": 4, "bottleneck": 2, "species": (1, 6, 8)}


class TestBSplineLieConv(ModelContract):
    lacks = ("rotation", "reflection")

    @pytest.fixture(params=[{}, {"splines": "deformable", "vectors": 0}], ids=["polar", "deformable, scalars"])
    def model(self, request) -> Backbone:
        torch.manual_seed(0)
        return BSplineLieConv(**SMALL | request.param).double()


class TestBSplineLieConvOfParticlesInThePlane(ModelContract):
    dimension, fields, species, lacks = 2, ("vel", "charge"), (), ("rotation", "reflection")

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        options = {
            "species": (),
            "dimension": 2,
            "vector_inputs": ("vel",),
            "node_inputs": ("charge",),
            "edge_inputs": ("charge_product",),
            "splines": "atrous",
        }
        return BSplineLieConv(**SMALL | options).double()


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_cardinal_splines(order: int) -> None:
    """Those of scipy; they add up to 1, and end where they should."""
    x = torch.linspace(-4, 4, 321, dtype=torch.float64)
    knots = torch.arange(order + 2, dtype=torch.float64) - (order + 1) / 2
    peer = torch.from_numpy(BSpline.basis_element(knots.numpy(), extrapolate=False)(x.numpy())).nan_to_num()
    values = cardinal_spline(x, order)
    torch.testing.assert_close(values, peer, rtol=0, atol=1e-14)
    total = sum(cardinal_spline(x - k, order) for k in range(-8, 9))
    torch.testing.assert_close(total, torch.ones_like(x), rtol=0, atol=1e-14)
    assert not values[x.abs() >= (order + 1) / 2].any()


def molecule(nodes: int, dimension: int = 3) -> Graph:
    pos = torch.randn(nodes, dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Graph(pos, z=torch.tensor([1, 6, 8])[torch.arange(nodes) % 3])


def polar(x: torch.Tensor, shells: int, directions: torch.Tensor, scale: float) -> list[torch.Tensor]:
    """The functions of one point, x in units of the cutoff, one after the other as the docstring has them."""
    d, order = x.norm() * shells, 3
    n = x / (x.square().sum() + shells**-2).sqrt()
    shell = [cardinal_spline(d - k, order) + (cardinal_spline(d + k, order) if k else 0) for k in range(shells)]
    caps = [cardinal_spline((n - o).norm() / scale, order) for o in directions]
    return [a * b for a in shell for b in caps]


@pytest.mark.parametrize("splines", ["localised", "atrous", "deformable", "polar"])
@pytest.mark.parametrize(("group", "lifts", "dimension"), [("T(3)", None, 3), ("SE(3)", 2, 3), ("SE(2)", 3, 2)])
def test_the_equation_by_loops(group: str, lifts: int | None, dimension: int, splines: str) -> None:
    torch.manual_seed(0)
    more = {"group": group, "lifts": lifts, "dimension": dimension, "splines": splines, "turns": 3, "layers": 1}
    model = BSplineLieConv(**SMALL | more).double().eval()
    graph, S, n, layer = molecule(4, dimension), model.lifting.lifts, dimension, model.layers[0]
    kernel, H = layer.kernel, model.group.point
    scale = 2.5 / 2 / (2 if splines == "atrous" else 1)
    centres = ball_of_centres(1, n) * 2.5 / 2
    turns = None if group == "T(3)" else spread_elements(H, 3)
    if splines == "deformable":
        with torch.no_grad():
            kernel.centres += 0.05 * torch.randn_like(kernel.centres)
        centres = kernel.centres * 2.5
        turns = None if turns is None else H.exp(kernel.turn_centres)
    f = model.embedding(graph)
    sent, C = layer.inward(f), layer.convolution.convolution.mix.weight.view(4, -1, 4) * layer.convolution.gain
    rows = []
    for i, s in itertools.product(range(4), range(S)):
        total, count = torch.zeros(4, dtype=torch.float64), 0.0
        for j, r in itertools.product(range(4), range(S)):
            h, g = model.lifting.turns[r], model.lifting.turns[s]
            x, turn = h.T @ (graph.pos[i] - graph.pos[j]), h.T @ g
            omega = H.log(turn)
            if float((graph.pos[i] - graph.pos[j]).norm()) > 2.5:
                continue
            c = model.envelope(torch.cat([x, omega * 0.25]).norm()[None])[0]
            phi = []
            in_space = [cardinal_spline((x - centre) / scale, 3).prod() for centre in centres]
            if splines == "polar":
                in_space = polar(x / 2.5, 4, kernel.polar.directions, kernel.polar.scale)
            for space in in_space:
                for b in range(1 if turns is None else 3):
                    gap = 0 if turns is None else H.log(turns[b].T @ turn).norm() / kernel.turn_scale
                    phi.append(space if turns is None else space * cardinal_spline(gap, 3))
            total = total + c * sum(p * (C[:, m] @ sent[j]) for m, p in enumerate(phi))
            count = count + c
        rows.append(f[i] + layer.outward(total / count + layer.convolution.bias))
    expected = torch.stack(rows).view(4, S, -1).mean(1)
    torch.testing.assert_close(model(graph)[:, :8], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dimension", "caps", "gap"), [(3, 6, 2**0.5), (3, 12, 1.0515), (3, 7, None), (2, 8, 0.7654)])
def test_polar_splines(dimension: int, caps: int, gap: float | None) -> None:
    """Shells add up to 1 but for the outermost; directions are evenly apart; derivatives exist at the origin too."""
    polar = PolarSplines(dimension, 8, caps, 3).double()
    assert gap is None or abs(polar.scale - gap) < 1e-3
    torch.testing.assert_close(polar.directions.norm(dim=1), torch.ones(caps, dtype=torch.float64))
    x = torch.randn(50, dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x / x.norm(dim=1, keepdim=True) * torch.linspace(0, 6 / 8, 50, dtype=torch.float64)[:, None]
    by_shell = polar(x).unflatten(-1, (8, caps))
    n = x / (x.square().sum(1, keepdim=True) + 1 / 64).sqrt()
    of_caps = cardinal_spline((n[:, None] - polar.directions).norm(dim=-1) / polar.scale, 3)
    torch.testing.assert_close(by_shell.sum(1), of_caps, rtol=0, atol=1e-14)
    points = torch.cat([torch.zeros(1, dimension, dtype=torch.float64), x[7:10]]).requires_grad_()
    torch.autograd.gradcheck(polar, points)
    torch.autograd.gradgradcheck(polar, points[1:].detach().requires_grad_())


def test_elements_are_well_apart() -> None:
    for group, number in ((SO(2), 5), (SO(3), 12), (SO(3), 7)):
        elements = spread_elements(group, number)
        gaps = group.log(group.product(group.inverse(elements)[:, None], elements)).norm(dim=-1)
        assert elements.shape[0] == number
        assert (gaps + 9 * torch.eye(number)).min() > 1.1
        torch.testing.assert_close(elements[0], group.identity(), rtol=0, atol=1e-12)


def test_more_lifts_of_the_plane_are_closer_to_equivariance() -> None:
    errors, a = [], torch.tensor(0.7, dtype=torch.float64)
    g = Isometry(torch.stack([a.cos(), -a.sin(), a.sin(), a.cos()]).view(2, 2), torch.ones(2, dtype=torch.float64))
    graph = molecule(5, 2)
    for lifts in (1, 4, 8):
        torch.manual_seed(0)
        model = BSplineLieConv(**SMALL | {"group": SE(2), "lifts": lifts, "dimension": 2}).double().eval()
        f = model(graph)
        errors.append(float((model(act(g, graph)) - model.irreps_out.transform(g.rotation, f)).abs().max().detach()))
    assert errors[0] > 3 * errors[1] > 30 * errors[2] > 0


def test_a_kernel_of_its_size() -> None:
    kernel = SplineKernel(2, SO(2), 2, 6, 3, "localised")
    assert kernel.functions == 13 * 6
    assert SplineKernel(2, None, 2, 1, 3, "localised", inputs=2).functions == 13 * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group": "SO(3)", "lifts": 1}, "no translations"),
        ({"group": "D_4"}, "no group with exponential map.*RegularGroupCNN"),
        ({"group": "SE(3)"}, "infinitely many lifts"),
        ({"splines": "dense"}, "unknown kind of kernel"),
        ({"order": 1}, "splines of order 1"),
        ({"size": 0}, "size"),
        ({"shells": 0}, "shells"),
        ({"caps": 0}, "caps"),
        ({"splines": "polar", "dimension": 1}, "directions are of 2 or 3"),
        ({"cutoff": -1.0}, "cutoff"),
        ({"radial_size": 4}, "radial_size"),
    ],
    ids=str,
)
def test_what_can_not_be_is_named(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        BSplineLieConv(**SMALL | arguments)


@pytest.mark.parametrize(("group", "lifts"), [("T(n)", None), ("SE(3)", 2)])
def test_no_points_and_a_single_one(group: str, lifts: int | None) -> None:
    model = BSplineLieConv(**SMALL | {"group": group, "lifts": lifts}).double().eval()
    assert model(molecule(0)).shape == (0, model.irreps_out.dim)
    assert model(molecule(1)).isfinite().all()
