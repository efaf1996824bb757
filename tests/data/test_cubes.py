"""Cube files: what other programs write, what they read, units, skewed steps, several values, damage."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.io.cube import read_cube_data

from intertwine.data.cube import Cube, as_written, read_cube, require_density, write_cube
from intertwine.numerics import DataError, InputError
from intertwine.orbitals import reordered
from intertwine.orbitals.basis import BOHR
from intertwine.orbitals.grid import Grid, grid_around
from intertwine.orbitals.named import pyscf_basis
from intertwine.orbitals.values import matrix_density

NUMBERS = torch.tensor([3, 1])
POS = torch.tensor([[0.1, -0.2, 0.3], [0.2, 0.5, 1.7]], dtype=torch.float64)
SKEWED = torch.tensor([[0.3, 0.1, 0.0], [-0.1, 0.25, 0.05], [0.02, -0.2, 0.4]], dtype=torch.float64)


def some_cube(steps: torch.Tensor = SKEWED, counts: tuple[int, int, int] = (3, 2, 7), several: int = 1) -> Cube:
    values = torch.randn(*counts, several, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Cube(NUMBERS, POS, Grid(torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64), steps, counts), values)


def changed(path: Path, line: int, text: str | None) -> Path:
    """The file with another line, which counts from 1; None takes it and what follows away."""
    lines = path.read_text().splitlines()
    lines[line - 1 :] = [] if text is None else [text, *lines[line:]]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("steps", [SKEWED, torch.eye(3).double() * 0.2, SKEWED.flip(0)])
@pytest.mark.parametrize(("several", "orbitals"), [(1, ()), (2, ()), (3, (4, 5, 11)), (1, (7,))])
def test_what_is_written_is_read(tmp_path: Path, steps: torch.Tensor, several: int, orbitals: tuple[int, ...]) -> None:
    cube = some_cube(steps, several=several)._replace(orbitals=orbitals, comment="one\ntwo")
    write_cube(tmp_path / "a.cube", cube)
    (tmp_path / "a.cube.gz").write_bytes(gzip.compress((tmp_path / "a.cube").read_bytes()))
    for name in ("a.cube", "a.cube.gz"):
        back = read_cube(tmp_path / name)
        torch.testing.assert_close(back.values, cube.values, rtol=6e-6, atol=0)
        torch.testing.assert_close(back.grid.steps, steps, rtol=0, atol=3e-7)
        torch.testing.assert_close(back.grid.origin, cube.grid.origin, rtol=0, atol=3e-7)
        torch.testing.assert_close(back.pos, POS, rtol=0, atol=3e-7)
        assert (back.orbitals, back.comment, back.grid.counts) == (orbitals, "one\ntwo", cube.grid.counts)
        assert back.numbers.tolist() == back.charges.tolist() == [3, 1]


def test_ase_reads_what_is_written(tmp_path: Path) -> None:
    cube = some_cube()
    write_cube(tmp_path / "a.cube", cube)
    values, atoms = read_cube_data(str(tmp_path / "a.cube"))
    np.testing.assert_allclose(values, cube.values[..., 0], rtol=6e-6)
    np.testing.assert_allclose(atoms.positions, POS, atol=1e-6)
    np.testing.assert_allclose(atoms.cell[:], SKEWED * torch.tensor([[3], [2], [7]]), atol=1e-5)


def test_the_density_that_pyscf_writes(tmp_path: Path) -> None:
    """Read, and ours at the points of its grid: to the digits of the file. PySCF reads what we write."""
    gto, cubegen = pytest.importorskip("pyscf.gto"), pytest.importorskip("pyscf.tools.cubegen")
    basis = pyscf_basis("6-31g", [1, 3])
    molecule = gto.M(atom=list(zip([3, 1], POS.tolist(), strict=True)), basis="6-31g", verbose=0)
    C = torch.randn(molecule.nao, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    theirs = 2 * C @ C.T
    cubegen.density(molecule, str(tmp_path / "theirs.cube"), theirs.numpy(), nx=9, ny=8, nz=7)
    cube = read_cube(tmp_path / "theirs.cube")
    assert cube.numbers.tolist() == [3, 1]
    assert cube.nuclear_charge() == 4  # PySCF writes zeros
    torch.testing.assert_close(cube.pos, POS, rtol=0, atol=1e-6)
    degrees = [shell.degree for z in (3, 1) for shell in basis.of(z)]
    D = reordered(theirs, degrees, "pyscf", "intertwine").unsqueeze(0)
    points = torch.from_numpy(cubegen.Cube(molecule, 9, 8, 7).get_coords()) * BOHR
    torch.testing.assert_close(cube.grid.points(), points, rtol=0, atol=1e-5)  # six decimals, eight steps
    ours = matrix_density(basis, NUMBERS, POS.unsqueeze(0), D, points.unsqueeze(0))[0]
    torch.testing.assert_close(ours, cube.values.flatten(), rtol=1e-5, atol=1e-9)
    write_cube(tmp_path / "ours.cube", cube)
    np.testing.assert_allclose(
        cubegen.Cube(molecule).read(str(tmp_path / "ours.cube")), cube.values[..., 0].numpy(), rtol=6e-6
    )


def test_negative_counts_mean_angstrom(tmp_path: Path) -> None:
    write_cube(tmp_path / "a.cube", some_cube())
    bohr = read_cube(tmp_path / "a.cube")
    lines = (tmp_path / "a.cube").read_text().splitlines()
    for k in (3, 4, 5):
        count, *rest = lines[k].split()
        lines[k] = f"-{count} {' '.join(rest)}"
    (tmp_path / "b.cube").write_text("\n".join(lines))
    angstrom = read_cube(tmp_path / "b.cube")
    assert angstrom.grid.counts == bohr.grid.counts
    for a, b in ((angstrom.pos, bohr.pos), (angstrom.grid.steps, bohr.grid.steps),
                 (angstrom.grid.origin, bohr.grid.origin)):  # fmt: skip
        torch.testing.assert_close(a * BOHR, b)
    torch.testing.assert_close(angstrom.values, bohr.values)


def test_numbers_that_fortran_writes(tmp_path: Path) -> None:
    write_cube(tmp_path / "a.cube", some_cube(counts=(1, 2, 3)))
    changed(tmp_path / "a.cube", 9, " 1.50000D-01 2.00000-101 -3.0d+00")
    values = read_cube(tmp_path / "a.cube").values.flatten()[:3].tolist()
    assert values == [0.15, 2e-101, -3.0]


@pytest.mark.parametrize(
    ("line", "text", "said"),
    [
        (3, None, "line 3: the file ends before its values"),
        (8, None, "line 8: the file ends before its values"),
        (3, "2 0.0 0.0", "line 3: '2 0.0 0.0': a cube file has 4 or 5 numbers"),
        (3, "2 0.0 0.0 oops", "line 3: 'oops' is no number"),
        (3, "-2 0.0 0.0 0.0", "line 9: .* is no whole number"),
        (4, "-3 0.1 0 0", "line 4: counts of -3, 2 and 7 points"),
        (4, "0 0.1 0 0", "line 4: counts of 0, 2 and 7 points"),
        (5, "2 0.566918 0.188973 0.0", "line 4: the three steps span no volume"),
        (5, "2 nan 0.188973 0.0", "line 5: nan is not finite"),
        (7, "3.5 3.0 0 0 0", "line 7: 3.5 is no whole number"),
        (12, "  0.1 0.2 x.3", "line 12: 'x.3' is no number"),
        (11, "  0.1 0.2 0.3 0.4 0.5 inf", "line 11: a value is not finite"),
        (12, "  0.1 0.2", "the file has .* values, and its first lines say 42"),
        (12, None, "the file has .* values, and its first lines say 42"),
    ],
)
def test_damage_is_named_with_its_line(tmp_path: Path, line: int, text: str | None, said: str) -> None:
    write_cube(tmp_path / "a.cube", some_cube())
    with pytest.raises(DataError, match=said) as told:
        read_cube(changed(tmp_path / "a.cube", line, text))
    assert "a.cube, line" in str(told.value)
    assert "Remedy" in str(told.value)


def test_what_is_no_cube(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_cube(tmp_path / "none.cube")
    (tmp_path / "bytes.cube").write_bytes(bytes(range(200, 256)))
    with pytest.raises(DataError, match="is no text"):
        read_cube(tmp_path / "bytes.cube")
    cube = some_cube()
    for bad, said in (
        (cube._replace(values=cube.values * torch.nan), "not finite"),
        (cube._replace(values=cube.values[:2]), "values of shape"),
        (cube._replace(orbitals=(1, 2)), "2 orbitals"),
    ):
        with pytest.raises(InputError, match=said):
            write_cube(tmp_path / "c.cube", bad)
    assert not (tmp_path / "c.cube").exists()


def gaussian(unit: float = 1.0) -> Cube:
    """Four electrons in one smooth Gaussian, whose sum over a grid is exact to all digits."""
    grid = as_written(grid_around(POS, spacing=0.3))
    r = (grid.points() - POS.mean(0)) / BOHR
    values = 4 * (0.5 / torch.pi) ** 1.5 * torch.exp(-0.5 * r.square().sum(1))
    return Cube(NUMBERS, POS, grid, unit * values.reshape(*grid.counts, 1))


@pytest.mark.parametrize(
    ("stretch", "unit", "said"),
    [
        (BOHR, 1.0, "lengths are in A and are said to be in Bohr"),
        (1 / BOHR, 1.0, "lengths are in Bohr and are said to be in A"),
        (1.0, BOHR**-3, "values are in e / A"),
        (1.0, 0.5, "it is no density"),
    ],
)
def test_a_density_in_other_units_is_found_by_its_electrons(stretch: float, unit: float, said: str) -> None:
    assert require_density(gaussian()) == pytest.approx(4, abs=1e-4)
    cube = gaussian(unit)
    with pytest.raises(DataError, match=said):
        require_density(cube._replace(grid=cube.grid._replace(steps=cube.grid.steps * stretch)))
    with pytest.raises(DataError, match="2 values of each point"):
        require_density(cube._replace(values=cube.values.expand(-1, -1, -1, 2)))


@pytest.mark.parametrize(("spacing", "margin"), [(0.0, 1.0), (-0.1, 1.0), (0.1, -1.0), (float("nan"), 1.0)])
def test_grids_that_cannot_be(spacing: float, margin: float) -> None:
    with pytest.raises(InputError, match="give positive lengths"):
        grid_around(POS, spacing, margin)
    with pytest.raises(InputError, match="give a larger one"):
        grid_around(POS, 0.001)


def test_a_grid_is_around_the_atoms() -> None:
    grid = grid_around(POS, 0.25, 1.0)
    points = grid.points()
    assert bool((points.min(0).values <= POS.min(0).values - 1 + 1e-9).all())
    assert bool((points.max(0).values >= POS.max(0).values + 1 - 1e-9).all())
    assert grid.size == len(points)
    torch.testing.assert_close(grid.points(5, 9), points[5:9])
    torch.testing.assert_close(points.reshape(*grid.counts, 3)[1, 2, 3] - points[0], 0.25 * torch.tensor([1, 2, 3.0]),
                               check_dtype=False)  # fmt: skip
