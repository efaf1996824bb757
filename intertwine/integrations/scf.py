r"""Predicted Hamiltonians in PySCF: matrices in its order, and densities from which its iterations begin.

.. math:: H C = S C \epsilon, \qquad D = 2\, C_{occ} C_{occ}^T

Objects of PySCF go in, arrays of PySCF's come out (Eh, its order of orbitals).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from intertwine.geometry import Graph
from intertwine.integrations.density_guess import density_guess, matrix_guess, same_orbitals
from intertwine.numerics import DataError, InputError
from intertwine.orbitals import overlap_matrix, reordered, spectrum
from intertwine.orbitals.basis import HARTREE
from intertwine.tasks import Density, Hamiltonian
from intertwine.tasks.compositions import occupied, one_molecule
from intertwine.tasks.density_forms import Linear
from intertwine.training import Run
from intertwine.training.evaluation import predict


class Prediction(NamedTuple):
    """What is predicted of a molecule: ``fock`` (Eh), ``overlap``, ``density`` (trace with the overlap: electrons),
    ``energies`` of the orbitals (Eh), their ``coefficients`` as columns and ``occupations``; as PySCF orders them.
    """

    fock: Float[np.ndarray, "n n"]
    overlap: Float[np.ndarray, "n n"]
    density: Float[np.ndarray, "n n"]
    energies: Float[np.ndarray, " n"]
    coefficients: Float[np.ndarray, "n n"]
    occupations: Float[np.ndarray, " n"]


def predicted(run: Run, molecules: Sequence[Any]) -> list[Prediction]:
    """Matrices and orbitals of molecules.

    Args:
        run: of the task ``hamiltonian``.
        molecules: of PySCF (``gto.Mole``), neutral closed shells in the basis of the run.

    Raises:
        InputError: a run of another task; a charge, or a spin, that was not trained on.
        DataError: a molecule in another basis, or of elements that were not trained on.
        GeometryError: basis functions are linearly dependent.
    """
    task = run.task
    if not isinstance(task, Hamiltonian):
        remedy = "give a run of the task hamiltonian."
        raise InputError(f"a run of {type(task).__name__}", where=str(run.folder), remedy=remedy)
    graphs = [_graph(molecule, number) for number, molecule in enumerate(molecules)]
    results = []
    blocks = predict(run, graphs)
    for number, (molecule, graph, answer) in enumerate(zip(molecules, graphs, blocks, strict=True)):
        where = f"molecule {number}"
        basis, z = task.basis.only(graph.z.tolist()), graph.z
        degrees = [shell.degree for element in z.tolist() for shell in basis.of(element)]
        S = overlap_matrix(basis, z, graph.pos)
        theirs = torch.from_numpy(molecule.intor_symmetric("int1e_ovlp"))
        ours = reordered(S, degrees, "intertwine", "pyscf")
        if not same_orbitals(ours.numpy(), theirs.numpy()):
            what, remedy = f"its basis is not {basis.name}, as of the run", f'build it with basis="{basis.name}".'
            raise DataError(what, where=where, remedy=remedy)
        H = task.matrix(z, torch.from_numpy(answer["hamiltonian"]).to(torch.float64)) / HARTREE
        fock = reordered(H, degrees, "intertwine", "pyscf")
        energies, C = spectrum(fock, ours, where=where)
        n = occupied(z)
        occupations = torch.zeros(len(energies), dtype=torch.float64)
        occupations[:n] = 2.0
        density = 2 * C[:, :n] @ C[:, :n].T
        results.append(Prediction(*(x.numpy() for x in (fock, ours, density, energies, C, occupations))))
    return results


def energy_and_forces(method: Any, prediction: Prediction) -> tuple[float, Float[np.ndarray, "atoms 3"]]:
    """The energy functional at the predicted density (Eh), and its forces (Eh/Bohr), without iterations.

    The energy's error is of second order in that of the density; the forces', which take the orbitals for converged
    ones, of first order.

    Args:
        method: of PySCF for the molecule, ``dft.RKS`` for example.
        prediction: of :func:`predicted`.
    """
    method.mo_energy, method.mo_coeff, method.mo_occ = (
        prediction.energies, prediction.coefficients, prediction.occupations,
    )  # fmt: skip
    method.e_tot = method.energy_tot(prediction.density)
    method.converged = True  # PySCF asks for it; the docstring says what it is
    return float(method.e_tot), -method.nuc_grad_method().kernel()


class Iterations(NamedTuple):
    """Of one SCF: how many ``iterations``, ``seconds`` of wall time, ``energy`` (Eh), whether it ``converged``."""

    iterations: int
    seconds: float
    energy: float
    converged: bool


def iterate(method: Any, density: Float[np.ndarray, "n n"] | None = None) -> Iterations:
    """PySCF's iterations from a density, or from its own guess.

    Args:
        method: of PySCF, new.
        density: where to begin; None for the guess of the method's ``init_guess``, whose time counts.
    """
    cycles: list[int] = []
    method.callback = lambda environment: cycles.append(environment["cycle"])
    started = time.perf_counter()
    energy = method.kernel(dm0=density)
    return Iterations(len(cycles), time.perf_counter() - started, float(energy), bool(method.converged))


def starting_density(run: Run, method: Any) -> Float[np.ndarray, "n n"]:
    """The density matrix from which the iterations of a method begin.

    Args:
        run: of the task ``hamiltonian``; or ``density``, whose molecules may be in any basis.
        method: of PySCF, new.

    Raises:
        InputError, DataError, GeometryError: as :func:`predicted` and
            :func:`intertwine.integrations.density_guess.density_guess`.
    """
    task = run.task
    if not isinstance(task, Density):
        return predicted(run, [method.mol])[0].density
    graph = _graph(method.mol, 0)
    rows = torch.from_numpy(predict(run, [graph])[0][task.form.output]).to(torch.float64)
    parameters = task.form.parameters_of(one_molecule(graph), rows)[0].numpy()
    guess = density_guess if isinstance(task.form, Linear) else matrix_guess
    return guess(method, task.form.basis, parameters)


def compare_guesses(
    run: Run, molecules: Sequence[Any], method: Callable[[Any], Any]
) -> list[tuple[Iterations, Iterations]]:
    """Iterations from PySCF's guess, and from the prediction, whose time counts, for each molecule.

    Args:
        run: of the task ``hamiltonian`` or ``density``.
        molecules: of PySCF.
        method: makes an SCF of a molecule.

    Raises:
        InputError, DataError, GeometryError: as :func:`predicted`.
    """
    pairs = []
    for molecule in molecules:
        usual = iterate(method(molecule))
        started = time.perf_counter()
        guess = starting_density(run, method(molecule))
        spent = time.perf_counter() - started
        ours = iterate(method(molecule), guess)
        pairs.append((usual, ours._replace(seconds=ours.seconds + spent)))
    return pairs


def _graph(molecule: Any, number: int) -> Graph:
    """The atoms of a molecule of PySCF."""
    where = f"molecule {number}"
    if molecule.spin != 0 or molecule.charge != 0:
        what = f"charge {molecule.charge} and spin {molecule.spin}"
        remedy = "only neutral closed shells are learned: give charge=0 and spin=0."
        raise InputError(what, where=where, remedy=remedy)
    if molecule.cart or molecule.has_ecp():
        what = "Cartesian orbitals" if molecule.cart else "core potentials"
        raise InputError(what, where=where, remedy="build it with cart=False and without ecp.")
    return Graph(molecule.atom_coords(unit="Ang"), z=molecule.atom_charges().astype(np.int64))
