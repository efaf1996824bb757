r"""The mean of a network over frames: as equivariant as a mean over the group, with a few terms.

.. math:: \langle\Phi\rangle_F(x) = \sum_k w_k(x)\, \rho(R_k)\, \Phi\big(R_k^\top (x - c)\big)

over the frames :math:`(R_k, c)` of x, with weights that add up to 1. It is equivariant where the set of frames turns
with x. Puny, Atzmon, Smith, Misra, Grover, Ben-Hamu and Lipman, ICLR 2022 (arXiv:2110.03336), eq. 4; with weights that
make it continuous Dym, Lawrence and Siegel, ICML 2024 (arXiv:2402.16077), def. 3.1.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import LEVELS, Graph
from intertwine.geometry.copies import in_frames, rows_of, turned_rows
from intertwine.geometry.frames import Frames
from intertwine.geometry.plain import plain
from intertwine.groups import Cartesian, Group, Representation, Restricted, Trivial, Unchanged
from intertwine.numerics import Caution, GeometryError, InputError
from intertwine.symmetrize.chunks import SINGLE, Outputs, check_chunk, check_mode, mean_in_chunks, named
from intertwine.symmetrize.framing import BuiltFrames, Framing, near
from intertwine.symmetrize.spread import Spread
from intertwine.symmetrize.weighing import weighted_sum

#: What the rows of an output may be of, in the order in which it is asked.
ROWS = ("node", "graph", "edge")


class FrameAverage(nn.Module):
    """A network of graphs, or of sets of points, averaged over frames.

    Args:
        network: takes a batch of graphs, or points (B, nodes, n) with ``points``, and returns a tensor or a dict of
            tensors with a row for each node, graph or edge (for each set, with ``points``). Any callable.
        frames: name of a rule ("pca", "weighted"), or a :class:`~intertwine.symmetrize.Framing`.
        rep_out: how what is returned transforms under rotations, or each output by name; None for invariants.
        group: "E(n)", "SE(n)", "O(n)", "SO(n)", with a number for n. With a framing it is its own.
        draw: "never" takes all frames; "always" one at random at each call, which is equivariant in distribution;
            "training" one in training and all in evaluation.
        detached: take no derivatives through the frames: forces are then not the gradient of the averaged energy. A
            certificate's comparison with differences fails, rightly.
        chunk: frames at once; None for all.
        points: inputs are tensors (B, nodes, n), not graphs.

    Attributes:
        group, rep_in, rep_out: for :func:`~intertwine.certify.certify` with ``group=wrapper.group``.
        symmetry, irreps_out: for all of its tests of graphs, ``symmetry=wrapper.symmetry``.

    Raises:
        InputError: an unknown rule, group or option.
    """

    def __init__(
        self,
        network: Any,
        frames: str | Framing = "pca",
        rep_out: Representation | Mapping[str, Representation | None] | None = None,
        *,
        group: str = "E(3)",
        draw: str = "never",
        detached: bool = False,
        chunk: int | None = None,
        points: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.chunk, self.points = network, check_chunk(chunk), points
        self.framing = frames if isinstance(frames, Framing) else BuiltFrames(frames, group, draw, detached)
        if detached:
            warn_detached()
        self.declared = dict(rep_out) if isinstance(rep_out, Mapping) else {SINGLE: rep_out}
        n = self.framing.name.partition("(")[2].rstrip(")")
        self.dimension = int(n) if n.isdigit() else 3
        turns = self.framing.of_dimension(self.dimension)
        self.group: Group = turns
        if points and self.framing.centred:  # a tensor of points has no linear action of translations
            self.group = Framing(f"{'S' if self.framing.special else ''}O(n)").of_dimension(self.dimension)
        self.rep_in = self._of_group(Cartesian(1, dimension=self.dimension)) if points else None
        told: dict[str, Any] = {
            name: Unchanged(self.group) if rep is None else self._of_group(rep) for name, rep in self.declared.items()
        }
        self.rep_out = told if isinstance(rep_out, Mapping) else told[SINGLE]
        plain = {name: Cartesian(0) if rep is None else rep for name, rep in self.declared.items()}
        self.irreps_out = plain if isinstance(rep_out, Mapping) else plain[SINGLE]
        self.symmetry = self.framing.claim
        self.claimed_error, self.in_frames = self.framing.claimed_error, self.framing.in_frames

    def undefined(self, graph: Graph) -> list[str]:
        """For each graph why its frames are not unique, "" where they are: there nothing is claimed."""
        return self.framing.undefined(graph)

    def forward(self, x: Any) -> Any:
        """The mean, as the network returns it.

        Args:
            x: one graph or a batch; with ``points`` a tensor (B, nodes, n).

        Raises:
            GeometryError: no nodes, positions that are not finite, a structure that repeats (for frames from atoms).
            InputError: the network returns another shape than ``rep_out``.
        """
        check_mode(self.network, self.chunk)
        graph, call = self._prepared(x)
        outputs, bare = frame_mean(call, graph, self.framing(graph), self.declared, self.chunk, self._rows())
        return outputs[SINGLE] if bare else outputs

    def spread(self, x: Any) -> Any:
        """The mean over frames with the deviation between them (:class:`~intertwine.symmetrize.Spread`), or a dict;
        without derivatives. Neither error nor bias: the frames are all that there are.
        """
        with torch.no_grad():
            graph, call = self._prepared(x)
            frames = self.framing.frames(graph.replaced(pos=graph.pos.to(torch.float64)))
            seen: dict[str, _Rows] = {}
            bare = True
            for k in range(frames.rotation.shape[1]):
                values, bare = _in_part(call, graph, frames, self.declared, slice(k, k + 1), self._rows())
                for name, (value, owner) in values.items():
                    weight = frames.weight[:, k]
                    each = value.shape[1] // len(weight)
                    weight = weight.repeat_interleave(each) if owner is None else weight.index_select(0, owner)
                    seen.setdefault(name, _Rows()).add(value[0], weight)
        result = {name: rows.spread() for name, rows in seen.items()}
        return result[SINGLE] if bare else result

    def _rows(self) -> tuple[str, ...]:
        return ("graph",) if self.points else ROWS

    def _prepared(self, x: Any) -> tuple[Graph, Callable[[Graph], Any]]:
        if not self.points:
            if not isinstance(x, Graph):
                remedy = "give a graph; or FrameAverage(..., points=True) for tensors (B, nodes, n)."
                raise InputError(f"{type(x).__name__} is no Graph", where="FrameAverage", remedy=remedy)
            return self._near(_nonempty(plain(x))), self.network
        if not isinstance(x, Tensor) or x.ndim != 3 or x.shape[-1] != self.dimension:
            what = f"{tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__} for sets of points"
            raise InputError(what, where="FrameAverage", remedy=f"give a tensor (B, nodes, {self.dimension}).")
        sets, nodes, n = x.shape
        owner = torch.arange(sets, device=x.device).repeat_interleave(nodes)
        graph = _nonempty(Graph(x.reshape(-1, n), batch=owner).replaced(num_graphs=sets)) if nodes else None
        if graph is None:
            raise GeometryError("sets without points have no frames", where="pos", remedy="leave them out.")
        return self._near(graph), lambda copies: self.network(copies.pos.reshape(-1, nodes, n))

    def _near(self, graph: Graph) -> Graph:
        return near(graph) if self.framing.centred else graph

    def _of_group(self, rep: Representation) -> Representation:
        if isinstance(rep, Trivial):
            return Trivial(self.group, rep.dim)
        return Restricted(rep, self.group) if getattr(rep, "group", None) != self.group else rep


def warn_detached() -> None:
    """Say what detached frames do to forces."""
    warnings.warn(
        "detached frames: forces through this average are not the gradient of its energy", Caution, stacklevel=3
    )


def frame_mean(
    network: Callable[[Graph], Any],
    graph: Graph,
    frames: Frames,
    declared: Mapping[str, Representation | None],
    chunk: int | None = None,
    rows: tuple[str, ...] = ROWS,
) -> tuple[Outputs, bool]:
    r""":math:`\sum_k w_k\, \rho(R_k)\, \Phi(R_k^\top (x - c))`, all copies in one batch, or ``chunk`` frames at once.

    Args:
        network: takes a batch of graphs, returns a tensor or a dict of them.
        graph: one graph or a batch.
        frames: of each of its graphs.
        declared: representation of each output; None for invariants.
        chunk: frames at once.
        rows: what the rows of an output may be of.

    Returns:
        The outputs by name, and whether the network names none.

    Raises:
        InputError: another shape than declared.
    """
    bare, count = False, frames.rotation.shape[1]

    def part(here: slice) -> Outputs:
        nonlocal bare
        values, bare = _in_part(network, graph, frames, declared, here, rows)
        whole = here.stop - here.start == count
        if whole and frames.alike:
            return {name: value.mean(0) for name, (value, _) in values.items()}
        weight = frames.weight[:, here]
        return {name: _summed(value, weight, owner, whole) for name, (value, owner) in values.items()}

    return mean_in_chunks(part, count, chunk), bare


def _summed(value: Tensor, weight: Float[Tensor, "graphs frames"], owner: Tensor | None, whole: bool) -> Tensor:
    """The weighted sum over frames (rows, ...) of values (frames, rows, ...)."""
    if owner is not None:
        return weighted_sum(value, weight.index_select(0, owner).T, whole)
    by_graph = value.reshape(value.shape[0], weight.shape[0], value[0].numel() // weight.shape[0])
    return weighted_sum(by_graph, weight.T, whole).view(value.shape[1:])


def _in_part(
    network: Callable[[Graph], Any], graph: Graph, frames: Frames, declared: Mapping[str, Representation | None],
    here: slice, rows: tuple[str, ...],
) -> tuple[dict[str, tuple[Tensor, Tensor | None]], bool]:  # fmt: skip
    """Outputs of some frames moved back (frames, rows, ...), with the graph of each row, or None where all graphs have
    as many rows, one graph behind the other; and whether the network names none.
    """
    rotation = frames.rotation[:, here]
    result = network(in_frames(graph, rotation, frames.centre))
    outputs, count = named(result), rotation.shape[1]
    if set(outputs) != set(declared):
        what = f"the network returns {sorted(outputs)}, and rep_out is of {sorted(declared)}"
        raise InputError(what, where="symmetrize", remedy="give rep_out as a dict of the same names.")
    values: dict[str, tuple[Tensor, Tensor | None]] = {}
    for name, value in outputs.items():
        level = _level(graph, value, count, rows, name)
        rep, even = declared[name], level == "graph" or (level == "node" and graph.nodes_each() > 0)
        owner = None if even and rep is None else LEVELS[level].owner(graph)
        _check_shape(name, value, rep)
        back = value if rep is None or owner is None else turned_rows(rep, rows_of(rotation, owner), value)
        values[name] = back.reshape(count, value.shape[0] // count, *value.shape[1:]), None if even else owner
    return values, not isinstance(result, Mapping)


def _level(graph: Graph, value: Tensor, count: int, rows: tuple[str, ...], name: str) -> str:
    """What the rows of an output are of, which their number tells."""
    for level in rows:
        number = LEVELS[level].rows(graph)
        if value.ndim and number is not None and value.shape[0] == count * number:
            return level
    wanted = ", ".join(f"{count} x {LEVELS[level].rows(graph)} {level}s" for level in rows if LEVELS[level].rows(graph))
    what = f"the network returns shape {tuple(value.shape)} for a batch of {count} copies"
    raise InputError(what, where=f"symmetrize, {name}", remedy=f"return one row each of {wanted}.")


def _check_shape(name: str, value: Tensor, rep: Representation | None) -> None:
    if rep is None:
        return
    axes = max(rep.axes, 1) if rep.dim > 1 else rep.axes
    sizes = value.shape[value.ndim - axes :] if axes < value.ndim else None
    if sizes is None or (sizes.numel() != rep.dim and rep.axes):
        what = f"the network returns shape {tuple(value.shape)}, and rep_out ({rep}) has {rep.dim} components"
        last = [round(rep.dim ** (1 / axes))] * axes if axes else []
        remedy = (
            f"return ({', '.join(map(str, [value.shape[0], '...', *last]))}), or declare as rep_out what is returned."
        )
        raise InputError(what, where=f"symmetrize, {name}", remedy=remedy)


def _nonempty(graph: Graph) -> Graph:
    """The graph; a GeometryError where one of a batch has no nodes, so that it has no frame."""
    if graph.nodes_each():
        return graph
    counts = torch.bincount(graph.membership(), minlength=graph.graphs)
    if not len(counts) or not int(counts.min()):
        where = f"graph {int((counts == 0).nonzero()[0])} of the batch" if graph.graphs > 1 else "pos"
        raise GeometryError("a graph without nodes has no frames", where=where, remedy="leave it out.")
    return graph


class _Rows:
    """Weighted mean and deviation of rows, each with its own weights."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.weights: list[Tensor] = []

    def add(self, value: Tensor, weight: Float[Tensor, " rows"]) -> None:
        self.values.append(value)
        self.weights.append(weight.reshape(-1, *[1] * (value.ndim - 1)).to(value))

    def spread(self) -> Spread:
        values, weights = torch.stack(self.values), torch.stack(self.weights)
        mean = (weights * values).sum(0)
        return Spread(
            mean, (weights * (values - mean).square()).sum(0).clamp(min=0).sqrt(), None, torch.zeros_like(mean)
        )
