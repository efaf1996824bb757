"""LieConv: the contract of a model for its groups, the paper's equation by loops over pairs of elements, what is exact
and what holds in distribution.
"""

from __future__ import annotations

import pytest
import torch
from contract import ModelContract
from switches import as_users_run_it
from torch.autograd import gradcheck

from intertwine.certify import certify
from intertwine.geometry import Graph, act, collate, connect
from intertwine.geometry.raster import raster
from intertwine.groups import Affine, Isometry, MatrixGroup
from intertwine.models.lie_conv import LieConv
from intertwine.nn import Backbone
from intertwine.numerics import InputError

SMALL = {"width": 6, "layers": 2, "cutoff": 2.5, "functions": 5, "radial_size": 4, "species": (1, 6, 8)}
PLANE = {"dimension": 2, "species": (1, 6, 8), "width": 6, "layers": 2, "functions": 5, "radial_size": 4}
FLAT = {"species": (), "dimension": 2, "vector_inputs": ("vel",), "node_inputs": ("charge",)}


class TestLieConv(ModelContract):
    lacks = ("rotation", "reflection")

    @pytest.fixture(params=[{}, {"cutoff": None, "vectors": 0}], ids=["plain", "all pairs, scalars"])
    def model(self, request) -> Backbone:
        torch.manual_seed(0)
        return LieConv(**SMALL | request.param).double()


class TestLieConvOfParticlesInThePlane(ModelContract):
    """SO(2) about the centre, with velocities: rotations of the plane are exact, reflections are not there."""

    dimension, fields, species, lacks = 2, ("vel", "charge"), (), ("reflection",)

    @pytest.fixture
    def model(self) -> Backbone:
        torch.manual_seed(0)
        more = {"edge_inputs": ("charge_product",), "group": "SO(2)"}
        return LieConv(**SMALL | FLAT | more).double()


def molecule(nodes: int = 6, dimension: int = 3, seed: int = 0) -> Graph:
    generator = torch.Generator().manual_seed(seed)
    pos = 1.2 * torch.randn(nodes, dimension, generator=generator, dtype=torch.float64)
    return Graph(pos, z=torch.tensor([1, 6, 8])[torch.arange(nodes) % 3])


def turned(angle: float) -> Isometry:
    a = torch.tensor(angle, dtype=torch.float64)
    rotation = torch.stack([a.cos(), -a.sin(), a.sin(), a.cos()]).view(2, 2)
    return Isometry(rotation, torch.ones(2, dtype=torch.float64))


def change(model: Backbone, graph: Graph, g: Isometry) -> float:
    """The largest difference of f(g x) from g f(x), over the root mean square of f."""
    with torch.no_grad():
        f, moved = model(graph), model(act(g, graph))
    return float((moved - model.irreps_out.transform(g.rotation, f)).abs().max() / f.square().mean().sqrt())


def by_loops(model: LieConv, graph: Graph) -> torch.Tensor:
    """The equation at every pair of elements, their logarithms from the group's own product, inverse and log."""
    group, lifting = model.group, model.lifting
    n, S = graph.dimension, lifting.lifts
    if isinstance(group, Affine):
        x, made = graph.pos, [group.make(h, x) for x in graph.pos for h in lifting.turns.double()]
    else:
        x = graph.pos - graph.pos.mean(0)
        square = x.square().sum(1)
        presence = square / (square + 0.01 * square.mean())
        made = [g for one in lifting._elements(x, {"turns": lifting.turns.double()}) for g in one]
    f = torch.stack([model.embedding(graph)[k // S] for k in range(len(made))])
    for layer in model.layers:
        sent, rows = layer.inward(f), []
        H = layer.convolution.convolution.mix.weight.view(sent.shape[1], -1, sent.shape[1]) * layer.convolution.gain
        for u, g in enumerate(made):
            total, count = torch.zeros(sent.shape[1], dtype=torch.float64), 0.0
            for v, h in enumerate(made):
                d = (graph.pos[u // S] - graph.pos[v // S]).norm()
                log = group.log(group.product(group.inverse(h), g))
                if isinstance(group, Affine):
                    move, turn = log[:n], log[n:]
                    c = torch.cat([move, turn * model.alpha / (1 - model.alpha)]).norm()
                    c, parts = model.envelope(c[None])[0], [move / model.radius, turn]
                else:
                    i, j = u // S, v // S
                    q = torch.stack([square[k].sqrt() * presence[k].sqrt() for k in (i, j)])
                    c = model.envelope(d[None])[0] * (1 - (log / torch.pi).square().sum()) ** 3
                    c = c * presence[i] * presence[j]
                    c = torch.ones(()) if u == v else c
                    parts = [log, q / model.radius]
                if d > model.radius:
                    continue
                phi = layer.kernel.network(torch.cat([*parts, model.radial(d[None])[0]]))
                total = total + c * sum(phi[m] * (H[:, m] @ sent[v]) for m in range(len(phi)))
                count = count + c
            rows.append(total / count + layer.convolution.bias)
        f = f + layer.outward(torch.stack(rows))
    scalars = f.view(-1, S, f.shape[1]).mean(1)
    vectors = torch.stack([group.linear(g) @ (model.outward.weight @ f[k]) for k, g in enumerate(made)])
    if not isinstance(group, Affine):
        vectors = vectors * presence.repeat_interleave(S)[:, None]
    return torch.cat([scalars, vectors.view(-1, S, n).mean(1)], dim=1)


@pytest.mark.parametrize(
    ("group", "lifts", "dimension"),
    [("T(n)", None, 3), ("SE(3)", 3, 3), ("SE(n)", 3, 2), ("SO(2)", None, 2), ("SO(3)", 2, 3)],
)
def test_the_equation_by_loops(group: str, lifts: int | None, dimension: int) -> None:
    torch.manual_seed(0)
    model = LieConv(**SMALL | {"group": group, "lifts": lifts, "dimension": dimension}).double().eval()
    graph = molecule(4, dimension)
    with torch.no_grad():
        torch.testing.assert_close(model(graph), by_loops(model, graph), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("group", "lifts"), [("SE(3)", 4), ("SO(3)", 3), ("T(3) x| R+(3)", 2)])
def test_a_batch_and_another_order_change_no_digit_where_lifts_are_drawn(group: str, lifts: int) -> None:
    model = LieConv(**SMALL | {"group": group, "lifts": lifts}).double().eval()
    graphs = [molecule(n, seed=n) for n in (4, 1, 0, 5)]
    with torch.no_grad():
        singles = torch.cat([model(graph) for graph in graphs])
        torch.testing.assert_close(model(collate(graphs)), singles, rtol=0, atol=1e-14)


def test_abelian_groups_are_exact() -> None:
    """Rotations about the centre, and with them dilations, where all pairs see each other."""
    graph = molecule(6, 2)
    scaled = graph.clone()
    scaled.pos = 1.7 * graph.pos
    for group in ("SO(2)", "R+ x SO(2)"):
        torch.manual_seed(0)
        model = LieConv(**PLANE | {"group": group, "cutoff": None}).double()
        assert model.card.symmetry == {"SO(2)": "SE(2)", "R+ x SO(2)": "T(2) x R+ x SO(2)"}[group]
        assert change(model, graph, turned(0.7)) < 1e-12
        mirror = Isometry(torch.diag(torch.tensor([1.0, -1.0]).double()), torch.zeros(2).double())
        assert change(model, graph, mirror) > 1e-3
    for group in ("R+(2)", "R+ x SO(2)"):
        torch.manual_seed(0)
        model = LieConv(**PLANE | {"group": group, "cutoff": None}).double()
        f, g = model(graph), model(scaled)
        torch.testing.assert_close(g[:, :6], f[:, :6], rtol=0, atol=1e-12)
        torch.testing.assert_close(g[:, 6:], 1.7 * f[:, 6:], rtol=0, atol=1e-12)


def test_of_the_plane_angles_between_the_lifts_are_exact_and_others_converge() -> None:
    errors = []
    for lifts in (1, 2, 3, 6):
        torch.manual_seed(0)
        model = LieConv(**PLANE | {"group": "SE(2)", "lifts": lifts}).double().eval()
        assert change(model, molecule(6, 2), turned(2 * torch.pi / lifts)) < 1e-12
        errors.append(change(model, molecule(6, 2), turned(0.7)))
    assert errors[0] > 30 * errors[1] > 300 * errors[2] > 1000 * errors[3]


def test_of_space_lifts_of_a_subgroup_converge() -> None:
    errors, g = [], Isometry.random(3, generator=torch.Generator().manual_seed(1), shift=1.0)
    for lifts in (1, 4, 12):
        torch.manual_seed(0)
        errors.append(change(LieConv(**SMALL | {"group": "SE(3)", "lifts": lifts}).double().eval(), molecule(), g))
    assert errors[0] > 10 * errors[1] > 20 * errors[2] > 0


@pytest.mark.parametrize(("group", "lifts"), [("SE(3)", 1), ("SE(3)", 4), ("SO(3)", 1)])
def test_drawn_lifts_are_equivariant_in_distribution(group: str, lifts: int) -> None:
    """Over 60 draws, first and second moments of a turned structure's outputs are those of the structure's, turned,
    within five standard errors; of one draw they are not."""
    torch.manual_seed(0)
    model = LieConv(**SMALL | {"group": group, "lifts": lifts, "layers": 1}).double().eval()
    graph, g = molecule(4), Isometry.random(3, generator=torch.Generator().manual_seed(3), shift=1.0)
    samples: list[list[torch.Tensor]] = [[], []]
    model(graph)
    with torch.no_grad(), as_users_run_it():
        for seed in range(120):
            model.redraw(seed)
            f = model(act(g, graph)) if seed % 2 else model.irreps_out.transform(g.rotation, model(graph))
            samples[seed % 2].append(f)
    plain, moved = (torch.stack(f) for f in samples)
    for power in (1, 2):
        a, b = plain**power, moved**power
        error = ((a.var(0) + b.var(0)) / len(a)).sqrt()
        assert ((a.mean(0) - b.mean(0)).abs() < 5 * error + 1e-12).all()
    assert change(model, graph, g) > 1e-4


def test_training_draws_anew_and_evaluation_does_not() -> None:
    torch.manual_seed(0)
    model, graph = LieConv(**SMALL | {"group": "SE(3)", "lifts": 2}).double(), molecule()
    assert not torch.equal(model(graph), model(graph))
    torch.manual_seed(5)
    first = model(graph)
    torch.manual_seed(5)
    assert torch.equal(model(graph), first)
    model.eval()
    before = model(graph)
    assert torch.equal(model(graph), before)
    model.redraw(1)
    assert (model(graph) - before).abs().max() > 1e-6
    model.redraw(0)
    assert torch.equal(model(graph), before)


def test_neighbourhoods_are_drawn_in_training_only() -> None:
    """As many as asked for, without bias; with all of them the mean is the mean."""
    torch.manual_seed(0)
    full, graph = LieConv(**SMALL | {"layers": 1}).double(), connect(molecule(7), 2.5)
    few = LieConv(**SMALL | {"layers": 1, "neighbours": 2}).double()
    all_of_them = LieConv(**SMALL | {"layers": 1, "neighbours": 6}).double()
    for model in (few, all_of_them):
        model.load_state_dict(full.state_dict())
    torch.testing.assert_close(all_of_them(graph), full(graph), rtol=0, atol=1e-13)
    assert (few(graph) - full(graph)).abs().max() > 1e-4
    torch.testing.assert_close(few.eval()(graph), full(graph), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("group", "lifts"), [("T(n)", None), ("SE(3)", 2), ("SO(3)", 2), ("R+(3)", None)])
def test_forces_where_points_coincide(group: str, lifts: int | None) -> None:
    """The logarithm is smooth at the identity, and so is the model: numbers agree with differences."""
    torch.manual_seed(0)
    model = LieConv(**SMALL | {"group": group, "lifts": lifts, "layers": 1}).double().eval()
    graph = connect(molecule(3), 2.5)
    graph.pos[1] = graph.pos[0]

    def energy(pos: torch.Tensor) -> torch.Tensor:
        moved = graph.clone()
        moved.pos = pos
        return model(moved)[:, :6].sum()

    assert gradcheck(energy, graph.pos.clone().requires_grad_())


@pytest.mark.parametrize("group", ["SO(2)", "R+(2)", "R+ x SO(2)"])
def test_a_point_at_the_centre_has_a_smooth_energy(group: str) -> None:
    """It has no angle and no logarithm of its radius; values and slopes are continuous there all the same."""
    torch.manual_seed(0)
    model = LieConv(**PLANE | {"group": group, "layers": 1}).double()
    ring = torch.tensor([[1.0, 0.2], [-0.8, 0.7], [-0.2, -0.9]], dtype=torch.float64)

    def outputs(step: torch.Tensor) -> torch.Tensor:
        pos = torch.cat([ring - (ring.sum(0) + step) / 3, step[None]])  # its mean is at the origin
        return model(Graph(pos, z=[1, 6, 8, 1]))[:, :6]

    at = outputs(torch.zeros(2, dtype=torch.float64))
    assert at.isfinite().all()
    for direction in ring:
        assert (outputs(1e-7 * direction) - at).abs().max() < 1e-5
    assert gradcheck(lambda x: outputs(x).sum(), torch.full((2,), 1e-3, dtype=torch.float64).requires_grad_())


def test_a_group_of_ones_own() -> None:
    """With translations: drawn like the others; its element acts on the vectors that come out."""

    class Shear(MatrixGroup):
        name, dim = "shear", 1

        def __init__(self) -> None:
            super().__init__(2)

        def exp(self, x: torch.Tensor) -> torch.Tensor:
            zero, one = torch.zeros_like(x[..., 0]), torch.ones_like(x[..., 0])
            return torch.stack([one, x[..., 0], zero, one], dim=-1).unflatten(-1, (2, 2))

        def log(self, g: torch.Tensor) -> torch.Tensor:
            return g[..., 0, 1:]

        def sample(self, n: int, generator: torch.Generator) -> torch.Tensor:
            return self.exp(torch.rand(n, 1, generator=generator, dtype=torch.float64))

    group, x = Affine(Shear()), torch.tensor([[0.7, -0.4, 1.3], [0.0, 2.0, 0.0]], dtype=torch.float64)
    generator = torch.zeros(2, 3, 3, dtype=torch.float64)
    generator[:, 0, 1], generator[:, :2, 2] = x[:, 2], x[:, :2]
    torch.testing.assert_close(group.exp(x), torch.matrix_exp(generator), rtol=0, atol=1e-14)
    torch.testing.assert_close(group.log(group.exp(x)), x, rtol=0, atol=1e-14)
    torch.manual_seed(0)
    model = LieConv(**PLANE | {"group": Affine(Shear()), "lifts": 3, "cutoff": None, "vector_inputs": {"u": 1}})
    graph = Graph(molecule(5, 2).pos, z=[1, 6, 8, 1, 6], u=torch.randn(5, 2), representations={"u": "1o"})
    assert model(graph).isfinite().all()
    with pytest.raises(InputError, match="orbits is not known"):
        LieConv(**PLANE | {"group": Shear()})


def test_rotations_fail_in_the_certificate_of_translations_and_are_named() -> None:
    torch.manual_seed(0)
    model = LieConv(**SMALL | {"layers": 1, "width": 2}).double()
    model(molecule(3))
    with as_users_run_it():
        claimed = certify(model, [molecule(3)], symmetry="SE(3)", quick=True)
    assert not claimed.passed
    assert set(claimed.failed) == {"random rotations", "special rotations", "tiny rotations"}
    assert "rotation: output changes by" in claimed.summary()


def test_scalings_with_translations_as_far_as_the_draw_covers_them() -> None:
    """A structure twice as large, seen through lifts that are drawn twice as large: the same, exactly."""
    torch.manual_seed(0)
    model = LieConv(**PLANE | {"group": "T(2) x| R+(2)", "lifts": 3, "cutoff": None}).double().eval()
    graph, larger = molecule(5, 2), molecule(5, 2)
    larger.pos = 2 * graph.pos
    f = model(graph)
    lifting = model.lifting
    for name, value in lifting.constants(2 * lifting.turns).items():
        lifting.register_exact(name, value, torch.float64)
    g = model(larger)
    torch.testing.assert_close(g[:, :6], f[:, :6], rtol=0, atol=1e-12)
    torch.testing.assert_close(g[:, 6:], 2 * f[:, 6:], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("group", "lifts"), [("T(2)", None), ("SE(2)", 4), ("SO(2)", None)])
def test_an_image_as_points(group: str, lifts: int | None) -> None:
    """A pixel is a node; a quarter turn of the image is one of the outputs, but where only translations are there."""
    torch.manual_seed(0)
    arguments = {"dimension": 2, "species": (), "node_inputs": {"x": 1}, "cutoff": 2.5, "width": 4, "layers": 2}
    model = LieConv(group=group, lifts=lifts, **arguments).double().eval()
    image = raster(torch.randn(1, 6, 6, dtype=torch.float64))
    error = change(model, image, turned(torch.pi / 2))
    assert error > 1e-2 if group == "T(2)" else error < 1e-12
