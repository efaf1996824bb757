"""The structures that a certificate is taken on have the inputs that the model reads."""

from __future__ import annotations

import torch
from switches import as_users_run_it

from intertwine.certify import certify
from intertwine.data import GraphStore
from intertwine.geometry import Graph
from intertwine.models import MPNN, PaiNN
from intertwine.tasks import ForceField
from intertwine.training.certification import trial_graphs
from intertwine.training.evaluation import inputs_of

INPUTS = {
    "node_inputs": {"x": 20, "charge": 1, "speed": 1},
    "edge_inputs": ("charge_product",),
    "vector_inputs": {"u": 2},
}


def task(**options: object) -> ForceField:
    torch.manual_seed(0)
    return ForceField(PaiNN(width=8, layers=1, radial_size=4, cutoff=3.0, species=(1, 6, 8), **options)).double()


def test_molecules_get_what_the_model_reads() -> None:
    """Without data of its own, and in the form that its data have."""
    with as_users_run_it():
        certificate = certify(task(**INPUTS), trial_graphs(task(**INPUTS))[:2], quick=True)
    assert certificate.passed, certificate.summary()
    own = Graph(
        torch.eye(3).double(), z=[8, 1, 1], u=torch.ones(3, 6), x=torch.ones(3, 20), representations={"u": "2x1o"}
    )
    for graph in trial_graphs(task(**INPUTS), GraphStore.from_graphs([own])):
        assert graph.u.shape == (graph.num_nodes, 6)
        assert graph.representation("u").dim == 6
        assert graph.x.shape == (graph.num_nodes, 20)
    plain = trial_graphs(task())
    assert all("x" not in graph and "u" not in graph for graph in plain)


def test_what_a_model_reads() -> None:
    assert set(inputs_of(PaiNN(**INPUTS))) == set(PaiNN(**INPUTS).rows())
    assert PaiNN(**INPUTS).rows() == {"x": (20,), "charge": (), "vel": (3,), "u": (2, 3)}
    assert PaiNN(vector_inputs=("vel",)).rows() == {"vel": (3,)}
    assert MPNN(edge_inputs={"edge_attr": 8}).rows() == {}
