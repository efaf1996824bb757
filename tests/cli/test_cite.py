"""intertwine cite: what a run stands on, of folders and files, for readers and for programs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from intertwine.data import DATASETS
from intertwine.models import MODELS
from intertwine.models.papers import PAPERS
from intertwine.nn.paper import Paper, entry
from intertwine.numerics import CheckpointError
from intertwine.tasks import ForceField
from intertwine.training import load_checkpoint, save_checkpoint, save_task
from intertwine.training.works import PROGRAMS, stands_on

ALL = [paper for papers in [*PAPERS.values(), *(known.papers for known in DATASETS.values())] for paper in papers]
ALL += [paper for paper in PROGRAMS.values() if paper is not None]
WRONG_START = {"config": {"model": {}, "data": {}, "start": 3}}
DOI = re.compile(r"10\.\d{4,5}/\S+")


def changed(run: Path, copy: Path, **sections: dict) -> Path:
    """A copy of a checkpoint of the run with other values in sections of its configuration."""
    state = load_checkpoint(run / "best.safetensors")
    for name, values in sections.items():
        state["config"].setdefault(name, {}).update(values)
    save_checkpoint(copy, state)
    return copy


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_first_paper_of_a_model_is_that_of_its_card(name: str) -> None:
    first, card = PAPERS[name][0], MODELS[name].CARD
    assert first.arxiv in card.paper if first.arxiv else first.venue in card.paper
    assert card.paper.endswith("lecture 3.2") or str(first.year) in card.paper
    family = first.authors[0].split()[-1]
    assert family in card.paper


def test_every_model_data_set_and_program_is_in_the_tables() -> None:
    assert PAPERS.keys() == MODELS.keys()
    own = {name for name, known in DATASETS.items() if known.source == "generated; MIT"}  # a protocol of this library
    assert {name for name, known in DATASETS.items() if not known.papers} == own
    by_key = {paper.key: paper for paper in ALL}
    assert all(by_key[paper.key] == paper for paper in ALL), "two papers have the same key"
    for paper in by_key.values():
        assert DOI.fullmatch(paper.identifier), paper.key
        assert str(paper.year) in paper.key
        assert not paper.arxiv or re.fullmatch(r"\d{4}\.\d{5}", paper.arxiv)


def test_a_run_folder_in_words(run_cli, trained) -> None:
    result = run_cli("cite", trained[0])
    assert result.exit_code == 0, result.output
    assert "The intertwine authors. intertwine: equivariant" in result.stdout
    assert "painn (the architecture): Kristof T. Schütt, Oliver T. Unke, Michael Gastegger." in result.stdout
    assert "doi:10.48550/arXiv.2102.03150" in result.stdout
    programs = re.findall(r"^  (\w+) \(", result.stdout.partition("Programs")[2], re.MULTILINE)
    assert programs == ["torch", "torch_geometric", "ase", "lightning", "vesin"]  # and not e3nn: no spherical tensors
    assert "the source of the data" in result.stderr
    assert "tiny.xyz is not known here" in result.stderr


def test_a_run_folder_as_json(run_cli, trained) -> None:
    result = run_cli("cite", trained[0], "--json")
    document = json.loads(result.stdout)
    assert document["library"]["version"]
    assert document["run"] == str(trained[0])
    (model,) = [work for work in document["works"] if work["role"] == "model"]
    assert (model["name"], model["paper"]["doi"]) == ("painn", "10.48550/arXiv.2102.03150")
    assert [work["paper"] for work in document["works"] if work["name"] == "vesin"] == [None]
    assert len(document["notes"]) == 1


def test_a_run_folder_as_bibtex(run_cli, trained) -> None:
    result = run_cli("cite", trained[0], "--bibtex")
    entries = re.findall(r"^@(\w+)\{(\w+),$", result.stdout, re.MULTILINE)
    assert entries[0] == ("software", "intertwine")
    assert ("inproceedings", "schutt2021painn") in entries
    assert ("article", "larsen2017ase") in entries
    assert result.stdout.count("{") == result.stdout.count("}")
    assert len({key for _, key in entries}) == len(entries)


def test_a_file_and_data_sets_that_have_a_name(trained, tmp_path: Path) -> None:
    data, model = {"source": "qm9", "test": "nbody"}, {"name": "esen", "cutoff": "none"}
    works, notes = stands_on(changed(trained[0], tmp_path / "a.safetensors", data=data, model=model))
    assert [work.paper.key for work in works if work.role == "model"] == [paper.key for paper in PAPERS["esen"]]
    assert {work.name for work in works if work.role == "data"} == {"qm9", "nbody"}
    assert [work.name for work in works if work.role == "program"] == ["torch", "torch_geometric", "e3nn", "lightning"]
    assert not notes


def test_the_data_set_of_the_package(trained, tmp_path: Path) -> None:
    works, notes = stands_on(changed(trained[0], tmp_path / "a.safetensors", data={"source": "ethanol"}))
    keys = {work.paper.key for work in works if work.role == "data"}
    assert keys == {"sun2020pyscf", "bannwarth2019gfn2", "larsen2017ase"}
    assert not notes


def test_a_model_of_ones_own_is_not_imported_and_its_paper_not_known(run_cli, trained, tmp_path: Path) -> None:
    path = changed(trained[0], tmp_path / "a.safetensors", model={"name": "nowhere_at_all:Mine"})
    result = run_cli("cite", path)
    assert result.exit_code == 0, result.output
    assert "the paper of the model nowhere_at_all:Mine is not known here" in result.stderr
    assert "nowhere_at_all:Mine (the architecture): no paper known here" in result.stdout


def test_a_run_that_began_with_another_says_so(trained, tmp_path: Path) -> None:
    _, notes = stands_on(changed(trained[0], tmp_path / "a.safetensors", start={"run": "runs/first"}))
    assert any("intertwine cite runs/first" in note for note in notes)


def test_a_saved_task_was_trained_elsewhere(tmp_path: Path) -> None:
    save_task(ForceField(MODELS["schnet"](width=8, layers=1, species=[1, 8])), tmp_path / "a.safetensors")
    works, notes = stands_on(tmp_path / "a.safetensors")
    assert not [work for work in works if work.role == "data" or work.name == "lightning"]
    assert notes == ["the file does not say on which data it was trained"]


def test_what_is_refused(run_cli, trained, tmp_path: Path) -> None:
    for arguments, words in (
        ([tmp_path / "nowhere"], "no such run folder"),
        ([tmp_path], "is not a run folder"),
        ([tmp_path / "a.safetensors"], "can't be read"),
        ([trained[0], "--json", "--bibtex"], "two formats at once"),
    ):
        result = run_cli("cite", *arguments)
        assert result.exit_code == 2, result.output
        assert words in result.stderr
        assert "Remedy" in result.stderr
    half = tmp_path / "half"
    half.mkdir()
    shutil.copy(trained[0] / "config.toml", half)
    with pytest.raises(CheckpointError, match="half-written"):
        stands_on(half)
    for content in (
        [1, 2],
        {"config": 3},
        {"config": {"model": 3, "data": {}}},
        {"config": {"model": {}}},
        WRONG_START,
    ):
        save_checkpoint(tmp_path / "b.safetensors", content)
        with pytest.raises(CheckpointError, match="not the checkpoint of a run"):
            stands_on(tmp_path / "b.safetensors")


def test_text_and_bibtex_of_a_paper() -> None:
    paper = Paper(
        "a2020b", ("Ann B. Cee", "others"), "Of $x_1$ & {Y}", 2020, "Some Journal 1, 2", "2001.00001", "10.1/a_b"
    )
    assert paper.text() == "Ann B. Cee, et al. Of $x_1$ & {Y}. Some Journal 1, 2. 2020, arXiv:2001.00001, doi:10.1/a_b"
    lines = paper.bibtex().splitlines()
    assert lines[0] == "@article{a2020b,"
    assert "  title = {{Of \\$x\\_1\\$ \\& {Y}}}," in lines
    assert "  doi = {10.1/a_b}," in lines
    assert Paper("c2021d", ("E",), "F", 2021).bibtex().splitlines()[0] == "@misc{c2021d,"
    assert entry("misc", "k", {"note": "100 %"}) == "@misc{k,\n  note = {100 \\%},\n}"
