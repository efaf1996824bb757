"""Sums over degrees, one for each Fourier mode: the half of a grid transform that runs along the polar angle."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.numerics import ExactBuffers


class DegreeSums(ExactBuffers):
    r"""The linear map :math:`h_{p}(\beta) = \sum_k t_{pk}(\beta)\, x_{i(p,k)}` and its transpose, as one batched matrix
    product each.

    A harmonic analysis mixes only the few coefficients that share a Fourier mode p, about a 1 / (2 lmax + 1)th of them.

    Args:
        index: which coefficient i stands at term k of mode p, (modes, terms).
        table: :math:`t_{pk}(\beta)`, (modes, terms, nodes); zero where a mode has fewer terms.
        present: which terms count, (modes, terms).
        dim: number of coefficients.
        dtype, device: of the constants.
    """

    table: Tensor
    index: Tensor
    places: Tensor

    def __init__(
        self,
        index: Int[np.ndarray, "modes terms"],
        table: Float[np.ndarray, "modes terms nodes"],
        present: np.ndarray,
        dim: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.register_exact("table", np.where(present[..., None], table, 0.0), dtype=dtype, device=device)
        self.register_exact("index", np.where(present, index, 0).reshape(-1), device=device)
        self.register_exact("places", _places(index, present, dim), device=device)

    def forward(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "modes batch nodes"]:
        """Coefficients to the profile of every mode."""
        modes, terms, _ = self.table.shape
        chosen = x.index_select(1, self.index).unflatten(1, (modes, terms))
        return torch.bmm(chosen.transpose(0, 1), self.table)

    def transposed(self, h: Float[Tensor, "modes batch nodes"]) -> Float[Tensor, "batch dim"]:
        """Profiles to coefficients: the transpose of :meth:`forward`."""
        terms = torch.bmm(h, self.table.mT).transpose(0, 1).flatten(1)
        copies, dim = self.places.shape
        gathered = terms.index_select(1, self.places.reshape(-1))
        return gathered if copies == 1 else gathered.unflatten(1, (copies, dim)).sum(1)


def _places(index: np.ndarray, present: np.ndarray, dim: int) -> np.ndarray:
    """Where each coefficient occurs among the terms, (copies, dim), filled up with a term that does not count."""
    terms = np.flatnonzero(present)
    terms = terms[np.argsort(index.reshape(-1)[terms], kind="stable")]
    counts = np.bincount(index.reshape(-1)[terms], minlength=dim)
    copies = int(counts.max())
    places = np.full((copies, dim), np.flatnonzero(~present)[:1] if (counts < copies).any() else 0)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    places[np.arange(len(terms)) - first, np.repeat(np.arange(dim), counts)] = terms
    return places
