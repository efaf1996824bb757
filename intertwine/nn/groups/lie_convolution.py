r"""Convolution over a group with a kernel of the logarithm, on scattered elements.

.. math:: h(u) = \frac{\sum_v c(u, v)\, k\big(\log(v^{-1} u), q_u, q_v\big) f(v)}{\sum_v c(u, v)}

Finzi et al. 2020 (arXiv:2002.12880), eq. 5 to 8, with the weights c that take it to zero smoothly where the
neighbourhood ends; Bekkers 2020 (arXiv:1909.12057).
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.nn.blockwise import blockwise
from intertwine.nn.groups.lifting import Relative
from intertwine.nn.kernel_convolution import USUAL_NEIGHBOURS, KernelConvolution
from intertwine.nn.mlp import MLP
from intertwine.numerics import InputError, segment

HIDDEN = 32  # units of the kernel's network, as in the authors' code
START_SQUARE = 0.16  # of the functions of an untrained kernel, summed; measured on molecules


class LieKernel(nn.Module):
    r"""The functions :math:`\varphi_m` of a kernel :math:`k = \sum_m \varphi_m H_m`: a network of the logarithm, of the
    orbits, and of invariants of the edge.

    Args:
        columns: numbers that it sees: the logarithm's coordinates, both orbits', the invariants.
        functions: of them.
        hidden: units of both hidden layers.

    Attributes:
        square: about what the squares of the functions add up to at the start.
    """

    square = START_SQUARE

    def __init__(self, columns: int, functions: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.network = MLP([columns, hidden, hidden, functions], last=True)

    def forward(
        self, relative: Relative, invariants: Float[Tensor, "edges r"]
    ) -> Float[Tensor, "edges lifts lifts functions"]:
        """The functions at every pair of lifts of every edge.

        Args:
            relative: coordinates, ``vectors`` of about 1 where it matters.
            invariants: of the edges.
        """
        of_edge = torch.cat([relative.orbits, invariants], dim=1)[:, None, None]
        edges, lifts = of_edge.shape[0], relative.turns.shape[1]
        parts = [relative.turns, of_edge] if relative.vectors is None else [relative.vectors, relative.turns, of_edge]
        if lifts == 1:  # nothing to repeat
            parts = [part.expand(edges, 1, 1, -1) for part in parts if part.shape[-1]]
            return blockwise(self.network, torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0])
        first, start, hidden = cast(nn.Linear, self.network.layers[0]), 0, []
        for part in parts:  # its first layer once for each row of a part, not for each pair of lifts
            width = part.shape[-1]
            hidden.append(part @ first.weight[:, start : start + width].T)
            start += width
        return self.network.after_first(sum(hidden[1:], hidden[0]) + first.bias)


class LieConvolution(nn.Module):
    r""":math:`h(u) = g \sum_v w_{uv} \sum_m \varphi_m(u, v)\, H_m f(v) + b`, for elements listed with their edges.

    H is the same for all pairs and leaves the sum, :math:`\sum_m H_m \sum_v w \varphi_m f(v)` (the order of Wu et al.
    2019, which the paper uses), and the inner sum is one kernel that gathers, multiplies and adds: what is stored of a
    pair are its ``functions``, never its messages or a matrix.

    Args:
        width: features of f.
        functions: functions of the kernel.
        outputs: features of h.
        square: about what the squares of the functions add up to, which makes the constant g: at the start h is of the
            size of f, where a mean is over USUAL_NEIGHBOURS whose features are half way between equal and independent.
    """

    def __init__(self, width: int, functions: int, outputs: int, square: float = START_SQUARE) -> None:
        super().__init__()
        self.convolution = KernelConvolution(width, functions, outputs)
        nn.init.normal_(self.convolution.mix.weight, std=(functions * width) ** -0.5)
        # a constant, not larger weights, which optimizers with steps of a fixed size would hardly move
        self.gain = (USUAL_NEIGHBOURS**0.5 * functions / square) ** 0.5
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(
        self,
        f: Float[Tensor, "elements width"],
        phi: Float[Tensor, "pairs functions"],
        weights: Float[Tensor, " pairs"],
        edge_index: Int[Tensor, "2 pairs"],
    ) -> Float[Tensor, "elements outputs"]:
        """h at every element.

        Args:
            f: features of the elements.
            phi: functions of the kernel, for every pair.
            weights: w, which add up to 1 at each u for a mean (:func:`mean_weights`).
            edge_index: numbers of v, then of u.
        """
        return self.convolution(f, phi * (weights * self.gain)[:, None], edge_index) + self.bias


def mean_weights(c: Float[Tensor, " pairs"], u: Int[Tensor, " pairs"], elements: int) -> Float[Tensor, " pairs"]:
    """c of every pair divided by the sum over the pairs of its u, which must be positive: each u is its own neighbour,
    with c = 1.
    """
    return c / segment.sum(c, u, elements).index_select(0, u)


def pairs_of_lifts(edge_index: Int[Tensor, "2 edges"], lifts: int) -> Int[Tensor, "2 pairs"]:
    """Edges between the lifts of the nodes, lift s of node i being number i S + s: for every edge all s of u and,
    within each, all s' of v.
    """
    if lifts == 1:
        return edge_index
    s = torch.arange(lifts, device=edge_index.device)
    v = (edge_index[0, :, None, None] * lifts + s).expand(-1, lifts, -1)
    u = (edge_index[1, :, None, None] * lifts + s[:, None]).expand(-1, -1, lifts)
    return torch.stack([v.flatten(), u.flatten()])


def sample_neighbours(edge_index: Int[Tensor, "2 edges"], most: int) -> Int[Tensor, " kept"]:
    """Numbers of the edges of a Monte-Carlo neighbourhood: at most so many at every destination, drawn without
    replacement, each with the same probability, from torch's generator.

    Raises:
        InputError: fewer than one.
    """
    if most < 1:
        raise InputError(f"{most} neighbours", where="neighbours", remedy="give a whole number of at least 1.")
    i = edge_index[1]
    shuffled = torch.randperm(i.shape[0], device=i.device)
    order = shuffled[i[shuffled].argsort(stable=True)]
    sorted_i = i[order]
    places = torch.arange(i.shape[0], device=i.device)
    begins = torch.searchsorted(sorted_i, sorted_i)  # where the edges of each destination begin
    return order[places - begins < most].sort().values
