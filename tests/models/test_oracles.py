"""Each architecture against an independent computation with the same weights: the packages', and the papers' equations
in loops.
"""

from __future__ import annotations

import math
import warnings
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from intertwine.bench import twins
from intertwine.geometry import Graph, connect
from intertwine.models import EGNN, PaiNN

CUTOFF = 2.5


def graph(nodes: int = 6, seed: int = 0, dimension: int = 3, **fields: tuple[int, ...]) -> Graph:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Graph(
        normal(nodes, dimension),
        z=[1, 6, 8, 1, 6, 8][:nodes],
        **{name: normal(*shape) for name, shape in fields.items()},
    )


def equal(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    assert ((ours - theirs).abs().max() / theirs.abs().max()).item() < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_schnet_against_torch_geometric(dtype: torch.dtype, tolerance: float) -> None:
    """The features after the interactions, at the cosine cutoff, which is the one that PyG has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch_geometric.nn.models import SchNet as Oracle
    theirs = Oracle(hidden_channels=16, num_filters=16, num_interactions=3, num_gaussians=10, cutoff=CUTOFF).to(dtype)
    # its own constants are rounded to single precision
    theirs.distance_expansion.offset = torch.linspace(0, CUTOFF, 10, dtype=dtype)
    theirs.distance_expansion.coeff = -0.5 * (9 / CUTOFF) ** 2
    for module in theirs.modules():
        if hasattr(module, "shift"):
            module.shift = math.log(2)
    with torch.no_grad():
        for block in theirs.interactions:
            block.lin.bias.normal_(std=0.1)
            block.conv.lin2.bias.normal_(std=0.1)
    ours = twins.schnet(theirs)
    molecule = connect(graph().cast(dtype), CUTOFF)
    j, i = molecule.edge_index
    h, weight = theirs.embedding(molecule.z), (molecule.pos[j] - molecule.pos[i]).norm(dim=1)
    for interaction in theirs.interactions:
        h = h + interaction(h, molecule.edge_index, weight, theirs.distance_expansion(weight))
    assert molecule.num_edges > 8
    equal(ours(molecule), h, tolerance)


@pytest.mark.skipif(find_spec("schnetpack") is None, reason="schnetpack is not installed")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_painn_against_schnetpack(dtype: torch.dtype, tolerance: float) -> None:
    """Scalars, vectors and their gradients, at the cosine cutoff and with a smoothing of its norm."""
    spk, painn = twins.schnetpack("nn"), twins.schnetpack("representation.painn")
    theirs = painn.PaiNN(8, 3, spk.BesselRBF(7, CUTOFF), spk.CosineCutoff(CUTOFF), epsilon=1e-4).to(dtype)
    # its own are rounded to single precision
    theirs.radial_basis.freqs = math.pi / CUTOFF * torch.arange(1, 8, dtype=dtype)
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.ndim == 1:
                parameter.normal_(std=0.1)
    ours, molecule, results = twins.painn(theirs), connect(graph().cast(dtype), CUTOFF), []
    j, i = molecule.edge_index
    for model in (ours, theirs):
        pos = molecule.pos.clone().requires_grad_()
        if model is ours:
            f = ours(Graph(pos, z=molecule.z))
        else:
            found = theirs({"_atomic_numbers": molecule.z, "_Rij": pos[j] - pos[i], "_idx_i": i, "_idx_j": j})
            vectors = found["vector_representation"].transpose(1, 2).flatten(1)
            f = torch.cat([found["scalar_representation"], vectors], dim=1)
        results.append((f, *torch.autograd.grad(f.square().sum(), pos)))
    for mine, other in zip(*results, strict=True):
        equal(mine, other, tolerance)


def loop_mlp(net, x: Tensor, activation, last: bool = False) -> Tensor:
    for k, layer in enumerate(net.layers):
        x = layer.weight @ x + layer.bias
        x = activation(x) if last or k < len(net.layers) - 1 else x
    return x


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def envelope(d: Tensor) -> Tensor:
    u = d / CUTOFF
    return 1 - 28 * u**6 + 48 * u**7 - 21 * u**8


def neighbours(pos: Tensor, i: int) -> list[int]:
    return [j for j in range(len(pos)) if j != i and (pos[j] - pos[i]).norm() < CUTOFF]


@pytest.mark.parametrize("vectors", [(), ("vel",)])
def test_painn_against_the_equations(vectors: tuple[str, ...]) -> None:
    """Eq. 7 and 8 for the messages of one node, 9 and 10 for its update, with the smooth norm; r_ij points from i to
    its neighbour j.
    """
    molecule, size = graph(vel=(6, 3)), 5
    model = PaiNN(width=size, layers=3, cutoff=CUTOFF, radial_size=7, vector_inputs=vectors).double()
    x, nodes = molecule.pos, range(6)
    s = [model.embedding.species.weight[int(z) - 1] for z in molecule.z]
    v = [torch.zeros(3, size, dtype=torch.float64) for _ in nodes]
    if vectors:
        sizes = molecule.vel.norm(dim=1)
        v = [
            torch.outer(molecule.vel[i] * sizes[i].asinh() / sizes[i], model.vectors.linear.weight[:, 0]) for i in nodes
        ]
    for layer in model.layers:
        new_s, new_v = [], []
        for i in nodes:
            ds, dv = torch.zeros(size, dtype=torch.float64), torch.zeros(3, size, dtype=torch.float64)
            for j in neighbours(x, i):
                d = (x[j] - x[i]).norm()
                basis = torch.stack(
                    [math.sqrt(2 / CUTOFF) * torch.sin(k * math.pi * d / CUTOFF) / d for k in range(1, 8)]
                )
                filters = layer.filter.weight @ torch.cat([basis, torch.ones(1, dtype=torch.float64)]) * envelope(d)
                phi = loop_mlp(layer.phi, s[j], silu)
                w_s, w_vv, w_vs = (phi * filters).split(size)
                ds = ds + w_s
                dv = dv + v[j] * w_vv + torch.outer((x[j] - x[i]) / d, w_vs)
            si, vi = s[i] + ds, v[i] + dv
            u, w = layer.mix.weight.split(size)
            u_v = torch.stack([u @ component for component in vi])
            v_v = torch.stack([w @ component for component in vi])
            a_ss, a_sv, a_vv = loop_mlp(layer.a, torch.cat([si, ((v_v**2).sum(0) + 0.1**2).sqrt() - 0.1]), silu).split(
                size
            )
            new_s.append(si + a_ss + a_sv * sum(u_v[k] * v_v[k] for k in range(3)))
            new_v.append(vi + a_vv * u_v)
        s, v = new_s, new_v
    expected = torch.stack([torch.cat([si, vi.T.flatten()]) for si, vi in zip(s, v, strict=True)])
    equal(model(molecule), expected, 1e-13)


@pytest.mark.parametrize("cutoff", [None, CUTOFF])
@pytest.mark.parametrize("velocity", [False, True])
@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("dimension", [2, 3])
def test_egnn_against_the_equations(
    cutoff: float | None, velocity: bool, bounded: bool, attention: bool, dimension: int
) -> None:
    """Eq. 3 to 8 for pairs of nodes, with the positions themselves moved from layer to layer."""
    molecule, size = graph(dimension=dimension, vel=(6, dimension), charge=(6,)), 4
    options = {
        "velocity": velocity,
        "attention": attention,
        "bounded": bounded,
        "dimension": dimension,
        "edge_inputs": ("charge_product",),
    }
    model = EGNN(width=size, layers=3, cutoff=cutoff, **options).double()
    for layer in model.layers:
        torch.nn.init.normal_(layer.step.weight)
    start = x = molecule.pos
    h = [model.embedding.species.weight[int(z) - 1] for z in molecule.z]
    for layer in model.layers:
        new_h, new_x = [], []
        for i in range(6):
            near = [j for j in range(6) if j != i] if cutoff is None else neighbours(start, i)
            fade = {
                j: torch.ones_like(start[0, 0]) if cutoff is None else envelope((start[j] - start[i]).norm())
                for j in near
            }
            c = 1 / max(len(near), 1) if cutoff is None else 1 / (1 + sum(fade.values()))
            m_i, move = torch.zeros(size, dtype=torch.float64), torch.zeros(dimension, dtype=torch.float64)
            for j in near:
                away = x[i] - x[j]
                square = away @ away
                a_ij = molecule.charge[i] * molecule.charge[j]
                m = loop_mlp(layer.phi_e, torch.cat([h[i], h[j], square[None], a_ij[None]]), silu, last=True)
                if attention:
                    m = m * torch.sigmoid(layer.attend.weight[0] @ m + layer.attend.bias[0])
                m = m * fade[j]
                away = away / (square.sqrt() + 1) if bounded else away
                move = move + c * fade[j] * away * (layer.step.weight[0] @ loop_mlp(layer.phi_x, m, silu, last=True))
                m_i = m_i + m
            if velocity:
                move = move + loop_mlp(layer.phi_v, h[i], silu) * molecule.vel[i]
            new_x.append(x[i] + move)
            new_h.append(h[i] + loop_mlp(layer.phi_h, torch.cat([h[i], m_i]), silu))
        h, x = new_h, torch.stack(new_x)
    expected = torch.cat([torch.stack(h), x - start], dim=1)
    equal(model(molecule), expected, 1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_egnn_against_egnn_pytorch(dtype: torch.dtype, tolerance: float) -> None:
    """Three of its sparse layers on all pairs of nodes: features and displacements. It has no velocities, and sums
    where ours averages.
    """
    oracle = pytest.importorskip("egnn_pytorch")
    layers = torch.nn.ModuleList(oracle.EGNN_Sparse(4, m_dim=6) for _ in range(3)).to(dtype)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    ours, molecule = twins.egnn(layers, neighbours=5), connect(graph().cast(dtype), None)
    x = torch.cat([molecule.pos, ours.embedding(molecule)], dim=1)
    for layer in layers:
        x = layer(x, molecule.edge_index)
    features, displacements = ours(molecule).split([4, 3], dim=1)
    equal(features, x[:, 3:], tolerance)
    equal(displacements, x[:, :3] - molecule.pos, tolerance)
