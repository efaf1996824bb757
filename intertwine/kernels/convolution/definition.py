r"""The two kernels in plain torch, path by path: any device and precision, and the words of the definition.

Slower than compiled kernels, and with buffers of edges times channels; it runs where no compiled kernel does, and they
are compared with it. :class:`intertwine.kernels.batched.reference.Reference` is the other definition, of values only;
the tests hold one against the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from intertwine.kernels.convolution.forms import VALUE, Forms
from intertwine.kernels.convolution.plan import Channelwise, Term
from intertwine.kernels.shared.strip import Strip


def convolve(
    plan: Channelwise,
    x: Tensor,
    y: Tensor,
    w: Tensor | None,
    source: Tensor | None,
    destination: Tensor | None,
    nodes: Any,
) -> Tensor:
    """z of the plan itself, differentiable by autograd and for edges and nodes of any number in a trace; None: edge e
    is of node e.
    """
    count = y.shape[0] if destination is None else nodes
    # no arange(): a trace would keep the number
    every = torch.ones_like(y[:, :1], dtype=torch.int64).squeeze(1).cumsum(0) - 1
    tensors = {"x": x, "y": y, "w": w}
    return gather(
        plan, VALUE, tensors, every if source is None else source, every if destination is None else destination, count
    )


def gather(
    plan: Channelwise,
    forms: Forms,
    tensors: Mapping[str, Tensor | None],
    source: Tensor,
    destination: Tensor,
    nodes: Any,
) -> Tensor:
    """z of the forms, as in :mod:`intertwine.kernels.convolution.forms`."""
    rows = {name: _rows(name, tensor, source, destination) for name, tensor in tensors.items() if tensor is not None}
    # no len(): a trace would keep the number
    messages = next(iter(rows.values())).new_zeros(source.shape[0], plan.dim_z)
    for term in plan.terms:
        table = _table(term, messages)
        for x, y, w in forms.z:
            if term.w is None and w == "c":
                continue
            q = torch.einsum("eui,evik->euvk", _view(rows[x], term.x), _matrices(rows[y], term, table))
            _add(
                messages,
                term.z,
                q.sum(2) if term.w is None else torch.einsum("euvk,euv->euk", q, _view(rows[w], term.w)),
            )
    return messages.new_zeros(nodes, plan.dim_z).index_add_(0, destination, messages)


def scatter(
    plan: Channelwise,
    forms: Forms,
    tensors: Mapping[str, Tensor | None],
    source: Tensor,
    destination: Tensor,
    nodes: int,
) -> dict[str, Tensor]:
    """dx, dy and dw of the forms, those that are asked for."""
    rows = {name: _rows(name, tensor, source, destination) for name, tensor in tensors.items() if tensor is not None}
    g = rows["g"]
    sizes = {"dx": plan.dim_x, "dy": plan.dim_y, "dw": plan.dim_w}
    outputs = {name: g.new_zeros(len(source), size) for name, size in sizes.items() if getattr(forms, name)}
    for term in plan.terms:
        table, slope = _table(term, g), _view(g, term.z)
        for y, w in forms.dx:
            if term.w is not None:
                weighted = torch.einsum("euv,euk->euvk", _view(rows[w], term.w), slope)
                _add(outputs["dx"], term.x, torch.einsum("euvk,evik->eui", weighted, _matrices(rows[y], term, table)))
            elif w == "w":
                _add(outputs["dx"], term.x, torch.einsum("euk,evik->eui", slope, _matrices(rows[y], term, table)))
        for x, w in forms.dy:
            q = _slopes(rows[x], term, table, slope)
            if term.w is not None:
                _add_components(outputs["dy"], term, torch.einsum("euv,euj->evj", _view(rows[w], term.w), q))
            elif w == "w":
                _add_components(outputs["dy"], term, q.sum(1, keepdim=True).expand(-1, len(term.y), -1))
        for x, y in forms.dw if term.w is not None else ():
            q = _slopes(rows[x], term, table, slope)
            _add(outputs["dw"], term.w, torch.einsum("euj,evj->euv", q, _components(rows[y], term)))
    if "dx" in outputs:
        outputs["dx"] = g.new_zeros(nodes, plan.dim_x).index_add_(0, source, outputs["dx"])
    return outputs


def _rows(name: str, tensor: Tensor, source: Tensor, destination: Tensor) -> Tensor:
    """One row for each edge."""
    if name in ("x", "a"):
        return tensor.index_select(0, source)
    return tensor.index_select(0, destination) if name == "g" else tensor


def _view(rows: Tensor, strip: Strip) -> Tensor:
    """(edges, channels, components) in place."""
    columns = rows.narrow(1, strip.start, strip.mul * strip.dim)
    return (
        columns.unflatten(1, (strip.dim, strip.mul)).transpose(1, 2)
        if strip.along == 1
        else columns.unflatten(1, (strip.mul, strip.dim))
    )


def _add(rows: Tensor, strip: Strip | None, values: Tensor) -> None:
    assert strip is not None
    _view(rows, strip).add_(values)


def _components(rows: Tensor, term: Term) -> Tensor:
    """(edges, v, j) of y."""
    return rows[:, torch.tensor(term.y, device=rows.device)]


def _matrices(rows: Tensor, term: Term, table: Tensor) -> Tensor:
    """M (edges, v, i, k)."""
    return torch.einsum("evj,ijk->evik", _components(rows, term), table)


def _slopes(rows: Tensor, term: Term, table: Tensor, g: Tensor) -> Tensor:
    """Derivatives to y before the weights (edges, u, j)."""
    return torch.einsum("eui,euij->euj", _view(rows, term.x), torch.einsum("euk,ijk->euij", g, table))


def _add_components(rows: Tensor, term: Term, values: Tensor) -> None:
    places = torch.tensor(term.y, device=rows.device)
    rows[:, places] += values


def _table(term: Term, like: Tensor) -> Tensor:
    size_j = len(term.y[0])
    table = torch.zeros(term.x.dim, size_j, term.z.dim, dtype=torch.float64, device="cpu")
    for i, j, k, value in term.entries:
        table[i, j, k] += value
    return table.to(like)
