"""A force field as a model of torch-sim: many structures in one batch, for its dynamics and relaxations."""

from __future__ import annotations

import copy
from collections.abc import Collection
from functools import cache
from typing import Any

import torch
from torch import Tensor

from intertwine.geometry import Graph, connect, distances, edge_vectors
from intertwine.integrations.calculator import Calculator
from intertwine.numerics import GeometryError, InputError
from intertwine.training.evaluation import check_species

INSTALL = "pip install torch-sim-atomistic; on Python 3.11 that is version 0.3, later ones need Python 3.12."
SKIN = 0.5  # A


def torch_sim_model(
    field: Any,
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = "auto",
    skin: float = SKIN,
    allow: Collection[str] = (),
) -> Any:
    """A ``torch_sim.models.interface.ModelInterface`` of a force field, for ``torch_sim.integrate``, ``optimize`` and
    ``static``.

    It gives energies (systems,) in eV, forces (atoms, 3) in eV/A and stress (systems, 3, 3) in eV/A^3 of ASE's sign;
    the stress of a system that repeats along fewer than two lattice vectors is NaN. Results are in the precision of
    the states. The list of neighbours of a batch is kept until an atom has moved by half the skin, or the batch or a
    cell changed. Batches are cut by the number of edges where torch-sim can count them (from version 0.5), else by
    atoms times density.

    Args:
        field: a run folder, a run, a force field, or our calculator.
        dtype: precision of the network; None keeps the model's.
        device: where to compute; states have to lie there.
        skin: extra radius (A) of the list of neighbours; results do not depend on it.
        allow: modules outside the package whose classes a run may name.

    Raises:
        InputError: torch-sim is not installed, the model is not a force field, or it reads what a state has not, such
            as charges.

    >>> import torch_sim  # doctest: +SKIP
    >>> state = torch_sim.integrate(  # doctest: +SKIP
    ...     [water, ethanol], torch_sim_model("runs/mine"), integrator=torch_sim.nve, n_steps=100, timestep=0.0005,
    ...     temperature=300,
    ... )
    """
    opened = field if isinstance(field, Calculator) else Calculator(field, skin, dtype, device, allow=allow)
    if opened.inputs:
        what = f"the model reads {', '.join(opened.inputs)}, which a state of torch-sim has not"
        raise InputError(what, where="torch-sim", remedy="use ASE (intertwine md), or a model of positions alone.")
    return _model_class()(opened, skin)


@cache
def _model_class() -> Any:
    """The class, whose base is torch-sim's: it can't be written down before that is imported."""
    try:
        from torch_sim.models.interface import ModelInterface
    except ImportError as error:
        raise InputError(f"torch-sim is missing: {error}", where="torch_sim", remedy=INSTALL) from error

    class TorchSimModel(ModelInterface):  # type: ignore[misc]
        """See :func:`torch_sim_model`."""

        def __init__(self, calculator: Calculator, skin: float) -> None:
            super().__init__()
            self.task = copy.deepcopy(calculator.task)
            self.species, self.skin = calculator.species, float(skin)
            self._device, self._dtype = calculator.device, self.task.dtype
            self._compute_stress = self._compute_forces = True
            self._memory_scales_with = "n_edges" if _counts_edges() else "n_atoms_x_density"
            self.cutoff = self.task.cutoff  # by which torch-sim counts edges
            self._listed: tuple[Graph, Tensor, Tensor] | None = None
            self.rebuilds = 0

        @ModelInterface.compute_stress.setter
        def compute_stress(self, compute_stress: bool) -> None:
            self._compute_stress = compute_stress

        @ModelInterface.compute_forces.setter
        def compute_forces(self, compute_forces: bool) -> None:
            self._compute_forces = compute_forces

        def forward(self, state: Any, **_: Any) -> dict[str, Tensor]:
            """Energies, forces and stress of all systems of a state."""
            with torch.inference_mode(False), torch.enable_grad():
                graph = self._graph(_graph_of(state))
                prediction = {name: value.detach() for name, value in self.task(graph).items()}
            check_species(self.species, graph.z.unique().tolist())
            _check_finite(prediction, graph)
            if "stress" not in prediction:
                prediction["stress"] = prediction["energy"].new_full((graph.graphs, 3, 3), torch.nan)
            wanted = ["energy", *["forces"] * self._compute_forces, *["stress"] * self._compute_stress]
            return {name: prediction[name].to(state.positions) for name in wanted}

        def _graph(self, graph: Graph) -> Graph:
            """With its pairs: those of the wide list that are near."""
            if self.task.cutoff is None:
                return connect(graph, None)
            if self._listed is None or _stale(graph, self._listed[0], self.skin):
                wide = connect(graph, self.task.cutoff + self.skin)
                self._listed = (graph, wide.edge_index, wide.shifts)
                self.rebuilds += 1
            pairs, shifts = self._listed[1:]
            near = distances(edge_vectors(graph.replaced(edge_index=pairs, shifts=shifts))) <= self.task.cutoff
            return graph.replaced(edge_index=pairs[:, near], shifts=shifts[near])

    return TorchSimModel


def _counts_edges() -> bool:
    from torch_sim import typing

    return "n_edges" in str(getattr(typing, "MemoryScaling", ""))


def _graph_of(state: Any) -> Graph:
    """The systems of a state as one graph, in float64; torch-sim's cells have lattice vectors as columns."""
    periods = torch.as_tensor(state.pbc, dtype=torch.bool).reshape(-1).expand(3)
    where = {}
    if bool(periods.any()):
        cell = state.cell.detach().double().mT.clone()
        where = {"cell": cell, "pbc": periods.to(cell.device).repeat(len(cell), 1)}
    numbers, batch = state.atomic_numbers.long(), state.system_idx.long()
    return Graph(state.positions.detach().double().clone(), z=numbers, batch=batch, **where)


def _stale(graph: Graph, former: Graph, skin: float) -> bool:
    """Whether a list of neighbours that was made for one batch is not good for another."""
    for name in ("z", "batch", "cell", "pbc"):
        now, then = graph.get(name), former.get(name)
        if (now is None) != (then is None) or (now is not None and not torch.equal(now, then)):
            return True
    moved = (graph.pos - former.pos).square().sum(1).max() if len(graph.pos) else 0.0
    return not bool(moved <= (0.5 * skin) ** 2)  # NaN too


def _check_finite(prediction: dict[str, Tensor], graph: Graph) -> None:
    bad = ~prediction["energy"].isfinite()
    bad |= bad.new_zeros(bad.shape).index_put((graph.membership(),), ~prediction["forces"].isfinite().all(1), True)
    if bool(bad.any()):
        which = ", ".join(str(k) for k in bad.nonzero().flatten().tolist()[:5])
        remedy = "use a smaller time step, or start from relaxed structures."
        raise GeometryError(f"energy or forces of system {which} are not finite", where="torch-sim", remedy=remedy)
