"""What every model refuses, by name; what it is given and can't use, it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from molecular import MODELS
from switches import as_users_run_it
from torch_geometric.data import Data

from intertwine.geometry import Graph, connect
from intertwine.nn import Backbone
from intertwine.numerics import GeometryError, InputError
from intertwine.numerics.signature import arguments

WITH_VECTORS = [name for name, model in MODELS.items() if "vector_inputs" in arguments(model)]
every_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(autouse=True)
def users() -> Iterator[None]:
    """Users have no annotations checked: our own errors have to come."""
    with as_users_run_it():
        yield


def small(name: str, **others: object) -> Backbone:
    known = arguments(MODELS[name])
    return MODELS[name](**MODELS[name].PRESETS["small"] | {key: value for key, value in others.items() if key in known})


@every_model
def test_what_is_no_graph(name: str) -> None:
    data = Data(pos=torch.eye(3), z=torch.ones(3, dtype=torch.int64))
    with pytest.raises(InputError, match=r"Data is no Graph(.|\n)*from_dict"):
        small(name)(data)
    assert small(name)(Graph.from_dict(data.to_dict())).isfinite().all()


@every_model
def test_a_graph_without_positions(name: str) -> None:
    graph = Graph.abstract(z=[1, 6], edge_index=[[0, 1], [1, 0]]).cast(torch.float32)
    if name == "mpnn":
        assert small(name)(graph).isfinite().all()
        return
    with pytest.raises(GeometryError, match=r"has no positions(.|\n)*MPNN"):
        small(name)(graph)


@every_model
def test_wrong_names(name: str) -> None:
    for key in {"node_inputs", "edge_inputs"} & set(arguments(MODELS[name])):
        with pytest.raises(InputError, match=key):
            small(name, **{key: ("spead",)})
    with pytest.raises(InputError, match="one string"):
        small(name, node_inputs="speed")
    with pytest.raises(InputError, match="atomic numbers"):
        small(name, species=["C", "H"])


@pytest.mark.parametrize("name", [name for name in MODELS if "outputs" in arguments(MODELS[name])])
def test_irreps_that_can_not_be_made(name: str) -> None:
    with pytest.raises(InputError, match="leads to 7e"):
        small(name, outputs="0e+7e")
    with pytest.raises(InputError, match="no outputs"):
        small(name, outputs="")


@pytest.mark.parametrize("name", WITH_VECTORS)
def test_velocities(name: str) -> None:
    """None and not finite are refused; another precision is cast."""
    model = small(name, vector_inputs=("vel",))
    graph = connect(Graph(torch.eye(3), z=[1, 6, 8]), 3.0)
    with pytest.raises(GeometryError, match="vel: the model needs this field"):
        model(graph)
    graph.vel = torch.full((3, 3), torch.nan)
    with pytest.raises(GeometryError, match="vel: it is not finite"):
        model(graph)
    graph.vel = torch.ones(3, 3, dtype=torch.float64)
    assert model(graph).dtype == torch.float32


@pytest.mark.parametrize("name", [name for name in MODELS if "average_degree" in arguments(MODELS[name])])
def test_average_degree(name: str) -> None:
    for wrong in (0.0, -3.0):
        with pytest.raises(InputError, match="average_degree"):
            small(name, average_degree=wrong)
