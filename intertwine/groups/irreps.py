r"""Real irreducible representations of finite groups.

Over the real numbers an irrep is of real, complex or quaternionic type: the matrices that commute with it form an
algebra of dimension e = 1, 2 or 4, and :math:`\langle\chi, \chi\rangle = e`. A regular representation contains it dim /
e times.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.groups.group import Group
from intertwine.groups.representation import LinearRepresentation
from intertwine.numerics import InputError

LETTERS = {1: "A", 2: "E", 3: "T", 4: "G", 5: "H"}
Matrices = tuple[str, Tensor, int]
"""Name, matrices (N, dim, dim) and type of an irrep."""


@dataclass(frozen=True, eq=False)
class FiniteIrrep(LinearRepresentation):
    """An orthogonal irrep of a finite group, its matrices kept (N, dim, dim).

    ``type`` is e = 1 (real), 2 (complex) or 4 (quaternionic), the dimension of what commutes with it.
    """

    group: Group
    name: str
    matrices: Float[Tensor, "n dim dim"] = field(repr=False)
    type: int = 1

    @property
    def dim(self) -> int:  # type: ignore[override]
        return self.matrices.shape[-1]

    def matrix(self, g: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch dim dim"]:
        return self.matrices.to(g.device)[g]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FiniteIrrep) and (self.group, self.name) == (other.group, other.name)

    def __hash__(self) -> int:
        return hash((self.group, self.name))

    def __str__(self) -> str:
        return self.name


def polygon_irreps(matrices: Float[Tensor, "n 2 2"]) -> list[Matrices]:
    """The irreps of C_n, or of D_n, from its plane matrices (turns first): one or two of each frequency up to n/2."""
    mirror = torch.linalg.det(matrices) < 0
    n = int((~mirror).sum())
    numbers = torch.arange(n)
    result = []
    for k in range(n // 2 + 1):
        if k and 2 * k < n:
            # the k-th power is itself in the table, so that no rounding is multiplied
            turned = matrices[(numbers * k) % n]
            result.append(
                (
                    f"k={k}",
                    torch.cat([turned, turned @ matrices[n]]) if mirror.any() else turned,
                    1 if mirror.any() else 2,
                )
            )
            continue
        signs = (1 - 2 * (numbers % 2) * bool(k)).to(torch.float64)[:, None, None]
        if not mirror.any():
            result.append((f"k={k}", signs, 1))
        else:
            result += [(f"k={k}", torch.cat([signs, signs]), 1), (f"k={k} odd", torch.cat([signs, -signs]), 1)]
    return result


def regular_irreps(
    table: Int[Tensor, "n n"], inverses: Int[Tensor, " n"], inversion: int | None = None
) -> list[Matrices]:
    r"""All real irreps of the group of a table, by dimension, the trivial one first; named by Mulliken's letters.

    A symmetric matrix that commutes with the regular representation, random but for that, has eigenspaces that are
    irreducible: the left ideals of a random element :math:`c = c^*` of the group algebra. A space of each class is
    kept.

    Args:
        table: products.
        inverses: the inverse of each element.
        inversion: the element -1, if there is one: irreps are then g or u by their sign under it.
    """
    n = len(table)
    generator = torch.Generator().manual_seed(11)
    for _ in range(20):
        draw = torch.randn(n, generator=generator, dtype=torch.float64)
        c = draw + draw[inverses]
        # (f * c)(g) = sum over h of f(h) c(h^-1 g) commutes with the left translations
        values, vectors = torch.linalg.eigh(c[table[inverses]])
        gaps, scale = values.diff(), values.abs().max()
        if not ((gaps > 1e-11 * scale) & (gaps < 1e-5 * scale)).any():
            break
    else:
        raise InputError("no clear eigenspaces", where="irreps", remedy="report this group.")
    ends = (gaps > 1e-8 * scale).nonzero()[:, 0].add(1).tolist()
    kept: list[tuple[Tensor, Tensor]] = []
    for space in sorted(vectors.tensor_split(ends, dim=1), key=lambda s: s.shape[1]):
        moved = space[table[inverses]]  # (g, h, d): (L(g) f)(h) = f(g^-1 h)
        u, _, v = torch.linalg.svd(torch.einsum("hi,ghj->gij", space, moved))
        matrices = u @ v
        character = matrices.diagonal(dim1=1, dim2=2).sum(1)
        if all((character - other).abs().max() > 1e-6 for other, _ in kept):
            kept.append((character, matrices))
    kept.sort(key=lambda pair: (pair[1].shape[-1], [-round(float(value), 6) for value in pair[0]]))
    names = _names([matrices for _, matrices in kept], inversion)
    return [(name, m, round(float(character.square().mean()))) for name, (character, m) in zip(names, kept)]


def _names(matrices: list[Tensor], inversion: int | None) -> list[str]:
    """Mulliken's letters by dimension, numbered where there are several; g and u by the sign under inversion."""
    stems = []
    for m in matrices:
        parity = "" if inversion is None else "g" if m[inversion, 0, 0] > 0 else "u"
        stems.append((LETTERS.get(m.shape[-1], f"{m.shape[-1]}D"), parity))
    names = []
    for k, stem in enumerate(stems):
        number = f"{stems[: k + 1].count(stem)}" if stems.count(stem) > 1 else ""
        names.append(f"{stem[0]}{number}{stem[1]}")
    return names
