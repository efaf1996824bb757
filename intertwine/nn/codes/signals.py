r"""Codes of signals on the sphere, given by coefficients of spherical harmonics: eta, psi and delta of an autoencoder,
of the group SO(3).

.. math::
    z = \eta(x), \qquad \hat x = D(\psi(x))\, \delta(z), \qquad \eta(R x) = \eta(x), \quad \psi(R x) = R\, \psi(x)

Winter et al., NeurIPS 2022 (arXiv:2202.07559), eq. 3 and section 3.3. Departures: the vectors that give the rotation
are weighted by invariants; eta is a perceptron of :math:`D(\psi(x))^{-1} x`, the signal in its own frame, beside
invariants: what has a frame is encoded without loss.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.groups import Representation
from intertwine.nn.checks import check_sizes
from intertwine.nn.codes.heads import Estimate, RotationHead
from intertwine.nn.mlp import MLP, ResidualMLP
from intertwine.nn.readout import require
from intertwine.numerics import InputError, safe
from intertwine.o3 import Irreps

LEAST = 1e-2  # of the mean length of the vectors: what is shorter is no direction to speak of


class SignalParts(NamedTuple):
    """What a signal is taken apart into.

    Attributes:
        code: z (signals, size of the code), no unit.
        rotation: R (signals, 3, 3), axes as columns.
    """

    code: Float[Tensor, "signals code"]
    rotation: Estimate


class SignalEncoder(nn.Module):
    r"""eta and psi from scalars s and vectors :math:`v_c` of a network, and the signal x:

    .. math::
        g = \mathrm{MLP}(s, v_c \cdot v_{c'}), \qquad
        p = \frac{\sum_c a_c(g)\, v_c}{\max(\sum_c |a_c|\, |v_c|,\, 0.01)}, \qquad
        q = \frac{\sum_c b_c(g)\, v_c}{\max(\sum_c |b_c|\, |v_c|,\, 0.01)}, \qquad
        z = \mathrm{MLP}\big(g,\, k\, D(R)^{-1} x\big)

    with R of Gram and Schmidt of p and q. Its margin m is the length of p, or what is left of q, whichever is shorter;
    R is open where it is below 0.01. :math:`k = \min(1, \max(0, m / 0.01 - 1))`, so that the code has no jump there.

    Args:
        features: representation of the network's features, with scalars (0e) and vectors (1o or 1e).
        signal: irreps of the signal.
        code: numbers of the code.
        hidden: width of the perceptrons.

    Raises:
        InputError: features without scalars, or with fewer than two vectors.
    """

    def __init__(self, features: Representation, signal: Irreps, code: int, hidden: int = 128) -> None:
        super().__init__()
        check_sizes(code=code, hidden=hidden)
        self.irreps, self.signal = require(features, "0e", "a code"), signal
        self.scalars = [name for name in ("0e", "0o") if self.irreps.count(name)]
        self.vectors = [name for name in ("1o", "1e") if self.irreps.count(name)]
        scalars, vectors = (sum(self.irreps.count(name) for name in names) for names in (self.scalars, self.vectors))
        if vectors < 2:
            what = f"features {self.irreps} with {vectors} vectors"
            raise InputError(what, where="SignalEncoder", remedy="a rotation is read from two: set model.vectors=8.")
        inputs = scalars + vectors * (vectors + 1) // 2
        self.norm = nn.LayerNorm(inputs)
        self.trunk = MLP([inputs, hidden, hidden], last=True)
        self.weights = nn.Linear(hidden, 2 * vectors)
        self.rotation = RotationHead(3, LEAST)
        self.code = ResidualMLP(hidden + signal.dim, 2 * hidden, code)

    def forward(self, features: Float[Tensor, "signals dim"], signal: Float[Tensor, "signals rows"]) -> SignalParts:
        """
        Args:
            features: of the network.
            signal: x, over a typical size (no unit).
        """
        s = torch.cat([self.irreps.part(features, name).squeeze(-1) for name in self.scalars], dim=1)
        v = torch.cat([self.irreps.part(features, name) for name in self.vectors], dim=1)
        g = self.trunk(self.norm(torch.cat([s, _products(v)], dim=1)))
        a = self.weights(g).unflatten(1, (2, -1))
        size = (a.abs() * safe.norm(v).unsqueeze(1)).sum(2, keepdim=True)
        rotation = self.rotation(a @ v / size.clamp(min=LEAST))
        seen = turned(self.signal, rotation.element.mT, signal)
        closed = (rotation.margin.detach() / LEAST - 1).clamp(0, 1).unsqueeze(1)
        return SignalParts(self.code(torch.cat([g, closed * seen], dim=1)), rotation)


class SignalDecoder(nn.Module):
    """delta: from a code to a canonical signal.

    Args:
        code: numbers of the code.
        signal: irreps of the signal.
        hidden: width of the perceptron.
    """

    def __init__(self, code: int, signal: Irreps, hidden: int = 256) -> None:
        super().__init__()
        check_sizes(code=code, hidden=hidden)
        self.mlp = ResidualMLP(code, hidden, signal.dim)

    def forward(self, code: Float[Tensor, "signals code"]) -> Float[Tensor, "signals rows"]:
        """Coefficients, in the unit that the encoder had."""
        return self.mlp(code)


def turned(
    irreps: Irreps, rotation: Float[Tensor, "signals 3 3"], signal: Float[Tensor, "signals rows"]
) -> Float[Tensor, "signals rows"]:
    """:math:`D(R)\\, x` of each signal by a rotation of its own, with derivatives in both, in their precision.

    Args:
        irreps: of the signals.
        rotation: R, of determinant 1.
        signal: x (signals, dim of the irreps).
    """
    return (irreps.proper_matrix(rotation, None) @ signal.unsqueeze(2)).squeeze(2)


def _products(v: Float[Tensor, "signals vectors 3"]) -> Float[Tensor, "signals pairs"]:
    """Scalar products of all pairs, of the growth of lengths."""
    i, j = torch.triu_indices(v.shape[1], v.shape[1], device=v.device)
    products = (v @ v.mT)[:, i, j]
    return products / (1 + products.square()) ** 0.25
