"""PointConv: the contract of a model that knows translations only, the paper's equations term by term, and which way is
up.
"""

from __future__ import annotations

import pytest
import torch
from contract import ModelContract

from intertwine.geometry import Graph, act, connect
from intertwine.groups import Isometry
from intertwine.models.point_conv import PointConv
from intertwine.nn import Backbone
from intertwine.numerics import GeometryError, InputError

SMALL = {"width": 6, "layers": 2, "cutoff": 2.5, "functions": 5, "radial_size": 4, "species": (1, 6, 8)}


class TestPointConv(ModelContract):
    lacks = ("rotation", "reflection")

    @pytest.fixture(params=[{}, {"density": False, "vectors": 0, "radial": "gaussian"}], ids=["plain", "scalars"])
    def model(self, request) -> Backbone:
        torch.manual_seed(0)
        return PointConv(**SMALL | request.param).double()


class TestPointConvOfParticlesInThePlane(ModelContract):
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
        }
        return PointConv(**SMALL | options).double()


def molecule(nodes: int = 6) -> Graph:
    generator = torch.Generator().manual_seed(3)
    return Graph(1.2 * torch.randn(nodes, 3, generator=generator, dtype=torch.float64), z=[1, 6, 8, 1, 6, 8][:nodes])


def test_the_equations_term_by_term() -> None:
    """A matrix for every edge, and a loop over edges: k(x_j - x_i) = c(d) sum_m phi_m H_m, times s_j f_j."""
    torch.manual_seed(0)
    model = PointConv(**SMALL).double()
    graph = connect(molecule(), model.cutoff)
    f, pairs = model.embedding(graph), list(zip(*graph.edge_index.tolist(), strict=True))
    c = {(j, i): model.edges.envelope((graph.pos[j] - graph.pos[i]).norm().reshape(1)) for j, i in pairs}
    density = [1 + sum(c[pair] for pair in pairs if pair[1] == j) for j in range(6)]
    for layer in model.layers:
        H = layer.convolution.mix.weight.unflatten(1, (SMALL["functions"], SMALL["width"]))  # (out, m, in)
        m = [torch.zeros(SMALL["width"], dtype=torch.float64) for _ in range(6)]
        for j, i in pairs:
            x = graph.pos[j] - graph.pos[i]
            phi = layer.phi(torch.cat([x / model.cutoff, model.edges.radial(x.norm().reshape(1))[0]]))
            kernel = c[j, i] * torch.einsum("m,omf->of", phi, H)
            m[i] = m[i] + kernel @ (layer.scale(1 / density[j]).sigmoid() * f[j])
        f = f + layer.outward(torch.stack(m))
    expected = torch.cat([f, model.outward(f)], dim=1)
    torch.testing.assert_close(model(graph), expected, rtol=0, atol=1e-12)


def test_a_dimer_that_turns_is_another_dimer() -> None:
    """An invariant network can't tell the two apart; this one must not call them the same."""
    torch.manual_seed(0)
    model, dimer = PointConv(**SMALL).double(), Graph(torch.tensor([[0.0, 0, 0], [1.1, 0, 0]]).double(), z=[6, 8])
    quarter = Isometry(torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).double(), torch.zeros(3).double())
    assert (model(act(quarter, dimer)) - model(dimer))[:, : SMALL["width"]].abs().max() > 1e-3


def test_what_is_asked_for_wrongly_is_named() -> None:
    with pytest.raises(GeometryError, match="has no positions"):
        PointConv()(Graph.abstract(z=[6, 8]))
    with pytest.raises(InputError, match="vectors"):
        PointConv(vectors=-2)
    with pytest.raises(InputError, match="functions"):
        PointConv(functions=0)
