"""Every model and every kind of field: taken as what the graph says it is, or refused by a name that says what can be
taken.
"""

from __future__ import annotations

import inspect

import pytest
import torch
from claimed import claimed
from molecular import MODELS, within
from switches import does_not_apply

from intertwine.geometry import Graph, act, connect
from intertwine.nn import Backbone
from intertwine.numerics import GeometryError

NODES = 4


def graph(generator: torch.Generator, **representations: str) -> Graph:
    """Atoms with one field of each kind."""
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    fields = {
        "vel": draw(NODES, 3),
        "charge": draw(NODES),
        "x": draw(NODES, 1),
        "u": draw(NODES, 3),
        "wide": draw(NODES, 6),
    }
    made = connect(
        Graph(1.5 * draw(NODES, 3), z=[1, 6, 8, 1], representations={"u": "1o"} | representations, **fields), 4.0
    )
    made.edge_attr = draw(made.num_edges, 1)
    return made


def model(name: str, **options: object) -> Backbone:
    torch.manual_seed(0)
    if name == "mpnn":
        options.pop("cutoff", None)
    return MODELS[name](**MODELS[name].PRESETS["small"] | {"layers": 1} | within(name, 4.0) | options).double().eval()


def takes(option: str) -> list[str]:
    return [name for name in sorted(MODELS) if option in inspect.signature(MODELS[name]).parameters]


VECTORS = {
    "axial": ("u", {"u": "1e"}, r"u: it is 1e, and the model takes polar vectors \(1o\)"),
    "tensor": ("u", {"u": "1x2e"}, r"u: it is 2e, and the model takes polar vectors"),
    "velocity said to be axial": ("vel", {"vel": "1e"}, r"vel: it is 1e, and the model takes polar vectors"),
    "two vectors": ("wide", {"wide": "2x1o"}, r"wide: it is 2x1o, and the model takes polar vectors"),
    "two vectors said to be one": ("wide", {"wide": "1o"}, r"wide: shape \(4, 6\), and the model takes one vector"),
    "undeclared": ("wide", {}, r"wide: it is 0e, and the model takes polar vectors"),
    "positions": ("pos", {}, r"pos: it is a point of space, and the model takes polar vectors"),
    "scalars": ("charge", {}, r"charge: it is 0e, and the model takes polar vectors"),
    "absent": ("spin", {}, r"spin: the model needs this field"),
}


@pytest.mark.parametrize("kind", VECTORS)
@pytest.mark.parametrize("name", takes("vector_inputs"))
def test_vectors(name: str, kind: str, generator: torch.Generator) -> None:
    given, representations, words = VECTORS[kind]
    with pytest.raises(GeometryError, match=words):
        model(name, vector_inputs=(given,))(graph(generator, **representations))


@pytest.mark.parametrize("name", takes("velocity"))
def test_velocities(name: str, generator: torch.Generator) -> None:
    with pytest.raises(GeometryError, match="vel: it is 1e, and the model takes polar vectors"):
        model(name, velocity=True)(graph(generator, vel="1e"))


@pytest.mark.parametrize("name", takes("vector_inputs"))
def test_a_declared_vector_is_taken_as_one(name: str, generator: torch.Generator) -> None:
    """It moves the features, and they turn with it."""
    backbone, given = model(name, vector_inputs=("u",)), graph(generator)
    f, without = backbone(given), backbone(Graph(**given.to_dict() | {"u": 0 * given.u}))
    assert (f - without).abs().max() > 1e-8
    for g in claimed(backbone.card.symmetry, generator)[:1]:
        torch.testing.assert_close(
            backbone(act(g, given)), backbone.irreps_out.transform(g.rotation, f), rtol=0, atol=1e-10
        )


INVARIANTS = {
    "pseudoscalar charges": (
        "node_inputs",
        "charge",
        {"charge": "0o"},
        "charge: it is 0o, and the model takes invariants",
    ),
    "vectors for features": ("node_inputs", "x", {"x": "1o"}, "x: it is 1o, and the model takes invariants"),
    "pseudoscalar products": (
        "edge_inputs",
        "charge_product",
        {"charge": "0o"},
        "charge: it is 0o, and the model takes invariants",
    ),
    "axial edges": (
        "edge_inputs",
        "edge_attr",
        {"edge_attr": "1e"},
        "edge_attr: it is 1e, and the model takes invariants",
    ),
}


@pytest.mark.parametrize("kind", INVARIANTS)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_invariants(name: str, kind: str, generator: torch.Generator) -> None:
    option, given, representations, words = INVARIANTS[kind]
    if option not in inspect.signature(MODELS[name]).parameters:
        does_not_apply("the model takes none of these inputs")
    with pytest.raises(GeometryError, match=words):
        model(name, **{option: (given,)})(graph(generator, **representations))


SHAPES = {
    "features of two columns": ("node_inputs", "x", torch.ones(NODES, 2), "x: 2 columns, and the model takes 1"),
    "features of rank 2": ("node_inputs", "x", torch.ones(NODES, 2, 2), "x: 4 columns, and the model takes 1"),
    "features of the graph": ("node_inputs", "x", torch.ones(1, 1), r"x: shape \(1, 1\), and the model takes 4 rows"),
    "charges of two columns": (
        "node_inputs",
        "charge",
        torch.ones(NODES, 2),
        "charge: 2 columns, and the model takes 1",
    ),
    "a charge of the graph": (
        "node_inputs",
        "charge",
        torch.ones(1),
        r"charge: shape \(1,\), and the model takes 4 rows",
    ),
    "edges of three columns": ("edge_inputs", "edge_attr", "edges", "edge_attr: 3 columns, and the model takes 1"),
    "edges of the nodes": (
        "edge_inputs",
        "edge_attr",
        torch.ones(NODES + 99, 1),
        "edge_attr: shape .*, and the model takes .* rows",
    ),
}


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_shapes(name: str, kind: str, generator: torch.Generator) -> None:
    option, given, value, words = SHAPES[kind]
    if option not in inspect.signature(MODELS[name]).parameters:
        does_not_apply("the model takes none of these inputs")
    made = graph(generator)
    made[given] = torch.ones(made.num_edges, 3) if isinstance(value, str) else value
    with pytest.raises(GeometryError, match=words):
        model(name, **{option: (given,)})(made)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_one_column_is_taken(name: str, generator: torch.Generator) -> None:
    wanted = {"node_inputs": ("x", "charge", "speed"), "edge_inputs": ("edge_attr", "charge_product")}
    options = {key: value for key, value in wanted.items() if key in inspect.signature(MODELS[name]).parameters}
    assert model(name, **options)(graph(generator)).isfinite().all()
