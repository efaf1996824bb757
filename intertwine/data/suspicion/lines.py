"""What is suspicious, one sentence each, with the number of the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from intertwine.data.store import GraphStore
from intertwine.data.suspicion.alike import EQUAL_ENERGIES, ZERO_FORCES, equal_energies, odd_lengths, zero_forces
from intertwine.data.suspicion.closeness import Nearest, coincident, length_unit, nearest
from intertwine.data.suspicion.contradictions import contradictions, sentence
from intertwine.data.suspicion.conversions import read_in
from intertwine.data.suspicion.frames import Frames
from intertwine.data.suspicion.labels import EnergyUnit, baseline, energy_unit, wild_forces
from intertwine.data.suspicion.stiffness import ForceUnit, force_unit, forces_in_ev
from intertwine.data.suspicion.tension import stress_unit
from intertwine.data.suspicion.work import by_work, work

NAMED = 3  # frames that a line names


@dataclass(frozen=True)
class Suspect:
    """Something suspicious.

    Args:
        kind: "length unit", "coincident atoms", "energy", "energy unit", "forces", "force unit", "stress unit", "work",
            "other length", "contradiction", :data:`ZERO_FORCES` or :data:`EQUAL_ENERGIES`.
        line: one sentence.
        frames: indices of the structures that it is about; empty if it is about all.
    """

    kind: str
    line: str
    frames: tuple[int, ...] = ()


def suspicions(data: GraphStore | Frames) -> list[Suspect]:
    """What is suspicious in structures and their labels: distances that no substance has, atoms on top of each other,
    energies and forces far from those of all others, and energies and forces that are not in eV and eV/A by what is
    known of atoms and bonds.

    The statistics are robust (medians, after a fit of energies by composition) and take seconds for 100,000
    structures. Nothing is said of data whose nodes are not atoms.
    """
    frames = Frames.of_store(data) if isinstance(data, GraphStore) else data
    if frames is None:
        return []
    near = nearest(frames)
    length = length_unit(frames, near)
    suspects = [Suspect("length unit", length)] if length else [*_coincident(frames), *_odd_lengths(frames)]
    sound = np.ones(len(frames), dtype=bool)
    sound[[k for suspect in suspects for k in suspect.frames]] = False
    said = _energies(frames) if frames.energy is not None else []
    said += _forces(frames) if frames.forces is not None else []
    sound[[k for suspect in said for k in suspect.frames]] = False
    suspects += said
    suspects += [
        Suspect("contradiction", sentence(each, frames), tuple(k for _, k in each.pairs))
        for each in contradictions(frames)
    ]
    suspects += _alike(frames)
    tension = stress_unit(frames, sound) if frames.stress is not None and not length else ""
    suspects += _units(frames, near, sound, bool(length), tension)
    suspects += [Suspect("stress unit", tension)] if tension else []
    units = {suspect.kind for suspect in suspects} & {"length unit", "energy unit", "force unit"}
    if (
        not units
        and frames.energy is not None
        and frames.forces is not None
        and (line := work(frames, sound, forces=forces_in_ev(frames, near)))
    ):
        suspects.append(Suspect("work", line))
    return suspects


def _units(frames: Frames, near: Nearest, sound: np.ndarray, length: bool, tension: str) -> list[Suspect]:
    """What is said of the units of energies and forces, with the same options in both lines."""
    energy = energy_unit(frames) if frames.energy is not None else EnergyUnit()
    force = force_unit(frames, near, sound, energy.unit) if frames.forces is not None and not length else ForceUnit()
    line = energy.line
    if energy.unit:
        option = force.units or f"--unit energy={energy.unit}"
        if not force.line and forces_in_ev(frames, near):
            option += f" --unit forces={read_in(frames.units, 'forces')}"  # whose unit would follow the energies'
        elif not force.line and frames.forces is not None and (choice := by_work(frames, sound, energy.unit)):
            option += f" --unit forces={choice.units[0]}"
        line += f": {option}"
    lines = {"energy unit": line, "force unit": force.line}
    return [Suspect(kind, words) for kind, words in lines.items() if words]


def examine(store: GraphStore) -> None:
    """Put what is suspicious in a data set among its ``warnings``, once."""
    if not store.examined:
        suspects, numbers = suspicions(store), store.numbers().tolist()
        store.warn(suspect.line for suspect in suspects)
        store.suspects += [(suspect.kind, tuple(numbers[k] for k in suspect.frames)) for suspect in suspects]
        store.examined = True


def kinds_in(store: GraphStore) -> list[str]:
    """The kinds of what was found suspicious (:func:`examine`) in the entries of a view, or in all data."""
    own = set(store.numbers().tolist())
    return sorted({kind for kind, numbers in store.suspects if not numbers or own & set(numbers)})


def _alike(frames: Frames) -> list[Suspect]:
    lines = {
        EQUAL_ENERGIES: equal_energies(frames) if frames.energy is not None else "",
        ZERO_FORCES: zero_forces(frames) if frames.forces is not None else "",
    }
    return [Suspect(kind, line) for kind, line in lines.items() if line]


def _odd_lengths(frames: Frames) -> list[Suspect]:
    odd = odd_lengths(frames)
    if odd is None:
        return []
    unit = "Bohr" if odd.ratio > 1 else "A, where the others are in Bohr"
    line = (
        f"distances in {frames.place(odd.frames[0])} are {odd.ratio:.3g} times those of the others of its elements and "
        f"number of atoms, as if it were in {unit}; convert it, or leave it out"
    )
    return [Suspect("other length", line + more(frames, odd.frames), odd.frames)]


def _coincident(frames: Frames) -> list[Suspect]:
    pairs = coincident(frames)
    if not pairs:
        return []
    k, i, j, distance = pairs[0]
    numbers = [int(frames.z[frames.starts[k] + atom]) for atom in (i, j)]
    symbols = [chemical_symbols[z] if z < len(chemical_symbols) else f"Z = {z}" for z in numbers]
    line = f"atoms {i} and {j} ({', '.join(symbols)}) of {frames.place(k)} are {distance:.2g} A apart"
    others = tuple(pair[0] for pair in pairs)
    return [Suspect("coincident atoms", line + more(frames, others), others)]


def _energies(frames: Frames) -> list[Suspect]:
    fit = baseline(frames)
    if fit is None:
        return []
    size = np.nan_to_num(np.abs(fit.residual))
    bad = np.flatnonzero(size > fit.limit)
    if not len(bad):
        return []
    bad = bad[np.argsort(-size[bad], kind="stable")]
    k = int(bad[0])
    line = (
        f"the energy of {frames.place(k)} is {fit.residual[k] * frames.counts[k]:+,.5g} eV from what its elements "
        f"add up to elsewhere, {fit.residual[k]:+,.3g} eV/atom where {fit.deviation:.2g} is usual"
    )
    others = tuple(bad.tolist())
    return [Suspect("energy", line + more(frames, others), others)]


def _forces(frames: Frames) -> list[Suspect]:
    bad, largest = wild_forces(frames)
    if not len(bad):
        return []
    bad = bad[np.argsort(-largest[bad], kind="stable")]
    usual = float(np.median(largest))
    line = f"a force in {frames.place(int(bad[0]))} is {largest[bad[0]]:,.4g} eV/A, where {usual:.2g} is usual"
    others = tuple(bad.tolist())
    return [Suspect("forces", line + more(frames, others), others)]


def more(frames: Frames, indices: Sequence[int]) -> str:
    """The other frames of a line: some by number, and how many there are."""
    rest = indices[1:]
    if not rest:
        return ""
    named = ", ".join(frames.number(k, indices[0]) for k in rest[:NAMED]) + (", ..." if len(rest) > NAMED else "")
    return f"; likewise {f'{len(rest)} more: frames' if len(rest) > 1 else 'frame'} {named}"
