"""Four models beside the packages that people take them from, at the same weights: what ``models.py`` builds and
measures.

SchNet and DimeNet++ (torch-geometric), PaiNN (schnetpack) and EGNN (egnn-pytorch), at the sizes that these have by
default, cutoff 5 A, on batches of ethanol. Both sides are given the same edges. DimeNet++ of torch-geometric is given
its triplets too, since it needs a compiled extension to find them; ours finds them in every call.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from ase.build import molecule
from torch import Tensor, nn

from intertwine.bench import twins
from intertwine.geometry import Graph, collate, connect
from intertwine.geometry.triplets import triplets
from intertwine.nn import MLP, Backbone, ScalarHead, pool, shifted_softplus
from intertwine.tasks import ForceField

Outputs = dict[str, Tensor]
Pair = tuple[nn.Module, Callable[[], Outputs], nn.Module, Callable[[], Outputs]]
CUTOFF = 5.0


def ethanol(batch: int) -> Graph:
    """Perturbed molecules, connected within 5 A."""
    atoms, generator = molecule("CH3CH2OH"), torch.Generator().manual_seed(0)
    places, z = torch.tensor(atoms.positions, dtype=torch.float32), torch.tensor(atoms.numbers)
    graphs = (Graph(places + 0.02 * torch.randn(9, 3, generator=generator), z=z) for _ in range(batch))
    return collate([connect(graph, CUTOFF) for graph in graphs])


def paired(
    theirs: nn.Module, energy: Callable[[Tensor], Tensor], ours: Backbone, head: nn.Module, graph: Graph
) -> Pair:
    """Energies (graphs,) of a package as a function of the positions, and our backbone with the same head: forces of
    both.
    """
    field = ForceField(ours)
    field.head = head  # type: ignore[assignment]

    def run() -> Outputs:
        pos = graph.pos.detach().clone().requires_grad_()
        total = energy(pos).view(-1)
        (gradient,) = torch.autograd.grad(total.sum(), pos, create_graph=theirs.training)
        return {"energy": total, "forces": -gradient}

    return theirs, run, field, lambda: field(graph)


def schnet() -> Pair:
    """PyG's SchNet: 128 channels, 6 layers, 50 Gaussians."""
    from torch_geometric.nn.models import SchNet

    graph = ethanol(20)
    j, i = graph.edge_index
    theirs = SchNet(
        cutoff=CUTOFF, interaction_graph=lambda pos, batch: (graph.edge_index, (pos[j] - pos[i]).norm(dim=-1))
    )
    head = MLP([128, 64, 1], shifted_softplus)
    for mine, other in zip(head.parameters(), [*theirs.lin1.parameters(), *theirs.lin2.parameters()], strict=True):
        mine.data.copy_(other.data)
    return paired(theirs, lambda pos: theirs(graph.z, pos, graph.batch), twins.schnet(theirs), head, graph)


def dimenet() -> Pair:
    """PyG's DimeNet++: 128 channels, 4 layers, 7 x 6 functions."""
    from torch_geometric.nn.models import dimenet

    graph = ethanol(20)
    (j, i), (kj, ji) = graph.edge_index, triplets(graph)
    dimenet.radius_graph = lambda *arguments, **options: graph.edge_index
    dimenet.triplets = lambda *arguments, **options: (i, j, i[ji], j[ji], j[kj], kj, ji)
    theirs = dimenet.DimeNetPlusPlus(128, 1, 4, 64, 8, 256, 7, 6, cutoff=CUTOFF, output_initializer="glorot_orthogonal")
    return paired(theirs, lambda pos: theirs(graph.z, pos, graph.batch), twins.dimenet(theirs), nn.Identity(), graph)


def painn() -> Pair:
    """Schnetpack's PaiNN: 128 channels, 3 layers, 20 Bessel functions, with a readout of ours on both."""
    spk = twins.schnetpack("nn")
    graph, representation = ethanol(20), twins.schnetpack("representation.painn")
    j, i = graph.edge_index
    theirs = representation.PaiNN(128, 3, spk.BesselRBF(20, CUTOFF), spk.CosineCutoff(CUTOFF))
    ours = twins.painn(theirs)
    head = ScalarHead(ours.irreps_out)

    def energy(pos: Tensor) -> Tensor:
        inputs = {"_atomic_numbers": graph.z, "_Rij": pos[j] - pos[i], "_idx_i": i, "_idx_j": j}
        return pool(head.mlp(theirs(inputs)["scalar_representation"]), graph)

    return paired(theirs, energy, ours, head, graph)


def egnn() -> Pair:
    """egnn-pytorch's sparse layers, 4 of 64 features, all pairs of atoms: features and displacements, since it has no
    energies.
    """
    from egnn_pytorch import EGNN_Sparse

    graph = ethanol(20)
    theirs = nn.ModuleList(EGNN_Sparse(64, m_dim=64) for _ in range(4))
    for layer in theirs:
        # as they begin, positions are thrown 20,000 A away
        nn.init.xavier_uniform_(layer.coors_mlp[-1].weight, gain=0.01)
    ours = twins.egnn(theirs, neighbours=8)

    def run() -> Outputs:
        x = torch.cat([graph.pos, ours.embedding(graph)], dim=1)
        for layer in theirs:
            x = layer(x, graph.edge_index)
        return {"features": x[:, 3:], "displacements": x[:, :3] - graph.pos}

    def run_ours() -> Outputs:
        features, displacements = ours(graph).split([64, 3], dim=1)
        return {"features": features, "displacements": displacements}

    return theirs, run, ours, run_ours
