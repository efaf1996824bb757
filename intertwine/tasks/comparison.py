"""Predictions beside labels, in the form in which pictures show them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from intertwine.geometry import LEVELS, Graph, six
from intertwine.numerics.showing import figure

if TYPE_CHECKING:
    from intertwine.tasks.output import Output

#: For each target (predicted, true, unit).
Compared = dict[str, tuple[np.ndarray, np.ndarray, str]]
VANISHES = 1e-4  # of the root mean square of all forces: below it a force is rounding


def compared(
    outputs: Mapping[str, Output], graphs: Sequence[Graph], predictions: Sequence[Mapping[str, Any]]
) -> Compared:
    """Predictions and labels of each target that has labels of its own size: energies per atom, affine points as
    displacements.

    Graphs without a label (NaN) are left out, and targets that none has.

    Args:
        outputs: of the task.
        graphs: with labels.
        predictions: of each graph, arrays by name.
    """
    result: Compared = {}
    for name, output in outputs.items():
        field = output.label or name
        here = [
            k
            for k, graph in enumerate(graphs)
            if name in predictions[k] and field in graph and not bool(graph[field].isnan().any())
        ]
        p = [np.atleast_1d(predictions[k][name]) for k in here]
        t = [_in_its_form(graphs[k][field].numpy(), values) for k, values in zip(here, p, strict=True)]
        if not here or any(label.size != values.size for label, values in zip(t, p, strict=True)):
            continue
        t = [label.reshape(values.shape) for label, values in zip(t, p, strict=True)]
        unit = output.unit
        if output.per_atom:
            p, t = ([values / graphs[k].num_nodes for values, k in zip(side, here, strict=True)] for side in (p, t))
            unit = f"{unit}/atom"
        if output.affine and (place := LEVELS[output.level].place):
            p, t = (
                [values - graphs[k][place].numpy() for values, k in zip(side, here, strict=True)] for side in (p, t)
            )
        result[name] = (np.concatenate(p), np.concatenate(t), unit)
    return result


def silent_species(
    errors: Mapping[str, np.ndarray], graphs: Sequence[Graph], trained: Collection[int]
) -> dict[str, str]:
    """Why the errors (eV/A) of the forces on some species say nothing, by chemical symbol: they vanish by symmetry, the
    predicted and the true ones, or the species was not trained on.

    Args:
        errors: of :func:`by_species`.
        graphs: with forces, whose residuals they are.
        trained: atomic numbers; none where it is not known.
    """
    forces = np.concatenate([graph.forces.numpy() for graph in graphs])
    z = np.concatenate([graph.z.numpy() for graph in graphs])
    largest = {symbol: float(np.nanmax(np.abs(forces[z == atomic_numbers[symbol]]))) for symbol in errors}
    bound = VANISHES * float(np.sqrt(np.nanmean(np.square(forces))))
    notes = {}
    for symbol, residual in errors.items():
        if trained and atomic_numbers[symbol] not in trained:
            notes[symbol] = f"not trained on: RMSE {figure(1e3 * float(np.sqrt(np.mean(np.square(residual)))))}"
        elif largest[symbol] < bound and float(np.abs(residual).max()) < bound:
            notes[symbol] = "vanish by symmetry"
    return notes


def _in_its_form(label: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """A label, a matrix in six numbers where that is how it is predicted."""
    return six(label) if (label.size, predicted.size) == (9, 6) else label


def by_species(graphs: Sequence[Graph], both: Compared) -> dict[str, np.ndarray]:
    """Residuals of the forces by chemical symbol."""
    if "forces" not in both or graphs[0].get("z") is None:
        return {}
    residual = both["forces"][0] - both["forces"][1]
    z = np.concatenate([graph.z[~graph.forces.isnan().any(1)].numpy() for graph in graphs])
    if len(z) != len(residual):  # a structure of which some atoms have no force is left out whole
        return {}
    return {chemical_symbols[k]: residual[z == k] for k in np.unique(z)}
