"""What comes with the package: a data set of ethanol, and a few molecules, crystals and a cluster of awkward shapes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from intertwine.data.files import read_file
from intertwine.data.splits import Splits
from intertwine.data.store import GraphStore
from intertwine.geometry import Graph
from intertwine.numerics import DataError

ETHANOL = Path(__file__).resolve().parent / "embedded" / "ethanol.xyz.gz"
SHA256 = "c88aa2bb0b056f8f7813bccb7f68cfd3adb74bd0ec62fcefe03313179c0f20e5"  # of that file

# Experimental or G2 (MP2) geometries, A; the symmetric ones are exact to rounding.
_TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
_HEXAGON = np.stack([np.cos(np.arange(6) * np.pi / 3), np.sin(np.arange(6) * np.pi / 3), np.zeros(6)], axis=1)
_ANGLE = np.deg2rad(104.52 / 2)
MOLECULES: dict[str, tuple[list[int], np.ndarray]] = {
    "water": (
        [8, 1, 1],
        0.9572 * np.array([[0, 0, 0], [np.sin(_ANGLE), 0, np.cos(_ANGLE)], [-np.sin(_ANGLE), 0, np.cos(_ANGLE)]]),
    ),
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
    """552 frames of ethanol with energies (eV) and forces (eV/A) at PBE/def2-SVP, sampled by GFN2-xTB dynamics at 300,
    500 and 700 K.

    Split 400 / 50 / 102. Fields: ``pos``, ``z``, ``energy``, ``forces``, ``temperature`` (of the thermostat, K).
    ``scripts/make_ethanol.py`` makes it.

    Raises:
        DataError: the file of the package is damaged.
    """
    try:
        intact = hashlib.sha256(ETHANOL.read_bytes()).hexdigest() == SHA256
    except OSError:
        intact = False
    if not intact:
        remedy = "pip install --force-reinstall intertwine"
        raise DataError(
            "the file is damaged: it is not the one that intertwine was released with",
            where=str(ETHANOL),
            remedy=remedy,
        )
    store = read_file(ETHANOL, target="temperature", progress=progress)
    store.name = "ethanol"
    store.units["temperature"] = "K"
    store.splits = Splits(range(400), range(400, 450), range(450, len(store)))  # the file is shuffled
    store.notes = ["ethanol: PBE/def2-SVP, energies in eV, forces in eV/A"]
    return store


def molecules() -> list[Graph]:
    """A planar, a linear, a spherical-top, a six-fold, an ordinary and a chiral molecule, in float64 and without edges
    (A).
    """
    return [Graph(positions.copy(), z=numbers) for numbers, positions in MOLECULES.values()]


def crystals() -> list[Graph]:
    """Rock salt in a primitive cell smaller than common cutoffs, and an oblique slab that repeats along two vectors
    only (A).
    """
    salt = Graph(np.array([[0.0, 0.0, 0.0], [2.82, 0.0, 0.0]]), z=[11, 17], cell=2.82 * (1 - np.eye(3)))
    cell = np.array([[4.7, 0.0, 0.3], [1.6, 5.2, -0.4], [-0.7, 0.9, 12.0]])
    fractions = np.array(
        [
            [0.05, 0.1, 0.42],
            [0.4, 0.15, 0.45],
            [0.75, 0.45, 0.4],
            [0.2, 0.6, 0.47],
            [0.6, 0.85, 0.44],
            [0.1, 0.12, 0.55],
        ]
    )
    return [salt, Graph(fractions @ cell, z=[22, 8, 7, 14, 6, 1], cell=cell, pbc=[True, True, False])]


def cluster() -> Graph:
    """40 atoms of H, C, N, O, F, Si and S without any symmetry, no two within 1 A (no real substance); the same on
    every call.
    """
    sites = np.stack(np.meshgrid(*(1.8 * np.arange(k) for k in (4, 4, 3)), indexing="ij"), axis=-1).reshape(-1, 3)[:40]
    fraction = np.modf(
        np.arange(1, 121).reshape(40, 3) * (np.sqrt(5) - 1) / 2 + np.arange(1, 41)[:, None] ** 2 * np.sqrt(2)
    )[0]
    numbers = np.array([1, 6, 1, 7, 8, 9, 1, 14, 16, 6])
    return Graph(sites + 0.7 * (fraction - 0.5), z=np.tile(numbers, 4))  # displaced by up to 0.35 A along each axis
