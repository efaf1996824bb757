"""What benchmarks of Hamiltonians and of densities share: runs that go on, labels of ethanol, molecules of PySCF."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pyscf import dft, gto

from intertwine.data.embedded import ethanol
from intertwine.labels import label, recipe
from intertwine.training import Run, load_run, train

RUNS = Path(__file__).resolve().parents[2] / "runs"
#: A water dimer: atomic numbers, and positions in A.
DIMER = ([8, 1, 1, 8, 1, 1], [
    [-1.551007, -0.114520, 0.0], [-1.934259, 0.762503, 0.0], [-0.599677, 0.040712, 0.0],
    [1.350625, 0.111469, 0.0], [1.680398, -0.373741, -0.758561], [1.680398, -0.373741, 0.758561],
])  # fmt: skip
RING, BOND, ANGLE, TILT = 2.80, 0.97, 105.0, 50.0  # A, A, degrees, degrees: of the trimer


def trained(name: str, sections: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    """The run below ``runs/``, made or gone on with, and its report."""
    folder = RUNS / name
    if not (folder / "report.json").exists():
        train(sections, run=folder, resume=folder.exists(), progress=True)
    return load_run(folder), json.loads((folder / "report.json").read_text())


def labelled(count: int, want: str) -> Path:
    """The file of matrices of frames of the package's ethanol, made or gone on with."""
    output = RUNS / "labels" / f"ethanol-{want}-{count}.h5"
    output.parent.mkdir(parents=True, exist_ok=True)
    store = ethanol()
    label(
        [store[k].to_ase() for k in range(count)],
        recipe("pbe/def2-svp", [want]),
        output,
        source="ethanol of the package",
    )
    return output


def molecule(numbers: Any, positions: Any) -> Any:
    """A molecule of PySCF in the basis of the runs."""
    return gto.M(atom=list(zip(map(int, numbers), positions, strict=True)), basis="def2-svp", verbose=0)


def method(molecule: Any) -> Any:
    """PBE on a grid of level 3, whose energy converges to 1e-9 Eh; DIIS by PySCF's defaults."""
    functional = dft.RKS(molecule, xc="pbe")
    functional.grids.level = 3
    return functional


def trimer() -> tuple[list[int], list[list[float]]]:
    """Three waters in a ring, idealised: each has a hydrogen towards the next oxygen, and a free one above the ring, of
    the third below it."""
    positions = []
    for k, side in enumerate((1, 1, -1)):
        turn, angle, tilt = 2 * math.pi * k / 3, math.radians(ANGLE), math.radians(side * TILT)
        radius = RING / math.sqrt(3)
        oxygen = (radius * math.cos(turn), radius * math.sin(turn), 0.0)
        along = turn + math.radians(150)  # the direction of the next oxygen
        donated = (math.cos(along), math.sin(along), 0.0)
        outward = (math.sin(along), -math.cos(along), 0.0)
        free = [
            math.cos(angle) * d + math.sin(angle) * (math.cos(tilt) * u + math.sin(tilt) * z)
            for d, u, z in zip(donated, outward, (0.0, 0.0, 1.0), strict=True)
        ]
        positions += [list(oxygen), *([o + BOND * x for o, x in zip(oxygen, part, strict=True)] for part in
                                      (donated, free))]  # fmt: skip
    return [8, 1, 1] * 3, positions


def kept(report: dict[str, Any]) -> dict[str, Any]:
    """What stays of a report."""
    return {name: report[name] for name in ("test", "steps", "seconds")}
