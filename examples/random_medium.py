"""The conductivity tensor of a random medium, from its graph: what replaces a solver for permeabilities of rocks.

    python examples/random_medium.py

A periodic medium of random points, thinned in layers across a random direction, in which near points are joined by
tubes of conductance g_e = 1 / d_e - 1 / D, which vanishes at the longest length D. A gradient E drives currents, and
what flows is J = K E with

    K = (1 / V) (sum_e g_e r_e r_e^T - B^T L^+ B),   B_n = sum_{e at n} g_e r_e,   L the graph's Laplacian,

a symmetric positive tensor, which the solver here finds from all nodes at once. The first term is what flows if every
tube sees the mean gradient; the second is lost as the potentials of the nodes settle. A network learns K from the same
graph with two passes of messages (as Cai et al. 2021 do for permeabilities of rocks; cited by the AIDD lecture). The
target is a tensor with the symmetry ij = ji, that is the irreps 0e + 2e, of a graph: nothing else is told.

What is asserted: the solver's tensor of a turned medium is the turned tensor to 1e-12, and of the cubic lattice that of
the formula; the network's tensors of turned media are the turned ones to 1e-5; its error on media that it has not seen
is at most half of that of the mean tensor, at most half of that of the best isotropic tensor for each medium, and
smaller than that of the best linear function of the first term.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from intertwine import connect, o3
from intertwine.data import GraphStore
from intertwine.geometry import Graph, edge_vectors
from intertwine.training import Run, load_run, predict, train

MEDIA, TESTED = 480, 40
BOX, NODES, TUBE = 7.0, 40, 3.2  # edge of the cell, points in it, longest tube: A, as all lengths here
LAYER = 3.5  # distance of two thin layers, a divisor of the box


def parts(graph: Graph) -> tuple[Tensor, Tensor]:
    """What flows if every tube sees the mean gradient (3, 3), and what is lost as the nodes' potentials settle (3, 3);
    their difference is K. Of a connected periodic graph, by solving for the potentials of all nodes; float64."""
    n, j, r = *graph.edge_index, edge_vectors(graph)
    g = 1.0 / r.norm(dim=1) - 1.0 / TUBE
    nodes = graph.num_nodes
    L = torch.zeros(nodes, nodes, dtype=torch.float64)
    L.index_put_((n, n), g, accumulate=True)
    L.index_put_((n, j), -g, accumulate=True)
    B = torch.zeros(nodes, 3, dtype=torch.float64).index_add(0, j, g.unsqueeze(1) * r)
    whole = 0.5 * torch.einsum("e,ex,ey->xy", g, r, r)  # each tube is listed from both of its ends
    volume = torch.linalg.det(graph.cell[0]).abs()
    return whole / volume, B.T @ torch.linalg.pinv(L, hermitian=True) @ B / volume


def conductivity(graph: Graph) -> Tensor:
    """The tensor K (3, 3) of a connected periodic graph."""
    whole, lost = parts(graph)
    return whole - lost


def periodic(pos: Tensor, cell: Tensor) -> Graph:
    pbc = torch.ones(3, dtype=torch.bool)
    return Graph(pos, z=torch.ones(len(pos), dtype=torch.int64), cell=cell, pbc=pbc)


def medium(generator: torch.Generator) -> Graph:
    """A medium with its tensor, turned at random."""
    x = BOX * torch.rand(4 * NODES, 3, generator=generator, dtype=torch.float64)
    dense = torch.sin(2 * torch.pi * x[:, 2] / LAYER) > 0
    kept = dense | (torch.rand(len(x), generator=generator) < 0.2)  # in every other half layer fewer points
    R = o3.rand_matrix(dtype=torch.float64, generator=generator)
    graph = periodic(x[kept][:NODES] @ R.T, BOX * torch.eye(3, dtype=torch.float64) @ R.T)
    graph["conductivity"] = conductivity(connect(graph, TUBE)).unsqueeze(0)
    return graph


def turned(graph: Graph, R: Tensor) -> Graph:
    """The medium in another orientation, without its tensor."""
    return periodic(graph.pos @ R.T, graph.cell[0] @ R.T)


def isotropic(K: Tensor) -> Tensor:
    """The nearest multiples of the identity (..., 3, 3)."""
    return K.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None] * torch.eye(3, dtype=K.dtype)


def size(K: Tensor) -> float:
    """The mean Frobenius norm of tensors (..., 3, 3)."""
    return float(K.square().sum((-2, -1)).sqrt().mean())


def of_the_solver(generator: torch.Generator) -> tuple[float, float]:
    """How far the solver's tensors are from those of the cubic lattice and of a turned medium, relatively."""
    x = torch.arange(4, dtype=torch.float64)
    lattice = connect(periodic(torch.cartesian_prod(x, x, x), 4 * torch.eye(3, dtype=torch.float64)), 1.1)
    exact = (1 - 1 / TUBE) * torch.eye(3, dtype=torch.float64)  # one tube of length 1 along each axis in a unit volume
    graph, R = medium(generator), o3.rand_matrix(dtype=torch.float64, generator=generator)
    K, K_turned = graph["conductivity"][0], conductivity(connect(turned(graph, R), TUBE))
    return size(conductivity(lattice) - exact) / size(exact), size(K_turned - R @ K @ R.T) / size(K)


def trained(media: list[Graph]) -> Run:
    """A network that has learned the tensors of these media; a tenth of them say when it is best."""
    sections = {
        "data": {"target": "conductivity", "validation": TESTED, "test_size": TESTED},
        "task": {"representation": "ij=ji"},
        "model": {
            "name": "mace", "cutoff": TUBE, "layers": 2, "width": 8, "lmax": 2, "hidden_lmax": 1, "correlation": 2,
            "radial_width": 16, "radial_layers": 1,
        },
        "training": {"epochs": 24, "batch_size": 8, "learning_rate": 1e-2, "certify": False, "threads": 1, "seed": 0},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        train(sections, store=GraphStore.from_graphs(media, name="media"), run=run, progress=False)
        return load_run(run, device="cpu")


def linear(seen: list[Graph], unseen: list[Graph]) -> Tensor:
    """Tensors that are the best linear function of the mean gradient's flow: a multiple of its isotropic part, another
    of the rest, and a constant (media, 3, 3)."""

    def columns(media: list[Graph]) -> Tensor:
        whole = torch.stack([parts(connect(graph, TUBE))[0] for graph in media])
        of_all = torch.eye(3, dtype=torch.float64).expand_as(whole)
        return torch.stack([isotropic(whole), whole - isotropic(whole), of_all], dim=-1)

    target = torch.cat([graph["conductivity"] for graph in seen]).flatten()
    factors = torch.linalg.lstsq(columns(seen).flatten(0, 2), target.unsqueeze(1)).solution
    return (columns(unseen) @ factors).squeeze(-1)


def main() -> dict[str, float]:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    lattice, solver = of_the_solver(generator)
    media = [medium(generator) for _ in range(MEDIA)]
    seen, unseen = media[:-TESTED], media[-TESTED:]
    run = trained(seen)
    truth = torch.cat([graph["conductivity"] for graph in unseen])
    R = o3.rand_matrix(dtype=torch.float64, generator=generator)
    still, moved = (
        torch.stack([torch.as_tensor(y["conductivity"]) for y in predict(run, [turned(graph, S) for graph in unseen])])
        for S in (torch.eye(3, dtype=torch.float64), R)
    )
    mean = torch.cat([graph["conductivity"] for graph in seen]).mean(0)
    result = {
        "network": size(still - truth),
        "mean": size(mean - truth),
        "isotropic": size(isotropic(truth) - truth),
        "linear": size(linear(seen, unseen) - truth),
        "turned": size(moved - R @ still @ R.T) / size(still),
    }
    print(f"error of the network {result['network']:.4f}, of tensors of size {size(truth):.3f}")
    print(f"of the mean tensor {result['mean']:.4f}, of the best isotropic tensor of each {result['isotropic']:.4f}")
    print(f"of the best linear function of what flows in the mean gradient {result['linear']:.4f}")
    print(f"turned media: network {result['turned']:.1e}, solver {solver:.1e}; cubic lattice {lattice:.1e}")
    assert lattice < 1e-12
    assert solver < 1e-12
    assert result["turned"] < 1e-5
    assert result["network"] < 0.5 * result["mean"]
    assert result["network"] < 0.5 * result["isotropic"]
    assert result["network"] < result["linear"]
    return result


if __name__ == "__main__":
    main()
