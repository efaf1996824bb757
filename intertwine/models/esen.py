r"""eSEN, of the family of EquiformerV2: features of high degree, messages mixed in the frame of each edge, smooth
everywhere.

.. math::
    x_i^0 &= E_{z_i} \oplus \frac{1}{\sqrt{\bar N}} \sum_j c_{ij}\, D_{ij}^T\, \mathrm{MLP}(e_{ij})\big|_{m = 0} \\
    m_{ij} &= S_2\, \mathrm{gate}\big(S_1 (\phi(e_{ij}) \circ D_{ij} (\bar x_j \oplus \bar x_i))\big), \qquad
    \bar x = \mathrm{norm}(x) \\
    x_i &\leftarrow x_i + \frac{1}{\sqrt{\bar N}} \sum_j c_{ij}\, D_{ij}^T m_{ij}, \qquad
    x_i \leftarrow x_i + \mathrm{feed}(\mathrm{norm}(x_i))

:math:`D_{ij}` turns features into a frame with the edge on the polar axis, up to the order ``mmax``
(:func:`~intertwine.o3.edge_frames`); S are SO(2)-linear (:class:`~intertwine.nn.SO2Linear`), with factors :math:`\phi`
of the invariants :math:`e_{ij}`: radial functions and the species at both ends. With all orders each S is a tensor
product with harmonics, in another basis. The gate acts in the frame: scalars by silu, every other degree times the
sigmoid of scalars. The norm is the root mean square over all degrees, with a smoothing; feed-forward is linear, gate,
linear on the nodes, or (``feed_forward="grid"``, EquiformerV2) linear, silu on a grid of the sphere, linear. With
``heads`` the sum is an attention, whose logits come from scalars of the first map.

Fu, Wood, Barroso-Luque, Levine, Gao, Dzamba and Zitnick, "Learning smooth and expressive interatomic potentials",
arXiv:2502.12147; Liao, Wood, Das and Smidt, "EquiformerV2", arXiv:2306.12059, section 4; Passaro and Zitnick,
arXiv:2302.03655 (the maps S).

:math:`\phi` and the MLP are networks of ``radial_layers`` hidden layers; with ``radial_norm`` a layer norm stands
before each silu. The authors' have two, and the norms, as the preset ``paper`` has.

Theirs commute with rotations only. With ``reflections`` (the default) S keeps the maps that commute with mirrors as
well: half of the weights, and E(3). On a grid the symmetry is as good as the grid: see ``grid``.

Departures: the species at both ends of an edge enter its network by the embedding of the nodes, the authors have tables
of their own for either end; Gaussians are as wide as their spacing, theirs twice as wide; sums are over
:math:`\sqrt{\bar N}` everywhere, theirs are divided by 5 in the first features and not at all in messages; the last
layer makes the degrees of ``outputs`` only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from intertwine.geometry import Graph
from intertwine.nn import Backbone, Gate, ModelCard, S2Activation, VectorInputs
from intertwine.nn.checks import check_degree, check_lmax, check_outputs, check_sizes, check_smoothing, require_space
from intertwine.nn.preset import OURS, Preset
from intertwine.nn.so2.frame_convolution import EdgeDegree, FrameConvolution, degrees, row_degrees
from intertwine.numerics import ExactBuffers, InputError, choose
from intertwine.o3 import EdgeFrames, Irreps, Linear, edge_frames

FEED_FORWARDS = ("gate", "grid")


class DegreeNorm(ExactBuffers):
    r"""Features over their root mean square, of all degrees alike; scalars are centred over the channels first.

    .. math::
        x'_{lmc} = w_{lc}\, x_{lmc} / \sqrt{\epsilon^2 + \mathrm{mean}_l\, \mathrm{mean}_{mc}\, x_{lmc}^2}
        + \delta_{l0} b_c

    Args:
        width: channels. lmax: largest degree.
        smoothing: epsilon, in units of x.
    """

    shares: Tensor
    degree: Tensor

    def __init__(self, width: int, lmax: int, smoothing: float) -> None:
        super().__init__()
        self.smoothing = smoothing
        degree = torch.tensor(row_degrees(lmax, lmax))
        self.register_exact("shares", 1 / ((lmax + 1) * (2 * degree.double() + 1)))
        self.register_exact("degree", degree)
        self.weight, self.bias = nn.Parameter(torch.ones(lmax + 1, width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "nodes components width"]) -> Float[Tensor, "nodes components width"]:
        scalars, others = x.split([1, x.shape[1] - 1], dim=1)
        x = torch.cat([scalars - scalars.mean(-1, keepdim=True), others], dim=1)
        scale = (x.square().mean(-1) @ self.shares + self.smoothing**2).rsqrt()
        y = x * scale[:, None, None] * self.weight.index_select(0, self.degree)
        return y + F.pad(self.bias.unsqueeze(0), (0, 0, 0, x.shape[1] - 1))


class FeedForward(nn.Module):
    """Linear, non-linearity, linear on features (nodes, (lmax + 1)^2, width).

    Args:
        width, hidden: channels outside and inside. lmax: largest degree.
        grid: parallels of the grid of silu; None for a gate.

    Raises:
        InputError: a grid that does not resolve the degrees.
    """

    def __init__(self, width: int, hidden: int, lmax: int, grid: int | None) -> None:
        super().__init__()
        outside, inside = degrees(width, lmax), degrees(hidden, lmax)
        self.gate, self.sphere, self.hidden = None, None, hidden
        if grid is None:
            gated = Irreps(inside[1:])
            gates = Irreps([(hidden * lmax, "0e")]) if lmax else Irreps()
            self.gate = Gate(Irreps(inside[:1]), [F.silu], gates, [torch.sigmoid] * len(gates), gated, layout="ir_mul")
        else:
            self.sphere = S2Activation(degrees(1, lmax), F.silu, grid)
        self.up = Linear(outside, inside if self.gate is None else self.gate.irreps_in, biases=True, layout="ir_mul")
        self.down = Linear(inside, outside, biases=True, layout="ir_mul")

    def forward(self, x: Float[Tensor, "nodes components width"]) -> Float[Tensor, "nodes components width"]:
        y = self.up(x.flatten(1))
        if self.gate is not None:
            y = self.gate(y)
        elif self.sphere is not None:
            y = self.sphere(y.unflatten(1, (-1, self.hidden)).transpose(1, 2)).transpose(1, 2).flatten(1)
        return self.down(y).view(x.shape)


class ESENLayer(nn.Module):
    """Messages and feed-forward, each after a norm and added to its input.

    Args:
        convolution: of the messages. width, lmax_out: of the result. smoothing: of the norms.
        feed_hidden, grid: of :class:`FeedForward`.
    """

    def __init__(
        self,
        convolution: FrameConvolution,
        width: int,
        lmax_out: int,
        smoothing: float,
        feed_hidden: int,
        grid: int | None,
    ) -> None:
        super().__init__()
        self.kept = (lmax_out + 1) ** 2
        self.before, self.convolution = DegreeNorm(width, convolution.lmax, smoothing), convolution
        self.between = DegreeNorm(width, lmax_out, smoothing)
        self.feed = FeedForward(width, feed_hidden, lmax_out, grid)

    def forward(
        self, x: Float[Tensor, "nodes components width"], *edges: Shaped[Tensor, "..."] | EdgeFrames
    ) -> Float[Tensor, "nodes out width"]:
        x = x[:, : self.kept] + self.convolution(self.before(x), *edges)
        return x + self.feed(self.between(x))


class ESEN(Backbone):
    """eSEN with any cutoff, species and inputs; EquiformerV2's attention and grid as options.

    Args:
        width: channels of every degree (128 in the paper).
        layers: message passing layers (2 to 10 in the paper).
        lmax: largest degree of the features (3 in eSEN, 4 to 6 in EquiformerV2).
        mmax: largest order in the frames of the edges, at most lmax (2 and 3 there).
        hidden: channels between the maps of a message, and in the feed-forward; ``width`` if None.
        radial_width: width of the hidden layers of the networks of edge invariants (128 in the paper).
        radial_layers: number of those hidden layers (2 in the paper).
        radial_norm: whether a layer norm stands before each of their activations (it does in the paper).
        heads: of the attention, a divisor of ``width`` and ``hidden``; 0 sums, as eSEN does.
        feed_forward: "gate" (eSEN) or "grid" (EquiformerV2, equivariant as far as the grid resolves:
            with lmax = 2 to 1e-6 by default, to 2e-3 with 12 parallels, to 1e-12 with 48).
        grid: parallels of that grid; None for 8 (lmax + 1). More make it more equivariant.
        reflections: E(3); without, the papers' SE(3), with twice the weights in the messages.
        outputs: irreps of the result, of natural parity. The last layer has no higher degrees than these.
        average_degree: average number of neighbours, to which sums are scaled.
        smoothing: epsilon of the norms, in units of the features.
        inputs: as of every model, :class:`~intertwine.nn.VectorInputs`; messages see the invariants of edges.

    Raises:
        InputError: a size that is not positive, mmax above lmax, heads that do not divide the channels, outputs of
            another parity or a higher degree, a grid that is too coarse for lmax.
    """

    CARD = ModelCard(
        message="nonlinear",
        geometry="spherical tensor",
        body_order=5,
        symmetry="E(3)",
        paper="Fu et al. 2025, arXiv:2502.12147",
    )

    DEFAULTS = VectorInputs(radial_size=12, radial="gaussian")
    PRESETS: ClassVar[dict[str, Preset]] = {
        "small": Preset({"width": 16, "layers": 2, "lmax": 2, "mmax": 2, "radial_width": 32}, source=OURS),
        "paper": Preset(
            {
                "width": 128,
                "layers": 10,
                "lmax": 3,
                "mmax": 2,
                "hidden": 128,
                "reflections": False,
                "cutoff": 6.0,
                "radial_width": 128,
                "radial_layers": 2,
                "radial_norm": True,
            },
            source="arXiv:2502.12147, appendix (hyperparameters of eSEN-30M); authors' code: fairchem, "
            "core/models/esen/esen.py (channels, edge_channels_list), nn/radial.py (RadialMLP)",
        ),
    }

    def __init__(
        self,
        width: int = 32,
        layers: int = 2,
        lmax: int = 2,
        mmax: int = 2,
        hidden: int | None = None,
        radial_width: int = 64,
        heads: int = 0,
        feed_forward: str = "gate",
        grid: int | None = None,
        reflections: bool = True,
        outputs: str = "0e+1o",
        cutoff: float = 5.0,
        *,
        radial_layers: int = 1,
        radial_norm: bool = False,
        average_degree: float = 12.0,
        smoothing: float = 0.1,
        **inputs: Unpack[VectorInputs],
    ) -> None:
        super().__init__(cutoff, inputs)
        hidden = width if hidden is None else hidden
        check_sizes(width=width, layers=layers, hidden=hidden, radial_width=radial_width, radial_layers=radial_layers)
        wanted = _checked(lmax, mmax, width, hidden, heads, average_degree, outputs)
        choose(feed_forward, FEED_FORWARDS, kind="feed-forward", where="feed_forward")
        smoothing = check_smoothing(smoothing)
        self.reflections = reflections
        self.lmax, self.mmax = lmax, mmax
        self.embedding, self.edges = self.embed_nodes(width), self.embed_edges()
        functions, invariants = self.edges.functions, self.edges.width - self.edges.functions
        # of the attributes, about
        square = (functions * 3 / cutoff**3 if self.arguments["radial"] == "bessel" else 1.77) + invariants
        network = (radial_layers, radial_norm)
        self.degree = EdgeDegree(width, lmax, mmax, self.edges.width, square, radial_width, average_degree, *network)
        self.start = self.embed_vectors(width)
        if self.start is not None and lmax == 0:
            raise InputError("vectors for a model of scalars", where="vector_inputs", remedy="raise lmax.")
        highest = max(wanted.ls)
        self.layers = nn.ModuleList()
        for number in range(layers):
            lmax_out = lmax if number < layers - 1 else highest
            sizes = (self.edges.width, square, radial_width, heads)
            common = (*sizes, reflections, average_degree, *network)
            convolution = FrameConvolution(width, hidden, lmax, lmax_out, mmax, *common)
            resolution = None if feed_forward == "gate" else 8 * (lmax + 1) if grid is None else grid
            self.layers.append(ESENLayer(convolution, width, lmax_out, smoothing, hidden, resolution))
        self.norm = DegreeNorm(width, highest, smoothing)
        self.irreps_out, self.kept = Irreps([(width, ir) for _, ir in wanted]), tuple(wanted.ls)

    @property
    def card(self) -> ModelCard:
        return self.CARD if self.reflections else replace(self.CARD, symmetry="SE(3)")

    def features(self, graph: Graph) -> Float[Tensor, "nodes features"]:
        require_space(graph)
        edges, invariants = self.edges(graph), self.embedding(graph)
        shared = (
            edge_frames(edges.vectors, self.lmax, self.mmax),
            edges.attributes,
            edges.envelope.squeeze(-1),
            graph.edge_index,
        )
        x = self.degree(invariants, *shared)
        x = x + F.pad(invariants.unsqueeze(1), (0, 0, 0, x.shape[1] - 1))
        if self.start is not None:
            x = x + F.pad(self.start(graph), (0, 0, 1, x.shape[1] - 4))
        for layer in self.layers:
            x = layer(x, invariants, *shared)
        x = self.norm(x)
        return torch.cat([x[:, l**2 : (l + 1) ** 2].transpose(1, 2).flatten(1) for l in self.kept], dim=1)


def _checked(lmax: int, mmax: int, width: int, hidden: int, heads: int, average_degree: float, outputs: str) -> Irreps:
    """The outputs, one block for each irrep; errors for arguments that do not fit."""
    check_lmax(lmax, "3 is usual")
    if mmax < 0:
        raise InputError(f"mmax = {mmax}", where="mmax", remedy="give 0 or more; 2 is usual.")
    if mmax > lmax:
        raise InputError(
            f"mmax = {mmax} above lmax = {lmax}",
            where="mmax",
            remedy="orders end at the degree: lower mmax, or raise lmax.",
        )
    if heads < 0 or (heads and (width % heads or hidden % heads)):
        raise InputError(
            f"{heads} heads for {width} channels, {hidden} hidden",
            where="heads",
            remedy="give a divisor of both, or 0.",
        )
    check_degree(average_degree)
    wanted = Irreps(outputs).regroup()
    check_outputs(wanted, degrees(1, lmax), "raise lmax")
    return wanted
