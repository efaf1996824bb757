r"""How near each graph is to one at which its principal axes are undefined, and which symmetry it has.

With :math:`\sigma_1 \le \ldots \le \sigma_d` the singular values of the centred positions X (n, d), that is
:math:`\sigma_k^2 = \lambda_k`, and displacements D measured by the root of their mean square over the points,
:math:`\|D\|_F / \sqrt n`:

- the nearest structure with two equal eigenvalues is :math:`\min_k (\sigma_{k+1} - \sigma_k) / \sqrt{2n}` away;
- the nearest planar one :math:`\sigma_1 / \sqrt n`, the nearest linear one :math:`\sqrt{\sigma_1^2 + \sigma_2^2} /
  \sqrt n` (in three dimensions);
- a displacement turns the axes k and l by at most :math:`\sqrt{\sigma_k^2 + \sigma_l^2} / |\lambda_l - \lambda_k|`
  radians for each unit of :math:`\|D\|_F`.

The first three are exact, for singular values of two matrices differ by no more than the matrices (Mirsky, Quart. J.
Math. 11, 50 (1960)), and moving singular values alone attains that; the last is the largest value of
:math:`v_k^\top (D^\top X + X^\top D) v_l / (\lambda_l - \lambda_k)`, the 1/gap by which forces through these axes grow.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.geometry.frames.point_group import PointGroup, point_group
from intertwine.geometry.frames.space import centre_of, dense
from intertwine.geometry.graph import Graph
from intertwine.numerics import GeometryError, InputError

#: A: amplitudes of bonds at room temperature are a few times that, files of structures are rounded to a hundredth of
#: it.
THRESHOLD = 0.01


@dataclass(frozen=True)
class Diagnosis:
    """What each graph of a batch is to a frame; lengths are in the unit of the positions.

    Args:
        singular: singular values of the centred positions, ascending (graphs, d).
        degenerate_at: root mean square displacement to the nearest structure with two equal eigenvalues (graphs,).
        planar_at: that to the nearest planar structure (graphs,); in two dimensions, to the nearest linear one.
        linear_at: that to the nearest linear structure (graphs,).
        turning: radians by which the principal axes turn at most, for a displacement of all points of unit norm
            (graphs,); infinite where two eigenvalues are equal.
        symmetry: the point group of each graph; empty if it was not asked for.
        threshold: a structure counts as nearly degenerate (planar, linear) if a displacement of this makes it so.
    """

    singular: Float[Tensor, "graphs d"]
    degenerate_at: Float[Tensor, " graphs"]
    planar_at: Float[Tensor, " graphs"]
    linear_at: Float[Tensor, " graphs"]
    turning: Float[Tensor, " graphs"]
    symmetry: tuple[PointGroup, ...]
    threshold: float

    @property
    def degenerate(self) -> Bool[Tensor, " graphs"]:
        """Which are nearly degenerate: principal axes there exchange places within the threshold."""
        return self.degenerate_at <= self.threshold

    @property
    def planar(self) -> Bool[Tensor, " graphs"]:
        """Which are planar within the threshold."""
        return self.planar_at <= self.threshold

    @property
    def linear(self) -> Bool[Tensor, " graphs"]:
        """Which are linear within the threshold."""
        return self.linear_at <= self.threshold

    def verdicts(self) -> list[str]:
        """One sentence for each graph."""
        lines = []
        for k in range(len(self.singular)):
            shape = "linear" if bool(self.linear[k]) else "planar" if bool(self.planar[k]) else ""
            words = [self.symmetry[k].name] if self.symmetry else []
            words += [shape] if shape else []
            state = "nearly degenerate" if bool(self.degenerate[k]) else "regular"
            at, rate = float(self.degenerate_at[k]), float(self.turning[k])
            lines.append(
                f"{', '.join([*words, state])}: equal eigenvalues {at:.2g} away; axes turn by up to {rate:.2g} rad for "
                "a unit of displacement"
            )
        return lines


def diagnose(graph: Graph, *, threshold: float = THRESHOLD, symmetry: bool = True) -> Diagnosis:
    """Gaps, planarity, linearity and point group of each graph of a batch.

    Args:
        graph: one graph or a batch, in two or three dimensions.
        threshold: a root mean square displacement, in the unit of the positions. The default, 0.01, is for A: what
            rounding in files and slight vibrations may close.
        symmetry: also find the point groups, with that tolerance; some milliseconds for each graph.

    Raises:
        GeometryError: a graph is periodic or empty, or has another dimension.
        InputError: the threshold is not positive.

    >>> water = Graph([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]], z=[8, 1, 1])
    >>> diagnose(water).verdicts()
    ['C_2v, planar, regular: equal eigenvalues 0.2 away; axes turn by up to 2 rad for a unit of displacement']
    """
    if not threshold > 0:
        raise InputError(f"a threshold of {threshold:g}", where="threshold", remedy="give a positive length.")
    d = graph.dimension
    if d not in (2, 3) or graph.periodic:
        what = f"a graph in {d} dimensions" if d not in (2, 3) else "a periodic graph"
        raise GeometryError(what, where="diagnose", remedy="give graphs in two or three dimensions without a cell.")
    owner, graphs = graph.membership(), graph.graphs
    pos = graph.pos.detach().to(torch.float64)
    x, taken, _ = dense(pos - centre_of(pos, owner, graphs).index_select(0, owner), owner, graphs)
    number = taken.sum(1)
    if bool((number == 0).any()):
        what = f"graph {int((number == 0).nonzero()[0])} has no nodes"
        raise GeometryError(what, where="diagnose", remedy="leave it out.")
    padding = max(d - x.shape[1], 0)
    sigma = torch.linalg.svdvals(torch.nn.functional.pad(x, (0, 0, 0, padding))).flip(1)
    root = number.to(torch.float64).sqrt()
    low, high = sigma[:, :-1], sigma[:, 1:]
    i, j = torch.triu_indices(d, d, offset=1)
    both = (sigma[:, i].square() + sigma[:, j].square()).sqrt()
    gap = sigma[:, j].square() - sigma[:, i].square()
    turning = torch.where(gap > 0, both / torch.where(gap > 0, gap, 1.0), torch.inf).amax(1)
    return Diagnosis(
        singular=sigma,
        degenerate_at=(high - low).amin(1) / (2**0.5 * root),
        planar_at=sigma[:, 0] / root,
        linear_at=sigma[:, :-1].square().sum(1).sqrt() / root,
        turning=turning,
        symmetry=_symmetry(graph, threshold) if symmetry else (),
        threshold=threshold,
    )


def _symmetry(graph: Graph, tolerance: float) -> tuple[PointGroup, ...]:
    """The point group of each graph of a batch, by positions and species alone."""
    owner, z = graph.membership(), graph.get("z")
    groups = []
    for k in range(graph.graphs):
        rows = (owner == k).nonzero().squeeze(1)
        groups.append(point_group(Graph(graph.pos[rows].detach(), z=None if z is None else z[rows]), tolerance))
    return tuple(groups)
