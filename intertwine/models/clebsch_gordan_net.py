r"""Clebsch-Gordan nets: functions on the sphere by their harmonic coefficients; products are the only non-linearity.

.. math::
    F_l' = W_l \Big( F_l \oplus \bigoplus_{l_1 \le l_2} C^{l}_{l_1 l_2} (F_{l_1} \otimes F_{l_2}) \Big)

where F_l has several fragments (copies of the irrep l), W_l mixes them and every pair of fragments is multiplied. No
layer goes back to the sphere, so equivariance to SO(3) is exact, to rounding. The invariants of all layers are the
result; vectors of the last one follow, if they are asked for. Kondor, Lin and Trivedi, NeurIPS 2018 (arXiv:1806.09231),
section 4; lecture "Geometric GNNs" (AIDD).

Departures: product and mixing are one operation, so that the fragments of a full product are never stored; coefficients
are real, the paper's are complex; of F (x) F each pair of fragments is taken once; fragments are divided by their root
mean square over the batch and not by a moving standard deviation of each, which comes to the same.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph, field
from intertwine.nn import Backbone, ModelCard
from intertwine.nn.checks import check_lmax, check_sizes, require_space
from intertwine.nn.groups.field_activation import TermsNorm
from intertwine.nn.preset import OURS, Preset
from intertwine.numerics import GeometryError, InputError
from intertwine.o3 import Irreps, Linear, TensorSquare


class ClebschGordanLayer(nn.Module):
    """Products of all pairs of fragments, beside the fragments, mixed and normalised.

    Args:
        irreps_in, irreps_out: fragments in and out.
        norm: "batch", "layer" or "none".
    """

    def __init__(self, irreps_in: Irreps, irreps_out: Irreps, norm: str) -> None:
        super().__init__()
        self.product, self.linear = TensorSquare(irreps_in, irreps_out), Linear(irreps_in, irreps_out)
        self.norm = TermsNorm(tuple((mul, ir) for mul, ir in irreps_out), norm)

    def forward(self, f: Float[Tensor, "nodes dim_in"]) -> Float[Tensor, "nodes dim_out"]:
        return self.norm(self.product(f) + self.linear(f))


class ClebschGordanNet(Backbone):
    """Invariants of signals on the sphere, the field ``signal`` (nodes, channels (lmax + 1)^2) of each node.

    A signal has the channels of degree 0, then those of degree 1, ...: ``representations={"signal": "2x0e+2x1o"}`` of
    two channels up to degree 1. A graph of one node at the origin is one signal.

    Args:
        width: fragments of each degree.
        layers: rounds of products; k of them see up to 2^k coefficients together.
        lmax: highest degree, of the signal and of all fragments.
        channels: functions on the sphere of a node.
        reflections: also equivariant to reflections: fragments have the parity of harmonics alone. Without, mirror
            images are told apart.
        norm: "batch" (statistics of the batch in training), "layer" (of each node) or "none".
        vectors: fragments of degree 1 of the last layer, which follow the invariants.

    Raises:
        InputError: a number out of range; vectors of a signal that is constant, ``lmax`` 0.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="spherical tensor",
        body_order=5,
        domain="S^2",
        symmetry="SE(3)",
        paper="Kondor, Lin, Trivedi 2018, arXiv:1806.09231",
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 4, "layers": 2, "lmax": 2}, source=OURS),
        "paper": Preset(
            {"width": 12, "layers": 5, "lmax": 10},
            source="arXiv:1806.09231, section 5 (spherical MNIST: degrees up to 10, five layers, about 12 fragments)",
        ),
    }
    EDGES = False
    trials = "signals"

    def __init__(
        self,
        width: int = 8,
        layers: int = 3,
        lmax: int = 6,
        channels: int = 1,
        reflections: bool = False,
        norm: str = "batch",
        vectors: int = 0,
    ) -> None:
        super().__init__()
        check_sizes(width=width, layers=layers, channels=channels, vectors=vectors + 1)
        check_lmax(lmax)
        if vectors and not lmax:
            remedy = "give lmax of 1 or more, or no vectors."
            raise InputError("vectors of signals of degree 0", where="vectors", remedy=remedy)
        self.cutoff, self.reflections = None, reflections
        self.signal = Irreps([(channels, (l, (-1) ** l)) for l in range(lmax + 1)])
        parity = -1 if reflections else 1
        now = Irreps([(channels, (l, parity**l)) for l in range(lmax + 1)])
        fragments = Irreps([(width, (l, parity**l)) for l in range(lmax + 1)])
        directions = Irreps([(vectors, (1, parity))] if vectors else [])
        self.layers, self.scalars = nn.ModuleList(), [channels]
        for number in range(1, layers + 1):
            following = Irreps(f"{width}x0e") + directions if number == layers else fragments
            self.layers.append(ClebschGordanLayer(now, following, norm))
            self.scalars.append(width)
            now = following
        self.irreps_out = Irreps(f"{sum(self.scalars)}x0e") + directions

    @property
    def card(self) -> ModelCard:
        return dataclasses.replace(self.CARD, symmetry="E(3)") if self.reflections else self.CARD

    def rows(self, n: int = 3) -> dict[str, tuple[int, ...]]:
        return {"signal": (self.signal.dim,)}

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph)
        f, declared = field(graph, "signal"), graph.representation("signal")
        if not isinstance(declared, Irreps) or declared.simplify() != self.signal or f.shape[1:] != (self.signal.dim,):
            raise GeometryError(
                f"a signal of shape {tuple(f.shape)}, declared as {declared}",
                where="signal",
                remedy=f"give (nodes, {self.signal.dim}) and say representations={{'signal': '{self.signal}'}}, "
                "or set `lmax` and `channels` of the model.",
            )
        invariants = [f[:, : self.scalars[0]]]
        for layer, count in zip(self.layers, self.scalars[1:], strict=True):
            f = layer(f)
            invariants.append(f[:, :count])
        return torch.cat([*invariants, f[:, self.scalars[-1] :]], dim=1)
