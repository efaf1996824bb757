"""FrameAveragedGNN: the contract where its frames are defined, its equations by loops, and where they are not."""

from __future__ import annotations

import itertools

import pytest
import torch
from contract import ModelContract
from switches import as_users_run_it
from torch import Tensor

from intertwine.geometry import Graph, act, collate, connect
from intertwine.groups import Isometry
from intertwine.models import FrameAveragedGNN
from intertwine.nn import Backbone
from intertwine.numerics import GeometryError, InputError
from intertwine.tasks import ForceField, TensorForm

SMALL = {"width": 8, "layers": 2, "species": (1, 6, 8), "radial_size": 4}


class TestFrameAveragedGNN(ModelContract):
    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        return FrameAveragedGNN(**SMALL).double()


class TestFrameAveragedGNNOfParticles(ModelContract):
    fields, species = ("vel", "charge"), ()

    def structures(self, model: Backbone) -> dict[str, Graph]:
        """Three particles have axes; the frames of two, and of one, do not turn with their velocities."""
        return {name: self.graph(nodes) for name, nodes in (("molecule", 7), ("plane", 3))}

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        seen = {"species": (), "vector_inputs": ("vel",), "edge_inputs": ("charge_product",)}
        return FrameAveragedGNN(**SMALL | {"vectors": 2, "scale": None} | seen).double()


class TestFrameAveragedGNNOfHands(ModelContract):
    lacks = ("reflection",)

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        return FrameAveragedGNN(**SMALL, reflections=False).double()


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def network(layers: torch.nn.ModuleList, x: Tensor, last: bool = False) -> Tensor:
    for number, layer in enumerate(layers):
        x = layer.weight @ x + layer.bias
        x = silu(x) if last or number < len(layers) - 1 else x
    return x


def frames_of(points: Tensor, reflections: bool) -> tuple[list[Tensor], Tensor]:
    """The principal axes of points with all signs (of determinant 1 without reflections), and the centroid."""
    t = points.mean(0)
    axes = torch.linalg.svd(points - t).Vh.flip(0).T  # the shortest first; by another decomposition than the network
    every = [axes * torch.tensor(signs).double() for signs in itertools.product((-1.0, 1.0), repeat=3)]
    return [R for R in every if reflections or torch.linalg.det(R) > 0], t


@pytest.mark.parametrize("reflections", [True, False])
def test_the_equations_by_loops(reflections: bool, generator: torch.Generator) -> None:
    """Each frame, node and edge by itself, with velocities and charges, scalars and vectors between the layers."""
    torch.manual_seed(0)
    inputs = {"species": (), "vector_inputs": ("vel",), "edge_inputs": ("charge_product",), "node_inputs": ("charge",)}
    model = FrameAveragedGNN(8, 2, 3, scale=None, reflections=reflections, **inputs).double()
    x, v = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    q = torch.randn(5, generator=generator, dtype=torch.float64)
    frames, t = frames_of(x, reflections)
    embedded = model.embedding.linear
    h = [
        [
            embedded.weight[:, 0] * q[i]
            + embedded.bias
            + model.place.weight @ torch.stack([R.T @ (x[i] - t), R.T @ v[i]], dim=1).flatten()
            for i in range(5)
        ]
        for R in frames
    ]
    for number, layer in enumerate(model.layers):
        if number:
            s = [sum(h[k][i][:2] for k in range(len(frames))) / len(frames) for i in range(5)]
            V = [sum(R @ h[k][i][2:].view(3, 2) for k, R in enumerate(frames)) / len(frames) for i in range(5)]
            frames, t = frames_of(torch.cat([each.T for each in V]), reflections)
            h = [[torch.cat([s[i], (R.T @ (V[i] - t[:, None])).flatten()]) for i in range(5)] for R in frames]
        for k in range(len(frames)):
            old = h[k]
            h[k] = []
            for i in range(5):
                total = torch.zeros(8).double()
                for j in set(range(5)) - {i}:
                    a_ij = torch.stack([(x[i] - x[j]) @ (x[i] - x[j]), q[i] * q[j]])
                    total = total + network(layer.phi_m.layers, torch.cat([old[i], old[j], a_ij]), last=True)
                h[k].append(old[i] + network(layer.phi_h.layers, torch.cat([old[i], total])))
    scalars = torch.stack([sum(h[k][i] for k in range(len(frames))) / len(frames) for i in range(5)])
    out = [[model.outward.weight @ network(model.out.layers, each, last=True) for each in of_frame] for of_frame in h]
    vectors = torch.stack([sum(R @ out[k][i] for k, R in enumerate(frames)) / len(frames) for i in range(5)])
    expected = torch.cat([scalars, vectors], dim=1)
    found = model(Graph(x, vel=v, charge=q))
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-12


def test_detached_frames_change_slopes_and_not_values() -> None:
    graph, values, slopes = Graph(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()), [], []
    for detached in (False, True):
        torch.manual_seed(0)
        model = FrameAveragedGNN(**SMALL | {"species": ()}, detached=detached).double()
        pos = graph.pos.clone().requires_grad_()
        values.append(model(Graph(pos)))
        slopes.append(torch.autograd.grad(values[-1].square().sum(), pos)[0])
    assert torch.equal(*values)
    direction = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).double()

    def difference(step: float) -> torch.Tensor:
        above, below = (model(Graph(graph.pos + way * step * direction)).square().sum() for way in (1, -1))
        return (above - below) / (2 * step)

    expected = (4 * difference(1e-4) - difference(2e-4)) / 3  # to fourth order: steps that rounding leaves alone
    assert abs((slopes[0] * direction).sum() - expected) < 1e-8 * abs(expected)
    assert abs((slopes[1] * direction).sum() - expected) > 1e-3 * abs(expected)


def test_structures_without_axes_are_named(generator: torch.Generator) -> None:
    """A tetrahedron has none; a line has, and vectors in no plane through it take them away."""
    torch.manual_seed(0)
    model = FrameAveragedGNN(8, layers=2, species=()).double()
    tetrahedron = Graph(torch.tensor([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]).double())
    line = Graph(torch.tensor([(0, 0, 0), (0, 0, 1), (0, 0, 3)]).double())
    generic = Graph(torch.randn(5, 3, generator=generator, dtype=torch.float64))
    reasons = model.undefined(collate([generic, tetrahedron, line]))
    assert [bool(reason) for reason in reasons] == [False, True, False]
    assert reasons[1] == "layer 0: principal moments 4, 4, 4"
    turned = Isometry.random(3, generator=generator, improper=True, shift=1.0)
    for graph, same in ((line, True), (tetrahedron, False)):
        error = model(act(turned, graph)) - model.irreps_out.transform(turned.rotation, model(graph))
        assert (float(error.abs().max()) < 1e-13) is same
    line.vel = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    assert FrameAveragedGNN(8, layers=1, species=(), vector_inputs=("vel",)).double().undefined(line) != [""]


def test_the_preset_of_the_paper_has_no_scalars() -> None:
    model = FrameAveragedGNN(**FrameAveragedGNN.PRESETS["particles"])
    assert (model.scalars, model.vectors, len(model.layers), model.detached) == (0, 20, 4, True)
    assert sum(p.numel() for p in model.layers.parameters()) == 4 * (
        122 * 60 + 60 + 60 * 60 + 60 + 120 * 60 + 60 + 3660
    )


def test_what_is_asked_for_wrongly_is_named() -> None:
    for arguments, name in (
        ({"width": 8, "vectors": 3}, "vectors"),
        ({"vectors": 0}, "vectors"),
        ({"width": 2}, "vec"),
    ):
        with pytest.raises(InputError, match=name):
            FrameAveragedGNN(**arguments)
    torch.manual_seed(0)
    crystal = TestFrameAveragedGNN().crystal()
    with pytest.raises(GeometryError, match="positions are periodic, so they have no centre"):
        FrameAveragedGNN(**SMALL).double()(connect(crystal, 2.5))
    with pytest.raises(InputError, match="all pairs of a periodic structure"):
        FrameAveragedGNN(**SMALL).double()(crystal)


def test_exported(generator: torch.Generator) -> None:
    """As one program for all sizes. The tests of other models trace crystals too, which this one refuses."""

    def molecules(*atoms: int) -> Graph:
        draw = lambda n: torch.randn(n, 3, generator=generator, dtype=torch.float64)  # noqa: E731
        return collate([Graph(1.5 * draw(n), z=[(1, 6, 8)[k % 3] for k in range(n)]) for n in atoms])

    torch.manual_seed(0)
    task = ForceField(FrameAveragedGNN(**SMALL)).double().eval()
    traced = molecules(6, 4, 3)
    form = TensorForm(task, traced)
    with as_users_run_it():
        program = form.exported(traced).module()
        for graph in (traced, molecules(5, 7, 4, 6), molecules(9)):
            expected, found = task(graph), program(form.inputs(graph))
            for name in ("energy", "forces"):
                torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-10, msg=name)
