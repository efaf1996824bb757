r"""A model made equivariant from outside, which is a model again: for tasks, run folders, certificates and files.

.. math:: f_i = \sum_k w_k\, \rho(R_k)\, f_i\big(R_k^\top (x - c)\big)

The features of each node are moved back from each frame and averaged; heads read the mean. Energies are functions of
invariant features, and forces their gradient, through the frames.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.certify.claims import claims
from intertwine.geometry import Graph
from intertwine.geometry.plain import plain
from intertwine.nn import Backbone, ModelCard
from intertwine.numerics import InputError, choose, safe
from intertwine.o3 import Irreps
from intertwine.symmetrize.canonical import FrameVectors, LearnedFrames
from intertwine.symmetrize.chunks import SINGLE, check_chunk
from intertwine.symmetrize.frame_average import frame_mean, warn_detached
from intertwine.symmetrize.framing import BuiltFrames, Framing, GridFrames, near

#: The ways to make a model equivariant, in a line each.
METHODS = {
    "frames": "all principal axes of each structure, with all signs",
    "weighted": "frames with weights that make energies and forces continuous",
    "average": "rotations of a quadrature, or random ones; a finite group exactly",
    "canonical": "one frame, which a small network picks",
}
IMAGES = {"images": "C_4", "voxels": "octahedral"}  # the groups that take pixels to pixels, by what a model is tried on


class SymmetrizedBackbone(Backbone):
    """A model in frames.

    Args:
        network: the model; it need not be equivariant.
        method: one of ``METHODS``.
        group: "E(n)", "SE(n)", "O(n)", "SO(n)"; for "average" also a finite group, such as "C_4", "D_4" or
            "octahedral". None is E(n), and C_4 or octahedral for images and voxels, of which no other is exact.
        order: degree of the quadrature of "average": exact for models of that band limit. 3 are 32 rotations, and with
            reflections 64.
        samples: of "average": so many Haar-random rotations in place of the quadrature; 0 for none.
        draw: "never" takes all frames, "training" draws one of each structure at every step of the training and takes
            all afterwards, "always" draws.
        width: of "weighted": width of the weights (:func:`intertwine.geometry.frames.weighted`), in (0, 1].
        detached: of "frames" and "weighted": no derivatives through the frames; forces are then not the gradient of
            the energy.
        chunk: frames that go through the model at once; None for all, which is faster and takes more memory.
        irreps: a linear map in each frame makes these features of the model's, vectors of scalars for example:
            "32x0e + 16x1o". None keeps the model's.
        claimed_error: relative error of the symmetry that a quadrature claims (no unit).
        prior: of "canonical": weight in the loss of the distance between frames and the axes of the coordinates.

    Raises:
        InputError: an unknown method or group, or one that does not go with the model.
    """

    CARD = ModelCard(message="nonlinear", geometry="vector", body_order=5, symmetry="E(n)", paper="arXiv:2110.03336")

    def __init__(
        self, network: Backbone, method: str = "frames", *, group: str | None = None, order: int = 3,
        samples: int = 0, draw: str = "never", width: float = 0.2, detached: bool = False, chunk: int | None = None,
        irreps: str | None = None, claimed_error: float = 0.05, prior: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network, self.method, self.chunk, self.prior = network, method, check_chunk(chunk), prior
        choose(method, METHODS, kind="method", where="symmetrize")
        self.cutoff = getattr(network, "cutoff", None)
        if hasattr(network, "arguments"):
            self.arguments = network.arguments
            self.node_inputs, self.edge_inputs = network.node_inputs, network.edge_inputs
            self.vector_inputs = network.vector_inputs
        self.EDGES, self.level, self.trials = network.EDGES, network.level, network.trials  # type: ignore[misc]
        if network.level not in ("node", "graph"):
            what = f"{type(network).__name__} has features of each {network.level}"
            raise InputError(what, where="symmetrize", remedy="use a model with features of nodes.")
        self.framing = self._framing(method, group, order, samples, draw, width, detached, claimed_error)
        if detached:
            warn_detached()
        self.claimed_error, self.in_frames = self.framing.claimed_error, self.framing.in_frames
        self.irreps_out, self.mix = network.irreps_out, None
        if irreps is not None:
            self.irreps_out = Irreps(irreps)
            self.mix = nn.Linear(network.irreps_out.dim, self.irreps_out.dim)
        if (weight := next(network.parameters(), None)) is not None:
            self.to(weight.dtype)  # all of it in the precision of the model, whatever torch's default is

    def _framing(
        self, method: str, group: str | None, order: int, samples: int, draw: str, width: float, detached: bool,
        claimed: float,
    ) -> Framing:  # fmt: skip
        dimension = 2 if self.trials == "images" else int(getattr(self.network, "dimension", 3))
        own = IMAGES.get(self.trials)
        if own is not None and (method != "average" or (group or own).partition("(")[0] in ("E", "SE", "O", "SO")):
            remedy = (
                f"--symmetrize average, with symmetrize.group = {own!r}, or another group that takes pixels to pixels."
            )
            raise InputError(f"{type(self.network).__name__} is of {self.trials}", where="symmetrize", remedy=remedy)
        name = group or own or "E(n)"
        point = claims(name, dimension).point
        if point is not None:
            if method != "average" or not point.order:
                raise InputError(f"{method} over {name}", where="symmetrize.group", remedy="use E(n), or average.")
            return GridFrames(f"E({dimension})", finite=point, claimed=name)
        if method == "average":
            return GridFrames(name, order, samples, draw, claimed_error=claimed)
        if method == "canonical":
            species = self.arguments["species"] if hasattr(self, "arguments") else None
            vectors = FrameVectors(dimension=dimension, species=species, node_inputs=getattr(self, "node_inputs", ()))
            return LearnedFrames(vectors, name, draw=draw)
        if method == "weighted":
            return BuiltFrames(method, name, draw, detached, width=width)
        return BuiltFrames("pca", name, draw, detached)

    @property
    def card(self) -> ModelCard:
        return dataclasses.replace(self.network.card, symmetry=self.framing.claim)

    @property
    def embedding(self) -> nn.Module:
        """Of the model's species."""
        return self.network.get_submodule("embedding")

    def undefined(self, graph: Graph) -> list[str]:
        """For each graph why its frames are not unique, "" where they are: there no symmetry is claimed."""
        return self.framing.undefined(graph)

    def penalty(self, graph: Graph) -> Float[Tensor, ""] | None:
        """What is added to the loss in training; None for nothing."""
        if not (self.prior > 0 and isinstance(self.framing, LearnedFrames)):
            return None
        return self.prior * self.framing.prior(graph)

    def features(self, graph: Graph) -> Float[Tensor, "rows features"]:
        if torch.compiler.is_compiling() or safe.traced(graph.pos):
            remedy = "use the run folder from Python or ASE, or train without --symmetrize for a file."
            raise InputError("a model in frames is no program yet", where="symmetrize", remedy=remedy)

        def network(copies: Graph) -> Tensor:
            values = self.network.features(copies)
            return values if self.mix is None else self.mix(values)

        graph = near(plain(graph)) if self.framing.centred else plain(graph)
        frames = self.framing(graph)
        outputs, _ = frame_mean(network, graph, frames, {SINGLE: self.irreps_out}, self.chunk, (self.level,))
        return outputs[SINGLE].to(torch.promote_types(graph.precision, outputs[SINGLE].dtype))
