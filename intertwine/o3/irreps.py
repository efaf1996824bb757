"""Direct sums of irreducible representations of O(3), in e3nn's words: ``"16x0e + 8x1o"``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError, choose
from intertwine.numerics.linalg import direct_sum
from intertwine.o3.angles import angles_to_matrix
from intertwine.o3.irrep import Irrep, MulIr, inversion_sign, is_irrep
from intertwine.o3.limits import LARGEST_SUM, check_degrees, check_size
from intertwine.o3.notation import read_block, read_terms
from intertwine.o3.rotation import axis_angle_to_matrix, determinant_sign, quaternion_to_matrix, require_rotation
from intertwine.o3.wigner import wigner_d_blocks


class Sorted(NamedTuple):
    """What :meth:`Irreps.sort` returns: block i of the unsorted sum is block ``p[i]`` of ``irreps``; ``inv`` is the
    inverse.
    """

    irreps: Irreps
    p: tuple[int, ...]
    inv: tuple[int, ...]


class Irreps(tuple[MulIr, ...]):
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
            blocks: Any = read_terms(irreps)
        elif is_irrep(irreps):
            blocks = [MulIr(1, Irrep(irreps))]
        elif irreps is None or isinstance(irreps, Iterable):
            blocks = [read_block(entry) for entry in irreps or ()]
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
        check_degrees([lmax], "Irreps.spherical_harmonics", LARGEST_SUM)
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
        found = super().__getitem__(index)
        return Irreps(found) if isinstance(index, slice) else found

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
        found, start = [], 0
        for block in self:
            found.append(slice(start, start + block.dim))
            start += block.dim
        return found

    @property
    def slice_by_mul(self) -> _SliceByMul:
        """Slices that count single irreps: ``Irreps("10x0e+2e").slice_by_mul[8:11]`` is ``2x0e+1x2e``."""
        return _SliceByMul(self)

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
        given = [name for name, value in (("keep", keep), ("drop", drop), ("lmax", lmax)) if value is not None]
        if len(given) > 1:
            raise InputError(
                f"{' and '.join(given)} given at once",
                where="Irreps.filter",
                remedy="give one criterion, or filter twice.",
            )
        if lmax is not None:
            return Irreps([block for block in self if block.ir.l <= lmax])
        if not given:
            return self
        chosen = _chooser(keep if drop is None else drop)
        return Irreps([block for block in self if chosen(block) == (drop is None)])

    def randn(
        self,
        *size: int,
        normalization: str = "component",
        requires_grad: bool = False,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Random components, standard normal ("component") or uniform on the sphere of every single irrep ("norm").

        Args:
            size: shape, in which -1 stands for ``dim``.
            normalization: "component" or "norm".
            requires_grad, dtype, device, generator: as in ``torch.randn``.

        >>> Irreps("5x0e + 10x1o").randn(5, -1, 5, normalization="norm").shape
        torch.Size([5, 35, 5])
        """
        choose(normalization, ("component", "norm"), kind="normalization", where="Irreps.randn")
        if size.count(-1) != 1:
            raise InputError(
                f"the shape {size} has not exactly one -1",
                where="Irreps.randn",
                remedy="write -1 for the axis of irreps.",
            )
        axis = size.index(-1)
        before, after = size[:axis], size[axis + 1 :]

        def draw(*middle: int) -> Tensor:
            return torch.randn(*before, *middle, *after, dtype=dtype, device=device, generator=generator)

        if normalization == "component":
            return draw(self.dim).requires_grad_(requires_grad)
        parts = []
        for mul, ir in self:
            x = draw(mul, ir.dim)
            parts.append((x / x.norm(dim=axis + 1, keepdim=True)).flatten(axis, axis + 1))
        return (torch.cat(parts, dim=axis) if parts else draw(0)).requires_grad_(requires_grad)

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
            x[..., where].unflatten(-1, (b.mul, b.ir.dim)) for where, b in zip(self.slices(), self) if b.ir == wanted
        ]
        if not found:
            return x.new_zeros(*x.shape[:-1], 0, wanted.dim)
        return found[0] if len(found) == 1 else torch.cat(found, dim=-2)

    def D_from_matrix(self, R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch dim dim"]:
        r"""Block-diagonal :math:`\bigoplus D^l(R)`, with the parity for det R = -1; an InputError if R is not
        orthogonal.
        """
        require_rotation(R, "D_from_matrix", improper=True)
        sign = determinant_sign(R)
        return self._sum(R * sign[..., None, None], sign)

    def D_from_quaternion(
        self, q: Float[Tensor, "*batch 4"], k: Tensor | None = None
    ) -> Float[Tensor, "*shape dim dim"]:
        """As :meth:`Irrep.D_from_quaternion`, block-diagonal."""
        return self._sum(quaternion_to_matrix(q), None if k is None else inversion_sign(k.to(q)))

    def D_from_angles(
        self, alpha: Tensor, beta: Tensor, gamma: Tensor, k: Tensor | None = None
    ) -> Float[Tensor, "*shape dim dim"]:
        """As :meth:`Irrep.D_from_angles`, block-diagonal."""
        return self._sum(angles_to_matrix(alpha, beta, gamma), None if k is None else inversion_sign(k.to(alpha)))

    def D_from_axis_angle(
        self, axis: Float[Tensor, "*batch 3"], angle: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch dim dim"]:
        """As :meth:`Irrep.D_from_axis_angle`, block-diagonal."""
        return self._sum(axis_angle_to_matrix(axis, angle), None)

    def _sum(self, rotation: Tensor, sign: Tensor | None) -> Tensor:
        """The matrix of a proper rotation, odd irreps times the sign."""
        if not self.dim:
            return rotation.new_zeros(*rotation.shape[:-2], 0, 0)
        check_size(self.dim**2, "entries of a matrix", f"Irreps({str(self)[:40]!r})")
        degrees = wigner_d_blocks(max(ir.l for _, ir in self), rotation)
        odd = {
            ir.l: degrees[ir.l] if sign is None else degrees[ir.l] * sign[..., None, None]
            for _, ir in self
            if ir.p == -1
        }
        return direct_sum(*[_copies(degrees[ir.l] if ir.p == 1 else odd[ir.l], mul) for mul, ir in self])

    def matrix(self, rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch dim dim"]:
        """:meth:`D_from_matrix`, under its name as a :class:`~intertwine.groups.Representation`."""
        return self.D_from_matrix(rotation)

    def transform(self, rotation: Float[Tensor, "3 3"], x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        r""":math:`D(R)\,x`, the matrix computed in float64: it makes an Irreps a
        :class:`~intertwine.groups.Representation`.
        """
        return x @ self.D_from_matrix(rotation.to(torch.float64)).to(x).T


class _SliceByMul:
    def __init__(self, irreps: Irreps) -> None:
        self.irreps = irreps

    def __getitem__(self, index: slice) -> Irreps:
        if not isinstance(index, slice) or index.step not in (None, 1):
            raise InputError(
                f"{index!r} is not a slice of step 1",
                where="Irreps.slice_by_mul",
                remedy="write slice_by_mul[first:last].",
            )
        start, stop, _ = index.indices(self.irreps.num_irreps)
        found, first = [], 0
        for mul, ir in self.irreps:
            inside = min(stop, first + mul) - max(start, first)
            if (start < first + mul and first < stop) or (mul == 0 and start <= first <= stop):
                found.append((inside, ir))
            first += mul
        return Irreps(found)


def _copies(d: Tensor, mul: int) -> Tensor:
    """Block-diagonal matrix of ``mul`` times the same."""
    if mul == 1:
        return d
    return (
        (torch.eye(mul, dtype=d.dtype, device=d.device)[:, None, :, None] * d[..., None, :, None, :])
        .flatten(-4, -3)
        .flatten(-2)
    )


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
