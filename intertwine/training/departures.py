"""Structures far outside of what a run was trained on, and what of its predictions for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from intertwine.data.frames import several
from intertwine.data.suspicion import Frames, Seen
from intertwine.training.folder import SEEN, Run

NAMED = 5  # structures that a sentence names
REMEDY = "what is predicted there means little: leave them out, or train on structures like them"


def departures(
    run: Run, frames: Frames | None, places: Sequence[str], predictions: Sequence[Mapping[str, Any]] | None = None
) -> list[str]:
    """At most one sentence on structures that are far outside of the training set of a run, by the same bounds as the
    calculator has (:class:`~intertwine.data.suspicion.Domain`): how many, the first of them, in which way the first
    one, and what to do; none where the folder of the run does not tell.

    Args:
        run: a trained run.
        frames: the structures; None if they are not atoms in space.
        places: file and frame of each (:func:`intertwine.data.frames.place`).
        predictions: for each, of which energies (eV) and forces (eV/A) are compared too.
    """
    seen = Seen.load(run.folder / SEEN)
    if seen is None or seen.domain is None or frames is None:
        return []
    outputs = run.task.outputs
    known = {
        name for name, unit in (("energy", "eV"), ("forces", "eV/A")) if name in outputs and outputs[name].unit == unit
    }
    ways = {}
    for k in range(len(frames)):
        told = (
            {name: predictions[k][name] for name in known if name in predictions[k]} if predictions is not None else {}
        )
        energy = float(told["energy"]) if "energy" in told else None
        if words := seen.domain.departures_of(frames, k, energy, told.get("forces")):
            ways[k] = "; ".join(words)
    if not ways:
        return []
    named = several([places[k] for k in ways], NAMED)
    first = next(iter(ways.values()))
    count = f"{len(ways):,} of {len(frames):,} structures"
    return [f"far outside of the training data of {run.folder}: {count}, {named}; the first: {first}; {REMEDY}"]
