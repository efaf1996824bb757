"""What a run stands on: the papers of its model, of its data and of the programs that it used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intertwine.data import DATASETS
from intertwine.data.papers import ASE_PAPER
from intertwine.models import MODELS
from intertwine.models.papers import PAPERS
from intertwine.nn.paper import Paper
from intertwine.numerics import CheckpointError
from intertwine.numerics.checkpoint import load_checkpoint
from intertwine.training.folder import CHECKPOINTS, check_folder

#: Program -> its paper; None for one that has none.
PROGRAMS: dict[str, Paper | None] = {
    "torch": Paper(
        "paszke2019pytorch",
        ("Adam Paszke", "Sam Gross", "Francisco Massa", "others"),
        "PyTorch: An Imperative Style, High-Performance Deep Learning Library",
        2019,
        "Advances in Neural Information Processing Systems",
        "1912.01703",
    ),
    "torch_geometric": Paper(
        "fey2019pyg",
        ("Matthias Fey", "Jan Eric Lenssen"),
        "Fast Graph Representation Learning with PyTorch Geometric",
        2019,
        "ICLR Workshop on Representation Learning on Graphs and Manifolds",
        "1903.02428",
    ),
    "e3nn": Paper(
        "geiger2022e3nn", ("Mario Geiger", "Tess Smidt"), "e3nn: Euclidean Neural Networks", 2022, arxiv="2207.09453"
    ),
    "ase": ASE_PAPER,
    "lightning": Paper(
        "falcon2019lightning",
        ("William Falcon", "{The PyTorch Lightning team}"),
        "PyTorch Lightning",
        2019,
        doi="10.5281/zenodo.3828935",
    ),
    "vesin": None,
}
WHY = {
    "torch": "arrays and derivatives",
    "torch_geometric": "graphs and batches",
    "e3nn": "names, orders and normalisations of irreps (e3nn itself was not run)",
    "ase": "structures, units and file formats",
    "lightning": "the training loop",
    "vesin": "neighbour lists",
}


@dataclass(frozen=True)
class Work:
    """Something that a run stands on.

    Args:
        role: "model", "data" or "program".
        name: which: "painn", "ethanol", "torch".
        why: what it is to the run.
        paper: None if it has none, or none that is known here.
    """

    role: str
    name: str
    why: str
    paper: Paper | None

    def facts(self) -> dict[str, Any]:
        """Plain values."""
        paper = self.paper.facts() if self.paper is not None else None
        return {"role": self.role, "name": self.name, "why": self.why, "paper": paper}


def stands_on(run: Path | str) -> tuple[list[Work], list[str]]:
    """What a run folder, or a ``.safetensors`` file, stands on, and what can't be known of it. No code of the run's is
    imported, and its data are not opened.

    Raises:
        CheckpointError: as :func:`~intertwine.training.load_run`; or the file is no checkpoint of a run.
    """
    path = Path(run)
    file = path if path.suffix == ".safetensors" else path / CHECKPOINTS["best"]
    if file is not path:
        check_folder(path, file)
    state = load_checkpoint(file)
    sections = state.get("config") if isinstance(state, Mapping) else None
    sections = sections if isinstance(sections, Mapping) else {}
    model, data, start = (sections.get(part, {} if part == "start" else None) for part in ("model", "data", "start"))
    if not (isinstance(model, Mapping) and isinstance(data, Mapping) and isinstance(start, Mapping)):
        remedy = "give the folder of a run, its best.safetensors, or what save_task wrote."
        raise CheckpointError("is not the checkpoint of a run", where=str(file), remedy=remedy)
    trained = "data" in state  # what save_task writes has the default section `data`, and was trained elsewhere
    works, notes = _model(model)
    data_works, told = _data(data) if trained else ([], ["the file does not say on which data it was trained"])
    works, notes = works + data_works, notes + told
    if first := start.get("run"):
        notes.append(f"its first weights are those of {first}: cite what that stands on, too (intertwine cite {first})")
    return works + _programs(model, data, trained), notes


def _model(section: Mapping[str, Any]) -> tuple[list[Work], list[str]]:
    name = str(section.get("name"))
    if name not in PAPERS:
        return [Work("model", name, "the architecture", None)], [
            f"the paper of the model {name} is not known here: ask who wrote it"
        ]
    why = ["the architecture"] + ["its parts"] * (len(PAPERS[name]) - 1)
    return [Work("model", name, *pair) for pair in zip(why, PAPERS[name], strict=True)], []


def _data(section: Mapping[str, Any]) -> tuple[list[Work], list[str]]:
    works, notes = [], []
    for source in dict.fromkeys(
        str(section[part]) for part in ("source", "test") if section.get(part) not in (None, "none")
    ):
        if source in DATASETS:
            works += [Work("data", source, DATASETS[source].source, paper) for paper in DATASETS[source].papers]
        else:
            notes.append(f"the source of the data {source} is not known here: ask who made them")
    return works, notes


def _programs(model: Mapping[str, Any], data: Mapping[str, Any], trained: bool) -> list[Work]:
    kind = MODELS.get(str(model.get("name")))
    used = {
        "torch": True,
        "torch_geometric": True,
        "e3nn": kind is not None and kind.CARD.geometry == "spherical tensor",
        "ase": trained and data.get("source") not in DATASETS,
        "lightning": trained,
        "vesin": isinstance(model.get("cutoff"), int | float),
    }
    return [Work("program", name, WHY[name], PROGRAMS[name]) for name, used_it in used.items() if used_it]
