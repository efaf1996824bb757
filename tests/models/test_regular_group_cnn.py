"""RegularGroupCNN: the contract of a network on orientations, and its equations by loops over nodes, neighbours and
orientations."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from lifted import LiftedContract
from torch import Tensor

from intertwine.geometry import Graph, connect
from intertwine.groups import SO
from intertwine.groups.plane import PlaneIrrep
from intertwine.models import RegularGroupCNN
from intertwine.nn import Backbone
from intertwine.nn.groups.orientations import Orientations, SampledOrientations, orientations
from intertwine.numerics import GeometryError, InputError
from intertwine.o3 import Irrep

SMALL = {"width": 4, "layers": 2, "cutoff": 2.5, "vectors": 3, "functions": 2, "radial_size": 4, "species": (1, 6, 8)}


def made(**options: Any) -> RegularGroupCNN:
    torch.manual_seed(0)
    return RegularGroupCNN(**SMALL | options).double()


class TestRegularGroupCNN(LiftedContract):
    @pytest.fixture(
        params=[
            {"group": "tetrahedral"},
            {"group": "octahedral"},
            {"group": "T_h", "vectors": 0},
            {"group": "tetrahedral", "separable": False, "layers": 1, "functions": 1},
        ],
        ids=["tetrahedral", "octahedral", "inversion", "full"],
    )
    def model(self, request) -> Backbone:
        return made(**request.param)


class TestRegularGroupCNNOfParticlesInThePlane(LiftedContract):
    dimension, fields, species = 2, ("vel", "charge"), ()

    @pytest.fixture(params=["C_4", "D_3"])
    def model(self, request) -> Backbone:
        options = {"species": (), "node_inputs": ("charge",), "edge_inputs": ("charge_product",)}
        return made(**options, dimension=2, vector_inputs=("vel",), group=request.param)


def psi(grid: Orientations, R: Tensor) -> Tensor:
    """The functions on the group at one rotation, by their definition."""
    if isinstance(grid, SampledOrientations):
        if grid.dimension == 3:
            blocks = [math.sqrt(2 * l + 1) * Irrep(l, 1).matrix(R).flatten() for l in range(grid.degree + 1)]
        else:
            angle = torch.atan2(R[1, 0], R[0, 0])
            blocks = [torch.ones(1, dtype=torch.float64)]
            blocks += [
                math.sqrt(2) * torch.stack([(k * angle).cos(), (k * angle).sin()]) for k in range(1, grid.degree + 1)
            ]
        return torch.cat(blocks)
    here = (grid.exact - R).flatten(1).norm(dim=1)
    assert here.min() < 1e-12
    return math.sqrt(grid.count) * torch.nn.functional.one_hot(here.argmin(), grid.count).double()


def varphi(model: RegularGroupCNN, x: Tensor) -> Tensor:
    """The functions of the kernel at one vector."""
    d = x.norm().reshape(1)
    rho = model.basis.radial(model.edges.radial(d))[0] * model.edges.envelope(d)
    return torch.outer(rho, model.basis.harmonics((x / d)[None])[0]).flatten()


def by_loops(model: RegularGroupCNN, graph: Graph) -> Tensor:
    """Features (nodes, orientations, width), one pair of nodes and of orientations at a time."""
    R, weights, scale = model.orientations.matrices, model.orientations.weights, 16**-0.5
    n, pairs, s = graph.num_nodes, list(zip(*graph.edge_index.tolist(), strict=True)), model.embedding(graph)
    of_x = {(j, i, h): varphi(model, R[h].T @ (graph.pos[j] - graph.pos[i])) for j, i in pairs for h in range(len(R))}
    of_R = {(h, k): psi(model.orientations, R[h].T @ R[k]) for h in range(len(R)) for k in range(len(R))}
    f = s.unsqueeze(1).repeat(1, len(R), 1)
    for (j, i, h), phi in of_x.items():
        kernel = torch.tensordot(phi, model.lifting.weight, dims=1)
        f[i, h] += scale * (kernel * s[j] if model.lifting.separable else kernel @ s[j])
    for layer in model.layers:
        conv, z = layer.convolution, torch.zeros_like(f)
        for h in range(len(R)):
            for k in range(len(R)):
                p = of_R[h, k]
                for i in range(n):
                    if model.lifting.separable:
                        z[i, h] += weights[k] * conv.self_weight * (p @ conv.orientation) * f[i, k]
                    else:
                        z[i, h] += weights[k] * torch.tensordot(p, conv.self_weight, dims=1) @ f[i, k]
                for j, i in pairs:
                    phi = of_x[j, i, h]
                    if model.lifting.separable:
                        z[i, h] += scale * weights[k] * (phi @ conv.position) * (p @ conv.orientation) * f[j, k]
                    else:
                        matrix = torch.einsum("b,m,bmoc->oc", phi, p, conv.weight)
                        z[i, h] += scale * weights[k] * matrix @ f[j, k]
        f = f + layer.outward(z)
    return f


KINDS: dict[str, dict[str, Any]] = {
    "tetrahedral": {"group": "tetrahedral"},
    "inversion": {"group": "T_h", "layers": 1},
    "full": {"group": "tetrahedral", "separable": False, "layers": 1},
    "fibonacci": {"group": "SO(3)", "orientations": 9},
    "quadrature": {"group": "SO(3)", "orientations": 18, "sampling": "quadrature", "layers": 1},
    "polyhedral": {"group": "SO(3)", "orientations": 12, "sampling": "polyhedral", "layers": 1},
    "full on a grid": {"group": "SO(3)", "orientations": 5, "separable": False, "layers": 1, "lmax": 1},
    "plane": {"dimension": 2, "group": "D_3"},
    "circle": {"dimension": 2, "group": "SO(2)", "orientations": 5},
    "full on a circle": {"dimension": 2, "group": "SO(2)", "orientations": 5, "separable": False, "layers": 1},
}


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_loops_over_orientations(kind: str, generator: torch.Generator) -> None:
    model = made(**KINDS[kind])
    for parameter in model.parameters():  # the weights that start as ones, too
        parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    pos = 1.1 * torch.randn(4, model.dimension, generator=generator, dtype=torch.float64)
    graph = model.ready(connect(Graph(pos, z=[1, 6, 8, 1]), model.cutoff))
    assert graph.num_edges > 4
    f = by_loops(model, graph)
    torch.testing.assert_close(model.lifted(graph), f, rtol=0, atol=1e-12)
    R, weights = model.orientations.matrices, model.orientations.weights
    s = sum(w * f[:, h] for h, w in enumerate(weights))
    u = f @ model.readout.coordinates.weight.T
    v = sum(w * u[:, h].unflatten(1, (model.dimension, -1)).mT @ R[h].T for h, w in enumerate(weights))
    torch.testing.assert_close(model(graph), torch.cat([s, v.flatten(1)], dim=1), rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_full_kernel_of_rank_one_is_a_separable_one(generator: torch.Generator) -> None:
    """W_bm = diag(p_b o_m): the same layer, at the same weights."""
    options = {"group": "tetrahedral", "layers": 1}
    model, full = made(**options), made(**options, separable=False)
    shapes = {name: value.shape for name, value in full.state_dict().items()}
    same = {name: value for name, value in model.state_dict().items() if shapes.get(name) == value.shape}
    full.load_state_dict(same, strict=False)
    full.lifting.weight.copy_(torch.diag_embed(model.lifting.weight))
    conv, other = model.layers[0].convolution, full.layers[0].convolution
    other.weight.copy_(torch.diag_embed(conv.position[:, None] * conv.orientation))
    other.self_weight.copy_(torch.diag_embed(conv.self_weight * conv.orientation))
    graph = Graph(torch.randn(5, 3, generator=generator, dtype=torch.float64), z=[1, 6, 8, 1, 6])
    torch.testing.assert_close(full(graph), model(graph), rtol=0, atol=1e-13)


def test_an_irrep_of_the_circle_is_what_its_functions_are() -> None:
    """Kernels on SO(2) are sums of the first columns of its irreps."""
    R = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    grid = orientations("SO(2)", 2, 5, degree=3)
    columns = [PlaneIrrep(SO(2), k).matrix(R)[:, 0] * math.sqrt(min(k + 1, 2)) for k in range(4)]
    torch.testing.assert_close(psi(grid, R), torch.cat(columns), rtol=0, atol=1e-14)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a name": ({"group": "octaedral"}, r"group: unknown group 'octaedral'\n.*did you mean 'octahedral'"),
    "no number": ({"group": "SO(3)"}, r"orientations: SO\(3\) has infinitely many orientations\n.*orientations=32"),
    "no number, plane": ({"group": "SO(2)", "dimension": 2}, r"SO\(2\) has infinitely many"),
    "another number": ({"group": "octahedral", "orientations": 12}, "12 orientations of octahedral, which has 24"),
    "no rotations": ({"group": "SO(3)", "orientations": 0}, "orientations = 0"),
    "no quadrature": ({"group": "SO(3)", "orientations": 20, "sampling": "quadrature"}, "1, 4, 18, 32, 75"),
    "no polyhedron": ({"group": "SO(3)", "orientations": 20, "sampling": "polyhedral"}, "give one of 12, 24, 60"),
    "no sampling": ({"group": "SO(3)", "orientations": 20, "sampling": "random"}, "unknown sampling 'random'"),
    "of the plane": ({"group": "C_4"}, r"C_4 turns the plane, and the points have 3 coordinates\n.*dimension=2"),
    "of space": ({"group": "octahedral", "dimension": 2}, r"octahedral turns space, .* 2 coordinates\n.*dimension=3"),
    "SO(2) in space": ({"group": "SO(2)", "orientations": 4}, r"SO\(2\) turns the plane"),
    "four dimensions": ({"dimension": 4}, "dimension: 4 dimensions"),
    "no turn": ({"group": "C_0", "dimension": 2}, "C_0"),
    "a size": ({"functions": 0}, "functions"),
    "vectors": ({"vectors": -2}, "vectors"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_asked_for_wrongly_is_named(what: str) -> None:
    options, words = WRONG[what]
    with pytest.raises(InputError, match=words):
        RegularGroupCNN(**options)


def test_a_graph_of_another_dimension_is_named() -> None:
    with pytest.raises(GeometryError, match="nodes in 3 dimensions, the model is for 2"):
        made(dimension=2)(Graph(torch.randn(3, 3), z=[1, 6, 8]))


@pytest.mark.parametrize("nodes", [0, 1])
def test_clouds_of_no_point_and_of_one(nodes: int) -> None:
    """A point that is alone keeps its scalars and has no direction."""
    model = made()
    f = model(Graph(torch.randn(nodes, 3, dtype=torch.float64), z=[6][:nodes]))
    assert f.shape == (nodes, model.irreps_out.dim)
    assert (f[:, SMALL["width"] :].abs() < 1e-14).all()
