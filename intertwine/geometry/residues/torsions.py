"""The torsion angles of residues, measured."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from intertwine.geometry.residues.chain import dihedral
from intertwine.geometry.residues.ideal import ideal_residues


def torsion_angles(
    atoms: Float[Tensor, "residues 14 3"],
    present: Bool[Tensor, "residues 14"],
    residue: Int[Tensor, " residues"],
    follows: Bool[Tensor, " residues"],
) -> tuple[Float[Tensor, "residues 7 2"], Bool[Tensor, "residues 7"]]:
    """Sine and cosine of omega, phi, psi and chi1 to chi4 of each residue, and which of them it has.

    Omega (CA-C-N-CA) and phi (C-N-CA-C) are those with the residue before; there are none at the start of a chain. Psi
    is that of N-CA-C-O less a half turn, so the last residue of a chain has one too; it needs the oxygen.

    Args:
        atoms: heavy atoms in the places of :func:`ideal_residues` (A).
        present: which of them are known.
        residue: type of each residue, 0 to 19.
        follows: whether a residue is bound to the one before it in the list.
    """
    table = ideal_residues()
    chi_atoms = table.chi_atoms.to(residue.device)[residue]
    x = atoms.unsqueeze(1).expand(-1, 4, -1, -1)
    corners = torch.gather(x, 2, chi_atoms.unsqueeze(-1).expand(-1, -1, -1, 3)).unbind(2)
    chi = dihedral(*corners)
    whole = torch.gather(present.unsqueeze(1).expand(-1, 4, -1), 2, chi_atoms).all(-1)
    n, ca, c, o = atoms[:, :4].unbind(1)
    before_ca, before_c = (torch.roll(value, 1, 0) for value in (ca, c))
    omega, phi = dihedral(before_ca, before_c, n, ca), dihedral(before_c, n, ca, c)
    psi = -dihedral(n, ca, c, o)  # both signs change under a half turn
    has_backbone = present[:, :3].all(-1)
    bound = follows & has_backbone & torch.roll(has_backbone, 1, 0)
    if len(bound):
        bound = bound & (torch.arange(len(bound), device=bound.device) > 0)
    known = torch.cat(
        [
            torch.stack([bound, bound, present[:, :4].all(-1)], dim=1),
            whole & table.has_chi.to(residue.device)[residue],
        ],
        dim=1,
    )
    angles = torch.cat([torch.stack([omega, phi, psi], dim=1), chi], dim=1)
    neutral = angles.new_tensor([0.0, 1.0])
    return torch.where(known.unsqueeze(-1), angles, neutral), known
