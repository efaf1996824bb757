"""A trained force field as an ASE calculator, with a neighbour list that is rebuilt only when atoms have moved."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import PropertyNotImplementedError, all_changes
from ase.data import chemical_symbols
from torch import Tensor

from intertwine.data import input_of, to_graph
from intertwine.data.suspicion.domain import REMEDY
from intertwine.geometry import Graph, connect, distances, edge_vectors
from intertwine.integrations.frozen import BOUNDS, Moving, deviation, stepper_of
from intertwine.numerics import Caution, InputError
from intertwine.numerics.devices import computing_device
from intertwine.numerics.showing import facts_as_html, facts_as_text
from intertwine.tasks import ForceField, Task
from intertwine.training import Run, load_run
from intertwine.training.evaluation import check_species, inputs_of, sound
from intertwine.training.start import fingerprint
from intertwine.training.summary import doubts


@dataclass
class _State:
    """What a calculator remembers of its last calculation. Tensors and arrays in it are replaced, never written to."""

    atoms: Atoms | None = None
    results: dict[str, Any] = field(default_factory=dict)
    edges: tuple[Tensor, Tensor] | None = None
    reference: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None = None  # that the edges were made for
    rebuilds: int = 0
    departures: list[str] | None = field(default_factory=list)  # None: not looked for yet


class Calculator(AseCalculator):
    """Energy (eV), forces (eV/A), energies of the atoms (eV) and, for crystals and slabs, stress (eV/A^3, ASE's sign).

    A stress has what repeats along two lattice vectors at least in a cell that has a volume. Of a slab it is per volume
    of the cell as given, as ASE's cell filters take it: times the height of the cell it is the tension of the surface.
    The energies of the atoms add up to the energy; how a network divides it is its own way.

    What the model reads besides positions comes from the structure: an array of the input's name (that of the run's
    data, as ``q`` after ``--key charge=q``), or what ASE keeps of that kind: initial charges, velocities, initial
    magnetic moments.

    The first structure that is far outside of the training set of the run (atoms nearer to each other, or farther from
    all others, energies or forces of another size; :class:`~intertwine.data.suspicion.Domain`) is said as a warning,
    :class:`~intertwine.numerics.Caution`. So is, when it is made, a run whose baseline is better than its model.

    One calculator may serve several threads at once: each has its own last structure, results and neighbour list, and
    the model, which is shared, is never written to. It may be copied and sent to other processes.

    A deployed file of MACE or NequIP is computed on the CPU by compiled loops alone
    (:func:`~intertwine.integrations.frozen.stepper_of`), which the first structure is compared with torch's evaluation
    on; whether a structure is far outside of the training set is looked at when its neighbour list is made, and when
    :attr:`departures` is asked for.

    Args:
        model: a run folder, a deployed file (``.iw``), a :class:`~intertwine.training.Run`, or a
            :class:`~intertwine.tasks.ForceField`.
        skin: extra radius (A) of the neighbour list; it is rebuilt when an atom has moved by half of it, or the cell
            changed. Pairs beyond the cutoff are dropped at every step, so results do not depend on the skin.
        dtype: precision; None keeps the model's. Use ``torch.float64`` for long dynamics.
        device: "auto" or None (a CUDA GPU if torch sees one, else the CPU), "cpu", "cuda", "cuda:1".
        keys: the structures' names of the model's inputs, such as ``{"charge": "q"}``, over those of the run.
        allow: modules outside the package whose classes a run may name.

    Raises:
        InputError: the model is not a force field, the skin is negative, or the device is unknown or not there.
        CheckpointError: the run folder can't be read.

    >>> from ase.build import molecule
    >>> atoms = molecule("CH3CH2OH")
    >>> atoms.calc = Calculator("runs/my-run")  # doctest: +SKIP
    >>> atoms.get_potential_energy()  # doctest: +SKIP
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012 - ASE's own way

    def __init__(
        self,
        model: Any,
        skin: float = 0.5,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = "auto",
        keys: Mapping[str, str] | None = None,
        allow: Collection[str] = (),
        **options: Any,
    ) -> None:
        self._latest, self._threads = _State(), threading.local()
        super().__init__(**options)
        place = computing_device(device)
        with torch.inference_mode(False):  # weights made in inference mode have no derivatives
            run = (
                None
                if isinstance(model, Task)
                else model
                if isinstance(model, Run)
                else load_run(model, device=place, allow=allow)
            )
            original = model if run is None else run.task
            # the caller's stays as it is
            task = original if run is not None and run is not model else copy.deepcopy(original)
        self.folder = str(run.folder) if run is not None else None
        self.species: tuple[int, ...] = run.species if run is not None else ()
        if not isinstance(task, ForceField):
            where = "Calculator" if run is None else str(run.folder)
            remedy = (
                "train on energies and forces, --task force_field (and --key forces=NAME, if the file calls them so)."
            )
            raise InputError(f"has no forces: it learned the task {task.name}", where=where, remedy=remedy)
        if not skin >= 0:
            raise InputError(
                f"a skin of {skin} A", where="skin", remedy="give 0 or a positive length; 0.5 A suits molecules."
            )
        self.weights = fingerprint(task)  # as they were trained: a cast would change it
        with torch.inference_mode(False):
            self.task = task.to(device=place, dtype=dtype).eval()
        self._references = task.references.values.detach().cpu().numpy()  # eV, float64
        self.skin, self.device = float(skin), place
        self.inputs = inputs_of(task)
        self.keys = ((run.config.data.keys or {}) if run is not None else {}) | dict(keys or {})
        self.domain, self._warned = run.domain if run is not None else None, False
        self._frozen = run is not None and run.deployed is not None and place.type == "cpu"
        for line in doubts(run) if run is not None else ():
            warnings.warn(line, Caution, stacklevel=2)

    @property
    def _state(self) -> _State:
        """Of this thread. A thread that comes new to the calculator starts from the last calculation of any."""
        if not hasattr(self._threads, "state"):
            self._threads.state = replace(self._latest)
        return self._threads.state

    @property
    def atoms(self) -> Atoms | None:
        """The structure of this thread's last calculation."""
        return self._state.atoms

    @atoms.setter
    def atoms(self, atoms: Atoms | None) -> None:
        self._state.atoms = atoms

    @property
    def results(self) -> dict[str, Any]:
        """What it gave."""
        return self._state.results

    @results.setter
    def results(self, results: dict[str, Any]) -> None:
        self._state.results = results

    def __repr__(self) -> str:
        return facts_as_text(type(self).__name__, self._facts())

    def _repr_html_(self) -> str:
        return facts_as_html(type(self).__name__, self._facts())

    def _facts(self) -> dict[str, Any]:
        weights = sum(parameter.numel() for parameter in self.task.parameters())
        species = " ".join(chemical_symbols[z] for z in self.species)
        return {
            "run": self.folder,
            "model": type(self.task.backbone).__name__,
            "weights": f"{weights:,}",
            "species": species or "all",
            "cutoff": "all pairs" if self.task.cutoff is None else f"{self.task.cutoff:g} A",
            "skin": f"{self.skin:g} A",
            "precision": str(self.task.dtype).removeprefix("torch."),
            "device": str(self.device),
        }

    @property
    def rebuilds(self) -> int:
        """How often this thread has built its neighbour list."""
        return self._state.rebuilds

    @property
    def departures(self) -> list[str]:
        """In which ways the structure of this thread's last calculation is far outside of the training set, a few words
        each; none where it is not, and where the run does not tell.
        """
        state = self._state
        if state.departures is None and state.atoms is not None:
            graph = connect(to_graph(state.atoms, self.inputs, self.keys), self.task.cutoff)
            state.departures = self._departures(graph, state.results["energy"], state.results["forces"])
        return state.departures or []

    def __getstate__(self) -> dict[str, Any]:
        """For copies and other processes: the last calculation goes along, threads do not."""
        return {name: value for name, value in vars(self).items() if name != "_threads"} | {
            "_latest": replace(self._state)
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._threads = threading.local()

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the last calculation; ASE does not look at arrays of other names than its own."""
        changes = super().check_state(atoms, tol)
        before = self.atoms
        if not changes and before is not None:
            now = {name: input_of(atoms, name, self.keys) for name in self.inputs}
            changes = [
                name for name, value in now.items() if not np.array_equal(value, input_of(before, name, self.keys))
            ]
        return changes

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        state = self._state
        state.results = {}  # nothing of a former structure is left if this one fails
        assert state.atoms is not None  # ASE has just copied it
        if (moving := self._moving(state.atoms)) is not None:
            self._step(moving, state)
            return
        check_species(self.species, state.atoms.numbers.tolist())
        with torch.inference_mode(False):  # forces are derivatives, whatever the caller is in
            graph = self._graph(state.atoms).to(self.device)
            raw = self.task(graph)
            if "energies" in properties:
                with torch.no_grad():
                    raw["energies"] = self.task.atomic_energies(graph)
        arrays = {name: value.detach().double().cpu().numpy() for name, value in raw.items()}
        prediction = sound(self.task, arrays, bool(state.atoms.pbc.all()))
        energy = prediction["energy"].item()
        state.departures = self._departures(graph, energy, prediction["forces"])
        state.results = {"energy": energy, "free_energy": energy, "forces": prediction["forces"]}
        if "energies" in prediction:
            state.results["energies"] = prediction["energies"]
        if "stress" in prediction:
            state.results["stress"] = prediction["stress"]
        self._latest = replace(state)

    def _moving(self, atoms: Atoms) -> Moving | None:
        """The steps of this thread; None where torch computes."""
        if not self._frozen or not len(atoms) or self.inputs or not np.isfinite(atoms.positions).all():
            return None
        moving = getattr(self._threads, "moving", None)
        if moving is None:
            stepper = stepper_of(self.task)
            if stepper is None:
                self._frozen = False
                return None
            moving = Moving(stepper, self.skin)
            if not self._trustworthy(moving, atoms):
                return None
            self._threads.moving = moving
        return moving

    def _trustworthy(self, moving: Moving, atoms: Atoms) -> bool:
        """Whether compiled loops give what torch gives, found out on the first structure of each thread."""
        check_species(self.species, atoms.numbers.tolist())
        step, _ = moving(atoms)
        with torch.inference_mode(False):
            wrong = deviation(step, self.task, connect(to_graph(atoms), self.task.cutoff))
        if wrong > BOUNDS[self.task.dtype]:
            self._frozen = False
            what = f"the compiled form of {self.folder} is wrong by {wrong:.2g}. torch is used: correct, but slow"
            warnings.warn(what, Caution, stacklevel=4)
        return self._frozen

    def _step(self, moving: Moving, state: _State) -> None:
        """The results of a frozen model."""
        atoms = state.atoms
        assert atoms is not None  # of :meth:`calculate`
        if moving.stepper.numbers is None or not np.array_equal(moving.stepper.numbers, atoms.numbers):
            check_species(self.species, atoms.numbers.tolist())
        step, _ = moving(atoms)
        new, state.rebuilds = moving.rebuilds != state.rebuilds, moving.rebuilds
        energies = step.energies + self._references[atoms.numbers]
        values = {"energy": energies.sum(keepdims=True), "forces": step.forces}
        if atoms.pbc.sum() >= 2 and (volume := abs(float(np.linalg.det(atoms.cell.array)))) > 0:
            values["stress"] = (step.virial / volume)[None]
        values = sound(self.task, values, bool(atoms.pbc.all()))
        energy = float(values.pop("energy")[0])
        state.results = {"energy": energy, "free_energy": energy, "energies": energies, **values}
        state.departures = None if self.domain is not None else []
        self._latest = replace(state)
        if new and not self._warned:
            _ = self.departures  # warns

    def _departures(self, graph: Graph, energy: float, forces: np.ndarray) -> list[str]:
        if self.domain is None:
            return []
        pairs, lengths = graph.edge_index.cpu().numpy(), distances(edge_vectors(graph)).detach().cpu().numpy()
        cutoff = float("inf") if self.task.cutoff is None else float(self.task.cutoff)
        words = self.domain.departures(graph.z.cpu().numpy(), pairs, lengths, cutoff, energy, forces)
        if words and not self._warned:
            self._warned = True
            what = f"a structure is far outside of the training data of {self.folder}: {'; '.join(words)}. {REMEDY}"
            warnings.warn(what, Caution, stacklevel=3)
        return words

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """As ASE's; a stress that a structure can't have is refused in words."""
        try:
            return super().get_property(name, atoms, allow_calculation)
        except PropertyNotImplementedError as error:
            if name != "stress":
                raise
            raise type(error)(
                "no stress: the structure repeats along fewer than two lattice vectors, or its cell has no volume "
                "(give a slab a height: atoms.center(vacuum=10, axis=2))"
            ) from error

    def _graph(self, atoms: Atoms) -> Graph:
        graph = to_graph(atoms, self.inputs, self.keys)
        cutoff, state = self.task.cutoff, self._state
        if cutoff is None:
            return connect(graph, None)
        if state.edges is None or self._stale(atoms, state.reference):
            wide = connect(graph, cutoff + self.skin)
            state.edges = (wide.edge_index, wide.shifts)
            state.reference = (atoms.positions.copy(), np.array(atoms.cell), atoms.pbc.copy(), atoms.numbers.copy())
            state.rebuilds += 1
        graph.edge_index, graph.shifts = state.edges
        near = distances(edge_vectors(graph)) <= cutoff
        graph.edge_index, graph.shifts = graph.edge_index[:, near], graph.shifts[near]
        return graph

    def _stale(self, atoms: Atoms, reference: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None) -> bool:
        if reference is None:
            return True
        positions, cell, pbc, numbers = reference
        same = (
            len(numbers) == len(atoms)
            and (numbers == atoms.numbers).all()
            and (pbc == atoms.pbc).all()
            and (cell == atoms.cell).all()
        )
        if not same or not np.isfinite(atoms.positions).all():
            return True
        moved = np.square(atoms.positions - positions).sum(1).max(initial=0.0)
        return bool(moved > (0.5 * self.skin) ** 2)
