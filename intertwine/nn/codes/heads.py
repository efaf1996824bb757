r"""Elements of a group read off equivariant features: maps with :math:`\psi(g x) = g\, \psi(x)`.

Winter, Bertolini, Le, Noé and Clevert, NeurIPS 2022 (arXiv:2202.07559), section 3: a set on which the group acts freely
and transitively is a copy of it, so an equivariant feature that lies in such a set is an element. A rotation is an
orthonormal frame of vectors, a translation a point, a rotation by multiples of 360/n degrees the place of the largest
of n numbers that it shifts, and a permutation the order of one number for each thing.

Where an input has a symmetry of its own no such feature exists: the vectors vanish or are collinear, or numbers are
tied. :class:`Estimate` says so for each input. The element is then one of the group all the same, and derivatives are
finite; it is equivariant only up to the input's own symmetry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from intertwine.geometry.frames.orthonormal import LEAST, gram_schmidt
from intertwine.groups import SO, FiniteGroup, Group, T, cyclic
from intertwine.nn.checks import check_sizes
from intertwine.numerics import InputError

CLEAR = 0.2  # margin of a rotation, from which on no more is asked for
TIED = 1e-4  # of the temperature: smaller gaps between scores are ties


class Estimate(NamedTuple):
    """Elements of a group, one for each input.

    Attributes:
        element: (inputs, ...) as the group has them; of permutations of several sets the nodes of all sets in their
            order (nodes).
        margin: how far each input is from one that leaves the element open, no unit (inputs): 0 where it does. That of
            a rotation has derivatives, for a loss that keeps it large.
        least: margins below it leave the element open.
        why: what a margin below it means, in words, with a place for the margin.
        soft: what training uses in place of the element, where that has no derivative: probabilities of the elements of
            a finite group (inputs, order), or of sets the matrices of :func:`soft_order` (inputs, most, most).
    """

    element: Any
    margin: Float[Tensor, " inputs"]
    least: float
    why: str
    soft: Tensor | None = None

    @property
    def open(self) -> Bool[Tensor, " inputs"]:
        """Of which inputs the element is open."""
        return self.margin < self.least

    def reasons(self) -> list[str]:
        """For each input why its element is open, or ""."""
        values = zip(self.open.tolist(), self.margin.detach().tolist(), strict=True)
        return [self.why.format(margin) if open_ else "" for open_, margin in values]


class GroupHead(nn.Module, ABC):
    """Base: from an equivariant feature to elements of :attr:`group`. It has no weights; what makes the feature has."""

    group: Group | None

    @abstractmethod
    def forward(self, feature: Any) -> Estimate:
        """The elements of the inputs."""


class RotationHead(GroupHead):
    r"""SO(2) from one vector, SO(3) from two, by Gram and Schmidt; the last axis is their cross product, so that the
    determinant is 1 also where the vectors are mirrored.

    Args:
        n: dimension, 2 or 3.
        least: shorter vectors, after Gram and Schmidt, leave the rotation open, in their unit.
    """

    def __init__(self, n: int, least: float = LEAST) -> None:
        super().__init__()
        if n not in (2, 3):
            raise InputError(f"rotations of {n} dimensions", where="RotationHead", remedy="give 2 or 3.")
        self.n, self.least, self.group = n, least, SO(n)

    def forward(self, feature: Float[Tensor, "inputs axes n"]) -> Estimate:
        """Rotations (inputs, n, n) of vectors (inputs, n - 1, n).

        Raises:
            InputError: another number of vectors or dimensions.
        """
        if feature.shape[1:] != (self.n - 1, self.n):
            what = f"vectors of shape {tuple(feature.shape)}"
            raise InputError(what, where="RotationHead", remedy=f"give (inputs, {self.n - 1}, {self.n}).")
        rotation, lengths = gram_schmidt(feature, self.least)
        why = "vectors of length {:.1e} and less fix no rotation: the input is symmetric, or nearly so"
        return Estimate(rotation, lengths.amin(1), self.least, why)


class ShiftHead(GroupHead):
    """T(n): the centroid of each input, and a vector that translations leave alone.

    Args:
        n: dimension.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.group = T(n)

    def forward(self, feature: tuple[Float[Tensor, "inputs n"], Float[Tensor, "inputs n"]]) -> Estimate:
        """Translations (inputs, n) of centroids and vectors, in their unit. None is open."""
        centroid, vector = feature
        shift = centroid + vector.to(centroid)
        return Estimate(shift, torch.full_like(shift[:, 0].detach(), torch.inf), 0.0, "")


class CyclicHead(GroupHead):
    r"""C_n from one number for each element, on which it acts by shifting them (the regular representation),
    :math:`(g s)_h = s_{g^{-1} h}`: the element of the largest.

    ``soft`` has :math:`\mathrm{softmax}(s / \tau)`, for a mean
    over the elements.

    Args:
        n: order of the group.
        temperature: :math:`\tau`, in the unit of the scores.
        least: gaps between the two largest that are smaller, relative to the temperature, are ties.
    """

    group: FiniteGroup

    def __init__(self, n: int, temperature: float = 1.0, least: float = TIED) -> None:
        super().__init__()
        if not temperature > 0:
            raise InputError(f"a temperature of {temperature}", where="CyclicHead", remedy="give a positive number.")
        self.group, self.temperature, self.least = cyclic(n), temperature, least

    def forward(self, feature: Float[Tensor, "inputs order"]) -> Estimate:
        """Elements (inputs), whole numbers, of scores.

        Raises:
            InputError: another number of scores.
        """
        if feature.ndim != 2 or feature.shape[1] != self.group.order:
            what, n = f"scores of shape {tuple(feature.shape)}", self.group.order
            raise InputError(what, where="CyclicHead", remedy=f"give (inputs, {n}).")
        largest = feature.detach().topk(min(2, feature.shape[1]), dim=1).values
        gap = largest[:, 0] - largest[:, 1] if largest.shape[1] > 1 else torch.full_like(largest[:, 0], torch.inf)
        why = "the two largest scores are {:.1e} of the temperature apart: the input is symmetric, or nearly so"
        soft = (feature / self.temperature).softmax(1)
        return Estimate(feature.argmax(1), gap / self.temperature, self.least, why, soft)


class OrderHead(GroupHead):
    r"""S_n from one score for each thing: the k-th of the canonical order is the thing of the k-th largest score.

    ``soft`` has the matrices of SoftSort in training, the order itself is exact.

    Args:
        temperature: :math:`\tau` of SoftSort, in the unit of the scores.
        least: gaps between scores of one set that are smaller, relative to the temperature, are ties.
    """

    def __init__(self, temperature: float = 0.1, least: float = TIED) -> None:
        super().__init__()
        if not temperature > 0:
            raise InputError(f"a temperature of {temperature}", where="OrderHead", remedy="give a positive number.")
        self.temperature, self.least = temperature, least
        self.group = None  # one for each size

    def forward(self, feature: tuple[Float[Tensor, " nodes"], Int[Tensor, " nodes"], int]) -> Estimate:
        """The nodes of all sets in canonical order (nodes), set after set, of scores, the set of each node, and the
        number of sets; every set has a node.
        """
        scores, owner, sets = feature
        down = torch.argsort(scores.detach(), descending=True, stable=True)
        element = down[torch.argsort(owner[down], stable=True)]
        sizes = torch.bincount(owner, minlength=sets)
        padded = in_order(scores, owner, element, sizes, -torch.inf)
        values = padded.detach()
        gaps = torch.where(values[:, 1:].isfinite(), values[:, :-1] - values[:, 1:], torch.inf)
        gap = gaps.amin(1) if gaps.shape[1] else values.new_full((sets,), torch.inf)
        why = (
            "two scores are {:.1e} of the temperature apart: the order is open, as of things that a symmetry exchanges"
        )
        soft = soft_order(padded, self.temperature) if self.training else None
        return Estimate(element, gap / self.temperature, self.least, why, soft)


class ProductHead(GroupHead):
    """A direct product: one head for each factor, whose features and elements go by name.

    Args:
        heads: of the factors.
    """

    def __init__(self, **heads: GroupHead) -> None:
        super().__init__()
        if not heads:
            raise InputError("a product of no factors", where="ProductHead", remedy="give a head for each factor.")
        self.heads, self.group = nn.ModuleDict(heads), None

    def forward(self, feature: Mapping[str, Any]) -> Estimate:
        """Elements of the factors by name; open where that of a factor is."""
        parts = {name: head(feature[name]) for name, head in self.heads.items()}
        relative = torch.stack([part.margin / (part.least or 1.0) for part in parts.values()])
        names = " or ".join(parts)
        return Estimate(parts, relative.amin(0), 1.0, f"{names}: a margin of {{:.1e}} of the least that fixes it")


def soft_order(scores: Float[Tensor, "sets most"], temperature: float) -> Float[Tensor, "sets most most"]:
    r"""SoftSort: a row for each place of the order, with the probability of each thing to be there,

    .. math:: P_{ki} = \operatorname{softmax}_i\big(-|s_{[k]} - s_i| / \tau\big),

    :math:`s_{[k]}` the k-th largest. Prillo and Eisenschlos, ICML 2020 (arXiv:2006.16038), eq. 4.

    Args:
        scores: of each set from the largest to the smallest; ``-inf`` behind its last.
        temperature: :math:`\tau`, in the unit of the scores.
    """
    there = scores.isfinite()
    s = torch.where(there, scores, 0.0)
    apart = -(s.unsqueeze(2) - s.unsqueeze(1)).abs() / temperature
    both = there.unsqueeze(2) & there.unsqueeze(1)
    filled = apart.masked_fill(~there.unsqueeze(1), -torch.inf).masked_fill(~there.unsqueeze(2), 0.0)
    return torch.where(both, filled.softmax(2), 0.0)


def unclear(margin: Float[Tensor, " inputs"]) -> Float[Tensor, ""]:
    r""":math:`\sum \max(0, 1 - m / 0.2)` over the margins of rotations: a loss that keeps them from being open."""
    return nn.functional.relu(1 - margin / CLEAR).sum()


def in_order(
    x: Float[Tensor, "nodes *shape"], owner: Int[Tensor, " nodes"], element: Int[Tensor, " nodes"],
    sizes: Int[Tensor, " sets"], behind: float = 0.0,
) -> Float[Tensor, "sets most *shape"]:  # fmt: skip
    """Rows of things by set and place of the canonical order.

    Args:
        x: of each thing.
        owner: set of each thing.
        element: things in canonical order, set after set, as :class:`OrderHead` has them.
        sizes: of the sets.
        behind: what stands behind the last thing of a set.
    """
    check_sizes(sets=len(sizes))
    place = torch.arange(len(element), device=element.device) - (sizes.cumsum(0) - sizes)[owner[element]]
    most = int(sizes.max()) if len(sizes) else 0
    empty = x.new_full((len(sizes), most, *x.shape[1:]), behind)
    return empty.index_put((owner[element], place), x[element])
