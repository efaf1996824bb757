"""Rigid docking by keypoints: two halves of a shape find each other from any pose.

    python examples/docking.py

EquiDock's idea (Ganea et al., ICLR 2022, arXiv:2111.07786; cited by the AIDD lecture): one network, equivariant to
SE(3), sees each body by itself and names a few keypoints of it. Trained in the docked pose, where the keypoints of both
have to coincide, it needs no other pose: keypoints turn with their body. Kabsch's superposition of the keypoints then
docks the bodies wherever they are.

A random star-shaped surface is cut by a wavy sheet. Each half has 60 points of the cut and of its own side.

What is asserted: from random poses the docked complex is off by less than 1 % of the shape's size (RMSD); and the
keypoints of a body's mirror image are not the mirror images of its keypoints, since the network is one of SE(3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from intertwine.geometry import Graph, collate
from intertwine.geometry.superposition import superposed
from intertwine.groups import SO
from intertwine.models import EQGAT
from intertwine.numerics import segment

POINTS, KEYPOINTS, STEPS = 60, 8, 350


def halves(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points of two bodies in the docked pose (POINTS, 3): both sides of one wavy cut through a star-shaped body."""
    waves = torch.randn(6, 3, generator=generator, dtype=torch.float64)

    def height(xy: Tensor) -> Tensor:
        phase = xy @ waves[:, :2].T + 3 * waves[:, 2]
        return 0.25 * torch.sin(2 * phase).sum(1, keepdim=True) / 6**0.5

    def cut(count: int) -> Tensor:
        angle = 2 * torch.pi * torch.rand(count, generator=generator, dtype=torch.float64)
        radius = torch.rand(count, generator=generator, dtype=torch.float64).sqrt()
        xy = torch.stack([radius * angle.cos(), 1.3 * radius * angle.sin()], dim=1)
        return torch.cat([xy, height(xy)], dim=1)

    bodies = []
    for side in (1, -1):
        shell = torch.randn(POINTS // 2, 3, generator=generator, dtype=torch.float64)
        shell = shell / shell.norm(dim=1, keepdim=True)
        shell = shell * (1 + 0.3 * torch.sin(shell @ waves.T).mean(1, keepdim=True))
        shell[:, 2] = side * (shell[:, 2].abs() + 0.3)
        bodies.append(torch.cat([cut(POINTS - len(shell)), shell]))
    return bodies[0], bodies[1]


class Keypoints(nn.Module):
    """Equivariant keypoints of a body: means of its points with weights, moved by vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.network = EQGAT(width=32, vectors=KEYPOINTS, layers=2, cutoff=1.2, species=())
        self.weigh = nn.Linear(32, KEYPOINTS)

    def forward(self, graph: Graph) -> Tensor:
        features = self.network(graph)
        scalars, vectors = features[:, :32], features[:, 32:].unflatten(1, (KEYPOINTS, 3))
        owner, graphs = graph.membership(), graph.graphs
        share = segment.softmax(self.weigh(scalars), owner, graphs).unsqueeze(2)
        return segment.sum(share * (graph.pos.unsqueeze(1) + vectors), owner, graphs)  # (graphs, KEYPOINTS, 3)


def dock(network: Keypoints, first: Tensor, second: Tensor) -> Tensor:
    """The second body moved to where its keypoints lie on those of the first (POINTS, 3)."""
    with torch.no_grad():
        k1, k2 = network(collate([Graph(first), Graph(second)]))
    R, centre, goal = superposed(k2, k1, torch.zeros(KEYPOINTS, dtype=torch.int64), 1)
    return (second - centre[0]) @ R[0].T + goal[0]


def main() -> dict[str, float]:
    torch.set_num_threads(1)  # small tensors: more threads wait for each other
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(2)
    first, second = halves(generator)
    size = float((torch.cat([first, second]) - torch.cat([first, second]).mean(0)).square().sum(1).mean().sqrt())
    network = Keypoints().double()
    batch = collate([Graph(first), Graph(second)])
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        k1, k2 = network(batch)
        spread = torch.linalg.svdvals(k1 - k1.mean(0))[2] / KEYPOINTS**0.5  # keypoints on a line would dock any turn
        loss = (k1 - k2).square().sum(1).mean() + 0.1 * torch.relu(0.15 * size - spread)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()

    worst = 0.0
    for R, T in zip(SO(3).sample(20, generator), SO(3).sample(20, generator), strict=True):
        shift = 5 * torch.randn(2, 3, generator=generator, dtype=torch.float64)
        a, b = first @ R.T + shift[0], second @ T.T + shift[1]
        docked, wanted = dock(network, a, b), second @ R.T + shift[0]
        worst = max(worst, float((docked - wanted).square().sum(1).mean().sqrt()) / size)
    mirrored = second * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    with torch.no_grad():
        other = network(collate([Graph(first), Graph(mirrored)]))[1] * torch.tensor([-1.0, 1.0, 1.0])
        own = network(batch)[1]
    hand = float((other - own).norm(dim=1).mean()) / size
    print(f"size of the shape {size:.2f}; worst RMSD of 20 poses {100 * worst:.2g} % of it")
    print(f"keypoints of the mirror image are {100 * hand:.0f} % of the size from the mirrored keypoints")
    assert worst < 0.01
    assert hand > 0.01
    return {"worst": worst, "hand": hand}


if __name__ == "__main__":
    main()
