"""Copies within a data set whose labels contradict each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from intertwine.data.suspicion.copies import marks
from intertwine.data.suspicion.frames import Frames
from intertwine.data.suspicion.relabelled import sizes_of_labels

#: What two calculations of a structure, of other settings or programs, may differ by: eV/atom; of the size of forces
#: (eV/A) and of a stress (eV/A^3) so much, and such a share.
ENERGY_EV, LEAST, SHARE = 0.02, {"forces": 0.1, "stress": 0.01}, 0.2
UNITS = {"energy": "eV", "forces": "eV/A", "stress": "eV/A^3"}


class Contradiction(NamedTuple):
    """``label``; ``pairs``: indices of a structure and of a later copy of it whose label is another; ``difference`` of
    the first pair: of energies, or of the root mean squares.
    """

    label: str
    pairs: tuple[tuple[int, int], ...]
    difference: float


def contradictions(frames: Frames) -> list[Contradiction]:
    """Copies of structures of a data set in it that have other labels, by label: of a structure and its copies each one
    is compared with the first.
    """
    own = marks(frames)
    _, which, counts = np.unique(own, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(counts[which.reshape(-1)] > 1)
    if not len(repeated):
        return []
    first: dict[int, int] = {}
    pairs = [(first.setdefault(int(own[k]), k), k) for k in repeated.tolist()]
    before, after = (np.array(column) for column in zip(*pairs, strict=True))
    result = []
    for label, sizes in sizes_of_labels(frames).items():
        off = np.abs(np.nan_to_num(sizes[after] - sizes[before]))
        if label == "energy":
            contrary = off > ENERGY_EV * frames.counts[after]
        else:
            contrary = off > np.maximum(LEAST[label], SHARE * np.nan_to_num(np.maximum(sizes[after], sizes[before])))
        if contrary.any():
            told = tuple(pair for pair, each in zip(pairs, contrary.tolist(), strict=True) if each)
            result.append(Contradiction(label, told, float(off[contrary][0])))
    return result


def sentence(each: Contradiction, frames: Frames) -> str:
    """What is said of copies with contrary labels: the first two by number, and how many there are."""
    (k, other), *rest = each.pairs
    label, verb = each.label, "differs" if each.label != "forces" else "differ"
    size = "" if label == "energy" else " in size"
    line = (
        f"{frames.place(other)} is a copy of frame {frames.number(k, other)}, and its {label} {verb} by "
        f"{each.difference:.3g} {UNITS[label]}{size}"
    )
    if rest:
        named = ", ".join(f"{frames.number(j, other)} of {frames.number(i, other)}" for i, j in rest[:3])
        line += f"; likewise {len(rest)} more: {named}{', ...' if len(rest) > 3 else ''}"
    return f"{line}: only one of the two can be right"
