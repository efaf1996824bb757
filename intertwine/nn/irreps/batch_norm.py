"""Normalisation over batches or instances."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.numerics import InputError, Rebuildable, choose
from intertwine.o3 import Irreps
from intertwine.o3.blocks import LAYOUTS, split_blocks


class BatchNorm(Rebuildable):
    r"""Each single irrep divided by its root mean square over the batch; scalars (0e) are centred first.

    .. math::
        z_u = w_u\,(x_u - \mu_u)\,(\langle \|x_u - \mu_u\|^2 \rangle + \epsilon)^{-1/2} + b_u, \qquad
        \mu = b = 0 \text{ but for } 0e

    The mean runs over samples and batch, and over the components for ``normalization="component"``. Parameters, buffers
    and defaults are e3nn's; in training the running averages move by ``momentum``, and evaluation uses them.

    Args:
        irreps: representation of input and output.
        eps: :math:`\epsilon`, in the square of the features' unit.
        momentum: weight of the newest batch in the running averages.
        affine: whether w and b are learned.
        reduce: "mean" or "max" of the squared norms over the samples of one batch entry.
        instance: statistics of each batch entry for itself, in evaluation as well; no running averages.
        include_bias: whether b exists.
        normalization: "component" or "norm".
        layout: "mul_ir" or "ir_mul".
        dtype, device: of parameters and buffers.

    Raises:
        InputError: an unknown reduction, normalisation or layout; in a call, features of another shape.
    """

    def __init__(
        self,
        irreps: Any,
        eps: int | float = 1e-5,
        momentum: int | float = 0.1,
        affine: bool = True,
        reduce: str = "mean",
        instance: bool = False,
        include_bias: bool = True,
        normalization: str = "component",
        *,
        layout: str = "mul_ir",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.layout = choose(layout, LAYOUTS, kind="layout", where="BatchNorm")
        self.reduce = choose(reduce, ("mean", "max"), kind="reduction", where="BatchNorm")
        self.normalization = choose(normalization, ("component", "norm"), kind="normalization", where="BatchNorm")
        self.irreps = Irreps(irreps)
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.instance = instance
        self.include_bias = include_bias
        scalars, features = self.irreps.count("0e"), self.irreps.num_irreps
        factory: dict[str, Any] = {"dtype": dtype, "device": device}
        self.register_buffer("running_mean", None if instance else torch.zeros(scalars, **factory))
        self.register_buffer("running_var", None if instance else torch.ones(features, **factory))
        self.weight = nn.Parameter(torch.ones(features, **factory)) if affine else None
        self.bias = nn.Parameter(torch.zeros(scalars, **factory)) if affine and include_bias else None

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        known = {name: state[name] for name in ("eps", "momentum", "affine", "reduce", "instance", "normalization")}
        BatchNorm.__init__(self, state["irreps"], include_bias=state.get("include_bias", True), **known)

    running_mean: Any
    running_var: Any

    def extra_repr(self) -> str:
        return f"{self.irreps}, eps={self.eps}, momentum={self.momentum}"

    def forward(self, input: Float[Tensor, "batch *samples dim"]) -> Float[Tensor, "batch *samples dim"]:
        """Features of the shape of the input, (batch, ..., irreps.dim); axes between the first and the last are
        samples.
        """
        if input.ndim < 2 or not input.is_floating_point():
            what = f"expected floats of shape (batch, ..., {self.irreps.dim}), got {input.dtype} {tuple(input.shape)}"
            raise InputError(what, where="BatchNorm", remedy="give a batch axis first: x.unsqueeze(0).")
        x = input.reshape(input.shape[0], prod(input.shape[1:-1]), input.shape[-1])
        # nothing can be learned from an empty batch
        fresh = self.instance or (self.training and x.shape[0] * x.shape[1] > 0)
        muls = [mul for mul, _ in self.irreps]
        scalar_muls = [mul for mul, ir in self.irreps if ir.is_scalar()]
        means = iter([] if fresh else self.running_mean.split(scalar_muls))
        variances = iter([] if fresh else self.running_var.split(muls))
        weights = iter([] if self.weight is None else self.weight.split(muls))
        biases = iter([] if self.bias is None else self.bias.split(scalar_muls))
        new_means, new_variances, scales, shifts = [], [], [], []
        # batch, sample, channel, component
        for block, (mul, ir) in zip(split_blocks(x, self.irreps, self.layout), self.irreps):
            mean = None
            if ir.is_scalar():
                mean = self._mean(block) if fresh else next(means)
                new_means.append(mean)
                block = block - (mean[:, None, :, None] if self.instance else mean[:, None]) if fresh else block
            variance = self._variance(block) if fresh else next(variances)
            new_variances.append(variance)
            scale = (variance + self.eps).rsqrt()
            if self.weight is not None:
                scale = scale * next(weights)
            scales.append(self._spread(scale, ir.dim))
            shift = scale.new_zeros(()).expand(*scale.shape[:-1], mul * ir.dim) if mean is None else -mean * scale
            shifts.append(shift if mean is None or self.bias is None else shift + next(biases))
        if fresh and not self.instance:
            self._roll(self.running_mean, new_means)
            self._roll(self.running_var, new_variances)
        if not scales:
            return input
        scale, shift = torch.cat(scales, -1), torch.cat(shifts, -1)
        if self.instance:
            scale, shift = scale.unsqueeze(1), shift.unsqueeze(1)
        return torch.addcmul(shift, x, scale).reshape(input.shape)  # one pass over the features

    def _spread(self, values: Tensor, dim: int) -> Tensor:
        """Values of the channels (..., mul) for each of their components, (..., mul dim)."""
        if dim == 1:
            return values
        apart = values.unsqueeze(-1 if self.layout == "mul_ir" else -2)
        shape = (*values.shape, dim) if self.layout == "mul_ir" else (*values.shape[:-1], dim, values.shape[-1])
        return apart.expand(shape).reshape(*values.shape[:-1], values.shape[-1] * dim)

    def _mean(self, block: Tensor) -> Tensor:
        """(channel), or (batch, channel) for instances."""
        return block.mean(1).squeeze(-1) if self.instance else block.mean((0, 1)).squeeze(-1)

    def _variance(self, block: Tensor) -> Tensor:
        squares = block.square()
        if self.reduce == "mean":  # over samples first: that is the long axis, and memory's order
            squares = squares.mean(1) if self.instance else squares.mean((0, 1))
            return squares.mean(-1) if self.normalization == "component" else squares.sum(-1)
        squares = squares.mean(-1) if self.normalization == "component" else squares.sum(-1)
        return squares.amax(1) if self.instance else squares.amax(1).mean(0)

    @torch.no_grad()
    def _roll(self, running: Tensor, values: list[Tensor]) -> None:
        if values:
            running.copy_((1 - self.momentum) * running + self.momentum * torch.cat(values))
