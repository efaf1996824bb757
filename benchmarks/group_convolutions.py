"""Group convolutions on points beside the public formulation of LieConv: forward and backward, time and peak memory.

python benchmarks/group_convolutions.py [--save]

256 elements with 25 neighbours each, 32 channels in and out, 16 functions of the kernel with two hidden layers of 32, a
mean over the neighbours. The other side is the contraction of Finzi et al. 2020 (arXiv:2002.12880, section 5 and
appendix) in plain torch, in two forms:

* ``gathered``: the logarithms of all 256 x 256 pairs, from which the rows of the neighbours are taken; the kernel's
  network, the contraction (neighbours x channels) and the linear map of functions x channels on tensors (1, 256, 25,
  ...). The paper's own implementation does the same, and finds the neighbours in the same dense tensor.
* ``dense``: the kernel's network and the contraction at all pairs, with a mask: the equation as it stands, as with a
  neighbourhood of all.

``ours`` makes logarithms of edges only, and the sum over the neighbours is the fused kernel. An element is a point with
a drawn rotation. The last rows are regular group convolutions (4 orientations of the plane, 20 functions of the
position), separable and full, on 256 points, that is 1,024 elements with 100 neighbours each; their ``gathered`` is the
contraction over pairs of elements, with 80 functions of the relative element. At all pairs it would be ten times that.

All contestants of a row have the same elements, neighbours and weights, and must agree to 1e-6 of their size, values
and gradients. Gradients are those of features, weights and points.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from measure import interleaved, table, write
from torch import Tensor

from intertwine import Graph, bench
from intertwine.geometry import directions, distances
from intertwine.groups import SE, Affine, T
from intertwine.nn.embedding import EdgeEmbedding, Edges
from intertwine.nn.groups.lie_convolution import LieConvolution, LieKernel, mean_weights
from intertwine.nn.groups.lifting import Relative
from intertwine.nn.groups.orientations import orientations
from intertwine.nn.groups.regular import FullGroupConvolution, GroupConvolution
from intertwine.nn.groups.relative import relative_logarithms
from intertwine.nn.groups.steerable_basis import SteerableBasis

POINTS, NEIGHBOURS, CHANNELS, FUNCTIONS = 256, 25, 32, 16
AGREE = 1e-6  # of the size of the result
GROUPS: dict[str, Affine] = {"T(3)": T(3), "SE(2)": SE(2), "SE(3)": SE(3)}


class Case:
    """What all contestants share, and how they are called.

    Attributes:
        NAMES: methods that compute the same; the first is ours.
    """

    NAMES: tuple[str, ...]
    f: Tensor
    pos: Tensor
    cotangent: Tensor
    weights: list[Tensor]

    def contestants(self) -> dict[str, Callable[[], Any]]:
        """name -> forward and backward."""

        def step(function: Callable[[], Tensor]) -> Callable[[], Any]:
            wanted: Sequence[Tensor] = [self.f, self.pos, *self.weights]
            return lambda: torch.autograd.grad(function(), wanted, self.cotangent)

        return {name: step(getattr(self, name)) for name in self.NAMES}

    def check(self) -> float:
        """The largest difference between results and gradients, over their sizes.

        Raises:
            AssertionError: it is above the bound.
        """
        with torch.no_grad():
            results = [[getattr(self, name)()] for name in self.NAMES]
        for result, step in zip(results, self.contestants().values(), strict=True):
            result += step()
        worst = max(
            float((a - b).abs().max() / b.abs().max())
            for other in results[1:]
            for a, b in zip(results[0], other, strict=True)
        )
        assert worst < AGREE, f"{type(self).__name__}: {worst:.1e}"
        return worst


class LieCase(Case):
    """Elements, neighbours and weights of a Lie group convolution.

    Args:
        group: of the elements.
        dtype: precision.
    """

    NAMES = ("ours", "gathered", "dense")

    def __init__(self, group: Affine, dtype: torch.dtype = torch.float32) -> None:
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        self.group = group
        self.kernel = LieKernel(group.dim, FUNCTIONS).to(dtype)
        self.layer = LieConvolution(CHANNELS, FUNCTIONS, CHANNELS).to(dtype)
        elements = group.sample(POINTS, generator)
        near = torch.cdist(group.shift(elements), group.shift(elements)).topk(NEIGHBOURS, largest=False).indices
        self.near = near  # (points, neighbours): of each its nearest, itself among them
        self.edge_index = torch.stack([near.flatten(), torch.arange(POINTS).repeat_interleave(NEIGHBOURS)])
        self.turns = group.linear(elements).to(dtype)
        self.pos = group.shift(elements).to(dtype).requires_grad_()
        self.f = torch.randn(POINTS, CHANNELS, generator=generator).to(dtype).requires_grad_()
        self.cotangent = torch.randn(POINTS, CHANNELS, generator=generator).to(dtype)
        self.weights = [*self.kernel.parameters(), *self.layer.parameters()]

    def lifted(self) -> Tensor:
        """The elements (points, n + 1, n + 1)."""
        return self.group.make(self.turns, self.pos)

    def ours(self) -> Tensor:
        """Logarithms, kernel and weights of edges; the sum in one kernel."""
        log = relative_logarithms(self.group, self.lifted(), self.edge_index)
        relative = Relative(None, log[:, None, None], log[:, :0], None)
        phi = self.kernel(relative, log[:, :0]).flatten(0, 2)
        weights = mean_weights(torch.ones_like(log[:, 0]), self.edge_index[1], POINTS)
        return self.layer(self.f, phi, weights, self.edge_index)

    def _all_logarithms(self) -> Tensor:
        """(1, points, points, dim): of every u with every v; of translations differences."""
        if self.group == T(3):
            x = self.pos[None]
            return x[:, :, None] - x[:, None]
        g = self.lifted()[None]
        return self.group.log(self.group.product(self.group.inverse(g)[:, None], g[:, :, None]))

    def _contracted(self, log: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """From logarithms (1, u, v, dim), features (1, u, v, channels) and a mask (1, u, v)."""
        phi = torch.where(mask[..., None], self.kernel.network(log), 0.0)
        values = torch.where(mask[..., None], values, 0.0)
        partial = (phi.transpose(-1, -2) @ values).flatten(-2)  # (1, u, functions x channels)
        count = mask.sum(-1, keepdim=True).clamp(min=1)
        return (self.layer.gain * self.layer.convolution.mix(partial) / count + self.layer.bias).squeeze(0)

    def gathered(self) -> Tensor:
        """All logarithms; kernel and contraction at the neighbours."""
        log = self._all_logarithms()
        near = self.near[None]
        log = log.gather(2, near[..., None].expand(*near.shape, log.shape[-1]))
        values = self.f[None][:, near[0]]
        return self._contracted(log, values, torch.ones_like(near, dtype=torch.bool))

    def dense(self) -> Tensor:
        """Everything at all pairs, with a mask."""
        mask = torch.zeros(POINTS, POINTS, dtype=torch.bool).scatter(1, self.near, True)
        values = self.f.expand(1, POINTS, POINTS, CHANNELS)
        return self._contracted(self._all_logarithms(), values, mask[None])


class RegularCase(Case):
    """A regular group convolution on T(2) x C_4.

    Args:
        separable: the kernel is a function of the position times one of the orientation, for each channel.
        dtype: precision.
    """

    NAMES = ("ours", "gathered")

    def __init__(self, separable: bool, dtype: torch.dtype = torch.float32) -> None:
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        self.orientations = orientations("C_4", 2).to(dtype)
        self.edges = EdgeEmbedding(4.0, 8, "bessel", "polynomial").to(dtype)
        self.basis = SteerableBasis(2, 2, 4, self.edges.width).to(dtype)
        kind = GroupConvolution if separable else FullGroupConvolution
        self.layer: Any = kind(CHANNELS, self.basis, self.orientations, NEIGHBOURS).to(dtype)
        self.separable = separable
        pos = 16 * torch.rand(POINTS, 2, generator=generator, dtype=torch.float64)
        near = torch.cdist(pos, pos).fill_diagonal_(torch.inf).topk(NEIGHBOURS, largest=False).indices
        self.near, self.pos = near, pos.to(dtype).requires_grad_()
        self.edge_index = torch.stack([near.flatten(), torch.arange(POINTS).repeat_interleave(NEIGHBOURS)])
        shape = (POINTS, self.orientations.count, CHANNELS)
        self.f = torch.randn(shape, generator=generator).to(dtype).requires_grad_()
        self.cotangent = torch.randn(shape, generator=generator).to(dtype)
        self.weights = [*self.basis.parameters(), *self.layer.parameters()]

    def ours(self) -> Tensor:
        """Functions of the edges, once for all orientations."""
        edges = self.edges(Graph(self.pos, edge_index=self.edge_index))
        return self.layer(self.f, self.basis(edges), self.edge_index)

    def gathered(self) -> Tensor:
        """Functions of the relative element of every pair of elements, and their contraction with the features."""
        h, turns = self.orientations.count, self.orientations.matrices
        x = self.pos[self.near] - self.pos[:, None]  # (points, neighbours, 2)
        x = torch.einsum("hba,ijb->ihja", turns, x)[:, :, :, None].expand(-1, -1, -1, h, -1).reshape(-1, 2)
        d = distances(x)
        phi = self.basis(Edges(x, d, directions(x), self.edges.radial(d), self.edges.envelope(d)[:, None]))
        relative = (
            torch.nn.functional.one_hot(cast(Tensor, self.orientations.relative)).to(phi) * h**0.5
        )  # psi_m(R_h^-1 R_k)
        phi = phi.view(POINTS, h, NEIGHBOURS, h, 1, -1) * relative[None, :, None, :, :, None]
        phi = phi.flatten(4).flatten(2, 3).flatten(0, 1)  # (elements, pairs of each, functions)
        values = self.f[self.near][:, None].expand(-1, h, -1, -1, -1).reshape(POINTS * h, NEIGHBOURS * h, CHANNELS)
        partial = (phi.mT @ values) / (h * NEIGHBOURS**0.5)
        if self.separable:
            of_r = self.layer.orientation
            weight = (of_r[:, None] * self.layer.position).flatten(0, 1)  # (functions, channels)
            out = (partial * weight).sum(1).view(self.f.shape)
            return out + self.layer.self_weight * torch.einsum("hkm,mc,ikc->ihc", relative / h, of_r, self.f)
        weight = self.layer.weight.transpose(0, 1).flatten(0, 1)  # (functions, out, in)
        out = torch.einsum("ufd,fcd->uc", partial, weight).view(self.f.shape)
        own = torch.einsum("hkm,mcd,ikd->ihc", relative / h, self.layer.self_weight, self.f)
        return out + own


def rows(repeats: int) -> list[dict[str, Any]]:
    """One for each layer."""
    makers: dict[str, Callable[[torch.dtype], Case]] = {
        f"LieConv, {name}": partial(LieCase, group) for name, group in GROUPS.items()
    }
    makers["regular, T(2) x C_4, separable"] = lambda dtype: RegularCase(True, dtype)
    makers["regular, T(2) x C_4, full"] = lambda dtype: RegularCase(False, dtype)
    return measured_rows(makers, "layer", repeats)


def measured_rows(
    makers: Mapping[str, Callable[[torch.dtype], Case]], column: str, repeats: int
) -> list[dict[str, Any]]:
    """One for each case, named in the column: median times in ms, memory in MB, and how many times as much the others
    take.
    """
    lines = []
    for name, make in makers.items():
        agree = make(torch.float64).check()
        contestants = make(torch.float32).contestants()
        times = interleaved(contestants, repeats)
        memory = {key: bench.peak_memory(step) / 1e6 for key, step in contestants.items()}
        line: dict[str, Any] = {column: name, "agree to": f"{agree:.0e}"}
        for key in contestants:
            line |= {f"{key}, ms": times[key], f"{key}, MB": memory[key]}
        for key in list(contestants)[1:]:
            line |= {f"{key}, times": times[key] / times["ours"], f"{key}, memory": memory[key] / memory["ours"]}
        lines.append(line)
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/group_convolutions.json")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    measured = rows(chosen.repeats)
    print(f"{POINTS} points x {NEIGHBOURS} neighbours x {CHANNELS} channels, forward + backward, float32")
    print(table(measured))
    if chosen.save:
        print(write("group_convolutions", {"rows": measured}))
