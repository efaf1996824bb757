"""Irreducible representations of O(3) and their direct sums, in e3nn's words: ``"1o"`` and ``"16x0e + 8x1o"``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError
from intertwine.numerics.limits import LARGEST_NAMED_DEGREE, check_degrees, check_size
from intertwine.o3.components import CountedSlices, RandomComponents, copies
from intertwine.o3.irrep import IrrepName, is_irrep
from intertwine.o3.matrices import Representing, matrix_of_irrep, matrix_of_sum
from intertwine.o3.notation import read_terms


class Irrep(IrrepName, Representing):
    r"""The irreducible representation of degree ``l`` (dimension 2l+1) and parity ``p`` (1 even "e", -1 odd "o").

    Irreps are pairs (l, p): they compare, sort and hash as such.

    Args:
        l: degree, 0 or more; or a string such as ``"1o"`` (``"2y"`` has the parity :math:`(-1)^l` of the harmonics), a
            pair, an Irrep.
        p: parity, 1 or -1; only with a degree.

    Raises:
        InputError: negative degree, another parity, or a string that is not an irrep.

    >>> Irrep("1o"), Irrep(2, 1).dim, Irrep("1o") in Irrep("1e") * Irrep("2o")
    (1o, 5, True)
    """

    __slots__ = ()
    axes = 1

    def __rmul__(self, multiplicity: Any) -> Irreps:  # type: ignore[override]
        return Irreps([(multiplicity, self)])

    def __add__(self, other: Any) -> Irreps:  # type: ignore[override]
        return Irreps(self) + Irreps(other)

    def proper_matrix(self, rotation: Tensor, sign: Tensor | None) -> Tensor:
        """As :class:`~intertwine.o3.matrices.Matrices` says: (..., 2l+1, 2l+1)."""
        return matrix_of_irrep(self.l, self.p, rotation, sign)


class MulIr(tuple[int, Irrep]):
    """A multiplicity and an irrep: one block of :class:`Irreps`."""

    __slots__ = ()

    def __new__(cls, mul: Any, ir: Any = None) -> MulIr:
        number, irrep = mul if isinstance(mul, tuple) and ir is None else (mul, ir)
        if not isinstance(number, int) or isinstance(number, bool) or number < 0 or irrep is None:
            raise InputError(
                f"{number!r} copies of {irrep!r} is not an irrep with a multiplicity",
                where="irreps",
                remedy='give a multiplicity of 0 or more and an irrep, such as (16, "1o").',
            )
        return super().__new__(cls, (number, Irrep(irrep)))

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.mul, self.ir

    @property
    def mul(self) -> int:
        """Multiplicity."""
        return self[0]

    @property
    def ir(self) -> Irrep:
        """The irrep."""
        return self[1]

    @property
    def dim(self) -> int:
        """Multiplicity times 2l+1."""
        return self.mul * self.ir.dim

    def __repr__(self) -> str:
        return f"{self.mul}x{self.ir}"

    __str__ = __repr__


class Sorted(NamedTuple):
    """What :meth:`Irreps.sort` returns: block i of the unsorted sum is block ``p[i]`` of ``irreps``; ``inv`` is the
    inverse.
    """

    irreps: Irreps
    p: tuple[int, ...]
    inv: tuple[int, ...]


class Irreps(tuple[MulIr, ...], Representing, RandomComponents):
    r"""A direct sum of irreps with multiplicities, immutable; components in ``mul_ir`` order on the last axis.

    Args:
        irreps: a string such as ``"64x0e + 1o"``, another ``Irreps``, an :class:`Irrep`, or any number of blocks:
            strings, irreps, or pairs of multiplicity and irrep. Nothing is the empty sum.

    Raises:
        InputError: the string is not a sum of terms ``[multiplicity x] degree parity``, or a block is not one.

    >>> irreps = Irreps("2x0e + 1o")
    >>> irreps.dim, irreps.num_irreps, irreps.lmax, [mul for mul, ir in irreps]
    (5, 3, 1, [2, 1])
    >>> irreps + "2e", 2 * Irreps("1o"), irreps[1:], "1o" in irreps
    (2x0e+1x1o+1x2e, 1x1o+1x1o, 1x1o, True)
    """

    __slots__ = ()
    axes = 1

    def __new__(cls, irreps: Any = None) -> Irreps:
        if isinstance(irreps, Irreps):
            return super().__new__(cls, irreps)
        if isinstance(irreps, str):
            blocks: Any = _written(irreps)
        elif is_irrep(irreps):
            blocks = [MulIr(1, Irrep(irreps))]
        elif irreps is None or isinstance(irreps, Iterable):
            blocks = [_block(entry) for entry in irreps or ()]
        else:
            raise InputError(
                f"{irreps!r} is not a sum of irreps", where="Irreps", remedy='give a string such as "16x0e + 8x1o".'
            )
        return super().__new__(cls, blocks)

    @staticmethod
    def spherical_harmonics(lmax: int, p: int = -1) -> Irreps:
        r"""The representation of :math:`(Y^0, \ldots, Y^{l_{max}})`: degree l with parity :math:`p^l`.

        >>> Irreps.spherical_harmonics(2)
        1x0e+1x1o+1x2e
        """
        if lmax < 0:
            raise InputError(
                f"degrees start at 0, got lmax={lmax}", where="Irreps.spherical_harmonics", remedy="give 0 or more."
            )
        check_degrees([lmax], "Irreps.spherical_harmonics", LARGEST_NAMED_DEGREE)
        return Irreps([(1, (l, p**l)) for l in range(lmax + 1)])

    @property
    def blocks(self) -> tuple[MulIr, ...]:
        """The blocks as a plain tuple."""
        return tuple(self)

    @property
    def dim(self) -> int:
        """Total number of components."""
        return sum(block.dim for block in self)

    @property
    def terms(self) -> tuple[tuple[int, Irrep], ...]:
        """Multiplicity and irrep of each block that is not empty: the sum as any representation's."""
        return tuple((mul, ir) for mul, ir in self if mul)

    @property
    def num_irreps(self) -> int:
        """Number of irreps: the sum of the multiplicities."""
        return sum(mul for mul, _ in self)

    @property
    def ls(self) -> list[int]:
        """The degree of every single irrep."""
        return [ir.l for mul, ir in self for _ in range(mul)]

    @property
    def lmax(self) -> int:
        """Largest degree that is present.

        Raises:
            InputError: the sum is empty.
        """
        if not self.num_irreps:
            raise InputError(
                "an empty sum has no largest degree",
                where=f"Irreps({str(self)!r}).lmax",
                remedy="test num_irreps first.",
            )
        return max(ir.l for mul, ir in self if mul)

    def __str__(self) -> str:
        return "+".join(str(block) for block in self)

    __repr__ = __str__

    def __getitem__(self, index: Any) -> Any:
        item = super().__getitem__(index)
        return Irreps(item) if isinstance(index, slice) else item

    def __contains__(self, ir: object) -> bool:
        return any(other == Irrep(ir) for _, other in self)  # type: ignore[arg-type]

    def __add__(self, other: Any) -> Irreps:
        return Irreps((*self, *Irreps(other)))

    def __mul__(self, times: Any) -> Irreps:
        if not isinstance(times, int):
            raise InputError(
                f"Irreps times {type(times).__name__} is not defined",
                where="Irreps",
                remedy="use FullTensorProduct for the product.",
            )
        return Irreps(tuple(self) * times)

    __rmul__ = __mul__

    def count(self, ir: Irrep | str) -> int:  # type: ignore[override]
        """Number of copies of an irrep: 0 says that the sum lacks it."""
        wanted = _single(ir)
        return sum(mul for mul, other in self if other == wanted)

    def slices(self) -> list[slice]:
        """Where each block lies on the last axis."""
        ranges, start = [], 0
        for block in self:
            ranges.append(slice(start, start + block.dim))
            start += block.dim
        return ranges

    @property
    def slice_by_mul(self) -> CountedSlices[Irreps]:
        """Slices that count single irreps: ``Irreps("10x0e+2e").slice_by_mul[8:11]`` is ``2x0e+1x2e``."""
        return CountedSlices(self, Irreps)

    def simplify(self) -> Irreps:
        """Merge neighbours of one irrep; drop empty blocks. The components keep their order.

        >>> Irreps("1e + 1e + 0x2e + 0e").simplify()
        2x1e+1x0e
        """
        merged: list[tuple[int, Irrep]] = []
        for mul, ir in self:
            if merged and merged[-1][1] == ir:
                merged[-1] = (merged[-1][0] + mul, ir)
            elif mul:
                merged.append((mul, ir))
        return Irreps(merged)

    def remove_zero_multiplicities(self) -> Irreps:
        """Without the blocks that have no copies."""
        return Irreps([block for block in self if block.mul])

    def sort(self) -> Sorted:
        """Blocks by degree, odd before even, stable.

        >>> Irreps("2o + 1e + 0e + 1e").sort()
        Sorted(irreps=1x0e+1x1e+1x1e+1x2o, p=(3, 1, 0, 2), inv=(2, 1, 3, 0))
        """
        order = tuple(sorted(range(len(self)), key=lambda i: (self[i].ir, i)))
        places = tuple(sorted(range(len(self)), key=lambda i: order[i]))
        return Sorted(Irreps([self[i] for i in order]), places, order)

    def regroup(self) -> Irreps:
        """Sorted, with one block for each irrep."""
        return self.sort().irreps.simplify()

    def filter(self, keep: Any = None, *, drop: Any = None, lmax: int | None = None) -> Irreps:
        """The blocks that pass one criterion.

        Args:
            keep: irreps to keep: a string, irreps, or a function of a block.
            drop: irreps to leave out, in the same forms.
            lmax: largest degree to keep.

        Raises:
            InputError: more than one criterion.

        >>> Irreps("1e + 2e + 0e").filter("0e + 1e"), Irreps("1e + 2e + 0e").filter(drop=lambda block: block.ir.l > 0)
        (1x1e+1x0e, 1x0e)
        """
        named = [name for name, value in (("keep", keep), ("drop", drop), ("lmax", lmax)) if value is not None]
        if len(named) > 1:
            raise InputError(
                f"{' and '.join(named)} given at once",
                where="Irreps.filter",
                remedy="give one criterion, or filter twice.",
            )
        if lmax is not None:
            return Irreps([block for block in self if block.ir.l <= lmax])
        if not named:
            return self
        chosen = _chooser(keep if drop is None else drop)
        return Irreps([block for block in self if chosen(block) == (drop is None)])

    def part(self, x: Float[Tensor, "*batch dim"], ir: Irrep | str) -> Float[Tensor, "*batch copies component"]:
        """The copies of one irrep in a tensor of this representation.

        Args:
            x: components (..., dim).
            ir: the irrep wanted, such as ``"1o"``.

        Returns:
            (..., copies, 2l+1); no copies where the sum lacks the irrep.
        """
        wanted = _single(ir)
        return copies(x, [(where, b.mul) for where, b in zip(self.slices(), self) if b.ir == wanted], wanted.dim)

    def proper_matrix(self, rotation: Tensor, sign: Tensor | None) -> Tensor:
        """As :class:`~intertwine.o3.matrices.Matrices` says: (..., dim, dim), block-diagonal."""
        if not self.dim:
            return rotation.new_zeros(*rotation.shape[:-2], 0, 0)
        check_size(self.dim**2, "entries of a matrix", f"Irreps({str(self)[:40]!r})")
        return matrix_of_sum([(mul, ir.l, ir.p) for mul, ir in self], rotation, sign)


@lru_cache(maxsize=1024)
def _written(spec: str) -> tuple[MulIr, ...]:
    """The blocks of a string such as ``"16x0e + 8x1o"``."""
    return tuple(MulIr(mul, Irrep(l, p)) for mul, l, p in read_terms(spec))


def _block(entry: Any) -> MulIr:
    """One block: a string, an irrep, or a pair of multiplicity and irrep."""
    if isinstance(entry, MulIr):
        return entry
    if isinstance(entry, str) or is_irrep(entry):
        return MulIr(1, Irrep(entry))
    if not isinstance(entry, tuple | list) or len(entry) != 2:
        raise InputError(
            f"{entry!r} is not a block", where="irreps", remedy='give (multiplicity, irrep), such as (16, "1o").'
        )
    return MulIr(entry[0], entry[1])


def _chooser(wanted: Any) -> Callable[[MulIr], bool]:
    if callable(wanted):
        return wanted  # type: ignore[no-any-return]
    entries = [wanted] if isinstance(wanted, MulIr) else Irreps(wanted)
    irreps = {block.ir for block in entries}
    return lambda block: block.ir in irreps


def _single(ir: Irrep | str) -> Irrep:
    if not isinstance(ir, str):
        return Irrep(ir)
    blocks = Irreps(ir)
    if len(blocks) != 1:
        raise InputError(f"{ir!r} is not one irrep", where="irrep", remedy='ask for one, such as "1o".')
    return blocks[0].ir
