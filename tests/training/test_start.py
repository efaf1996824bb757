"""A run that begins with another's weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from intertwine.data import GraphStore
from intertwine.geometry import Graph
from intertwine.integrations.mace import MACEForceField
from intertwine.models import MODELS
from intertwine.numerics import CheckpointError, InputError
from intertwine.numerics.plugins import NotAllowed
from intertwine.tasks import ForceField, Property
from intertwine.training import fitting, load_checkpoint, load_run, read_config, save_checkpoint, save_task, train
from intertwine.training.config import as_given, check
from intertwine.training.sets import open_sets
from intertwine.training.settle import settle
from intertwine.training.start import begun

OPTIONS = {"epochs": 2, "batch_size": 5, "threads": 1, "patience": 0, "schedule": "plateau", "certify": False}


@pytest.fixture(scope="module")
def source(molecules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on H, C and O."""
    sections = {
        "data": {"source": str(molecules), "train": 20, "validation": 4, "test_size": 0},
        "model": {"name": "painn", "width": 8, "layers": 2, "radial_size": 6, "cutoff": 4.0},
        "training": OPTIONS,
    }
    return train(sections, progress=False, run=tmp_path_factory.mktemp("source") / "run")


@pytest.fixture(scope="module")
def amines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Molecules of H, C and N, with another zero of energy."""
    generator, path = np.random.default_rng(1), tmp_path_factory.mktemp("amines") / "amines.xyz"
    frames = []
    for _ in range(14):
        atoms = Atoms(generator.choice(["H", "C", "N"], size=5), positions=1.5 * generator.normal(size=(5, 3)))
        atoms.calc = SinglePointCalculator(
            atoms, energy=float(-1000.0 * 5 + generator.normal()), forces=generator.normal(size=(5, 3))
        )
        frames.append(atoms)
    write(path, frames, format="extxyz")
    return path


def sections(data: Path, source: Path, **start: Any) -> dict[str, Any]:
    about = {"source": str(data), "train": 10, "validation": 2, "test_size": 0}
    return {"data": about, "training": OPTIONS, "start": {"run": str(source), **start}}


def test_a_run_begins_with_the_weights_of_another(
    source: Path, amines: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The species of both, the source's model, head and precision, references of these data; and it says so."""
    given = sections(amines, source, freeze=["embedding", "layers.0"])
    given["training"] = OPTIONS | {"learning_rate": 1e-9, "average": 0.0}
    folder = train(given, run=tmp_path / "run")
    said = capsys.readouterr().out
    settled = read_config(folder / "config.toml")
    before = load_run(source)
    after = load_run(folder)
    assert settled["model"] == before.config.sections()["model"] | {"species": [1, 6, 7, 8]}
    assert settled["start"]["run"] == str(source.resolve())
    assert json.loads((folder / "report.json").read_text())["start"] == settled["start"]
    assert "N added" in said
    assert "with its head" in said
    assert "frozen   backbone.embedding, backbone.layers.0" in said
    assert after.species == (1, 6, 7, 8)  # what the source knows, it still knows
    old, new = before.task.state_dict(), after.task.state_dict()
    assert torch.equal(new["backbone.embedding.species.weight"][[0, 1, 3]], old["backbone.embedding.species.weight"])
    graph = Graph(np.random.default_rng(3).normal(size=(6, 3)), z=[1, 6, 8, 8, 1, 6])
    torch.testing.assert_close(after.task(graph)["forces"], before.task(graph)["forces"], rtol=1e-4, atol=1e-5)
    references = new["references.values"]
    assert references[8] == old["references.values"][8]
    assert float(after.task(Graph(graph.pos, z=[1, 6, 7, 7, 1, 6]))["energy"]) == pytest.approx(-6000.0, abs=50.0)


@pytest.mark.parametrize(
    ("epochs", "batch_size", "warmup"), [(1, 5, 0), (20, 5, 4), (100, 3, 40), (400, 5, 20), (50, 64, 5)]
)
def test_the_usual_rate_is_suggested_and_rises_over_a_tenth_of_the_run(
    source: Path, amines: Path, epochs: int, batch_size: int, warmup: int
) -> None:
    """Of 10 frames: at most over ten epochs."""
    given = sections(amines, source)
    given["training"] = {"epochs": epochs, "batch_size": batch_size}
    sets = open_sets(check(as_given(given))[0], progress=False)
    settled = settle(sets, begun(sets, as_given(given))).training
    fresh = ForceField.pace.options(10, MODELS["painn"].CARD.rate)
    assert (settled.learning_rate, settled.warmup) == (fresh["learning_rate"], warmup)
    del given["start"]
    assert settle(sets, as_given(given)).training.warmup == 0


def test_the_users_rate_is_taken(source: Path, amines: Path, tmp_path: Path) -> None:
    given = sections(amines, source)
    given["training"] = {"epochs": 1, "certify": False, "threads": 1, "learning_rate": 0.01, "warmup": 3}
    given["model"] = {"species": [9]}
    settled = read_config(train(given, progress=False, run=tmp_path / "own") / "config.toml")
    assert (settled["training"]["learning_rate"], settled["training"]["warmup"]) == (0.01, 3)
    assert settled["model"]["species"] == [1, 6, 7, 8, 9]


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    state = load_checkpoint(folder / f"{name}.safetensors")
    return state["weights"] | {f"mean {k}": v for k, v in enumerate(state["average"]["mean"])}


def test_frozen_parts_keep_their_bits_and_the_run_resumes(source: Path, amines: Path, tmp_path: Path) -> None:
    """With its source gone, to the bits of a run that was not interrupted; averages are of what is trained."""
    moved = tmp_path / "source"
    shutil.copytree(source, moved)
    given = sections(amines, moved, freeze=["layers.*", "embedding"])
    whole = weights(train(given, progress=False, run=tmp_path / "whole"))
    given["training"] = OPTIONS | {"epochs": 1}
    folder = train(given, progress=False, run=tmp_path / "part")
    shutil.rmtree(moved)
    train({"training": {"epochs": 2}}, progress=False, run=folder, resume=True)
    resumed = weights(folder)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    kept, run = load_run(source).task, load_run(folder)
    for name, value in kept.backbone.layers.state_dict().items():
        assert torch.equal(run.task.backbone.layers.state_dict()[name], value)
    assert sum(name.startswith("mean") for name in whole) == sum(p.requires_grad for p in run.task.parameters()) == 4
    assert not torch.equal(
        run.task.head.state_dict()["mlp.layers.0.weight"], kept.head.state_dict()["mlp.layers.0.weight"]
    )
    with pytest.raises(InputError, match="'start' differs"):
        train({"start": {"freeze": []}}, progress=False, run=folder, resume=True)


def test_a_run_that_is_killed_before_its_first_epoch_begins_again(
    source: Path, amines: Path, tmp_path: Path, monkeypatch
) -> None:
    moved = tmp_path / "source"
    shutil.copytree(source, moved)
    given, folder = sections(amines, moved), tmp_path / "killed"

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "fit", killed)
        with pytest.raises(KeyboardInterrupt):
            train(given, progress=False, run=folder)
    whole = weights(train(given, progress=False, run=tmp_path / "whole"))
    again = weights(train(run=folder, resume=True, progress=False))
    assert all(torch.equal(whole[k], again[k]) for k in whole)
    for name in ("best", "last"):
        (folder / f"{name}.safetensors").unlink()
    state = load_checkpoint(moved / "best.safetensors")
    state["weights"]["head.mlp.layers.0.weight"][0] += 1.0
    save_checkpoint(moved / "best.safetensors", state)
    with pytest.raises(CheckpointError, match="weights have changed"):
        train(run=folder, resume=True, progress=False)


def test_another_task_takes_the_backbone_alone(
    source: Path, amines: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    given = sections(amines, source) | {"task": "property"}
    given["training"] = OPTIONS | {"learning_rate": 1e-9, "average": 0.0}
    run = load_run(train(given, run=tmp_path / "run"))
    assert "the backbone alone, the head is new" in capsys.readouterr().out
    old, new = load_run(source).task, run.task
    assert isinstance(new, Property)
    torch.testing.assert_close(new.backbone.layers.state_dict(), old.backbone.layers.state_dict(), rtol=0, atol=1e-7)
    assert not torch.equal(new.head.mlp.layers[0].weight, old.head.mlp.layers[0].weight)


def test_a_task_of_any_origin_is_a_file_to_begin_with(amines: Path, tmp_path: Path) -> None:
    """As converted models of mace-torch are: a head of their own, which is code of this package."""
    torch.manual_seed(0)
    small = {
        "width": 4,
        "lmax": 1,
        "cutoff": 3.0,
        "radial_size": 4,
        "radial_width": 8,
        "radial_layers": 1,
        "species": (8, 1),
    }
    field = MACEForceField(MODELS["mace"](**small), 4).double().eval()
    field.references.values[[1, 8]] = torch.tensor([-13.0, -2000.0], dtype=torch.float64)
    save_task(field, tmp_path / "field.safetensors", units={"energy": "eV"})
    again = load_run(tmp_path / "field.safetensors")
    water = Graph([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]], z=[8, 1, 1])
    assert torch.equal(again.task(water)["energy"], field(water)["energy"])
    run = load_run(train(sections(amines, tmp_path / "field.safetensors"), progress=False, run=tmp_path / "run"))
    assert isinstance(run.task, MACEForceField)
    assert run.config.training.precision == "float64"
    assert run.config.model.arguments["species"] == (1, 6, 7, 8)
    assert run.task.references.values[8] == -2000.0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model": {"width": 9}}, "model.width: 9, and the weights are of a model with 8"),
        ({"model": {"name": "schnet"}}, "model.name: the weights are of painn"),
        ({"model": {"name": "painn", "preset": "small"}}, "model.preset: the weights are of painn"),
        ({"start": {"freeze": ["layer.0"]}}, r"nothing is called 'layer.0'(.|\n)*'layers.0'"),
        ({"start": {"freeze": ["backbone", "head"]}}, "all weights are frozen"),
        ({"start": {"witch": "best"}}, "unknown key 'witch'"),
    ],
)
def test_what_the_weights_fix_is_not_changed(
    source: Path, amines: Path, tmp_path: Path, change: dict, what: str
) -> None:
    given = sections(amines, source) | {k: v for k, v in change.items() if k != "start"}
    given["start"] = given["start"] | change.get("start", {})
    with pytest.raises(InputError, match=what):
        train(given, progress=False, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_no_run_is_refused(source: Path, amines: Path, tmp_path: Path) -> None:
    def refusal(kind: type[Exception], path: Path, what: str, **change: Any) -> None:
        with pytest.raises(kind, match=what):
            train(sections(amines, path) | change, progress=False, run=tmp_path / "run")

    (tmp_path / "mace.model").write_bytes(b"PK")
    (tmp_path / "empty").mkdir()
    broken = shutil.copytree(source, tmp_path / "broken") / "best.safetensors"
    broken.write_bytes(broken.read_bytes()[:-9])
    refusal(InputError, tmp_path / "mace.model", "neither a run folder nor(.|\n)*from_mace")
    refusal(CheckpointError, tmp_path / "nowhere", "no such run folder")
    refusal(CheckpointError, tmp_path / "empty", "is not a run folder")
    refusal(CheckpointError, tmp_path / "broken", "not a whole checkpoint")
    state = load_checkpoint(source / "best.safetensors")
    state["config"]["model"]["name"] = "own_model:Model"
    save_checkpoint(tmp_path / "own.safetensors", state)
    refusal(NotAllowed, tmp_path / "own.safetensors", "--allow own_model")
    with pytest.raises(InputError, match=r"start\.freeze: frozen parts need trained weights"):
        train({"start": {"freeze": ["embedding"]}}, progress=False, run=tmp_path / "run")


def store(dimension: int = 3, unit: str = "eV", **fields: Any) -> GraphStore:
    generator = torch.Generator().manual_seed(0)
    graphs = [
        Graph(
            torch.randn(4, dimension, generator=generator).double(),
            z=[1, 6, 8, 1],
            homo=torch.ones(1).double(),
            **fields,
        )
        for _ in range(12)
    ]
    return GraphStore.from_graphs(graphs, name="orbitals", units={"homo": unit})


def test_data_that_the_weights_are_not_for(tmp_path: Path) -> None:
    """Another dimension, another unit, other inputs: each by name."""
    common = {"data": {"source": "orbitals", "target": "homo"}, "training": OPTIONS | {"epochs": 1}}
    flat = common | {"model": {"name": "egnn", "width": 8, "layers": 1}}
    first = train(flat, store=store(), progress=False, run=tmp_path / "first")
    begin = common | {"start": {"run": str(first)}}
    with pytest.raises(InputError, match="the weights are of 3 dimensions, the data of 2"):
        train(begin, store=store(2), progress=False, run=tmp_path / "run")
    with pytest.raises(InputError, match="homo is in Hartree, and the weights predict eV"):
        train(begin, store=store(unit="Hartree"), progress=False, run=tmp_path / "run")
    reads = flat | {"model": flat["model"] | {"node_inputs": ["charge"]}}
    charged = train(reads, store=store(charge=torch.ones(4).double()), progress=False, run=tmp_path / "charged")
    with pytest.raises(InputError, match=r"the weights can't read these data(.|\n)*charge"):
        train(common | {"start": {"run": str(charged)}}, store=store(), progress=False, run=tmp_path / "run")


def test_velocities_that_the_weights_do_not_read_are_named(tmp_path: Path) -> None:
    def moving(velocities: bool) -> GraphStore:
        generator = torch.Generator().manual_seed(0)
        graphs = []
        for _ in range(12):
            pos, vel = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
            graphs.append(Graph(pos, vel=vel, target_pos=pos + 0.1 * vel))
            if velocities:
                graphs[-1].charge = torch.ones(4, dtype=torch.float64)
        return GraphStore.from_graphs(graphs, name="moving", task="dynamics")

    common = {"data": {"source": "moving"}, "training": OPTIONS | {"epochs": 1}}
    first = train(
        common | {"model": {"name": "egnn", "width": 8, "layers": 1}},
        store=moving(False),
        progress=False,
        run=tmp_path / "first",
    )
    with pytest.raises(InputError, match=r"edge_inputs of the weights are \[\], these data have \['charge_product'\]"):
        train(common | {"start": {"run": str(first)}}, store=moving(True), progress=False, run=tmp_path / "run")


def test_the_same_command_goes_on(source: Path, amines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path of the weights, given again with resume, is that of the run; another one is refused."""
    monkeypatch.chdir(source.parent)
    given = sections(amines, Path(source.name))
    run = train(given, progress=False, run=tmp_path / "run")
    longer = {"start": given["start"], "training": {"epochs": 3}}
    assert load_checkpoint(train(longer, progress=False, run=run, resume=True) / "last.safetensors")["epoch"] == 3
    with pytest.raises(InputError, match="section 'start' differs"):
        train({"start": {"run": str(amines)}}, progress=False, run=run, resume=True)


def test_weights_that_know_all_species_still_do(molecules: Path, amines: Path, tmp_path: Path) -> None:
    every = {
        "data": {"source": str(molecules), "train": 20, "validation": 4, "test_size": 0},
        "model": {"name": "painn", "width": 8, "layers": 1, "radial_size": 6, "cutoff": 4.0, "species": "none"},
        "training": OPTIONS,
    }
    source = train(every, progress=False, run=tmp_path / "every")
    run = load_run(train(sections(amines, source), progress=False, run=tmp_path / "run"))
    assert run.config.model.arguments["species"] is None


@pytest.mark.parametrize("option", [{"which": "last"}, {"references": "keep"}, {"freeze": ["embedding"]}])
def test_options_of_no_start_are_refused(option: dict[str, Any], molecules: Path) -> None:
    with pytest.raises(InputError, match=r"start(.|\n)*--from RUN"):
        train({"data": {"source": str(molecules)}, "start": option}, progress=False)
