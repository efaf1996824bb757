"""Every model takes invariants of any number of columns: 20 of the nodes, 8 of the edges, several vectors, fields of
one's own.
"""

from __future__ import annotations

import inspect

import pytest
import torch
from claimed import claimed
from contract import BOUNDS
from molecular import MODELS, within
from switches import as_users_run_it
from torch.autograd import gradcheck

from intertwine.geometry import Graph, act, collate, connect, permute
from intertwine.nn import Backbone
from intertwine.numerics import GeometryError, InputError
from intertwine.numerics.signature import arguments, bind
from intertwine.tasks import ForceField

CUTOFF = 4.0
INPUTS = {"node_inputs": {"x": 20}, "edge_inputs": {"edge_attr": 8}}
every_model = pytest.mark.parametrize("name", MODELS)


def graph(nodes: int = 4, seed: int = 0) -> Graph:
    """Atoms with 20 invariants each, edges with 8, and labels."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    z = torch.tensor([1, 6, 8])[torch.arange(nodes) % 3]
    made = connect(Graph(1.3 * draw(nodes, 3), z=z, x=draw(nodes, 20), energy=draw(1), forces=draw(nodes, 3)), CUTOFF)
    made.edge_attr = draw(made.num_edges, 8)
    return made


def model(name: str, **options: object) -> Backbone:
    torch.manual_seed(0)
    small = {"layers": 2, "species": (1, 6, 8)} | within(name, CUTOFF)
    return MODELS[name](**MODELS[name].PRESETS["small"] | small | INPUTS | options).double().eval()


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@every_model
def test_equivariance(name: str, dtype: torch.dtype, generator: torch.Generator) -> None:
    """Under what the model claims; the order of the nodes is a symmetry of all."""
    backbone, given = model(name).to(dtype), graph().cast(dtype)
    f = backbone(given).double()
    size = f.square().mean().sqrt()
    for g in claimed(backbone.card.symmetry, generator):
        expected = backbone.irreps_out.transform(g.rotation, f)
        assert (backbone(act(g, given)).double() - expected).abs().max() / size < BOUNDS[dtype]
    order = torch.tensor([2, 0, 3, 1])
    assert (backbone(permute(order, given)).double() - f[order]).abs().max() / size < BOUNDS[dtype]


@every_model
def test_gradients(name: str) -> None:
    """With respect to invariants of nodes and edges and positions; each column is looked at."""
    backbone, given = model(name), graph(3)
    direction = torch.randn(backbone.irreps_out.dim, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def function(pos: torch.Tensor, x: torch.Tensor, edge_attr: torch.Tensor) -> torch.Tensor:
        moved = given.clone()
        moved.pos, moved.x, moved.edge_attr = pos, x, edge_attr
        return (backbone(moved) @ direction).tanh()

    variables = [given[field].clone().requires_grad_() for field in ("pos", "x", "edge_attr")]
    _, x, edge_attr = torch.autograd.grad(function(*variables).sum(), variables)
    assert x.abs().amax(0).min() > 0
    assert edge_attr.abs().amax(0).min() > 0
    with as_users_run_it():
        assert gradcheck(function, variables, fast_mode=True)


@every_model
def test_batch_equals_singles(name: str) -> None:
    backbone, graphs = model(name), [graph(n, seed=n) for n in (3, 1, 4)]
    singles = torch.cat([backbone(one) for one in graphs])
    assert (backbone(collate(graphs)) - singles).abs().max() <= 20 * torch.finfo(
        torch.float64
    ).eps * singles.abs().max()


@every_model
def test_a_training_step(name: str) -> None:
    """Of energies and forces: down along the gradient, which the weights of the inputs have."""
    task, graphs = ForceField(model(name)).double(), [graph(n, seed=n) for n in (3, 4)]
    task.fit(graphs)
    task.train()
    batch, optimizer = collate(graphs), torch.optim.SGD(task.parameters(), lr=1.0)

    def loss() -> torch.Tensor:
        return sum(value / count for value, count in task.losses(task(batch), batch).values())

    before = loss()
    before.backward()
    assert task.backbone.embedding.linear.weight.grad.abs().amax(0).min() > 0
    steep = sum(p.grad.square().sum() for p in task.parameters() if p.grad is not None)
    for group in optimizer.param_groups:
        group["lr"] = 1e-5 * before.item() / steep.item()  # down by this share, to first order
    optimizer.step()
    assert 0.99 < (1 - loss() / before).item() / 1e-5 < 1.01


@pytest.mark.parametrize("name", [name for name in MODELS if "vector_inputs" in arguments(MODELS[name])])
def test_several_vectors(name: str, generator: torch.Generator) -> None:
    """Four of each node, as (nodes, 4, 3) or as 4x1o: the same features, which turn with them."""
    backbone, given = model(name, vector_inputs={"u": 4}), graph()
    u = torch.randn(given.num_nodes, 4, 3, generator=generator, dtype=torch.float64)
    one, other = given.clone(), given.clone()
    one.u, one.representations = u, {"u": "1o"}
    other.u, other.representations = u.flatten(1), {"u": "4x1o"}
    f = backbone(one)
    assert torch.equal(backbone(other), f)
    for k in range(4):  # each is looked at
        changed = one.clone()
        changed.u[:, k] = 0
        assert (backbone(changed) - f).abs().max() > 1e-8
    for g in claimed(backbone.card.symmetry, generator)[:1]:
        expected = backbone.irreps_out.transform(g.rotation, f)
        for turned in (act(g, one), act(g, other)):
            torch.testing.assert_close(backbone(turned), expected, rtol=0, atol=1e-11 * f.abs().max().item())
    with pytest.raises(GeometryError, match="u: it is 2x1o, and the model takes polar vectors"):
        backbone(Graph(**other.to_dict() | {"u": u[:, :2].flatten(1), "representations": {"u": "2x1o"}}))
    with pytest.raises(GeometryError, match=r"u: shape \(4, 2, 3\), and the model takes 4 vectors of each node"):
        backbone(Graph(**one.to_dict() | {"u": u[:, :2]}))


@every_model
def test_fields_of_ones_own(name: str, generator: torch.Generator) -> None:
    """Any invariant of nodes or edges, by name and number of columns; what is said to be no invariant is refused."""
    backbone = model(name, node_inputs={"site": 3, "x": 20}, edge_inputs={"bond": 2})
    given = graph()
    given.site = torch.randn(given.num_nodes, 3, generator=generator, dtype=torch.float64)
    given.bond = torch.randn(given.num_edges, 2, generator=generator, dtype=torch.float64)
    f = backbone(given)
    for field in ("site", "bond", "x"):
        changed = given.clone()
        changed[field] = 0 * given[field]
        assert (backbone(changed) - f).abs().max() > 1e-8
    given.representations = {"site": "1o"}
    with pytest.raises(GeometryError, match="site: it is 1o, and the model takes invariants"):
        backbone(given)
    del given.site
    with pytest.raises(GeometryError, match="site: the model needs this field"):
        backbone(given)


@every_model
def test_the_signature_is_written_out(name: str) -> None:
    """Inputs are among a model's arguments with their types and defaults, for `inspect`, configuration and command
    line.
    """
    known, listed = arguments(MODELS[name]), inspect.signature(MODELS[name]).parameters
    assert list(known) == list(listed)
    assert {*within(name, 4.0), "species", "node_inputs", "edge_inputs"} <= set(known)
    assert not any(p.kind is p.VAR_KEYWORD for p in listed.values())
    made = MODELS[name](**{key: argument.default for key, argument in known.items()})
    torch.manual_seed(1)
    default = MODELS[name]().state_dict()
    assert {key: value.shape for key, value in made.state_dict().items()} == {
        key: value.shape for key, value in default.items()
    }
    settled = bind(MODELS[name], {"node_inputs": {"x": 20}, "edge_inputs": ["charge_product"]}, where="model")
    assert settled["node_inputs"] == {"x": 20}
    assert settled["edge_inputs"] == ("charge_product",)


@every_model
def test_what_is_no_argument_is_named(name: str) -> None:
    with as_users_run_it():
        with pytest.raises(InputError, match=r"unknown argument 'speces'(.|\n)*did you mean 'species'"):
            MODELS[name](speces=(1, 6))
        for wrong in (0, -1, 2.5, True):
            with pytest.raises(InputError, match=r"node_inputs\.x"):
                MODELS[name](node_inputs={"x": wrong})
        with pytest.raises(InputError, match="has a name twice"):
            MODELS[name](node_inputs=("charge", "charge"))
        if "vector_inputs" not in arguments(MODELS[name]):
            with pytest.raises(InputError, match="no place for 'vector_inputs'"):
                MODELS[name](vector_inputs=("vel",))
