"""Functions that are symmetric, and functions that are broken in one way each."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from intertwine.geometry import Graph, connect, edge_vectors
from intertwine.groups import Cartesian, Representation
from intertwine.nn import envelope
from intertwine.numerics import safe, segment


class Output(NamedTuple):
    representation: Representation
    level: str
    unit: str = ""
    affine: bool = False


def molecules() -> list[Graph]:
    """Ethanol, methane, water and hydrogen, near their equilibria."""
    from ase.build import molecule

    return [Graph(m.positions, z=m.numbers) for m in map(molecule, ("CH3CH2OH", "CH4", "H2O", "H2"))]


def crystal() -> Graph:
    from ase.build import bulk

    atoms = bulk("NaCl", "rocksalt", a=5.6)
    return Graph(atoms.positions + 0.02, z=atoms.numbers, cell=atoms.cell.array)


class PointNet(nn.Module):
    """A shared MLP of the coordinates and a maximum over nodes: symmetric under permutations, and nothing else."""

    irreps_out = "0e"

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 32)), nn.Linear(32, 1)

    def forward(self, graph: Graph) -> Tensor:
        features = self.inner(graph.pos)
        pooled = segment.max(features, graph.membership(), graph.graphs)
        return self.outer(pooled)


class FlatMLP(nn.Module):
    """An MLP of the coordinates of the first three nodes, in the order in which they are listed."""

    irreps_out = "0e"

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(9, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, graph: Graph) -> Tensor:
        rows = []
        for k in range(graph.graphs):
            first = graph.pos[graph.membership() == k][:3].flatten()
            rows.append(torch.cat([first, first.new_zeros(9 - len(first))]))
        return self.mlp(torch.stack(rows))


class Pairs(nn.Module):
    r"""A right function to break: :math:`E = s \sum_{ij} c(d_{ij})\, e^{-d_{ij}^2/4}` and its forces, all parts
    optional.

    Args:
        smooth: with the envelope c; otherwise the pair function is cut off.
        force_factor: multiplies the forces.
        shift_bug: adds a function of the distance from the origin.
        chiral: adds a pseudoscalar.
        mixes: subtracts the mean over all nodes of the batch.
        noisy: adds noise.
        singular: takes distances with a square root that has no derivative at zero.
    """

    cutoff = 3.0

    def __init__(self, **broken: bool | float) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(0.5))
        self.broken, self.envelope = broken, envelope("polynomial", self.cutoff)
        self.outputs = {"energy": Output(Cartesian(0), "graph", "eV"), "forces": Output(Cartesian(1), "node", "eV/A")}

    def energies(self, graph: Graph) -> Tensor:
        vectors, i = edge_vectors(graph), graph.edge_index[1]
        d = (vectors * vectors).sum(-1).sqrt() if self.broken.get("singular") else safe.norm(vectors)
        pair = torch.exp(-d * d / 4) * (self.envelope(d) if self.broken.get("smooth", True) else 1.0)
        site = self.strength * segment.sum(pair, i, graph.num_nodes)
        site = site * (1 + site)
        if self.broken.get("shift_bug"):
            site = site + 0.1 * (graph.pos * graph.pos).sum(-1).cos()
        if self.broken.get("chiral"):
            a, b = (segment.sum(vectors * (pair * d**k).unsqueeze(-1), i, graph.num_nodes) for k in (0, 2))
            c = segment.sum(b[graph.edge_index[0]] * pair.unsqueeze(-1), i, graph.num_nodes)
            site = site + (torch.linalg.cross(a, b) * c).sum(-1)
        if self.broken.get("mixes"):
            site = site - 0.1 * site.mean()
        if self.broken.get("noisy"):
            site = site + 1e-15 * torch.rand_like(site)
        return segment.sum(site, graph.membership(), graph.graphs)

    def forward(self, graph: Graph) -> dict[str, Tensor]:
        graph = graph.clone() if graph.get("edge_index") is not None else connect(graph, self.cutoff)
        if not graph.pos.requires_grad:
            graph.pos = graph.pos.clone().requires_grad_()
        energy = self.energies(graph)
        gradient = torch.autograd.grad(energy.sum(), graph.pos, create_graph=True, materialize_grads=True)[0]
        return {"energy": energy, "forces": -self.broken.get("force_factor", 1.0) * gradient}
