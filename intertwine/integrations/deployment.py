"""From a run to a deployed file: radial networks as tables of so many knots as the stated error needs, test vectors,
certificate.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from torch import Tensor

from intertwine.certify import Certificate
from intertwine.data import to_graph
from intertwine.data.suspicion import Seen
from intertwine.geometry import Graph, connect, six
from intertwine.integrations.calculator import Calculator
from intertwine.integrations.conformance import BOUNDS, Say, Subject, Vector, conformance
from intertwine.nn.frozen_radial import embedding_of, frozen
from intertwine.numerics import Caution, DataError, InputError, IntertwineError
from intertwine.numerics.checkpoint import version
from intertwine.tasks import ForceField
from intertwine.training import Run, load_run, predict, test_set, trial_graphs
from intertwine.training.deployed import PLAIN, SPLINES, SUFFIX, Deployed, hash_of, is_deployed, write_deployed
from intertwine.training.evaluation import inputs_of
from intertwine.training.folder import CERTIFICATE, SEEN, from_deployed, read_json
from intertwine.training.start import fingerprint
from intertwine.training.summary import files_of

FEWEST_KNOTS, MOST_KNOTS = 128, 2048  # intervals up to the cutoff that are tried
TESTED, MOST_ATOMS = 6, 64  # structures of test vectors, and atoms of each
BETWEEN_IMAGES_ANGSTROM = 2.5  # from a molecule to its image, where test vectors lack a periodic structure
UNITS = {"positions": "A", "energy": "eV", "forces": "eV/A", "stress": "eV/A^3"}
DTYPES = (torch.float64, torch.float32)


def deploy(
    run: Run | Path | str, path: Path | str, *, data: str | Path | None = None, say: Say | None = None
) -> dict[str, Any]:
    """Write a trained force field as a deployed file: one safetensors file that calculators and commands read as they
    read the run.

    Radial networks of MACE and NequIP become tables. A run that was trained at knots keeps them; of another the number
    of knots is doubled from 128 on until energies and forces differ from the run's by at most 1e-6 of their root mean
    square in float64 and 2e-5 in float32. A model without radial networks, or one that 2048 knots do not suffice for,
    is deployed plain.

    Args:
        run: a run folder, or :class:`~intertwine.training.Run`.
        path: the file, which ends in ``.iw``.
        data: where the run's data are now; None where they were.
        say: told what the certificate tries.

    Returns:
        What the file says of itself: ``form``, ``knots``, ``errors`` by precision, ``tested_on``, ``certificate`` ...

    Raises:
        InputError: the task has no forces, the run is a deployed file, or the name does not end in .iw.
        CheckpointError: the run can't be read, or the file not written.
        DataError: no structure to test on can be made.
    """
    path = Path(path)
    if not is_deployed(path):
        remedy = f"call it {path.stem}{SUFFIX}."
        raise InputError(f"a deployed file called {path.name}", where="path", remedy=remedy)
    run, at = (run, run.folder) if isinstance(run, Run) else (load_run(run, device="cpu"), Path(run))
    if run.deployed is not None:
        raise InputError("is a deployed file already", where=str(run.folder), remedy="give the run folder it is of.")
    if not isinstance(run.task, ForceField):
        remedy = "train on energies and forces, --task force_field; other tasks are exported: intertwine export."
        raise InputError(f"has no forces: it learned the task {run.task.name}", where=str(run.folder), remedy=remedy)
    task = copy.deepcopy(run.task).cpu().eval().requires_grad_(False)
    graphs, source = structures_of(run, task, data)
    told = {dtype: _answers(task, graphs, dtype) for dtype in DTYPES}
    chosen, knots, errors = choose_knots(task, graphs, told)
    content = Deployed(
        _about(run, at, chosen, knots, errors, [source, *map(_formula, graphs)]), _tensors(run, chosen, graphs, told)
    )
    certificate = certify_deployed(from_deployed(content, path, run.allow), say=say)
    content.about["certificate"] = certificate.to_json()
    write_deployed(path, content)
    return content.about


def choose_knots(
    task: ForceField, graphs: Sequence[Graph], told: Mapping[torch.dtype, Sequence[Mapping[str, Tensor]]]
) -> tuple[ForceField, int, dict[str, dict[str, float]]]:
    """The frozen task, its number of knots (0 if it is plain), and its errors by precision and quantity.

    Args:
        task: of a run.
        graphs: structures.
        told: what the task says of them, by precision.
    """
    embedding = embedding_of(task)
    errors: dict[str, dict[str, float]] = {}
    if embedding is not None and task.dtype in DTYPES:
        own = embedding.spline.knots if embedding.spline is not None else None
        knots = own or FEWEST_KNOTS
        while knots <= max(MOST_KNOTS, own or 0):
            candidate: Any = frozen(task, knots)
            errors = {}
            for dtype in DTYPES:
                errors[_short(dtype)] = errors_of(told[dtype], _answers(candidate, graphs, dtype), task, graphs)
                if max(errors[_short(dtype)].values()) > BOUNDS[dtype]:
                    break
            else:
                return candidate, knots, errors
            if own:
                break
            knots *= 2
    return task, 0, {_short(dtype): dict.fromkeys(("energy", "forces"), 0.0) for dtype in DTYPES}


def errors_of(
    said: Sequence[Mapping[str, Tensor]],
    other: Sequence[Mapping[str, Tensor]],
    task: ForceField,
    graphs: Sequence[Graph],
) -> dict[str, float]:
    """The largest difference of energies and forces, over their root mean square; of energies beyond the references.

    Args:
        said, other: predictions for the graphs.
        task: which has the references.
        graphs: the structures.
    """
    beyond = [s["energy"] - task.references(g.z, g.membership(), 1) for s, g in zip(said, graphs, strict=True)]
    result = {}
    for name, parts in (("energy", beyond), ("forces", [s["forces"] for s in said])):
        size = float(torch.cat([part.double().flatten() for part in parts]).square().mean().sqrt())
        differences = [(s[name].double() - o[name].double()).abs().max() for s, o in zip(said, other, strict=True)]
        result[name] = float(max(differences)) / max(size, 1e-12)
    return result


def structures_of(run: Run, task: ForceField, data: str | Path | None = None) -> tuple[list[Graph], str]:
    """Structures of the run's test set, or without its data molecules and crystals of its species; each species alone;
    and in words which they are.

    Args:
        run: of the task. task: in any precision. data: where the run's data are now.

    Raises:
        DataError: none can be made: the model reads other fields than species and positions, which only data have.
    """
    names = inputs_of(task)
    try:
        test = test_set(run, data=data)
        graphs, source = [test[k] for k in range(min(TESTED, len(test)))], "structures of the test set of the run"
    except IntertwineError:
        if data is not None:
            raise
        source = "structures made of the species of the run"
        try:
            graphs = [graph for graph in trial_graphs(task) if graph.num_nodes > 1]
        except DataError:
            graphs = []
        graphs = [graph for graph in graphs if not run.species or set(graph.z.tolist()) <= set(run.species)]
        graphs = graphs[:TESTED] or ([] if names else _made(run))
    small = [graph for graph in graphs if 1 < graph.num_nodes <= MOST_ATOMS]
    kept = [_bare(graph, names) for graph in (small or graphs[:1])]
    if not kept:
        raise DataError(
            "no structure to test the file on", where=str(run.folder), remedy="say where its data are: --data PATH."
        )
    if not names and task.cutoff is not None and not any(graph.periodic for graph in kept):
        kept.append(_boxed(min(kept, key=lambda graph: abs(graph.num_nodes - 8))))
    species = sorted({z for graph in kept for z in graph.z.tolist()} | set(run.species))
    singles = [] if names else [Graph(torch.zeros(1, 3, dtype=torch.float64), z=[z]) for z in species]
    return kept + singles, source


def subject_of(run: Run) -> Subject:
    """What is tried of a deployed file: its calculator, its batches, its test vectors."""
    assert run.deployed is not None  # of a deployed file

    def make(dtype: torch.dtype) -> Calculator:
        return Calculator(run, dtype=dtype, device="cpu")

    def batched(structures: Sequence[Atoms]) -> np.ndarray:
        exact = copy.copy(run)
        exact.task = copy.deepcopy(run.task).double()
        return np.array([each["energy"].item() for each in predict(exact, structures, batch_size=len(structures))])

    return Subject(str(run.folder), make, vectors_of(run), run.task.cutoff, batched)


def certify_deployed(run: Run, *, slow: bool = False, say: Say | None = None) -> Certificate:
    """The certificate of a deployed file, :func:`~intertwine.integrations.conformance.conformance`.

    Args:
        run: read from the file. slow: also more than 10,000 atoms. say: told what is tried.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Caution)  # trials are far from all training data, on purpose
        return conformance(subject_of(run), slow=slow, say=say)


def vectors_of(run: Run) -> list[Vector]:
    """The test vectors of a deployed file."""
    assert run.deployed is not None  # of a deployed file
    vectors = []
    for number, words in enumerate(run.deployed.about["test_vectors"]):
        part = run.deployed.part(f"test.{number}")
        atoms = Atoms(part["z"].numpy(), part["pos"].numpy())
        if "cell" in part:
            atoms.set_cell(part["cell"].reshape(3, 3).numpy())
            atoms.pbc = part["pbc"].reshape(3).numpy()
        for name in inputs_of(run.task):
            if name in part:
                atoms.set_array(name, part[name].numpy())
        values = {
            dtype: {
                name: part[f"{name}.{_short(dtype)}"].numpy()
                for name in ("energy", "forces", "stress")
                if f"{name}.{_short(dtype)}" in part
            }
            for dtype in DTYPES
        }
        vectors.append(Vector(words, atoms, values))
    return vectors


def _about(
    run: Run, at: Path, task: ForceField, knots: int, errors: dict[str, Any], tested_on: list[str]
) -> dict[str, Any]:
    """The header's JSON; weights that are no run's own, at this path, have their file's name and no certificate."""
    folder = files_of(at)[1] if at.suffix == ".safetensors" else at
    config, references = run.config.sections(), task.references.values.tolist()
    seen = Seen.load(folder / SEEN) if folder is not None else None
    return {
        "version": version(),
        "model": {
            "name": config["model"]["name"],
            "arguments": {k: v for k, v in config["model"].items() if k != "name"},
        },
        "species": [int(z) for z in run.species],
        "references": {chemical_symbols[z]: references[z] for z in run.species},
        "references_not_told_apart": [chemical_symbols[z] for z in seen.not_told_apart()] if seen is not None else [],
        "cutoff": task.cutoff,
        "units": UNITS,
        "precision": _short(task.dtype),
        "form": SPLINES if knots else PLAIN,
        "knots": knots,
        "errors": errors,
        "bounds": {_short(dtype): bound for dtype, bound in BOUNDS.items()},
        "tested_on": tested_on[0],
        "test_vectors": tested_on[1:],
        "weights_sha256": hash_of(task.state_dict()),
        "run": {
            "name": folder.resolve().name if folder else at.stem,
            "weights_sha256": fingerprint(run.task),
            "certificate": read_json(folder / CERTIFICATE).get("summary") if folder else None,
        },
        "configuration": config,
        "label_units": dict(run.units),
        "epoch": run.epoch,
        "which": run.which,
    }


def _tensors(
    run: Run, task: ForceField, graphs: Sequence[Graph], told: Mapping[torch.dtype, Sequence[Mapping[str, Tensor]]]
) -> dict[str, Tensor]:
    tensors = {f"weights.{name}": value for name, value in task.state_dict().items()}
    for name, baseline in run.task.baselines.items():
        if baseline.coefficients is not None:
            tensors[f"baseline.{name}"] = baseline.coefficients
    if run.domain is not None:
        for name, array in run.domain.arrays().items():
            tensors[f"domain.{name.removeprefix('domain_')}"] = torch.from_numpy(np.ascontiguousarray(array))
    for number, graph in enumerate(graphs):
        fields = {name: value for name, value in graph.to_dict().items() if isinstance(value, Tensor)}
        tensors |= {f"test.{number}.{name}": value for name, value in fields.items()}
        for dtype, answers in told.items():
            tensors |= {f"test.{number}.{name}.{_short(dtype)}": value for name, value in answers[number].items()}
    return tensors


def _answers(task: ForceField, graphs: Sequence[Graph], dtype: torch.dtype) -> list[dict[str, Tensor]]:
    """Energy, forces and stress (six numbers) of each graph in one precision."""
    cast, answers = copy.deepcopy(task).to(dtype).eval(), []
    for graph in graphs:
        with torch.inference_mode(False):
            raw = cast(connect(graph, cast.cutoff))
        answer = {name: value.detach() for name, value in raw.items() if name in ("energy", "forces")}
        if "stress" in raw and bool(raw["stress"].isfinite().all()):
            answer["stress"] = torch.from_numpy(np.ascontiguousarray(six(raw["stress"].detach().numpy())))
        answers.append(answer)
    return answers


def _bare(graph: Graph, names: Sequence[str]) -> Graph:
    """Species, positions, cell and the model's inputs, in float64."""
    kept = ("pos", "z", "cell", "pbc", *names)
    return Graph(**{name: graph[name] for name in kept if graph.get(name) is not None}).cast(torch.float64)


def _boxed(graph: Graph) -> Graph:
    """A molecule in a periodic box so narrow that it sees its images."""
    atoms = Atoms(graph.z.numpy(), graph.pos.numpy())
    atoms.set_cell(np.ptp(atoms.positions, axis=0) + BETWEEN_IMAGES_ANGSTROM)
    atoms.pbc = True
    return to_graph(atoms)


def _made(run: Run) -> list[Graph]:
    """Rattled lattices of the species of a run, open and periodic, at distances of their covalent radii."""
    generator, graphs = np.random.default_rng(0), []
    numbers = [z for z in run.species if z] or [6]
    for atoms, pbc in ((4, False), (7, False), (8, True)):
        chosen = [numbers[k % len(numbers)] for k in range(atoms)]
        apart = 2.2 * max(covalent_radii[z] for z in chosen)
        grid = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3)[:atoms]
        positions = apart * grid + generator.normal(0, 0.05 * apart, (atoms, 3))
        made = Atoms(chosen, positions, cell=[2 * apart] * 3 if pbc else None, pbc=pbc)
        graphs.append(to_graph(made))
    return graphs


def _formula(graph: Graph) -> str:
    atoms = Atoms(graph.z.numpy())
    return (
        ("an atom of " if len(atoms) == 1 else "")
        + atoms.get_chemical_formula()
        + (", periodic" if graph.periodic else "")
    )


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
