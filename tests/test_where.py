"""docs/where.md: the words that people search for are there, and what it says of options, settings and pages is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_docs import PAGES, ROOT
from typer.main import get_command

from intertwine.cli import app

PAGE = (ROOT / "docs" / "where.md").read_text()
WORDS = """
GPU CUDA MPS ROCm NPT NVT NVE thermostat dipole polarizability hyperpolarizability logger TensorBoard wandb MLflow
stress virial LAMMPS i-PI OpenMM multi-GPU SLURM torchrun float64 fine-tune transfer freeze pretrained foundation
zero-shot D3 dispersion ZBL Ewald charges spins uncertainty committee ensemble active phonons vibrations Hessian
ONNX TorchScript C++ checkpoint resume EMA early bfloat16 mixed descriptors embeddings SMILES QM9 MD17 SPICE ANI
MPtrj HDF5 SDF CIF NEB relaxation completion compare hyperparameter reproducibility split units Hartree JAX PyG DGL
e3nn chirality attention proteins infrared Raman spectrum
"""


def anchors(page: Path) -> set[str]:
    """The names by which links reach the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


def test_the_words_stand_there() -> None:
    rows = "\n".join(line for line in PAGE.splitlines() if line.startswith("| "))
    words = WORDS.split()
    assert len(words) > 70
    assert [w for w in words if not re.search(rf"(?<!\w){re.escape(w)}(?!\w)", rows, re.IGNORECASE)] == []


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "docs" / "api").glob("*.md"))], ids=lambda page: page.name)
def test_links_into_pages_reach_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text()):
        if not target.startswith("http"):
            there = page.parent / target if target else page
            assert anchor in anchors(there), f"{page.name}: {target}#{anchor}"


def test_options_and_settings_are_those_of_the_program() -> None:
    group = get_command(app)
    commands = [group, *group.commands.values()]
    known = {option for c in commands for p in c.params for option in (*p.opts, *p.secondary_opts)}
    spans = " ".join(re.findall(r"`([^`\n]+)`", PAGE))
    options = set(re.findall(r"(?<!\S)--[a-z-]+", spans))
    assert len(options) > 15
    assert options <= known | {"--help", "--install-completion", "--show-completion"}
    assert set(re.findall(r"\bintertwine ([a-z]+)", spans)) <= group.commands.keys()
    settings = set(re.findall(r"\b((?:training|task|data|model)\.[a-z_]+)\b(?!\()", spans)) - {"training.train"}
    page = (ROOT / "docs" / "settings.md").read_text()
    assert len(settings) > 8
    assert [name for name in settings if f"| `{name}` |" not in page] == []


def test_models_that_it_names_exist() -> None:
    from intertwine.models import MODELS

    rows = [row for row in PAGE.splitlines() if "](models.md)" in row]
    names = {name for row in rows for name in re.findall(r"`([a-z0-9_]+)`", row)}
    assert len(names) >= 7
    assert names <= MODELS.keys()


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "mkdocs.yml"])
def test_it_is_reached_from(page: str) -> None:
    assert "where.md" in (ROOT / page).read_text()
