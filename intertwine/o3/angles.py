r"""Euler angles, at the border of the library only:
:math:`R(\alpha, \beta, \gamma) = R_y(\alpha) R_x(\beta) R_y(\gamma)`, in radians.

The y axis is the polar axis, as in e3nn: gamma turns about y first, then beta about x, then alpha about y.
:math:`\beta \in [0, \pi]` is the polar angle and :math:`\alpha \in [-\pi, \pi]` the azimuth (from z towards x) of the
image of the y axis.

At the poles (:math:`\beta = 0, \pi`) only :math:`\alpha \pm \gamma` is defined. The functions that return angles give
:math:`\alpha = 0` there, with zero derivatives of alpha and beta, which have none in mathematics; gamma carries the
whole rotation and its true derivative. A direction within the rounding error of a pole counts as the pole. The angles
returned reproduce the rotation to rounding error everywhere.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups.rotations import (
    axis_angle_to_matrix,
    compose_quaternion,
    quaternion_to_axis_angle,
    quaternion_to_matrix,
    require_rotation,
    require_shape,
    uniform,
)
from intertwine.groups.wigner import wigner_d
from intertwine.numerics import safe

Angles = tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]


def identity_angles(
    *shape: int, requires_grad: bool = False, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Angles:
    """Three tensors of zeros of ``shape``."""
    alpha, beta, gamma = (torch.zeros(shape, dtype=dtype, device=device, requires_grad=requires_grad) for _ in range(3))
    return alpha, beta, gamma


def rand_angles(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Angles:
    r"""Angles of Haar-random rotations: :math:`\alpha, \gamma \in [0, 2\pi)` and :math:`\cos\beta` uniform, each of
    ``shape``.
    """
    alpha, gamma, u = uniform(*shape, dtype=dtype, device=device, generator=generator)
    beta = 2 * torch.atan2((1 - u).sqrt(), u.sqrt())
    return (
        alpha.clone().requires_grad_(requires_grad),
        beta.requires_grad_(requires_grad),
        gamma.clone().requires_grad_(requires_grad),
    )


def compose_angles(
    a1: Float[Tensor, "*#batch"],
    b1: Float[Tensor, "*#batch"],
    c1: Float[Tensor, "*#batch"],
    a2: Float[Tensor, "*#batch"],
    b2: Float[Tensor, "*#batch"],
    c2: Float[Tensor, "*#batch"],
) -> Angles:
    """Angles of the rotation (a2, b2, c2) followed by (a1, b1, c1); shapes broadcast."""
    return quaternion_to_angles(compose_quaternion(angles_to_quaternion(a1, b1, c1), angles_to_quaternion(a2, b2, c2)))


def inverse_angles(a: Float[Tensor, "..."], b: Float[Tensor, "..."], c: Float[Tensor, "..."]) -> Angles:
    """Angles (-c, -b, -a) of the inverse rotation."""
    return -c, -b, -a


def angles_to_matrix(
    alpha: Float[Tensor, "*#batch"], beta: Float[Tensor, "*#batch"], gamma: Float[Tensor, "*#batch"]
) -> Float[Tensor, "... 3 3"]:
    r"""Rotation :math:`R_y(\alpha) R_x(\beta) R_y(\gamma)` (..., 3, 3); shapes broadcast."""
    alpha, beta, gamma = torch.broadcast_tensors(alpha, beta, gamma)
    ca, sa, cb, sb, cc, sc = alpha.cos(), alpha.sin(), beta.cos(), beta.sin(), gamma.cos(), gamma.sin()
    cacb, sacb = ca * cb, sa * cb
    entries = [
        ca * cc - sacb * sc,
        sa * sb,
        ca * sc + sacb * cc,
        sb * sc,
        cb,
        -sb * cc,
        -sa * cc - cacb * sc,
        ca * sb,
        cacb * cc - sa * sc,
    ]
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def matrix_to_angles(R: Float[Tensor, "*batch 3 3"]) -> Angles:
    r"""Angles (...) of a proper rotation (..., 3, 3), alpha and gamma in :math:`[-\pi, \pi]`, beta in :math:`[0, \pi]`.

    alpha and beta are those of :math:`R e_y`; gamma is read from :math:`R_y(-\alpha) R`, whose first row is
    :math:`(\cos\gamma, 0, \sin\gamma)` for whatever alpha, so the three belong together at a pole too.

    Raises:
        InputError: R is not a proper rotation.
    """
    require_rotation(R, "matrix_to_angles")
    beta, sine, cosine = _polar(R[..., :, 1])
    first = cosine[..., None] * R[..., 0, :] - sine[..., None] * R[..., 2, :]
    return torch.atan2(sine, cosine), beta, torch.atan2(first[..., 2], first[..., 0])


def angles_to_quaternion(
    alpha: Float[Tensor, "*#batch"], beta: Float[Tensor, "*#batch"], gamma: Float[Tensor, "*#batch"]
) -> Float[Tensor, "... 4"]:
    r"""Unit quaternion (..., 4) of :math:`R_y(\alpha) R_x(\beta) R_y(\gamma)`; shapes broadcast.

    :math:`(c\,c_+, s\,c_-, c\,s_+, -s\,s_-)` with :math:`c, s = \cos, \sin\frac{\beta}{2}` and
    :math:`c_\pm, s_\pm = \cos, \sin\frac{\alpha\pm\gamma}{2}`.
    """
    alpha, beta, gamma = torch.broadcast_tensors(alpha, beta, gamma)
    plus, minus, half = (alpha + gamma) / 2, (alpha - gamma) / 2, beta / 2
    c, s = half.cos(), half.sin()
    return torch.stack([c * plus.cos(), s * minus.cos(), c * plus.sin(), -s * minus.sin()], dim=-1)


def angles_to_axis_angle(
    alpha: Float[Tensor, "*#batch"], beta: Float[Tensor, "*#batch"], gamma: Float[Tensor, "*#batch"]
) -> tuple[Float[Tensor, "... 3"], Float[Tensor, "..."]]:
    r"""Unit axis (..., 3) and angle (...) in :math:`[0, \pi]`; see
    :func:`~intertwine.groups.rotations.quaternion_to_axis_angle`.
    """
    q = angles_to_quaternion(alpha, beta, gamma)
    return quaternion_to_axis_angle(torch.where(q[..., :1] < 0, -q, q))


def quaternion_to_angles(q: Float[Tensor, "*batch 4"]) -> Angles:
    """Angles (...) of a quaternion (..., 4), as :func:`matrix_to_angles`."""
    return matrix_to_angles(quaternion_to_matrix(q))


def axis_angle_to_angles(axis: Float[Tensor, "*#batch 3"], angle: Float[Tensor, "*#batch"]) -> Angles:
    """Angles (...) of the rotation about an axis (..., 3) by an angle (...), as :func:`matrix_to_angles`."""
    return matrix_to_angles(axis_angle_to_matrix(axis, angle))


def angles_to_xyz(alpha: Float[Tensor, "*#batch"], beta: Float[Tensor, "*#batch"]) -> Float[Tensor, "... 3"]:
    r"""The point :math:`R(\alpha, \beta, 0)\,e_y = (\sin\beta \sin\alpha, \cos\beta, \sin\beta \cos\alpha)` (..., 3) of
    the unit sphere.

    >>> angles_to_xyz(torch.tensor(0.0), torch.tensor(torch.pi / 2)).round().abs().tolist()
    [0.0, 0.0, 1.0]
    """
    alpha, beta = torch.broadcast_tensors(alpha, beta)
    return torch.stack([beta.sin() * alpha.sin(), beta.cos(), beta.sin() * alpha.cos()], dim=-1)


def xyz_to_angles(xyz: Float[Tensor, "*batch 3"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    r"""Azimuth alpha (...) in :math:`[-\pi, \pi]` and polar angle beta (...) in :math:`[0, \pi]` of directions (..., 3)
    of any length.

    alpha is 0 on the polar axis; the zero vector gives :math:`(0, \pi/2)`, all with zero derivatives.
    """
    require_shape(xyz, (3,), "xyz_to_angles")
    beta, sine, cosine = _polar(xyz)
    return torch.atan2(sine, cosine), beta


def wigner_D(
    l: int, alpha: Float[Tensor, "*#batch"], beta: Float[Tensor, "*#batch"], gamma: Float[Tensor, "*#batch"]
) -> Float[Tensor, "... m m"]:
    r""":math:`D^l(\alpha, \beta, \gamma)` (..., 2l+1, 2l+1), see :func:`~intertwine.groups.wigner.wigner_d`; shapes
    broadcast.
    """
    return wigner_d(l, angles_to_matrix(alpha, beta, gamma))


def _polar(vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Polar angle of vectors (..., 3), and sine and cosine of the azimuth: (0 or pi, 0, 1) within rounding error of a
    pole.
    """
    if safe.ordinary(vector[..., 0::2]):
        radius = (vector[..., 0].square() + vector[..., 2].square()).sqrt()
        return torch.atan2(radius, vector[..., 1]), vector[..., 0] / radius, vector[..., 2] / radius
    unit = safe.normalize(vector)
    across, along = unit[..., 0::2], unit[..., 1]
    pole = across.detach().square().sum(-1) < torch.finfo(unit.dtype).eps ** 2
    across = torch.where(pole[..., None], 0.0, across)
    beta = torch.atan2(torch.where((along == 0) & pole, 1.0, safe.norm(across)), along)
    sine, cosine = safe.normalize(across).unbind(-1)
    return beta, sine, torch.where(pole, 1.0, cosine)
