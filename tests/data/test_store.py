"""The store: what goes in comes out, from memory and from disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from intertwine.data import GraphStore, Splits, molecules
from intertwine.data.kept import cached
from intertwine.geometry import Graph, connect
from intertwine.numerics import DataError, InputError, cache_folder


def some_graphs(generator: torch.Generator, count: int = 5) -> list[Graph]:
    """Open and periodic structures of different sizes, with labels of every kind."""
    graphs = []
    for k in range(count):
        n = k + 1
        pos = 2 * torch.randn(n, 3, generator=generator, dtype=torch.float64)
        box = {"cell": 4.0 * torch.eye(3, dtype=torch.float64), "pbc": [True, k == 1, True]} if k % 2 else {}
        graphs.append(
            Graph(
                pos,
                z=[6] * n,
                energy=-1.5 * k,
                forces=-pos,
                quadrupole=pos.new_full((1, 5), float(k)),
                representations={"quadrupole": "2e"},
                **box,
            )
        )
    return graphs


def same(one: Graph, other: Graph) -> None:
    for name, value in one.to_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("stored", [False, True])
def test_round_trip(stored: bool, generator: torch.Generator, tmp_path: Path) -> None:
    graphs = some_graphs(generator)
    splits = Splits([0, 2], [1], [3])
    store = GraphStore.from_graphs(graphs, name="five", units={"energy": "eV"}, notes=["a note"], splits=splits)
    if stored:
        store.save(tmp_path / "five")
        store = GraphStore.load(tmp_path / "five")
    assert len(store) == 5
    for graph, item in zip(graphs, store, strict=True):
        same(graph, item)
        assert item.pos.dtype == torch.float64
        assert item.representations == {"quadrupole": "2e"}
    same(graphs[-1], store[-1])
    assert (store.name, store.units, store.notes) == ("five", {"energy": "eV"}, ["a note"])
    assert store.splits is not None
    assert store.splits.to_dict() == {"train": [0, 2], "validation": [1], "test": [3]}
    assert store.species() == [6]
    with pytest.raises(IndexError):
        store[5]


def test_items_are_copies(generator: torch.Generator, tmp_path: Path) -> None:
    store = GraphStore.from_graphs(some_graphs(generator))
    store.save(tmp_path / "s")
    for data in (store, GraphStore.load(tmp_path / "s")):
        before = data[3].pos.clone()
        data[3].pos.add_(1.0)
        assert torch.equal(data[3].pos, before)


def test_views(generator: torch.Generator, tmp_path: Path) -> None:
    graphs = some_graphs(generator)
    store = GraphStore.from_graphs(graphs)
    view = store.subset([4, 0, 3]).subset(torch.tensor([2, 0]))
    same(view[0], store[3])
    same(view[1], store[4])
    assert torch.equal(view.field("pos"), torch.cat([graphs[3].pos, graphs[4].pos]))
    assert view.field("energy").tolist() == [-4.5, -6.0]
    view.save(tmp_path / "view")
    loaded = GraphStore.load(tmp_path / "view")
    assert len(loaded) == 2
    same(loaded[1], store[4])
    only = store.only("energy")
    assert only[1].get("forces") is None
    assert only[1].energy.item() == -1.5
    with pytest.raises(InputError, match="index 5"):
        store.subset([0, 5])
    with pytest.raises(DataError, match="did you mean 'energy'"):
        store.only("enrgy")


@pytest.mark.parametrize("workers", [0, 2])
def test_connected_equals_connect(workers: int, generator: torch.Generator) -> None:
    graphs = some_graphs(generator)
    view = GraphStore.from_graphs(graphs).connected(4.5)
    for graph, item in zip(graphs, view, strict=True):
        expected = connect(graph, 4.5)
        assert torch.equal(item.edge_index, expected.edge_index)
        assert torch.equal(item.shifts, expected.shifts)
    batches = DataLoader(view, batch_size=5, num_workers=workers)
    for _ in range(2):
        batch = next(iter(batches))
        whole = connect(batch, 4.5)
        assert torch.equal(batch.edge_index, whole.edge_index)
        assert torch.equal(batch.shifts, whole.shifts)
    same(view.subset([3])[0], connect(graphs[3], 4.5))


def test_damaged_folders_are_named(generator: torch.Generator, tmp_path: Path) -> None:
    store = GraphStore.from_graphs(some_graphs(generator))
    with pytest.raises(DataError, match="absent"):
        GraphStore.load(tmp_path / "absent")
    for damage in ("header.json", "pos.npy", "schema", "shape"):
        folder = tmp_path / damage
        store.save(folder)
        header = json.loads((folder / "header.json").read_text())
        if damage == "schema":
            (folder / "header.json").write_text(json.dumps(header | {"schema": 99}))
        elif damage == "shape":
            np.save(folder / "pos.npy", np.zeros((2, 3)))
        else:
            (folder / damage).write_bytes((folder / damage).read_bytes()[:40])
        with pytest.raises(DataError, match="Remedy"):
            GraphStore.load(folder)


def test_saving_is_all_or_nothing(generator: torch.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = GraphStore.from_graphs(some_graphs(generator))
    store.save(tmp_path / "s")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(DataError, match="No space left"):
        store.subset([0]).save(tmp_path / "s")
    with pytest.raises(DataError, match="No space left"):
        store.save(tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert len(GraphStore.load(tmp_path / "s")) == 5


def test_the_cache_mends_itself(generator: torch.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERTWINE_CACHE", str(tmp_path / "cache"))
    made = []

    def make() -> GraphStore:
        made.append(1)
        return GraphStore.from_graphs(some_graphs(generator))

    first, second = cached("x", make), cached("x", make)
    assert len(made) == 1
    same(first[4], second[4])
    (tmp_path / "cache" / "x" / "header.json").write_text("{")
    assert len(cached("x", make)) == 5
    assert len(made) == 2
    monkeypatch.setattr(
        GraphStore, "save", lambda *a, **k: (_ for _ in ()).throw(DataError("disk full", where="cache"))
    )
    assert any("not cached" in note for note in cached("y", make).notes)


def test_cache_folder_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("INTERTWINE_CACHE", str(tmp_path / "file"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "intertwine"
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert cache_folder().is_dir()


def test_unequal_graphs_are_named(generator: torch.Generator) -> None:
    graphs = some_graphs(generator)
    del graphs[3]["energy"]
    with pytest.raises(DataError, match="graph 3 has no 'energy'"):
        GraphStore.from_graphs(graphs)
    with pytest.raises(DataError, match="no graphs"):
        GraphStore.from_graphs([])


def test_molecules_have_the_symmetry_they_are_there_for() -> None:
    water, dioxide, methane, benzene, ethanol, chiral = molecules()
    rank = [
        int(torch.linalg.matrix_rank(m.pos - m.pos.mean(0), atol=1e-12))
        for m in (water, dioxide, methane, benzene, ethanol, chiral)
    ]
    assert rank == [2, 1, 3, 2, 3, 3]
    moments = torch.linalg.eigvalsh(methane.pos.T @ methane.pos)
    assert torch.allclose(moments, moments[:1], rtol=1e-14, atol=0)
    assert sorted(chiral.z.tolist()) == [1, 6, 9, 17, 35]
    distances = torch.linalg.norm(water.pos[1:] - water.pos[0], dim=1)
    assert torch.allclose(distances, torch.full_like(distances, 0.9572), rtol=1e-14, atol=0)
    assert float(torch.det(chiral.pos[1:4])) != 0


@pytest.mark.parametrize("stored", [False, True])
def test_labels_of_pairs_and_points(stored: bool, generator: torch.Generator, tmp_path: Path) -> None:
    """Each graph with its own number of them, in views and batches too."""
    graphs = []
    for n in (2, 3, 1):
        fields = {
            "pairs": [[k, 0] for k in range(n)],
            "block": torch.randn(n, 2, 2, generator=generator, dtype=torch.float64),
        }
        fields |= {
            "points": torch.randn(n + 2, 3, generator=generator, dtype=torch.float64),
            "density": torch.arange(n + 2),
        }
        pos = torch.randn(n, 3, generator=generator, dtype=torch.float64)
        graphs.append(Graph(pos, z=[1] * n, levels={"block": "pair", "density": "point"}, **fields))
    store = GraphStore.from_graphs(graphs, name="three")
    if stored:
        store.save(tmp_path / "three")
        store = GraphStore.load(tmp_path / "three")
    for view, places in (
        (store, [0, 1, 2]),
        (store.subset([2, 0]), [2, 0]),
        (store.only("block", "density").connected(None), [0, 1, 2]),
    ):
        for item, place in zip(view, places, strict=True):
            same(graphs[place], item)
            assert [item.level(name) for name in ("pairs", "block", "points", "density")] == [
                "pair",
                "pair",
                "point",
                "point",
            ]
        assert torch.equal(view.field("density"), torch.cat([graphs[place].density for place in places]))
    (batch,) = DataLoader([store[k] for k in (1, 0)], batch_size=2)
    assert batch.pairs.tolist() == [[0, 0], [1, 0], [2, 0], [3, 3], [4, 3]]
    assert batch.rows("density").tolist() == [0] * 5 + [1] * 4


def test_labels_of_edges_are_refused() -> None:
    graph = Graph(torch.zeros(2, 3), edge_index=[[0, 1], [1, 0]], bond=[1.0, 2.0], levels={"bond": "edge"})
    with pytest.raises(DataError, match="'bond' is of edges, which are not kept") as caught:
        GraphStore.from_graphs([graph])
    assert "pairs" in caught.value.remedy
