"""What comes with the package: a data set of ethanol, and a few molecules of awkward shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from intertwine.data.files import read_file
from intertwine.data.splits import Splits
from intertwine.data.store import GraphStore
from intertwine.geometry import Graph

ETHANOL = Path(__file__).resolve().parent / "embedded" / "ethanol.xyz.gz"

# Experimental or G2 (MP2) geometries, A; the symmetric ones are exact to rounding.
_TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
_HEXAGON = np.stack([np.cos(np.arange(6) * np.pi / 3), np.sin(np.arange(6) * np.pi / 3), np.zeros(6)], axis=1)
_ANGLE = np.deg2rad(104.52 / 2)
MOLECULES: dict[str, tuple[list[int], np.ndarray]] = {
    "water": ([8, 1, 1], 0.9572 * np.array([[0, 0, 0], [np.sin(_ANGLE), 0, np.cos(_ANGLE)], [-np.sin(_ANGLE), 0, np.cos(_ANGLE)]])),
    "carbon dioxide": ([6, 8, 8], np.array([[0, 0, 0], [0, 0, 1.160], [0, 0, -1.160]])),
    "methane": ([6, 1, 1, 1, 1], np.concatenate([np.zeros((1, 3)), 1.087 * _TETRAHEDRON])),
    "benzene": ([6] * 6 + [1] * 6, np.concatenate([1.3915 * _HEXAGON, (1.3915 + 1.080) * _HEXAGON])),
    "ethanol": (
        [6, 6, 8, 1, 1, 1, 1, 1, 1],
        np.array([
            [1.168181, -0.400382, 0.0], [0.0, 0.559462, 0.0], [-1.190083, -0.227669, 0.0],
            [-1.946623, 0.381525, 0.0], [0.042557, 1.207508, 0.886933], [0.042557, 1.207508, -0.886933],
            [2.115891, 0.1448, 0.0], [1.128599, -1.037234, 0.885881], [1.128599, -1.037234, -0.885881],
        ]),
    ),
    "bromochlorofluoromethane": (
        [6, 1, 9, 17, 35],
        np.concatenate([np.zeros((1, 3)), np.array([[1.090], [1.360], [1.760], [1.940]]) * _TETRAHEDRON]),
    ),
}  # fmt: skip


def ethanol(*, progress: bool = False) -> GraphStore:
    """552 frames of ethanol with energies (eV) and forces (eV/A) at PBE/def2-SVP, sampled by GFN2-xTB dynamics at 300, 500 and 700 K.

    Split 400 / 50 / 102. Fields: ``pos``, ``z``, ``energy``, ``forces``, ``temperature`` (of the thermostat, K).
    ``scripts/make_ethanol.py`` makes it.
    """
    store = read_file(ETHANOL, target="temperature", progress=progress)
    store.name = "ethanol"
    store.units["temperature"] = "K"
    store.splits = Splits(range(400), range(400, 450), range(450, len(store)))  # the file is shuffled
    store.notes = ["ethanol: PBE/def2-SVP, energies in eV, forces in eV/A"]
    return store


def molecules() -> list[Graph]:
    """A planar, a linear, a spherical-top, a six-fold, an ordinary and a chiral molecule, in float64 and without edges (A)."""
    return [Graph(positions.copy(), z=numbers) for numbers, positions in MOLECULES.values()]
