"""The step of a frozen force field: energies of the atoms, forces and virial of positions and edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from intertwine.integrations.frozen.layers import MACESteps, NequIPSteps, Nodes
from intertwine.integrations.frozen.readout import Readout
from intertwine.integrations.frozen.step import Step
from intertwine.integrations.frozen.workspace import NAMES, Steps, UnfitError, Workspace
from intertwine.integrations.mace import MACEForceField
from intertwine.integrations.nequip import NequIPForceField
from intertwine.kernels.harmonics.kernel import harmonics
from intertwine.models import MACE, NequIP
from intertwine.nn.frozen_radial import FrozenSpline
from intertwine.o3.harmonic_kernels import described
from intertwine.tasks import ForceField

TASKS = (ForceField, MACEForceField, NequIPForceField)  # trained here, or converted
SPARE = 1.2  # edges that there is room for, over those of the first list


class Stepper:
    """A force field of MACE or NequIP whose radial functions are tables, on the CPU.

    Atoms are sorted by species inside. What the species alone decide is computed when they change, edges when the list
    is built; a step then works in buffers that are there.

    Args:
        task: frozen, in float32 or float64 on the CPU. It is not changed, and not needed any more afterwards.

    Raises:
        UnfitError: it has another form.
    """

    def __init__(self, task: ForceField) -> None:
        backbone: Any = task.backbone
        if type(backbone) not in (MACE, NequIP) or task.dtype not in NAMES or type(task) not in TASKS:
            raise UnfitError("no force field of MACE or NequIP")
        edges, embedding = backbone.edges, backbone.embedding
        if edges.inputs or backbone.vectors is not None or embedding.linear is not None or embedding.table is None:
            raise UnfitError("a model with other inputs than species and positions")
        if not isinstance(edges.spline, FrozenSpline):
            raise UnfitError("radial networks that are asked")
        self.dtype, self.cutoff, self.knots = task.dtype, float(edges.spline.cutoff), edges.spline.knots
        self.rows = embedding.table.rows.cpu().numpy().copy()
        self.degrees, self.text = backbone.harmonics.irreps_out.dim, _harmonics(backbone.harmonics)
        self.readout = Readout(task.head, _scales(task, self.rows), self.dtype)
        first = embedding.species.weight.detach().double()
        attributes = torch.eye(backbone.kinds).double() * backbone.kinds**0.5 if isinstance(backbone, MACE) else first
        kind: Any = MACESteps if isinstance(backbone, MACE) else NequIPSteps
        self.layers = [
            kind(layer, first if number == 0 else None, attributes, self.dtype)
            for number, layer in enumerate(backbone.layers)
        ]
        read = [layer.irreps_out for layer in backbone.layers]
        self.read = [_scalars(irreps) for irreps in read]
        if isinstance(backbone, NequIP):
            self.read[:-1] = [[]] * (len(read) - 1)
        self.widths = [irreps.dim for irreps in read]
        self._kernels = harmonics(self.text)
        probe = torch.eye(3, dtype=self.dtype).repeat(3, 1)
        self._kernels.gradient(probe, self._kernels.values(probe))  # compiled and checked now
        self.numbers: np.ndarray | None = None
        self.space: Workspace | None = None
        self._order = np.zeros(0, dtype=np.int64)
        self._ranges: list[tuple[int, int]] = []

    def place(self, numbers: np.ndarray) -> None:
        """The atoms are of these atomic numbers from now on; an edge list has to follow."""
        kind = self.rows[numbers]
        self._order = np.argsort(kind, kind="stable")
        counts = np.bincount(kind, minlength=int(self.rows.max()) + 1)
        self._ranges = list(zip((np.cumsum(counts) - counts).tolist(), counts.tolist(), strict=True))
        self._kind, self.numbers, self.space = (
            torch.from_numpy(kind[self._order].astype(np.int64)),
            numbers.copy(),
            None,
        )

    def connect(self, source: np.ndarray, destination: np.ndarray, across: np.ndarray) -> None:
        """The edges within the cutoff are among these from now on.

        Args:
            source, destination: atoms j and i of each edge.
            across: the lattice translation of j (edges, 3), A.
        """
        nodes, edges = len(self._order), len(source)
        if self.space is None or edges >= self.space.most:
            self._build(Workspace(nodes, int(edges * SPARE), self.dtype))
        space = self.space
        assert space is not None  # it has just been built
        new = np.empty(nodes, dtype=np.int64)
        new[self._order] = np.arange(nodes)
        j, i = new[source], new[destination]
        order = np.argsort(i, kind="stable")
        j, i = j[order], i[order]
        space.source.numpy()[:edges] = j
        space.shift.numpy()[:edges] = across[order]
        space.by_source.numpy()[:edges] = np.argsort(j, kind="stable")
        space.first.numpy()[1:] = np.cumsum(np.bincount(i, minlength=nodes))
        space.out_first.numpy()[1:] = np.cumsum(np.bincount(j, minlength=nodes))

    def __call__(self, positions: np.ndarray) -> Step:
        """Energies, forces and virial.

        Args:
            positions: (atoms, 3), A, finite; no atom further from its place in :meth:`connect` than half the skin of
                its list.
        """
        space = self.space
        assert space is not None  # connected before
        np.take(positions, self._order, axis=0, out=self._pos)
        self._edges()
        edges = int(self._last[-1])
        if edges != space.edges:
            self._steps.fit(edges)
            space.edges = edges
        self._steps()
        forces, energies = np.empty((space.nodes, 3)), np.empty(space.nodes)
        forces[self._order], energies[self._order] = self._forces, self._energies
        return Step(energies, forces, 0.5 * (self._virial + self._virial.T))

    def _build(self, space: Workspace) -> None:
        """All calls of a step on a workspace."""
        space.constants[0], space.constants[1] = self.cutoff, self.knots / self.cutoff
        nodes = Nodes(self._kind, self._ranges)
        y, total = space.real(space.most, self.degrees), space.real(space.most, self.degrees)
        features = [space.real(space.nodes, width) for width in self.widths]
        slopes = [space.real(space.nodes, width) for width in self.widths]
        dw = {layer.gathering.weights: space.real(space.most, layer.gathering.weights) for layer in self.layers}
        forward: list[Any] = [space.harmonics(self._kernels, "values", space.vectors, y)]
        backward: list[Any] = []
        parts = [total, *(space.real(space.most, self.degrees) for _ in self.layers[1:])]
        for k, layer in enumerate(self.layers):
            before, below = (features[k - 1], slopes[k - 1]) if k else (None, None)
            ahead, back = layer.steps(space, nodes, before, y, features[k], below, slopes[k])
            forward += ahead
            last = k == len(self.layers) - 1
            backward = [*back(parts[k], dw[layer.gathering.weights], last), *backward]
        self._energies = np.zeros(space.nodes)
        read = list(zip(features, self.read, strict=True))
        tail: list[Any] = [_summed(space, parts)] if len(parts) > 1 else []
        tail += [space.harmonics(self._kernels, "gradient", space.vectors, total, space.harmonic), space.put_forces()]
        self._edges = Steps([space.find_edges()])
        self._steps = Steps([*forward, self.readout.step(read, slopes, self._kind, self._energies), *backward, *tail])
        self._pos, self._last, space.edges = space.pos.numpy(), space.offsets.numpy(), -1
        self._forces, self._virial = space.forces.numpy(), space.virial.numpy()
        self.space = space


def _summed(space: Workspace, parts: list[Tensor]) -> Callable[[], None]:
    """The derivatives by the harmonics of all layers, added to those of the first."""
    arrays = [part.numpy() for part in parts]

    def add() -> None:
        edges = space.edges
        for other in arrays[1:]:
            np.add(arrays[0][:edges], other[:edges], out=arrays[0][:edges])

    return add


def _scales(task: ForceField, rows: np.ndarray) -> Tensor:
    """Factor of the energies (eV) of each species, of which ``rows`` has that of each atomic number."""
    kinds = int(rows.max()) + 1
    if not isinstance(task, NequIPForceField):
        return task.scale.double().expand(kinds)
    numbers = torch.tensor([int(np.flatnonzero(rows == kind)[0]) for kind in range(kinds)])
    return task.scales.double()[numbers]


def _scalars(irreps: Any) -> list[slice]:
    """Columns of the invariants."""
    return [where for (_, ir), where in zip(irreps, irreps.slices(), strict=True) if str(ir) == "0e"]


def _harmonics(layer: Any) -> str:
    text = described(tuple(layer.degrees), layer.normalization, layer.normalize)
    if text is None or not layer.normalize or layer.order is not None:
        raise UnfitError("harmonics without a kernel")
    return text
