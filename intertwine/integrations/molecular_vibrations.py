r"""Vibrations of a molecule by trained models, and how they absorb and scatter light.

A force field gives second derivatives of its energy, by differentiating twice; models of a dipole and of a
polarizability give first derivatives of theirs. None is a finite difference. What follows from them is
:mod:`intertwine.integrations.normal_modes`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_masses
from jaxtyping import Float
from torch import Tensor

from intertwine.data import to_graph
from intertwine.data.units import factor
from intertwine.geometry import Graph
from intertwine.integrations.calculator import Calculator
from intertwine.integrations.normal_modes import Vibrations, normal_modes
from intertwine.numerics import GeometryError, InputError
from intertwine.tasks import ForceField, Task
from intertwine.training import Run, load_run
from intertwine.training.evaluation import check_species, inputs_of

SHAPES = {"dipole": (3,), "polarizability": (3, 3)}
UNITS = {"dipole": "e A", "polarizability": "A^3"}
#: eV/A, of the largest force on an atom: more, and the molecule is not at rest.
LARGEST_FORCE = 0.01


def vibrations(
    field: Any,
    structure: Atoms | Graph,
    *,
    dipole: Any = None,
    polarizability: Any = None,
    masses: Float[np.ndarray, " atoms"] | None = None,
    largest_force: float = LARGEST_FORCE,
    allow: Collection[str] = (),
) -> Vibrations:
    """The harmonic vibrations of a molecule at rest, with infrared and Raman intensities where there are models for
    them. All is computed in float64.

    Args:
        field: a force field: a run folder, a run, a task or a calculator of this library; or a function of a graph
            whose value is the energy (eV), differentiable twice in ``pos`` (A).
        structure: the molecule, where the field's forces vanish (:func:`~intertwine.integrations.relax`).
        dipole: a model of the dipole, likewise: what it learned in e*A, D, or another unit of a dipole; or a function
            whose value is the dipole (3,) in e A.
        polarizability: a model of the polarizability: what it learned in A^3, Bohr^3 or another volume; or a function
            whose value is the polarizability (3, 3) in A^3.
        masses: of the atoms (N,) in amu, such as those of isotopes. Default: the standard atomic weights, or what
            ``structure`` says of its own.
        largest_force: on an atom (eV/A), above which the molecule is not at rest.
        allow: modules outside the package whose classes a run may name.

    Raises:
        InputError: a model of another thing, or one that does not say its unit.
        GeometryError: forces are left, or the structure is periodic or one atom.
        DataError: an element that was not trained on, or an input that is missing.
        CheckpointError: a run folder can't be read.
    """
    if bool(np.any(structure.pbc)) if isinstance(structure, Atoms) else structure.periodic:
        remedy = "use integrations.phonons for a crystal; atoms.pbc = False for a molecule in a box."
        raise GeometryError("it is periodic", where="structure", remedy=remedy)
    force, hessian = second_derivatives(field, structure, allow=allow)
    largest = float(np.linalg.norm(force, axis=1).max())
    if not largest <= largest_force:
        what = f"forces of up to {largest:.3g} eV/A are left: frequencies are those of a place of rest"
        raise GeometryError(what, where="structure", remedy="relax it first: relax(atoms, fmax=1e-4).")
    positions = structure.positions if isinstance(structure, Atoms) else structure.pos.double().cpu().numpy()
    return normal_modes(
        hessian,
        _masses(structure) if masses is None else np.asarray(masses, dtype=np.float64),
        positions,
        dipole_derivatives=None if dipole is None else first_derivatives(dipole, structure, "dipole", allow=allow),
        polarizability_derivatives=None
        if polarizability is None
        else first_derivatives(polarizability, structure, "polarizability", allow=allow),
    )


def second_derivatives(
    field: Any, structure: Atoms | Graph, *, rows: Sequence[int] | None = None, allow: Collection[str] = ()
) -> tuple[Float[np.ndarray, "atoms 3"], Float[np.ndarray, "rows coordinates"]]:
    r"""Forces :math:`-\partial E/\partial x` (eV/A) and second derivatives (3 N, 3 N) in eV/A^2 of a field's energy;
    other arguments and errors as of :func:`vibrations`.

    Args:
        rows: the atoms whose rows are wanted, three each: (3 R, 3 N). Default: of all atoms.
    """
    energy, graph = _prepared(_opened(field, allow), structure, "energy")
    with torch.inference_mode(False), torch.enable_grad():
        x = graph.pos.detach().clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(energy(x).sum(), x, create_graph=True, materialize_grads=True)
        wanted = slope if rows is None else slope[list(rows)]
        lines = [_gradient(component, x) for component in wanted.flatten()]
    return -slope.detach().cpu().numpy(), torch.stack(lines).cpu().numpy()


def first_derivatives(
    model: Any, structure: Atoms | Graph, quantity: str, *, allow: Collection[str] = ()
) -> Float[np.ndarray, "coordinates ..."]:
    r"""The derivatives of a dipole, :math:`\partial\mu/\partial x` (3 N, 3) in e, or of a polarizability,
    :math:`\partial\alpha/\partial x` (3 N, 3, 3) in A^2.

    Args:
        model: of the quantity. Others as of :func:`vibrations`.
        quantity: "dipole" or "polarizability".
    """
    value, graph = _prepared(_opened(model, allow), structure, quantity)
    with torch.inference_mode(False), torch.enable_grad():
        x = graph.pos.detach().clone().requires_grad_(True)
        y = value(x)
        columns = [_gradient(component, x) for component in y.flatten()]
    return torch.stack(columns, dim=1).reshape(-1, *SHAPES[quantity]).cpu().numpy()


@dataclass
class _Opened:
    """A model in float64: a task or a function, with what its run says of elements and names."""

    call: Task | Callable[[Graph], Tensor]
    where: str
    species: tuple[int, ...] = ()
    keys: Mapping[str, str] | None = None


def _opened(model: Any, allow: Collection[str]) -> _Opened:
    if isinstance(model, Calculator):
        return _Opened(_exact(model.task), model.folder or "Calculator", model.species, model.keys)
    if isinstance(model, str | os.PathLike):
        model = load_run(Path(model), allow=allow)
    if isinstance(model, Run):
        return _Opened(_exact(model.task), str(model.folder), model.species, model.config.data.keys)
    if isinstance(model, Task):
        return _Opened(_exact(model), type(model).__name__)
    if not callable(model):
        what, remedy = f"a {type(model).__name__} is no model", "give a run, a task or a function of a graph."
        raise InputError(what, where="vibrations", remedy=remedy)
    return _Opened(model, getattr(model, "__name__", "function"))


def _exact(task: Task) -> Task:
    """A copy in float64; the caller's stays as it is."""
    with torch.inference_mode(False):
        return copy.deepcopy(task).double().eval()


def _prepared(opened: _Opened, structure: Atoms | Graph, quantity: str) -> tuple[Callable[[Tensor], Tensor], Graph]:
    """The quantity as a function of positions (A), and the graph that these are of."""
    call = opened.call
    inputs = inputs_of(call) if isinstance(call, Task) else ()
    graph = to_graph(structure, inputs, opened.keys) if isinstance(structure, Atoms) else structure.double()
    if graph.get("z") is not None:
        check_species(opened.species, graph.z.tolist())
    if not isinstance(call, Task):
        return lambda x: _shaped(call(graph.replaced(pos=x)), quantity, opened.where), graph
    graph = graph.to(next(call.parameters()).device)
    if quantity == "energy":
        if not isinstance(call, ForceField):
            what, remedy = f"it learned the task {call.name}", "give a run of the task force_field."
            raise InputError(what, where=opened.where, remedy=remedy)
        field: ForceField = call
        return lambda x: field.interaction(graph.replaced(pos=x)), graph
    name, scale = _output(call, quantity, opened.where)
    task: Task = call
    return lambda x: _shaped(scale * task.predict(graph.replaced(pos=x))[name], quantity, opened.where), graph


def _output(task: Task, quantity: str, where: str) -> tuple[str, float]:
    """The task's output that is the quantity, and the factor to e A, or to A^3."""
    names = [name for name, output in task.outputs.items() if output.level == "graph"]
    if len(names) != 1 or isinstance(task, ForceField):
        what = f"it learned the task {task.name}, and not a {quantity}"
        raise InputError(what, where=where, remedy=f"train one: intertwine train FILE --target {quantity}")
    unit = task.outputs[names[0]].unit
    if not unit:
        remedy = f"train with --unit {names[0]}=..., or give a function of a graph whose value is in {UNITS[quantity]}."
        raise InputError(f"{names[0]!r} has no unit", where=where, remedy=remedy)
    try:
        scale = factor(unit, "dipole") if quantity == "dipole" else factor(unit.removesuffix("^3"), "pos") ** 3
    except InputError as error:
        what, remedy = f"{names[0]!r} is in {unit}, no unit of a {quantity}", f"give a model of a {quantity}."
        raise InputError(what, where=where, remedy=remedy) from error
    return names[0], scale


def _shaped(value: Tensor, quantity: str, where: str) -> Tensor:
    """A prediction for one structure, in the shape of the quantity."""
    shape = SHAPES.get(quantity, ())
    if value.numel() != int(np.prod(shape)):
        what = f"its value has shape {tuple(value.shape)}, and a {quantity} has {shape}"
        remedy = "give a model of it; a polarizability is learned as a tensor, --set task.representation=ij=ji."
        raise InputError(what, where=where, remedy=remedy)
    return value.reshape(shape)


def _gradient(component: Tensor, x: Tensor) -> Tensor:
    """The derivatives of one number by all coordinates; zeros where it does not depend on them."""
    if not component.requires_grad:
        return torch.zeros_like(x).flatten()
    return torch.autograd.grad(component, x, retain_graph=True, materialize_grads=True)[0].flatten()


def _masses(structure: Atoms | Graph) -> Float[np.ndarray, " atoms"]:
    if isinstance(structure, Atoms):
        return structure.get_masses()
    if structure.get("z") is None:
        raise InputError("no species and no masses", where="masses", remedy="give masses=, in amu.")
    return atomic_masses[structure.z.cpu().numpy()]
