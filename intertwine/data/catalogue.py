"""The data sets by name, and the one function that opens any of them or a file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intertwine.data.embedded import ethanol
from intertwine.data.files import read_file
from intertwine.data.folders import is_several, read_folder
from intertwine.data.folds import structure
from intertwine.data.idx import is_idx
from intertwine.data.images import digits, read_idx_file
from intertwine.data.matrices import MATRICES, labelled_matrices
from intertwine.data.mesh_files import is_mesh
from intertwine.data.meshes import POINTS, is_mesh_folder, read_meshes
from intertwine.data.nbody import nbody
from intertwine.data.papers import (
    ASE_PAPER,
    DIGITS_PAPER,
    EGNN_PAPER,
    ENGH_HUBER_PAPER,
    GFN2_PAPER,
    PYSCF_PAPER,
    QM9_PAPER,
)
from intertwine.data.properties import QM9
from intertwine.data.qm9 import qm9
from intertwine.data.resolution import Decision
from intertwine.data.shapes import shapes, voxels
from intertwine.data.spherical import spherical_digits
from intertwine.data.store import GraphStore
from intertwine.data.water import water
from intertwine.nn.paper import Paper
from intertwine.numerics import InputError, nearest
from intertwine.numerics.plugins import find, is_code, module_of, spelled


@dataclass(frozen=True)
class Dataset:
    """A data set that has a name: all that the library knows about it.

    Args:
        make: opens it; takes ``progress``, and ``target`` and ``limit`` if ``selects`` is set. Prescribed splits are
            the store's.
        description: one line.
        task: name of the task that it is meant for.
        target: the label that is learned if nothing else is said.
        entries: how many graphs.
        source: where it comes from, and its licence.
        targets: every label that it offers.
        domain: what an entry is: "graph" (a geometric graph), "point cloud", "image", "voxels" or "spherical signal".
        selects: whether ``make`` itself reads only the wanted target and entries.
        papers: of its protocol, or of the programs that made it; ``intertwine cite`` prints them.
    """

    make: Callable[..., GraphStore]
    description: str
    task: str
    target: str
    entries: int
    source: str
    targets: tuple[str, ...]
    domain: str = "graph"
    selects: bool = False
    papers: tuple[Paper, ...] = ()

    def open(self, *, target: str | None = None, limit: int | None = None, progress: bool = True) -> GraphStore:
        """Its store, which says what it is meant for.

        Args:
            target: a label that must be there.
            limit: the first entries only. A split that the data set prescribes is lost with the others, which a note
                says.
            progress: show a bar.

        Raises:
            InputError, DataError: as ``make``; there is no such target.
        """
        store = (
            self.make(target=target, limit=limit, progress=progress) if self.selects else self.make(progress=progress)
        )
        if target is not None:
            store.field(target)
        if limit is not None and limit < len(store):
            view = store.subset(range(limit))
            if store.splits is not None:
                view.notes = [
                    *store.notes,
                    f"limit {limit}: the split is random, not the one that {store.name} prescribes",
                ]
            view.decisions = tuple(_of_part(decision, view) for decision in store.decisions)
            store = view
        store.task, store.target = self.task or store.task, self.target or store.target
        store.domain = self.domain if self.domain != "graph" else store.domain
        return store


def _of_part(decision: Decision, part: GraphStore) -> Decision:
    """A decision on labels, with the numbers of a part of the structures."""
    count = len(part)
    if decision.frames < decision.of and decision.label in part.fields:
        count = sum(bool(part[k][decision.label].isfinite().any()) for k in range(len(part)))
    return decision._replace(frames=count, of=len(part))


#: What is trained on if nothing else is said.
DEFAULT = "ethanol"
DATASETS: dict[str, Dataset] = {
    "digits": Dataset(
        digits, "handwritten digits, 8 x 8 pixels (1,200 / 97 / 500)", "classification", "label", 1797,
        "embedded; Alpaydin and Kaynak 1998, UCI Machine Learning Repository, CC BY 4.0", ("label",), domain="image",
        papers=(DIGITS_PAPER,),
    ),
    "ethanol": Dataset(
        ethanol, "ethanol at 300, 500 and 700 K: energies and forces, PBE/def2-SVP", "force_field", "energy", 552,
        "embedded; made by scripts/make_ethanol.py with tblite and PySCF; MIT", ("energy", "forces"),
        papers=(PYSCF_PAPER, GFN2_PAPER, ASE_PAPER),
    ),
    "nbody": Dataset(
        nbody, "five charged particles: positions one unit of time later (3,000 / 2,000 / 2,000)", "dynamics",
        "target_pos", 7000, "generated by the protocol of Satorras et al. 2021; MIT", ("target_pos",),
        papers=(EGNN_PAPER,),
    ),
    "qm9": Dataset(
        qm9, "small organic molecules: twelve scalar properties, B3LYP/6-31G(2df,p)", "property", "homo", 130_831,
        "Ramakrishnan et al. 2014, CC0; the authors' package qm9pack (extra `qm9`), MIT", tuple(QM9), selects=True,
        papers=(QM9_PAPER,),
    ),
    "shapes": Dataset(
        shapes, "ten shapes as clouds of 256 noisy points, upright (1,000 / 200 / 500)", "classification", "label",
        1700, "generated; MIT", ("label",), domain="point cloud",
    ),
    "spherical_digits": Dataset(
        spherical_digits, "the digits on a hemisphere, harmonics to degree 8 (1,200 / 97 / 500)", "classification",
        "label", 1797, "made of the embedded digits, CC BY 4.0", ("label",), domain="spherical signal",
        papers=(DIGITS_PAPER,),
    ),
    "structure": Dataset(
        structure, "perturbed backbones of helices and sheets, to be refined (400 / 50 / 50)", "structure",
        "target_atoms", 500, "generated, with bond lengths and angles of Engh and Huber 1991; MIT", ("target_atoms",),
        papers=(ENGH_HUBER_PAPER,),
    ),
    "voxels": Dataset(
        voxels, "ten shapes as occupancy of 16 x 16 x 16 voxels, upright (300 / 80 / 120)", "classification", "label",
        500, "generated; MIT", ("label",), domain="voxels",
    ),
    "water": Dataset(
        water, "water at 500 K: Fock matrices in def2-SVP, PBE (500 / 500 / 500)", "hamiltonian", "hamiltonian", 1500,
        "embedded; made by scripts/make_water.py with tblite and PySCF; MIT", ("hamiltonian", "density", "energy"),
        selects=True,
        papers=(PYSCF_PAPER, GFN2_PAPER, ASE_PAPER),
    ),
}  # fmt: skip


def is_dataset(source: str | Path) -> bool:
    """Whether it names a data set, by its name or as ``module:name``, and no file."""
    if str(source) in DATASETS:
        return True
    spec = spelled(str(source), DATASETS, "datasets")
    return not Path(source).expanduser().exists() and (spec in DATASETS or is_code(spec))


def is_shapes(source: str | Path) -> bool:
    """Whether it is a file of images, a mesh, or a folder of meshes, which hold no structures of atoms."""
    path = Path(source).expanduser()
    return is_idx(path) or (path.is_file() and is_mesh(path)) or is_mesh_folder(path)


def open_dataset(
    source: str | Path,
    *,
    keys: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    target: str | None = None,
    limit: int | None = None,
    progress: bool = True,
    allow: Collection[str] | None = None,
    points: int = POINTS,
    seed: int = 0,
    labelled: bool = True,
    required: Collection[str] | None = None,
    of_run: Mapping[str, str] | None = None,
) -> GraphStore:
    """A data set by name, or the structures of a file or of many; what was assumed is in its ``notes``.

    Args:
        source: a name of ``DATASETS``, such as "ethanol"; a path to any file that ASE reads (also gzipped), an ASE
            database, an npz of (r)MD17, HDF5 of the layouts of SPICE, ANI or modelforge, an SDF, or pymatgen's JSON; a
            folder of such files, or a pattern ("frames/*.xyz"); a file of images (IDX, with its labels beside it), a
            mesh (OFF, PLY) or a folder whose sub-folders are classes of meshes; or ``module:name`` of your own, a
            :class:`Dataset` or a function that returns a :class:`GraphStore`.
        keys: for files, the names that labels have in it: ``{"energy": "MyE", "forces": "F", "dipole": "mu"}``.
        units: for files, the units in it: ``{"energy": "kcal/mol"}``; default eV and A.
        target: a label that the task needs beyond energy, forces, stress and dipole, such as "homo".
        limit: only the first entries.
        progress: show a progress bar on the terminal.
        allow: modules outside the package whose code may run; None allows what ``source`` names.
        points: points of the cloud that a mesh is sampled by.
        seed: of these points.
        labelled: whether images need labels; where they are only to be predicted, they don't.
        required: for files, the labels and inputs that every structure must have if any has; others are NaN where they
            are missing. None: all of them.
        of_run: for files, the names that labels had in the data of a run, as ``keys``: that of the energy is taken
            where the file has it, and ``keys`` do not say another.

    Raises:
        InputError: keys or units are given for a named data set; a module is not allowed; a unit is unknown; the limit
            is not positive; qm9pack is missing.
        DataError: the file is missing, damaged or lacks a label; the file and the frame (counted from 0) are named.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit}", where="limit", remedy="give a positive number of entries.")
    name = str(source)
    path = Path(name).expanduser()
    if is_dataset(name):
        if keys or units:
            raise InputError(
                "keys and units are for files", where=name, remedy="leave them out: the data set knows its own."
            )
        spec = spelled(name, DATASETS, "datasets")
        trusted = (module_of(spec),) if allow is None else allow
        return _described(spec, trusted).open(target=target, limit=limit, progress=progress)
    if is_shapes(path):
        if keys or units or target not in (None, "label"):
            raise InputError("keys, units and targets are for structures", where=name, remedy="leave them out.")
        if is_idx(path):
            return read_idx_file(path, limit, labelled=labelled)
        return read_meshes(path, points=points, seed=seed, limit=limit, progress=progress)
    about: dict[str, Any] = {"keys": keys, "units": units, "target": target, "limit": limit}
    about |= {"progress": progress, "required": required, "of_run": of_run}
    if is_several(path):
        return read_folder(path, **about)
    if not path.exists() and not path.suffix and path.parent == Path("."):
        raise InputError(f"{name!r} is neither a data set nor a file", where="data", remedy=nearest(name, DATASETS))
    if target in MATRICES and path.is_file() and path.suffix in (".h5", ".hdf5"):
        return labelled_matrices(path, limit, target)
    return read_file(path, **about)


def _described(spec: str, allow: Collection[str]) -> Dataset:
    """The data set that a name of ``DATASETS`` or ``module:name`` stands for."""
    named = find(spec, DATASETS, kind="data set", where="data.source", allow=allow)
    if isinstance(named, Dataset):
        return named
    if not callable(named) or (inspect.isclass(named) and issubclass(named, Dataset)):
        remedy = "name a Dataset, or a function that returns a GraphStore; docs/extending.md has one."
        what = f"the class {named.__name__}" if inspect.isclass(named) else f"a {type(named).__name__}"
        raise InputError(f"{what} is no data set", where=spec, remedy=remedy)

    def make(progress: bool) -> GraphStore:
        store = named()
        if not isinstance(store, GraphStore):
            raise InputError(f"it returned a {type(store).__name__}", where=spec, remedy="return a GraphStore.")
        return store

    return Dataset(make, spec, task="", target="", entries=0, source=spec, targets=())
