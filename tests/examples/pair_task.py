"""Labels on pairs: blocks of a matrix between orbitals s, p_x, p_y, p_z of every two atoms (a Hamiltonian in a minimal
basis).
"""

from __future__ import annotations

from functools import partial

import torch

from intertwine import Graph, plots
from intertwine.data import Dataset, GraphStore
from intertwine.geometry import pair_list
from intertwine.nn import MLP, ScalarHead, VectorHead, envelope
from intertwine.numerics import safe
from intertwine.o3 import CartesianTensor, Irreps
from intertwine.tasks import Metric, Output, Pace, Task

PP = CartesianTensor("ij")
IRREPS = Irreps("0e+2x1o") + Irreps(PP)  # of ss, of sp and ps, of pp
REACH = 2.0  # A: over which matrix elements fall


def to_irreps(h: torch.Tensor) -> torch.Tensor:
    """Blocks (..., 4, 4) as components (..., 16)."""
    return torch.cat([h[..., :1, 0], h[..., 0, 1:], h[..., 1:, 0], PP.from_cartesian(h[..., 1:, 1:])], dim=-1)


def to_blocks(y: torch.Tensor) -> torch.Tensor:
    """Components (..., 16) as blocks (..., 4, 4)."""
    top = y[..., :4].unsqueeze(-2)
    return torch.cat([top, torch.cat([y[..., 4:7].unsqueeze(-1), PP.to_cartesian(y[..., 7:])], dim=-1)], dim=-2)


def transposed(y: torch.Tensor) -> torch.Tensor:
    """The components of the transposed blocks: sp and ps change places, the antisymmetric part of pp its sign."""
    return torch.cat([y[..., :1], y[..., 4:7], y[..., 1:4], y[..., 7:8], -y[..., 8:11], y[..., 11:]], dim=-1)


def assembled(s: torch.Tensor, sp: torch.Tensor, ps: torch.Tensor, pp: torch.Tensor) -> torch.Tensor:
    """Blocks from their four parts: (P, 1), (P, 3), (P, 3), (P, 3, 3)."""
    top, bottom = torch.cat([s, sp], dim=1), torch.cat([ps.unsqueeze(2), pp], dim=2)
    return torch.cat([top.unsqueeze(1), bottom], dim=1)


def matrix(y: torch.Tensor, pairs: torch.Tensor, atoms: int) -> torch.Tensor:
    """The blocks of one structure in their places in the whole matrix; zero where no pair is listed."""
    whole = torch.zeros(atoms, 4, atoms, 4, dtype=y.dtype)
    whole[pairs[:, 0], :, pairs[:, 1]] = to_blocks(y)
    return whole.flatten(2).flatten(0, 1)


class Hamiltonian(Task):
    r"""Hermitian blocks :math:`H_{ij} = A_{ij} + A_{ji}^T` of every pair that the graph lists, or of all.

    Two losses in units of their own: of the blocks on the diagonal and of those off it. ``onsite_weight`` weighs the
    former.
    """

    name, model, pace = "hamiltonian", "painn", Pace(batch_size=4, learning_rate=3e-3, steps=200, least=2, most=50)

    def __init__(self, backbone, onsite_weight: float = 1.0, loss: str = "l2") -> None:
        super().__init__(backbone, loss)
        self.scalars, self.vectors = ScalarHead(backbone.irreps_out, 8), VectorHead(backbone.irreps_out, 2)
        self.mix = MLP([17, 32, 10])
        self.envelope = envelope("polynomial", backbone.cutoff)  # a block ends where the model's view does
        self.register_buffer("sizes", torch.ones(2))
        self.outputs = {"block": Output(IRREPS, "pair", "eV")}
        self.metrics = {"onsite": Metric("meV", 1e3), "hopping": Metric("meV", 1e3)}
        self.weights = {"onsite": onsite_weight, "hopping": 1.0}

    @classmethod
    def suits(cls, data, target):
        return "block" in data.fields

    def half(self, i, j, r, s, v):
        """:math:`A_{ij}` in irreps, with r the vector from i to j."""
        d2 = (r * r).sum(1)
        near = (torch.exp(-d2 / REACH**2) * self.envelope(safe.sqrt(d2))).unsqueeze(1)
        c = self.mix(torch.cat([s[i], s[j], near], dim=1)) * near
        u, w = v[i, 0], v[j, 1]
        sp, ps = c[:, 1:2] * r + c[:, 2:3] * u + c[:, 3:4] * w, c[:, 4:5] * r + c[:, 5:6] * w
        tensors = [PP.from_cartesian(x.unsqueeze(2) * y.unsqueeze(1))[:, 4:] for x, y in ((r, r), (u, w))]
        pp = [c[:, 6:7], c[:, 7:8] * torch.linalg.cross(u, w), c[:, 8:9] * tensors[0] + c[:, 9:] * tensors[1]]
        return torch.cat([c[:, :1], sp, ps, *pp], dim=1)

    def predict(self, graph):
        f = self.backbone(graph)
        s, v = self.scalars(f), self.vectors(f)
        i, j = pair_list(graph).T
        r = (graph.pos[j] - graph.pos[i]).to(s.dtype)
        return {"block": self.half(i, j, r, s, v) + transposed(self.half(j, i, -r, s, v))}

    def residuals(self, prediction, graph):
        if graph.get("block") is None:
            return {}
        i, j = pair_list(graph).T
        r = prediction["block"] - graph.block.to(self.dtype)
        return {"onsite": r[i == j], "hopping": r[i != j]}

    def scale_of(self, target):
        return self.sizes[list(self.metrics).index(target)]

    def fit(self, graphs):
        parts = [
            (graph.block[same], graph.block[~same])
            for graph in graphs
            for same in [pair_list(graph)[:, 0] == pair_list(graph)[:, 1]]
        ]
        self.sizes.copy_(torch.stack([torch.cat(part).square().mean().sqrt() for part in zip(*parts, strict=True)]))

    def describe(self):
        return {"size of blocks (eV)": {"onsite": float(self.sizes[0]), "hopping": float(self.sizes[1])}}

    def pictures(self, graphs, predictions):
        return {"matrix.png": partial(self.draw, graphs[0], torch.as_tensor(predictions[0]["block"]))}

    def draw(self, graph, block, path):
        """The matrix of one structure, predicted and true."""
        pairs = pair_list(graph)
        whole = [matrix(y.double(), pairs, graph.num_nodes) for y in (block, graph.block)]
        picture, size = plots.figure(8.0, 4.0), whole[1].abs().max()
        for axes, h, title in zip(picture.subplots(1, 2), whole, ("predicted", "true"), strict=True):
            plots.representation(h / size, axes=axes, title=title, bar=False)
        return plots.save(picture, path)


def labelled(listed: bool) -> GraphStore:
    """Molecules of H, C and O with blocks that fall with the distance, of all pairs or of those within 2.5 A."""
    generator, graphs = torch.Generator().manual_seed(0), []
    for k in range(16):
        n = 3 + k % 3
        pos = 1.2 * torch.randn(n, 3, generator=generator, dtype=torch.float64)
        z = torch.tensor([1, 6, 8])[torch.randint(3, (n,), generator=generator)]
        every = torch.cartesian_prod(torch.arange(n), torch.arange(n))
        pairs = every[(pos[every[:, 0]] - pos[every[:, 1]]).norm(dim=1) < 2.5] if listed else every
        i, j = pairs.T
        r = pos[j] - pos[i]
        fall = torch.exp(-(r * r).sum(1, keepdim=True) / 4)
        eye = torch.eye(3, dtype=torch.float64)
        h = assembled(
            -(z[i] + z[j]).unsqueeze(1) * fall,
            fall * r,
            -fall * r,
            fall[..., None] * (eye - r.unsqueeze(2) * r.unsqueeze(1)),
        )
        fields = {"pairs": pairs} if listed else {}
        about = {"representations": {"block": str(IRREPS)}, "levels": {"block": "pair"}}
        graphs.append(Graph(pos, z=z, block=to_irreps(h), **fields, **about))
    return GraphStore.from_graphs(graphs, name="blocks", units={"block": "eV"}, task="pair_task:Hamiltonian")


def dense() -> GraphStore:
    """With the blocks of all pairs."""
    return labelled(listed=False)


SPARSE = Dataset(
    lambda progress: labelled(listed=True),
    "blocks of near pairs",
    "pair_task:Hamiltonian",
    "",
    16,
    "made here",
    ("block",),
)
