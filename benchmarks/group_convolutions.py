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

``ours`` makes logarithms of edges only, and the sum over the neighbours is the fused kernel. All have the same elements,
neighbours and weights, and must agree to 1e-6 of their size. Elements are given by their coordinates.
Gradients are those of features, weights and coordinates.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import torch
from measure import interleaved, table, write
from torch import Tensor

from intertwine import bench
from intertwine.groups import SE, Group, T
from intertwine.nn.groups.lie_convolution import LieConvolution, LieKernel, mean_weights
from intertwine.nn.groups.lifting import Relative, relative_logarithms

POINTS, NEIGHBOURS, CHANNELS, FUNCTIONS = 256, 25, 32, 16
AGREE = 1e-6  # of the size of the result
GROUPS: dict[str, Group] = {"T(3)": T(3), "SE(2)": SE(2), "SE(3)": SE(3)}


class Case:
    """Elements, neighbours and weights that all contestants share.

    Args:
        group: of the elements.
        dtype: precision.
    """

    def __init__(self, group: Group, dtype: torch.dtype = torch.float32) -> None:
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        self.group = group
        self.kernel = LieKernel(group.dim, FUNCTIONS).to(dtype)
        self.layer = LieConvolution(CHANNELS, FUNCTIONS, CHANNELS).to(dtype)
        elements = group.sample(POINTS, generator)
        near = torch.cdist(group.shift(elements), group.shift(elements)).topk(NEIGHBOURS, largest=False).indices
        self.near = near  # (points, neighbours): of each its nearest, itself among them
        self.edge_index = torch.stack([near.flatten(), torch.arange(POINTS).repeat_interleave(NEIGHBOURS)])
        self.coordinates = group.log(elements).to(dtype).requires_grad_()
        self.f = torch.randn(POINTS, CHANNELS, generator=generator).to(dtype).requires_grad_()
        self.cotangent = torch.randn(POINTS, CHANNELS, generator=generator).to(dtype)
        self.weights = [*self.kernel.parameters(), *self.layer.parameters()]

    def ours(self) -> Tensor:
        """Logarithms, kernel and weights of edges; the sum in one kernel."""
        log = relative_logarithms(self.group, self.group.exp(self.coordinates), self.edge_index)
        relative = Relative(None, log[:, None, None], log[:, :0], None)
        phi = self.kernel(relative, log[:, :0]).flatten(0, 2)
        weights = mean_weights(torch.ones_like(log[:, 0]), self.edge_index[1], POINTS)
        return self.layer(self.f, phi, weights, self.edge_index)

    def _all_logarithms(self) -> Tensor:
        """(1, points, points, dim): of every u with every v; of translations differences."""
        if self.group == T(3):
            x = self.coordinates[None]
            return x[:, :, None] - x[:, None]
        g = self.group.exp(self.coordinates)[None]
        return self.group.log(self.group.product(self.group.inverse(g)[:, None], g[:, :, None]))

    def _contracted(self, log: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """From logarithms (1, u, v, dim), features (1, u, v, channels) and a mask (1, u, v)."""
        phi = torch.where(mask[..., None], self.kernel.network(log), 0.0)
        values = torch.where(mask[..., None], values, 0.0)
        partial = (phi.transpose(-1, -2) @ values).flatten(-2)  # (1, u, functions x channels)
        count = mask.sum(-1, keepdim=True).clamp(min=1)
        return (self.layer.convolution.mix(partial) / count + self.layer.bias).squeeze(0)

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

    def contestants(self) -> dict[str, Callable[[], Any]]:
        """name -> forward and backward."""

        def step(function: Callable[[], Tensor]) -> Callable[[], Any]:
            wanted: Sequence[Tensor] = [self.f, self.coordinates, *self.weights]
            return lambda: torch.autograd.grad(function(), wanted, self.cotangent)

        return {name: step(getattr(self, name)) for name in ("ours", "gathered", "dense")}

    def check(self) -> float:
        """The largest difference between results and gradients, over their sizes.

        Raises:
            AssertionError: it is above the bound.
        """
        with torch.no_grad():
            results = [[getattr(self, name)()] for name in ("ours", "gathered", "dense")]
        for result, step in zip(results, self.contestants().values(), strict=True):
            result += step()
        worst = max(
            float((a - b).abs().max() / b.abs().max())
            for other in results[1:]
            for a, b in zip(results[0], other, strict=True)
        )
        assert worst < AGREE, f"{self.group}: {worst:.1e}"
        return worst


def rows(repeats: int) -> list[dict[str, Any]]:
    """One for each group: median times in ms, memory in MB, and ratios."""
    lines = []
    for name, group in GROUPS.items():
        agree = Case(group, torch.float64).check()
        contestants = Case(group).contestants()
        times = interleaved(contestants, repeats)
        memory = {key: bench.peak_memory(step) / 1e6 for key, step in contestants.items()}
        line: dict[str, Any] = {"group": name, "agree to": f"{agree:.0e}"}
        for key in contestants:
            line |= {f"{key}, ms": times[key], f"{key}, MB": memory[key]}
        for key in ("gathered", "dense"):
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
