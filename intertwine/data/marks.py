"""What the files that we write say of themselves, for the readers that know it; other readers see entries of a name.

Predictions stand beside what was given under names of their own, ``predicted_energy`` beside ``energy``. Of a structure
that was moved (relax, md) the results are those of the model that moved it, which an entry says, and the labels that
the file had for it are those of where it started, ``initial_energy``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

PREDICTED = "predicted"  # before the name of a quantity that a model has predicted
INITIAL = "initial"  # before the name of a label of the structure from which a relaxation or a dynamics started
CALCULATED = "calculated"  # after that, of a label whose name would be that of something given otherwise
CALCULATED_BY = "calculated_by"  # entry: what has calculated the results of this structure
OURS = "intertwine"  # with which that entry begins if it was one of our models
#: Entry: names of other entries that have a row for each atom, in formats that hold no columns of their own.
OF_ATOMS = "per_atom"
#: Entry: names of the entries that were in the data of a database's row, not among its key-value pairs.
IN_DATA = "in_data"


def is_predicted(name: str) -> bool:
    """Whether a name of a quantity, or of a family of them, is that of a prediction."""
    return re.match(rf"(?:{PREDICTED}|pred)(?:[_\-.:]|$)", name, re.IGNORECASE) is not None


def columns_of(entries: Mapping[str, Any], atoms: int) -> dict[str, np.ndarray]:
    """The entries of a structure that are columns of its atoms, as the entry :data:`OF_ATOMS` says; none if it says
    nothing.

    Args:
        entries: by name.
        atoms: how many atoms there are.
    """
    names = entries.get(OF_ATOMS)
    listed = [names] if isinstance(names, str) else names if isinstance(names, list | tuple) else []
    arrays = {name: np.asarray(entries[name]) for name in listed if isinstance(name, str) and name in entries}
    return {name: array for name, array in arrays.items() if array.shape[:1] == (atoms,)}
