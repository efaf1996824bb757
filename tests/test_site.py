"""The site has a page for every package, its formulas can be drawn, and it asks no other host for anything."""

from __future__ import annotations

import inspect
import pkgutil
import re
import sys
import types
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from by_path import each_of, module_at

import intertwine
from intertwine import plots

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(intertwine.__path__, "intertwine.") if "__main__" not in module.name
)
NOT_DOCUMENTED = {"intertwine.cli", "intertwine.e3nn"}  # intertwine --help; e3nn's own documentation


def tool(name: str) -> types.ModuleType:
    """A module of docs/tools, which is no package."""
    pytest.importorskip("latex2mathml")
    pytest.importorskip("griffe")
    return module_at(DOCS / "tools" / f"{name}.py")


def docstrings(module: types.ModuleType) -> list[str]:
    """Docstrings of a module, and of the functions, classes and methods that are its own."""
    found = [
        module,
        *(thing for thing in vars(module).values() if getattr(thing, "__module__", None) == module.__name__),
    ]
    found += [
        member
        for thing in found
        if inspect.isclass(thing)
        for member in vars(thing).values()
        if inspect.isfunction(member)
    ]
    return [doc for thing in found if isinstance(doc := getattr(thing, "__doc__", None), str)]


def listed(nav: Any) -> list[str]:
    return (
        [nav]
        if isinstance(nav, str)
        else [page for item in (nav.values() if isinstance(nav, dict) else nav) for page in listed(item)]
    )


def test_navigation_leads_to_every_page() -> None:
    nav = listed(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*") if page.suffix in (".md", ".ipynb")}
    assert len(nav) == len(set(nav))
    assert set(nav) == pages


def test_every_package_has_a_page() -> None:
    packages = {
        name for name in MODULES if name.count(".") == 1 and not name.rpartition(".")[2].startswith("_")
    } - NOT_DOCUMENTED
    named = {
        name
        for page in (DOCS / "api").glob("*.md")
        for name in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)
    }
    assert named == packages


@each_of(MODULES)
def test_formulas_of_docstrings_can_be_drawn(name: str) -> None:
    site, mathml = tool("docstrings"), tool("mathml")
    for text in map(site.markdown, docstrings(import_module(name))):
        assert ":math:" not in text
        assert ".. math::" not in text
        code = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
        for match in mathml.DOLLARS.finditer(code):
            assert mathml.formula(match[1] or match[2], match[1] is not None).startswith("<math")


def test_formulas_of_pages_become_mathml() -> None:
    mathml = tool("mathml")
    page = types.SimpleNamespace(file=types.SimpleNamespace(src_uri="page.md"))
    drawn = mathml.on_page_content(r'a <span class="arithmatex">\(x &lt; y^2\)</span> b <code>$x$</code>', page=page)
    assert re.fullmatch(r"a <math [^>]*>.*<msup><mi>y</mi><mn>2</mn></msup>.*</math> b <code>\$x\$</code>", drawn)
    notebook = types.SimpleNamespace(file=types.SimpleNamespace(src_uri="page.ipynb"))
    drawn = mathml.on_page_content(
        '<p>$R x$</p><pre>$HOME $x</pre><script src="https://host/x.js"></script>', page=notebook
    )
    assert drawn.count("<math") == 1
    assert "<pre>$HOME $x</pre>" in drawn
    assert "https://host" not in drawn
    with pytest.raises(ValueError, match="unknown command"):
        mathml.formula(r"\nosuchcommand x", False)


def test_nothing_is_asked_of_other_hosts() -> None:
    for file in [ROOT / "mkdocs.yml", *DOCS.rglob("*.css"), *(DOCS / "tools").glob("*.py"), *DOCS.rglob("*.ipynb")]:
        hosts = set(re.findall(r"https?://([\w.-]+)", file.read_text()))
        assert hosts <= {"www.w3.org"}, f"{file.name}: {hosts}"


#: Pictures that are made by these.
EXAMPLES = ("invariant_gan", "phonon_dos", "phonons")  # that draw a picture of the docs
BENCHMARKS = (
    "architectures",
    "averaging",
    "conservation",
    "expressivity",
    "fourier_link",
    "frames",
    "orientations",
    "spectrum",
    "why_equivariance",
)


def test_pictures_have_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    pictures = import_module("make_pictures")
    monkeypatch.delitem(sys.modules, "make_pictures")
    runs = {"demo.png", "iterations.png"}  # of README.md and structure.md, by their commands
    made = {f"{name}.png" for name in [*pictures.PICTURES, *BENCHMARKS, *EXAMPLES]} | runs
    for name in EXAMPLES:
        assert f"python examples/{name}.py [picture.png]" in (ROOT / "examples" / f"{name}.py").read_text()
    for name in BENCHMARKS:
        assert any(f"{name}.png" in script.read_text() for script in (ROOT / "benchmarks").rglob("*.py"))
    assert {image.name for image in (DOCS / "images").glob("*.png")} == made
    shown = {
        image
        for page in [ROOT / "README.md", *DOCS.rglob("*.md")]
        for image in re.findall(r"images/([\w.]+\.png)", page.read_text())
    }
    assert shown == made
    for name in ("layouts", "coupling", "representations"):
        assert isinstance(pictures.PICTURES[name](), type(plots.figure()))
