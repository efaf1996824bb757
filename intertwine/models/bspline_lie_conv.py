r"""B-spline convolution on Lie groups: kernels made of splines around centres in the group.

.. math::
    h(u) = \frac{1}{\sum_v c(u, v)} \sum_v c(u, v)\, k(v^{-1} u)\, f(v), \qquad
    k(x, h) = \sum_{a, b} C_{ab}\; B\Big(\frac{x - x_a}{s}\Big)\, B\Big(\frac{|\log(h_b^{-1} h)|}{s_H}\Big)

on :math:`\mathbb{R}^n \rtimes H`, with matrices :math:`C_{ab}` that are learned. Centres :math:`x_a` lie on a lattice
in a ball (localised), with gaps between narrower splines (atrous), or are learned (deformable). Bekkers, ICLR 2020
(arXiv:1909.12057), section 3; lecture 3.2, "Lie group convolutions". In three dimensions the first factor is by default
one of shells and directions (polar, :mod:`intertwine.nn.groups.polar_splines`): the centres of a lattice are as far
apart as bonds are long, and the forces of a molecule change within a tenth of that.

Lifting, blocks, neighbourhoods and symmetry are those of :class:`~intertwine.models.LieConv`. The kernel looks at
translations and H one beside the other, as the paper does, and at nothing else: there is one less network, and more
functions.

Departures: points that are scattered, with the mean over a neighbourhood, where the paper has a grid of pixels and
sums; the features are residual blocks'; H is drawn (:mod:`intertwine.nn.groups.lifting`), where it is a fixed grid in
the paper; the splines' centres stay when H is drawn anew.
"""

from __future__ import annotations

from typing import ClassVar, Unpack

from torch import nn

from intertwine.groups import Affine, Group
from intertwine.nn import Inputs, ModelCard, check_sizes
from intertwine.nn.checks import Columns
from intertwine.nn.cutoff import positive
from intertwine.nn.groups.lie_groups import lie_group, stabiliser_of_origin
from intertwine.nn.groups.lie_network import LieNetwork
from intertwine.nn.groups.splines import SplineKernel
from intertwine.nn.preset import OURS, Preset
from intertwine.numerics import InputError


class SplineInputs(Inputs, total=False):
    """Keyword arguments of a model without radial functions, whose nodes may have vectors.

    Args:
        cutoff_function: "polynomial" (forces without a kink) or "cosine".
        vector_inputs: vectors of the nodes, as of :class:`~intertwine.nn.VectorInputs`.
    """

    cutoff_function: str
    vector_inputs: Columns


class BSplineLieConv(LieNetwork):
    r"""B-spline networks for molecules, particles, point clouds and images as points.

    Args:
        width: features F of an element.
        layers: blocks.
        cutoff: r_c (A): the kernels' radius.
        group: with translations: "T(n)", "SE(n)", "T(n) x| R+(n)", "T(2) x| R+ x SO(2)"; as of LieConv.
        lifts: elements of H drawn for each point, where it has any; cost and memory grow with the square.
        splines: "localised", "atrous" or "deformable" (on a lattice of centres), or "polar" (shells of the distance
            times caps around directions); None for "polar" in three dimensions and "localised" in others.
        order: of the splines, 2 to 5: derivatives are continuous up to the one before.
        size: centres of a lattice on each side of the origin along an axis: 33 in the ball in three dimensions for 2,
            13 in two.
        shells: shells of a polar kernel, evenly to the cutoff.
        caps: directions of a polar kernel: of the sphere 6 are those of the axes, 12 the vertices of an icosahedron.
        turns: centres in H; functions of the kernel are this many times those of space.
        bottleneck: F over the features that are convolved.
        neighbours: at most so many neighbours are drawn for each node in training; None for all.
        alpha: weight of rotations in the length of a logarithm, where the kernel ends.
        vectors: vectors of a node among the outputs.
        dimension: n, of space.
        seed: of the lifts outside of training.
        norm: "batch", statistics of each channel over the batch in training before each block and behind each
            convolution (the authors' code for images and molecules), or "none".
        inputs: as of every model, :class:`SplineInputs`. The kernel is linear in ``edge_inputs``: coefficients of its
            own for each.

    Raises:
        InputError: a group without translations, or what LieConv refuses.
    """

    CARD = ModelCard(
        message="linear", geometry="vector", body_order=5, symmetry="T(n)", paper="Bekkers 2020, arXiv:1909.12057"
    )
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 32, "layers": 2, "shells": 12}, source=OURS),
        "paper": Preset(
            {"splines": "localised", "size": 2, "order": 2, "layers": 4, "width": 64},
            source="authors' code: experiments/PCAM/models/PCAM_SE2.py (kernels of 5 x 5, splines B_2, four "
            "convolutions, 64 features); group and lifts are the task's",
        ),
    }

    def __init__(
        self,
        width: int = 64,
        layers: int = 3,
        cutoff: float = 5.0,
        group: str | Group = "T(n)",
        lifts: int | None = None,
        splines: str | None = None,
        order: int = 3,
        size: int = 2,
        turns: int = 4,
        bottleneck: int = 4,
        neighbours: int | None = None,
        *,
        shells: int = 16,
        caps: int = 6,
        alpha: float = 0.2,
        vectors: int = 1,
        dimension: int = 3,
        seed: int = 0,
        norm: str = "none",
        **inputs: Unpack[SplineInputs],
    ) -> None:
        check_sizes(size=size, turns=turns)
        if not isinstance(lie_group(group, dimension), Affine):
            raise InputError(
                f"{group} has no translations", where="group", remedy="take T(n) or SE(n), or LieConv for this group."
            )
        positive(cutoff)
        splines = ("polar" if dimension == 3 else "localised") if splines is None else splines
        self._shape, self._polar = (size, turns, order, splines), (shells, caps)
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
            split=True,
        )

    def kernel(self) -> tuple[nn.Module, int]:
        assert isinstance(self.group, Affine)
        point = stabiliser_of_origin(self.group)
        kernel = SplineKernel(self.dimension, point, *self._shape, self.invariants, *self._polar)
        return kernel, kernel.functions
