"""Atoms from internal coordinates: one atom, and the backbone of a chain."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

# lengths in A, angles in degrees; Engh and Huber 1991, table of the peptide group
N_CA, CA_C, C_N = 1.458, 1.525, 1.329
N_CA_C, CA_C_N, C_N_CA = 111.2, 116.2, 121.7


class Chain(NamedTuple):
    """Backbone atoms of the residues of a chain, each (residues, 3) in A."""

    n: Tensor
    ca: Tensor
    c: Tensor


def place(
    a: Float[Tensor, "*rows 3"],
    b: Float[Tensor, "*rows 3"],
    c: Float[Tensor, "*rows 3"],
    length: Float[Tensor, "*rows"],
    angle: Float[Tensor, "*rows"],
    torsion: Float[Tensor, "*rows"],
) -> Float[Tensor, "*rows 3"]:
    r"""The atom d at the end of a path a-b-c-d.

    .. math:: d = c + r\,(-\cos\theta\; \hat x + \sin\theta\,(\cos\tau\; \hat y + \sin\tau\; \hat z))

    with :math:`\hat x` along c - b, :math:`\hat y` along the part of a - b across it, and
    :math:`\hat z = \hat x \times \hat y`.

    Args:
        a, b, c: positions, not on a line (A).
        length: r, of the bond c-d (A).
        angle: :math:`\theta`, between b, c and d (radians).
        torsion: :math:`\tau`, of a-b-c-d (radians), by the sign convention of IUPAC.
    """
    x = torch.nn.functional.normalize(c - b, dim=-1)
    y = a - b
    y = torch.nn.functional.normalize(y - (y * x).sum(-1, keepdim=True) * x, dim=-1)
    z = torch.linalg.cross(x, y, dim=-1)
    along, across = -angle.cos(), angle.sin()
    step = torch.stack([along, across * torsion.cos(), across * torsion.sin()], dim=-1)
    return c + length.unsqueeze(-1) * (torch.stack([x, y, z], dim=-1) @ step.unsqueeze(-1)).squeeze(-1)


def dihedral(
    a: Float[Tensor, "*rows 3"], b: Float[Tensor, "*rows 3"], c: Float[Tensor, "*rows 3"], d: Float[Tensor, "*rows 3"]
) -> Float[Tensor, "*rows 2"]:
    """Sine and cosine of the torsion a-b-c-d, from -pi to pi by the sign convention of IUPAC; (0, 1) where three atoms
    are on a line.

    Args:
        a, b, c, d: positions (A).
    """
    axis = torch.nn.functional.normalize(c - b, dim=-1)
    u, w = a - b, d - c
    u = u - (u * axis).sum(-1, keepdim=True) * axis
    w = w - (w * axis).sum(-1, keepdim=True) * axis
    cosine = (u * w).sum(-1)
    sine = (torch.linalg.cross(axis, u, dim=-1) * w).sum(-1)
    size = torch.sqrt(sine.square() + cosine.square())
    undefined = size <= 1e-12
    size = torch.where(undefined, torch.ones_like(size), size)
    cosine = torch.where(undefined, torch.ones_like(cosine), cosine)
    return torch.stack([sine / size, cosine / size], dim=-1)


def backbone(
    phi: Float[Tensor, " residues"], psi: Float[Tensor, " residues"], omega: Float[Tensor, " residues"] | None = None
) -> Chain:
    """The backbone of a chain with ideal bonds and angles; the first residue lies in the xy-plane, its CA at the
    origin.

    Args:
        phi: torsion C-N-CA-C of each residue and the one before (radians); the first is not used.
        psi: torsion N-CA-C-N of each residue and the next (radians).
        omega: torsion CA-C-N-CA of each residue and the one before (radians), pi by default.
    """
    omega = torch.full_like(phi, math.pi) if omega is None else omega
    size = {name: phi.new_tensor(value) for name, value in (("n", N_CA), ("c", CA_C), ("bond", C_N))}
    turn = {name: phi.new_tensor(math.radians(v)) for name, v in (("ca", N_CA_C), ("c", CA_C_N), ("n", C_N_CA))}
    ca, c = phi.new_zeros(3), phi.new_tensor([CA_C, 0.0, 0.0])
    n = N_CA * torch.stack([turn["ca"].cos(), turn["ca"].sin(), torch.zeros_like(turn["ca"])])
    atoms = [(n, ca, c)]
    for k in range(1, len(phi)):
        n, ca, c = atoms[-1]
        following = place(n, ca, c, size["bond"], turn["c"], psi[k - 1])
        alpha = place(ca, c, following, size["n"], turn["n"], omega[k])
        atoms.append((following, alpha, place(c, following, alpha, size["c"], turn["ca"], phi[k])))
    return Chain(*(torch.stack(column) for column in zip(*atoms[: len(phi)], strict=True)))
