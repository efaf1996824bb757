"""The matrices of representations of O(3), from whatever a rotation is given by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups import Orthogonal
from intertwine.groups.group import require_components
from intertwine.groups.rotations import axis_angle_to_matrix, determinant_sign, quaternion_to_matrix, require_rotation
from intertwine.groups.wigner import wigner_d, wigner_d_blocks
from intertwine.numerics.linalg import apply, direct_sum
from intertwine.o3.angles import angles_to_matrix


class Matrices:
    """The matrices of a representation; a subclass says what they are for proper rotations."""

    __slots__ = ()

    def proper_matrix(self, rotation: Tensor, sign: Tensor | None) -> Tensor:
        """The matrix of a rotation (..., 3, 3) of determinant 1, times ``sign`` (...) on irreps of odd parity; None is
        1 everywhere.
        """
        raise TypeError(f"{type(self).__name__} does not say what its matrices are")

    def D_from_matrix(self, R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch dim dim"]:
        r""":math:`D(R)` for det R = 1; for det R = -1 it is :math:`D(-R)`, times -1 on irreps of odd parity.

        Args:
            R: matrices (..., 3, 3).

        Returns:
            (..., dim, dim); block-diagonal for a sum of irreps.

        Raises:
            InputError: R is not orthogonal.
        """
        require_rotation(R, "D_from_matrix", improper=True)
        sign = determinant_sign(R)
        return self.proper_matrix(R * sign[..., None, None], sign)

    def D_from_quaternion(
        self, q: Float[Tensor, "*batch 4"], k: Tensor | None = None
    ) -> Float[Tensor, "*shape dim dim"]:
        r""":math:`D(q)` from unit quaternions (..., 4), real part first, times :math:`p^k` on irreps of parity p.

        k (...) counts inversions of space, 0 if not given.
        """
        return self.proper_matrix(quaternion_to_matrix(q), None if k is None else inversion_sign(k.to(q)))

    def D_from_angles(
        self, alpha: Tensor, beta: Tensor, gamma: Tensor, k: Tensor | None = None
    ) -> Float[Tensor, "*shape dim dim"]:
        r""":math:`D(\alpha, \beta, \gamma)`, times :math:`p^k`: gamma about y first, then beta about x, then alpha
        about y (radians).
        """
        rotation = angles_to_matrix(alpha, beta, gamma)
        return self.proper_matrix(rotation, None if k is None else inversion_sign(k.to(alpha)))

    def D_from_axis_angle(
        self, axis: Float[Tensor, "*batch 3"], angle: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch dim dim"]:
        """:math:`D` of the rotation about an axis (..., 3) by an angle (...) in radians."""
        return self.proper_matrix(axis_angle_to_matrix(axis, angle), None)


class Representing(Matrices):
    """The same, under the names of a :class:`~intertwine.groups.Representation`."""

    __slots__ = ()

    def matrix(self, rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch dim dim"]:
        """:meth:`D_from_matrix`, under its name as a :class:`~intertwine.groups.Representation`."""
        return self.D_from_matrix(rotation)

    def character(self, g: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
        r""":math:`\mathrm{tr}\,D(R)`."""
        return self.matrix(g).diagonal(dim1=-2, dim2=-1).sum(-1)

    def dual(self) -> Any:
        """Itself: the matrices are orthogonal."""
        return self

    @property
    def group(self) -> Orthogonal:
        """O(3)."""
        return Orthogonal(3)

    def transform(self, rotation: Float[Tensor, "*batch 3 3"], x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "..."]:
        r""":math:`D(R)\,x`, the matrix computed in float64; the leading axes broadcast."""
        D = self.D_from_matrix(rotation.to(torch.float64))
        require_components(x, D.shape[-1:], self)
        return apply(D.to(x), x)


def inversion_sign(k: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r""":math:`(-1)^k` of whole numbers k, how often space is inverted."""
    return 1 - 2 * (k % 2)


def matrix_of_irrep(l: int, p: int, rotation: Tensor, sign: Tensor | None) -> Tensor:
    """The matrix (..., 2l+1, 2l+1) of one irrep, as :meth:`Matrices.proper_matrix` says."""
    d = wigner_d(l, rotation)
    return d if sign is None or p == 1 else d * sign.to(d)[..., None, None]


def matrix_of_sum(irreps: Iterable[tuple[int, int, int]], rotation: Tensor, sign: Tensor | None) -> Tensor:
    """The block-diagonal matrix of a direct sum of irreps (multiplicity, l, p), as :meth:`Matrices.proper_matrix`
    says.
    """
    terms = list(irreps)
    degrees = wigner_d_blocks(max(l for _, l, _ in terms), rotation)
    odd = {l: degrees[l] if sign is None else degrees[l] * sign[..., None, None] for _, l, p in terms if p == -1}
    return direct_sum(*[_copies(degrees[l] if p == 1 else odd[l], mul) for mul, l, p in terms])


def _copies(d: Tensor, mul: int) -> Tensor:
    """Block-diagonal matrix of ``mul`` times the same."""
    if mul == 1:
        return d
    return (
        (torch.eye(mul, dtype=d.dtype, device=d.device)[:, None, :, None] * d[..., None, :, None, :])
        .flatten(-4, -3)
        .flatten(-2)
    )
