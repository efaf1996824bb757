"""The replacement of e3nn: its names, its launcher, its way in and out of a process."""

from __future__ import annotations

import copy
import importlib
import pickle
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from programs import run

import intertwine.e3nn
from intertwine import o3 as clean
from intertwine.e3nn.names import MODULES
from intertwine.e3nn.namespace import Finder, homes
from intertwine.numerics import InputError

PUBLIC = ("o3", "nn", "io", "math", "util", "util.jit", "util.test", "util.codegen", "math.perm")


@pytest.mark.parametrize("module", MODULES)
def test_every_name_of_the_table_resolves(module: str) -> None:
    namespace = importlib.import_module(f"intertwine.e3nn.{module}".rstrip("."))
    for word in homes(module):
        if word != "__getattr__":
            assert getattr(namespace, word) is not None


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_of_e3nn_exists(module: str) -> None:
    theirs = importlib.import_module(f"e3nn.{module}")
    ours = importlib.import_module(f"intertwine.e3nn.{module}")
    words = getattr(theirs, "__all__", None) or [
        word
        for word, thing in vars(theirs).items()
        if not word.startswith("_") and getattr(thing, "__module__", "") == theirs.__name__
    ]
    names = [word for word in words if isinstance(word, str)]
    assert names
    assert [word for word in names if not hasattr(ours, word)] == []


def test_private_modules_that_programs_import_are_there() -> None:
    """Every module of e3nn's namespaces, but for a generator of code."""
    import e3nn

    root = Path(e3nn.__file__).parent
    theirs = {
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for file in root.rglob("*.py")
    }
    missing = {name for name in theirs - set(MODULES) - {"__init__"} if not name.startswith("nn.models.")}
    assert missing == {"o3._spherical_harmonics_generator"}


def test_the_family_of_products_keeps_its_relations() -> None:
    o3 = intertwine.e3nn.o3
    for name in ("FullyConnectedTensorProduct", "ElementwiseTensorProduct", "FullTensorProduct", "TensorSquare"):
        kind = getattr(o3, name)
        assert issubclass(kind, o3.TensorProduct)
        assert issubclass(kind, getattr(importlib.import_module("intertwine.o3.products"), name))
    assert o3.Irreps is clean.Irreps
    assert issubclass(intertwine.e3nn.io.CartesianTensor, o3.Irreps)


def test_options_of_code_generation_are_taken_and_change_nothing() -> None:
    o3 = intertwine.e3nn.o3
    plain = o3.FullyConnectedTensorProduct("4x0e+2x1o", "1o", "2x1o", internal_weights=False)
    options = {
        "compile_left_right": True,
        "compile_right": True,
        "_specialized_code": False,
        "_optimize_einsums": False,
    }
    product = o3.FullyConnectedTensorProduct("4x0e+2x1o", "1o", "2x1o", internal_weights=False, **options)
    x, y, w = torch.randn(3, 10), torch.randn(3, 3), torch.randn(plain.weight_numel)
    assert torch.equal(plain(x, y, w), product(x, y, w))
    assert product.right(y, w).shape == (3, 10, 6)
    assert not product._specialized_code
    with pytest.warns(DeprecationWarning, match="irrep_normalization"):
        assert o3.FullTensorProduct("1o", "1o", normalization="norm").irreps_out.dim == 9


def test_errors_are_those_of_both_libraries() -> None:
    o3 = intertwine.e3nn.o3
    for expected in (AssertionError, InputError):
        with pytest.raises(expected):
            o3.TensorProduct("1o", "1o", "1o", [(0, 0, 0, "uvw", True)])
    with pytest.raises(RuntimeError):
        o3.FullyConnectedTensorProduct("0e", "0e", "0e", internal_weights=False)(torch.ones(1), torch.ones(1))
    with pytest.raises(IndexError):
        o3.Linear("0e", "0e", instructions=[(4, 0)])


@pytest.mark.parametrize("normalization", ["component", "norm", "integral"])
def test_tables_of_the_grid_are_those_of_e3nn(normalization: str, oracle_in_double: None) -> None:
    """eSCN and EquiformerV2 make one matrix of them."""
    from e3nn import o3 as theirs

    ours = intertwine.e3nn.o3
    for kind, arguments in (("ToS2Grid", (3, (12, 9))), ("FromS2Grid", ((12, 9), 3))):
        expected = getattr(theirs, kind)(*arguments, normalization=normalization)
        grid = getattr(ours, kind)(*arguments, normalization=normalization)
        for name in ("alphas", "betas", "sha", "shb"):
            torch.testing.assert_close(getattr(grid, name), getattr(expected, name), rtol=0, atol=1e-14)
    grid = ours.ToS2Grid(3, (12, 9), normalization=normalization)
    x = torch.randn(16)
    torch.testing.assert_close(torch.einsum("mbi,am,i->ba", grid.shb, grid.sha, x), grid(x), rtol=0, atol=1e-13)


def test_private_functions_are_those_of_e3nn(oracle_in_double: None) -> None:
    from e3nn.o3 import _angular_spherical_harmonics, _s2grid, _spherical_harmonics, _wigner

    ours = {
        name: importlib.import_module(f"intertwine.e3nn.o3.{name}")
        for name in ("_angular_spherical_harmonics", "_s2grid")
    }
    ours |= {
        name: importlib.import_module(f"intertwine.e3nn.o3.{name}") for name in ("_spherical_harmonics", "_wigner")
    }
    same = {"rtol": 0, "atol": 1e-12}
    x = torch.randn(3, 5)
    torch.testing.assert_close(
        ours["_spherical_harmonics"]._spherical_harmonics(3, *x),
        _spherical_harmonics._spherical_harmonics(3, *x),
        **same,
    )
    torch.testing.assert_close(
        ours["_wigner"]._so3_clebsch_gordan(2, 1, 3), _wigner._so3_clebsch_gordan(2, 1, 3), **same
    )
    m, lm = torch.randn(4, 5), torch.randn(4, 11)
    multiply = _angular_spherical_harmonics._mul_m_lm
    torch.testing.assert_close(
        ours["_angular_spherical_harmonics"]._mul_m_lm([(2, 1), (1, 2)], m, lm), multiply([(2, 1), (1, 2)], m, lm)
    )
    grids = ours["_s2grid"]
    torch.testing.assert_close(grids._quadrature_weights(4), _s2grid._quadrature_weights(4))
    torch.testing.assert_close(grids._expand_matrix([0, 2, 1]), _s2grid._expand_matrix([0, 2, 1]))
    assert grids._complete_lmax_res(3, None, None) == _s2grid._complete_lmax_res(3, None, None)


def test_settings() -> None:
    before = intertwine.e3nn.get_optimization_defaults()
    try:
        intertwine.e3nn.set_optimization_defaults(jit_script_fx=False, optimize_einsums=False)
        assert intertwine.e3nn.get_optimization_defaults()["jit_mode"] == "eager"
        assert not intertwine.e3nn.o3.Linear("0e", "0e")._optimize_einsums
        with pytest.raises(ValueError, match="unknown setting"):
            intertwine.e3nn.set_optimization_defaults(nonsense=True)
        with pytest.raises(AssertionError, match="jit_mode"):
            intertwine.e3nn.set_optimization_defaults(jit_mode="nonsense")
    finally:
        intertwine.e3nn.set_optimization_defaults(**before)


def test_products_pickle_without_the_launcher() -> None:
    product = intertwine.e3nn.o3.FullTensorProduct("2x1o", "1o")
    x, y = torch.randn(2, 6), torch.randn(2, 3)
    assert torch.equal(pickle.loads(pickle.dumps(product))(x, y), product(x, y))


def test_install_and_uninstall() -> None:
    import e3nn as theirs

    path, places = list(sys.meta_path), list(sys.path)
    intertwine.e3nn.install()
    intertwine.e3nn.install()  # twice is once
    try:
        import e3nn
        from e3nn.o3._irreps import Irreps
        from e3nn.o3.irrep import l1o

        assert e3nn is not theirs
        assert Irreps is clean.Irreps
        assert l1o == clean.Irrep("1o")
        assert e3nn.__version__ == "0.6.0"
        with pytest.raises(ModuleNotFoundError, match="no counterpart"):
            importlib.import_module("e3nn.nonsense")
        with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
            e3nn.o3.nonsense  # noqa: B018
    finally:
        intertwine.e3nn.uninstall()
    assert importlib.import_module("e3nn") is theirs
    assert (sys.meta_path, sys.path) == (path, places)
    intertwine.e3nn.uninstall()


PROGRAM = """
    import multiprocessing, subprocess, sys
    import e3nn
    from e3nn import o3

    def where(_):
        from e3nn import o3
        return o3.Linear.__module__

    if __name__ == "__main__":
        print(o3.Linear.__module__, *sys.argv[1:])
        line = [sys.executable, "-c", "import e3nn.o3; print(e3nn.o3.Linear.__module__)"]
        child = subprocess.run(line, capture_output=True, text=True)
        print(child.stdout.strip())
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(*pool.map(where, [0]))
        if sys.argv[-1] == "fail":
            raise ZeroDivisionError("of the program")
        sys.exit(7)
"""


@pytest.mark.parametrize("as_module", [False, True], ids=["script", "module"])
def test_launcher_passes_arguments_and_exit_code_and_replaces_e3nn_in_children(tmp_path: Path, as_module: bool) -> None:
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    done = run([*(["-m", "program"] if as_module else ["program.py"]), "--one", "two"], tmp_path, replaced=True)
    home = "intertwine.e3nn.linear"
    assert done.stdout.split("\n")[:3] == [f"{home} --one two", home, home], done.stderr
    assert done.returncode == 7


def test_launcher_shows_the_traceback_of_the_program_alone(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import e3nn\ndef f():\n    raise ZeroDivisionError('of the program')\nf()\n")
    done = run(["program.py"], tmp_path, replaced=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n  File ")
    assert "program.py" in done.stderr.splitlines()[1]
    assert done.stderr.splitlines()[-1] == "ZeroDivisionError: of the program"


def test_launcher_without_a_program_says_how(tmp_path: Path) -> None:
    assert "usage" in run([], tmp_path, replaced=True).stderr
    assert "no such file" in run(["absent.py"], tmp_path, replaced=True).stderr


def test_example_networks_of_e3nn_run_on_the_replacement(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "from e3nn.nn.models.v2106 import gate_points_message_passing as m; print(m.o3.Linear.__module__)"
    )
    done = run(["program.py"], tmp_path, replaced=True)
    if "torch_scatter" in done.stderr or "torch_cluster" in done.stderr:
        pytest.skip("the network needs torch-scatter")
    assert done.stdout.strip() == "intertwine.e3nn.linear", done.stderr


def test_example_networks_without_e3nn_say_what_to_install() -> None:
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps e3nn"):
        Finder("e3nn", []).find_spec("e3nn.nn.models.v2106")


def test_a_program_with_its_own_modules_becomes_torchscript() -> None:
    """``util.jit``: the children that are ours are traced, the program's own are scripted."""
    o3, jit = intertwine.e3nn.o3, intertwine.e3nn.util.jit

    @jit.compile_mode("script")
    class Program(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.product = o3.FullyConnectedTensorProduct("4x0e+2x1o", "1o", "2x1o+0e")

        def forward(self, x, y):  # type: ignore[no-untyped-def]
            return self.product(x, y).sum(0) if x.shape[0] > 2 else self.product(x, y)

    program = Program()
    compiled = jit.script(copy.deepcopy(program))
    assert isinstance(compiled, torch.jit.ScriptModule)
    for rows in (1, 2, 3, 8):
        x, y = torch.randn(rows, 10), torch.randn(rows, 3)
        torch.testing.assert_close(compiled(x, y), program(x, y))
