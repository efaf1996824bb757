r"""Tensor products of two representations with weighted paths, in e3nn's words and normalisations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.kernels import Operand, Plan, Product, Table
from intertwine.kernels.batched import partial
from intertwine.numerics import InputError, Rebuildable, choose, ignore_keys, safe
from intertwine.numerics.limits import check_size
from intertwine.o3.clebsch_gordan import coupling
from intertwine.o3.instructions import (
    IRREP_NORMALIZATIONS,
    PATH_NORMALIZATIONS,
    instruction,
    normalised,
    variances_of,
)
from intertwine.o3.irreps import Irreps


class TensorProduct(Rebuildable):
    r"""Sum of weighted paths, each the coupling of one block of x with one of y to one block of z:

    .. math:: z_w = \sum_{\text{paths}} \sqrt{\alpha} \sum_{uv} W_{uvw}\, (x_u \otimes y_v)_{l_3}, \qquad
        \alpha = p\, \mathrm{var}_{3} \frac{2 l_3 + 1}{\sum_{\text{paths to } z} \mathrm{var}_1 \mathrm{var}_2\, n}

    with p the weight of the path and n the number of terms in its sum over u and v, so that inputs and weights of
    variance 1 give outputs of variance 1. Modes: ``uvw`` (all multiplicities mixed), ``uvu``, ``uvv``, ``uuw``, ``uuu``
    (equal letters are one index), ``uvuv`` (every u with every v), ``uvu<v`` and ``u<vw`` (the pairs u < v only).

    Args:
        irreps_in1, irreps_in2, irreps_out: representations of x, y and z.
        instructions: paths ``(i_in1, i_in2, i_out, mode, has_weight[, path_weight])``.
        in1_var, in2_var, out_var: variance of each block; 1 if None.
        irrep_normalization: ``"component"`` (as above, the default), ``"norm"``: the numerator is
            :math:`(2l_1+1)(2l_2+1)`, so that unit vectors give unit vectors, or ``"none"``: it is 1.
        path_normalization: ``"element"`` (as above, the default), ``"path"``: the denominator is that of the path alone
            times the number of paths to the block, or ``"none"``: it is 1.
        internal_weights: whether the module owns the weights, as the parameter ``weight``; None: if they are shared and
            there are any.
        shared_weights: whether all samples have the same weights; None is True.
        layout: ``"mul_ir"`` (channel outer, component inner) or ``"ir_mul"``, of x, y and z.
        dtype, device: of weights and constants; None is torch's default.

    Attributes:
        instructions: the paths with their normalised weights; weight_numel: number of weights; output_mask: 1 where z
            may differ from 0.

    Raises:
        InputError: a path that does not exist (parity, degree, multiplicities, unknown mode), an unknown option,
            weights internal but not shared.

    The cross product of 16 pairs of vectors:

    >>> TensorProduct("16x1o", "16x1o", "16x1e", [(0, 0, 0, "uuu", False)])
    TensorProduct(16x1o x 16x1o -> 16x1e | 16 paths | 0 weights)
    """

    weight: Tensor
    output_mask: Tensor

    def __init__(
        self,
        irreps_in1: Any,
        irreps_in2: Any,
        irreps_out: Any,
        instructions: Sequence[Sequence[Any]],
        in1_var: Sequence[float] | Tensor | None = None,
        in2_var: Sequence[float] | Tensor | None = None,
        out_var: Sequence[float] | Tensor | None = None,
        irrep_normalization: str | None = None,
        path_normalization: str | None = None,
        internal_weights: bool | None = None,
        shared_weights: bool | None = None,
        *,
        layout: str = "mul_ir",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.irreps_in1, self.irreps_in2, self.irreps_out = Irreps(irreps_in1), Irreps(irreps_in2), Irreps(irreps_out)
        self.layout = layout
        irreps = self._irreps()
        variances = (
            variances_of(in1_var, self.irreps_in1, "in1_var"),
            variances_of(in2_var, self.irreps_in2, "in2_var"),
            variances_of(out_var, self.irreps_out, "out_var"),
        )
        paths = [instruction(number, values, irreps) for number, values in enumerate(instructions)]
        of_irreps, of_paths = irrep_normalization or "component", path_normalization or "element"
        choose(of_irreps, IRREP_NORMALIZATIONS, kind="normalisation", where="irrep_normalization")
        choose(of_paths, PATH_NORMALIZATIONS, kind="normalisation", where="path_normalization")
        self.instructions = normalised(paths, irreps, variances, of_irreps, of_paths)
        self.shared_weights = True if shared_weights is None else shared_weights
        if internal_weights is None:
            internal_weights = self.shared_weights and any(path.has_weight for path in self.instructions)
        if internal_weights and not self.shared_weights:
            raise InputError(
                "internal weights are the same for all samples",
                where="shared_weights",
                remedy="set internal_weights=False.",
            )
        self.internal_weights = internal_weights
        blocks = {
            tuple(operand[i].ir.dim for operand, i in zip(irreps, path[:3], strict=True)) for path in self.instructions
        }
        check_size(sum(a * b * c for a, b, c in blocks), "coupling coefficients", type(self).__name__)
        self.kernel = Product(self._plan(), shared=self.shared_weights, dtype=dtype, device=device)
        self.weight_numel = self.kernel.plan.weight_numel
        if internal_weights and self.weight_numel > 0:
            self.weight = nn.Parameter(torch.randn(self.weight_numel, dtype=dtype, device=device))
        else:
            self.register_buffer("weight", torch.empty(0, dtype=dtype, device=device))
        self.register_buffer("output_mask", self._mask(dtype, device))
        ignore_keys(self, [r"_compiled_main.*"])

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        paths = list(state["instructions"])
        known: dict[str, Any] = {
            name: state[name]
            for name in ("irreps_in1", "irreps_in2", "irreps_out", "internal_weights", "shared_weights")
        }
        known["instructions"] = [(*path[:5], path.path_weight**2) for path in paths]
        TensorProduct.__init__(self, irrep_normalization="none", path_normalization="none", **known)
        self.instructions = paths

    def _irreps(self) -> tuple[Irreps, Irreps, Irreps]:
        return self.irreps_in1, self.irreps_in2, self.irreps_out

    def _plan(self) -> Plan:
        representations = (self.irreps_in1, self.irreps_in2, self.irreps_out)
        in1, in2, out = (Operand.of([(mul, ir.dim) for mul, ir in irreps], self.layout) for irreps in representations)
        paths = []
        for i1, i2, io, mode, has_weight, factor, _ in self.instructions:
            table = _table(self.irreps_in1[i1].ir.l, self.irreps_in2[i2].ir.l, self.irreps_out[io].ir.l)
            paths.append((i1, i2, io, mode, has_weight, factor, table))
        return Plan.of(in1, in2, out, paths)

    def _mask(self, dtype: torch.dtype | None, device: torch.device | str | None) -> Tensor:
        reached = {path.i_out for path in self.instructions if path.path_weight != 0 and 0 not in path.path_shape}
        mask = torch.zeros(self.irreps_out.dim, dtype=dtype, device=device)
        for index, where in enumerate(self.irreps_out.slices()):
            mask[where] = float(index in reached)
        return mask

    def __repr__(self) -> str:
        inputs = f"{self.irreps_in1.simplify()} x {self.irreps_in2.simplify()}"
        return f"{type(self).__name__}({inputs} -> {self._summary()})"

    def _summary(self) -> str:
        paths = sum(prod(path.path_shape) for path in self.instructions)
        return f"{self.irreps_out.simplify()} | {paths} paths | {self.weight_numel} weights"

    def forward(
        self,
        x: Float[Tensor, "... dim1"],
        y: Float[Tensor, "... dim2"],
        weight: Float[Tensor, "... weights"] | Sequence[Any] | None = None,
    ) -> Float[Tensor, "... dim_out"]:
        """z.

        Args:
            x: (..., irreps_in1.dim).
            y: (..., irreps_in2.dim); the leading axes of x, y and the weights are broadcast.
            weight: needed if the module has no internal weights, used instead of them if it has: (weight_numel,) if
                shared, else (..., weight_numel); or a list with a tensor of each weighted path, ``path_shape`` or (...,
                *path_shape).

        Returns:
            (..., irreps_out.dim).

        Raises:
            InputError: a wrong size or precision, or no weights.
        """
        if x.dtype != self.output_mask.dtype and not safe.autocasting(x):
            raise InputError(
                f"the module is in {self.output_mask.dtype}, its input in {x.dtype}",
                where="x",
                remedy="cast one of them, with .to(dtype).",
            )
        return self.kernel(x, y, self._needed(weight))

    def right(
        self, y: Float[Tensor, "... dim2"], weight: Float[Tensor, "... weights"] | Sequence[Any] | None = None
    ) -> Float[Tensor, "... dim1 dim_out"]:
        """The linear map x -> z for given y (partial evaluation) as a matrix: z = x @ right(y).

        Args:
            y: (..., irreps_in2.dim).
            weight: as in :meth:`forward`.

        Returns:
            (..., irreps_in1.dim, irreps_out.dim).
        """
        weights, plan = self._needed(weight), self.kernel.plan
        if (
            weights is not None
            and partial.supported(plan)
            and weights.dtype == y.dtype
            and y.shape[-1:] == (plan.in2.dim,)
        ):
            batch = y.shape[:-1] if self.shared_weights else torch.broadcast_shapes(y.shape[:-1], weights.shape[:-1])
            rows = [
                tensor.expand(*batch, tensor.shape[-1]).reshape(prod(batch), tensor.shape[-1])
                for tensor in (y, weights)
                if tensor.ndim > 1 or tensor is y
            ]
            made = partial.matrix(plan, rows[0], weights.unsqueeze(0) if self.shared_weights else rows[1])
            return made.reshape(*batch, *made.shape[1:])
        basis = torch.eye(self.irreps_in1.dim, dtype=y.dtype, device=y.device)
        return self.forward(
            basis, y.unsqueeze(-2), weights if weights is None or self.shared_weights else weights.unsqueeze(-2)
        )

    def weight_view_for_instruction(
        self, instruction: int, weight: Float[Tensor, "... weights"] | Sequence[Any] | None = None
    ) -> Float[Tensor, "..."]:
        """View of the weights of one path, ``path_shape`` or (..., *path_shape).

        Args:
            instruction: number of the path, which must have weights.
            weight: as in :meth:`forward`.

        Raises:
            InputError: the path has no weights, or there are none.
        """
        paths = self.kernel.plan.paths
        if not 0 <= instruction < len(paths) or not paths[instruction].weighted:
            remedy = f"choose one with has_weight=True, from 0 to {len(paths) - 1}."
            raise InputError(f"path {instruction} has no weights", where="instruction", remedy=remedy)
        path = paths[instruction]
        return self._weights(weight).narrow(-1, path.start, path.numel).unflatten(-1, path.shape)

    def weight_views(
        self, weight: Float[Tensor, "... weights"] | Sequence[Any] | None = None, yield_instruction: bool = False
    ) -> Iterator[Any]:
        """The views of all weighted paths in order.

        Args:
            weight: as in :meth:`forward`.
            yield_instruction: yield (number, instruction, view) instead.
        """
        weights = self._weights(weight)
        for number, path in enumerate(self.instructions):
            if path.has_weight:
                view = self.weight_view_for_instruction(number, weights)
                yield (number, path, view) if yield_instruction else view

    def _needed(self, weight: Tensor | Sequence[Any] | None) -> Tensor | None:
        """The weights for the kernel; None where no path has any."""
        if self.weight_numel:
            return self._weights(weight)
        if weight is not None and (weight.shape[-1] if isinstance(weight, Tensor) else len(weight)):
            raise InputError("weights given, but no path has any", where="weight", remedy="pass None.")
        return None

    def _weights(self, weight: Tensor | Sequence[Any] | None) -> Tensor:
        """The given weights as one tensor, or the internal ones."""
        if weight is None:
            if self.weight_numel and not self.internal_weights:
                raise InputError(
                    "the weights are missing", where="weight", remedy="this module has none of its own: pass them."
                )
            return self.weight
        if not isinstance(weight, Tensor):
            paths = [path for path in self.instructions if path.has_weight]
            if len(weight) != len(paths):
                raise InputError(
                    f"{len(weight)} tensors for {len(paths)} weighted paths",
                    where="weight",
                    remedy="give one tensor a path.",
                )
            weight = torch.cat([_flat(part, path.path_shape) for part, path in zip(weight, paths)], dim=-1)
        if weight.shape[-1:] != (self.weight_numel,) or (weight.ndim == 1) != self.shared_weights:
            size = self.weight_numel
            remedy = f"the paths need {f'({size},)' if self.shared_weights else f'(..., {size}) with a batch axis'}."
            if self.shared_weights and weight.ndim > 1 and weight.shape[-1] == size:
                per_sample = "for one set of weights per sample build the product with shared_weights=False"
                remedy = f"{per_sample}; otherwise {remedy}"
            raise InputError(f"the shape is {tuple(weight.shape)}", where="weight", remedy=remedy)
        return weight


def _flat(weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The weights of one path with a single axis for the path's."""
    if weight.shape[weight.ndim - len(shape) :] == shape:
        return weight.flatten(-len(shape))
    if weight.shape[-1:] == (prod(shape),):
        return weight
    raise InputError(
        f"the weights of a path have shape {tuple(weight.shape)}", where="weight", remedy=f"give (..., *{shape})."
    )


@lru_cache(maxsize=4096)
def _table(l1: int, l2: int, l3: int) -> Table:
    return Table.of(coupling(l1, l2, l3))
