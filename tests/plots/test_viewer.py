"""The page of a density: one file that asks for nothing, whose numbers are the grid's and whose script finds the
surfaces that Python finds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from intertwine import plots
from intertwine.numerics import InputError
from intertwine.orbitals.grid import Grid
from intertwine.orbitals.isosurface import isosurface
from intertwine.plots.viewer import MOST_POINTS, decoded, encoded

ASSETS = files("intertwine.plots") / "assets"
WATER = np.array([[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]])
NUMBERS = np.array([8, 1, 1])
STEPS = torch.tensor([[0.22, 0.0, 0.0], [0.03, 0.2, 0.0], [0.0, 0.02, 0.24]], dtype=torch.float64)


def cloud(grid: Grid, shift: float = 0.0) -> np.ndarray:
    """A density of the size of water's: a cusp at each nucleus."""
    r = torch.cdist(grid.points(), torch.from_numpy(WATER) + shift)
    return (60 * torch.exp(-8 * r[:, 0]) + torch.exp(-2.5 * r).sum(1)).reshape(grid.counts).numpy()


def grid_of(count: int, steps: torch.Tensor = STEPS) -> Grid:
    counts = (count, count - 1, count - 2)
    return Grid(-0.5 * (torch.tensor(counts).to(steps) - 1) @ steps, steps, counts)


class Page(HTMLParser):
    """What is in a page: tags, links, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.words: dict[str, str] = {}
        self.scene = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for name, value in attributes if name in ("src", "href", "action", "data", "srcset")]
        if tag not in ("meta", "input", "br"):
            self.open.append("scene" if ("id", "scene") in attributes else tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() in (tag, "scene")

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        self.words[inside] = self.words.get(inside, "") + data


def test_the_page_is_whole_and_asks_for_nothing(tmp_path: Path) -> None:
    """It parses, has no address of another file, and its numbers are the grid's within half a step."""
    grid = grid_of(14)
    made, true = cloud(grid, 0.02), cloud(grid)
    path = plots.density_viewer(
        tmp_path / "density.html", made, grid, NUMBERS, WATER, true, title="a < b", caption="H2O & </script> run",
    )  # fmt: skip
    text = path.read_text()
    page = Page(text)
    assert not page.links
    assert not any(word in text for word in ("http", "@import", "url(", "import(", "fetch(", "XMLHttpRequest"))
    assert page.words["h1"] == "a < b"
    assert "H2O & </script> run" in page.words["p"]
    scene = json.loads(page.words["scene"])
    counts = tuple(scene["grid"]["counts"])
    values = [decoded(field).reshape(counts) for field in scene["fields"]]
    moved = np.linalg.solve(STEPS.numpy().T, np.array(scene["grid"]["origin"]) - grid.origin.numpy())
    first = np.rint(moved).astype(int)
    part = tuple(slice(a, a + n) for a, n in zip(first, counts))
    for field, got, expected in zip(scene["fields"], values, (made[part], (made - true)[part])):
        assert (np.abs(got - expected) <= 0.51 * field["step"] * np.hypot(expected, field["scale"])).all()
        assert 0 < field["step"] < 1e-3
    assert [atom["symbol"] for atom in scene["atoms"]] == ["O", "H", "H"]
    assert scene["bonds"] == [[0, 1], [0, 2]]
    turn = np.array(scene["turn"])
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    for level in scene["levels"]:
        assert 0 < level["least"] <= level["start"] < level["most"]
    assert scene["unit"] == "e/Bohr³"


def test_a_large_grid_is_thinned(tmp_path: Path) -> None:
    """A page of two densities of 1.2 million points is below 1.5 MB, and its surface has the area of the grid's."""
    grid = grid_of(108, STEPS / 3)
    made = cloud(grid)
    path = plots.density_viewer(tmp_path / "large.html", made, grid, NUMBERS, WATER, 0.9 * made)
    assert path.stat().st_size < 1.5e6
    scene = json.loads(Page(path.read_text()).words["scene"])
    counts = scene["grid"]["counts"]
    assert np.prod(counts) <= MOST_POINTS
    origin, steps = (torch.tensor(scene["grid"][name], dtype=torch.float64) for name in ("origin", "steps"))
    thin = Grid(origin, steps, tuple(counts))
    values = torch.from_numpy(decoded(scene["fields"][0])).reshape(counts)
    area = isosurface(torch.from_numpy(made), grid, 0.05).area()
    assert isosurface(values, thin, 0.05).area() == pytest.approx(area, rel=0.01)


def test_numbers_as_sixteen_bits() -> None:
    """Small ones are kept beside large ones, zeros are zeros to the scale, and a constant is itself."""
    values = np.array([-3e-2, 0.0, 1e-5, 2e-3, 0.5, 300.0])
    field = encoded(values, 1e-3)
    np.testing.assert_allclose(decoded(field), values, rtol=2e-4, atol=2e-7)
    np.testing.assert_allclose(decoded(encoded(np.full(4, 0.25), 1e-3)), 0.25)


def test_a_density_alone_and_bad_input(tmp_path: Path) -> None:
    grid = grid_of(9)
    made = cloud(grid)
    scene = json.loads(
        Page(plots.density_viewer(tmp_path / "one.html", made, grid, NUMBERS, WATER).read_text()).words["scene"]
    )
    assert [surface["name"] for surface in scene["surfaces"]] == ["predicted"]
    assert len(scene["fields"]) == len(scene["levels"]) == 1
    with pytest.raises(InputError, match="true: values of shape"):
        plots.density_viewer(tmp_path / "two.html", made, grid, NUMBERS, WATER, made[1:])
    with pytest.raises(InputError, match="not finite"):
        plots.density_viewer(tmp_path / "two.html", np.where(made > 1, np.inf, made), grid, NUMBERS, WATER)
    assert not (tmp_path / "two.html").exists()


def in_node(script: str, given: object) -> Any:
    """What a script of node prints, which has ``given``, and the functions of the page as ``Surfaces``."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    head = f"const Surfaces = require({json.dumps(str(ASSETS / 'surfaces.js'))});"
    head += "const given = JSON.parse(require('fs').readFileSync(0));"
    text = json.dumps(given)
    run = subprocess.run([node, "-e", head + script], input=text, capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


@pytest.mark.parametrize("steps", [STEPS, STEPS.flip(0)], ids=["skewed", "left-handed"])
def test_the_script_finds_the_surfaces_that_python_finds(steps: torch.Tensor) -> None:
    """The same vertices and triangles, of both signs, with normals that point outwards."""
    grid = grid_of(15, steps)
    difference = cloud(grid, 0.05) - cloud(grid)
    field = encoded(difference, 1e-3)
    document = {"origin": grid.origin.tolist(), "steps": grid.steps.tolist(), "counts": list(grid.counts)}
    cases = [[0.01, 1], [0.01, -1], [1e9, 1]]
    script = """
        const values = Surfaces.combined([Surfaces.decode(given.field)], [1]);
        const found = given.cases.map(([level, sign]) => {
          const s = Surfaces.isosurface(values, given.grid, level, sign);
          return [s.positions, s.normals, s.triangles].map((array) => Array.from(array));
        });
        console.log(JSON.stringify({ found, values: Array.from(values) }));"""
    answer = in_node(script, {"field": field, "grid": document, "cases": cases})
    values = torch.tensor(answer["values"], dtype=torch.float64).reshape(grid.counts)
    np.testing.assert_allclose(values.flatten().numpy(), decoded(field), rtol=1e-6, atol=1e-9)
    for (level, sign), (positions, normals, triangles) in zip(cases, answer["found"], strict=True):
        ours = isosurface(sign * values, grid, level)
        place, facing = (np.array(x).reshape(-1, 3) for x in (positions, normals))
        theirs = np.array(triangles, dtype=int).reshape(-1, 3)
        assert len(theirs) == len(ours.triangles)
        assert len(place) == len(ours.vertices)
        if not len(theirs):
            continue
        near = torch.cdist(torch.from_numpy(place), ours.vertices).min(1)
        assert float(near.values.max()) < 1e-5
        assert len(set(near.indices.tolist())) == len(place)
        same = near.indices.numpy()[theirs]
        assert {tuple(np.roll(t, -t.argmin())) for t in same} == {
            tuple(np.roll(t, -t.argmin())) for t in ours.triangles.numpy()
        }
        np.testing.assert_allclose(np.linalg.norm(facing, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_script_knows_which_way_a_surface_faces(sign: int) -> None:
    """The normals of a sphere are along its radii, away from where the value times the sign is large."""
    grid = grid_of(17)
    field = encoded(sign * np.exp(-grid.points().square().sum(1).numpy()), 1e-2)
    document = {"origin": grid.origin.tolist(), "steps": grid.steps.tolist(), "counts": list(grid.counts)}
    script = """
        const s = Surfaces.isosurface(Surfaces.decode(given.field), given.grid, 0.4, given.sign);
        console.log(JSON.stringify([s.positions, s.normals].map((array) => Array.from(array))));"""
    place, facing = in_node(script, {"field": field, "grid": document, "sign": sign})
    place, facing = (np.array(x).reshape(-1, 3) for x in (place, facing))
    assert len(place) > 300
    assert ((place * facing).sum(1) > 0.99 * np.linalg.norm(place, axis=1)).all()
