"""The structure module against its algorithms in plain loops: attention and iterations over homogeneous coordinates,
side chains atom after atom from internal coordinates.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from intertwine.data import residue_graph
from intertwine.geometry import Graph, collate, connect, permute
from intertwine.geometry.residues import LETTERS, RESIDUES
from intertwine.geometry.residues.ideal import TABLE
from intertwine.models import InvariantPointAttention
from intertwine.nn import ModelCard
from intertwine.numerics import GeometryError, InputError
from intertwine.tasks import Structure

SMALL: dict[str, Any] = InvariantPointAttention.PRESETS["paper"] | {
    "width": 6, "layers": 3, "heads": 2, "channels": 3, "points": 2, "values": 3, "angle_width": 5, "pair_width": 4,
    "recycles": 0, "species": (), "node_inputs": {"x": 20}, "pair_inputs": {"pair": 66},
}  # fmt: skip
SEQUENCE = "RWYKPV"


def model(**options: Any) -> InvariantPointAttention:
    """In evaluation mode, in float64, with updates that are not small."""
    torch.manual_seed(1)
    result = InvariantPointAttention(**SMALL | options).double().eval()
    with torch.no_grad():
        for layer in result.layers:
            layer.update.weight.mul_(5)
            layer.attention.gamma.copy_(torch.randn(2))
            for norm in layer.norms:
                norm.weight.copy_(1 + 0.3 * torch.randn(6))
    return result


def protein(sequence: str = SEQUENCE, seed: int = 0, **options: Any) -> Graph:
    generator = torch.Generator().manual_seed(seed)
    ca = torch.cumsum(2 * torch.randn(len(sequence), 3, generator=generator, dtype=torch.float64), dim=0)
    n, c = ca + torch.randn(2, len(sequence), 3, generator=generator, dtype=torch.float64)
    return residue_graph(n, ca, c, sequence, **options)


class Oracle:
    """Algorithms 20 to 23 for one graph, with a model's weights as numbers."""

    def __init__(self, source: InvariantPointAttention) -> None:
        self.w = {name: value.numpy() for name, value in source.state_dict().items()}
        self.source = source

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        result = self.w[f"{name}.weight"] @ x
        return result + self.w[f"{name}.bias"] if f"{name}.bias" in self.w else result

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        scaled = (x - x.mean()) / math.sqrt(((x - x.mean()) ** 2).mean() + 1e-5)
        return scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def attention(self, layer: str, s: list, z: dict, frames: list) -> list:
        """Algorithm 22, with the frames as pairs of a rotation and an origin in nm."""
        heads, c, points, values = 2, 3, 2, 3
        count, total = len(s), 2 * points + values
        scalars = [self.linear(f"{layer}.scalars", x).reshape(heads, 3, c) for x in s]
        local = [self.linear(f"{layer}.points", x).reshape(3, heads, total) for x in s]
        bias = {key: self.linear(f"{layer}.bias", x) for key, x in z.items()}
        gamma = np.log(1 + np.exp(self.w[f"{layer}.gamma"]))
        w_c, w_l = math.sqrt(2 / (9 * points)), math.sqrt(1 / 3)
        result = []
        for i in range(count):
            flat, seen_of_heads = [], []
            for h in range(heads):
                logits = []
                for j in range(count):
                    distance = 0.0
                    for p in range(points):
                        query = frames[i][0] @ local[i][:, h, p] + frames[i][1]
                        key = frames[j][0] @ local[j][:, h, points + p] + frames[j][1]
                        distance += ((query - key) ** 2).sum()
                    dot = scalars[i][h, 0] @ scalars[j][h, 1] / math.sqrt(c)
                    logits.append(w_l * (dot + bias[i, j][h] - gamma[h] * w_c / 2 * distance))
                a = np.exp(np.array(logits) - max(logits))
                a = a / a.sum()
                flat.append(sum(a[j] * z[i, j] for j in range(count)))
                flat.append(sum(a[j] * scalars[j][h, 2] for j in range(count)))
                for p in range(values):
                    there = [frames[j][0] @ local[j][:, h, 2 * points + p] + frames[j][1] for j in range(count)]
                    mean = sum(a[j] * there[j] for j in range(count))
                    seen_of_heads.append(frames[i][0].T @ (mean - frames[i][1]))
            seen = np.stack(seen_of_heads, axis=1)
            lengths = [math.sqrt((x**2).sum() + 1e-8) - 1e-4 for x in seen.T]
            result.append(self.linear(f"{layer}.out", np.concatenate([*flat, seen.ravel(), lengths])))
        return result

    def angles(self, first: np.ndarray, s: np.ndarray) -> np.ndarray:
        a = self.linear("torsions.first", first) + self.linear("torsions.last", s)
        for k in range(2):
            hidden = self.linear(f"torsions.layers.{k}.layers.0", np.maximum(a, 0))
            a = a + self.linear(f"torsions.layers.{k}.layers.1", np.maximum(hidden, 0))
        return self.linear("torsions.out", np.maximum(a, 0)).reshape(7, 2)

    def update(self, frame: tuple, x: np.ndarray) -> tuple:
        """Algorithm 23."""
        a, b, c, d = np.array([1.0, *x[:3]]) / math.sqrt(1 + (x[:3] ** 2).sum())
        turn = np.array([
            [a * a + b * b - c * c - d * d, 2 * b * c - 2 * a * d, 2 * b * d + 2 * a * c],
            [2 * b * c + 2 * a * d, a * a - b * b + c * c - d * d, 2 * c * d - 2 * a * b],
            [2 * b * d - 2 * a * c, 2 * c * d + 2 * a * b, a * a - b * b - c * c + d * d],
        ])  # fmt: skip
        return frame[0] @ turn, frame[0] @ x[3:] + frame[1]

    def run(self, graph: Graph) -> list:
        """Of each pass and iteration s, frames (origins in nm) and angles."""
        count = graph.num_nodes
        pair = self.source.pairs.linear if self.source.pairs is not None else None
        assert pair is not None
        given = [self.norm("norm", self.linear("embedding.linear", graph.x[i].numpy())) for i in range(count)]
        z0 = {
            (i, j): self.norm("pair_norm", self.linear("pairs.linear", graph.pair[i * count + j].numpy()))
            for i in range(count)
            for j in range(count)
        }
        passes: list = []
        for _ in range(self.source.recycles + 1):
            first, z = given, z0
            if passes:  # algorithm 32
                s, frames, _ = passes[-1][-1]
                first = [x + self.norm("recycling.norm", y) for x, y in zip(given, s, strict=True)]
                z = {
                    (i, j): value + self.linear("recycling.linear", bins(10 * frames[i][1], 10 * frames[j][1]))
                    for (i, j), value in z0.items()
                }
            s = [self.linear("first", x) for x in first]
            frames = [gram_schmidt(graph.backbone[i].numpy()) for i in range(count)]
            states = []
            for _ in range(self.source.count):
                more = self.attention("layers.0.attention", s, z, frames)
                s = [self.norm("layers.0.norms.0", x + y) for x, y in zip(s, more, strict=True)]
                after = []
                for x in s:
                    y = np.maximum(self.linear("layers.0.transition.layers.0", x), 0)
                    y = np.maximum(self.linear("layers.0.transition.layers.1", y), 0)
                    after.append(self.norm("layers.0.norms.1", x + self.linear("layers.0.transition.layers.2", y)))
                s = after
                frames = [self.update(T, self.linear("layers.0.update", x)) for T, x in zip(frames, s, strict=True)]
                states.append((s, frames, [self.angles(x, y) for x, y in zip(first, s, strict=True)]))
            passes.append(states)
        return passes[-1]


def gram_schmidt(atoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Algorithm 21, from N, CA and C; the origin in nm."""
    v1, v2 = atoms[2] - atoms[1], atoms[0] - atoms[1]
    e1 = v1 / np.linalg.norm(v1)
    u2 = v2 - e1 * (e1 @ v2)
    e2 = u2 / np.linalg.norm(u2)
    return np.stack([e1, e2, np.cross(e1, e2)], axis=1), atoms[1] / 10


def bins(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """15 Gaussians from 3 3/8 to 21 3/8 A, as far apart as they are wide."""
    centres = np.linspace(3.375, 21.375, 15)
    width = centres[1] - centres[0]
    return np.exp(-((np.linalg.norm(x - y) - centres) ** 2) / (2 * width**2))


def side_chain(kind: int, frame: np.ndarray, ca: np.ndarray, angles: np.ndarray) -> list[np.ndarray]:
    """Atoms of a residue from its rows of the table, each from the three before it: lengths, angles, torsions."""
    named = dict(zip(("omega", "phi", "psi", "chi1", "chi2", "chi3", "chi4"), angles, strict=True))
    x: dict[str, np.ndarray] = {"CA": np.zeros(3)}
    for line in TABLE.read_text().splitlines()[1:]:
        residue, atom, c, b, a, length, angle, turn = line.split("\t")
        if residue != RESIDUES[kind]:
            continue
        r = float(length)
        if atom == "N":
            x["N"] = np.array([r])
        elif atom == "C":
            t = math.radians(float(angle))
            x["N"] = x["N"][0] * np.array([math.cos(t), math.sin(t), 0.0])
            x["C"] = np.array([r, 0.0, 0.0])
        else:
            name = next((each for each in named if turn.startswith(each)), "")
            rest = turn.removeprefix(name)
            tau = math.radians(float(rest or 0)) + (named[name] if name else 0.0)
            t = math.radians(float(angle))
            axis = (x[c] - x[b]) / np.linalg.norm(x[c] - x[b])
            normal = np.cross(x[b] - x[a], axis)
            normal = normal / np.linalg.norm(normal)
            inward = np.cross(normal, axis)
            step = -axis * math.cos(t) + math.sin(t) * (inward * math.cos(tau) + normal * math.sin(tau))
            x[atom] = x[c] + r * step
    order = ["N", "CA", *[atom for atom in x if atom not in ("N", "CA")]]
    return [frame @ x[atom] + ca for atom in order]


@pytest.mark.parametrize("recycles", [0, 2])
def test_against_algorithms_20_to_24(recycles: int) -> None:
    """Every iteration: s, frames, angles; then all heavy atoms."""
    source = model(recycles=recycles)
    task, graph = Structure(source).eval(), protein()
    states, prediction = source.refine(graph), task(graph)
    expected = Oracle(source).run(graph)
    assert len(states) == len(expected) == 3
    for state, (s, frames, angles) in zip(states, expected, strict=True):
        assert np.abs(state.s.detach().numpy() - np.stack(s)).max() < 1e-11
        assert np.abs(state.frames.detach().numpy() - np.stack([x for x, _ in frames])).max() < 1e-11
        where = (graph.pos + state.displacement).detach().numpy()
        assert np.abs(where - 10 * np.stack([x for _, x in frames])).max() < 1e-10
        assert np.abs(state.angles.detach().numpy() - np.stack(angles)).max() < 1e-11
    moved = (states[-1].displacement.norm(dim=-1).max(), (states[-1].frames - states[0].frames).abs().max())
    assert min(float(x.detach()) for x in moved) > 0.01  # frames did move
    _, frames, angles = expected[-1]
    for i, letter in enumerate(SEQUENCE):
        turned = [math.atan2(*pair) for pair in angles[i]]
        atoms = np.stack(side_chain(LETTERS.index(letter), frames[i][0], 10 * frames[i][1], turned))
        assert np.abs(prediction["atoms"][i, : len(atoms)].numpy() - atoms).max() < 1e-8, letter
        assert (prediction["atoms"][i, len(atoms) :] == prediction["pos"][i]).all()


def test_gradients_stop_at_rotations_and_nowhere_else() -> None:
    """With stops the values are the same and the gradient of a weight is not; derivatives in positions are whole."""
    graph = protein()
    with_stops, without = model(stopped=True), model(stopped=False)
    without.load_state_dict(with_stops.state_dict())
    assert torch.equal(with_stops(graph), without(graph))
    gradients = []
    for each in (with_stops, without):
        each(graph)[:, :6].square().sum().backward()
        gradients.append(each.layers[0].update.weight.grad[:3].clone())
    assert (gradients[0] - gradients[1]).abs().max() > 1e-6
    slopes = []
    for each in (with_stops, without):
        moved = graph.clone()
        moved.pos = graph.pos.clone().requires_grad_()
        slopes.append(torch.autograd.grad(each(moved).square().sum(), moved.pos)[0])
    assert torch.equal(*slopes)


def test_a_last_rotation_has_a_gradient() -> None:
    """What the last iteration itself does to its rotation is learned."""
    source, graph = model(layers=1), protein()
    source.refine(graph)[-1].frames.square().sum()
    source.refine(graph)[-1].frames[:, 0, 1].sum().backward()
    assert source.layers[0].update.weight.grad[:3].abs().max() > 0


def test_batches_orders_and_single_residues() -> None:
    source = model(recycles=1)
    graphs = [protein("RWYKP", 1), protein("G", 2), protein("AV", 3)]
    singles = torch.cat([source(graph) for graph in graphs])
    torch.testing.assert_close(source(collate(graphs)), singles, rtol=0, atol=1e-12)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(source(permute(order, graphs[0])), singles[:5][order], rtol=0, atol=1e-12)
    edges = connect(graphs[0], None)
    edges.edge_index = edges.edge_index[:, torch.randperm(20, generator=torch.Generator().manual_seed(0))]
    torch.testing.assert_close(source(edges), singles[:5], rtol=0, atol=1e-12)


def test_listed_pairs_in_any_order() -> None:
    """A graph that lists its pairs has their rows where they are; one that lacks a pair is refused."""
    source, graph = model(), protein()
    plain = source(graph)
    n = graph.num_nodes
    order = torch.randperm(n * n, generator=torch.Generator().manual_seed(0))
    listed = graph.clone()
    listed.pairs = torch.stack([order // n, order % n], dim=1)
    listed.pair = graph.pair[order]
    torch.testing.assert_close(source(listed), plain, rtol=0, atol=1e-13)
    listed.pairs, listed.pair = listed.pairs[1:], listed.pair[1:]
    with pytest.raises(GeometryError, match="not listed"):
        source(listed)


def test_every_frame_at_the_origin() -> None:
    """The start of the paper: all frames the identity. Nothing is undefined there, and residues come apart."""
    graph = protein()
    del graph["backbone"]
    graph.pos, graph.frame = torch.zeros_like(graph.pos), torch.eye(3).double().expand(6, 3, 3).clone()
    displacement = model().refine(graph)[-1].displacement
    assert torch.isfinite(displacement).all()
    assert torch.pdist(displacement).min() > 1e-3


def test_recycling_in_training_is_random_and_learns_from_the_last_pass() -> None:
    source, graph = model(recycles=3, dropout=0.0).train(), protein()
    torch.manual_seed(0)
    outputs = {round(float(source(graph).detach().sum()), 9) for _ in range(20)}
    assert len(outputs) == 4  # none, one, two or three more passes
    source.eval()
    source(graph).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in source.parameters())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"recycles": -1}, "recycles"), ({"dropout": 1.0}, "dropout"), ({"activation": "tanhh"}, "activation"),
        ({"angles": -1}, "angles"), ({"length": 0.0}, "cutoff"), ({"pair_inputs": "pair"}, "pair_inputs"),
        ({"pair_width": 0}, "pair_width"),
    ],
)  # fmt: skip
def test_arguments_that_are_refused(options: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        model(**options)


@pytest.mark.parametrize(("lost", "word"), [("pair", "pair"), ("backbone", "frame"), ("x", "x")])
def test_fields_that_are_missing_or_not_finite(lost: str, word: str) -> None:
    graph = protein()
    broken = graph.clone()
    broken[lost] = graph[lost] * torch.nan
    with pytest.raises(GeometryError, match=word):
        model()(broken)
    del graph[lost]
    with pytest.raises(GeometryError, match=word):
        model()(graph)


def test_pairs_of_another_width() -> None:
    graph = protein()
    graph.pair = graph.pair[:, :5].clone()
    with pytest.raises(GeometryError, match="66 columns"):
        model()(graph)


def test_it_says_what_it_is() -> None:
    card = model().card
    assert isinstance(card, ModelCard)
    assert card.symmetry == "SE(3)"
