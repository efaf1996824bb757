"""What a public project promises beside its code: how to cite it, what its bounds are, what runs before a commit and
on every Python.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import intertwine
from intertwine.cli.cite import AUTHOR, TITLE

HERE = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
MAKEFILE = (HERE / "Makefile").read_text()
REQUIREMENT = re.compile(r"([\w.-]+)>=([\d.]+)")


def read(name: str) -> Any:
    return yaml.safe_load((HERE / name).read_text())


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile, its variables filled in."""
    values = dict(re.findall(r"^(\w+) \??= (.*)$", MAKEFILE, re.MULTILINE))
    (body,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    return [re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], line.strip()) for line in body.splitlines()]


def release(version: str) -> tuple[int, ...]:
    """Numbers of a version, zeros at its end left out: 2.1 is 2.1.0."""
    numbers = [int(number) for number in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def test_the_citation_file_is_of_format_1_2_and_says_what_the_package_says() -> None:
    file = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= file.keys()  # that the format asks for
    known = {"cff-version", "message", "title", "authors", "type", "version", "license", "keywords"}
    assert file.keys() <= known, "a key that this test does not know: look it up in the schema"
    assert (file["cff-version"], file["type"], file["license"]) == ("1.2.0", "software", PROJECT["license"])
    assert all(isinstance(value, str) and value for key in known - {"authors", "keywords"} for value in [file[key]])
    assert file["version"] == PROJECT["version"] == intertwine.__version__
    assert file["authors"] == PROJECT["authors"] == [{"name": AUTHOR}]
    assert file["title"] == TITLE
    assert TITLE.startswith(f"{PROJECT['name']}: ")


def test_what_runs_before_a_commit_is_what_lint_runs() -> None:
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"  # the environment's versions, not others
    hooks = repository["hooks"]
    assert [hook["entry"] for hook in hooks] == recipe("lint")
    assert all(hook["language"] == "system" and hook["pass_filenames"] is False for hook in hooks)


def test_the_workflow_runs_what_ci_runs_on_every_python_that_is_named() -> None:
    workflow = read(".github/workflows/tests.yml")
    (job,) = workflow["jobs"].values()
    pythons = job["strategy"]["matrix"]["python"]
    named = [line.rpartition(" :: ")[2] for line in PROJECT["classifiers"] if ":: Python ::" in line]
    assert pythons == named == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == f">={pythons[0]}"
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    assert job["env"] == {"PYTHON": "python${{ matrix.python }}"}
    assert re.search(r"^PYTHON \?= ", MAKEFILE, re.MULTILINE), "make must take PYTHON from the environment"
    assert not re.search(r"://|index", (HERE / ".github/workflows/tests.yml").read_text())


def test_lower_bounds_are_the_versions_that_are_tested() -> None:
    lines = (HERE / "tests" / "oldest.txt").read_text().splitlines()
    oldest = dict(line.split("==") for line in lines if not line.startswith("#"))
    bounds = dict(REQUIREMENT.fullmatch(requirement).groups() for requirement in PROJECT["dependencies"])
    (torch,) = re.findall(r"^TORCH \?= torch==(.*)$", MAKEFILE, re.MULTILINE)
    assert release(bounds.pop("torch")) == release(torch)
    for name, bound in bounds.items():
        assert release(oldest[name]) == release(bound), f"{name}: tested with {oldest[name]}, and {bound} is allowed"


def test_what_is_imported_everywhere_is_declared() -> None:
    """Packages that modules of ours import when they are imported."""
    optional = {
        "triton",
        "pytest",
    }  # of kernels.convolution.gpu.programs and e3nn.fixtures, which only their users import
    distribution = {"torch_geometric": "torch-geometric", "tomli_w": "tomli-w"}
    declared = {re.match(r"[\w-]+", requirement)[0] for requirement in PROJECT["dependencies"]}
    names = set()
    for file in (HERE / "intertwine").rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            names |= {name.partition(".")[0] for name in found}
    ours = names - set(sys.stdlib_module_names) - {"intertwine"} - optional
    assert {distribution.get(name, name) for name in ours} <= declared


@pytest.mark.parametrize("target", ["test", "test-all", "test-oldest", "lint"])
def test_targets_that_are_promised_exist(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)
    assert re.search(rf"^\.PHONY:.* {target}( |$)", MAKEFILE, re.MULTILINE)
