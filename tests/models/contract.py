"""What every architecture must keep: subclass :class:`ModelContract`, give one fixture, inherit the tests."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import pytest
import torch
from switches import as_users_run_it, does_not_apply
from torch.autograd import gradcheck, gradgradcheck

from intertwine.certify import certify
from intertwine.certify.claims import claims
from intertwine.geometry import Graph, act, collate, connect, permute
from intertwine.groups import Isometry
from intertwine.nn import Backbone
from intertwine.numerics import DataError, GeometryError

BOUNDS = {torch.float64: 1e-12, torch.float32: 2e-5}  # docs/design.md, "numbers to live by": a model
NOT_THERE = 1e-3  # relative change of the outputs under a symmetry that the model lacks
CHECKED = ("test_equivariance", "test_batch_equals_singles", "test_derivatives_in_positions", "test_coincident_atoms")
CHECKED += ("test_graphs_with_nothing_in_them", "test_says_what_it_is", "test_every_parameter_matters")
STRUCTURES = {"molecule": 7, "pair": 2, "isolated": 1, "crystal": 4}


class ModelContract:
    """Subclasses define the fixture ``model`` (float64, small widths) and, where needed, the fields that it reads."""

    dimension = 3
    fields: tuple[str, ...] = ()  # "vel", "charge"
    species: tuple[int, ...] = (1, 6, 8)
    # "rotation", "reflection": what changes its outputs in ways that no representation tells
    lacks: tuple[str, ...] = ()
    variable = "pos"  # what its features are a function of: derivatives are taken with respect to it

    @pytest.fixture
    def model(self) -> Backbone:
        raise TypeError("a contract needs a model")

    @pytest.fixture(autouse=True)
    def _annotations(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """Shapes are checked on every kind of graph in the tests of CHECKED, which costs two thirds of their time; the
        others, with the same shapes, run the model as users do.
        """
        with contextlib.nullcontext() if request.node.originalname in CHECKED else as_users_run_it():
            yield

    def graph(self, nodes: int, seed: int = 0, spread: float = 1.2) -> Graph:
        generator = torch.Generator().manual_seed(seed)
        values = {"vel": (nodes, self.dimension), "charge": (nodes,)}
        fields = {name: torch.randn(values[name], generator=generator, dtype=torch.float64) for name in self.fields}
        z = torch.tensor(self.species)[torch.arange(nodes) % len(self.species)] if self.species else None
        return Graph(
            spread * torch.randn(nodes, self.dimension, generator=generator, dtype=torch.float64), z=z, **fields
        )

    def crystal(self, seed: int = 0) -> Graph:
        graph = self.graph(4, seed)
        generator = torch.Generator().manual_seed(seed)
        graph.cell = (3.5 * torch.eye(3) + 0.3 * torch.randn(3, 3, generator=generator)).double().unsqueeze(0)
        graph.pbc = torch.ones(1, 3, dtype=torch.bool)
        return graph

    def structures(self, model: Backbone) -> dict[str, Graph]:
        found = {name: self.graph(nodes) for name, nodes in STRUCTURES.items() if name != "crystal"}
        if self.dimension == 3 and model.cutoff is not None:
            found["crystal"] = self.crystal()
        return found

    @pytest.mark.parametrize("dtype", BOUNDS, ids=str)
    @pytest.mark.parametrize("improper", [False, True], ids=["rotation", "reflection"])
    def test_equivariance(self, model: Backbone, dtype: torch.dtype, improper: bool) -> None:
        model, generator = model.to(dtype), torch.Generator().manual_seed(1)
        elements = [
            Isometry.random(self.dimension, generator=generator, improper=improper, shift=1.0) for _ in range(3)
        ]
        turned = torch.eye(self.dimension, dtype=torch.float64).roll(1, 0)
        turned[0] *= torch.linalg.det(turned)  # axes exchanged, by a rotation in every dimension
        elements.append(Isometry(turned, torch.zeros(self.dimension, dtype=torch.float64)))
        for name, graph in self.structures(model).items():
            graph = connect(graph, model.cutoff).cast(dtype)  # the same edges on both sides
            plain, errors = model(graph).double(), []  # annotations are checked here; what follows has these shapes
            size = float(plain.detach().square().mean().sqrt())
            if size <= 100 * torch.finfo(dtype).eps:  # an atom that is alone may have no features but rounding
                size = 1.0
            with as_users_run_it():
                for g in elements:
                    expected = model.irreps_out.transform(g.rotation, plain)
                    errors.append((model(act(g, graph)).double() - expected).abs().max() / size)
            if ("reflection" if improper else "rotation") not in self.lacks:
                assert max(errors) < BOUNDS[dtype], name
            elif graph.num_nodes > 3:
                assert max(errors) > NOT_THERE, name

    def test_translation(self, model: Backbone) -> None:
        shift = Isometry(
            torch.eye(self.dimension, dtype=torch.float64), torch.full((self.dimension,), 10.0, dtype=torch.float64)
        )
        for graph in self.structures(model).values():
            torch.testing.assert_close(model(act(shift, graph)), model(graph), rtol=0, atol=1e-12)

    def test_far_from_the_origin(self, model: Backbone) -> None:
        """In single precision too features and slopes keep their digits 1e4 A away, and with every atom in a cell of
        its own.
        """
        model = model.float()
        for name, graph in self.structures(model).items():
            steps = [torch.full_like(graph.pos, 1e4)]
            if name == "crystal":
                cells = torch.randint(-500, 501, graph.pos.shape, generator=torch.Generator().manual_seed(1)).double()
                steps += [500 * graph.cell[0, 0].expand_as(graph.pos), cells @ graph.cell[0]]
            expected = self._with_slopes(model, graph.pos, graph)
            for step in steps:
                for one, other in zip(self._with_slopes(model, graph.pos + step, graph), expected, strict=True):
                    size = max(float(other.double().square().mean().sqrt()), 1e-5) if other.numel() else 1.0
                    torch.testing.assert_close(one, other, rtol=0, atol=BOUNDS[torch.float32] * size, msg=name)

    def _with_slopes(self, model: Backbone, pos: torch.Tensor, graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
        """Features, in the model's precision, and the derivative of their sum of squares, in that of the positions."""
        graph = graph.clone()
        graph.pos = pos.clone().requires_grad_()
        f = model(graph)
        assert f.dtype == next(model.parameters()).dtype
        (slope,) = torch.autograd.grad(f.square().sum(), graph.pos, allow_unused=True, materialize_grads=True)
        assert slope.dtype == pos.dtype
        return f.detach(), slope

    def test_permutation(self, model: Backbone) -> None:
        for graph in self.structures(model).values():
            order = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(1))
            torch.testing.assert_close(model(permute(order, graph)), model(graph)[order], rtol=0, atol=1e-13)

    def test_batch_equals_singles(self, model: Backbone) -> None:
        graphs = [self.graph(n, seed=n) for n in (5, 1, 2, 0, 7)]
        singles = torch.cat([model(graph) for graph in graphs])
        bound = 20 * torch.finfo(torch.float64).eps * singles.abs().max()
        assert (model(collate(graphs)) - singles).abs().max() <= bound
        assert (model(collate([connect(graph, model.cutoff) for graph in graphs])) - singles).abs().max() <= bound

    def test_graphs_of_a_batch_do_not_see_each_other(self, model: Backbone) -> None:
        batch = collate([self.graph(4, seed=1, spread=0.7), self.graph(4, seed=2, spread=0.7)])
        batch[self.variable].requires_grad_()
        (gradient,) = torch.autograd.grad(model(batch)[:4].square().sum(), batch[self.variable])
        assert gradient[:4].any()
        assert not gradient[4:].any()

    @pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
    def test_derivatives_in_positions(self, model: Backbone, check) -> None:
        graph = connect(self.graph(3), model.cutoff)
        direction = torch.randn(
            4, model.irreps_out.dim, generator=torch.Generator().manual_seed(2), dtype=torch.float64
        )

        def function(value: torch.Tensor) -> torch.Tensor:
            moved = graph.clone()
            moved[self.variable] = value
            return direction @ model(moved).tanh().sum(0)

        # with annotations checked; the many evaluations that follow are of the same shapes
        function(graph[self.variable])
        with as_users_run_it():
            assert check(function, graph[self.variable].clone().requires_grad_())

    def test_smooth_at_the_cutoff(self, model: Backbone) -> None:
        """Neither the features nor their derivative jump where a neighbour leaves."""
        if model.cutoff is None:
            does_not_apply("a model without a cutoff")
        values = []
        for step in (-1e-6, 1e-6):
            graph = self.graph(4, spread=0.5)
            graph.pos[3] = graph.pos[0]
            graph.pos[3, 0] += model.cutoff + step
            graph.pos[1:3, 0] = graph.pos[0, 0] - graph.pos[1:3, 0].abs()  # out of reach of node 3
            graph.pos.requires_grad_()
            f = model(graph)
            (gradient,) = torch.autograd.grad(f.square().sum(), graph.pos)
            values.append((f.detach(), gradient))
        for left, right in zip(*values):
            assert (left - right).abs().max() < 1e-10 * max(1.0, left.abs().max())

    @pytest.mark.parametrize("dtype", BOUNDS, ids=str)
    @pytest.mark.parametrize("gap", [0.0, 1e-12])
    def test_coincident_atoms(self, model: Backbone, dtype: torch.dtype, gap: float) -> None:
        """Values and derivatives stay finite: to second order where atoms coincide; to first where they almost do,
        since a direction's derivative is as large as 1 / distance there, and the square of that overflows in single
        precision."""
        graph = self.graph(4)
        graph.pos -= graph.pos[0].clone()  # at the origin, so that tiny gaps are representable
        graph.pos[1] = gap
        model, graph = model.to(dtype), graph.cast(dtype)
        variable = graph[self.variable].requires_grad_()
        f = model(graph)
        (first,) = torch.autograd.grad(f.square().sum(), variable, create_graph=True)
        wanted = [variable, *model.parameters()]
        second = torch.autograd.grad(first.square().sum(), wanted, allow_unused=True) if gap == 0 else ()
        assert all(x.isfinite().all() for x in (f, first, *second) if x is not None)

    def test_graphs_with_nothing_in_them(self, model: Backbone) -> None:
        """One atom, atoms out of each other's reach, no atoms."""
        assert model(self.graph(0)).shape == (0, model.irreps_out.dim)
        assert model(self.graph(1)).isfinite().all()
        if model.cutoff is not None:
            apart = self.graph(3)
            apart.pos[:, 0] += torch.tensor([0.0, 1e3, -1e8], dtype=torch.float64)
            alone = collate([self.slice(apart, k) for k in range(3)])
            torch.testing.assert_close(model(apart), model(alone), rtol=0, atol=1e-14)

    def slice(self, graph: Graph, node: int) -> Graph:
        return Graph(**{name: graph[name][node : node + 1] for name in graph.to_dict()})

    def test_supercell(self, model: Backbone) -> None:
        """A crystal and its doubling along one vector are one structure; so is one whose atoms lie outside of
        the cell.
        """
        if self.dimension != 3 or model.cutoff is None:
            does_not_apply("periodic structures need three dimensions and a cutoff")
        graph = self.crystal()
        double = graph.clone()
        for name in ("z", "vel", "charge"):
            if name in graph:
                double[name] = torch.cat([graph[name], graph[name]])
        double.pos = torch.cat([graph.pos, graph.pos + graph.cell[0, 1]])
        double.cell = graph.cell * torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64).view(1, 3, 1)
        f = model(graph)
        torch.testing.assert_close(model(double), torch.cat([f, f]), rtol=0, atol=1e-12)
        outside = graph.clone()
        outside.pos = (
            graph.pos
            + torch.tensor([[3.0, 0, 0], [0, -2, 0], [1, 1, 1], [0, 0, 0]], dtype=torch.float64) @ graph.cell[0]
        )
        torch.testing.assert_close(model(outside), f, rtol=0, atol=1e-12)

    def test_single_precision_is_close_to_double(self, model: Backbone) -> None:
        graph = connect(self.graph(6), model.cutoff)
        double, single = model(graph), copy.deepcopy(model).float()(graph.cast(torch.float32))
        assert single.dtype == torch.float32
        assert (single.double() - double).abs().max() / double.square().mean().sqrt() < 1e-4

    def test_wrong_inputs_are_named(self, model: Backbone) -> None:
        graph = self.graph(3)
        with pytest.raises(GeometryError, match="pos: positions are on meta"):
            model(graph.clone().to("meta"))
        graph.pos[1, 0] = float("nan")
        with pytest.raises(GeometryError, match="position of node 1 is not finite"):
            model(graph)
        for name in self.fields:
            bare = self.graph(3)
            del bare[name]
            with pytest.raises(GeometryError, match=name):
                model(bare)
        if self.species:
            strange = self.graph(3)
            strange.z[1] = 92
            with pytest.raises(DataError, match=r"unknown species: atomic numbers \[92\]"):
                model(strange)
        higher = self.graph(3)
        higher.pos = torch.randn(3, self.dimension + 1, dtype=torch.float64)
        if self.any_dimension(model):
            assert model(higher).isfinite().all()
        else:
            with pytest.raises(GeometryError, match="dimensions"):
                model(higher)

    def any_dimension(self, model: Backbone) -> bool:
        """Whether it takes positions of any number of axes: it looks at distances and angles, or not at positions."""
        return False

    def test_state_is_complete(self, model: Backbone) -> None:
        """A model of the same arguments with the same state computes the same bits."""
        graph, twin = self.graph(5), copy.deepcopy(model)
        for parameter in twin.parameters():
            torch.nn.init.normal_(parameter)
        assert not torch.equal(twin(graph), model(graph))
        twin.load_state_dict(model.state_dict())
        assert torch.equal(twin(graph), model(graph))

    def test_deterministic_and_leaves_its_input_alone(self, model: Backbone) -> None:
        graph, before = self.graph(5), self.graph(5)
        assert torch.equal(model(graph), model(graph))
        assert sorted(graph.keys()) == sorted(before.keys())
        assert all(torch.equal(graph[name], before[name]) for name in before.to_dict())

    def test_edges_in_any_order_and_memory_layout(self, model: Backbone) -> None:
        graph = connect(self.graph(6), model.cutoff)
        order = torch.randperm(graph.num_edges, generator=torch.Generator().manual_seed(1))
        shuffled = graph.clone()
        shuffled.edge_index, shuffled.shifts = graph.edge_index[:, order].T.contiguous().T, graph.shifts[order]
        shuffled.pos = graph.pos.T.contiguous().T
        assert not shuffled.pos.is_contiguous()
        torch.testing.assert_close(model(shuffled), model(graph), rtol=0, atol=1e-13)

    def test_says_what_it_is(self, model: Backbone) -> None:
        assert model.card.message in ("linear", "nonlinear")
        assert all((model.card.domain, model.card.geometry, model.card.symmetry, model.card.paper))
        assert model.card.body_order >= 2
        assert not set(claims(model.card.symmetry, self.dimension).names) & set(self.lacks)
        assert model(self.graph(4)).shape == (4, model.irreps_out.dim)

    def test_certificate(self, model: Backbone) -> None:
        """The certificate of the symmetry that it states passes, and names the ones that it lacks."""
        torch.manual_seed(0)
        with as_users_run_it():  # hundreds of evaluations of what the other tests run with annotations checked
            certificate = certify(model, [self.graph(3, seed=1)], symmetry=model.card.symmetry, quick=True)
        assert certificate.passed, certificate.summary()
        broken = {
            line.symmetry
            for line in certificate.lines
            if line.error is not None and line.bound and line.error > line.bound
        }
        assert broken == set(self.lacks)

    def test_every_parameter_matters(self, model: Backbone) -> None:
        """Each parameter has a gradient for some output, or it is dead weight (the last layer's vectors aside)."""
        f = model(self.graph(6))
        f.square().sum().backward()
        dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
        assert not dead
