"""InvariantPointAttention: the contract, the algorithms in loops over homogeneous coordinates, residues with given
frames.
"""

from __future__ import annotations

import math

import pytest
import torch
from contract import ModelContract
from torch import Tensor

from intertwine.geometry import Graph, act, collate, permute
from intertwine.groups import Isometry
from intertwine.models.invariant_point_attention import InvariantPointAttention
from intertwine.nn import Backbone
from intertwine.nn.frames import residue_frames
from intertwine.nn.point_attention import quaternion_rotation
from intertwine.numerics import GeometryError, InputError

SMALL = {"width": 5, "layers": 2, "cutoff": 3.5, "radial_size": 3, "heads": 2, "channels": 3, "points": 2, "values": 2}
ATOMS = {"species": (1, 6, 8)}


class TestInvariantPointAttention(ModelContract):
    lacks = ("reflection",)

    @pytest.fixture
    def model(self) -> Backbone:
        return InvariantPointAttention(**SMALL | ATOMS | {"layers": 1}).double()


class TestWithInputsAndAngles(TestInvariantPointAttention):
    """Shared weights, torsion angles, data of nodes and edges."""

    fields, species = ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        inputs = {"species": (), "node_inputs": ("charge", "speed"), "edge_inputs": ("charge_product",)}
        return InvariantPointAttention(**SMALL | inputs | {"cutoff": 6.0}, angles=2, shared=True).double()


def protein(residues: int, generator: torch.Generator) -> Graph:
    """A chain of residues with random backbones, about 1.5 A long each."""
    ca = torch.cumsum(torch.randn(residues, 3, generator=generator, dtype=torch.float64), dim=0)
    n, c = ca + torch.randn(2, residues, 3, generator=generator, dtype=torch.float64)
    kinds = torch.randn(residues, 4, generator=generator, dtype=torch.float64)
    return Graph(ca, frame=residue_frames(n, ca, c), x=kinds, charge=kinds[:, 0])


def residues(**options) -> InvariantPointAttention:
    return InvariantPointAttention(**SMALL | options, species=(), node_inputs=("charge",), frames=True).double()


def linear(layer, x: Tensor) -> Tensor:
    return layer.weight @ x if layer.bias is None else layer.weight @ x + layer.bias


def perceptron(mlp, x: Tensor) -> Tensor:
    for k, layer in enumerate(mlp.layers):
        x = linear(layer, x if k == 0 else x / (1 + torch.exp(-x)))
    return x


def normalised(norm, x: Tensor) -> Tensor:
    return (x - x.mean()) / torch.sqrt(x.var(unbiased=False) + norm.eps) * norm.weight + norm.bias


def homogeneous(rotation: Tensor, position: Tensor) -> Tensor:
    return torch.cat(
        [torch.cat([rotation, position[:, None]], dim=1), torch.tensor([[0.0, 0, 0, 1]], dtype=torch.float64)]
    )


def rotation(v: Tensor) -> Tensor:
    """Algorithm 23 from the normalised quaternion."""
    a, b, c, d = torch.cat([torch.ones(1, dtype=v.dtype), v]) / torch.sqrt(1 + v @ v)
    rows = [
        [a**2 + b**2 - c**2 - d**2, 2 * b * c - 2 * a * d, 2 * b * d + 2 * a * c],
        [2 * b * c + 2 * a * d, a**2 - b**2 + c**2 - d**2, 2 * c * d - 2 * a * b],
        [2 * b * d - 2 * a * c, 2 * c * d + 2 * a * b, a**2 - b**2 - c**2 + d**2],
    ]
    return torch.stack([torch.stack(row) for row in rows])


def attention(layer, s: list[Tensor], frames: list[Tensor], edges: dict) -> list[Tensor]:
    """Algorithm 22 in global coordinates, with an envelope in the softmax; a node is among its own neighbours."""
    heads, counts, found = layer.heads, layer.sizes, []
    scalars = [linear(layer.scalars, x).view(heads, -1) for x in s]
    local = [linear(layer.points, x).view(3, heads, sum(counts)) for x in s]
    width = scalars[0].shape[1] // 3

    def place(node: int, head: int, point: int) -> Tensor:
        return (frames[node] @ torch.cat([local[node][:, head, point], torch.ones(1, dtype=torch.float64)]))[:3]

    for i in range(len(s)):
        per_head = []
        for h in range(heads):
            top, below = 0.0, 0.0
            seen = [torch.zeros(3, dtype=torch.float64) for _ in range(counts[2])]
            for j, (c, z) in edges[i].items():
                q, k, v = scalars[i][h, :width], scalars[j][h, width : 2 * width], scalars[j][h, 2 * width :]
                square = sum((place(i, h, p) - place(j, h, counts[0] + p)).square().sum() for p in range(counts[0]))
                gamma = torch.log(1 + torch.exp(layer.gamma[h]))
                logit = (
                    q @ k / math.sqrt(width)
                    + (layer.bias.weight @ z)[h]
                    - gamma * math.sqrt(2 / (9 * counts[0])) / 2 * square
                )
                w = c * torch.exp(logit / math.sqrt(3))
                top, below = top + w * torch.cat([z, v]), below + w
                seen = [x + w * place(j, h, counts[0] + counts[1] + p) for p, x in enumerate(seen)]
            inverse = torch.linalg.inv(frames[i])
            means = [x / below for x in seen]
            back = [(inverse @ torch.cat([x, torch.ones(1, dtype=torch.float64)]))[:3] for x in means]
            per_head.append((top / below, torch.stack(back, dim=1)))
        parts = torch.cat([x for x, _ in per_head])
        points = torch.cat([x for _, x in per_head], dim=1)
        norms = torch.sqrt(points.square().sum(0) + 0.01) - 0.1
        found.append(linear(layer.out, torch.cat([parts, points.flatten(), norms])))
    return found


def test_against_the_algorithms(generator: torch.Generator) -> None:
    """Two layers in global coordinates and 4 x 4 matrices."""
    graph, model = protein(5, generator), residues()
    cutoff, unit = SMALL["cutoff"], SMALL["cutoff"] / 2
    pos = graph.pos
    edges: dict[int, dict] = {i: {} for i in range(5)}
    for i in range(5):
        # at distance 0 the limit of the radial functions
        own = [math.sqrt(2 / cutoff) * k * math.pi / cutoff for k in (1, 2, 3)]
        edges[i][i] = (1.0, torch.tensor(own, dtype=torch.float64))
        for j in range(5):
            d = float((pos[j] - pos[i]).norm())
            u = d / cutoff
            if i != j and u < 1:
                z = torch.tensor(
                    [math.sqrt(2 / cutoff) * math.sin(k * math.pi * u) / d for k in (1, 2, 3)], dtype=torch.float64
                )
                edges[i][j] = (1 - 28 * u**6 + 48 * u**7 - 21 * u**8, z)
    frames = [homogeneous(graph.frame[i].T, pos[i] / unit) for i in range(5)]
    s = [normalised(model.norm, linear(model.embedding.linear, graph.charge[i : i + 1])) for i in range(5)]
    s = [linear(model.first, x) for x in s]
    for layer in model.layers:
        s = [
            normalised(layer.norms[0], x + y)
            for x, y in zip(s, attention(layer.attention, s, frames, edges), strict=True)
        ]
        s = [normalised(layer.norms[1], x + perceptron(layer.transition, x)) for x in s]
        updates = [linear(layer.update, x) for x in s]
        frames = [T @ homogeneous(rotation(x[:3]), x[3:]) for T, x in zip(frames, updates, strict=True)]
    found = model(graph)
    expected = torch.stack(
        [torch.cat([s[i], (frames[i][:3, 3] * unit - pos[i]), frames[i][:3, :3].T.flatten()]) for i in range(5)]
    )
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-12


def test_given_frames(generator: torch.Generator) -> None:
    """Rotations turn frames with the graph; permutations and batches carry them along; their handedness is the
    data's.
    """
    graph, model = protein(6, generator), residues(angles=3)
    plain = model(graph)
    for _ in range(3):
        g = Isometry.random(3, generator=generator, shift=2.0)
        assert (model(act(g, graph)) - model.irreps_out.transform(g.rotation, plain)).abs().max() < 1e-12
    order = torch.randperm(6, generator=generator)
    torch.testing.assert_close(model(permute(order, graph)), plain[order], rtol=0, atol=1e-13)
    torch.testing.assert_close(model(collate([protein(4, generator), graph]))[4:], plain, rtol=0, atol=1e-13)
    axes = model.irreps_out.part(plain, "1o")[:, 1:]
    torch.testing.assert_close(axes @ axes.transpose(1, 2), torch.eye(3).double().expand(6, 3, 3), rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.linalg.det(axes), torch.ones(6).double(), rtol=0, atol=1e-12)
    pairs = plain[:, 5:11].unflatten(1, (3, 2))
    assert (pairs.norm(dim=-1) < 1).all()
    mirror = torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    sides = [graph.clone(), graph.clone()]
    for k, side in enumerate(sides):
        side.pos = graph.pos * mirror
        side.frame = graph.frame * mirror
        side.frame[:, 2] *= (-1) ** k  # the second is what the mirrored backbone's frames are
    assert (model(sides[0])[:, :5] - plain[:, :5]).abs().max() < 1e-12
    assert (model(sides[1])[:, :5] - plain[:, :5]).abs().max() > 1e-3


def test_rotation_of_a_quaternion(generator: torch.Generator) -> None:
    v = 2 * torch.randn(20, 3, generator=generator, dtype=torch.float64)
    expected = torch.stack([rotation(x) for x in v])
    torch.testing.assert_close(quaternion_rotation(v), expected, rtol=0, atol=1e-14)


def test_shared_weights_and_presets(generator: torch.Generator) -> None:
    one, two = (sum(p.numel() for p in residues(layers=n, shared=True).parameters()) for n in (1, 4))
    assert one == two
    for options in InvariantPointAttention.PRESETS.values():
        model = InvariantPointAttention(**options | {"width": 16, "layers": 2})
        alone = Graph(torch.zeros(1, 3), z=[6], frame=torch.eye(3)[None])
        assert model(alone).shape == (1, model.irreps_out.dim)
    with pytest.raises(InputError, match="heads"):
        InvariantPointAttention(heads=0)
    bare = protein(3, generator)
    del bare["frame"]
    with pytest.raises(GeometryError, match="frame"):
        residues()(bare)
