r"""Normalisation of feature maps whose channels transform together: statistics over positions and components.

What is normalised by one number commutes with any orthogonal representation. Scalars and the values of a function on a
group have a mean that no element changes, which is taken off; components of other irreps have none.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.nn.checks import check_sizes
from intertwine.numerics import choose

KINDS = ("batch", "layer", "none")


class FieldNorm(nn.Module):
    r""":math:`z = w\,(x - \mu) / \sqrt{\langle (x - \mu)^2 \rangle + \epsilon} + b` of each channel.

    The averages of "batch" run over images, positions and components of a channel; in evaluation they are running
    averages of those of training, and so they are in training of a batch with a single value. Those of "layer" run over
    all that one image has. "none" only adds the bias.

    Args:
        channels: C; the maps of a channel lie together.
        components: maps of a channel: elements of a group, components of an irrep.
        kind: "batch", "layer" or "none".
        centred: whether channels have a mean; without, mu = b = 0.
        momentum: weight of the newest batch in the running averages.
        eps: epsilon, in the square of the features' unit.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        channels: int,
        components: int = 1,
        kind: str = "batch",
        centred: bool = True,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        check_sizes(channels=channels, components=components)
        self.kind = choose(kind, KINDS, kind="normalisation", where="norm")
        self.channels, self.components, self.centred = channels, components, centred
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(channels)) if kind != "none" else None
        self.bias = nn.Parameter(torch.zeros(channels)) if centred else None
        if kind == "batch":
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_var", torch.ones(channels))

    def forward(self, f: Float[Tensor, "images maps *sizes"]) -> Float[Tensor, "images maps *sizes"]:
        """Feature maps (B, C components, ...)."""
        x = f.reshape(f.shape[0], self.channels, f.shape[1:].numel() // self.channels)  # also of no rows
        if self.kind == "batch":
            fresh = self.training and x.numel() > self.channels
            if self.centred:
                x = F.batch_norm(
                    x, self.running_mean, self.running_var, self.weight, self.bias, fresh, self.momentum, self.eps
                )
            elif self.weight is not None:
                x = x * (self.weight * (self._square(x, fresh) + self.eps).rsqrt())[:, None]
        elif self.kind == "layer":
            if self.centred:
                x = torch.group_norm(x, 1, self.weight, self.bias, self.eps)  # also of a single value
            elif self.weight is not None:
                x = x * (x.square().mean((1, 2), keepdim=True) + self.eps).rsqrt() * self.weight[:, None]
        elif self.bias is not None:
            x = x + self.bias[:, None]
        return x.reshape(f.shape)

    def _square(self, x: Tensor, fresh: bool) -> Tensor:
        """The mean square of each channel, over the batch or as it was in training."""
        if not fresh:
            return self.running_var
        square = x.square().mean((0, 2))
        with torch.no_grad():
            self.running_var.lerp_(square, self.momentum)
        return square

    def extra_repr(self) -> str:
        return f"{self.channels} x {self.components}, {self.kind}"
