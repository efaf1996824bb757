"""Deployed files: what is in them, how they are read, what is refused, and what their certificate sees."""

from __future__ import annotations

import copy
import json
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from deployed_files import deployed, force_field, run_of

from intertwine.data import to_graph
from intertwine.geometry import connect
from intertwine.integrations import Calculator
from intertwine.integrations.conformance import TESTS, Subject, conformance
from intertwine.integrations.deployment import choose_knots, deploy, subject_of
from intertwine.integrations.frozen import stepper_of
from intertwine.models import MODELS
from intertwine.numerics import CheckpointError, DataError, InputError
from intertwine.numerics.checkpoint import checksum_of
from intertwine.tasks import ForceField
from intertwine.training import Run, load_run, predict
from intertwine.training.deployed import read_deployed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deployed")


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    """Of a small MACE that was trained at 128 knots."""
    return deployed(force_field("mace", knots=128), folder)


@pytest.fixture(scope="module")
def run(file: Path) -> Run:
    return load_run(file, device="cpu")


def ethanol(seed: int = 1) -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=seed)
    return atoms


def test_a_file_says_what_it_is(file: Path, run: Run) -> None:
    about = read_deployed(file).about
    assert about["form"] == "splines"
    assert about["knots"] == 128
    assert about["certificate"]["passed"], about["certificate"]["summary"]
    assert about["errors"]["float64"]["forces"] <= 1e-6
    assert about["errors"]["float32"]["forces"] <= 2e-5
    assert about["references"] == {"H": -13.6, "C": -1029.4, "O": -2042.7}
    assert (about["cutoff"], about["units"]["forces"], about["species"]) == (3.0, "eV/A", [1, 6, 8])
    assert run.species == (1, 6, 8)
    assert run.units == {"energy": "eV"}
    assert not any(parameter.requires_grad for parameter in run.task.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_calculators_of_file_and_run_agree(file: Path, folder: Path, dtype: torch.dtype) -> None:
    mine, eager = (Calculator(path, dtype=dtype) for path in (file, folder / "model.safetensors"))
    bound = {torch.float64: 1e-6, torch.float32: 2e-5}[dtype]
    for seed in range(3):
        one, two = ethanol(seed), ethanol(seed)
        one.calc, two.calc = mine, eager
        size = np.sqrt(np.mean(two.get_forces() ** 2))
        assert np.abs(one.get_forces() - two.get_forces()).max() <= bound * size
        assert abs(one.get_potential_energy() - two.get_potential_energy()) <= bound
        assert np.abs(one.get_potential_energies() - two.get_potential_energies()).max() <= bound
    assert mine.rebuilds == 1 + 2 * int(mine.rebuilds > 1)


def test_predictions_of_a_file_are_those_of_its_calculator(file: Path, run: Run) -> None:
    run.task.double()
    energies = [each["energy"].item() for each in predict(run, [ethanol(1), ethanol(2)])]
    calculator = Calculator(file, dtype=torch.float64)
    for energy, seed in zip(energies, (1, 2), strict=True):
        atoms = ethanol(seed)
        atoms.calc = calculator
        assert abs(atoms.get_potential_energy() - energy) < 1e-9


def test_threads_have_their_own_steps(file: Path) -> None:
    calculator, found = Calculator(file, dtype=torch.float64), {}
    expected = {}
    for seed in range(3):
        atoms = ethanol(seed)
        atoms.calc = Calculator(file, dtype=torch.float64)
        expected[seed] = atoms.get_forces()

    def work(seed: int) -> None:
        for _ in range(5):
            atoms = ethanol(seed)
            atoms.calc = calculator
            found[seed] = atoms.get_forces()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.abs(found[seed] - expected[seed]).max() < 1e-10 for seed in range(3))


def test_as_many_knots_as_the_stated_error_needs() -> None:
    task = force_field("nequip", layers=1)
    graphs = [connect(to_graph(ethanol()), 3.0)]
    told = {dtype: [copy.deepcopy(task).to(dtype)(graphs[0])] for dtype in (torch.float64, torch.float32)}
    frozen, knots, errors = choose_knots(task, graphs, told)
    assert knots in (256, 512, 1024)
    assert max(errors["float64"].values()) <= 1e-6
    assert max(errors["float32"].values()) <= 2e-5
    assert stepper_of(frozen) is not None


def test_a_model_without_tables_is_deployed_plain(tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = ForceField(MODELS["painn"](width=4, layers=1, cutoff=3.0, species=(1, 8))).eval()
    about = deploy(run_of(task, tmp_path, (1, 8)), tmp_path / "plain.iw")
    assert (about["form"], about["knots"]) == ("plain", 0)
    assert about["certificate"]["passed"], about["certificate"]["summary"]
    water = molecule("H2O")
    water.calc = Calculator(tmp_path / "plain.iw")
    assert np.isfinite(water.get_forces()).all()


# ------------------------------------------------------------------------------------------------------ what is refused


def rewritten(file: Path, target: Path, change: Callable[[dict[str, Any]], None], *, seal: bool = True) -> Path:
    """The file with another header, whose checksum is right if it is sealed."""
    from safetensors.torch import load, save

    data = file.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header, tensors = json.loads(data[8 : 8 + length])["__metadata__"], load(data)
    change(header)
    if seal:
        header["checksum"] = checksum_of(tensors, header)
    target.write_bytes(save(tensors, metadata=header))
    return target


def other_hash(header: dict[str, Any]) -> None:
    about = json.loads(header["about"])
    header["about"] = json.dumps(about | {"weights_sha256": "0" * 64})


BROKEN: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "newer schema": (
        lambda f, t: rewritten(f, t, lambda h: h.update(schema="7")),
        "has schema 7, this version reads 1",
    ),
    "no schema": (lambda f, t: rewritten(f, t, lambda h: h.pop("schema")), "has schema None"),
    "other hash": (lambda f, t: rewritten(f, t, other_hash), "weights are not those that it names"),
    "other header": (lambda f, t: rewritten(f, t, other_hash, seal=False), "does not match its checksum"),
    "another program's": (lambda f, t: rewritten(f, t, lambda h: h.update(format="pt")), "is not a deployed model"),
    "truncated": (lambda f, t: t.write_bytes(f.read_bytes()[:-100]) and t, "is truncated or damaged"),
    "truncated header": (lambda f, t: t.write_bytes(f.read_bytes()[:500]) and t, "is truncated"),
    "text": (lambda f, t: t.write_text("hello") and t, "is not a deployed model"),
    "empty": (lambda f, t: [t.write_bytes(b""), t][1], "is not a deployed model"),
    "absent": (lambda f, t: t, "can't be read"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_files_that_are_refused(kind: str, file: Path, tmp_path: Path) -> None:
    make, words = BROKEN[kind]
    with pytest.raises(CheckpointError, match=words) as caught:
        load_run(make(file, tmp_path / "other.iw"), device="cpu")
    assert "other.iw" in caught.value.where
    assert "intertwine deploy" in caught.value.remedy


def test_an_unknown_species_is_named(file: Path) -> None:
    atoms = Atoms("HF", [[0, 0, 0], [0, 0, 0.9]])
    atoms.calc = Calculator(file)
    with pytest.raises(DataError, match=r"unknown species: atomic numbers \[9\]"):
        atoms.get_forces()


def test_what_can_not_be_deployed(file: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a deployed file called model\.pt"):
        deploy(folder / "model.safetensors", tmp_path / "model.pt")
    with pytest.raises(InputError, match="is a deployed file already"):
        deploy(file, tmp_path / "again.iw")


# ------------------------------------------------------------------------------------------ what its certificate sees


class Faulty(Calculator):
    """A calculator with a fault."""

    fault = ""

    def calculate(self, *arguments: Any, **options: Any) -> None:
        before = (
            self.results.get("forces") if self.fault != "forces of the step before" else getattr(self, "last", None)
        )
        try:
            super().calculate(*arguments, **options)
        except Exception:
            if self.fault != "results after a failure":
                raise
            self.results = self.former
            return
        self.former = dict(self.results)
        results, self.last = dict(self.results), self.results["forces"]
        if self.fault == "forces of the step before" and before is not None and before.shape == self.last.shape:
            results["forces"] = before
        elif self.fault == "sign of the virial" and "stress" in results:
            results["stress"] = -results["stress"]
        elif self.fault == "energy of odd numbers" and len(self.atoms) % 2:
            results["energy"] += 1e-3
        elif self.fault == "float16":
            results["forces"] = results["forces"].astype(np.float16).astype(np.float64)
        self.results = results


FAULTS = {
    "": [],
    "forces of the step before": ["as the eager model", "after a move"],
    "sign of the virial": ["as the eager model", "stress by differences"],
    "energy of odd numbers": ["odd and even numbers of atoms", "1,023, 1,024 and 1,025 atoms"],
    "float16": ["as the eager model", "forces by differences"],
    "results after a failure": ["after a failure"],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_certificate_sees_seeded_faults(fault: str, run: Run) -> None:
    def make(dtype: torch.dtype) -> Faulty:
        calculator = Faulty(run, dtype=dtype, device="cpu")
        calculator.fault = fault
        return calculator

    sound = subject_of(run)
    subject = Subject("faulty", make, sound.vectors, sound.cutoff, None, [torch.float64])
    certificate = conformance(subject, only=FAULTS[fault] or ["as the eager model", "after a move", "after a failure"])
    assert certificate.passed == (not fault)
    assert set(certificate.failed) == set(FAULTS[fault])


def test_every_test_is_in_the_certificate_of_a_file(file: Path) -> None:
    lines = read_deployed(file).about["certificate"]["lines"]
    tried = {line["test"] for line in lines if line["verdict"] == "passed" and line["dtype"] == "float64"}
    assert tried == set(TESTS) - {"more than 10,000 atoms"}


def test_weights_that_lie_in_the_folder_of_another_run_get_neither_its_name_nor_its_certificate(tmp_path: Path) -> None:
    run_of(force_field("mace", knots=64), tmp_path)
    (tmp_path / "config.toml").write_text("[data]\nsource = 'other.xyz'\n")
    (tmp_path / "certificate.json").write_text('{"summary": "passed: another run"}')
    about = deploy(tmp_path / "model.safetensors", tmp_path / "a.iw")
    assert (about["run"]["name"], about["run"]["certificate"]) == ("model", None)
