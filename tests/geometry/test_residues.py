"""The twenty residues: every torsion comes back, hands and lengths are right, chains have the angles they were made
with.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from intertwine.geometry import deviation, superposed
from intertwine.geometry.residues import (
    ANGLES,
    LETTERS,
    RESIDUES,
    backbone,
    dihedral,
    encode,
    ideal_residues,
    torsion_angles,
)
from intertwine.geometry.residues.ideal import built, rows
from intertwine.groups import Isometry
from intertwine.nn import residue_frames
from intertwine.nn.side_chains import all_atoms, group_frames, measured_groups
from intertwine.numerics import InputError

# chi angles by the nomenclature of IUPAC-IUB (1970), from memory of the field and not from the table
CHI = {
    "ARG": "N CA CB CG CD NE CZ", "ASN": "N CA CB CG OD1", "ASP": "N CA CB CG OD1", "CYS": "N CA CB SG",
    "GLN": "N CA CB CG CD OE1", "GLU": "N CA CB CG CD OE1", "HIS": "N CA CB CG ND1", "ILE": "N CA CB CG1 CD1",
    "LEU": "N CA CB CG CD1", "LYS": "N CA CB CG CD CE NZ", "MET": "N CA CB CG SD CE", "PHE": "N CA CB CG CD1",
    "PRO": "N CA CB CG CD", "SER": "N CA CB OG", "THR": "N CA CB OG1", "TRP": "N CA CB CG CD1",
    "TYR": "N CA CB CG CD1", "VAL": "N CA CB CG1",
}  # fmt: skip
HEAVY = dict(zip(LETTERS, (5, 11, 8, 8, 6, 9, 9, 4, 10, 8, 8, 9, 8, 11, 7, 6, 7, 14, 12, 7), strict=True))


def torsion(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> float:
    """By the normals of the two planes, degrees."""
    first, second = np.cross(b - a, c - b), np.cross(c - b, d - c)
    sine = np.linalg.norm(c - b) * ((b - a) @ second)
    return math.degrees(math.atan2(sine, first @ second))


def placed(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All residues somewhere in space, with random angles: types, angles in degrees, atoms and which there are."""
    kinds = torch.arange(20)
    angle = 360 * torch.rand(20, 7, generator=generator, dtype=torch.float64) - 180
    n, ca, c = torch.randn(3, 20, 3, generator=generator, dtype=torch.float64)
    pairs = torch.stack([torch.deg2rad(angle).sin(), torch.deg2rad(angle).cos()], dim=-1)
    atoms, present = all_atoms(kinds, *group_frames(kinds, residue_frames(n, ca, c).transpose(1, 2), ca, pairs))
    return kinds, angle, atoms, present


def test_torsions_of_ideal_residues_come_back(generator: torch.Generator) -> None:
    """All chi angles and psi of all twenty, measured by a formula and by atoms that are not the library's: to 1e-4
    degrees."""
    table = ideal_residues()
    _, angle, atoms, _ = placed(generator)
    for k, name in enumerate(RESIDUES):
        x = {atom: atoms[k, place].numpy() for place, atom in enumerate(table.names[k]) if atom}
        chain = CHI.get(name, "").split()
        assert max(len(chain) - 3, 0) == int(table.has_chi[k].sum())
        measured = [torsion(*(x[atom] for atom in chain[j : j + 4])) for j in range(len(chain) - 3)]
        measured.append(torsion(x["N"], x["CA"], x["C"], x["O"]) + 180)
        expected = [*angle[k, 3 : 3 + len(measured) - 1].tolist(), float(angle[k, 2])]
        for a, b in zip(measured, expected, strict=True):
            assert abs((a - b + 180) % 360 - 180) < 1e-4, name


def test_our_measure_of_the_same(generator: torch.Generator) -> None:
    kinds, angle, atoms, present = placed(generator)
    measured, known = torsion_angles(atoms, present, kinds, torch.zeros(20, dtype=torch.bool))
    expected = torch.stack([torch.deg2rad(angle).sin(), torch.deg2rad(angle).cos()], dim=-1)
    assert (measured - expected)[known].abs().max() < 1e-12
    assert known[:, 2].all()
    assert not known[:, :2].any()


def test_lengths_angles_and_hands(generator: torch.Generator) -> None:
    """What the table says is there at any torsion; every centre at CA is L; rings are flat and close."""
    _, _, atoms, present = placed(generator)
    table = ideal_residues()
    for k, name in enumerate(RESIDUES):
        x = {atom: atoms[k, place] for place, atom in enumerate(table.names[k]) if atom}
        assert int(present[k].sum()) == len(x) == HEAVY[LETTERS[k]]
        for row in rows()[name]:
            c, b, _ = row.to
            assert abs(float((x[row.atom] - x[c]).norm()) - row.length) < 1e-12
            if b:
                u, v = x[row.atom] - x[c], x[b] - x[c]
                assert abs(math.acos(float(u @ v / u.norm() / v.norm())) - row.angle) < 1e-9
        if name != "GLY":  # seen from the hydrogen: CO, R, N clockwise
            triple = torch.stack([x["C"] - x["CA"], x["CB"] - x["CA"], x["N"] - x["CA"]])
            assert float(torch.linalg.det(triple)) > 1
    closing = {"HIS": ("CE1", "NE2"), "TRP": ("CZ3", "CH2"), "PHE": ("CE2", "CZ"), "TYR": ("CE2", "CZ")}
    for name, (first, second) in closing.items():
        x = built(name, {"chi1": 1.0, "chi2": 0.4})
        assert 1.30 < float((x[first] - x[second]).norm()) < 1.42
        ring = torch.stack([value for atom, value in x.items() if atom not in ("N", "CA", "C", "O")])
        assert torch.linalg.svdvals(ring - ring.mean(0))[2] < 1e-9


def test_measured_groups_are_those_that_placed_the_atoms(generator: torch.Generator) -> None:
    kinds = torch.arange(20)
    angle = 6 * torch.rand(20, 7, generator=generator, dtype=torch.float64)
    n, ca, c = torch.randn(3, 20, 3, generator=generator, dtype=torch.float64)
    frames = residue_frames(n, ca, c).transpose(1, 2)
    axes, origins = group_frames(kinds, frames, ca, torch.stack([angle.sin(), angle.cos()], dim=-1))
    atoms, present = all_atoms(kinds, axes, origins)
    again, where, complete = measured_groups(atoms, present, kinds)
    torch.testing.assert_close(again[complete], axes[complete], rtol=0, atol=1e-9)
    torch.testing.assert_close(where[complete], origins[complete], rtol=0, atol=1e-9)
    torch.testing.assert_close(complete, ideal_residues().has_group)


def test_sign_of_a_torsion() -> None:
    """IUPAC: looking from b to c, clockwise from a to d is positive."""
    a, b, c = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 1]], dtype=torch.float64).unbind(0)
    for degrees in (0.0, 30.0, 90.0, 179.0, -45.0):
        t = math.radians(degrees)
        d = torch.tensor([math.cos(t), math.sin(t), 1.0], dtype=torch.float64)
        expected = torch.tensor([math.sin(t), math.cos(t)], dtype=torch.float64)
        torch.testing.assert_close(dihedral(a, b, c, d), expected, rtol=0, atol=1e-12)
        assert abs(torsion(*(x.numpy() for x in (a, b, c, d))) - degrees) < 1e-9
    assert dihedral(a, b, c, 2 * c).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("phi", "psi", "rise", "per_turn"), [(-57, -47, 1.5, 3.6), (-139, 135, 3.4, 2.1)])
def test_backbones_have_the_pitch_of_their_folds(phi: float, psi: float, rise: float, per_turn: float) -> None:
    """The alpha helix rises 1.5 A a residue with 3.6 in a turn, right-handed; a strand 3.4 A with 2 in a turn."""
    angles = torch.deg2rad(torch.tensor([phi, psi], dtype=torch.float64)).unsqueeze(1).expand(2, 20)
    chain = backbone(*angles)
    rotation, x, y = superposed(chain.ca[:-1], chain.ca[1:], torch.zeros(19, dtype=torch.int64), 1)
    turn = math.degrees(math.acos((float(rotation[0].diagonal().sum()) - 1) / 2))
    axis = torch.stack([rotation[0, 2, 1] - rotation[0, 1, 2], rotation[0, 0, 2] - rotation[0, 2, 0],
                        rotation[0, 1, 0] - rotation[0, 0, 1]])  # fmt: skip
    along = float((y - x)[0] @ axis / axis.norm())
    assert 360 / turn == pytest.approx(per_turn, abs=0.35)
    assert abs(along) == pytest.approx(rise, abs=0.15)
    assert along > 0 or phi != -57
    n = [chain.n[k].numpy() for k in range(20)]
    ca, c = chain.ca.numpy(), chain.c.numpy()
    assert torsion(c[3], n[4], ca[4], c[4]) == pytest.approx(phi, abs=1e-9)
    assert torsion(n[4], ca[4], c[4], n[5]) == pytest.approx(psi, abs=1e-9)
    assert abs(torsion(ca[4], c[4], n[5], ca[5])) == pytest.approx(180, abs=1e-9)


def test_angles_across_bonds_gaps_and_missing_atoms(generator: torch.Generator) -> None:
    chain = backbone(torch.full((4,), -1.0).double(), torch.full((4,), -0.8).double())
    kinds, atoms = encode("AAAA"), torch.zeros(4, 14, 3, dtype=torch.float64)
    atoms[:, :3] = torch.stack(chain, dim=1)
    present = torch.zeros(4, 14, dtype=torch.bool)
    present[:, :3] = True
    follows = torch.tensor([True, True, False, True])  # the first follows nothing, whatever is said
    angles, known = torsion_angles(atoms, present, kinds, follows)
    assert known[:, ANGLES.index("phi")].tolist() == [False, True, False, True]
    assert not known[:, ANGLES.index("psi")].any()  # no oxygens
    assert (torch.atan2(*angles[known[:, 1], 1].unbind(-1)) + 1.0).abs().max() < 1e-12
    present[2, 0] = False
    _, known = torsion_angles(atoms, present, kinds, torch.ones(4, dtype=torch.bool))
    assert known[:, 1].tolist() == [False, True, False, False]


@pytest.mark.parametrize("sequence", ["ABA", "AXA", "aaa", "A-A", "AUA"])
def test_unknown_letters(sequence: str) -> None:
    with pytest.raises(InputError, match="residue"):
        encode(sequence)


def test_superposition(generator: torch.Generator) -> None:
    """The deviation of a moved copy is 0, of a mirror image it is not; of a batch as of each."""
    x = torch.randn(9, 3, generator=generator, dtype=torch.float64)
    moved = Isometry.random(3, generator=generator, shift=5.0)(x)
    owner = torch.tensor([0] * 5 + [1] * 4)
    assert deviation(x, moved, torch.zeros(9, dtype=torch.int64), 1).max() < 1e-7
    assert deviation(x, -moved, torch.zeros(9, dtype=torch.int64), 1).min() > 0.1
    y = x + 0.3 * torch.randn(9, 3, generator=generator, dtype=torch.float64)
    both = deviation(x, y, owner, 2)
    for k in range(2):
        part = owner == k
        alone = deviation(x[part], y[part], torch.zeros(int(part.sum()), dtype=torch.int64), 1)
        torch.testing.assert_close(both[k : k + 1], alone, rtol=0, atol=1e-12)
        assert 0 < float(alone) <= float((x - y)[part].square().sum(1).mean().sqrt())
    assert deviation(x[:1], y[:1], owner[:1], 1).tolist() == [0.0]
