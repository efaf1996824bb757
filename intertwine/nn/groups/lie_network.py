"""The network of Lie group convolutions: lift, convolve in residual blocks, pool over the lifts."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.geometry import Graph, distances, edge_invariants, edge_vectors, vector_fields
from intertwine.groups import SO, Affine, Cartesian, DirectSum, Group, Scaling, T
from intertwine.nn.backbone import Backbone
from intertwine.nn.card import ModelCard
from intertwine.nn.checks import check_sizes, require_space
from intertwine.nn.cutoff import envelope
from intertwine.nn.groups.field_norm import FieldNorm
from intertwine.nn.groups.lie_convolution import LieConvolution, mean_weights, pairs_of_lifts, sample_neighbours
from intertwine.nn.groups.lie_groups import lie_group
from intertwine.nn.groups.lifting import Lifting, Relative, lifting
from intertwine.nn.inputs import Inputs
from intertwine.nn.mlp import MLP
from intertwine.nn.radial import GaussianBasis, radial_basis
from intertwine.numerics import GeometryError, InputError, choose, safe
from intertwine.o3 import Irreps

NORMS = ("none", "batch")
Edges = tuple[Int[Tensor, "2 edges"], Relative, Float[Tensor, "edges r"]]


class LieBlock(nn.Module):
    r"""A residual bottleneck, :math:`f' = f + \mathrm{MLP}(N(h)), \; h = k * (W N(f))`.

    Args:
        width: features F of an element.
        inner: features that are convolved.
        kernel: gives the functions of the kernel; it has an attribute ``square``, about the sum of their squares.
        functions: of the kernel.
        norm: what N is: "batch", of each channel over all elements of the batch in training, or "none", the identity.
    """

    def __init__(self, width: int, inner: int, kernel: nn.Module, functions: int, norm: str = "none") -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.Identity() if norm == "none" else FieldNorm(n, 1, norm) for n in (width, inner))
        self.inward, self.kernel = nn.Linear(width, inner), kernel
        self.convolution = LieConvolution(inner, functions, inner, cast(float, kernel.square))
        self.outward = MLP([inner, width, width])

    def forward(
        self,
        f: Float[Tensor, "elements width"],
        edges: tuple[Relative, Float[Tensor, "edges r"]],
        weights: Float[Tensor, " pairs"],
        pairs: Int[Tensor, "2 pairs"],
    ) -> Float[Tensor, "elements width"]:
        phi = self.kernel(*edges).flatten(0, 2)
        h = self.convolution(self.inward(self.norms[0](f)), phi, weights, pairs)
        return f + self.outward(self.norms[1](h))


class LieNetwork(Backbone, ABC):
    r"""Base of LieConv and BSplineLieConv: they differ in :meth:`kernel`.

    A node is lifted to S elements (:mod:`~intertwine.nn.groups.lifting`), which begin with its embedding and its
    vectors as they are seen from the element. The neighbours of (i, s) are all lifts of the node itself and of those
    within the cutoff. Features of a node are the mean over its lifts, its vectors the mean of
    :math:`A_{is} W f_{is}` with the element's linear part A.

    With translations :math:`c(u, v)` is the envelope of
    :math:`\sqrt{|v|^2 + (\tfrac{\alpha}{1 - \alpha})^2 |\omega|^2} / r_c`, the logarithm's length with rotations (1
    radian counts as :math:`\alpha / (1 - \alpha)` A); the authors' code adds both norms, which has a cusp where points
    coincide. Without translations, and for groups that scale, it is that of :math:`|x_i - x_j| / r_c`, times what
    fades where the logarithm jumps. With ``cutoff=None`` all see each other. A group without translations has the
    radius r_c, and no cutoff: positions are from the mean of all.

    Args:
        cutoff: r_c (A), or None.
        inputs: of every model.
        group: a name (:func:`~intertwine.nn.groups.lie_groups.named_groups`) or a group.
        lifts: S; needed where a point has infinitely many.
        width: features F of an element.
        layers: blocks.
        bottleneck: F over the features that are convolved.
        neighbours: at most so many neighbours of a node are drawn, in every evaluation in training; all outside of it.
        alpha: weight of rotations in distances, 0 to below 1.
        vectors: vectors of a node among the outputs.
        dimension: n, of space.
        seed: of the lifts outside of training.
        norm: "batch" or "none": before each block and behind each convolution.
        split: tell translations and H apart (:class:`~intertwine.nn.groups.lifting.TranslationLifting`).

    Raises:
        InputError: a group that can't be taken, lifts that are missing, a size that is not positive.
    """

    def __init__(
        self,
        cutoff: float | None,
        inputs: Inputs,
        *,
        group: str | Group,
        lifts: int | None,
        width: int,
        layers: int,
        bottleneck: int,
        neighbours: int | None,
        alpha: float,
        vectors: int,
        dimension: int,
        seed: int,
        norm: str = "none",
        split: bool = False,
    ) -> None:
        self.dimension, self.radius = dimension, cutoff
        self.group = lie_group(group, dimension)
        # what turns about a centre changes everywhere with the centre, so there are no two structures out of reach
        super().__init__(cutoff if isinstance(self.group, Affine) else None, inputs)
        check_sizes(
            width=width, layers=layers, bottleneck=bottleneck, dimension=dimension, vectors=1 + vectors,
            neighbours=1 if neighbours is None else neighbours,
        )  # fmt: skip
        if not 0 <= alpha < 1:
            raise InputError(f"alpha = {alpha}", where="alpha", remedy="give 0 or more, and less than 1; 0.2 is usual.")
        choose(norm, NORMS, kind="normalisation", where="norm")
        self.alpha, self.neighbours, self.vectors = float(alpha), neighbours, vectors
        self.lifting: Lifting = lifting(self.group, lifts, seed, split)
        scales = not (self.lifting.isometric or isinstance(self.group, Affine))
        if scales and self.vector_inputs:
            raise InputError(
                f"vectors at the centre of {self.group} have no finite length",
                where="vector_inputs",
                remedy="give their lengths as node_inputs, or take the group with translations.",
            )
        scalar, vector = Cartesian(0, dimension=dimension), Cartesian(1, dimension=dimension)
        terms = tuple((mul, rep) for mul, rep in ((width, scalar), (vectors, vector)) if mul)
        plain = Irreps(f"{width}x0e+{vectors}x1o" if vectors else f"{width}x0e")
        self.irreps_out = plain if dimension == 3 else DirectSum(terms)
        self.embedding = self.embed_nodes(width)
        self.envelope = None if cutoff is None else envelope(self.arguments["cutoff_function"], cutoff)
        self.radial = self._radial()
        seen = dimension * sum(self.vector_inputs.values())
        self.inward = nn.Linear(seen, width, bias=False) if seen else None
        inner = max(width // bottleneck, 1)
        kernels = [self.kernel() for _ in range(layers)]
        self.layers = nn.ModuleList(LieBlock(width, inner, kernel, functions, norm) for kernel, functions in kernels)
        self.outward = nn.Linear(width, dimension * vectors, bias=False) if vectors else None

    @abstractmethod
    def kernel(self) -> tuple[nn.Module, int]:
        """A kernel of a layer and its number of functions; called once for each, when the lifting is there."""

    @property
    def invariants(self) -> int:
        """Columns of the invariants of edges: radial functions, if there are any, and the given ones."""
        radial = 0 if self.radial is None else self.arguments["radial_size"]
        return radial + sum(self.edge_inputs.values())

    def _radial(self) -> nn.Module | None:
        """Functions of the distance, or of d / (d + 1 A) without a cutoff; None where the group does not keep distances
        or the model has no use for them."""
        size = self.arguments.get("radial_size")
        if size is None or not self.lifting.isometric:
            return None
        if self.radius is None:
            return GaussianBasis(size, 1.0)
        return radial_basis(self.arguments["radial"], size, self.radius)

    def redraw(self, seed: int) -> None:
        """Draw the lifts that are used outside of training anew: outputs are one sample of a random function of the
        structure, whose distribution has the symmetry of the group.
        """
        self.lifting.redraw(seed)

    @property
    def card(self) -> ModelCard:
        if self.group == T(self.dimension):
            return self.CARD
        return dataclasses.replace(
            self.CARD, domain=self.group.name, geometry="group element", symmetry=self.symmetry()
        )

    def symmetry(self) -> str:
        """What the outputs are equivariant to: exactly, or "in distribution" where the lifts are drawn."""
        n = self.dimension
        turns = self.group.point if isinstance(self.group, Affine) else self.group
        if turns in (SO(2), SO(3)):
            return f"SE({n}) in distribution" if self.lifting.sampled is not None else f"SE({n})"
        if isinstance(self.group, Affine):
            return "T(n)"  # of the rest no uniform measure is drawn
        if self.radius is None:
            return f"T({n}) x {'R+' if isinstance(self.group, Scaling) else self.group.name}"
        return "T(n)" if isinstance(self.group, Scaling) else f"SE({n})"

    def ready(self, graph: Graph) -> Graph:
        if isinstance(graph, Graph):
            self._require_finite(graph)
        return super().ready(graph)

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph, self.dimension)
        nodes, lifts = graph.num_nodes, self.lifting.lifts
        edge_index, vectors, invariants = self._neighbourhoods(graph)
        drawn = self.lifting.drawn(vectors)
        relative = self.lifting.relative(graph, drawn, vectors, edge_index)
        pairs = pairs_of_lifts(edge_index, lifts)
        weights = mean_weights(self._envelope(vectors, relative).flatten(), pairs[1], nodes * lifts)
        scaled = None if relative.vectors is None else self._scaled(relative.vectors)
        edges = (relative._replace(vectors=scaled, orbits=self._orbits(relative.orbits)), invariants)
        frames = self.lifting.frames(graph, drawn)
        f = self._lifted(graph, frames)
        for layer in self.layers:
            f = layer(f, edges, weights, pairs)
        f = f.unflatten(0, (nodes, lifts))
        scalars = f.mean(1)
        if self.outward is None:
            return scalars
        local = self.outward(f).unflatten(-1, (self.vectors, self.dimension))
        return torch.cat([scalars, (local @ frames.mT).mean(1).flatten(1)], dim=1)

    def _lifted(self, graph: Graph, frames: Float[Tensor, "nodes lifts n n"]) -> Float[Tensor, "elements width"]:
        """The first features of all elements."""
        f = self.embedding(graph).unsqueeze(1).expand(-1, self.lifting.lifts, -1)
        if self.inward is not None:
            v = torch.stack(vector_fields(graph, self.vector_inputs), dim=1)[:, None]  # (nodes, 1, vectors, n)
            back = frames if self.lifting.isometric else torch.linalg.inv(frames).mT
            f = f + self.inward((v @ back).flatten(2))
        return f.flatten(0, 1)

    def _neighbourhoods(
        self, graph: Graph
    ) -> tuple[Int[Tensor, "2 edges"], Float[Tensor, "edges n"], Float[Tensor, "edges r"]]:
        """Edges with those of each node to itself, their vectors (A), and invariants."""
        edge_index, vectors = graph.edge_index, edge_vectors(graph)
        named = edge_invariants(graph, self.edge_inputs)
        if self.radius is not None and not isinstance(self.group, Affine):
            kept = (vectors.detach().square().sum(1) < self.radius**2).nonzero().flatten()
            edge_index, vectors, named = edge_index[:, kept], vectors[kept], named[kept]
        if self.training and self.neighbours is not None:
            kept = sample_neighbours(edge_index, self.neighbours)
            edge_index, vectors, named = edge_index[:, kept], vectors[kept], named[kept]
        own = torch.arange(graph.num_nodes, device=edge_index.device)
        edge_index = torch.cat([edge_index, own.expand(2, -1)], dim=1)
        vectors = torch.cat([vectors, vectors.new_zeros(own.shape[0], self.dimension)])
        named = torch.cat([named, named.new_zeros(own.shape[0], named.shape[1])])
        if self.radial is None:
            return edge_index, vectors, named
        d = distances(vectors)
        radial = self.radial(d / (d + 1) if self.radius is None else d)
        return edge_index, vectors, torch.cat([radial, named], dim=1)

    def _require_finite(self, graph: Graph) -> None:
        cell = graph.get("pbc")
        if not isinstance(self.group, Affine) and cell is not None and safe.inspectable(cell) and bool(cell.any()):
            raise GeometryError(
                f"{self.group} turns about a centre, and a periodic structure has none",
                where="pbc",
                remedy="take a group with translations: T(n) or SE(n).",
            )

    def _envelope(self, vectors: Float[Tensor, "edges n"], relative: Relative) -> Float[Tensor, "edges lifts lifts"]:
        """c(u, v)."""
        lifts, shape = self.lifting.lifts, (vectors.shape[0], self.lifting.lifts, self.lifting.lifts)
        c = vectors.new_ones(1, lifts, lifts) if relative.weights is None else relative.weights
        if self.envelope is None:
            return c.expand(shape)
        if relative.vectors is not None:
            turns = relative.turns.expand(*shape, -1) * (self.alpha / (1 - self.alpha))
            length = safe.norm(torch.cat([relative.vectors, turns], dim=-1))
            c = c * self.envelope(length.flatten()).view(shape)
        if relative.vectors is None or not self.lifting.isometric:
            c = c * self.envelope(distances(vectors))[:, None, None]
        return c.expand(shape)

    def _scaled(self, vectors: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
        """Of about 1: in units of the cutoff, or the logarithm of long ones."""
        return safe.compress(vectors) if self.radius is None else vectors / self.radius

    def _orbits(self, orbits: Float[Tensor, "edges k"]) -> Float[Tensor, "edges k"]:
        """Radii as distances are scaled; directions as they are."""
        return self._scaled(orbits) if self.lifting.isometric and orbits.shape[1] else orbits
