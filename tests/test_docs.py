"""README and docs say what is true: their code runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from by_path import module_at
from switches import as_users_run_it
from typer.main import get_command
from typer.testing import CliRunner

from intertwine.bench import bodies
from intertwine.models import MODELS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [code for kind, code in BLOCK.findall(page.read_text()) if kind == language]


def run(code: str, name: str) -> types.ModuleType:
    """The code as a module of its own, so that its classes have a home."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(code, name, "exec"), module.__dict__)
    return module


def test_ten_lines_of_python(capsys: pytest.CaptureFixture[str]) -> None:
    code, *others = blocks(ROOT / "README.md", "python")
    assert len(code.strip().splitlines()) <= 12
    run(code, "readme")
    assert capsys.readouterr().out.startswith("passed")
    for number, other in enumerate(others):
        assert "assert " in other
        run(other, f"readme{number}")


def test_the_model_of_extending_is_a_model() -> None:
    from intertwine import Graph, assert_equivariant

    code = blocks(ROOT / "docs" / "extending.md", "python")[0]
    model = run(code, "extending").MyModel(width=8, layers=2)
    molecules = [Graph(torch.randn(5, 3, dtype=torch.float64), z=[8, 1, 1, 6, 1])]
    assert_equivariant(model, molecules)


def test_the_layer_of_extending_is_a_layer() -> None:
    code = blocks(ROOT / "docs" / "extending.md", "python")[1]
    layer = run(code, "extending_layer").Interaction("4x0e+4x1o", "0e+1o", 5, 2)
    x, edge_index = torch.randn(3, 16), torch.tensor([[0, 1, 2], [1, 2, 1]])
    assert layer(x, torch.randn(3, 4), torch.randn(3, 5), torch.rand(3, 1), edge_index).shape == x.shape


def test_the_group_of_extending_trains_and_is_certified() -> None:
    code = next(block for block in blocks(ROOT / "docs" / "extending.md", "python") if "class Squeeze" in block)
    assert run(code, "extending_group").certificate.verdict == "exact"


def test_the_network_of_extending_is_made_equivariant_by_every_wrapper() -> None:
    code = next(block for block in blocks(ROOT / "docs" / "extending.md", "python") if "class Mine" in block)
    module = run(code, "extending_network")
    verdicts = {name: certificate.verdict.split(" where")[0] for name, certificate in module.certificates.items()}
    assert verdicts.pop("average") == "within approximation"
    assert set(verdicts.values()) == {"exact"}, verdicts
    frames = module.wrappers["frames"]
    alone = module.certify(module.network, module.ethanol, group=frames.group, rep_out=frames.rep_out, quick=True)
    assert alone.verdict == "broken"


def test_the_task_and_the_data_set_of_extending_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through every command, as modules of one's own; what the run folder names is code, and refused where it is not
    allowed.
    """
    from intertwine.cli import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    page = ROOT / "docs" / "extending.md"
    (tmp_path / "mine.py").write_text(
        "\n".join([block for block in blocks(page, "python") if "class Charges" in block or "def ions" in block])
    )
    (tmp_path / "molecules.xyz").write_text("2\n\nF 0 0 0\nH 0 0 0.95\n")
    small = ["--set", "model.width=8", "--set", "model.layers=1", "--set", "training.threads=1"]
    for line in blocks(page, "sh")[-1].splitlines():
        words = [*shlex.split(line)[1:], *(small if " train " in line else [])]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "charges" / "report.json").read_text())
    assert report["test"]["q"]["unit"] == "me"
    assert {"parity_q.png", "overview.png"} <= set(report["pictures"])
    refused = CliRunner().invoke(app, ["predict", "charges", "molecules.xyz"])
    assert refused.exit_code == 2
    assert "--allow mine" in refused.stderr
    sys.modules.pop("mine")


@pytest.mark.parametrize(
    "name",
    [
        "index.md",
        "certificates.md",
        "conventions.md",
        "e3nn.md",
        "frames.md",
        "kernels.md",
        "models.md",
        "graphs.md",
        "programs.md",
        "steerable_mlp.md",
        "where.md",
    ],
)
def test_what_a_page_says_in_code_is_true(name: str) -> None:
    """The blocks of a page are one program, in order; its assertions are the page's claims."""
    code = "\n".join(blocks(ROOT / "docs" / name, "python"))
    assert code.count("assert ") >= 1
    with as_users_run_it():  # the tests' checks of annotations would stand in the way of an exporter
        run(code, "page_" + name.removesuffix(".md"))


def test_the_page_on_spectra_is_true(capsys: pytest.CaptureFixture[str]) -> None:
    """Labels, three trainings, a spectrum, as near to the method's own as the page says: frequencies 3 %, Raman
    activities 10 % and infrared intensities 20 % of the largest (measured: 2.5, 1.8 and 16 %).
    """
    from intertwine.integrations import normal_modes
    from intertwine.labels import recipe
    from intertwine.labels.scf import scf_labels
    from intertwine.labels.structure import Structure

    (code,) = blocks(ROOT / "docs" / "spectra.md", "python")
    with as_users_run_it():
        page = run(code, "page_spectra")
    want, step, moved = ("forces", "dipole", "polarizability"), 0.005, []
    for k in range(9):
        ends = []
        for sign in (1, -1):
            x = page.atoms.positions.copy()
            x.flat[k] += sign * step
            ends.append(scf_labels(Structure(0, page.atoms.numbers, x), recipe("hf/sto-3g", want)))
        moved.append({name: (ends[0][name] - ends[1][name]) / (2 * step) for name in want})
    forces, dipole, alpha = (np.stack([one[name] for one in moved]) for name in want)
    H = -forces.reshape(9, 9)
    masses = page.atoms.get_masses()
    own = normal_modes(
        (H + H.T) / 2, masses, page.atoms.positions, dipole_derivatives=dipole, polarizability_derivatives=alpha
    )
    assert page.found.frequencies == pytest.approx(own.frequencies, rel=0.03)
    assert page.found.infrared == pytest.approx(own.infrared, abs=0.2 * own.infrared.max())
    assert page.found.raman == pytest.approx(own.raman, abs=0.1 * own.raman.max())
    assert "km/mol" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    """Every `intertwine ...` in a shell block names a command and options that it has."""
    from intertwine.cli import app

    group = get_command(app)
    for line in "\n".join(blocks(page, "sh")).splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["intertwine"]:
            command = group.commands[words[1]]
            known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            assert {word.split("=")[0] for word in words[2:] if word.startswith("--")} <= known, line
        elif words[:1] == ["make"]:
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line


@pytest.mark.parametrize(
    "command",
    [
        "", "train", "evaluate", "predict", "certify", "md", "relax", "export", "models", "datasets", "info", "compare",
        "cite", "bench", "label", "encode", "align", "tune", "lammps", "ipi", "deploy",
    ],
)  # fmt: skip
def test_help_of_every_command(command: str) -> None:
    from intertwine.cli import app

    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_prose_is_wrapped_at_one_width() -> None:
    """README, CONTRIBUTING, CHANGELOG and docs as `python docs/tools/wrap.py` leaves them: 120 columns."""
    tool = module_at(ROOT / "docs" / "tools" / "wrap.py")
    pages = {page: page.read_text() for page in tool.pages()}
    assert len(pages) > 30
    assert [page.name for page, text in pages.items() if tool.wrap(text) != text] == []
    prose = [line for text in pages.values() for is_prose, lines in tool.blocks(text) if is_prose for line in lines]
    assert [line for line in prose if len(line) > tool.WIDTH and " " in line.strip()] == []
    long = "one two " * 40 + "[a link that stays](whole.md) `and this code` " + "three " * 20
    assert max(map(len, tool.wrap(long).split("\n"))) <= tool.WIDTH
    assert tool.wrap(long).split() == long.split()
    assert "[a link that stays](whole.md)" in tool.wrap(long)
    assert "`and this code`" in tool.wrap(long)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_map_is_that_of_the_classes() -> None:
    """docs/models.md as the classes say it; benchmarks/architectures.py writes it."""
    rows = re.findall(r"^\| (\w+) \| (.*?) \|$", (ROOT / "docs" / "models.md").read_text(), re.MULTILINE)
    said = {name: rest.split(" | ")[:5] for name, rest in rows if name in MODELS}
    classes = {
        name: [card.message, card.domain, card.geometry, bodies(card.body_order), card.symmetry]
        for name, card in ((name, kind.CARD) for name, kind in MODELS.items())
    }  # fmt: skip
    assert said == classes


def test_counts_are_those_of_what_is_there() -> None:
    """How many architectures, errors of the FAQ and rooms of ``nn`` the pages say there are."""
    readme = (ROOT / "README.md").read_text()
    said = re.findall(r"(\d+) architectures", " ".join(page.read_text() for page in PAGES))
    assert len(re.findall(r"(\d+) architectures", readme)) == 2
    assert {int(number) for number in said} == {len(MODELS)}
    faq = (ROOT / "docs" / "faq.md").read_text()
    errors = len(re.findall(r"^### ", faq, re.MULTILINE))
    words = {20: "twenty", 21: "twenty-one", 22: "twenty-two", 23: "twenty-three", 24: "twenty-four"}
    assert faq.startswith(f"# {words[errors].capitalize()} errors")
    for text in (faq, readme):
        assert f"{words[errors]} commonest" in text
    assert f"[{words[errors]} errors" in (ROOT / "docs" / "index.md").read_text()
    folders = [each for each in (ROOT / "intertwine" / "nn").iterdir() if (each / "__init__.py").is_file()]
    rooms = re.findall(r"`nn/` has (\w+) rooms", (ROOT / "docs" / "design.md").read_text())
    assert rooms == [{5: "five", 6: "six", 7: "seven", 8: "eight"}[len(folders) + 1]]  # and its own files
