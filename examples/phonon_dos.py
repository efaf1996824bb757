"""The phonon density of states of a crystal, predicted directly from its structure, without forces or a q mesh.

    python examples/phonon_dos.py [picture.png]

Random crystals: two or three atoms of four species in a random triclinic cell, joined by springs, whose stiffness
depends on both species and fades to zero at a distance. Their frequencies are exact: with edges e = (i j) of unit
vector u, stiffness k and spring energy k (u . (x_j - x_i))^2 / 2,

    D(q)_ij = (delta_ij sum_e k u u^T - sum_{e = (i j)} k u u^T exp(i q . r)) / sqrt(m_i m_j),   D(q) e = omega^2 e,

on a mesh of q. A network predicts the density of states from the crystal as a vector of bins (as Chen et al., Advanced
Science 8, 2004214 (2021), do for materials; cited by the AIDD lecture): so many invariants of a graph, the irreps
"32x0e", each a mean over the atoms.

What is asserted: the exact spectrum is that of a supercell and of another basis of the lattice to 1e-9, and one mass on
equal springs has the band edge of the formula; the network's error on crystals that it has not seen is at most half of
that of the mean spectrum; its answer stays the same to 1e-5 when the crystal is turned or mirrored, repeated to a
supercell, or described by another basis.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from intertwine import connect, o3
from intertwine.data import GraphStore
from intertwine.geometry import Graph, edge_vectors
from intertwine.training import load_run, predict, train

CRYSTALS, TESTED = 300, 40
REACH = 4.0  # A, of springs
DENSITY = 12.0  # A^3 for an atom
BINS, HIGHEST, SMEARING = 32, 2.4, 0.1  # bins, largest frequency and width of a mode (frequencies have unit 1)
MESH = 6  # points of q along each axis of a crystal's own cell, q = 0 among them
MASSES = torch.tensor([torch.nan, 1.0, 2.0, 4.0, 8.0], dtype=torch.float64)  # by species, 1 to 4
SPRINGS = torch.tensor([torch.nan, 1.0, 0.4, 2.0, 0.8], dtype=torch.float64)


def frequencies(graph: Graph, mesh: tuple[int, int, int]) -> Tensor:
    """Frequencies of a crystal with edges at the points of a mesh of q (points, 3 atoms)."""
    (i, j), r, atoms = graph.edge_index, edge_vectors(graph), graph.num_nodes
    d = r.norm(dim=1)
    k = (SPRINGS[graph.z[i]] * SPRINGS[graph.z[j]]).sqrt() * (1 - (d / REACH) ** 2) ** 2
    block = (k / d**2)[:, None, None] * r[:, :, None] * r[:, None, :]
    steps = torch.cartesian_prod(*(torch.arange(n, dtype=torch.float64) / n for n in mesh))
    q = 2 * torch.pi * steps @ torch.linalg.inv(graph.cell[0]).T  # rows of the cell are its vectors
    phase = torch.exp(1j * (q @ r.T))  # (points, edges)
    D = torch.zeros(len(q), atoms * atoms, 3, 3, dtype=torch.complex128)
    D = D.index_add(1, i * atoms + j, -phase[:, :, None, None] * block)
    D = D.index_add(1, i * atoms + i, block.expand(len(q), *block.shape).to(D.dtype))
    D = D.unflatten(1, (atoms, atoms)) / (MASSES[graph.z][:, None] * MASSES[graph.z]).sqrt()[:, :, None, None]
    return torch.linalg.eigvalsh(D.transpose(2, 3).flatten(3).flatten(1, 2)).clamp(min=0).sqrt()


def density_of_states(graph: Graph, mesh: tuple[int, int, int] = (MESH, MESH, MESH)) -> Tensor:
    """The share of states in a unit of frequency, at the middle of each bin (BINS,)."""
    modes = frequencies(connect(graph, REACH), mesh).flatten()
    x = (middles()[:, None] - modes) / SMEARING
    return torch.exp(-0.5 * x * x).mean(1) / (SMEARING * (2 * torch.pi) ** 0.5)


def middles() -> Tensor:
    """Frequencies in the middle of the bins (BINS,)."""
    return (torch.arange(BINS, dtype=torch.float64) + 0.5) * HIGHEST / BINS


def periodic(pos: Tensor, cell: Tensor, z: Tensor) -> Graph:
    return Graph(pos, z=z, cell=cell, pbc=torch.ones(3, dtype=torch.bool))


def crystal(generator: torch.Generator) -> Graph:
    """A random crystal with its density of states."""
    atoms = int(torch.randint(2, 4, (), generator=generator))
    while True:
        cell = torch.eye(3, dtype=torch.float64) + 0.2 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
        cell = cell * (DENSITY * atoms / torch.linalg.det(cell).abs()) ** (1 / 3)
        pos = torch.rand(atoms, 3, generator=generator, dtype=torch.float64) @ cell
        z = torch.randint(1, len(MASSES), (atoms,), generator=generator)
        graph = periodic(pos, cell, z)
        if float(edge_vectors(connect(graph, REACH)).norm(dim=1).min()) > 1.6:  # A
            graph["dos"] = density_of_states(graph).unsqueeze(0)
            return graph


def turned(graph: Graph, R: Tensor) -> Graph:
    return periodic(graph.pos @ R.T, graph.cell[0] @ R.T, graph.z)


def doubled(graph: Graph) -> Graph:
    """Two cells, one behind the other along the first vector, as one."""
    cell = graph.cell[0] * torch.tensor([[2.0], [1.0], [1.0]], dtype=torch.float64)
    return periodic(torch.cat([graph.pos, graph.pos + graph.cell[0, 0]]), cell, graph.z.repeat(2))


def in_another_basis(graph: Graph) -> Graph:
    """The same lattice by other vectors, and each atom in another cell."""
    change = torch.tensor([[1, 1, 0], [0, 1, -1], [1, 1, 1]], dtype=torch.float64)  # whole numbers, determinant 1
    moves = torch.arange(graph.num_nodes, dtype=torch.float64)[:, None] * torch.tensor([1.0, -1.0, 2.0])
    return periodic(graph.pos + moves.to(torch.float64) @ graph.cell[0], change @ graph.cell[0], graph.z)


def band_edge() -> tuple[float, float]:
    """The highest frequency of a cubic lattice of equal masses whose springs join the nearest alone; its formula."""
    a = 0.8 * REACH  # the second nearest are out of reach
    graph = periodic(torch.zeros(1, 3, dtype=torch.float64), a * torch.eye(3, dtype=torch.float64), torch.tensor([2]))
    k = float(SPRINGS[2]) * (1 - (a / REACH) ** 2) ** 2
    return float(frequencies(connect(graph, REACH), (2, 2, 2)).max()), 2 * (k / float(MASSES[2])) ** 0.5


def size(x: Tensor) -> float:
    """The mean area between curves and zero: of two densities of states at most 2."""
    return float(x.abs().sum(-1).mean()) * HIGHEST / BINS


def main(picture: Path | None = None) -> dict[str, float]:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    edge, formula = band_edge()
    crystals = [crystal(generator) for _ in range(CRYSTALS)]
    seen, unseen = crystals[:-TESTED], crystals[-TESTED:]
    truth = torch.cat([graph["dos"] for graph in unseen])
    exact = max(
        max(
            size(density_of_states(doubled(graph), (MESH // 2, MESH, MESH)) - graph["dos"]),
            size(density_of_states(in_another_basis(graph)) - graph["dos"]),
        )
        for graph in unseen[:5]
    )
    sections = {
        "data": {"target": "dos", "validation": TESTED, "test_size": TESTED},
        "task": {"representation": f"{BINS}x0e", "readout": "mean"},
        "model": {"name": "painn", "cutoff": REACH, "layers": 2, "width": 48},
        "training": {"epochs": 30, "batch_size": 8, "learning_rate": 4e-3, "certify": False, "threads": 1, "seed": 0},
    }
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        train(sections, store=GraphStore.from_graphs(seen, name="crystals"), run=run, progress=False)
        network = load_run(run, device="cpu", dtype=torch.float64)

    def predicted(graphs: list[Graph]) -> Tensor:
        bare = [periodic(graph.pos, graph.cell[0], graph.z) for graph in graphs]
        return torch.stack([torch.as_tensor(y["dos"]) for y in predict(network, bare)])

    ours, R = predicted(unseen), -o3.rand_matrix(dtype=torch.float64, generator=generator)  # with a mirror
    mean = torch.cat([graph["dos"] for graph in seen]).mean(0)
    result = {
        "network": size(ours - truth),
        "mean": size(mean - truth),
        "exact": exact,
        "turned": size(predicted([turned(graph, R) for graph in unseen]) - ours),
        "supercell": size(predicted([doubled(graph) for graph in unseen]) - ours),
        "basis": size(predicted([in_another_basis(graph) for graph in unseen]) - ours),
    }
    print(
        f"area between predicted and exact spectra {result['network']:.3f}; of the mean spectrum {result['mean']:.3f}"
    )
    print(
        "changes of the predicted spectra: "
        + ", ".join(f"{k} {result[k]:.1e}" for k in ("turned", "supercell", "basis"))
    )
    print(f"of the exact ones {exact:.1e}; band edge {edge:.6f}, by the formula {formula:.6f}")
    if picture is not None:
        draw(truth, ours, mean, picture)
    assert abs(edge - formula) < 1e-9
    assert exact < 1e-9
    assert result["network"] < 0.5 * result["mean"]
    assert max(result[k] for k in ("turned", "supercell", "basis")) < 1e-5
    return result


def draw(truth: Tensor, ours: Tensor, mean: Tensor, picture: Path) -> None:
    """Spectra of crystals that were not seen: those at a tenth, half and nine tenths of the errors in their order."""
    from matplotlib import pyplot

    order = (ours - truth).abs().sum(1).argsort()
    figure, axes = pyplot.subplots(1, 3, figsize=(8, 2.6), sharey=True, layout="constrained")
    for ax, share in zip(axes, (0.1, 0.5, 0.9), strict=True):
        k = int(order[int(share * len(order))])
        ax.plot(middles(), mean, color="#ccc", lw=1, label="mean of the training set")
        ax.plot(middles(), truth[k], color="#999", lw=1.5, label="exact")
        ax.plot(middles(), ours[k], color="#1f5fa8", lw=1.5, label="network")
        ax.set(xlabel="frequency", title=f"error larger than of {100 * share:.0f} %", xlim=(0, HIGHEST))
    axes[0].set(ylabel="density of states")
    axes[0].legend(frameon=False, fontsize=7)
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
