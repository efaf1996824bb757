"""All heavy atoms of residues from the frames of their backbones and torsion angles.

Jumper et al., Nature 596, 583 (2021), supplementary algorithms 24 and 25, with the rigid groups and the ideal geometry
of :mod:`intertwine.geometry.residues`.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from intertwine.geometry.residues import GROUPS, ideal_residues
from intertwine.nn.frames import soft_frames


def turns_about_x(angle: Float[Tensor, "*rows 2"]) -> Float[Tensor, "*rows 3 3"]:
    r"""Rotations about the x-axis (algorithm 25) by angles that are given as :math:`(\sin\alpha, \cos\alpha)`."""
    sine, cosine = angle.unbind(-1)
    unit, zero = torch.ones_like(sine), torch.zeros_like(sine)
    return torch.stack([unit, zero, zero, zero, cosine, -sine, zero, sine, cosine], dim=-1).unflatten(-1, (3, 3))


def group_frames(
    residue: Int[Tensor, " residues"],
    frames: Float[Tensor, "residues 3 3"],
    ca: Float[Tensor, "residues 3"],
    angles: Float[Tensor, "residues 7 2"],
) -> tuple[Float[Tensor, "residues 8 3 3"], Float[Tensor, "residues 8 3"]]:
    r"""Axes (columns) and origins (A) of the rigid groups of residues: the backbone, omega, phi, psi, chi1 to chi4.

    .. math::
        T^f = T \circ T^{ideal}_f \circ R_x(\alpha^f) \quad (\omega, \phi, \psi, \chi_1), \qquad
        T^{\chi_{k+1}} = T^{\chi_k} \circ T^{ideal}_{\chi_{k+1}} \circ R_x(\alpha^{\chi_{k+1}})

    Args:
        residue: type, 0 to 19.
        frames: axes of the backbone's frame, as columns.
        ca: its origin, the alpha carbon (A).
        angles: (sin, cos) of omega, phi, psi, chi1 to chi4, of length 1.
    """
    table = ideal_residues()
    rotation = table.rotation.to(frames.device)[residue].to(frames.dtype)
    origin = table.origin.to(frames.device)[residue].to(frames.dtype)
    turned = rotation[:, 1:] @ turns_about_x(angles)
    axes, origins = [frames], [ca]
    for k in range(1, len(GROUPS)):
        base = k - 1 if k > 4 else 0
        axes.append(axes[base] @ turned[:, k - 1])
        origins.append(origins[base] + (axes[base] @ origin[:, k].unsqueeze(-1)).squeeze(-1).to(ca.dtype))
    return torch.stack(axes, dim=1), torch.stack(origins, dim=1)


def all_atoms(
    residue: Int[Tensor, " residues"],
    axes: Float[Tensor, "residues 8 3 3"],
    origins: Float[Tensor, "residues 8 3"],
) -> tuple[Float[Tensor, "residues 14 3"], Bool[Tensor, "residues 14"]]:
    r"""Positions (A) of the heavy atoms, :math:`x^a = T^{f(a)} \circ x^a_{ideal}`, and which places hold one.

    Places are those of :func:`intertwine.geometry.residues.ideal_residues`; an empty one is at the alpha carbon.

    Args:
        residue: type, 0 to 19.
        axes, origins: of the rigid groups, from :func:`group_frames`.
    """
    table = ideal_residues()
    device = axes.device
    group, present = table.group.to(device)[residue], table.present.to(device)[residue]
    local = table.local.to(device)[residue].to(axes.dtype)
    rows = torch.arange(len(residue), device=device).unsqueeze(1)
    x = origins[rows, group] + (axes[rows, group] @ local.unsqueeze(-1)).squeeze(-1).to(origins.dtype)
    return torch.where(present.unsqueeze(-1), x, origins[:, :1]), present


def renamed(
    atoms: Float[Tensor, "residues 14 3"],
    truth: Float[Tensor, "residues 14 3"],
    known: Bool[Tensor, "residues 14"],
    residue: Int[Tensor, " residues"],
    owner: Int[Tensor, " residues"],
) -> Bool[Tensor, " residues"]:
    r"""Residues whose true atoms are to be called by their other names: the two oxygens of ASP and GLU, the two sides
    of the rings of PHE and TYR, which chemistry does not tell apart (algorithm 26).

    The names are chosen by which distances, to all atoms that have one name only, are closer to those predicted:
    :math:`\sum | d_{pred} - d_{renamed} | < \sum | d_{pred} - d_{true} |`.

    Args:
        atoms: predicted (A).
        truth: true (A).
        known: which true atoms there are.
        residue: type, 0 to 19.
        owner: graph of each residue.
    """
    table = ideal_residues()
    exchanged = table.exchanged.to(residue.device)[residue]
    places = torch.arange(exchanged.shape[1], device=residue.device)
    ambiguous = (exchanged != places) & known
    fixed = (exchanged == places) & known
    result = torch.zeros_like(residue, dtype=torch.bool)
    for k in ambiguous.any(1).nonzero().flatten().tolist():
        others = fixed & (owner == owner[k]).unsqueeze(1)
        here = ambiguous[k]
        other = truth[k, exchanged[k]][here]
        predicted = torch.cdist(atoms[k][here], atoms[others])
        as_named = (predicted - torch.cdist(truth[k][here], truth[others])).abs().sum()
        as_other = (predicted - torch.cdist(other, truth[others])).abs().sum()
        result[k] = as_other < as_named
    return result


def measured_groups(
    atoms: Float[Tensor, "residues 14 3"], known: Bool[Tensor, "residues 14"], residue: Int[Tensor, " residues"]
) -> tuple[Float[Tensor, "residues 8 3 3"], Float[Tensor, "residues 8 3"], Bool[Tensor, "residues 8"]]:
    """Axes (columns) and origins (A) of rigid groups that atoms are found in, and which groups have all of their atoms.

    They are what :func:`group_frames` gives for ideal residues. Of omega and phi, which hold no heavy atoms, there are
    none.

    Args:
        atoms: heavy atoms (A).
        known: which of them there are; N, CA and C of every residue are.
        residue: type, 0 to 19.
    """
    table = ideal_residues()
    chi = table.chi_atoms.to(residue.device)[residue][:, :, 1:]  # on the axis, its end, beside it
    psi = chi.new_tensor([1, 2, 3]).expand(len(residue), 1, 3)
    backbone = chi.new_tensor([2, 1, 0]).expand(len(residue), 1, 3)
    places = torch.cat([backbone, backbone, backbone, psi, chi], dim=1)
    rows = torch.arange(len(residue), device=residue.device).view(-1, 1, 1)
    on_axis, end, beside = atoms[rows, places].unbind(2)
    complete = known[rows, places].all(-1) & table.has_group.to(residue.device)[residue]
    x = end - on_axis
    x = torch.cat([-x[:, :1], x[:, 1:]], dim=1)  # the backbone's axis leads away from CA, to C
    y = beside - end
    y = torch.cat([y[:, :3], -y[:, 3:4], y[:, 4:]], dim=1)  # the oxygen is on the other side of the next N
    axes = soft_frames(x.flatten(0, 1), y.flatten(0, 1), 1e-6).unflatten(0, complete.shape)
    return axes, end, complete
