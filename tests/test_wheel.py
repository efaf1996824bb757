"""What a user gets from pip: a wheel and an sdist with everything in them and nothing else, that work in an environment
where nothing but their dependencies is installed, without extras and far from the repository.

Of `make test-all` only: it installs torch.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]
BESIDE = shutil.ignore_patterns(".*", "build", "runs", "dist", "*.egg-info", "__pycache__", "site")
PIP = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
#: Modules that need a package which no dependency brings, and that package.
OPTIONAL = {"intertwine.kernels.convolution.gpu.programs": "triton", "intertwine.e3nn.fixtures": "pytest"}
IMPORTS = """
import importlib, json, pkgutil, sys, intertwine
missing = {}
for module in pkgutil.walk_packages(intertwine.__path__, "intertwine."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            missing[module.name] = error.name
print(json.dumps([intertwine.__file__, missing]))
"""
FRAMES = """
from ase import Atoms
from ase.io import write
from intertwine.data import ethanol
store = ethanol()
graphs = [store[k] for k in range(3)]
write("three.xyz", [Atoms(graph.z.numpy(), positions=graph.pos.numpy()) for graph in graphs])
"""


def run(*command: object, where: Path) -> str:
    """Standard output of a command that must succeed, in a folder, without anything of this process's environment that
    leads back to the repository.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment["INTERTWINE_CACHE"] = str(where / "cache")
    done = subprocess.run(
        [str(word) for word in command], cwd=where, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist, built in a copy of the tree."""
    pytest.importorskip("build", reason="the package `build`, of the extra dev, is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    probe = [sys.executable, *PIP, "download", "--no-deps", "--dest", str(folder / "probe"), "setuptools>=77"]
    if subprocess.run(probe, capture_output=True, cwd=folder).returncode != 0:
        pytest.skip("pip reaches no package index")
    shutil.copytree(HERE, folder / "tree", ignore=BESIDE)
    run(sys.executable, "-m", "build", "--outdir", folder / "dist", folder / "tree", where=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def python(archives: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment in which the wheel is installed, its dependencies and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder / "venv", where=folder)
    python = folder / "venv" / "bin" / "python"
    (torch,) = re.findall(r"^TORCH \?= (.*)$", (HERE / "Makefile").read_text(), re.MULTILINE)
    torch = os.environ.get("TORCH", torch)
    install = [*PIP, "install", "--no-compile"]  # what is imported is compiled then: of torch a tenth
    run(python, *install, torch, where=folder)
    run(python, *install, archives[0], torch, where=folder)
    return python


def sources() -> set[str]:
    """What must be in both archives: every module, the mark of types, the embedded data."""
    package = HERE / "intertwine"
    files = [*package.rglob("*.py"), package / "py.typed", *(package / "data" / "embedded").iterdir()]
    files += [*package.rglob("*.tsv"), *(package / "plots" / "assets").iterdir()]
    return {str(file.relative_to(HERE)) for file in files if file.is_file()}


def test_the_wheel_has_the_package_and_nothing_else(archives: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(archives[0]).namelist())
    inside = {name for name in names if ".dist-info/" not in name}
    assert inside == sources()
    assert {name.rpartition("/")[2] for name in names - inside} >= {"METADATA", "entry_points.txt", "LICENSE"}
    assert not any(word in name for name in names for word in ("tests/", "benchmarks/", "docs/"))


def test_the_sdist_has_what_the_wheel_is_made_of(archives: tuple[Path, Path]) -> None:
    with tarfile.open(archives[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert sources() | {"pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md"} <= names
    assert not {name for name in names if name.startswith(("tests/", "benchmarks/", "docs/", "."))}


def test_the_wheel_says_what_pyproject_says(archives: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(archives[0]) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    needs = re.findall(r"^Requires-Dist: ([^;\n]+)$", metadata, re.MULTILINE)
    assert {need.replace(" ", "") for need in needs} == set(project["dependencies"])
    assert f"\nVersion: {project['version']}\n" in metadata


def test_a_new_environment_trains_predicts_and_certifies(python: Path, tmp_path: Path) -> None:
    command = python.parent / "intertwine"
    assert run(command, "--version", where=tmp_path).strip().startswith("intertwine ")
    assert "train ethanol" in run(command, "--help", where=tmp_path)
    small = ["--set", "model.width=8", "--set", "model.layers=1", "--set", "training.certify=false"]
    sizes = ["--epochs", 2, "--train", 20, "--validation", 5]
    run(command, "train", "ethanol", "--model", "painn", *sizes, *small, "--run", "r", "--quiet", where=tmp_path)
    run(python, "-c", FRAMES, where=tmp_path)
    run(command, "predict", "r", "three.xyz", "-o", "out.xyz", where=tmp_path)
    assert (tmp_path / "out.xyz").read_text().count("energy=") == 3
    assert "passed" in run(command, "certify", "r", "--molecules", "three.xyz", where=tmp_path)
    assert "schutt2021painn" in run(command, "cite", "r", "--bibtex", where=tmp_path)


def test_every_module_is_imported_without_an_extra(python: Path, tmp_path: Path) -> None:
    file, missing = json.loads(run(python, "-c", IMPORTS, where=tmp_path))
    assert Path(file).is_relative_to(python.parents[1])  # and not the repository's
    assert missing.keys() <= OPTIONAL.keys()
    assert all(OPTIONAL[module] == name for module, name in missing.items())
