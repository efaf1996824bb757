"""Irreducible representations of O(3), in e3nn's words: ``"16x0e + 8x1o"``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError
from intertwine.o3.wigner import wigner_d


class Irrep(NamedTuple):
    r"""The irreducible representation of degree ``l`` (dimension 2l+1) and parity ``p`` (1 even "e", -1 odd "o")."""

    l: int
    p: int

    @property
    def dim(self) -> int:
        return 2 * self.l + 1

    def __str__(self) -> str:
        return f"{self.l}{'e' if self.p == 1 else 'o'}"


class Irreps:
    r"""A direct sum of irreps with multiplicities, immutable; components in ``mul_ir`` order on the last axis.

    Args:
        spec: a string such as ``"64x0e + 1o"``, another ``Irreps``, or pairs of multiplicity and :class:`Irrep`.

    Raises:
        InputError: the string is not a sum of terms ``[multiplicity x] degree parity``.

    >>> Irreps("2x0e + 1o").dim
    5
    """

    axes = 1

    def __init__(self, spec: str | Irreps | Iterable[tuple[int, Irrep]]) -> None:
        if isinstance(spec, str):
            self.blocks = tuple(_parse(term, spec) for term in spec.split("+") if term.strip())
        else:
            self.blocks = tuple((int(mul), Irrep(*ir)) for mul, ir in spec)

    def __iter__(self) -> Iterator[tuple[int, Irrep]]:
        return iter(self.blocks)

    def __len__(self) -> int:
        return len(self.blocks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Irreps) and self.blocks == other.blocks

    def __hash__(self) -> int:
        return hash(self.blocks)

    def __str__(self) -> str:
        return "+".join(f"{mul}x{ir}" for mul, ir in self.blocks)

    __repr__ = __str__

    @property
    def dim(self) -> int:
        """Total number of components."""
        return sum(mul * ir.dim for mul, ir in self.blocks)

    def count(self, ir: Irrep | str) -> int:
        """Number of copies of an irrep: 0 says that the sum lacks it."""
        wanted = _single(ir)
        return sum(mul for mul, other in self.blocks if other == wanted)

    def slices(self) -> list[slice]:
        """Where each block lies on the last axis."""
        ends = torch.tensor([mul * ir.dim for mul, ir in self.blocks], dtype=torch.int64).cumsum(0).tolist()
        return [slice(end - mul * ir.dim, end) for end, (mul, ir) in zip(ends, self.blocks, strict=True)]

    def part(self, x: Float[Tensor, "*batch dim"], ir: Irrep | str) -> Float[Tensor, "*batch copies component"]:
        """The copies of one irrep in a tensor of this representation.

        Args:
            x: components (..., dim).
            ir: the irrep wanted, such as ``"1o"``.

        Returns:
            (..., copies, 2l+1); no copies where the sum lacks the irrep.
        """
        wanted = _single(ir)
        found = [
            x[..., where].unflatten(-1, (mul, other.dim))
            for where, (mul, other) in zip(self.slices(), self.blocks, strict=True)
            if other == wanted
        ]
        return torch.cat(found, dim=-2) if len(found) != 1 and found else found[0] if found else x.new_zeros(*x.shape[:-1], 0, wanted.dim)

    def matrix(self, rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "dim dim"]:
        r"""Block-diagonal :math:`\bigoplus D^l(Q)`, times the parity for an improper Q."""
        proper = torch.linalg.det(rotation).round()
        blocks = []
        for mul, ir in self.blocks:
            block = wigner_d(ir.l, rotation * proper)
            blocks += [block * proper if ir.p == -1 else block] * mul
        return torch.block_diag(*blocks) if blocks else rotation.new_zeros(0, 0)

    def transform(self, rotation: Float[Tensor, "3 3"], x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        return x @ self.matrix(rotation.to(torch.float64)).to(x).T


def _single(ir: Irrep | str) -> Irrep:
    if not isinstance(ir, str):
        return ir
    blocks = Irreps(ir).blocks
    if len(blocks) != 1:
        raise InputError(f"{ir!r} is not one irrep", where="irrep", remedy='ask for one, such as "1o".')
    return blocks[0][1]


def _parse(term: str, spec: str) -> tuple[int, Irrep]:
    match = re.fullmatch(r"\s*(?:(\d+)\s*x\s*)?(\d+)([eo])\s*", term)
    if match is None:
        raise InputError(
            f"{term.strip()!r} is not an irrep",
            where=f"irreps {spec!r}",
            remedy='write terms like "16x0e + 8x1o": multiplicity, x, degree, e or o.',
        )
    multiplicity, degree, parity = match.groups()
    return int(multiplicity or 1), Irrep(int(degree), 1 if parity == "e" else -1)
