"""Structures at which frames are degenerate, and a network without any symmetry but that of the order of its nodes."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from intertwine.geometry.frames import Frames

F64 = torch.float64
Structure = tuple[Tensor, Tensor]


def methane() -> Structure:
    corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=F64)
    return torch.cat([corners.new_zeros(1, 3), 1.09 / math.sqrt(3) * corners]), torch.tensor([6, 1, 1, 1, 1])


def benzene() -> Structure:
    angle = torch.arange(6, dtype=F64) * math.pi / 3
    ring = torch.stack([angle.cos(), angle.sin(), 0 * angle], dim=1)
    return torch.cat([1.39 * ring, 2.48 * ring]), torch.tensor([6] * 6 + [1] * 6)


def chain() -> Structure:
    """Acetylene."""
    return torch.tensor([[0, 0, -1.66], [0, 0, -0.6], [0, 0, 0.6], [0, 0, 1.66]], dtype=F64), torch.tensor([1, 6, 6, 1])


def lopsided() -> Structure:
    """OCS: a chain with two different ends."""
    return torch.tensor([[-1.16, 0, 0], [0, 0, 0], [1.56, 0, 0]], dtype=F64), torch.tensor([8, 6, 16])


def cube() -> Structure:
    return torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=F64)] * 3), torch.full((8,), 6)


EXACT: dict[str, Callable[[], Structure]] = {make.__name__: make for make in (methane, benzene, chain, lopsided, cube)}


def nearly_degenerate(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random structures of 4 to 10 atoms: positions, species, the structure of each atom, the kind of each structure.

    Two equal singular values (kind 0), three (1), two of a planar one (2), linear (3), and prisms of m corners (4),
    each up to 1e-2, ..., 1e-14 or 0 A.
    """
    pos, z, owner = [], [], []
    for k in range(count):
        n, kind, power = 4 + k % 7, k % 5, (k // 5) % 14
        e = 0.0 if power == 13 else 10.0 ** -(2 + power)
        x = torch.randn(n, 3, generator=generator, dtype=F64)
        u, _, v = torch.linalg.svd(x - x.mean(0), full_matrices=False)
        table = [(1.5, 1.2, 1.2 + e), (1.5, 1.5 + e, 1.5 - e), (1.5, 1.5 + e, e), (2.0, e, 0.7 * e), (1.0, 1.0, 1.0)]
        x = (u * torch.tensor(table[kind], dtype=F64)) @ v * 1.5
        if kind == 4:
            angle = torch.arange(n // 2, dtype=F64) * 2 * math.pi / (n // 2)
            ring = torch.stack([angle.cos(), angle.sin(), 0 * angle], dim=1)
            up = torch.tensor([0, 0, 0.4], dtype=F64)
            rings = torch.cat([1.3 * ring + up, 1.1 * ring - up, ring.new_zeros(n % 2, 3)])
            x = rings @ v + e * torch.randn(n, 3, generator=generator, dtype=F64)
        pos.append(x)
        z.append(torch.randint(1, 9, (n,), generator=generator))
        owner.append(torch.full((n,), k))
    return torch.cat(pos), torch.cat(z), torch.cat(owner), torch.arange(count) % 5


class Generic(nn.Module):
    """A number (or a vector) of each structure from the coordinates of its atoms: a smooth network that knows no
    rotation.
    """

    def __init__(self, dimension: int = 3, outputs: int = 1, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.inner = nn.Sequential(nn.Linear(dimension + 1, 32), nn.Tanh(), nn.Linear(32, 32)).double()
            self.outer = nn.Linear(32, outputs).double()

    def forward(self, local: Tensor, z: Tensor, owner: Tensor, graphs: int) -> Tensor:
        """Of atoms in frames (nodes, frames, d): (graphs, frames, outputs)."""
        kind = (z.to(local) / 6)[:, None, None].expand(*local.shape[:2], 1)
        y = self.inner(torch.cat([local, kind], dim=-1))
        return self.outer(y.new_zeros(graphs, *y.shape[1:]).index_add(0, owner, y).sin())


def energies(
    network: Generic,
    build: Callable[..., Frames],
    pos: Tensor,
    z: Tensor,
    owner: Tensor,
    graphs: int,
    **options: object,
) -> Tensor:
    """The network's average over the frames of each structure."""
    frames = build(pos, owner, graphs, **options)
    return frames.average(network(frames.into(pos, owner), z, owner, graphs)).squeeze(-1)


def with_forces(*arguments: object, **options: object) -> tuple[Tensor, Tensor]:
    """Energies and forces; arguments of :func:`energies`."""
    network, build, pos, *rest = arguments
    pos = pos.detach().requires_grad_()  # type: ignore[attr-defined]
    energy = energies(network, build, pos, *rest, **options)  # type: ignore[arg-type]
    return energy.detach(), -torch.autograd.grad(energy.sum(), pos)[0]
