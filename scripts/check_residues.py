"""Ideal geometry of the amino acids (``intertwine/geometry/residues/ideal.tsv``) beside the structures of the Chemical
Component Dictionary: bond lengths, bond angles, and the handedness of every centre.

    python scripts/check_residues.py components.cif

``components.cif``, or the component files of the twenty joined into one, is the dictionary that the Worldwide Protein
Data Bank publishes. Read are its ideal coordinates (``pdbx_model_Cartn_x_ideal`` and so on). Bonds are those of the
table's own rows; of the two oxygens of an acid, which the dictionary writes with a double and a single bond, the mean
counts. Torsions are no part of the comparison, but flat groups must be flat in both.
"""

from __future__ import annotations

import argparse
import itertools
import shlex
from pathlib import Path

import numpy as np

from intertwine.geometry.residues.ideal import EXCHANGED, RESIDUES, built, rows

MOST_LENGTH, MOST_ANGLE = 0.08, 7.0  # A, degrees: what the dictionary's structures (gas-phase force fields) differ by
FIELDS = [f"pdbx_model_Cartn_{axis}_ideal" for axis in "xyz"]


def dictionary(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Ideal coordinates (A) by residue and atom."""
    result: dict[str, dict[str, np.ndarray]] = {}
    columns: list[str] = []
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("_chem_comp_atom."):
            columns.append(line.split(".")[1].strip())
        elif line.startswith(("loop_", "#", "data_", "_")):
            columns = []
        elif columns and "comp_id" in columns:
            row = dict(zip(columns, shlex.split(line), strict=True))
            if row["comp_id"] in RESIDUES and row[FIELDS[0]] != "?":
                result.setdefault(row["comp_id"], {})[row["atom_id"]] = np.array([float(row[each]) for each in FIELDS])
    return result


def angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Angle a-b-c in degrees."""
    u, v = a - b, c - b
    return float(np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("components", type=Path, help="components.cif")
    known = dictionary(parser.parse_args().components)
    worst_length, worst_angle, wrong = 0.0, 0.0, []
    print(f"{'residue':8} {'atoms':>5} {'lengths, largest difference (A)':>32} {'angles (degrees)':>22}  centres")
    for name in RESIDUES:
        ours = {atom: x.numpy() for atom, x in built(name).items()}
        theirs = known[name]
        near: dict[str, list[str]] = {atom: [] for atom in ours}
        for row in rows()[name]:
            near[row.atom].append(row.to[0])
            near[row.to[0]].append(row.atom)
        bonds = {(a, b): np.linalg.norm(ours[a] - ours[b]) for a in near for b in near[a] if a < b}
        equal = {a: pair for pair in EXCHANGED.get(name, ()) for a in pair}
        lengths = {
            (a, b): length - np.mean([np.linalg.norm(theirs[a] - theirs[each]) for each in equal.get(b, (b,))])
            for (a, b), length in bonds.items()
            if not (a in equal and b in equal)
        }
        angles = {
            (a, b, c): angle(ours[a], ours[b], ours[c]) - angle(theirs[a], theirs[b], theirs[c])
            for b in near
            for a, c in itertools.combinations(near[b], 2)
        }
        centres = [b for b in near if len(near[b]) == 3]
        hands = [
            [np.linalg.det(np.stack([x[each] - x[b] for each in near[b]])) for x in (ours, theirs)] for b in centres
        ]
        flipped = [b for b, (x, y) in zip(centres, hands, strict=True) if abs(y) > 0.5 and x * y < 0]
        flat = [b for b, (x, y) in zip(centres, hands, strict=True) if (abs(x) > 0.5) != (abs(y) > 0.5)]
        (bond, length), (corner, turn) = (
            max(table.items(), key=lambda item: abs(item[1])) for table in (lengths, angles)
        )
        worst_length, worst_angle = max(worst_length, abs(length)), max(worst_angle, abs(turn))
        wrong += [f"{name} {b}" for b in flipped + flat]
        print(
            f"{name:8} {len(ours):5} {length:20.3f} {'-'.join(bond):>11} {turn:10.1f} {'-'.join(corner):>11}  "
            f"{', '.join(flipped + flat) or 'same'}"
        )
    print(f"largest: {worst_length:.3f} A, {worst_angle:.1f} degrees; centres of another hand: {wrong or 'none'}")
    if worst_length > MOST_LENGTH or worst_angle > MOST_ANGLE or wrong:
        raise SystemExit("the table and the dictionary differ")


if __name__ == "__main__":
    main()
