"""Floor 6: data sets, and readers of files."""

from intertwine.data.catalogue import DATASETS, DEFAULT, Dataset, is_dataset, is_shapes, open_dataset
from intertwine.data.embedded import ethanol, molecules
from intertwine.data.files import read_file
from intertwine.data.folds import structure
from intertwine.data.inputs import described, to_graph, unread
from intertwine.data.loader import Loader
from intertwine.data.nbody import nbody, particles
from intertwine.data.properties import QM9, Target
from intertwine.data.qm9 import qm9
from intertwine.data.residues import residue_graph
from intertwine.data.splits import Splits, split
from intertwine.data.store import GraphStore
from intertwine.data.structures import Structures, declared_units, read_structures
from intertwine.data.units import factor, unit_table
from intertwine.geometry.atoms import input_of

__all__ = [
    "DATASETS",
    "DEFAULT",
    "QM9",
    "Dataset",
    "GraphStore",
    "Loader",
    "Splits",
    "Structures",
    "Target",
    "declared_units",
    "described",
    "ethanol",
    "factor",
    "input_of",
    "is_dataset",
    "is_shapes",
    "molecules",
    "nbody",
    "open_dataset",
    "particles",
    "qm9",
    "read_file",
    "read_structures",
    "residue_graph",
    "split",
    "structure",
    "to_graph",
    "unit_table",
    "unread",
]
