"""The rows of why_equivariance.py: one unconstrained network as it is, augmented, and symmetrised from outside, beside
one of invariant features and an equivariant one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.geometry import Graph, rasters, turned_images
from intertwine.groups import Orthogonal
from intertwine.models import MODELS
from intertwine.nn import Backbone
from intertwine.symmetrize import FrameVectors, ImageInFrames, InkFrames, LearnedFrames, SymmetrizedBackbone

CUTOFF = 5.0  # A; no two atoms of ethanol are farther apart
POINTS = {"layers": 2, "cutoff": 2.1, "species": (), "node_inputs": {"x": 1}}
IMAGE = {"layers": 3, "kernel": 5, "strides": (1,), "widening": 1, "norm": "batch"}


class Approach(NamedTuple):
    """A row.

    Args:
        model: name of the network.
        arguments: of it.
        around: what makes it equivariant from outside.
        augmented: whether batches are turned at random in training.
    """

    model: str
    arguments: Mapping[str, Any]
    around: Callable[[Backbone], Backbone] | None = None
    augmented: bool = False

    def build(self, width: int) -> Backbone:
        """The network with its wrapper."""
        network = MODELS[self.model](width=width, **self.arguments)
        return network if self.around is None else self.around(network)


def turned_molecules(graph: Graph) -> Graph:
    """A batch with a rotation of its own for each graph, drawn by torch's generator."""
    rotation = drawn(graph, 3)[graph.membership()]
    pos, forces = (torch.einsum("nab,nb->na", rotation.to(value), value) for value in (graph.pos, graph.forces))
    return graph.replaced(pos=pos, forces=forces)


def turned_digits(graph: Graph) -> Graph:
    """A batch of images, each turned at random and resampled."""
    image = rasters(graph, graph.x)
    return graph.replaced(x=image.at_nodes(turned_images(image.values, drawn(graph, 2).to(graph.x))))


def drawn(graph: Graph, n: int) -> Float[Tensor, "graphs n n"]:
    """A Haar-random rotation of each graph."""
    draw = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
    return Orthogonal(n, special=True).sample(graph.graphs, draw)


def _method(name: str, **options: Any) -> Callable[[Backbone], Backbone]:
    return lambda network: SymmetrizedBackbone(network, name, **options)  # type: ignore[arg-type]


def _canonical(network: Backbone) -> Backbone:
    vectors = FrameVectors(16, dimension=2, species=(), node_inputs={"x": 1})
    return ImageInFrames(network, LearnedFrames(vectors, "SO(2)"))


PLAIN = ("frame_transformer", {"layers": 2, "cutoff": None, "heads": 2, "vectors": 0})
PLAIN_IMAGES = ("cnn", IMAGE)
APPROACHES: dict[str, dict[str, Approach]] = {
    "ethanol": {
        "nothing": Approach(*PLAIN),
        "augmentation": Approach(*PLAIN, augmented=True),
        "invariant features": Approach("schnet", {"layers": 2, "cutoff": CUTOFF}),
        "equivariant network": Approach("painn", {"layers": 2, "cutoff": CUTOFF}),
        "frames": Approach(*PLAIN, _method("frames")),
        "weighted frames": Approach(*PLAIN, _method("weighted")),
        "canonical frame": Approach(*PLAIN, _method("canonical")),
    },
    "digits": {
        "nothing": Approach(*PLAIN_IMAGES),
        "augmentation": Approach(*PLAIN_IMAGES, augmented=True),
        "invariant features": Approach("schnet", POINTS),
        "equivariant network": Approach("se2cnn", {**IMAGE, "orientations": 8}),
        "mean over C_4": Approach(*PLAIN_IMAGES, _method("average", group="C_4")),
        "frames": Approach(*PLAIN_IMAGES, lambda network: ImageInFrames(network, InkFrames("pca"))),
        "weighted frames": Approach(*PLAIN_IMAGES, lambda network: ImageInFrames(network, InkFrames("weighted"))),
        "canonical frame": Approach(*PLAIN_IMAGES, _canonical),
    },
}
