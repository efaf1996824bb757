r"""Linear layers between representations: by Schur's lemma they mix the copies of one irrep, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isclose, prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.numerics import InputError, Rebuildable, choose, ignore_keys
from intertwine.o3.blocks import LAYOUTS
from intertwine.o3.irreps import Irreps
from intertwine.o3.linear_paths import Group, bias_paths, grouped, planned, weighted_paths
from intertwine.o3.mixing import applicable, mix


class Linear(Rebuildable):
    r"""The linear map that commutes with O(3), :math:`z_{w i} = \sum_{\text{paths}} n \sum_u x_{u i} W_{u w}` (+ bias
    on 0e).

    With ``path_normalization="element"`` :math:`n = (\sum_{\text{paths into the block}} \text{channels in})^{-1/2}`, so
    that standard normal weights keep the variance; with ``"path"`` every path into a block gets an equal share. Names,
    defaults, initial weights and their order are e3nn's.

    Args:
        irreps_in, irreps_out: representations of input and output.
        f_in, f_out: a second, plain channel axis before that of the irreps, mixed as well; give both or none.
        internal_weights: whether the layer owns its weights; false if ``shared_weights`` is.
        shared_weights: one set of weights for all samples; otherwise weights come with each sample.
        instructions: pairs (block in, block out); all pairs of equal irreps if not given.
        biases: whether 0e outputs have a bias, for all or block by block.
        path_normalization: "element" or "path".
        layout: "mul_ir" or "ir_mul", of both features.
        dtype, device: of the parameters, as in ``torch.nn.Linear``.

    Raises:
        InputError: an instruction joins different irreps or names a block that is not there, or options contradict each
            other.

    >>> layer = Linear("8x0e+4x1o", "2x0e+3x1o", biases=True)
    >>> layer(torch.randn(5, 20)).shape, layer.weight_numel, layer.bias_numel
    (torch.Size([5, 11]), 28, 2)
    """

    def __init__(
        self,
        irreps_in: Any,
        irreps_out: Any,
        *,
        f_in: int | None = None,
        f_out: int | None = None,
        internal_weights: bool | None = None,
        shared_weights: bool | None = None,
        instructions: Iterable[tuple[int, int]] | None = None,
        biases: bool | Sequence[bool] | None = False,
        path_normalization: str = "element",
        layout: str = "mul_ir",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        self.layout = choose(layout, LAYOUTS, kind="layout", where="Linear")
        choose(path_normalization, ("element", "path"), kind="path normalization", where="Linear")
        if (f_in is None) != (f_out is None):
            raise InputError("f_in and f_out come together", where="Linear", remedy="give both or none.")
        self.f_in, self.f_out = f_in, f_out
        self.shared_weights = shared_weights is not False
        self.internal_weights = self.shared_weights if internal_weights is None else internal_weights
        if self.internal_weights and not self.shared_weights:
            raise InputError(
                "a layer can't own weights of each sample", where="Linear", remedy="set internal_weights=False."
            )
        pairs = None if instructions is None else list(instructions)
        paths = weighted_paths(self.irreps_in, self.irreps_out, pairs, path_normalization, f_in)
        self.instructions = paths + bias_paths(self.irreps_out, biases)
        self.weight_numel = sum(prod(path.path_shape) for path in paths)
        self.bias_numel = sum(path.path_shape[0] for path in self.instructions[len(paths) :])
        self._starts = [sum(prod(path.path_shape) for path in paths[:number]) for number in range(len(paths))]
        self._groups, self._mixing = grouped(paths), None
        if self.shared_weights and f_in is None and self._groups:
            self._mixing = planned(self.irreps_in, self.irreps_out, self.instructions, self._groups, layout)
        factory: dict[str, Any] = {"dtype": dtype, "device": device}
        extra_in, extra = ((), ()) if f_in is None else ((f_in, f_out), (f_out,))
        if self.internal_weights and self.weight_numel:
            self.weight = nn.Parameter(torch.randn(*extra_in, self.weight_numel, **factory))
        else:
            self.register_buffer("weight", torch.empty(0, **factory))
        if self.internal_weights and self.bias_numel:
            self.bias = nn.Parameter(torch.zeros(*extra, self.bias_numel, **factory))
        else:
            self.register_buffer("bias", torch.empty(0, **factory))
        reached = {path.i_out for path in self.instructions if prod(path.path_shape)}
        mask = [
            torch.full((block.dim,), float(number in reached), **factory)
            for number, block in enumerate(self.irreps_out)
        ]
        self.register_buffer("output_mask", torch.cat(mask) if mask else torch.ones(0, **factory))
        ignore_keys(self, [r"_compiled_main.*"])

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        weight, instructions = state["_parameters"].get("weight"), state["instructions"]
        arrays = weight.shape[:2] if weight is not None and weight.ndim == 3 else (None, None)
        paths, biased = (
            [path for path in instructions if path.i_in >= 0],
            {path.i_out for path in instructions if path.i_in < 0},
        )
        known: dict[str, Any] = {
            name: state[name] for name in ("irreps_in", "irreps_out", "internal_weights", "shared_weights")
        }
        known |= {"f_in": arrays[0], "f_out": arrays[1], "instructions": [(path.i_in, path.i_out) for path in paths]}
        known["biases"] = [block in biased for block in range(len(known["irreps_out"]))]
        for rule in ("element", "path"):
            Linear.__init__(self, path_normalization=rule, **known)
            if all(
                isclose(path.path_weight, own.path_weight, rel_tol=1e-6) for path, own in zip(paths, self.instructions)
            ):
                return
        raise InputError(
            "the weights of its paths follow no rule", where="Linear", remedy="a layer with f_in owns its weights."
        )

    def extra_repr(self) -> str:
        return f"{self.irreps_in} -> {self.irreps_out} | {self.weight_numel} weights"

    def forward(
        self,
        features: Float[Tensor, "... dim_in"],
        weight: Float[Tensor, "... weights"] | None = None,
        bias: Float[Tensor, "... biases"] | None = None,
    ) -> Float[Tensor, "... dim_out"]:
        """The layer's output.

        Args:
            features: (..., irreps_in.dim), or (..., f_in, irreps_in.dim).
            weight: (weight_numel), (f_in, f_out, weight_numel) with f, and with leading axes like those of the features
                if the weights are not shared; only for a layer that does not own them.
            bias: (bias_numel) or (f_out, bias_numel), in the same way.

        Returns:
            (..., irreps_out.dim), or (..., f_out, irreps_out.dim).

        Raises:
            InputError: a last axis or the number of weights does not fit, or weights are missing.
        """
        weight, bias = self._given(weight, "weight", self.weight_numel), self._given(bias, "bias", self.bias_numel)
        plan, shape = self._mixing, features.shape
        if (
            plan is not None
            and shape
            and shape[-1] == plan.dim_in
            and bias.ndim == 1
            and applicable(features, weight, bias)
        ):
            x = features if features.ndim == 2 else features.reshape(prod(shape[:-1]), plan.dim_in)
            y = mix(x, weight, plan, bias if self.bias_numel else None)
            return y if features.ndim == 2 else y.view(*shape[:-1], plan.dim_out)
        own = 1 if self.f_in is None else 2  # axes of a sample
        if (
            features.ndim < own
            or features.shape[-1] != self.irreps_in.dim
            or (own == 2 and features.shape[-2] != self.f_in)
        ):
            wanted = f"(..., {self.irreps_in.dim})" if own == 1 else f"(..., {self.f_in}, {self.irreps_in.dim})"
            raise InputError(
                f"features have shape {tuple(features.shape)}, expected {wanted}",
                where=f"Linear {self.irreps_in}",
                remedy="check irreps_in.",
            )
        if self.weight_numel and features.dtype != weight.dtype and not torch.is_autocast_enabled(features.device.type):
            raise InputError(
                f"features are {features.dtype}, weights {weight.dtype}",
                where=f"Linear {self.irreps_in}",
                remedy="use .to(...) on one of them.",
            )
        batch = features.shape[: features.ndim - own]
        if not self.shared_weights:
            leading = ((weight, self.weight_numel, 2 * own - 1), (bias, self.bias_numel, own))
            batch = torch.broadcast_shapes(
                batch, *(tensor.shape[: tensor.ndim - axes] for tensor, numel, axes in leading if numel)
            )
            weight, bias = (
                tensor.expand(*batch, *tensor.shape[tensor.ndim - axes :]).reshape(
                    prod(batch), *tensor.shape[tensor.ndim - axes :]
                )
                if numel
                else tensor
                for tensor, numel, axes in leading
            )
        sample = features.shape[features.ndim - own :]
        x = features.expand(*batch, *sample).reshape(prod(batch), *sample)
        outputs: list[Tensor | None] = [None] * len(self.irreps_out)
        blocks, weights = self._blocks(x), self._weights(weight)
        for group in self._groups:
            rows = (
                blocks[group.inputs[0]]
                if len(group.inputs) == 1
                else torch.cat([blocks[a] for a in group.inputs], dim=-1)
            )
            product = self._product(rows, self._matrix(weights, group))
            for b, piece in zip(group.outputs, self._pieces(product, group)):
                outputs[b] = piece if (before := outputs[b]) is None else before + piece
        self._add_biases(outputs, bias)
        axes = (prod(batch),) if self.f_out is None else (prod(batch), self.f_out)
        return self._joined(outputs, x, axes).reshape(*batch, *axes[1:], self.irreps_out.dim)

    def _product(self, rows: Tensor, matrix: Tensor) -> Tensor:
        """Rows (z, component, channel) times a matrix, or one of each sample."""
        if matrix.ndim == 3:
            return torch.bmm(rows, matrix)
        # flattened, since torch would multiply sample by sample if the rows are not contiguous
        z, dim, channels = rows.shape
        return (rows.reshape(z * dim, channels) @ matrix).view(z, dim, matrix.shape[1])

    def _given(self, value: Tensor | None, name: str, numel: int) -> Tensor:
        if value is None:
            if numel and not self.internal_weights:
                raise InputError(
                    f"no {name} given",
                    where=f"Linear {self.irreps_in}",
                    remedy=f"this layer does not own it: pass {name}=...",
                )
            return getattr(self, name)  # type: ignore[no-any-return]
        if numel and value.shape[-1:] != (numel,):
            raise InputError(
                f"{name} has shape {tuple(value.shape)}, its last axis should be {numel}",
                where=f"Linear {self.irreps_in}",
                remedy="see weight_numel and bias_numel.",
            )
        if name == "weight" and self.shared_weights and numel:  # e3nn lets leading axes of size one pass
            value = value.reshape(numel) if self.f_in is None else value.reshape(self.f_in, self.f_out or 1, numel)
        return value

    def _blocks(self, x: Tensor) -> list[Tensor]:
        """The input blocks as (z, component, (f) channel). One split for all: its derivative is one concatenation."""
        outputs = []
        parts = x.split([block.dim for block in self.irreps_in], -1) if self.irreps_in else ()
        for block, (mul, ir) in zip(parts, self.irreps_in):
            outer = self.layout == "mul_ir" and ir.dim > 1
            block = block.reshape(*block.shape[:-1], *((mul, ir.dim) if outer else (ir.dim, mul)))
            block = block.transpose(-1, -2) if outer else block  # (f) component channel
            outputs.append(block if self.f_in is None else block.transpose(1, 2).flatten(2))
        return outputs

    def _weights(self, weight: Tensor) -> Sequence[Tensor]:
        """The weights of each instruction, flat: (numel), with leading axes of f or of the samples."""
        if not self.weight_numel:
            return []
        return weight.split([prod(path.path_shape) for path in self.instructions[: len(self._starts)]], -1)

    def _matrix(self, weights: Sequence[Tensor], group: Group) -> Tensor:
        """Weights of a group as (channels in, channels out), or (z, ...) for weights of each sample."""
        rows = []
        for numbers in group.numbers:
            columns = []
            for number in numbers:
                path = self.instructions[number]
                w = (weights[number] * path.path_weight).reshape(*weights[number].shape[:-1], *path.path_shape)
                columns.append(w if self.f_in is None else w.transpose(-2, -3).flatten(-4, -3).flatten(-2))
            rows.append(columns[0] if len(columns) == 1 else torch.cat(columns, dim=-1))
        return rows[0] if len(rows) == 1 else torch.cat(rows, dim=-2)

    def _pieces(self, product: Tensor, group: Group) -> Sequence[Tensor]:
        """The outputs of a group: (z, component, (f) channel) each."""
        sizes = [self.irreps_out[b].mul * (self.f_out or 1) for b in group.outputs]
        return product.split(sizes, -1) if len(sizes) > 1 else (product,)

    def _add_biases(self, outputs: list[Tensor | None], bias: Tensor) -> None:
        start = 0
        for path in self.instructions[len(self._starts) :]:
            b = bias[..., start : start + path.path_shape[0]]
            start += path.path_shape[0]
            row = b.unsqueeze(-2) if self.f_out is None else b.flatten(-2).unsqueeze(-2)  # component, (f) channel
            before = outputs[path.i_out]
            outputs[path.i_out] = row.expand(1, *row.shape[-2:]) if before is None else before + row

    def _joined(self, outputs: list[Tensor | None], x: Tensor, shape: tuple[Any, ...]) -> Tensor:
        """The blocks side by side in the layout, (*shape, irreps_out.dim)."""
        blocks = []
        for piece, (mul, ir) in zip(outputs, self.irreps_out):
            if piece is None:
                blocks.append(x.new_zeros(*shape, mul * ir.dim))
                continue
            if self.f_out is not None:
                piece = piece.unflatten(-1, (self.f_out, mul)).transpose(1, 2)
            piece = piece.transpose(-1, -2) if self.layout == "mul_ir" and ir.dim > 1 else piece
            piece = piece.reshape(*piece.shape[:-2], mul * ir.dim)
            alone = piece.shape[0] != shape[0]  # a bias is one row
            blocks.append(piece.expand(*shape, mul * ir.dim) if alone else piece)
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=-1) if blocks else x.new_zeros(*shape, 0)

    def weight_view_for_instruction(self, instruction: int, weight: Tensor | None = None) -> Tensor:
        """The weights of one instruction as (channels in, channels out), a view of the layer's or of ``weight``."""
        weight = self._given(weight, "weight", self.weight_numel)
        if not 0 <= instruction < len(self._starts):
            raise InputError(
                f"there is no instruction {instruction}",
                where="Linear",
                remedy=f"there are {len(self._starts)}, from 0.",
            )
        start, path = self._starts[instruction], self.instructions[instruction]
        return weight[..., start : start + prod(path.path_shape)].unflatten(-1, path.path_shape)

    def weight_views(self, weight: Tensor | None = None, yield_instruction: bool = False) -> Iterator[Any]:
        """Views of the weights of all instructions in turn, or triples (number, instruction, view)."""
        for number in range(len(self._starts)):
            view = self.weight_view_for_instruction(number, weight)
            yield (number, self.instructions[number], view) if yield_instruction else view
