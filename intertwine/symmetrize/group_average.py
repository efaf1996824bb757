r"""The mean of a network over a group: equivariant whatever the network is.

.. math:: \langle\Phi\rangle_G(x) = \int_G \rho_\mathrm{out}(g)\, \Phi(g^{-1} x)\, dg

Yarotsky 2018 (arXiv:1804.10306), prop. 1; Puny et al. 2022 (arXiv:2110.03336), eq. 3. A finite group is summed over,
exactly. Over a compact one the integral is a quadrature, exact where :math:`\Phi(g^{-1} x)`, as a function of g, has no
part above a degree (the band limit), or a mean over random elements. The network is left as it is, and an equivariant
one is left unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from intertwine.geometry import Graph, GraphAction
from intertwine.geometry import centred as from_centre
from intertwine.geometry.copies import in_frames
from intertwine.groups import (
    Action,
    Affine,
    FiniteGroup,
    Grid,
    Group,
    LinearAction,
    MatrixGroup,
    Representation,
    Restricted,
    Unchanged,
)
from intertwine.groups.action import action_of
from intertwine.numerics import InputError
from intertwine.symmetrize.chunks import SINGLE, Outputs, check_chunk, check_mode, mean_in_chunks, named
from intertwine.symmetrize.spread import Gathered, Spread

STATED = 0.05  # relative equivariance error that a quadrature claims where nothing else is said
ORTHOGONAL = 1e-9


class GroupAverage(nn.Module):
    r"""A network, averaged over a group.

    One of ``order``, ``samples`` and ``all`` says which elements; without any, a finite group is summed over.

    Args:
        network: takes an input, or a batch of them, and returns a tensor or a dict of tensors. Any callable; a frozen
            module stays frozen.
        group: finite or compact. Translations have no mean: average over the rotations, with positions from a centre.
        act_in: what the group does to an input: a representation of a tensor's last axis, an action
            (``RowAction``, ``ImageAction``, ...); None for graphs.
        rep_out: the same of what is returned, or of each by name; None for invariants.
        order: of the quadrature ``group.grid(order)``: the mean is exact for networks of that band limit.
        samples: number of Haar-random elements, which ``seed`` draws once; the mean is equivariant in distribution,
            with an error of 1 / sqrt(samples).
        all: sum over a finite group.
        chunk: elements at once; None for all. In chunks, memory does not depend on their number, nor that of
            derivatives.
        batch: whether the first axis of a tensor counts inputs, which the network takes any number of. Without it
            the network is called once for each element.
        seed: of the samples; :meth:`redraw` draws others.
        centred: of graphs: take positions from the mean of each graph's, so that translations change nothing either;
            the wrapper's ``group`` is then the group with translations.
        claimed_error: relative equivariance error that a quadrature claims, which a certificate checks;
            :meth:`spread` measures it.

    Attributes:
        rep_in, rep_out: for :func:`~intertwine.certify.certify`.
        band: band limit of the mean; ``inf`` of a finite group, None of samples.

    Raises:
        InputError: a group that is not compact or does not act so, none or several of the three, no samples.

    >>> from intertwine.groups import Defining, cyclic
    >>> mean = GroupAverage(nn.Linear(2, 1), cyclic(4), Defining(cyclic(4)))
    >>> x = torch.tensor([[1.0, 0.5]])
    >>> bool(torch.allclose(mean(x), mean(torch.tensor([[-0.5, 1.0]]))))
    True
    """

    def __init__(
        self,
        network: Any,
        group: Group,
        act_in: Action | Representation | None = None,
        rep_out: Action | Representation | Mapping[str, Any] | None = None,
        *,
        order: int | None = None,
        samples: int | None = None,
        all: bool = False,
        chunk: int | None = None,
        batch: bool = True,
        seed: int = 0,
        centred: bool = False,
        claimed_error: float = STATED,
    ) -> None:
        super().__init__()
        self.network, self.turns, self.order, self.samples = network, group, order, samples
        self.chunk, self.batch, self.centred = (check_chunk(chunk) if batch else 1), batch, centred
        self.act_in = GraphAction(group) if act_in is None else action_of(act_in, group)
        outputs = rep_out if isinstance(rep_out, Mapping) else {SINGLE: rep_out}
        self._out = {name: action_of(value, group) for name, value in outputs.items()}
        self.group = Affine(group) if centred else group
        self.rep_in = GraphAction(self.group) if act_in is None else self.act_in
        told = {name: _with_shifts(action, self.group) if centred else action for name, action in self._out.items()}
        self.rep_out = told if isinstance(rep_out, Mapping) else told[SINGLE]
        self._grid = elements_of(group, order, samples, all, seed)
        self.band = self._grid.band
        self.claimed_error = claimed_error if order is not None and group.order is None else None

    def redraw(self, seed: int) -> None:
        """Draw other samples; without effect on a sum or a quadrature."""
        if self.samples is not None:
            self._grid = elements_of(self.turns, None, self.samples, False, seed)

    def forward(self, x: Any) -> Any:
        """The mean, as the network returns it: a tensor or a dict.

        Args:
            x: a tensor or a graph (one or a batch).

        Raises:
            InputError: the group does not act on it, or the network returns another shape than ``rep_out``.
        """
        check_mode(self.network, self.chunk)
        grid, bare, x = self._grid, False, self._from_centre(x)

        def part(here: slice) -> Outputs:
            nonlocal bare
            values, bare = self._values(grid, here, x)
            weights = grid.weights[here]
            return {name: _weighted(weights, value) for name, value in values.items()}

        outputs = mean_in_chunks(part, len(grid), self.chunk)
        return outputs[SINGLE] if bare else outputs

    def spread(self, x: Any) -> Any:
        """The mean with its errors (:class:`~intertwine.symmetrize.Spread`), or a dict of them; without derivatives.

        A quadrature's bias is that of the next order, which costs as many evaluations again and some more.
        """
        x = self._from_centre(x)
        with torch.no_grad():
            here, bare = self._gathered(self._grid, x)
            finer = None
            if self.claimed_error is not None and self.order is not None:
                finer, _ = self._gathered(elements_of(self.turns, self.order + 1, None, False, 0), x)
        result = {}
        for name, seen in here.items():
            deviation = seen.deviation()
            error = None if self.samples is None else deviation / self.samples**0.5
            bias = None if self.samples is not None else torch.zeros_like(seen.mean)
            if finer is not None:
                bias = finer[name].mean - seen.mean
            result[name] = Spread(seen.mean, deviation, error, bias)
        return result[SINGLE] if bare else result

    def _gathered(self, grid: Grid, x: Any) -> tuple[dict[str, Gathered], bool]:
        seen: dict[str, Gathered] = {}
        bare, step = False, self.chunk or len(grid)
        for start in range(0, len(grid), step):
            values, bare = self._values(grid, slice(start, start + step), x)
            for name, value in values.items():
                seen.setdefault(name, Gathered()).see(value, grid.weights[start : start + step])
        return seen, bare

    def _values(self, grid: Grid, here: slice, x: Any) -> tuple[Outputs, bool]:
        r""":math:`\rho(g)\,\Phi(g^{-1} x)` of some elements (elements, ...) by name; and whether the network names
        none.
        """
        g = grid.elements[here]
        result = self.network(self._moved(g, x))
        outputs = named(result)
        if set(outputs) != set(self._out):
            what = f"the network returns {sorted(outputs)}, and rep_out is of {sorted(self._out)}"
            raise InputError(what, where="GroupAverage", remedy="give rep_out as a dict of the same names.")
        back = {name: self._back(name, g, value, single=not self.batch) for name, value in outputs.items()}
        return back, not isinstance(result, Mapping)

    def _from_centre(self, x: Any) -> Any:
        if not self.centred:
            return x
        if not isinstance(x, Graph):
            remedy = "take the mean from the points first, and leave out centred=."
            raise InputError(f"an input of type {type(x).__name__} has no centre", where="GroupAverage", remedy=remedy)
        return x.replaced(pos=from_centre(x).to(x.pos.dtype))

    def _moved(self, g: Tensor, x: Any) -> Any:
        r"""The inputs :math:`g^{-1} x` of all elements as one batch."""
        inverses = self.turns.inverse(g)
        action: Any = self.act_in
        if isinstance(x, Graph):
            if not self.batch:
                return _acted(action, inverses[0], x)
            return in_frames(x, self._turns_of(g, x).expand(x.graphs, -1, -1, -1))
        if not isinstance(x, Tensor) or isinstance(action, GraphAction):
            what, remedy = f"{action} on {type(x).__name__}", "give act_in= for tensors, and graphs without it."
            raise InputError(what, where="GroupAverage", remedy=remedy)
        if isinstance(action, LinearAction) and action.rep.axes == 1 and x.shape[-1:] == (action.rep.dim,):
            moved = torch.einsum("kij,...j->k...i", action.rep.matrix(inverses).to(x), x)
        else:
            moved = torch.stack([action.act(h, x) for h in inverses])
        return moved.flatten(0, 1) if self.batch else moved[0]

    def _turns_of(self, g: Tensor, x: Graph) -> Tensor:
        """The orthogonal matrices (elements, n, n) that turn graphs."""
        _acted(self.act_in, g[0], x)  # which says by name what a group does not act on
        able = isinstance(self.turns, MatrixGroup | FiniteGroup) and isinstance(self.act_in, GraphAction)
        matrices = self.turns.linear(g).to(device=x.pos.device, dtype=torch.float64) if able else None
        if matrices is not None:
            eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
            if float((matrices @ matrices.mT - eye).abs().max()) <= ORTHOGONAL:
                return matrices
        remedy = "give batch=False: one call for each element."
        raise InputError(f"{self.turns} does not turn graphs all at once", where="GroupAverage", remedy=remedy)

    def _back(self, name: str, g: Tensor, value: Tensor, single: bool) -> Tensor:
        """Outputs (elements * rows, ...) moved back, (elements, rows, ...)."""
        count = len(g)
        if single:
            value = value[None]
        elif value.ndim == 0 or value.shape[0] % count:
            what = f"the network returns shape {tuple(value.shape)} of {count} copies"
            raise InputError(
                what, where=f"GroupAverage, {name}", remedy="return rows of each input, or give batch=False."
            )
        else:
            value = value.unflatten(0, (count, -1))
        action = self._out[name]
        if isinstance(action, LinearAction) and action.rep.axes == 1:
            if value.ndim < 2 or value.shape[-1] != action.rep.dim:
                what = f"the network returns {tuple(value.shape[1:])}, and rep_out ({action}) has {action.rep.dim}"
                remedy = f"return (..., {action.rep.dim}), or declare as rep_out what is returned."
                raise InputError(what, where=f"GroupAverage, {name}", remedy=remedy)
            return torch.einsum("kij,k...j->k...i", action.rep.matrix(g).to(value), value)
        return torch.stack([action.act(h, y) for h, y in zip(g, value, strict=True)])


def elements_of(group: Group, order: int | None, samples: int | None, all: bool, seed: int) -> Grid:
    """Elements of a group with weights, of total 1.

    Args:
        group: finite or compact.
        order: of a quadrature.
        samples: random elements.
        all: all elements.
        seed: of the random ones.

    Raises:
        InputError: none or several of these where the group is not finite, no samples, or the group is not compact.
    """
    asked = [order is not None, samples is not None, all]
    if sum(asked) > 1 or (not any(asked) and group.order is None):
        remedy = f"give one of order=, samples={', all=True' if group.order else ''}."
        raise InputError(f"{sum(asked)} ways to average over {group}", where="GroupAverage", remedy=remedy)
    if samples is not None and samples < 1:
        raise InputError(f"{samples} samples", where="GroupAverage", remedy="give 1 or more.")
    if group.order is None and not group.is_compact:
        what = f"{group} is not compact: a mean over it does not exist"
        remedy = "average over its rotations, as Orthogonal(3), and take positions from their centre."
        raise InputError(what, where="GroupAverage", remedy=remedy)
    if samples is not None:
        g = group.sample(samples, torch.Generator().manual_seed(seed))
        return Grid(g, torch.full((samples,), 1 / samples, dtype=torch.float64), None)
    if group.order is not None or all:
        g = group.elements()
        return Grid(g, torch.full((len(g),), 1 / len(g), dtype=torch.float64), float("inf"))
    return group.grid(int(order or 0))


def _with_shifts(action: Action, group: Group) -> Action:
    """The action of a group with translations that does what the action of its rotations does."""
    if not isinstance(action, LinearAction):
        return Unchanged(group)
    turns = action.group
    if not isinstance(turns, FiniteGroup):
        return LinearAction(Restricted(action.rep, group))
    matrices = turns.linear(turns.elements()).to(torch.float64)

    def number(g: Tensor) -> Tensor:
        """Of the element of the finite group with that matrix."""
        apart = group.linear(g).to(torch.float64).unsqueeze(-3) - matrices.to(g.device)
        return turns.elements().to(g.device)[apart.square().sum((-2, -1)).argmin(-1)]

    return LinearAction(Restricted(action.rep, group, number))


def _acted(action: Any, g: Tensor, x: Graph) -> Graph:
    """A graph under one element."""
    moved = action.act(g, x)
    if not isinstance(moved, Graph):
        raise InputError(f"{action} on a graph", where="GroupAverage", remedy="leave out act_in for graphs.")
    return moved


def _weighted(weights: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("k,k...->...", weights.to(values), values)
