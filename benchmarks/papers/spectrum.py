"""Infrared and Raman spectrum of water by trained models, beside the method that labelled their data.

    python benchmarks/papers/spectrum.py           # labels 150 geometries, trains three models, compares, draws
    python benchmarks/papers/spectrum.py --page    # only writes table and picture of docs/spectra.md again

Geometries of the package (dynamics at 500 K) are labelled by `intertwine label`'s function: energies, forces, dipoles
and polarizabilities at HF/6-31G*. A force field, a model of the dipole and one of the polarizability learn from them.
The molecule is relaxed on either side. Beside the models' derivatives, which are exact, stand central differences of
the method's own forces, dipoles and polarizabilities, put through the same normal modes. Labels and runs that are there
are not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measure import DOCS, RESULTS, insert, markdown, write

from intertwine import Calculator, plots
from intertwine.data.water import water
from intertwine.integrations import Vibrations, normal_modes, relax, vibrations
from intertwine.labels import label, recipe
from intertwine.labels.recipe import Recipe
from intertwine.labels.scf import scf_labels
from intertwine.labels.structure import Structure
from intertwine.training import train

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "spectrum"
FILE = RESULTS / "spectrum.json"
PICTURE = DOCS / "images" / "spectrum.png"
METHOD, WANT = "hf/6-31g*", ("energy", "forces", "dipole", "polarizability")
STEP = 0.005  # A, of the differences
FMAX = 1e-5  # eV/A


class Labelled(AseCalculator):
    """The method of a recipe as an ASE calculator, without a network between."""

    implemented_properties = ["energy", "forces", "dipole"]  # noqa: RUF012 - ASE's interface

    def __init__(self, how: Recipe) -> None:
        super().__init__()
        self.how = how

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        labels = scf_labels(Structure(0, self.atoms.numbers, self.atoms.positions), self.how)
        self.results = {"energy": float(labels["energy"]), "forces": labels["forces"], "dipole": labels["dipole"]}


def reference(atoms: Atoms) -> tuple[Atoms, Vibrations]:
    """The molecule relaxed with the method itself, and its vibrations by central differences of labels."""
    atoms = atoms.copy()
    atoms.calc = Labelled(recipe(METHOD, WANT[:3]))
    assert relax(atoms, fmax=FMAX)
    how, moved = recipe(METHOD, WANT), []
    for k in range(3 * len(atoms)):
        ends = []
        for sign in (1, -1):
            x = atoms.positions.copy()
            x.flat[k] += sign * STEP
            ends.append(scf_labels(Structure(0, atoms.numbers, x), how))
        moved.append({name: (ends[0][name] - ends[1][name]) / (2 * STEP) for name in WANT})
    H = -np.stack([one["forces"].ravel() for one in moved])
    return atoms, normal_modes(
        (H + H.T) / 2,
        atoms.get_masses(),
        atoms.positions,
        dipole_derivatives=np.stack([one["dipole"] for one in moved]),
        polarizability_derivatives=np.stack([one["polarizability"] for one in moved]),
    )


def settings(task: dict[str, Any], target: dict[str, str], labels: Path, size: int, steps: int) -> dict[str, Any]:
    """The configuration of one of the three runs."""
    training = size - size // 5
    return {
        "data": {"source": str(labels), "train": training, "validation": size - training, "seed": 0, **target},
        "task": task,
        "model": {"name": "nequip", "width": 16, "layers": 2, "cutoff": 4.0},
        "training": {
            "epochs": max(steps * 10 // training, 1), "batch_size": 10, "learning_rate": 5e-3, "minimum_rate": 1e-6,
            "schedule": "cosine", "average": 0.99, "evaluate_every": 10, "threads": 1, "seed": 0, "certify": False,
        },
    }  # fmt: skip


def runs(size: int, steps: int) -> dict[str, Path]:
    """The folders of the three runs, made where they are not there."""
    store = water()
    folder = RUNS / f"{size}-{steps}"
    folder.mkdir(parents=True, exist_ok=True)
    frames = [Atoms(numbers=g.z.numpy(), positions=g.pos.double().numpy()) for g in (store[k] for k in range(size))]
    labels = folder / "water.h5"
    print(label(frames, recipe(METHOD, WANT), labels, progress=False))
    kinds = {
        "field": ({"name": "force_field"}, {}),
        "dipole": ({"name": "property", "loss": "l2"}, {"target": "dipole"}),
        "polarizability": ({"name": "property", "loss": "l2"}, {"target": "polarizability"}),
    }
    for name, (task, target) in kinds.items():
        if not (folder / name / "report.json").exists():
            there = (folder / name).exists()
            train(settings(task, target, labels, size, steps), run=folder / name, resume=there, progress=False)
    return {name: folder / name for name in kinds}


def rows(ours: Vibrations, theirs: Vibrations) -> list[dict[str, Any]]:
    """A row for each mode."""
    return [
        {
            "mode": name,
            "1/cm, models": float(ours.frequencies[k]), "1/cm, HF": float(theirs.frequencies[k]),
            "km/mol, models": float(ours.infrared[k]), "km/mol, HF": float(theirs.infrared[k]),
            "A^4/amu, models": float(ours.raman[k]), "A^4/amu, HF": float(theirs.raman[k]),
            "depolarization, models": float(ours.depolarization[k]),
            "depolarization, HF": float(theirs.depolarization[k]),
        }
        for k, name in enumerate(("bend", "symmetric stretch", "antisymmetric stretch"))
    ]  # fmt: skip


def page(document: dict[str, Any]) -> str:
    shown = [
        {key: f"{value:.1f}" if key.startswith("1/cm") else value for key, value in row.items()}
        for row in document["rows"]
    ]
    return (
        "![Infrared and Raman spectrum of water by trained models and by Hartree-Fock](images/spectrum.png)\n\n"
        f"{markdown(shown)}\n\nWater at HF/6-31G*: {document['size']} geometries, a fifth of them for validation, "
        f"{document['steps']:,} steps for each of the three models. The models' O-H length is "
        f"{1000 * document['length error']:.2g} mA from the method's, their angle {document['angle error']:.2g} "
        f"degrees; motions as a whole are below {document['rigid']:.2g} 1/cm. {document['machine']['date']}. "
        "`python benchmarks/papers/spectrum.py`"
    )


def picture(document: dict[str, Any]) -> Any:
    """Both spectra, from the rows."""
    panels = {"infrared": "km/mol", "Raman": "A^4/amu"}
    return plots.spectrum(
        {
            title: (
                f"{unit} cm",
                {
                    name: tuple([row[f"{quantity}, {key}"] for row in document["rows"]] for quantity in ("1/cm", unit))
                    for name, key in (("trained models", "models"), ("HF/6-31G*", "HF"))
                },
            )
            for title, unit in panels.items()
        }
    )


def measured(size: int, steps: int) -> None:
    """Make everything, and write the results."""
    made = runs(size, steps)
    atoms = Atoms("OHH", positions=water()[0].pos.double().numpy())
    atoms, theirs = reference(atoms)
    ours = atoms.copy()
    ours.calc = Calculator(made["field"], dtype=torch.float64)
    assert relax(ours, fmax=FMAX)
    found = vibrations(made["field"], ours, dipole=made["dipole"], polarizability=made["polarizability"])
    print(found, theirs, sep="\n")
    write(
        "spectrum",
        {
            "size": size, "steps": steps, "rows": rows(found, theirs),
            "rigid": float(np.abs(found.rigid).max()),
            "length error": abs(ours.get_distance(0, 1) - atoms.get_distance(0, 1)),
            "angle error": abs(ours.get_angle(1, 0, 2) - atoms.get_angle(1, 0, 2)),
        },
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=150, help="geometries")
    parser.add_argument("--steps", type=int, default=2000, help="of each training")
    parser.add_argument(
        "--page", action="store_true", help="only write table and picture from the results that are there"
    )
    chosen = parser.parse_args()
    if not chosen.page:
        measured(chosen.size, chosen.steps)
    document = json.loads(FILE.read_text())
    insert(DOCS / "spectra.md", "papers/spectrum.py", page(document))
    plots.save(picture(document), PICTURE)  # spectrum.png
    print(page(document))


if __name__ == "__main__":
    main()
