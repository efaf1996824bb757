"""Normal modes and intensities beside exact values, PySCF, finite differences and the rules of symmetry."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from ase.vibrations import Vibrations as AseVibrations

from intertwine import Calculator, Graph, NequIP, Property
from intertwine.data.embedded import MOLECULES
from intertwine.integrations import normal_modes, vibrations
from intertwine.integrations.molecular_vibrations import first_derivatives, second_derivatives
from intertwine.integrations.normal_modes import ABSORPTION, WAVENUMBER
from intertwine.numerics import DataError, GeometryError, InputError
from intertwine.o3 import rand_matrix
from intertwine.tasks import ForceField


def atoms_of(name: str) -> Atoms:
    numbers, positions = MOLECULES[name]
    return Atoms(numbers=numbers, positions=positions)


def turned(atoms: Atoms, seed: int = 3) -> Atoms:
    """Rotated and moved."""
    torch.manual_seed(seed)
    other = atoms.copy()
    other.positions = atoms.positions @ rand_matrix(dtype=torch.float64).numpy().T + [3.0, -1.0, 0.5]
    return other


def springs(atoms: Atoms, stretch: float = 30.0) -> Callable[[Graph], torch.Tensor]:
    """An energy (eV) of all distances (eV/A^2), least at a structure."""
    pairs, rest = torch.triu_indices(len(atoms), len(atoms), 1), torch.tensor(atoms.positions)

    def distances(x: torch.Tensor) -> torch.Tensor:
        return (x[pairs[0]] - x[pairs[1]]).norm(dim=1)

    return lambda graph: stretch * (distances(graph.pos) - distances(rest)).square().sum()


@pytest.fixture
def tensors() -> dict[str, Property]:
    """A dipole (e A) and a polarizability (A^3) of random weights."""
    made = {}
    for name, representation, outputs, unit in (
        ("dipole", "1o", "0e+1o", "e*A"), ("polarizability", "ij=ji", "0e+2e", "A^3"),
    ):  # fmt: skip
        torch.manual_seed(1)
        backbone = NequIP(width=8, layers=2, lmax=2, cutoff=4.0, outputs=outputs)
        made[name] = Property(backbone, name, representation, unit=unit).eval()
    return made


def test_two_masses_and_a_spring() -> None:
    """Wavenumber, absorption and activity are the textbook's: sqrt(k/mu) / (2 pi c), and mu' = q / sqrt(mu)."""
    k, q, m = 31.7, 0.4, np.array([1.5, 4.0])
    along = np.array([0, 0, -1, 0, 0, 1.0])
    dipole, alpha = np.zeros((6, 3)), np.zeros((6, 3, 3))
    dipole[:, 2], alpha[:, 2, 2], alpha[:, 0, 0] = q * along, 0.6 * along, 0.2 * along
    found = normal_modes(
        k * np.outer(along, along), m, np.array([[0, 0, 0], [0, 0, 1.1]]),
        dipole_derivatives=dipole, polarizability_derivatives=alpha,
    )  # fmt: skip
    reduced = m.prod() / m.sum()
    omega = np.sqrt(k * units._e * 1e20 / (reduced * units._amu))
    assert found.frequencies == pytest.approx([omega / (2 * np.pi * units._c * 100)], rel=1e-12)
    assert found.infrared == pytest.approx([ABSORPTION * q**2 / reduced], rel=1e-12)
    a, g = 0.8 / 3, 0.5 * (0.2**2 + 0.4**2 + 0.6**2)
    assert found.raman == pytest.approx([(45 * a**2 + 7 * g) / reduced], rel=1e-12)
    assert found.depolarization == pytest.approx([3 * g / (45 * a**2 + 4 * g)], rel=1e-12)
    assert found.rigid == pytest.approx(np.zeros(5), abs=1e-4)
    assert found.zero_point_energy == pytest.approx(0.5 * units._hbar * omega / units._e, rel=1e-9)
    moved = found.modes[0] * np.sqrt(m)[:, None]
    assert np.square(moved).sum() == pytest.approx(1.0)
    assert "km/mol" in str(found)


def test_the_factors_are_the_published_ones() -> None:
    """42.2561 km/mol for (D/A)^2/amu and 1302.79 1/cm for sqrt(mdyn/(A amu)), as tables of spectroscopists have it."""
    assert ABSORPTION * units.Debye**2 == pytest.approx(42.2561, rel=2e-5)
    millidyne = 1e-8 / units._e * 1e-10  # 1e-8 N in eV/A
    assert WAVENUMBER * np.sqrt(millidyne) == pytest.approx(1302.79, rel=2e-5)


@pytest.mark.parametrize("name", ["water", "carbon dioxide"])
def test_frequencies_are_pyscfs(name: str) -> None:
    from pyscf import gto, scf
    from pyscf.hessian import thermo

    atoms = atoms_of(name)
    mol = gto.M(atom=list(zip(atoms.symbols, atoms.positions)), basis="sto-3g", verbose=0)
    field = scf.RHF(mol).run(conv_tol=1e-12)
    second = field.Hessian().kernel()
    theirs = thermo.harmonic_analysis(mol, second)["freq_wavenumber"]
    H = second.transpose(0, 2, 1, 3).reshape(3 * len(atoms), -1) * units.Hartree / units.Bohr**2
    ours = normal_modes((H + H.T) / 2, mol.atom_mass_list(isotope_avg=True), atoms.positions)
    assert len(ours.rigid) == (5 if name == "carbon dioxide" else 6)
    assert ours.frequencies == pytest.approx(np.sort(theirs.real), rel=1e-6)


def test_second_derivatives_are_differences_of_forces(force_field) -> None:
    """And first ones of dipoles, of networks with random weights."""
    atoms, task = atoms_of("ethanol"), force_field("nequip")
    forces, hessian = second_derivatives(task, atoms)
    atoms.calc = Calculator(task)
    assert forces == pytest.approx(atoms.get_forces(), abs=1e-10)
    assert hessian == pytest.approx(hessian.T, abs=1e-10)
    assert np.array_equal(hessian, second_derivatives(atoms.calc, atoms)[1])
    for k in (0, 7, 26):
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions.flat[k] += sign * 1e-4
            moved.calc = atoms.calc
            ends.append(moved.get_forces().ravel())
        assert -(ends[0] - ends[1]) / 2e-4 == pytest.approx(hessian[k], abs=1e-5 * np.abs(hessian).max())
    assert hessian.reshape(27, 9, 3).sum(1) == pytest.approx(np.zeros((27, 3)), abs=1e-9 * np.abs(hessian).max())


class Springs(AseCalculator):
    """A function of a graph as a calculator."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 - ASE's interface

    def __init__(self, energy: Callable[[Graph], torch.Tensor]) -> None:
        super().__init__()
        self.energy = energy

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        x = torch.from_numpy(self.atoms.positions).requires_grad_(True)
        value = self.energy(Graph(x, z=self.atoms.numbers))
        self.results = {"energy": value.item(), "forces": -torch.autograd.grad(value, x)[0].numpy()}


@pytest.mark.parametrize("name", ["methane", "ethanol", "bromochlorofluoromethane"])
def test_frequencies_are_those_of_finite_differences(name: str, tmp_path) -> None:
    """ASE moves atoms by 0.002 A; and what is zero is the motion as a whole."""
    atoms = atoms_of(name)
    found = vibrations(springs(atoms), atoms)
    assert np.abs(found.rigid).max() < 1e-3
    atoms.calc = Springs(springs(atoms))
    differences = AseVibrations(atoms, name=str(tmp_path / "vib"), delta=0.002)
    differences.run()
    theirs = differences.get_frequencies()
    theirs = np.sort(theirs.real - theirs.imag)
    at = np.abs(theirs).argsort()[6:]
    assert found.frequencies == pytest.approx(np.sort(theirs[at]), rel=1e-4, abs=0.1)


def test_intensities_do_not_change_where_the_molecule_is_turned(tensors) -> None:
    atoms = atoms_of("bromochlorofluoromethane")
    first = vibrations(springs(atoms), atoms, **tensors)
    other = turned(atoms)
    second = vibrations(springs(other), other, **tensors)
    for name in ("frequencies", "infrared", "raman", "depolarization"):
        assert getattr(second, name) == pytest.approx(getattr(first, name), rel=1e-6), name
    assert (first.infrared > 0).all()
    assert ((first.depolarization > 0) & (first.depolarization < 0.75)).all()


def sets_of(frequencies: np.ndarray) -> list[list[int]]:
    """The modes of equal frequency."""
    result: list[list[int]] = [[0]]
    for k in range(1, len(frequencies)):
        if frequencies[k] - frequencies[k - 1] < 1e-3:
            result[-1].append(k)
        else:
            result.append([k])
    return result


def test_methane_obeys_the_rules_of_the_tetrahedron(tensors) -> None:
    """A1 + E + 2 T2: only T2 absorbs; the light of A1 stays polarized and that of E and T2 is depolarized to 3/4.

    Within a set of equal frequencies the sums are those of the turned molecule, whichever modes a program picks there.
    """
    atoms = atoms_of("methane")
    first, other = vibrations(springs(atoms), atoms, **tensors), turned(atoms)
    second = vibrations(springs(other), other, **tensors)
    sets = sets_of(first.frequencies)
    assert sorted(map(len, sets)) == [1, 2, 3, 3]
    for one in sets:
        for name in ("infrared", "raman"):
            sums = [getattr(v, name)[one].sum() for v in (first, second)]
            assert sums[1] == pytest.approx(sums[0], rel=1e-6, abs=1e-12 * getattr(first, name).max()), name
        assert (first.infrared[one].sum() > 1e-6 * first.infrared.max()) == (len(one) == 3)
        assert first.raman[one].sum() > 1e-6 * first.raman.max()
        assert first.depolarization[one] == pytest.approx(0.0 if len(one) == 1 else 0.75, abs=1e-6)


def test_carbon_dioxide_absorbs_or_scatters(tensors) -> None:
    """A centre of symmetry: what absorbs does not scatter, and what scatters does not absorb."""
    atoms = atoms_of("carbon dioxide")

    def energy(graph: Graph) -> torch.Tensor:
        arms = graph.pos[1:] - graph.pos[0]
        lengths = arms.norm(dim=1)
        return 30 * (lengths - 1.160).square().sum() + 4 * (arms / lengths.unsqueeze(1)).sum(0).square().sum()

    found = vibrations(energy, atoms, **tensors)
    assert len(found.rigid) == 5
    assert sorted(map(len, sets_of(found.frequencies))) == [1, 1, 2]
    absorbs = found.infrared > 1e-9 * found.infrared.max()
    assert np.array_equal(absorbs, found.raman < 1e-9 * found.raman.max())
    assert absorbs.sum() == 3


def test_heavier_atoms_are_slower(tensors) -> None:
    """Water and heavy water: the product of the ratios is that of Teller and Redlich's rule."""
    atoms = atoms_of("water")
    light = vibrations(springs(atoms), atoms)
    m, heavy = atoms.get_masses(), np.array([15.999, 2.014, 2.014])
    slow = vibrations(springs(atoms), atoms, masses=heavy)

    def factor(masses: np.ndarray) -> float:
        x = atoms.positions - masses @ atoms.positions / masses.sum()
        inertia = (masses @ np.square(x).sum(1)) * np.eye(3) - (masses * x.T) @ x
        return masses.prod() ** -1.5 * masses.sum() ** 1.5 * np.sqrt(np.linalg.det(inertia))

    assert (slow.frequencies / light.frequencies).prod() == pytest.approx(factor(heavy) / factor(m), rel=1e-9)


def test_units_of_what_was_learned(tensors) -> None:
    """A dipole learned in D and a polarizability learned in Bohr^3 are the same in e and in A^2."""
    atoms = atoms_of("water")
    for name, unit, size in (("dipole", "D", units.Debye), ("polarizability", "Bohr^3", units.Bohr**3)):
        before = first_derivatives(tensors[name], atoms, name)
        task = tensors[name]
        task.outputs[name] = type(task.outputs[name])(task.outputs[name].representation, "graph", unit)
        assert first_derivatives(task, atoms, name) == pytest.approx(before * size, rel=1e-9)
        assert np.abs(before).max() > 1e-3


def test_what_is_no_molecule_at_rest_is_refused(force_field, tensors) -> None:
    atoms = atoms_of("water")
    pulled = atoms.copy()
    pulled.positions[1] *= 1.1
    with pytest.raises(GeometryError, match=r"eV/A are left.*\n.*relax"):
        vibrations(springs(atoms), pulled)
    assert len(vibrations(springs(atoms), pulled, largest_force=np.inf).frequencies) == 3
    crystal = Atoms("Cu", cell=np.eye(3) * 3, pbc=True)
    with pytest.raises(GeometryError, match="periodic"):
        vibrations(springs(atoms), crystal)
    with pytest.raises(GeometryError, match="one atom"):
        vibrations(lambda graph: graph.pos.square().sum(), Atoms("H", positions=[[0, 0, 0]]))
    with pytest.raises(DataError, match="not positive"):
        vibrations(springs(atoms), atoms, masses=np.array([16.0, 0.0, 1.0]))
    with pytest.raises(DataError, match="not symmetric"):
        normal_modes(np.triu(np.ones((9, 9))), atoms.get_masses(), atoms.positions)


def test_models_of_other_things_are_refused(force_field, tensors) -> None:
    atoms = atoms_of("water")
    with pytest.raises(InputError, match="task property"):
        vibrations(tensors["dipole"], atoms)
    with pytest.raises(InputError, match="not a dipole"):
        vibrations(springs(atoms), atoms, dipole=force_field())
    with pytest.raises(InputError, match=r"is in e\*A, no unit of a polarizability"):
        vibrations(springs(atoms), atoms, polarizability=tensors["dipole"])
    with pytest.raises(InputError, match="a polarizability has"):
        vibrations(springs(atoms), atoms, polarizability=lambda graph: graph.pos[0])
    with pytest.raises(InputError, match="no unit"):
        vibrations(springs(atoms), atoms, dipole=Property(tensors["dipole"].backbone, "mu", "1o"))
    with pytest.raises(InputError, match="no model"):
        vibrations(3, atoms)
    assert isinstance(force_field(), ForceField)
