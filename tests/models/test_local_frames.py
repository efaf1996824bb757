"""LocalFrames: the contract with and without velocities and cutoff, the equations in loops, frames where symmetry
forbids them.
"""

from __future__ import annotations

import math

import pytest
import torch
from contract import ModelContract
from torch import Tensor

from intertwine.geometry import Graph, act
from intertwine.groups import Isometry
from intertwine.models.local_frames import LocalFrames
from intertwine.nn import Backbone
from intertwine.nn.frames import into, out_of, residue_frames, soft_frames
from intertwine.numerics import GeometryError, InputError

SMALL = {"width": 6, "vectors": 2, "layers": 2, "cutoff": 3.5, "radial_size": 3, "species": (1, 6, 8)}


class TestLocalFrames(ModelContract):
    lacks = ("reflection",)

    @pytest.fixture
    def model(self) -> Backbone:
        return LocalFrames(**SMALL).double()


class TestLocalFramesWithFilters(TestLocalFrames):
    @pytest.fixture
    def model(self) -> Backbone:
        return LocalFrames(**SMALL, filters="anisotropic").double()


class TestLocalFramesOfVelocities(TestLocalFrames):
    """As the paper: charged particles, all pairs, the first axis along the velocity, which is a vector besides."""

    fields, species = ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        inputs = {"species": (), "node_inputs": ("charge", "speed"), "edge_inputs": ("charge_product",)}
        inputs |= {"vector_inputs": ("vel",)}
        return LocalFrames(**SMALL | inputs | {"cutoff": None, "velocity": True}).double()


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def edge_function(mlp, f_i: Tensor, f_j: Tensor, a_ij: Tensor) -> Tensor:
    first, second = mlp.first, mlp.second.layers[0]
    inner = (
        first.received.weight @ f_i + first.sent.weight @ f_j + first.attributes.weight @ a_ij + first.attributes.bias
    )
    return second.weight @ silu(inner) + second.bias


def filtered(layer, z: Tensor, p: Tensor) -> Tensor:
    """W(p) z, with the matrix."""
    hidden = layer.network.layers[0]
    phi = silu(hidden.weight @ p + hidden.bias)
    H = layer.matrices.weight.view(-1, len(phi) + 1, len(z))
    return (torch.einsum("omc,m->oc", H[:, :-1], phi) + H[:, -1]) @ z


def frame(a: Tensor, b: Tensor, smoothing: float = 0.1) -> Tensor:
    e1 = a / torch.sqrt(a @ a + smoothing**2)
    b = b - (b @ e1) * e1
    e2 = b / torch.sqrt(b @ b + smoothing**2)
    return torch.stack([e1, e2, torch.linalg.cross(e1, e2)], dim=1)


@pytest.mark.parametrize("filters", ["mlp", "anisotropic"])
@pytest.mark.parametrize(("velocity", "given"), [(False, ()), (True, ()), (False, ("u",)), (True, ("u",))])
def test_against_the_equations(velocity: bool, given: tuple, filters: str, generator: torch.Generator) -> None:
    """Frames, coordinates in them, filters, messages, means and vectors, one node and one edge at a time."""
    pos, vel, u = torch.randn(3, 5, 3, generator=generator, dtype=torch.float64)
    graph = Graph(pos, z=[1, 6, 8, 1, 6], vel=vel, u=u, representations={"u": "1o"})
    cutoff = SMALL["cutoff"]
    model = LocalFrames(**SMALL, velocity=velocity, filters=filters, vector_inputs=given).double()
    w = u * (torch.asinh(u.norm(dim=1)) / u.norm(dim=1))[:, None]
    w = w * model.start.linear.weight[0, 0] if given else None
    s = [model.embedding.species.weight[[1, 6, 8].index(int(z))] for z in graph.z]

    def neighbours(i: int) -> list[tuple[int, Tensor, Tensor, float]]:
        found = []
        for j in range(5):
            x = pos[j] - pos[i]
            d = float(x.norm())
            if j != i and d < cutoff:
                u = d / cutoff
                radial = torch.tensor(
                    [math.sqrt(2 / cutoff) * math.sin(k * math.pi * u) / d for k in (1, 2, 3)], dtype=torch.float64
                )
                found.append((j, x / (1 + d), radial, 1 - 28 * u**6 + 48 * u**7 - 21 * u**8))
        return found

    frames = []
    for i in range(5):
        sums, fades = torch.zeros(3, 1 if velocity else 2, dtype=torch.float64), 1.0
        for j, x, radial, c in neighbours(i):
            sums, fades = sums + c * torch.outer(x, edge_function(model.frames.weights, s[i], s[j], radial)), fades + c
        axes = sums / fades
        if w is not None:
            axes = axes + torch.outer(w[i], model.frames.mix.weight[:, 0])
        frames.append(frame(vel[i] if velocity else axes[:, 0], axes[:, -1]))
    for layer in model.layers:
        new = []
        for i in range(5):
            total, fades = torch.zeros_like(s[0]), 1.0
            for j, x, radial, c in neighbours(i):
                seen = [x[:, None], frames[j]] + ([vel[i][:, None], vel[j][:, None]] if velocity else [])
                seen += [] if w is None else [w[i][:, None], w[j][:, None]]
                local = frames[i].T @ torch.cat(seen, dim=1)
                z = torch.cat([radial, local.flatten()])
                if filters == "anisotropic":
                    z = torch.cat([radial, local.T.flatten()])  # a vector's coordinates beside each other
                    z = filtered(model.filter, z, torch.cat([radial, local[:, :4].T.flatten()]))
                total, fades = total + c * edge_function(layer.phi_m, s[i], s[j], z), fades + c
            first, second = layer.phi_s.layers
            new.append(
                s[i] + second.weight @ silu(first.weight @ torch.cat([s[i], total / fades]) + first.bias) + second.bias
            )
        s = new
    vectors = [frames[i] @ (model.out.weight @ s[i] + model.out.bias).view(3, 2) for i in range(5)]
    expected = torch.stack([torch.cat([s[i], vectors[i].T.flatten()]) for i in range(5)])
    found = model(graph)
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-13


def test_frames_are_rotations_where_there_is_a_frame(generator: torch.Generator) -> None:
    """Orthonormal to second order in the smoothing, right-handed; coordinates and vectors are each other's inverse."""
    a, b = torch.randn(2, 50, 3, generator=generator, dtype=torch.float64)
    for smoothing in (1e-3, 1e-5):
        frames = soft_frames(a, b, smoothing)
        shortest = torch.linalg.cross(a, b, dim=-1).norm(dim=-1) / a.norm(dim=-1)
        bound = (smoothing / torch.minimum(shortest, a.norm(dim=-1))).square().max()
        assert (frames.transpose(1, 2) @ frames - torch.eye(3)).abs().max() < 4 * bound
        assert (torch.linalg.det(frames) - 1).abs().max() < 4 * bound
    x = torch.randn(50, 3, 4, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(out_of(frames, into(frames, x)), x, rtol=0, atol=1e-4)
    torch.testing.assert_close(into(frames, x), frames.transpose(1, 2) @ x, rtol=0, atol=1e-13)


@pytest.mark.parametrize("smoothing", [1e-3, 0.1, 1.0])
def test_axes_are_as_long_as_their_vectors_allow(smoothing: float, generator: torch.Generator) -> None:
    """|a| / sqrt(|a|^2 + epsilon^2), never longer than 1: near 1 along long vectors, short along short ones."""
    a, b = (
        torch.randn(2, 50, 3, generator=generator, dtype=torch.float64)
        * 10.0 ** torch.arange(-3, 2).repeat(10)[:, None]
    )
    frames = soft_frames(a, b, smoothing)
    size = a.norm(dim=-1)
    torch.testing.assert_close(frames[..., 0].norm(dim=-1), size / (size**2 + smoothing**2).sqrt(), rtol=1e-12, atol=0)
    lengths = frames.norm(dim=1)
    assert lengths.max() <= 1
    assert (lengths[size < 0.1 * smoothing, 0] < 0.1).all()
    assert torch.linalg.svdvals(frames).max() < 2**0.5 + 1e-12  # of two columns that need not be orthogonal


METHANE = [[0.0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]


def test_symmetric_structures_have_no_frame_and_no_error(generator: torch.Generator) -> None:
    """Methane, a line, a pair: equivariant there too, with derivatives that agree with those nearby, and axes that are
    zero.
    """
    model = LocalFrames(**SMALL).double()
    turn = Isometry.random(3, generator=generator)
    for points, z in (
        (METHANE, [6, 1, 1, 1, 1]),
        ([[0.0, 0, 0], [0, 0, 1], [0, 0, 2]], [8, 6, 8]),
        ([[0.0, 0, 0], [0, 0, 1]], [1, 1]),
    ):
        graph = Graph(points, z=z)
        turned = model.irreps_out.transform(turn.rotation, model(graph))
        torch.testing.assert_close(model(act(turn, graph)), turned, rtol=0, atol=1e-12)
        nudge, gradients = torch.randn(graph.pos.shape, generator=generator, dtype=torch.float64), []
        for step in (0.0, 1e-8):
            pos = (graph.pos + step * nudge).requires_grad_()
            (first,) = torch.autograd.grad(model(Graph(pos, z=z)).square().sum(), pos, create_graph=True)
            (second,) = torch.autograd.grad(first.square().sum(), pos)
            gradients.append((first.detach(), second))
        for on, off in zip(*gradients, strict=True):
            assert (on - off).abs().max() < 1e-5 * (1 + on.abs().max())
    vectors = model.irreps_out.part(model(Graph(METHANE, z=[6, 1, 1, 1, 1])), "1o")
    assert vectors[0].abs().max() < 1e-14
    assert vectors[1:].abs().max() > 1e-3


def test_tells_mirror_images_apart() -> None:
    """A centre with four different neighbours: scalars change under a reflection, and not under a rotation."""
    model, points = LocalFrames(**SMALL).double(), torch.tensor(METHANE, dtype=torch.float64)
    points[1:] *= torch.tensor([[0.8], [0.9], [1.0], [1.1]])
    scalars = [model(Graph(points * torch.tensor([1.0, 1.0, sign]), z=[6, 1, 8, 6, 1]))[:, :6] for sign in (1.0, -1.0)]
    assert (scalars[0] - scalars[1]).abs().max() > 1e-4 * scalars[0].abs().max()


def test_frames_of_residues(generator: torch.Generator) -> None:
    n, ca, c = torch.randn(3, 6, 3, generator=generator, dtype=torch.float64)
    rows = residue_frames(n, ca, c)
    torch.testing.assert_close(rows @ rows.transpose(1, 2), torch.eye(3).double().expand(6, 3, 3), rtol=0, atol=1e-14)
    torch.testing.assert_close(torch.linalg.det(rows), torch.ones(6).double(), rtol=0, atol=1e-14)
    local = torch.stack([rows @ (x - ca)[..., None] for x in (c, n)], dim=1).squeeze(-1)
    assert (local[:, 0, 0] > 0).all()
    assert local[:, 0, 1:].abs().max() < 1e-14
    assert (local[:, 1, 1] > 0).all()
    assert local[:, 1, 2].abs().max() < 1e-14
    with pytest.raises(GeometryError, match="residue 2"):
        residue_frames(torch.where(torch.arange(6)[:, None] == 2, 2 * ca - c, n), ca, c)


@pytest.mark.parametrize("name", LocalFrames.PRESETS)
def test_presets(name: str) -> None:
    model = LocalFrames(**LocalFrames.PRESETS[name])
    assert model(Graph(torch.zeros(1, 3), z=[6], vel=torch.zeros(1, 3))).shape == (1, model.irreps_out.dim)
    with pytest.raises(InputError, match="smoothing"):
        LocalFrames(smoothing=0.0)
    with pytest.raises(InputError, match="filter"):
        LocalFrames(filters="isotropic")
