"""The lectures' notebooks run with only the import changed and print the lectures' numbers, to the last digit shown."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from switches import as_users_run_it

ROOT = Path(__file__).resolve().parents[1]
LECTURES = ROOT / "docs" / "lectures"
SEEDS = ROOT.parent / "shared" / "seeds"
NUMBER = re.compile(r"(?<![\w.])-?\d+\.\d*")

# what each cell prints in the lecture; a cell is known by a line of its code
PRODUCTS = {
    "rot_x = o3.matrix_x(torch.tensor(3.14 / 3.0)).squeeze()": """
        tensor([[ 1.0000,  0.0000,  0.0000],
                [ 0.0000,  0.5005, -0.8658],
                [ 0.0000,  0.8658,  0.5005]])""",
    "prod = torch.kron(v1, v2.T)": "tensor([[ 1.,  2.,  3.], [ 5., 10., 15.], [ 1.,  2.,  3.]])",
    "prod_rot = torch.kron(v1_rot, v2_rot.T)": """
        tensor([[ 1.0000, -1.5964,  3.2329],
                [ 1.6365, -2.6125,  5.2988],
                [ 4.8293, -7.7092, 15.6125]])""",
    "torch.trace(prod)": "tensor(14.)",
    "torch.trace(prod_rot)": "tensor(14.0000)",
    "extract_vector(prod)": "tensor([13., -2., -3.])",
    "extract_vector(prod_rot)": "tensor([13.0000,  1.5964, -3.2329])",
    "extract_vector(prod) @ rot_x.T": "tensor([13.0000,  1.5964, -3.2329])",
}
SPHERICAL = {
    "print(x)": "tensor([-0.1222, -0.7573,  1.0416]) tensor([ 0.3303,  0.5315, -1.0235])",
    "outter = torch.einsum('i,j', x, y)": """
        tensor([[ -0.0404, -0.0650,  0.1251],
                [-0.2501, -0.4025,  0.7750],
                [ 0.3440,  0.5536, -1.0661]])
        tensor(-1.5089)
        tensor([0.2214, 0.2189, 0.1851])""",
    "print(R)": """
        tensor([[ 0.1437, -0.9875, 0.0642],
                [ 0.9593, 0.1549, 0.2360],
                [-0.2430, 0.0276, 0.9696]])
        tensor([[ -0.4329, 0.1256, -0.8433],
                [-0.0061, 0.0018, -0.0119],
                [-0.5532, 0.1606, -1.0778]])
        tensor(-1.5089)
        tensor([-0.1725, 0.2900, 0.1317])""",
    "print(r_x)": "tensor([0.7971, 0.0112, 1.0188]) tensor([-0.5431, 0.1576, -1.0580])",
    "rotate_outter = torch.einsum('ijkl,jl', R_outter, outter)": """
        tensor([[ -0.4329,  0.1256, -0.8433],
                [ -0.0061,  0.0018, -0.0119],
                [ -0.5532,  0.1606, -1.0778]])
        tensor(-1.5089)
        tensor([ -0.1725,  0.2900,  0.1317])""",
    "irreps_xy = tp(x, y)": """
        tensor([[-0.8712,  0.1566,  0.1548,  0.1309,  0.3317, -0.2228,  0.1231,  0.9395, -0.7253]])
        tensor([[-0.8712, -0.1220,  0.2051,  0.0932, -0.9875,  0.0845,  0.6182,  0.1052, -0.4561]])""",
    "D = tp.irreps_out.D_from_matrix(R)": """
        tensor([-0.8712, -0.1220,  0.2051,  0.0932, -0.9875,  0.0845,  0.6182,  0.1052, -0.4561])""",
}
MISPRINTS = {"prod_rot = torch.kron(v1_rot, v2_rot.T)": {5.2988: 5.2908}}  # of the slide: see test_the_misprint_is_one
PAGES = {"products_of_vectors": ("003", PRODUCTS), "spherical_basis": ("004", SPHERICAL)}
ADDED = {  # lines that are not the lectures'
    "import matplotlib.pyplot as plt",
    "import torch",
    "from intertwine import o3",  # the changed import
    "from intertwine import plots",
    "plots.representation(tp.irreps_out, R)",
    "plots.paths(tp)",
}
DRAWN = {  # what the lecture drew at random
    "x": ([-0.1222, -0.7573, 1.0416], "irreps_x.randn(-1)"),
    "y": ([0.3303, 0.5315, -1.0235], "irreps_y.randn(-1)"),
    "R": ([[0.1437, -0.9875, 0.0642], [0.9593, 0.1549, 0.2360], [-0.2430, 0.0276, 0.9696]], "o3.rand_matrix()"),
}


@pytest.fixture(autouse=True)
def _no_figure_stays_open() -> Iterator[None]:
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


each_page = pytest.mark.parametrize("page", PAGES)


def cells(page: str) -> list[dict[str, Any]]:
    notebook = json.loads((LECTURES / f"{page}.ipynb").read_text())
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def numbers(text: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(text)]


def execute(page: str, imported: str = "from intertwine import o3") -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Names at the end, and for each cell its code and what it shows: what it prints, then its last expression unless a
    ; ends it.
    """
    names: dict[str, Any] = {}
    shown = []
    for cell in cells(page):
        source = "".join(cell["source"])
        body = ast.parse(source.replace("from intertwine import o3", imported)).body
        last = ast.Expression(body.pop().value) if isinstance(body[-1], ast.Expr) and not source.endswith(";") else None
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(ast.Module(body, []), page, "exec"), names)
            if last is not None and (value := eval(compile(last, page, "eval"), names)) is not None:
                print(repr(value))
        shown.append((source, printed.getvalue()))
    return names, shown


@each_page
@pytest.mark.parametrize("imported", ["from intertwine import o3", "from intertwine.e3nn import o3"])
def test_cells_print_the_lectures_numbers(page: str, imported: str) -> None:
    expected = dict(PAGES[page][1])
    _, shown = execute(page, imported)
    for source, printed in shown:
        keys = [key for key in expected if key in source.splitlines()]
        for key in keys:
            misprints = MISPRINTS.get(key, {})
            assert numbers(printed) == [misprints.get(number, number) for number in numbers(expected.pop(key))], key
        assert keys or not numbers(printed), f"the lecture prints nothing for {source}"
    assert not expected, "cells that are missing"


def test_the_misprint_is_one() -> None:
    """The slide's matrix and the vector that it extracts from that matrix differ by it."""
    slide = torch.tensor(numbers(PRODUCTS["prod_rot = torch.kron(v1_rot, v2_rot.T)"])).reshape(3, 3)
    extracted = numbers(PRODUCTS["extract_vector(prod_rot)"])
    assert abs(slide[1, 2] - slide[2, 1] - extracted[0]) > 0.0079
    assert abs(5.2908 - slide[2, 1] - extracted[0]) < 1e-4


@each_page
def test_stored_outputs_are_those_of_today(page: str) -> None:
    _, shown = execute(page)
    for cell, (_, printed) in zip(cells(page), shown):
        stored = "".join(
            "".join(output.get("text", output.get("data", {}).get("text/plain", "")))
            for output in cell["outputs"]
            if "image/png" not in output.get("data", {})
        )
        assert numbers(stored) == numbers(printed)


def test_the_two_images_of_the_lecture_are_drawn_and_stored() -> None:
    names, _ = execute("spherical_basis")
    from matplotlib import pyplot

    assert names["D"].shape == (9, 9)
    assert pyplot.gca().images[0].get_clim() == (-1, 1)
    torch.testing.assert_close(torch.tensor(pyplot.gca().images[-1].get_array().data), names["D"])
    pictured = [
        cell
        for cell in cells("spherical_basis")
        if any("image/png" in output.get("data", {}) for output in cell["outputs"])
    ]
    assert [cell["source"][-1] for cell in pictured] == [
        "plt.imshow(torch.kron(R, R), cmap='bwr', vmin=-1, vmax=1);",
        "plt.imshow(D, cmap='bwr', vmin=-1, vmax=1);",
        "plots.representation(tp.irreps_out, R)",
        "plots.paths(tp)",
    ]


def test_the_page_on_lifting_holds() -> None:
    """Its statements are asserted in its cells."""
    names, _ = execute("lifting")
    stored = cells("lifting")
    assert sum("image/png" in output.get("data", {}) for cell in stored for output in cell["outputs"]) == 4
    placed = {name for members in names["square"].values() for name in members}
    assert placed == set(names["MODELS"])


def test_the_page_on_averaging_holds() -> None:
    """Its statements are asserted in its cells; the pictures are there, and pyridine is the lecture's."""
    kept = torch.get_default_dtype()
    try:
        with as_users_run_it():
            names, _ = execute("averaging")
    finally:
        torch.set_default_dtype(kept)
    stored = cells("averaging")
    assert sum("image/png" in output.get("data", {}) for cell in stored for output in cell["outputs"]) == 3
    files = sorted(SEEDS.glob("002_*.txt"))
    if files:
        printed = re.findall(r"-0\.180226841\t(\S+)\t(\S+)", files[0].read_text())
        assert [[float(value) for value in row] for row in printed] == names["pyridine"].pos[:, 1:].tolist()


def test_the_page_on_electrons_holds() -> None:
    """Its statements are asserted in its cells; the pictures are there, and the equations are the lecture's."""
    kept = torch.get_default_dtype()
    try:
        with as_users_run_it():
            names, _ = execute("electrons")
    finally:
        torch.set_default_dtype(kept)
    stored = cells("electrons")
    assert sum("image/png" in output.get("data", {}) for cell in stored for output in cell["outputs"]) == 9
    assert names["task"].name == "hamiltonian"
    files = sorted(SEEDS.glob("003_*.txt"))
    if files:
        lecture = files[0].read_text()
        assert "Electron density prediction" in lecture
        assert "Linear combination of atomic orbitals" in lecture


def test_values_drawn_at_random_are_the_printed_ones() -> None:
    names, _ = execute("spherical_basis")
    for name, (printed, _) in DRAWN.items():
        torch.testing.assert_close(names[name], torch.tensor(printed), atol=5.1e-5, rtol=0)
    torch.testing.assert_close(names["R"] @ names["R"].T, torch.eye(3), atol=3e-7, rtol=0)


@each_page
def test_code_and_numbers_are_in_the_lecture(page: str) -> None:
    number, table = PAGES[page]
    files = sorted(SEEDS.glob(f"{number}_*.txt"))
    if not files:
        pytest.skip(f"no lecture {number} at {SEEDS}")
    lecture = files[0].read_text()
    for printed in table.values():
        for tensor in printed.split("tensor")[1:]:  # one by one: between two of them the slide may show something else
            assert consecutive(numbers(tensor), numbers(lecture)), tensor
    code = {re.sub(r"^(In\s?\[\d+\]:|\.\.\.:|\[\d+\]|▶)\s*", "", line.strip()).strip() for line in lecture.splitlines()}
    code |= {re.sub(r"^print\(\"(.*)$", r"\1", line) for line in code}
    for source in ("".join(cell["source"]) for cell in cells(page)):
        drawn = [
            name
            for name in DRAWN
            if source.startswith(f"{name} = torch.tensor") or f"\n{name} = torch.tensor" in source
        ]
        for name in drawn:
            assert f"# lecture: {DRAWN[name][1]}" in source
            assert f"{name} = {DRAWN[name][1]}" in code
            source = re.sub(rf"^{name} = torch\.tensor\(.*?# lecture: .*?$", "", source, flags=re.MULTILINE | re.DOTALL)
        for line in map(str.strip, source.splitlines()):
            headline = re.fullmatch(r'print\("=+ *(.*?) *=+"\)', line)
            assert (headline[1] in lecture if headline else line in code) or line in ADDED or not line, line


def consecutive(part: list[float], whole: list[float]) -> bool:
    return any(whole[place : place + len(part)] == part for place in range(len(whole) - len(part) + 1))
