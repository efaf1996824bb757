r"""Normalisation and non-linearities of fields of irreps: gates, functions of the norm, and functions on the circle."""

from __future__ import annotations

from collections.abc import Callable
from math import pi

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.groups.plane import PlaneIrrep
from intertwine.nn.groups.field_norm import FieldNorm
from intertwine.nn.groups.steerable_convolution import Terms, dims, is_trivial
from intertwine.numerics import ExactBuffers, InputError, choose, safe

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "elu": F.elu, "gelu": F.gelu, "silu": F.silu}


class Pointwise(nn.Module):
    """A function of every number: what commutes with permutations of components.

    Args:
        name: "relu", "elu", "gelu" or "silu".
    """

    def __init__(self, name: str = "relu") -> None:
        super().__init__()
        self.name = choose(name, ACTIVATIONS, kind="activation", where="activation")

    def forward(self, f: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return ACTIVATIONS[self.name](f)

    def extra_repr(self) -> str:
        return self.name


class TermsNorm(nn.Module):
    """:class:`FieldNorm` of each term; only invariants have a mean.

    Args:
        terms: fields.
        kind: "batch", "layer" or "none".
    """

    def __init__(self, terms: Terms, kind: str = "batch") -> None:
        super().__init__()
        self.sizes = dims(terms)
        self.parts = nn.ModuleList(FieldNorm(channels, rep.dim, kind, is_trivial(rep)) for channels, rep in terms)

    def forward(self, f: Float[Tensor, "images maps *sizes"]) -> Float[Tensor, "images maps *sizes"]:
        return torch.cat([norm(part) for norm, part in zip(self.parts, f.split(self.sizes, 1), strict=True)], 1)


class GatedFields(nn.Module):
    r"""Invariants :math:`\sigma(s)`, other fields :math:`\mathrm{sigmoid}(g)\, v` with an invariant g for each channel.

    Weiler et al. 2018 (arXiv:1807.02547), section 4.3.

    Args:
        terms: fields out.
        activation: sigma.

    Attributes:
        terms_in: fields in: those of ``terms``, and the gates in front.
    """

    def __init__(self, terms: Terms, activation: str = "relu") -> None:
        super().__init__()
        self.name = choose(activation, ACTIVATIONS, kind="activation", where="activation")
        self.terms, self.sizes = terms, dims(terms)
        self.gates = sum(channels for channels, rep in terms if not is_trivial(rep))
        trivial = next((rep for _, rep in terms if is_trivial(rep)), None)
        if self.gates and trivial is None:
            raise InputError("gates need invariants", where="GatedFields", remedy="have a field of frequency 0, or 0e.")
        self.terms_in: Terms = ((self.gates, trivial), *terms) if trivial is not None and self.gates else terms

    def forward(self, f: Float[Tensor, "images maps *sizes"]) -> Float[Tensor, "images others *sizes"]:
        gates, parts = f[:, : self.gates].sigmoid(), f[:, self.gates :].split(self.sizes, 1)
        first, out = 0, []
        for part, (channels, rep) in zip(parts, self.terms, strict=True):
            if is_trivial(rep):
                out.append(ACTIVATIONS[self.name](part))
                continue
            gate = gates[:, first : first + channels]
            out.append((part.unflatten(1, (channels, rep.dim)) * gate.unsqueeze(2)).flatten(1, 2))
            first += channels
        return torch.cat(out, 1)


class NormFields(nn.Module):
    r"""Invariants :math:`\sigma(s)`, other fields :math:`\mathrm{sigmoid}(|v| + b)\, v` with a number b for each
    channel.

    Args:
        terms: fields out, and in.
        activation: sigma.
    """

    def __init__(self, terms: Terms, activation: str = "relu") -> None:
        super().__init__()
        self.name = choose(activation, ACTIVATIONS, kind="activation", where="activation")
        self.terms, self.terms_in, self.sizes = terms, terms, dims(terms)
        self.biases = nn.ParameterList(
            nn.Parameter(torch.zeros(channels, 1)) for channels, rep in terms if not is_trivial(rep)
        )

    def forward(self, f: Float[Tensor, "images maps *sizes"]) -> Float[Tensor, "images maps *sizes"]:
        out, biases = [], iter(self.biases)
        for part, (channels, rep) in zip(f.split(self.sizes, 1), self.terms, strict=True):
            if is_trivial(rep):
                out.append(ACTIVATIONS[self.name](part))
                continue
            x = part.reshape(len(part), channels, rep.dim, -1)
            size = safe.sqrt(x.square().sum(2))
            out.append((x * (size + next(biases)).sigmoid().unsqueeze(2)).reshape(part.shape))
        return torch.cat(out, 1)


class CircleFields(ExactBuffers):
    r"""Functions on the circle of a limited frequency: their values at N angles, :math:`\sigma` of each, and back.

    The regular representation of SO(2), or of O(2) the one on O(2)/O(1). Exact under turns by 360/N degrees; under
    others the part of sigma(f) above the frequency N - K folds back. Franzen and Wand, NeurIPS 2021 (arXiv:2106.04324).

    Args:
        terms: fields in and out: each frequency 0, ..., K once, all with the same number of channels.
        activation: sigma.
        angles: N; None for four times as many as there are frequencies.

    Raises:
        InputError: other fields, or too few angles.
    """

    values: Tensor
    coefficients: Tensor

    def __init__(self, terms: Terms, activation: str = "relu", angles: int | None = None) -> None:
        super().__init__()
        self.name = choose(activation, ACTIVATIONS, kind="activation", where="activation")
        self.terms, self.terms_in, self.sizes, self.channels = terms, terms, dims(terms), terms[0][0]
        n = 4 * len(terms) if angles is None else angles
        if n < 2 * len(terms) - 1:
            raise InputError(
                f"{n} angles for {len(terms)} frequencies", where="angles", remedy=f"give {2 * len(terms) - 1} or more."
            )
        rows = []
        for k, (channels, rep) in enumerate(terms):
            if not isinstance(rep, PlaneIrrep) or rep.frequency != k or rep.odd or channels != self.channels:
                raise InputError(
                    f"{channels} fields of {rep} among those of the circle",
                    where="CircleFields",
                    remedy="have frequencies 0, 1, ..., K once each, with equal channels.",
                )
            angle = 2 * pi * k * torch.arange(n, dtype=torch.float64) / n
            rows += [2**0.5 * angle.cos(), 2**0.5 * angle.sin()] if k else [torch.ones_like(angle)]
        basis = torch.stack(rows, 1)
        self.register_exact("values", basis)
        self.register_exact("coefficients", basis.T / n)

    def forward(self, f: Float[Tensor, "images maps *sizes"]) -> Float[Tensor, "images maps *sizes"]:
        parts = [part.reshape(f.shape[0], self.channels, size // self.channels, -1) for part, size in
                 zip(f.split(self.sizes, 1), self.sizes, strict=True)]  # fmt: skip
        x = self.coefficients @ ACTIVATIONS[self.name](self.values @ torch.cat(parts, 2))
        widths = [size // self.channels for size in self.sizes]
        return torch.cat([part.flatten(1, 2) for part in x.split(widths, 2)], 1).reshape(f.shape)
