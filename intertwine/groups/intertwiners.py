r"""Intertwiners: the linear maps with :math:`f \rho_V(g) = \rho_W(g) f`; what a representation is made of; couplings.

Everything is derived from matrices of the representations at a few elements that generate the group, so it serves any
group that has :meth:`~intertwine.groups.Group.generators`, compact or not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.groups.group import Group, Representation
from intertwine.groups.regular import PermutationRepresentation
from intertwine.groups.representation import DirectSum, TensorProduct, group_of, terms_of
from intertwine.numerics import InputError

GAP = 1e-8  # singular values of a constraint below it are zeros, relative to the largest
MOST = 4096  # unknowns of a constraint
LARGEST = 2**26  # numbers of a basis


def hom_basis(source: Representation, target: Representation, group: Group | None = None) -> Float[Tensor, "k m n"]:
    r"""A basis of :math:`\mathrm{Hom}_G(V, W)`, orthonormal in Frobenius' inner product, in float64.

    Sums are taken block by block. Between permutations of a finite group the basis is exact: the indicators of the
    orbits of pairs, divided by their norms. Elsewhere it is the null space of
    :math:`\rho_W(g) f - f \rho_V(g) = 0` for the group's generators g.

    Args:
        source: V, of dimension n.
        target: W, of dimension m.
        group: their group; V's own if not given.

    Returns:
        (k, m, n); k may be 0.

    Raises:
        InputError: the representations are of different groups, the null space is not clear, or more than 4,096
            unknowns are not blocks of a sum.
    """
    group = group or group_of(source)
    for rep in (source, target):
        own = getattr(rep, "group", None)
        if own is not None and own != group:
            raise InputError(f"{rep} is of {own}, not of {group}", where="hom_basis", remedy="restrict it first.")
    if isinstance(source, PermutationRepresentation) and isinstance(target, PermutationRepresentation):
        return _orbits_of_pairs(source, target)
    if hasattr(source, "terms") or hasattr(target, "terms"):
        return _blocks(source, target, group)
    g = group.generators()
    return null_space(source.matrix(g), target.matrix(g))


def null_space(v: Float[Tensor, "g n n"], w: Float[Tensor, "g m m"]) -> Float[Tensor, "k m n"]:
    r"""The matrices f (k, m, n), orthonormal, with :math:`w f = f v` for each pair of matrices of a batch."""
    m, n = w.shape[-1], v.shape[-1]
    if m * n > MOST:
        raise InputError(
            f"an intertwiner with {m} x {n} entries", where="hom_basis", remedy="write both as sums of smaller ones."
        )
    v, w = v.to(torch.float64), w.to(torch.float64)
    eye_m, eye_n = torch.eye(m, dtype=v.dtype), torch.eye(n, dtype=v.dtype)
    # rows of f one after the other: w f is (w x 1) f, and f v is (1 x v^T) f
    left = (w[:, :, None, :, None] * eye_n[None, None, :, None, :]).reshape(-1, m * n, m * n)
    right = (eye_m[None, :, None, :, None] * v.mT[:, None, :, None, :]).reshape(-1, m * n, m * n)
    constraint = (left - right).flatten(0, 1)
    if not len(constraint):
        return torch.eye(m * n, dtype=v.dtype).reshape(-1, m, n)
    _, values, rows = torch.linalg.svd(constraint, full_matrices=False)
    scale = max(1.0, float(values[0])) if len(values) else 1.0
    zero = values < GAP * scale
    if bool(((values >= GAP * scale) & (values < 1e3 * GAP * scale)).any()):
        raise InputError(
            "the null space of the constraint is not clear",
            where="hom_basis",
            remedy="check that these are representations.",
        )
    return rows[zero].reshape(-1, m, n)


@dataclass(frozen=True)
class Decomposition:
    r"""A representation as a sum of irreps, :math:`Q \rho(g) Q^{-1} = \bigoplus_k m_k \rho_k(g)`.

    Args:
        basis: Q (dim, dim): rows are the components in the order of ``rep``.
        rep: the sum of the irreps with their multiplicities, those that occur.
    """

    basis: Float[Tensor, "dim dim"]
    rep: DirectSum

    @property
    def multiplicities(self) -> tuple[int, ...]:
        """How often each irrep occurs."""
        return tuple(mul for mul, _ in self.rep.terms)


def decompose(rep: Representation, irreps: list[Representation] | None = None) -> Decomposition:
    r"""Change of basis and multiplicities of a representation of a compact group.

    Of an orthogonal representation Q is orthogonal. The multiplicity of an irrep of type e is the dimension of
    :math:`\mathrm{Hom}_G(V, \rho_k)` divided by e.

    Args:
        rep: any finite-dimensional representation.
        irreps: orthogonal irreps of its group, none equivalent to another; the group's own
            (:meth:`~intertwine.groups.Group.irreps`) if not given.

    Raises:
        InputError: the irreps don't exhaust it.
    """
    group = group_of(rep)
    rows, terms, left = [], [], rep.dim
    for irrep in irreps if irreps is not None else group.irreps(max(8, rep.dim // 2)):
        if not left:
            break
        if irrep.dim > left:
            continue
        maps = hom_basis(rep, irrep, group)
        if not len(maps):
            continue
        chosen = _independent(maps, hom_basis(irrep, irrep, group))
        rows.append(chosen.flatten(0, 1))
        terms.append((len(chosen), irrep))
        left -= len(chosen) * irrep.dim
    if left:
        raise InputError(
            f"{left} of {rep.dim} dimensions of {rep} are in none of the irreps",
            where="decompose",
            remedy="give irreps up to a higher degree.",
        )
    return Decomposition(torch.cat(rows) if rows else torch.zeros(0, 0, dtype=torch.float64), DirectSum(tuple(terms)))


def clebsch_gordan(
    first: Representation, second: Representation, target: Representation
) -> Float[Tensor, "k target first second"]:
    r"""Coupling coefficients: all bilinear maps :math:`V_1 \times V_2 \to W` with
    :math:`C(\rho_1 x, \rho_2 y) = \rho_W C(x, y)`, a basis of them with the norm :math:`\sqrt{\dim W}` each.

    >>> from intertwine.groups import SO, Defining
    >>> vector = Defining(SO(3))
    >>> clebsch_gordan(vector, vector, vector).shape  # the cross product, over the square root of two
    torch.Size([1, 3, 3, 3])
    """
    maps = hom_basis(TensorProduct(first, second), target)
    return maps.unflatten(-1, (first.dim, second.dim)) * target.dim**0.5


def invariant_basis(rep: Representation, group: Group | None = None) -> Float[Tensor, "k dim"]:
    """Orthonormal vectors that no element changes."""
    g = (group or group_of(rep)).generators()
    return null_space(torch.ones(len(g), 1, 1, dtype=torch.float64), rep.matrix(g)).squeeze(-1)


def _orbits_of_pairs(source: PermutationRepresentation, target: PermutationRepresentation) -> Float[Tensor, "k m n"]:
    orbit = orbits_of_pairs(source, target)
    count = int(orbit.max()) + 1
    if count * orbit.numel() > LARGEST:
        raise InputError(
            f"{count} matrices with {target.dim} x {source.dim} entries",
            where="hom_basis",
            remedy="use orbits_of_pairs, which numbers the entries that are equal.",
        )
    basis = (orbit == torch.arange(count)[:, None, None]).to(torch.float64)
    return basis / basis.sum((1, 2), keepdim=True).sqrt()


def orbits_of_pairs(source: PermutationRepresentation, target: PermutationRepresentation) -> Int[Tensor, "m n"]:
    """The entries of an intertwiner between permutations that must be equal have the same number (m, n)."""
    smallest = torch.full((target.dim, source.dim), target.dim * source.dim)
    for out, into in zip(target.images, source.images):  # one element at a time: memory for one matrix
        smallest = torch.minimum(smallest, out[:, None] * source.dim + into)
    return smallest.unique(return_inverse=True)[1]


def _blocks(source: Representation, target: Representation, group: Group) -> Float[Tensor, "k m n"]:
    parts = []
    cache: dict[tuple[int, int], Tensor] = {}
    row = 0
    for i, (copies_out, w) in enumerate(terms_of(target)):
        for _ in range(copies_out):
            column = 0
            for j, (copies_in, v) in enumerate(terms_of(source)):
                if (i, j) not in cache:
                    cache[i, j] = hom_basis(v, w, group)
                for _ in range(copies_in):
                    block = torch.zeros(len(cache[i, j]), target.dim, source.dim, dtype=torch.float64)
                    block[:, row : row + w.dim, column : column + v.dim] = cache[i, j]
                    parts.append(block)
                    column += v.dim
            row += w.dim
    return torch.cat(parts) if parts else torch.zeros(0, target.dim, source.dim, dtype=torch.float64)


def _independent(maps: Float[Tensor, "k d n"], commuting: Float[Tensor, "e d d"]) -> Float[Tensor, "count d n"]:
    """Of a basis of maps onto an irrep those that are independent over the algebra that commutes with it, orthogonal in
    Frobenius' product and of norm sqrt(d): of an orthogonal representation their rows are orthonormal.
    """
    span = maps.new_zeros(0, maps[0].numel())
    chosen = []
    for _ in range(len(maps) // len(commuting)):
        rest = maps.flatten(1) - (maps.flatten(1) @ span.T) @ span
        best = rest[rest.norm(dim=1).argmax()]
        chosen.append((best / best.norm()).reshape(maps.shape[1:]) * maps.shape[1] ** 0.5)
        images = (commuting @ chosen[-1]).flatten(1)
        span = torch.linalg.qr(torch.cat([span, images]).T)[0].T
    return torch.stack(chosen)
