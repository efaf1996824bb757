"""GroupMPNN: the contract of a network on orientations, and its messages one pair of group elements at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lifted import LiftedContract, lively
from test_regular_group_cnn import psi, varphi

from intertwine.geometry import Graph, connect
from intertwine.models import GroupMPNN, RegularGroupCNN
from intertwine.nn import Backbone
from intertwine.numerics import InputError

SMALL = {"width": 4, "layers": 2, "cutoff": 2.5, "vectors": 3, "functions": 2, "radial_size": 4, "species": (1, 6, 8)}


def made(**options: Any) -> GroupMPNN:
    torch.manual_seed(0)
    return lively(GroupMPNN(**SMALL | options).double())


class TestGroupMPNN(LiftedContract):
    @pytest.fixture(params=[{}, {"group": "T_h", "layers": 1, "vectors": 0}], ids=["tetrahedral", "inversion"])
    def model(self, request) -> Backbone:
        return made(**request.param)


class TestGroupMPNNOfParticlesInThePlane(LiftedContract):
    dimension, fields, species = 2, ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        options = {"species": (), "node_inputs": ("charge",), "edge_inputs": ("charge_product",)}
        return made(**options, dimension=2, vector_inputs=("vel",), group="D_3")


@pytest.mark.parametrize(
    "options",
    [{}, {"group": "SO(3)", "orientations": 4, "sampling": "quadrature"}, {"dimension": 2, "group": "C_5"}],
    ids=["tetrahedral", "quadrature", "plane"],
)
@torch.no_grad()
def test_loops_over_orientations(options: dict[str, Any], generator: torch.Generator) -> None:
    r"""phi(f_i(h), f_j(h'), g_j^-1 g_i) with g = (x, R): R_h'^-1 (x_i - x_j) and R_h'^-1 R_h."""
    model = made(**options, vector_inputs=("vel",))
    pos, vel = 1.1 * torch.randn(2, 4, model.dimension, generator=generator, dtype=torch.float64)
    graph = model.ready(connect(Graph(pos, z=[1, 6, 8, 1], vel=vel), model.cutoff))
    R, weights = model.orientations.matrices, model.orientations.weights
    u = model.vectors(graph).unflatten(-1, (model.dimension, -1))  # (nodes, n, group a, width)
    s, pairs = model.embedding(graph), list(zip(*graph.edge_index.tolist(), strict=True))
    f = s.unsqueeze(1).repeat(1, len(R), 1)
    for h in range(len(R)):
        f[:, h] += torch.einsum("ba,ibac->ic", R[h], u)  # (R_h^T u^a)_a
        for j, i in pairs:
            f[i, h] += 16**-0.5 * (varphi(model, R[h].T @ (pos[j] - pos[i])) @ model.lifting.weight) * s[j]
    for layer in model.layers:
        m = torch.zeros_like(f)
        for j, i in pairs:
            x = pos[i] - pos[j]
            for k in range(len(R)):
                A = varphi(model, R[k].T @ x) @ layer.position
                for h in range(len(R)):
                    B = psi(model.orientations, R[k].T @ R[h]) @ layer.orientation
                    hidden = F.silu(layer.received(f[i, h]) + layer.sent(f[j, k]) + A + B)
                    c = model.edges.envelope(x.norm().reshape(1))
                    m[i, h] += 16**-0.5 * weights[k] * c * layer.outward(hidden)
        f = f + layer.phi_f(torch.cat([f, m], dim=-1))
    torch.testing.assert_close(model.lifted(graph), f, rtol=0, atol=1e-12)
    assert f.std(1).max() > 1e-2


def test_what_is_asked_for_wrongly_is_named() -> None:
    """As the other network on these grids does."""
    for options in ({"group": "cube"}, {"group": "SO(3)"}, {"group": "C_4"}, {"dimension": 5}, {"width": 0}):
        with pytest.raises(InputError) as error:
            RegularGroupCNN(**options)
        with pytest.raises(InputError) as other:
            GroupMPNN(**options)
        assert str(error.value) == str(other.value)
