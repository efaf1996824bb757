"""Tensor products whose paths follow from the representations: full, fully connected, elementwise, and the square."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError, choose
from intertwine.numerics.limits import check_size
from intertwine.o3.irreps import Irrep, Irreps
from intertwine.o3.tensor_product import TensorProduct

MOST_PAIRS = 2_500  # of irreps that are multiplied with each other: 50 with 50


class FullyConnectedTensorProduct(TensorProduct):
    r"""All paths that exist, all multiplicities mixed: :math:`z_w = \sum_{uv} W_{uvw}\, x_u \otimes y_v`, summed over
    the paths.

    Args:
        irreps_in1, irreps_in2, irreps_out: representations of x, y and z.
        irrep_normalization, path_normalization: see :class:`TensorProduct`.
        kwargs: the other options of :class:`TensorProduct`.

    >>> FullyConnectedTensorProduct("8x0e + 8x1o", "0e + 1o", "4x1o")
    FullyConnectedTensorProduct(8x0e+8x1o x 1x0e+1x1o -> 4x1o | 64 paths | 64 weights)
    """

    def __init__(
        self,
        irreps_in1: Any,
        irreps_in2: Any,
        irreps_out: Any,
        irrep_normalization: str | None = None,
        path_normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        irreps_in1, irreps_in2, irreps_out = Irreps(irreps_in1), Irreps(irreps_in2), Irreps(irreps_out)
        paths = [
            (i1, i2, io, "uvw", True)
            for i1, (_, ir1) in enumerate(irreps_in1)
            for i2, (_, ir2) in enumerate(irreps_in2)
            for io, (_, ir) in enumerate(irreps_out)
            if ir in ir1 * ir2
        ]
        super().__init__(
            irreps_in1,
            irreps_in2,
            irreps_out,
            paths,
            irrep_normalization=irrep_normalization,
            path_normalization=path_normalization,
            **kwargs,
        )


class ElementwiseTensorProduct(TensorProduct):
    r"""Channel by channel, without weights: :math:`z_u = x_u \otimes y_u`.

    Args:
        irreps_in1, irreps_in2: representations of x and y, with the same number of irreps.
        filter_ir_out: keep only these irreps of the output; None keeps all.
        irrep_normalization: see :class:`TensorProduct`.
        kwargs: the other options of :class:`TensorProduct`.

    Raises:
        InputError: the numbers of irreps differ.

    Scalar products of five pairs of vectors and of five pairs of pseudovectors with vectors:

    >>> ElementwiseTensorProduct("5x1o + 5x1e", "10x1e", ["0e", "0o"])
    ElementwiseTensorProduct(5x1o+5x1e x 10x1e -> 5x0o+5x0e | 10 paths | 0 weights)
    """

    def __init__(
        self,
        irreps_in1: Any,
        irreps_in2: Any,
        filter_ir_out: Iterable[Any] | None = None,
        irrep_normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        first, second = Irreps(irreps_in1).simplify(), Irreps(irreps_in2).simplify()
        if first.num_irreps != second.num_irreps:
            raise InputError(
                f"{first} has {first.num_irreps} irreps and {second} has {second.num_irreps}",
                where="irreps_in2",
                remedy="give as many, for they are multiplied one by one.",
            )
        kept = _filter(filter_ir_out)
        blocks1, blocks2 = _aligned(first, second)
        out: list[tuple[int, Irrep]] = []
        paths: list[tuple[Any, ...]] = []
        for index, ((mul, ir1), (_, ir2)) in enumerate(zip(blocks1, blocks2)):
            for ir in ir1 * ir2:
                if kept is None or ir in kept:
                    paths.append((index, index, len(out), "uuu", False))
                    out.append((mul, ir))
        super().__init__(blocks1, blocks2, out, paths, irrep_normalization=irrep_normalization, **kwargs)


class FullTensorProduct(TensorProduct):
    r"""Every irrep of x with every irrep of y, without weights: :math:`z_{uv} = x_u \otimes y_v`, sorted.

    Args:
        irreps_in1, irreps_in2: representations of x and y.
        filter_ir_out: keep only these irreps of the output; None keeps all.
        irrep_normalization: see :class:`TensorProduct`.
        kwargs: the other options of :class:`TensorProduct`.

    >>> FullTensorProduct("1o", "1e")
    FullTensorProduct(1x1o x 1x1e -> 1x0o+1x1o+1x2o | 3 paths | 0 weights)
    """

    def __init__(
        self,
        irreps_in1: Any,
        irreps_in2: Any,
        filter_ir_out: Iterable[Any] | None = None,
        irrep_normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        first, second, kept = Irreps(irreps_in1).simplify(), Irreps(irreps_in2).simplify(), _filter(filter_ir_out)
        check_size(len(first) * len(second), "pairs of irreps", "FullTensorProduct", MOST_PAIRS)
        out: list[tuple[int, Irrep]] = []
        paths: list[tuple[Any, ...]] = []
        for i1, (mul1, ir1) in enumerate(first):
            for i2, (mul2, ir2) in enumerate(second):
                for ir in ir1 * ir2:
                    if kept is None or ir in kept:
                        paths.append((i1, i2, len(out), "uvuv", False))
                        out.append((mul1 * mul2, ir))
        super().__init__(first, second, *_sorted(out, paths), irrep_normalization=irrep_normalization, **kwargs)


class TensorSquare(TensorProduct):
    r"""The symmetric square :math:`x \otimes x`, without the terms that vanish or come twice.

    Without ``irreps_out`` all terms, unweighted and sorted; with it, weighted sums of them.

    Args:
        irreps_in: representation of x.
        irreps_out: representation of the output; None: what the square contains.
        filter_ir_out: keep only these irreps; only without ``irreps_out``.
        irrep_normalization: see :class:`TensorProduct`; the default ``"component"`` is for x with independent normal
            components.
        kwargs: the other options of :class:`TensorProduct`.

    Raises:
        InputError: both ``irreps_out`` and ``filter_ir_out`` are given.

    >>> TensorSquare("2x1o")
    TensorSquare(2x1o -> 3x0e+1x1e+3x2e | 7 paths | 0 weights)
    """

    def __init__(
        self,
        irreps_in: Any,
        irreps_out: Any = None,
        filter_ir_out: Iterable[Any] | None = None,
        irrep_normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        if irreps_out is not None and filter_ir_out is not None:
            raise InputError(
                "both irreps_out and filter_ir_out are given", where="filter_ir_out", remedy="give one of them."
            )
        rule = choose(
            irrep_normalization or "component",
            ("component", "norm", "none"),
            kind="normalisation",
            where="irrep_normalization",
        )
        irreps, kept = Irreps(irreps_in).simplify(), _filter(filter_ir_out)
        out: Any = []
        paths: list[tuple[Any, ...]] = []
        if irreps_out is None:
            for i1, i2, _, ir, mode, alpha in _square(irreps, rule, ("uvuv", "uvu<v", "uuu")):
                if kept is None or ir in kept:
                    mul1, mul2 = irreps[i1].mul, irreps[i2].mul
                    mul = {"uvuv": mul1 * mul2, "uvu<v": mul1 * (mul1 - 1) // 2, "uuu": mul1}[mode]
                    paths.append((i1, i2, len(out), mode, False, alpha))
                    out.append((mul, ir))
            out, paths = _sorted(out, paths)
        else:
            out = Irreps(irreps_out).simplify()
            paths = [
                (i1, i2, io, mode, True, alpha)
                for i1, i2, io, _, mode, alpha in _square(irreps, rule, ("uvw", "u<vw", "uuw"), out)
            ]
        super().__init__(irreps, irreps, out, paths, irrep_normalization="none", **kwargs)
        self.irreps_in = irreps

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.irreps_in} -> {self._summary()})"

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "... dim1"], weight: Float[Tensor, "... weights"] | Sequence[Any] | None = None
    ) -> Float[Tensor, "... dim_out"]:
        """z of x (..., irreps_in.dim) and the weights, which are as in :meth:`TensorProduct.forward`; (...,
        irreps_out.dim).
        """
        return super().forward(x, x, weight)


def _square(
    irreps: Irreps, rule: str, modes: tuple[str, str, str], out: Irreps | None = None
) -> Iterator[tuple[int, int, int, Irrep, str, float]]:
    """Paths (i1, i2, place in ``out``, irrep, mode, alpha): two blocks, two channels of one, a channel with itself."""
    for i1, (mul, ir1) in enumerate(irreps):
        for i2, (_, ir2) in list(enumerate(irreps))[i1:]:
            targets = (
                [(-1, ir) for ir in ir1 * ir2]
                if out is None
                else [(io, ir) for io, (_, ir) in enumerate(out) if ir in ir1 * ir2]
            )
            for io, ir in targets:
                alpha = {"component": float(ir.dim), "norm": float(ir1.dim * ir2.dim), "none": 1.0}[rule]
                if i1 < i2:
                    yield i1, i2, io, ir, modes[0], alpha
                    continue
                if mul > 1:
                    yield i1, i1, io, ir, modes[1], alpha
                if ir.l % 2 == 0:  # x with itself has no antisymmetric part
                    yield i1, i1, io, ir, modes[2], _with_itself(ir1, ir, rule)


def _with_itself(ir1: Irrep, ir: Irrep, rule: str) -> float:
    """alpha of x with itself, whose components are not independent: from the fourth moments of the normal distribution,
    or of a sphere.
    """
    if rule == "component":
        return ir.dim / (ir1.dim + 2) if ir.l == 0 else ir.dim / 2
    if rule == "norm":
        return float(ir1.dim) if ir.l == 0 else ir1.dim * (ir1.dim + 2) / 2
    return 1.0


def _filter(kept: Iterable[Any] | None) -> list[Irrep] | None:
    return None if kept is None else [ir for _, ir in Irreps(kept)]


def _sorted(out: list[tuple[int, Irrep]], paths: list[tuple[Any, ...]]) -> tuple[Irreps, list[tuple[Any, ...]]]:
    """The output sorted by irrep, and the paths to where their blocks are now."""
    irreps, place, _ = Irreps(out).sort()
    return irreps, [(i1, i2, place[io], *rest) for i1, i2, io, *rest in paths]


def _aligned(first: Irreps, second: Irreps) -> tuple[list[tuple[int, Irrep]], list[tuple[int, Irrep]]]:
    """Both representations cut where either of them changes, so that their blocks have equal multiplicities."""
    blocks: tuple[list[tuple[int, Irrep]], list[tuple[int, Irrep]]] = [], []
    queues = [list(first), list(second)]
    left = [0, 0]
    current: list[Irrep | None] = [None, None]
    while True:
        for side in (0, 1):
            while left[side] == 0 and queues[side]:
                left[side], current[side] = queues[side].pop(0)
        mul = min(left)
        if mul == 0 or current[0] is None or current[1] is None:
            return blocks
        for side, ir in enumerate(current):
            blocks[side].append((mul, ir))  # type: ignore[arg-type]
            left[side] -= mul
