"""Linear algebra that torch lacks."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import safe
from intertwine.numerics.errors import InputError


def direct_sum(*matrices: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    r"""Block-diagonal :math:`A \oplus B \oplus \ldots` of matrices (..., m, n) with broadcast leading axes.

    Raises:
        InputError: no matrix is given.

    >>> direct_sum(torch.ones(1, 2), torch.ones(2, 1))
    tensor([[1., 1., 0.],
            [0., 0., 1.],
            [0., 0., 1.]])
    """
    if not matrices:
        raise InputError(
            "the direct sum of no matrices has no precision and no device",
            where="direct_sum",
            remedy="give at least one.",
        )
    batch = torch.broadcast_shapes(*[m.shape[:-2] for m in matrices])
    columns, start, rows = sum(m.shape[-1] for m in matrices), 0, []
    for m in matrices:
        rows.append(torch.nn.functional.pad(m.expand(*batch, *m.shape[-2:]), (start, columns - start - m.shape[-1])))
        start += m.shape[-1]
    return torch.cat(rows, dim=-2)


def apply(matrix: Float[Tensor, "*batch m n"], x: Float[Tensor, "*shape n"]) -> Float[Tensor, "..."]:
    r""":math:`A x` on the last axis of x (..., n): by one matrix, or by a batch of them whose leading axes broadcast
    with those of x.

    >>> apply(torch.tensor([[0.0, -1.0], [1.0, 0.0]]), torch.ones(3, 2))[0]
    tensor([-1.,  1.])
    """
    return x @ matrix.T if matrix.ndim == 2 else (matrix @ x[..., None]).squeeze(-1)


def orthonormalize(
    original: Float[Tensor, "vectors dim"], eps: float = 1e-9
) -> tuple[Float[Tensor, "rank dim"], Float[Tensor, "rank vectors"]]:
    r"""An orthonormal basis of the span of some vectors, by Gram-Schmidt in their order.

    A vector that depends on its predecessors is left out; each basis vector has its first non-zero component positive.

    Args:
        original: the vectors x, one a row.
        eps: components below it are set to zero, and a vector whose rest is not longer than twice it is left out.

    Returns:
        The basis y, one a row, and the matrix A with :math:`y = A x`.

    Raises:
        InputError: ``original`` is not a matrix.

    >>> y, A = orthonormalize(torch.tensor([[-2.0, 0.0], [1.0, 0.0], [3.0, 4.0]]))
    >>> y
    tensor([[1., 0.],
            [0., 1.]])
    """
    _require_matrix(original, "orthonormalize")
    basis, recipe = original.new_zeros(0, original.shape[1]), original.new_zeros(0, original.shape[0])
    for x, a in zip(original, torch.eye(original.shape[0], dtype=original.dtype, device=original.device)):
        for _ in range(2):  # the second pass removes what the rounding of the first has left
            overlap = basis @ x
            x, a = x - overlap @ basis, a - overlap @ recipe
        length = x.norm()
        if length > 2 * eps:
            scale = _first_sign(x / length, eps) / length
            basis = torch.cat([basis, _clean(scale * x, eps)[None]])
            recipe = torch.cat([recipe, _clean(scale * a, eps)[None]])
    return basis, recipe


def complete_basis(vecs: Float[Tensor, "vectors dim"], eps: float = 1e-9) -> Float[Tensor, "rest dim"]:
    r"""Orthonormal vectors that complete given orthogonal ones to a basis of :math:`\mathbb{R}^{dim}`, by Gram-Schmidt
    on the unit vectors.

    Args:
        vecs: mutually orthogonal vectors of any length but zero, one a row.
        eps: components below it are set to zero, and a direction whose rest is not longer than twice it is left out.

    Returns:
        The new vectors only, one a row, each with its first non-zero component positive.

    Raises:
        InputError: ``vecs`` is not a matrix, or one of the vectors is zero.

    >>> complete_basis(torch.tensor([[0.0, 3.0, 0.0]]))
    tensor([[1., 0., 0.],
            [0., 0., 1.]])
    """
    _require_matrix(vecs, "complete_basis")
    lengths = vecs.norm(dim=-1, keepdim=True)
    if not bool((lengths > 0).all()):
        raise InputError(
            "a zero vector has no direction", where="complete_basis", remedy="leave out vectors of length zero."
        )
    basis = vecs / lengths
    for x in torch.eye(vecs.shape[1], dtype=vecs.dtype, device=vecs.device):
        for _ in range(2):
            x = x - (basis @ x) @ basis
        length = x.norm()
        if length > 2 * eps:
            scale = _first_sign(x / length, eps) / length
            basis = torch.cat([basis, _clean(scale * x, eps)[None]])
    return basis[vecs.shape[0] :]


def _require_matrix(x: Tensor, where: str) -> None:
    if x.ndim != 2 or not x.is_floating_point():
        raise InputError(
            f"expected a matrix of floating-point numbers, got {x.dtype} of shape {tuple(x.shape)}",
            where=where,
            remedy="one vector a row.",
        )


def _clean(x: Tensor, eps: float) -> Tensor:
    return torch.where(x.abs() < eps, 0.0, x)


def _first_sign(x: Tensor, eps: float) -> Tensor:
    return x[(x.abs() >= eps).nonzero()[0, 0]].sign()


class _Eigh(torch.autograd.Function):
    """Eigenvalues and eigenvectors of symmetric matrices; gaps below an eps of the largest eigenvalue count as that
    long.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(x)
        return values, vectors

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(*output)

    @staticmethod
    def backward(ctx, grad_values, grad_vectors):
        values, vectors = ctx.saved_tensors
        inner = vectors.mT @ grad_vectors * _inverse_gaps(values) + torch.diag_embed(grad_values)
        result = vectors @ inner @ vectors.mT
        return (result + result.mT) / 2


def _inverse_gaps(values: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n n"]:
    r""":math:`1 / (\lambda_j - \lambda_i)` in row i and column j, of ascending numbers, and 0 on the diagonal; all 0 if
    they are.
    """
    gap = values.unsqueeze(-2) - values.unsqueeze(-1)
    shortest = torch.finfo(values.dtype).eps * values.detach().abs().amax(-1)[..., None, None]
    unit = torch.eye(values.shape[-1], dtype=values.dtype, device=values.device)
    if safe.inspectable(values) and bool(((gap.detach().abs() > shortest) | (unit > 0)).all()):
        return 1 / (gap + unit) - unit
    order = torch.arange(values.shape[-1], device=values.device)
    sign = (order > order.unsqueeze(-1)).to(values.dtype) - (order < order.unsqueeze(-1)).to(values.dtype)
    short = gap.abs() <= shortest
    nothing = (sign == 0) | (shortest == 0)
    longest = sign / torch.where(shortest == 0, 1.0, shortest)
    return torch.where(nothing, 0.0, torch.where(short, longest, 1 / torch.where(short | nothing, 1.0, gap)))


def eigh(x: Float[Tensor, "*batch n n"]) -> tuple[Float[Tensor, "*batch n"], Float[Tensor, "*batch n n"]]:
    r"""Eigenvalues :math:`\lambda_1 \le \ldots \le \lambda_n` and orthonormal eigenvectors, in columns, of symmetric
    matrices.

    The derivative of an eigenvector, :math:`dv_j = \sum_{i \ne j} v_i\, (v_i^\top dA\, v_j) / (\lambda_j -
    \lambda_i)`, is infinite where eigenvalues coincide. Rounding leaves a gap of about an eps of the largest eigenvalue
    undefined; so shorter gaps count as that long, and derivatives are large there, up to 1/eps, but finite. Those of
    the zero matrix are zero.

    Args:
        x: the matrices; symmetric, of which the lower triangle is read.
    """
    if safe.inspectable(x) and not x.requires_grad:  # a function of our own takes longer than small matrices do
        values, vectors = torch.linalg.eigh(x)
        return values, vectors
    return _Eigh.apply(x)
