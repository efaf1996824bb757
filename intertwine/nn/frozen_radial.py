r"""Radial networks frozen as tables: no network is asked any more.

The functions are those of :mod:`intertwine.nn.radial_spline`, :math:`R(d) = \sum_k T_k B(d/h - k)`, with the
coefficients T computed once, in float64, from the network at the knots. For a network that was trained at as many knots
R is the same function, up to rounding; for one that was asked at every edge it differs by :math:`O(h^4)`.

Between two knots R is evaluated as a polynomial of :math:`u = d/h - k`, whose coefficients come from T in float64:
differences of T in float32 would cost the forces 1/h times its rounding.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.nn.embedding import EdgeEmbedding
from intertwine.nn.radial_spline import TERMS, RadialNetwork, RadialSpline, Sampled, coefficients, joined, summed
from intertwine.numerics import InputError, WideBuffers, safe


class FrozenRadial(WideBuffers):
    """Radial functions R from a table, in the place of a :class:`~intertwine.nn.radial_spline.RadialNetwork`.

    Args:
        knots: K, intervals up to the cutoff.
        outputs: number of functions.

    Attributes:
        table: T (K + 4, outputs), no unit, float64 whatever the precision of the model.
    """

    table: Tensor
    _kept: tuple[tuple[Any, ...], Tensor] | None = None

    def __init__(self, knots: int, outputs: int) -> None:
        super().__init__()
        self.knots, self.outputs, self._sum = knots, outputs, summed(outputs)
        self.register_wide("table", torch.zeros(knots + TERMS, outputs, dtype=torch.float64))

    def weights(self, at: Float[Tensor, "edges k"] | Sampled) -> Float[Tensor, "edges outputs"]:
        """R of each edge.

        Args:
            at: the terms of the edges.

        Raises:
            InputError: the model computes in half precision, where tables are not precise.
        """
        if isinstance(at, Tensor):
            remedy = "compute in float32 or float64; half precision rounds the differences that forces are made of."
            raise InputError(f"a table of radial functions in {at.dtype}", where="dtype", remedy=remedy)
        with safe.without_autocast(at.value.device):
            return joined(self._sum, self.polynomials(at.value.dtype).flatten(0, 1), at)

    def polynomials(self, dtype: torch.dtype) -> Float[Tensor, "intervals 4 outputs"]:
        """Coefficients of 1, u, u^2 and u^3 of the K intervals, and of one more that is zero, for a distance that
        rounds to the cutoff.

        Args:
            dtype: of the result; they are computed in float64.
        """
        key = (id(self.table), self.table._version, self.table.device, dtype)
        if self._kept is None or self._kept[0] != key:
            a, b, c, d = (self.table[k : k + self.knots] for k in range(TERMS))
            parts = [(a + 4 * b + c) / 6, (c - a) / 2, (a - 2 * b + c) / 2, (d - 3 * c + 3 * b - a) / 6]
            result = torch.stack(parts, 1)
            self._kept = key, torch.cat([result, torch.zeros_like(result[:1])]).to(dtype).contiguous()
        return self._kept[1]

    def extra_repr(self) -> str:
        return f"{self.outputs} functions, {self.knots} knots"


class FrozenSpline(RadialSpline):
    """Knots at which nothing is asked: the radial functions of an embedding are not evaluated either. The terms of an
    edge are powers of u."""

    def sampled(self, attributes: Float[Tensor, "knots k"], d: Float[Tensor, " edges"]) -> Sampled:
        """The powers of u of edges of lengths d (A), with the rows of :meth:`FrozenRadial.polynomials`."""
        place = d * (self.knots / self.cutoff)
        first = place.detach().floor().clamp(0, self.knots)
        u = place - first
        values = torch.stack([torch.ones_like(u), u, u * u, u * u * u], dim=1)
        values = torch.where((d < self.cutoff).unsqueeze(1), values, 0.0)
        row = TERMS * first.to(torch.int64).unsqueeze(1) + torch.arange(TERMS, device=d.device)
        edge = torch.arange(d.shape[0], device=d.device).unsqueeze(1).expand_as(row)
        return Sampled(attributes, row.reshape(-1), edge.reshape(-1), values.reshape(-1, 1), d.shape[0])

    def distances(self, like: Float[Tensor, "..."]) -> Float[Tensor, " none"]:
        return like.new_zeros(0)


def embedding_of(module: nn.Module) -> EdgeEmbedding | None:
    """The embedding of edges whose distances all radial networks of a module read; None where there are no such
    networks, several embeddings, or edges with more inputs than a distance.
    """
    networks = any(isinstance(each, RadialNetwork) for each in module.modules())
    embeddings = [each for each in module.modules() if isinstance(each, EdgeEmbedding)]
    return embeddings[0] if networks and len(embeddings) == 1 and not embeddings[0].inputs else None


def freeze_radial(module: nn.Module, knots: int) -> None:
    """Put tables of zeros in the place of the radial networks of a module, which is changed.

    Args:
        module: with an :func:`embedding_of`.
        knots: K.

    Raises:
        InputError: it has none, or there are fewer than 8 knots.
    """
    embedding = embedding_of(module)
    if embedding is None:
        raise InputError("no radial networks of the distance alone", where="model", remedy="deploy it plain.")
    embedding.spline = FrozenSpline(knots, embedding.envelope.cutoff)  # type: ignore[arg-type]
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, RadialNetwork):
                setattr(parent, name, FrozenRadial(knots, child.hs[-1]))


def frozen(module: nn.Module, knots: int) -> nn.Module:
    """A copy of a module with its radial networks as tables of so many knots; its weights ask for no gradients.

    Args:
        module: with an :func:`embedding_of`, in any precision.
        knots: K, intervals up to the cutoff.

    Raises:
        InputError: as :func:`freeze_radial`.
    """
    result = copy.deepcopy(module)
    embedding = embedding_of(module)
    freeze_radial(result, knots)
    if embedding is not None:
        with torch.no_grad():
            for name, network in module.named_modules():
                if isinstance(network, RadialNetwork):
                    table = result.get_submodule(name)
                    assert isinstance(table, FrozenRadial)  # it has just been put there
                    table.table.copy_(_table(network, embedding, knots))
    return result.requires_grad_(False)


def _table(network: RadialNetwork, embedding: EdgeEmbedding, knots: int) -> Float[Tensor, "rows outputs"]:
    """T of a network, in float64."""
    exact = copy.deepcopy(network).to("cpu", torch.float64)
    spline = RadialSpline(knots, embedding.envelope.cutoff)  # type: ignore[arg-type]
    t = spline.distances(torch.zeros(1, dtype=torch.float64))
    attributes = embedding.radial.to("cpu")(t) * embedding.envelope(t).unsqueeze(-1)
    return coefficients(exact(attributes))
