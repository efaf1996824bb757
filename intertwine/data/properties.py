"""The twelve scalar targets of QM9 (Ramakrishnan et al. 2014, Table 3), in the order of its files."""

from __future__ import annotations

import re
from typing import NamedTuple


class Target(NamedTuple):
    """A scalar of a molecule at B3LYP/6-31G(2df,p).

    Args:
        name: the library's name for it.
        column: its column in qm9pack's CSV files.
        raw: unit in the files.
        unit: unit that the library keeps it in: eV where the files have Hartree.
        meaning: one line.
        extensive: grows with the number of atoms, so a sum over atoms suits it.
    """

    name: str
    column: str
    raw: str
    unit: str
    meaning: str
    extensive: bool


#: name -> target.
QM9: dict[str, Target] = {
    target.name: target
    for target in (
        Target("mu", "Dipole_debye", "D", "D", "norm of the dipole moment", False),
        Target("alpha", "Polarizability_bohr3", "a0^3", "a0^3", "isotropic polarizability", True),
        Target("homo", "HOMO_au", "Ha", "eV", "energy of the highest occupied orbital", False),
        Target("lumo", "LUMO_au", "Ha", "eV", "energy of the lowest unoccupied orbital", False),
        Target("gap", "HOMO_LUMO_gap_au", "Ha", "eV", "lumo - homo", False),
        Target("r2", "R2_bohr2", "a0^2", "a0^2", "electronic spatial extent", True),
        Target("zpve", "ZPVE_au", "Ha", "eV", "zero-point vibrational energy", True),
        Target("u0", "InternalEnergy_0K_au", "Ha", "eV", "internal energy at 0 K", True),
        Target("u", "InternalEnergy_298K_au", "Ha", "eV", "internal energy at 298.15 K", True),
        Target("h", "Enthalphy_298K_au", "Ha", "eV", "enthalpy at 298.15 K", True),
        Target("g", "GibbsFreeEnergy_298K_au", "Ha", "eV", "free energy at 298.15 K", True),
        Target(
            "cv",
            "Heatcapacity_Cv_cal_mol_K",
            "cal/mol K",
            "cal/mol K",
            "heat capacity at constant volume, 298.15 K",
            True,
        ),
    )
}

#: Labels, besides QM9's, that do not grow with the size of a structure.
INTENSIVE = re.compile(r"homo|lumo|.*gap|temperature|.*_per_atom", re.IGNORECASE)


def extensive(name: str) -> bool | None:
    """Whether a quantity of that name grows with the size of a structure; None where the name does not tell."""
    if name.lower() in QM9:
        return QM9[name.lower()].extensive
    return True if name == "energy" else False if INTENSIVE.fullmatch(name) else None
