"""LAMMPS with a force field in it says what ASE says, conserves energy, and never goes on with old forces."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.lammps import Prism
from ase.io.lammpsdata import read_lammps_data, write_lammps_data
from engines_beside_ase import AGREEMENT, ase, assert_conserved, chain, ethanol, silicon, spring, triclinic

from intertwine.integrations import Calculator, LammpsField, open_lammps, run_lammps
from intertwine.integrations.engines import lammps_library
from intertwine.integrations.engines.lammps_fix import UNITS
from intertwine.integrations.engines.lammps_input import divided
from intertwine.numerics import Caution, DataError, InputError

__all__ = ["spring"]
QUIET = ["-log", "none", "-screen", "none"]
PRESSURE = {"metal": 1e-4 * units.GPa, "real": 101325 * units.Pascal, "electron": units.Pascal}  # eV/A^3
SIX = ("pxx", "pxy", "pxz", "pyy", "pyz", "pzz")


@pytest.fixture
def engine() -> Any:
    """An open LAMMPS."""
    pytest.importorskip("lammps")
    opened = open_lammps(QUIET)
    yield opened
    opened.close()


def load(engine: Any, atoms: Atoms, folder: Path, system: str = "metal", boundary: str = "p p p") -> list[str]:
    """A structure as LAMMPS reads it from a file; the elements of its types."""
    elements = sorted(set(atoms.symbols))
    file = folder / "in.data"
    write_lammps_data(file, atoms, specorder=elements, units=system, masses=True)
    engine.commands_string(f"units {system}\nboundary {boundary}\natom_style atomic\nread_data {file}\n")
    return elements


def asked(engine: Any, atoms: Atoms, system: str = "metal") -> tuple[float, np.ndarray, np.ndarray]:
    """Energy (eV), forces (eV/A) and stress (eV/A^3) of LAMMPS's step 0, turned back as the structure was."""
    prism, (energy, length) = Prism(atoms.cell.array, pbc=atoms.pbc), UNITS[system]
    engine.commands_string(f"thermo_style custom step pe {' '.join(SIX)}\nthermo_modify norm no\nrun 0\n")
    forces = np.empty((len(atoms), 3))
    own = slice(0, len(atoms))  # ghosts follow
    forces[engine.numpy.extract_atom("id").ravel()[own] - 1] = engine.numpy.extract_atom("f")[own]
    upper = [-PRESSURE[system] * engine.get_thermo(name) for name in SIX]
    stress = np.zeros((3, 3))
    stress[np.triu_indices(3)] = upper
    stress += np.triu(stress, 1).T
    turned = prism.vector_to_ase(forces) * energy / length
    return engine.get_thermo("pe") * energy, turned, prism.tensor2_to_ase(stress)


@pytest.mark.parametrize("system", ["metal", "real", "electron"])
def test_a_triclinic_cell_of_two_elements(system: str, engine, force_field, tmp_path) -> None:
    task, atoms = force_field(scale=5.0), triclinic()
    LammpsField(engine, task, load(engine, atoms, tmp_path, system))
    energy, forces, stress = asked(engine, atoms, system)
    expected = ase(task, atoms)
    assert abs(energy - expected.get_potential_energy()) < AGREEMENT
    assert np.abs(forces - expected.get_forces()).max() < AGREEMENT
    assert np.abs(forces).max() > 0.1
    assert np.abs(stress - expected.get_stress(voigt=False)).max() < AGREEMENT
    assert np.abs(stress[np.triu_indices(3, 1)]).max() > 1e-4  # shear too


def test_a_molecule_and_its_virial(engine, force_field, tmp_path) -> None:
    """Without periods LAMMPS's pressure is the virial over the volume of its box."""
    task, atoms = force_field(scale=5.0), ethanol()
    atoms.set_cell(np.diag([14.0, 15.0, 16.0]))
    atoms.center()
    LammpsField(engine, task, load(engine, atoms, tmp_path, boundary="f f f"))
    energy, forces, stress = asked(engine, atoms)
    free = ase(task, atoms)
    assert abs(energy - free.get_potential_energy()) < AGREEMENT
    assert np.abs(forces - free.get_forces()).max() < AGREEMENT
    periodic = atoms.copy()
    periodic.pbc = True
    assert np.abs(stress - ase(task, periodic).get_stress(voigt=False)).max() < AGREEMENT
    assert np.abs(stress).max() > 1e-5


def test_a_chain_and_its_virial(engine, force_field, tmp_path) -> None:
    task, atoms = force_field(scale=5.0), chain()
    atoms.positions += [0.0, 4.0, 4.0]
    LammpsField(engine, task, load(engine, atoms, tmp_path, boundary="p f f"))
    energy, forces, stress = asked(engine, atoms)
    roomy = atoms.copy()
    roomy.pbc = True  # with a period of 9 A across, and a cutoff of 3 A
    expected = ase(task, roomy)
    assert abs(energy - ase(task, atoms).get_potential_energy()) < AGREEMENT
    assert np.abs(forces - expected.get_forces()).max() < AGREEMENT
    assert np.abs(stress - expected.get_stress(voigt=False)).max() < AGREEMENT


def test_energy_is_conserved_in_two_thousand_steps(engine, spring, tmp_path) -> None:
    atoms = silicon()
    held = LammpsField(engine, spring, load(engine, atoms, tmp_path))
    engine.commands_string("velocity all create 300 1\ntimestep 0.001\nfix move all nve\nthermo_modify norm no\n")
    rows = []
    for _ in range(100):
        engine.command("run 20 post no")
        rows.append((engine.get_thermo("etotal"), engine.get_thermo("pe")))
    held.check()
    assert held.calls == 2000 + 100
    assert held.calculator.rebuilds < 200
    total, potential = np.array(rows).T
    assert_conserved(total, potential)
    assert abs(potential[-1] - held.atoms.get_potential_energy()) < AGREEMENT


SCRIPT = """units metal
atom_style atomic
pair_style intertwine   # takes no more words
read_data in.data
pair_coeff * * &
    C Si
variable n index 3
fix move all nve
thermo 1
variable round loop 2
label again
run $n
next round
jump SELF again
write_data out.data
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An input file with a loop, a variable and a line that goes on, and its structure."""
    pytest.importorskip("lammps")
    monkeypatch.chdir(tmp_path)
    write_lammps_data("in.data", triclinic(), specorder=["C", "Si"], units="metal", masses=True)
    path = tmp_path / "in.lammps"
    path.write_text(SCRIPT)
    return path


def test_an_input_file(script: Path, force_field) -> None:
    task = force_field(scale=5.0)
    done = run_lammps(task, script, variables={"n": "2"}, arguments=QUIET)
    assert (done.step, done.calls) == (4, 6)  # a call more at the start of each run
    last = read_lammps_data("out.data", atom_style="atomic", units="metal")
    assert np.allclose(ase(task, done.atoms).get_forces(), done.atoms.get_forces())
    assert np.allclose(last.get_volume(), done.atoms.get_volume())
    assert "intertwine" not in Path("out.data").read_text()


class Failing(Calculator):
    """Fails at the sixth call."""

    error: type[BaseException] = MemoryError
    count = 0

    def calculate(self, *arguments: Any, **options: Any) -> None:
        self.count += 1
        if self.count == 6:
            raise self.error("no more")
        super().calculate(*arguments, **options)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_a_failure_inside_stops_the_run_and_writes_nothing(error: type, script: Path, force_field) -> None:
    calculator = Failing(force_field())
    calculator.error = error
    with pytest.raises(error, match="no more"):
        run_lammps(calculator, script, arguments=QUIET)
    assert not Path("out.data").exists()
    assert calculator.count == 6


@pytest.mark.parametrize(
    ("former", "new", "message"),
    [
        ("pair_style intertwine", "pair_style zero 3.0", "in.lammps: there is no `pair_style intertwine`"),
        ("pair_style intertwine", "pair_style hybrid/overlay intertwine zbl 1 2", "line 3: .* takes no more words"),
        ("pair_coeff", "# pair_coeff", "Unknown|no pair_coeff"),
        ("pair_coeff * *", "pair_coeff 1 1", r"is not `pair_coeff \* \* ...`"),
        ("C Si", "C", "1 elements .* for 2 types"),
        ("C Si", "C Sj", "unknown element 'Sj'"),
        ("thermo 1", "clear", "line 9: `clear` takes the force field away"),
        ("thermo 1", "pair_style zero 3.0", "line 9: a second pair_style"),
        ("thermo 1", "unfix intertwine", "the force field was removed"),
        ("thermo 1", "compute a all stress/atom NULL", "no energies and stresses of single atoms"),
        ("units metal", "units lj", "unknown units 'lj'"),
        ("read_data in.data", "", "there is no box yet"),
        ("fix move", "fxi move", "LAMMPS stopped: Unknown command: fxi"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(former: str, new: str, message: str, script: Path, force_field) -> None:
    script.write_text(SCRIPT.replace(former, new, 1))
    with pytest.raises(InputError, match=message) as raised:
        run_lammps(force_field(), script, arguments=QUIET)
    assert raised.value.remedy


def test_elements_in_another_order_than_the_masses_are_said(script: Path, force_field) -> None:
    script.write_text(SCRIPT.replace("C Si", "Si C"))
    with pytest.warns(Caution, match="type 1 is Si, and its mass is 12.011 amu"):
        run_lammps(force_field(), script, arguments=QUIET)


def test_an_element_that_was_not_trained_on(script: Path, force_field) -> None:
    calculator = Calculator(force_field())
    calculator.species = (1, 6)
    with pytest.raises(DataError, match="Si"):
        run_lammps(calculator, script, arguments=QUIET)
    assert calculator.rebuilds == 0


def test_a_file_is_divided_at_its_coefficients() -> None:
    before, elements, after = divided(SCRIPT, "x")
    assert elements == ["C", "Si"]
    assert before == SCRIPT[: SCRIPT.index("pair_coeff")].replace("pair_style intertwine   # takes no more words", "")
    assert after == SCRIPT[SCRIPT.index("variable n") :]


class Engine:
    """Says what an old LAMMPS, or one of several processes, says of itself."""

    def __init__(self, version: int = 20250722, processes: int = 1) -> None:
        self.closed, self._version, self._processes = False, version, processes

    def version(self) -> int:
        return self._version

    def extract_setting(self, name: str) -> int:
        return {"world_size": self._processes}[name]

    def close(self) -> None:
        self.closed = True


def substitute(monkeypatch: pytest.MonkeyPatch, opened: Callable[..., Any]) -> None:
    """Another module for that of LAMMPS."""
    module = ModuleType("lammps")
    module.lammps = opened  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lammps", module)


@pytest.mark.parametrize(
    ("facts", "message"), [({"version": 20210101}, "LAMMPS is of 20210101"), ({"processes": 4}, "runs in 4 processes")]
)
def test_too_old_and_too_many(facts: dict[str, int], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Engine(**facts)
    substitute(monkeypatch, lambda cmdargs: made)
    with pytest.raises(InputError, match=message):
        open_lammps()
    assert made.closed


def test_missing_and_without_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lammps", None)
    with pytest.raises(InputError, match=r"missing[\s\S]*pip install lammps mpich"):
        open_lammps()

    def no_mpi(cmdargs: list[str]) -> Any:
        raise OSError("libmpi.so.12: cannot open shared object file")

    substitute(monkeypatch, no_mpi)
    monkeypatch.setattr(lammps_library.importlib.metadata, "files", lambda name: None)
    with pytest.raises(InputError, match=r"can't be loaded: libmpi"):
        open_lammps()


def test_the_library_of_mpi_is_loaded_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def opened(cmdargs: list[str]) -> Engine:
        if not loaded:
            raise OSError("libmpi.so.12: cannot open shared object file")
        return Engine()

    substitute(monkeypatch, opened)
    files = [SimpleNamespace(name=name, locate=lambda name=name: f"/there/{name}") for name in ("a", "libmpi.so.12")]
    monkeypatch.setattr(lammps_library.importlib.metadata, "files", lambda name: files)
    monkeypatch.setattr(ctypes, "CDLL", lambda path, mode: loaded.append(path))
    assert isinstance(open_lammps(), Engine)
    assert loaded == ["/there/libmpi.so.12"]
