r"""Rotations of space as matrices, unit quaternions and axes with angles. Euler angles are in
:mod:`intertwine.o3.angles`.

A quaternion is :math:`q = (w, x, y, z)`, real part first; q and -q are the same rotation. Angles are in radians. Every
function takes any number of leading axes and keeps the precision and device of its argument.

Values and derivatives of every order are finite at every rotation. Where mathematics has no derivative (the axis and
the angle of the identity) all derivatives are zero; the rotation vector, their product, has the true ones there.
Functions of a matrix or quaternion are defined on the group alone; how they go on outside of it, hence the component of
a gradient at right angles to the group, is a choice (here: scaling a quaternion changes nothing).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError, safe


def uniform(
    *shape: int,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Uniform numbers that make a Haar-random rotation :math:`R_y(\alpha) R_x(\beta) R_y(\gamma)`.

    Returns:
        :math:`\alpha, \gamma \in [0, 2\pi)` and :math:`u = \cos^2(\beta/2) \in [0, 1)`, each of ``shape``; drawn in
        e3nn's order.
    """
    turns = 2 * math.pi * torch.rand(2, *shape, dtype=dtype, device=device, generator=generator)
    return turns[0], turns[1], torch.rand(shape, dtype=dtype, device=device, generator=generator)


def rand_matrix(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "..."]:
    """Haar-random proper rotations (*shape, 3, 3). Minus one of them is a Haar-random improper one.

    >>> rand_matrix(5, 2).shape
    torch.Size([5, 2, 3, 3])
    """
    return quaternion_to_matrix(
        rand_quaternion(*shape, dtype=dtype, device=device, generator=generator)
    ).requires_grad_(requires_grad)


def identity_quaternion(
    *shape: int, requires_grad: bool = False, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Float[Tensor, "..."]:
    """The quaternion (1, 0, 0, 0), (*shape, 4)."""
    one = torch.eye(4, dtype=dtype, device=device)[0]
    return one.expand(*shape, 4).clone().requires_grad_(requires_grad)


def rand_quaternion(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "..."]:
    """Haar-random unit quaternions (*shape, 4): K. Shoemake, Graphics Gems III (1992), p. 124."""
    alpha, gamma, u = uniform(*shape, dtype=dtype, device=device, generator=generator)
    half_sum, half_difference, c, s = (alpha + gamma) / 2, (alpha - gamma) / 2, u.sqrt(), (1 - u).sqrt()
    q = torch.stack(
        [c * half_sum.cos(), s * half_difference.cos(), c * half_sum.sin(), -s * half_difference.sin()], dim=-1
    )
    return q.requires_grad_(requires_grad)


def compose_quaternion(q1: Float[Tensor, "*#batch 4"], q2: Float[Tensor, "*#batch 4"]) -> Float[Tensor, "... 4"]:
    r"""Hamilton's product :math:`q_1 q_2`, which rotates by :math:`q_2` first; leading axes broadcast."""
    require_shape(q1, (4,), "compose_quaternion")
    require_shape(q2, (4,), "compose_quaternion")
    w1, x1, y1, z1 = q1.unbind(-1)
    w2, x2, y2, z2 = q2.unbind(-1)
    return torch.stack(
        [
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 + y1 * w2 + z1 * x2 - x1 * z2,
            w1 * z2 + z1 * w2 + x1 * y2 - y1 * x2,
        ],
        dim=-1,
    )


def inverse_quaternion(q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    r"""The conjugate :math:`\bar q = (w, -x, -y, -z)`, which is the inverse of a unit quaternion."""
    require_shape(q, (4,), "inverse_quaternion")
    return torch.cat([q[..., :1], -q[..., 1:]], dim=-1)


def rand_axis_angle(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    r"""Haar-random rotations as unit axes (*shape, 3) and angles (*shape) in :math:`[0, \pi]`."""
    q = rand_quaternion(*shape, dtype=dtype, device=device, generator=generator)
    axis, angle = quaternion_to_axis_angle(_shorter(q))
    return axis.requires_grad_(requires_grad), angle.requires_grad_(requires_grad)


def compose_axis_angle(
    axis1: Float[Tensor, "*#batch 3"],
    angle1: Float[Tensor, "*#batch"],
    axis2: Float[Tensor, "*#batch 3"],
    angle2: Float[Tensor, "*#batch"],
) -> tuple[Float[Tensor, "... 3"], Float[Tensor, "..."]]:
    r"""Axis (..., 3) and angle (...) in :math:`[0, 2\pi]` of the rotation 2 followed by the rotation 1."""
    return quaternion_to_axis_angle(
        compose_quaternion(axis_angle_to_quaternion(axis1, angle1), axis_angle_to_quaternion(axis2, angle2))
    )


def matrix_x(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation about the x axis by an angle (...): (..., 3, 3)."""
    c, s, o, z = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    return _matrix(o, z, z, z, c, -s, z, s, c)


def matrix_y(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation about the y axis by an angle (...): (..., 3, 3)."""
    c, s, o, z = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    return _matrix(c, z, s, z, o, z, -s, z, c)


def matrix_z(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation about the z axis by an angle (...): (..., 3, 3)."""
    c, s, o, z = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    return _matrix(c, -s, z, s, c, z, z, z, o)


def matrix_to_quaternion(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    r"""Unit quaternion (..., 4) with :math:`w \ge 0` of a proper rotation (..., 3, 3).

    :math:`4 q q^T` is linear in R. Its row with the largest diagonal entry, at least 1, is normalised: no square root
    of a small number and no cancellation at any rotation (S. W. Shepperd, J. Guidance and Control 1, 223 (1978)).

    Raises:
        InputError: R is not a proper rotation.
    """
    require_rotation(R, "matrix_to_quaternion")
    xx, xy, xz, yx, yy, yz, zx, zy, zz = R.flatten(-2).unbind(-1)
    wx, wy, wz = zy - yz, xz - zx, yx - xy
    sxy, sxz, syz = xy + yx, xz + zx, yz + zy
    diagonal = torch.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], dim=-1)
    w, x, y, z = diagonal.unbind(-1)
    rows = torch.stack([w, wx, wy, wz, wx, x, sxy, sxz, wy, sxy, y, syz, wz, sxz, syz, z], dim=-1).unflatten(-1, (4, 4))
    largest = diagonal.detach().argmax(-1)[..., None, None]
    row = rows.gather(-2, largest.expand(*largest.shape[:-1], 4)).squeeze(-2)
    length = row.square().sum(-1, keepdim=True).sqrt()
    return row / torch.where(row[..., :1] < 0, -length, length)


def axis_angle_to_quaternion(
    xyz: Float[Tensor, "*#batch 3"], angle: Float[Tensor, "*#batch"]
) -> Float[Tensor, "... 4"]:
    r""":math:`(\cos\frac{\theta}{2}, \hat n \sin\frac{\theta}{2})` of an axis (..., 3) of any length, and an angle.

    The zero axis, whose rotation is the identity, gives :math:`(\cos\frac{\theta}{2}, 0, 0, 0)` with zero derivatives
    for the axis.
    """
    require_shape(xyz, (3,), "axis_angle_to_quaternion")
    half = angle[..., None] / 2
    vector = safe.normalize(xyz) * half.sin()
    return torch.cat([half.cos().expand(*vector.shape[:-1], 1), vector], dim=-1)


def quaternion_to_axis_angle(q: Float[Tensor, "*batch 4"]) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*batch"]]:
    r"""Unit axis (..., 3) and angle :math:`2\,\mathrm{atan2}(|v|, w)` (...) in :math:`[0, 2\pi]` of a quaternion
    :math:`(w, v)` (..., 4).

    Exact for tiny rotations and about half turns. No rotation (v = 0) has the zero vector as axis, with zero
    derivatives.
    """
    require_shape(q, (4,), "quaternion_to_axis_angle")
    real, vector = q[..., 0], q[..., 1:]
    if safe.ordinary(vector):
        sine = vector.square().sum(-1).sqrt()
        return vector / sine[..., None], 2 * torch.atan2(sine, real)
    sine = safe.norm(vector)
    cosine = torch.where((sine == 0) & (real == 0), 1.0, real)  # the zero quaternion stands for the identity
    return safe.normalize(vector), 2 * torch.atan2(sine, cosine)


def matrix_to_axis_angle(R: Float[Tensor, "*batch 3 3"]) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*batch"]]:
    r"""Unit axis (..., 3) and angle (...) in :math:`[0, \pi]` of a proper rotation (..., 3, 3).

    Of the two axes of a half turn the one whose largest component is positive. The identity has the zero vector as
    axis.

    Raises:
        InputError: R is not a proper rotation.
    """
    return quaternion_to_axis_angle(matrix_to_quaternion(R))


def axis_angle_to_matrix(axis: Float[Tensor, "*#batch 3"], angle: Float[Tensor, "*#batch"]) -> Float[Tensor, "... 3 3"]:
    r"""Rotation (..., 3, 3) about an axis (..., 3) of any length by an angle (...); about the zero vector the identity.

    >>> axis_angle_to_matrix(torch.tensor([0.0, 0.0, 2.0]), torch.tensor(torch.pi / 2)).round().int().tolist()
    [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    """
    return quaternion_to_matrix(axis_angle_to_quaternion(axis, angle))


def quaternion_to_matrix(q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    r"""Rotation (..., 3, 3) of a quaternion (..., 4) of any length, :math:`R v = q v \bar q / |q|^2`; of the zero one
    the identity.
    """
    require_shape(q, (4,), "quaternion_to_matrix")
    w, x, y, z = safe.normalize(q).unbind(-1)
    x2, y2, z2 = 2 * x, 2 * y, 2 * z
    wx, wy, wz, xx, xy, xz, yy, yz, zz = w * x2, w * y2, w * z2, x * x2, x * y2, x * z2, y * y2, y * z2, z * z2
    return _matrix(1 - (yy + zz), xy - wz, xz + wy, xy + wz, 1 - (xx + zz), yz - wx, xz - wy, yz + wx, 1 - (xx + yy))


def rotation_vector_to_matrix(v: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    r"""Exponential map: the rotation (..., 3, 3) about v (..., 3) by the angle :math:`|v|` in radians, smooth at v = 0
    too.

    >>> rotation_vector_to_matrix(torch.tensor([0.0, torch.pi, 0.0])).round().int().tolist()
    [[-1, 0, 0], [0, 1, 0], [0, 0, -1]]
    """
    require_shape(v, (3,), "rotation_vector_to_matrix")
    square = v.square().sum(-1, keepdim=True)
    # cos 2a = 1 - 2 sin^2 a, as a smooth function of the square
    real = 1 - square / 8 * safe.sinc_sqrt(square / 16).square()
    return quaternion_to_matrix(torch.cat([real, v / 2 * safe.sinc_sqrt(square / 4)], dim=-1))


def matrix_to_rotation_vector(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    r"""Logarithm: axis times angle (..., 3), of length 0 to :math:`\pi`, of a proper rotation (..., 3, 3), smooth at
    the identity.

    At a half turn, where it jumps, one of the two vectors is chosen as in :func:`matrix_to_axis_angle`.

    Raises:
        InputError: R is not a proper rotation.
    """
    real, vector = matrix_to_quaternion(R).split((1, 3), dim=-1)
    square = vector.square().sum(-1, keepdim=True)
    small = square < 0.01
    series, inner = torch.ones_like(square), torch.where(small, square, 0.0)
    for k in range(10, 0, -1):  # arcsin(x) / x
        series = 1 + series * inner * ((2 * k - 1) ** 2 / (2 * k * (2 * k + 1)))
    sine = torch.where(small, 1.0, square).sqrt()
    return 2 * vector * torch.where(small, series, torch.atan2(sine, torch.where(small, 1.0, real)) / sine)


def require_shape(x: Tensor, last: tuple[int, ...], where: str) -> None:
    """Raise an InputError unless the shape of x ends with ``last`` and its entries are real floating-point numbers."""
    if x.shape[-len(last) :] != last or not x.is_floating_point():
        raise InputError(
            f"got {x.dtype} of shape {tuple(x.shape)}",
            where=where,
            remedy=f"pass real floating-point numbers with last axes {last}.",
        )


def require_rotation(R: Tensor, where: str, improper: bool = False) -> None:
    """Raise an InputError unless R is (..., 3, 3), orthogonal and of determinant 1 (or -1, if ``improper``).

    The entries are looked at only where that costs nothing.
    """
    require_shape(R, (3, 3), where)
    if not safe.inspectable(R) or not R.numel():
        return
    exact = R.detach().to(torch.float64)
    error = (exact @ exact.mT - torch.eye(3, dtype=exact.dtype, device=exact.device)).abs().amax((-2, -1))
    sign = determinant_sign(exact)
    wrong = ~(error <= max(2e-4, 40 * torch.finfo(R.dtype).eps)) | (sign < 0 if not improper else sign == 0)
    if bool(wrong.any()):
        worst = exact[wrong][0]
        deviation = (worst @ worst.mT).sub(torch.eye(3, dtype=worst.dtype, device=worst.device)).abs().max()
        determinant = worst.det()
        raise InputError(
            f"a matrix with determinant {determinant.item():.6g}, R R^T - 1 up to {deviation.item():.2g}, is not a "
            + ("rotation or reflection" if improper else "proper rotation"),
            where=where,
            remedy="orthogonalise it."
            if improper
            else "orthogonalise it; of an improper rotation pass -R and keep the inversion apart.",
        )


def determinant_sign(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """1 for proper and -1 for improper rotations (..., 3, 3), a constant for autograd; in every precision, unlike
    ``torch.linalg.det``.
    """
    a, b, c = R.detach().unbind(-2)
    return (torch.linalg.cross(a, b, dim=-1) * c).sum(-1).sign()


def _shorter(q: Tensor) -> Tensor:
    """Of q and -q the one with w >= 0."""
    return torch.where(q[..., :1] < 0, -q, q)


def _matrix(*entries: Tensor) -> Tensor:
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))
