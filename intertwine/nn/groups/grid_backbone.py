"""What networks of images and voxels share: from a graph to a stack of blocks, and back to the graph or its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.geometry import Graph, rasters
from intertwine.geometry.raster import placed
from intertwine.groups import Cartesian, DirectSum
from intertwine.nn.backbone import Backbone
from intertwine.nn.checks import check_sizes, require_space
from intertwine.nn.groups.grid_convolution import GridConvolution
from intertwine.nn.groups.resampling import AntiAliasedStride
from intertwine.nn.shapes import Lists
from intertwine.numerics import GeometryError, InputError, choose
from intertwine.o3 import Irreps

NEIGHBOURS = 0.5  # reach of an edge in pixels: there are none


class GridBackbone(Backbone):
    r"""Base of networks of images (2) or voxels (3): blocks of convolution, normalisation and activation, with strides
    between them, and invariants at the end.

    A subclass calls :meth:`build` with its blocks. A graph's image (:func:`intertwine.geometry.rasters`) goes through
    them; what comes out is made invariant and averaged over the pixels, or brought back to the nodes: with strides,
    a linear map of each resolution's invariants is added to what is interpolated from the next coarser one.

    Args:
        dimension: 2 or 3.
        channels: values of a pixel.
        width: channels of the first layer.
        layers: number of blocks.
        strides: numbers of the blocks, from 1, that a stride of 2 follows.
        widening: factor of the channels at each stride.
        level: "graph", one row for each image, or "node", one for each pixel.
        features: channels of a further layer of 1 x 1 at the end; 0 for none. What is invariant there is all that a
            head sees, and weights of one pixel are few.

    Attributes:
        widths: channels of each layer, the further one included.
        taps: pixels under a kernel.

    Raises:
        InputError: a stride behind a block that there is not, or the last; a size below 1.
    """

    EDGES = False
    LISTS: ClassVar[dict[str, tuple[int, ...]]] = {"pixels": (0,), "grid": ()}

    level: str  # type: ignore[misc]
    trials: str  # type: ignore[misc]

    def __init__(
        self, dimension: int, channels: int, width: int, layers: int, strides: Sequence[int], widening: int, level: str,
        features: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        check_sizes(channels=channels, width=width, layers=layers, widening=widening, features=features + 1)
        wrong = [k for k in strides if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k < layers]
        if wrong or len(set(strides)) < len(strides):
            raise InputError(
                f"strides {tuple(strides)} of {layers} layers",
                where="strides",
                remedy=f"give numbers of layers from 1 to {layers - 1}, each once; () for no strides.",
            )
        self.cutoff, self.dimension, self.channels = NEIGHBOURS, dimension, channels
        self.trials = "images" if dimension == 2 else "voxels"
        self.level = choose(level, ("graph", "node"), kind="level", where="level")
        self.stride, self.strides = AntiAliasedStride(2), frozenset(strides)
        self.widths = [width * widening ** sum(k <= number for k in strides) for number in range(layers)]
        self.widths += [features] if features else []
        ends = [self.widths[k - 1] for k in sorted(strides)] + [self.widths[-1]]
        self.width = self.widths[-1] if level == "graph" else width
        self.lateral = nn.ModuleList(nn.Linear(n, width) for n in ends) if level == "node" else None
        scalars = DirectSum(((self.width, Cartesian(0, dimension=2)),))
        self.irreps_out = Irreps(f"{self.width}x0e") if dimension == 3 else scalars

    def build(self, blocks: Sequence[Block], invariants: Sequence[nn.Module]) -> None:
        """Take the blocks, and what makes invariants of the features before each stride and at the end."""
        self.blocks, self.invariants = nn.ModuleList(blocks), nn.ModuleList(invariants)
        self.taps = max(block.convolution.size for block in blocks) ** self.dimension

    def rows(self, n: int = 3) -> dict[str, tuple[int, ...]]:
        return {"x": (self.channels,)}

    def lists(self, graph: Graph) -> Lists:
        """What a program can't make of positions, because the size of its images is fixed: ``pixels`` (nodes,), the
        number of each node's pixel, and ``grid``, an array of the images' size that holds nothing else."""
        raster = rasters(graph, graph.pos[:, :1])
        return {"pixels": raster.places, "grid": torch.zeros(raster.values.shape[2:], dtype=torch.bool)}

    def maps(self, image: Float[Tensor, "images channels *sizes"]) -> Float[Tensor, "images width *others"]:
        """Invariant feature maps: of the last resolution for "graph", of the first for "node"."""
        f, ends = image, []
        for number, block in enumerate(self.blocks, 1):
            f = block(f)
            if number in self.strides:
                ends.append(f)
                f = self.stride(f)
        if self.lateral is None:
            return self.invariants[-1](f)
        parts = [
            mix(invariant(end).movedim(1, -1)).movedim(-1, 1)
            for end, invariant, mix in zip([*ends, f], self.invariants, self.lateral, strict=True)
        ]
        result = parts.pop()
        for part in reversed(parts):
            result = part + self.stride.up(result, part.shape[2:])
        return result

    def features(self, graph: Graph) -> Float[Tensor, "rows features"]:
        """(graphs, width) or (nodes, width), by :attr:`level`."""
        require_space(graph, self.dimension)
        values = graph.get("x")
        values = values[:, None] if values is not None and values.ndim == 1 else values
        if values is None or values.ndim != 2 or values.shape[1] != self.channels:
            what = "no values `x`" if values is None else f"values `x` of shape {tuple(values.shape)}"
            raise GeometryError(
                f"the graph has {what}", where="x", remedy=f"give (nodes, {self.channels}), or set `channels`."
            )
        if values.shape[0] == 0:
            return values.new_zeros(0, self.width)
        pixels, grid = graph.get("pixels"), graph.get("grid")
        listed = pixels is not None and grid is not None
        raster = placed(values, pixels, tuple(grid.shape), graph.graphs) if listed else rasters(graph, values)
        f = self.maps(raster.values)
        return raster.at_nodes(f) if self.level == "node" else f.flatten(2).mean(2)


class Block(nn.Module):
    """Convolution, normalisation, activation, and dropout of whole maps' values in training.

    Args:
        convolution, norm: modules.
        activation: function of features.
        dropout: share of values that are set to zero.
    """

    def __init__(
        self, convolution: GridConvolution, norm: nn.Module, activation: nn.Module, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise InputError(f"dropout {dropout}", where="dropout", remedy="give a share from 0 to less than 1.")
        self.convolution, self.norm, self.activation, self.dropout = convolution, norm, activation, dropout

    def forward(self, f: Float[Tensor, "images maps *sizes"]) -> Float[Tensor, "images others *sizes_out"]:
        f = self.activation(self.norm(self.convolution(f)))
        return F.dropout(f, self.dropout, self.training) if self.dropout else f
