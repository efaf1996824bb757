r"""Tensors with an index symmetry as sums of irreps: an equivariant orthonormal basis of them, and products of vectors
in it.

Coupling the indices one after another gives an orthonormal basis of all tensors: one block of :math:`2l+1` tensors, a
*path*, for each chain of intermediate irreps. The projector onto the symmetry commutes with O(3), so on the paths that
end in the same irrep it is a small matrix M, the same for every component. Gram-Schmidt on the rows of M gives the
combinations of paths that have the symmetry: e3nn's choice of basis where an irrep occurs more than once, found here
without its eigenvalue problem of the size of the tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.groups.index_symmetry import germinate_formulas, orbits, share_values
from intertwine.numerics import ExactBuffers, InputError, Rebuildable, choose, ignore_keys
from intertwine.numerics.linalg import orthonormalize
from intertwine.o3.blocks import LAYOUTS, channels_innermost
from intertwine.o3.clebsch_gordan import clebsch_gordan
from intertwine.o3.irreps import Irrep, Irreps


class ReducedTensorProducts(Rebuildable, ExactBuffers):
    r"""The irreps of a tensor with an index symmetry: :math:`y_z = Q_{zij\ldots}\, a_i b_j \cdots` with orthonormal Q.

    Args:
        formula: the symmetry, such as ``"ij=-ji"`` or ``"ijkl=jikl=klij"``.
        filter_ir_out: keep only these irreps; None keeps all.
        filter_ir_mid: allow only these irreps at every stage of the coupling, the last one included; None allows all.
        eps: what counts as zero in the combinations of paths.
        layout: how the components of a block of ``irreps`` lie, in the inputs and in the output: ``"mul_ir"`` with the
            channel outermost, e3nn's, or ``"ir_mul"`` with the channel innermost.
        dtype: precision; None is torch's default.
        device: where the basis lives.
        **irreps: the representation of each index, or of one of each set of indices that the symmetry exchanges.

    Attributes:
        irreps_in: the representation of each index, a list.
        irreps_out: that of the tensor.
        change_of_basis: Q (irreps_out.dim, irreps_in[0].dim, irreps_in[1].dim, ...).

    Raises:
        InputError: the formula is none, an index has no irreps or two different ones, or a filter is no list of irreps.

    >>> ReducedTensorProducts("ij=-ji", i="1o").irreps_out
    1x1e
    >>> ReducedTensorProducts("ijkl=jikl=ikjl=ijlk", i="1e").irreps_out
    1x0e+1x2e+1x4e
    """

    change_of_basis: Tensor

    def __init__(
        self,
        formula: str,
        filter_ir_out: Iterable[Any] | None = None,
        filter_ir_mid: Iterable[Any] | None = None,
        eps: float = 1e-9,
        *,
        layout: str = "mul_ir",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        **irreps: Any,
    ) -> None:
        super().__init__()
        choose(layout, LAYOUTS, kind="layout", where="ReducedTensorProducts")
        indices, group = germinate_formulas(formula)
        self.formula, self.layout = formula, layout
        self.irreps_in = share_values(
            indices, group, {i: Irreps(irreps_of_index) for i, irreps_of_index in irreps.items()}, "irreps"
        )
        out, middle = _allowed(filter_ir_out, "filter_ir_out"), _allowed(filter_ir_mid, "filter_ir_mid")
        self.irreps_out, Q = symmetric_basis(self.irreps_in, group, out, middle, eps)
        if layout == "ir_mul":
            Q = Q[
                np.ix_(*[channels_innermost(irreps_of_index) for irreps_of_index in (self.irreps_out, *self.irreps_in)])
            ]
        self._keep(Q, dtype, device)

    def _keep(self, Q: Any, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> None:
        self.register_exact("change_of_basis", Q, dtype=dtype, device=device)
        ignore_keys(self, ["change_of_basis", r"main\..*", "_compiled_main.*"])  # e3nn's

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        nn.Module.__init__(self)
        self.formula, self.layout = "", "mul_ir"  # e3nn forgets the symmetry, and keeps Q
        self.irreps_in, self.irreps_out = list(state["irreps_in"]), state["irreps_out"]
        self._keep(state["_buffers"]["change_of_basis"].double())

    def forward(self, *xs: Float[Tensor, "..."]) -> Float[Tensor, "*batch dim"]:
        """The components of the product of one vector for each index, (..., irreps_in[k].dim) each, leading axes
        broadcast.

        Raises:
            InputError: not one vector for each index, or one of a wrong dimension.
        """
        if len(xs) != len(self.irreps_in) or any(
            x.shape[-1:] != (irreps.dim,) for x, irreps in zip(xs, self.irreps_in)
        ):
            raise InputError(
                f"got inputs of shapes {[tuple(x.shape) for x in xs]}",
                where=f"ReducedTensorProducts({self.formula!r})",
                remedy=(
                    f"give {len(self.irreps_in)} tensors whose last axes are "
                    f"{[irreps.dim for irreps in self.irreps_in]}."
                ),
            )
        return multiply(self.change_of_basis, xs)

    def extra_repr(self) -> str:
        return f"{self.formula!r}, in: {' times '.join(map(str, self.irreps_in))}, out: {self.irreps_out}"


def multiply(basis: Float[Tensor, "..."], xs: Sequence[Float[Tensor, "..."]]) -> Float[Tensor, "*batch dim"]:
    r""":math:`Q_{zij\ldots} a_i b_j \cdots`, by one matrix product with the outer product of the vectors.

    Args:
        basis: Q (dim, ...), one axis for each vector.
        xs: vectors (..., n) with broadcast leading axes.
    """
    product = xs[0]
    for x in xs[1:]:
        product = (product[..., :, None] * x[..., None, :]).flatten(-2)
    return product @ basis.flatten(1).T


def symmetric_basis(
    irreps: Sequence[Irreps],
    group: Iterable[tuple[int, tuple[int, ...]]],
    keep: frozenset[Irrep] | None = None,
    middle: frozenset[Irrep] | None = None,
    eps: float = 1e-9,
) -> tuple[Irreps, np.ndarray]:
    """The irreps of the tensors with an index symmetry, and their orthonormal basis Q (irreps.dim, ...).

    Args:
        irreps: the representation of each index.
        group: the symmetry, from :func:`~intertwine.groups.index_symmetry.germinate_formulas`.
        keep: the irreps wanted; None for all.
        middle: the irreps allowed at every stage of the coupling; None for all.
        eps: what counts as zero in the combinations of paths.
    """
    shape = tuple(index.dim for index in irreps)
    number, coefficient = orbits(group, shape)
    kept = number >= 0
    outputs, basis = [], [np.zeros((0, *shape))]
    for ir, paths in _merged(_paths(irreps, middle)).items():
        if keep is not None and ir not in keep:
            continue
        row = paths[:, 0]  # one component of the irrep is enough, by Schur's lemma
        free = np.zeros((len(row), int(number.max(initial=-1)) + 1))
        np.add.at(free.T, number[kept], (row * coefficient)[:, kept].T)
        values, vectors = np.linalg.eigh(free @ free.T)
        # between 0 and 1 where the allowed paths do not span a symmetric tensor
        symmetric = vectors[:, values > 1 - 2 * eps]
        mixing, _ = orthonormalize(torch.from_numpy(symmetric @ symmetric.T), eps)
        if len(mixing):
            basis.append(np.tensordot(mixing.numpy(), paths, 1).reshape(len(mixing) * ir.dim, *shape))
            outputs.append((len(mixing), ir))
    return Irreps(outputs), np.concatenate(basis)


def _paths(irreps: Sequence[Irreps], middle: frozenset[Irrep] | None) -> list[tuple[Irrep, np.ndarray]]:
    """Irreps in the product of all indices with orthonormal bases (paths, 2l+1, entries) of their copies, in e3nn's
    order: sorted by irrep and then by the path to the left; but the blocks of a single index stay as they are."""
    *left, last = irreps
    if not left:
        rows = np.eye(last.dim)
        return [(ir, rows[where].reshape(mul, ir.dim, last.dim)) for (mul, ir), where in zip(last, last.slices())]
    couplings: list[tuple[Irrep, np.ndarray]] = []
    for ir_left, paths in _paths(left, middle):
        spread = []
        for (mul, ir), where in zip(last, last.slices()):
            for ir_out in ir_left * ir:
                if middle is None or ir_out in middle:
                    spread.append(
                        (ir_out, _couple(paths, clebsch_gordan(ir_left.l, ir.l, ir_out.l), mul, where, last.dim))
                    )
        for ir, blocks in _merged(spread, axis=1).items():
            couplings.append((ir, blocks.reshape(len(blocks) * blocks.shape[1], *blocks.shape[2:])))
    return sorted(_merged(couplings).items())


def _couple(paths: np.ndarray, C: np.ndarray, mul: int, where: slice, dim: int) -> np.ndarray:
    """Paths (left, mul, 2l+1, entries * dim) that couple each of some paths (left, m, entries) with each copy in a
    block of an index.
    """
    left, m, entries = paths.shape
    _, n, k = C.shape
    coupled = (paths.swapaxes(1, 2) @ C.reshape(m, n * k)).reshape(left, entries, n, k).transpose(0, 3, 1, 2)
    placed = np.zeros((left, mul, k, entries, dim))
    for u in range(mul):
        placed[:, u, :, :, where.start + u * n : where.start + (u + 1) * n] = coupled
    return placed.reshape(left, mul, k, entries * dim)


def _merged(parts: Iterable[tuple[Irrep, np.ndarray]], axis: int = 0) -> dict[Irrep, np.ndarray]:
    grouped: dict[Irrep, list[np.ndarray]] = {}
    for ir, array in parts:
        grouped.setdefault(ir, []).append(array)
    return {ir: np.concatenate(arrays, axis) for ir, arrays in grouped.items()}


def _allowed(irreps: Iterable[Any] | None, where: str) -> frozenset[Irrep] | None:
    if irreps is None:
        return None
    if isinstance(irreps, str):
        raise InputError(
            f"{irreps!r} is one string", where=where, remedy="give a list of irreps, such as ['0e', '1o']."
        )
    return frozenset(Irrep(ir) for ir in irreps)
