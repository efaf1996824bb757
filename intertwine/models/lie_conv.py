r"""LieConv: convolution over any Lie group, with a kernel that is a network of the logarithm.

.. math::
    h(u) = \frac{1}{\sum_v c(u, v)} \sum_v c(u, v)\, k\big(\log(v^{-1} u), q_u, q_v\big) f(v), \qquad
    f' = f + \mathrm{MLP}\big(k * (W f)\big), \qquad k = \sum_m \varphi_m H_m

u and v are elements of the group G to which points are lifted, q the orbits that they come from, c the envelope of the
neighbourhood, and :math:`\varphi` a network with two hidden layers. Finzi, Stanton, Izmailov and Wilson, ICML 2020
(arXiv:2002.12880), eq. 5 to 10; lecture 3.2, "Lie group convolutions".

=====================  =======================================  ==================================================
group                  lifts                                    equivariance
=====================  =======================================  ==================================================
T(n)                   one                                      translations, exactly
SE(2), SE(3)           drawn rotations                          SE(n) in distribution
SO(2)                  one; radii are the orbits                SE(2), exactly: positions are from the mean
SO(3)                  drawn; radii are the orbits              SE(3) in distribution
R+                     one; directions are the orbits           dilations from the mean, exactly if ``cutoff=None``
R+ x SO(2)             one                                      both, exactly if ``cutoff=None``
T(n) x| R+, your own   drawn                                    translations; the rest as far as the draw covers it
=====================  =======================================  ==================================================

With S lifts drawn for SE(2), which are equal angles from a random one, rotations by multiples of 360/S degrees are
exact.

Departures: no batch norms; the two activations before a convolution are after it, so that it is one of the features;
neighbourhoods end with an envelope, where the paper's are balls of a radius that holds a share of all points; radial
functions of the distance, which is a function of the logarithm, join the kernel's input where the group keeps
distances; all points have the same draw (:mod:`intertwine.nn.groups.lifting`); no subsampling by farthest points;
outputs are of nodes, and a task's head pools them.
"""

from __future__ import annotations

from typing import ClassVar, Unpack

from torch import nn

from intertwine.groups import Affine, Group
from intertwine.nn import ModelCard, VectorInputs, check_sizes
from intertwine.nn.groups.lie_convolution import LieKernel
from intertwine.nn.groups.lie_network import LieNetwork
from intertwine.nn.preset import OURS, Preset


class LieConv(LieNetwork):
    r"""LieConv for molecules, particles, point clouds and images as points.

    Its vectors are components along the axes of the lifts; of T(n), those of space, and nothing is known of how they
    turn.

    Args:
        width: features F of an element.
        layers: blocks.
        cutoff: r_c (A) of the neighbourhood; None connects all pairs.
        group: "T(n)", "SE(n)", "SO(n)", "R+(n)", "R+ x SO(2)", "T(n) x| R+(n)", "T(2) x| R+ x SO(2)", where n may be a
            number; from Python also a group of your own with exp and log.
        lifts: elements drawn for each point, where it has infinitely many; cost and memory grow with the square.
        functions: functions of the kernel (16 in the authors' code).
        bottleneck: F over the features that are convolved (4 in the paper).
        neighbours: at most so many neighbours are drawn for each node in training (a Monte-Carlo estimate of the
            mean); None for all.
        alpha: weight of rotations in the length of a logarithm, against 1 - alpha of translations.
        vectors: vectors of a node among the outputs.
        dimension: n, of space.
        seed: of the lifts outside of training.
        norm: "batch", statistics of each channel over the batch in training before each block and behind each
            convolution (the authors' code for images and molecules), or "none".
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`.
    """

    CARD = ModelCard(
        message="linear",
        geometry="vector",
        body_order=5,
        symmetry="T(n)",
        paper="Finzi, Stanton, Izmailov, Wilson 2020, arXiv:2002.12880",
    )
    DEFAULTS = VectorInputs(radial_size=8)
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "layers": 2, "bottleneck": 2}, source=OURS),
        "paper": Preset(
            {"width": 1536, "layers": 6, "functions": 16, "bottleneck": 4},
            source="authors' code: lie_conv/lieConv.py (LieResNet: k=1536, num_layers=6; cmco_ci = 16; BottleBlock)",
        ),
    }

    def __init__(
        self,
        width: int = 64,
        layers: int = 3,
        cutoff: float | None = 5.0,
        group: str | Group = "T(n)",
        lifts: int | None = None,
        functions: int = 16,
        bottleneck: int = 2,
        neighbours: int | None = None,
        *,
        alpha: float = 0.2,
        vectors: int = 1,
        dimension: int = 3,
        seed: int = 0,
        norm: str = "none",
        **inputs: Unpack[VectorInputs],
    ) -> None:
        check_sizes(functions=functions)
        self._functions = functions
        super().__init__(
            cutoff,
            inputs,
            group=group,
            lifts=lifts,
            width=width,
            layers=layers,
            bottleneck=bottleneck,
            neighbours=neighbours,
            alpha=alpha,
            vectors=vectors,
            dimension=dimension,
            seed=seed,
            norm=norm,
        )

    def kernel(self) -> tuple[nn.Module, int]:
        translations = self.dimension if isinstance(self.group, Affine) else 0
        columns = translations + self.lifting.coordinates + self.lifting.orbit_columns + self.invariants
        return LieKernel(columns, self._functions), self._functions
