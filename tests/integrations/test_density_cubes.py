"""Predicted densities as cube files and as pages: of a task, and by the command."""

from __future__ import annotations

import json
import re
import warnings
from functools import partial
from pathlib import Path

import pytest
import torch
from ase import Atoms
from ase.io import write
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.data.cube import read_cube, write_cube
from intertwine.data.water import water
from intertwine.geometry import Graph
from intertwine.integrations.density_cubes import molecular_cube, write_density_cubes
from intertwine.integrations.density_viewers import write_viewer
from intertwine.models import SchNet
from intertwine.numerics import Caution, InputError
from intertwine.orbitals import Basis, BlockLayout, Shell, orbital_matrix
from intertwine.orbitals.grid import Grid
from intertwine.orbitals.values import expanded_density, matrix_density
from intertwine.plots.viewer import decoded
from intertwine.tasks import ForceField
from intertwine.training import load_run, predict, train

CORE = {8: [(0, 0.5 * 3.5**k) for k in range(6)] + [(1, 0.7)], 1: [(0, 0.4), (0, 2.0)]}
FEW = Basis("few", {z: tuple(Shell(l, (a,), (1.0,)) for l, a in ones) for z, ones in CORE.items()}).to_json()


@pytest.fixture(scope="module")
def store():
    return water(target="density")


@pytest.fixture(scope="module")
def run(store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cubes") / "run"
    sections = {
        "data": {"target": "density", "train": 4, "validation": 2, "test_size": 2},
        "task": {"auxiliary": FEW},
        "model": {"width": 4, "layers": 1},
        "training": {"epochs": 1, "batch_size": 4, "certify": False, "threads": 1},
    }
    train(sections, store=store, run=folder, progress=False)
    return folder


def test_the_command_writes_cubes(run: Path, store, tmp_path: Path) -> None:
    """Values at the points of the files are those of the prediction, and the note counts their electrons."""
    frames = [Atoms(store[k].z.numpy(), positions=store[k].pos.numpy()) for k in range(3)]
    write(tmp_path / "in.xyz", frames, format="extxyz")
    command = ["predict", str(run), str(tmp_path / "in.xyz"), "--cube", str(tmp_path / "cubes"), "--spacing", "0.4"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "wrote 3 densities" in result.stderr
    assert "too coarse to count electrons" in result.stderr
    trained = load_run(run)
    for k, made in enumerate(predict(trained, frames)):
        cube = read_cube(tmp_path / "cubes" / f"density-{k}.cube")
        c = trained.task.form.layout.to_orbitals(store[k].z, torch.as_tensor(made["coefficients"]).double()).unsqueeze(
            0
        )
        pos, points = store[k].pos.double().unsqueeze(0), cube.grid.points().unsqueeze(0)
        ours = expanded_density(trained.task.form.basis, store[k].z, pos, c, points)[0]
        torch.testing.assert_close(cube.values.flatten(), ours, rtol=1e-5, atol=1e-5)
    assert "is there already" in CliRunner().invoke(app, command).stderr
    assert CliRunner().invoke(app, [*command, "--overwrite"]).exit_code == 0
    for spacing, said in (("-1", "give positive lengths"), ("0.001", "give a larger one")):
        refused = CliRunner().invoke(app, [*command[:-1], spacing, "--overwrite"])
        assert refused.exit_code != 0
        assert said in refused.stderr
    assert "a spacing without cubes" in CliRunner().invoke(app, [*command[:3], "--spacing", "0.2"]).stderr


def scene_of(page: Path) -> dict:
    """What a page has to show."""
    return json.loads(re.findall(r'id="scene">(.*?)</script>', page.read_text(), re.DOTALL)[0])


def values_of(scene: dict, field: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The points of a page's grid, and a field at them."""
    grid = scene["grid"]
    origin, steps = (torch.tensor(grid[name], dtype=torch.float64) for name in ("origin", "steps"))
    points = Grid(origin, steps, tuple(grid["counts"])).points()
    return points, torch.from_numpy(decoded(scene["fields"][field]))


def test_the_run_folder_has_surfaces_and_a_page(run: Path, store) -> None:
    """Of a molecule of the test set: as predicted, and the difference from the label."""
    assert {"density.png", "density_surface.png", "density.html"} <= {file.name for file in run.iterdir()}
    scene = scene_of(run / "density.html")
    assert [surface["name"] for surface in scene["surfaces"]] == [
        "predicted", "true", "predicted above true", "predicted below true"
    ]  # fmt: skip
    assert re.search(r"<p>H2O of the test set of the run run: NMAPE [\d.]+ %</p>", (run / "density.html").read_text())
    trained = load_run(run)
    pos = torch.tensor([atom["position"] for atom in scene["atoms"]])
    (number,) = (k for k in range(len(store)) if torch.allclose(store[k].pos.float(), pos, rtol=0, atol=1e-5))
    graph = store[number]
    (made,) = predict(trained, [graph])
    points, values = values_of(scene)
    some = slice(0, None, 97)
    ours = trained.task.values(graph, torch.as_tensor(made["coefficients"]), points[some])
    torch.testing.assert_close(values[some], ours, rtol=1e-3, atol=1e-5)
    D = orbital_matrix(trained.task.orbitals, graph.z, graph.density.double()).unsqueeze(0)
    true = matrix_density(trained.task.basis, graph.z, graph.pos.double().unsqueeze(0), D, points[some].unsqueeze(0))[0]
    torch.testing.assert_close(values_of(scene, 1)[1][some], ours - true, rtol=1e-3, atol=1e-4)


def test_the_command_writes_pages(run: Path, store, tmp_path: Path) -> None:
    frames = [Atoms(store[k].z.numpy(), positions=store[k].pos.numpy()) for k in range(2)]
    write(tmp_path / "in.xyz", frames, format="extxyz")
    command = ["predict", str(run), str(tmp_path / "in.xyz"), "--viewer", str(tmp_path / "pages"), "--limit", "1"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "wrote 1 pages" in result.stderr
    page = tmp_path / "pages" / "density-0.html"
    assert page.stat().st_size < 1.5e6
    assert "H2O: predicted for frame 0 of in.xyz" in page.read_text()
    points, values = values_of(scene_of(page))
    trained = load_run(run)
    (made,) = predict(trained, frames[:1])
    graph = Graph(frames[0].positions, z=frames[0].numbers)
    ours = trained.task.values(graph, torch.as_tensor(made["coefficients"]), points[::97])
    torch.testing.assert_close(values[::97], ours, rtol=1e-3, atol=1e-5)
    assert "is there already" in CliRunner().invoke(app, command).stderr
    assert "a file, not a folder" in CliRunner().invoke(app, [*command[:4], str(page)]).stderr


def test_cubes_as_a_page(store, tmp_path: Path) -> None:
    """Two cubes of files on one grid; others are refused."""
    graph, basis = store[0], Basis.from_json(store.about["basis"])
    D = orbital_matrix(BlockLayout(basis), graph.z, graph.density).unsqueeze(0)
    pos = graph.pos.unsqueeze(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Caution)
        density = partial(matrix_density, basis, graph.z, pos, D)
        cube = molecular_cube(graph.z, graph.pos, density, 0.5, 3.0, "label")
    write_cube(tmp_path / "a.cube", cube)
    first, second = (read_cube(tmp_path / "a.cube") for _ in range(2))
    second = second._replace(values=1.1 * second.values)
    page = write_viewer(tmp_path / "both.html", second, first, names=("fit", "label"), title="water")
    scene = scene_of(page)
    assert [surface["name"] for surface in scene["surfaces"]][:2] == ["fit", "label"]
    assert "<h1>water</h1>" in page.read_text()
    assert "<p>label</p>" in page.read_text()
    part = values_of(scene)[1]
    torch.testing.assert_close(values_of(scene, 1)[1], part / 11, rtol=1e-2, atol=1e-4)
    assert float(part.max()) == pytest.approx(float(second.values.max()), rel=1e-3)
    with pytest.raises(InputError, match="2 values of each point"):
        write_viewer(tmp_path / "c.html", first._replace(values=first.values.repeat(1, 1, 1, 2)))
    moved = first._replace(grid=first.grid._replace(origin=first.grid.origin + 0.1))
    with pytest.raises(InputError, match="in other places"):
        write_viewer(tmp_path / "c.html", first, moved)


def test_what_has_no_cube(run: Path, store, tmp_path: Path) -> None:
    task = load_run(run).task
    crystal = Atoms("OH2", store[0].pos.numpy(), cell=[5, 5, 5], pbc=True)
    with pytest.raises(InputError, match="a periodic structure"):
        write_density_cubes([tmp_path / "a.cube"], [crystal], [{}], task)
    with pytest.raises(InputError, match="predicts no density"):
        write_density_cubes([], [], [], ForceField(SchNet(width=8, layers=1, species=[1, 8])))


@pytest.mark.parametrize("spacing", [0.5, 0.3, 0.2])
def test_a_label_on_a_coarse_grid_says_what_it_misses(store, spacing: float) -> None:
    graph, basis = store[0], Basis.from_json(store.about["basis"])
    D = orbital_matrix(BlockLayout(basis), graph.z, graph.density).unsqueeze(0)
    pos = graph.pos.unsqueeze(0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        cube = molecular_cube(graph.z, graph.pos, lambda p: matrix_density(basis, graph.z, pos, D, p), spacing, 2.5)
    assert [warning.category for warning in told] == [Caution]
    missing = cube.nuclear_charge() - float(cube.integral()[0])
    assert f"{abs(missing):.3g} of 10" in str(told[0].message)
