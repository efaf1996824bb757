"""The layers of MACE and NequIP as steps, forward and backward; all that follows from species alone is a constant."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from intertwine.integrations.frozen.parts import Gates, Mixer, Polynomial, linear, of_kinds
from intertwine.integrations.frozen.workspace import UnfitError, Workspace
from intertwine.kernels.convolution.forms import gradient
from intertwine.kernels.convolution.plan import Channelwise
from intertwine.kernels.frozen.sequence import Call
from intertwine.models.mace import MACELayer
from intertwine.models.nequip import NequIPLayer
from intertwine.nn import Convolution
from intertwine.nn.frozen_radial import FrozenRadial

Item = Call | Callable[[], None]


@dataclass
class Nodes:
    """The nodes of a workspace, sorted by species.

    Attributes:
        kind: species of each (nodes,), int64; ranges: first row and number of rows of each species.
    """

    kind: Tensor
    ranges: list[tuple[int, int]]


def intervals(radial: nn.Module, factor: float, dtype: torch.dtype) -> Tensor:
    """The polynomials of a table (knots + 1, 4, outputs) in u, times a factor."""
    if not isinstance(radial, FrozenRadial):
        raise UnfitError("a radial network that is asked")
    return (radial.polynomials(torch.float64) * factor).to(dtype).contiguous()


class Gathering:
    """:math:`z = V\\,\\mathrm{conv}(U x)`, and its derivatives.

    Args:
        layer: with ``up``, ``convolution``, ``radial`` and ``down``.
        constant: x of each species (species, dim), float64, if x is known by species alone; None where it is not.
        dtype: of the calls.
    """

    def __init__(self, layer: Any, constant: Tensor | None, dtype: torch.dtype) -> None:
        convolution: Convolution = layer.convolution
        self.plan = Channelwise.decode(convolution.fused.text)
        self.table = intervals(layer.radial, convolution.average_degree**-0.5, dtype)
        self.up, self.down = linear(layer.up, dtype), linear(layer.down, dtype)
        self.constant = None
        if constant is not None:
            with torch.no_grad():
                self.constant = copy.deepcopy(layer.up).double()(constant).to(dtype)

    def steps(
        self, space: Workspace, nodes: Nodes, x: Tensor | None, y: Tensor, z: Tensor, add: bool
    ) -> tuple[list[Item], Callable[[Tensor, Tensor | None, Tensor, Tensor, bool], list[Item]]]:
        """The steps forward, and a function that gives those back.

        Args:
            space: of the step; nodes: of it.
            x: features, None where they are constants; y: harmonics; z: result. add: to what z has.
        """
        w, sums = space.real(space.most, self.plan.dim_w), space.real(space.nodes, self.plan.dim_z)
        forward: list[Item] = [space.radial(self.table, w)]
        if self.constant is not None:
            u = self.constant.index_select(0, nodes.kind).contiguous()
        else:
            assert x is not None  # it has no constant
            u = space.real(space.nodes, self.plan.dim_x)
            forward.append(self.up(space, x, u))
        forward += [space.gather(self.plan, u, y, w, sums), self.down(space, sums, z, add=add)]

        def back(gz: Tensor, gx: Tensor | None, dy: Tensor, dw: Tensor, first: bool) -> list[Item]:
            """From cotangents of z: adds those of x, writes dy, and adds to the slopes unless they are the first."""
            above = space.real(space.nodes, self.plan.dim_z)
            operands = {"x": u, "y": y, "w": w, "g": above, "dy": dy, "dw": dw}
            through = gx is not None and self.constant is None
            du = space.real(space.nodes, self.plan.dim_x) if through else None
            operands |= {"dx": du} if du is not None else {}
            calls: list[Item] = [self.down(space, gz, above, back=True)]
            calls += [space.scatter(self.plan, gradient("xyw" if through else "yw"), operands)]
            calls += [space.slopes(self.table, dw, not first)]
            if du is not None and gx is not None:
                calls.append(self.up(space, du, gx, back=True, add=True))
            return calls

        return forward, back

    @property
    def weights(self) -> int:
        """Number of radial functions."""
        return self.plan.dim_w


class MACESteps:
    """A layer of MACE; arguments as of :class:`Gathering`, with the attributes of the species (species, attributes)."""

    def __init__(self, layer: MACELayer, constant: Tensor | None, attributes: Tensor, dtype: torch.dtype) -> None:
        self.gathering, self.residual = Gathering(layer, constant, dtype), layer.residual
        self.contraction, self.mix = Polynomial(layer.contraction, dtype), linear(layer.mix, dtype)
        self.maps = of_kinds(layer.self_interaction, attributes, dtype)
        self.dims = layer.contraction.irreps_in.dim, layer.irreps_out.dim
        self.constant = None
        if constant is not None and layer.residual:
            self.constant = _constant(layer.self_interaction, constant, attributes, dtype)

    def steps(
        self, space: Workspace, nodes: Nodes, x: Tensor | None, y: Tensor, out: Tensor, gx: Tensor | None, gout: Tensor
    ) -> tuple[list[Item], Callable[[Tensor, Tensor, bool], list[Item]]]:
        """Steps from x to ``out``, and a function for those from ``gout`` to ``gx``, to which they add."""
        real, count = space.real, space.nodes
        a, products, gproducts, ga = (real(count, self.dims[k]) for k in (0, 1, 1, 0))
        forward, gather_back = self.gathering.steps(space, nodes, x, y, a, False)
        entered, gentered = (a, ga) if self.residual else (real(count, self.dims[0]), real(count, self.dims[0]))
        if not self.residual:
            forward += self._by_kind(space, nodes, a, entered)
        forward += self.contraction(space, nodes.kind, [entered], products)
        if self.residual and self.constant is not None:
            start = self.constant.index_select(0, nodes.kind)
            forward += [_filled(out, start), self.mix(space, products, out, add=True)]
        else:
            forward.append(self.mix(space, products, out))
        if self.residual and x is not None:
            forward += self._by_kind(space, nodes, x, out, add=True)

        def back(dy: Tensor, dw: Tensor, first: bool) -> list[Item]:
            calls: list[Item] = [self.mix(space, gout, gproducts, back=True)]
            calls += self.contraction(space, nodes.kind, [entered, gproducts], gentered)
            if not self.residual:
                calls += self._by_kind(space, nodes, gentered, ga, back=True)
            calls += gather_back(ga, gx, dy, dw, first)
            if self.residual and gx is not None:
                calls += self._by_kind(space, nodes, gout, gx, back=True, add=True)
            return calls

        return forward, back

    def _by_kind(self, space: Workspace, nodes: Nodes, x: Tensor, y: Tensor, **how: bool) -> list[Item]:
        return _by_kind(self.maps, space, nodes, x, y, **how)


class NequIPSteps:
    """A layer of NequIP; arguments as of :class:`MACESteps`."""

    def __init__(self, layer: NequIPLayer, constant: Tensor | None, attributes: Tensor, dtype: torch.dtype) -> None:
        self.gathering, self.gates = Gathering(layer, constant, dtype), Gates(layer.gate)
        own = layer.self_interaction
        self.maps = [] if own is None else of_kinds(own, attributes, dtype)
        self.dims = layer.gate.irreps_in.dim, layer.irreps_out.dim
        self.constant = None
        if constant is not None and own is not None:
            self.constant = _constant(own, constant, attributes, dtype)

    def steps(
        self, space: Workspace, nodes: Nodes, x: Tensor | None, y: Tensor, out: Tensor, gx: Tensor | None, gout: Tensor
    ) -> tuple[list[Item], Callable[[Tensor, Tensor, bool], list[Item]]]:
        """As :meth:`MACESteps.steps`."""
        z, gz = space.real(space.nodes, self.dims[0]), space.real(space.nodes, self.dims[0])
        forward, gather_back = self.gathering.steps(space, nodes, x, y, z, self.constant is not None)
        if self.constant is not None:
            start = self.constant.index_select(0, nodes.kind)
            forward = [_filled(z, start), *forward]
        elif self.maps and x is not None:
            forward += _by_kind(self.maps, space, nodes, x, z, add=True)
        opened, closed = self.gates.steps(z, out, gout, gz)
        forward.append(opened)

        def back(dy: Tensor, dw: Tensor, first: bool) -> list[Item]:
            calls: list[Item] = [closed, *gather_back(gz, gx, dy, dw, first)]
            if self.maps and gx is not None:
                calls += _by_kind(self.maps, space, nodes, gz, gx, back=True, add=True)
            return calls

        return forward, back


def _filled(buffer: Tensor, values: Tensor) -> Callable[[], None]:
    """Copies values into a buffer."""

    def fill() -> None:
        buffer.copy_(values)

    return fill


def _by_kind(maps: Sequence[Mixer], space: Workspace, nodes: Nodes, x: Tensor, y: Tensor, **how: bool) -> list[Item]:
    """The map of each species on its rows."""
    return [mixer(space, x, y, rows=rows, **how) for mixer, rows in zip(maps, nodes.ranges, strict=True) if rows[1]]


def _constant(layer: Any, x: Tensor, attributes: Tensor, dtype: torch.dtype) -> Tensor:
    """W_z x of each species, in float64, then in the precision of the calls."""
    exact = copy.deepcopy(layer).double()
    weights = (attributes.double() * exact.weight.shape[0] ** -0.5) @ exact.weight
    with torch.no_grad():
        rows = [exact.shared(row.unsqueeze(0), weight) for row, weight in zip(x, weights)]
        return torch.cat(rows).to(dtype)
