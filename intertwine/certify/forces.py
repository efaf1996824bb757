"""Are forces and stress the derivatives of the energy, and do they conserve momentum and angular momentum?"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.certify.certificate import APPROXIMATE
from intertwine.certify.measured import Findings, Worst
from intertwine.certify.structures import Structure
from intertwine.certify.trial import Path, Trial
from intertwine.geometry import Graph, act
from intertwine.groups import Isometry

FORCE_BOUND_PER_RMS = 1e-6  # forces against differences: of their rms
JACOBIAN_BOUND_PER_LARGEST = 1e-5  # symmetry of the Jacobian, itself a difference of forces: of its largest entry
DIRECTIONS = 4
CONVERGED_RELATIVE_CHANGE = 1e-8  # relative change at which no smaller step is taken
#: A along a unit vector of all coordinates, extrapolated to zero.
STEPS_ANGSTROM = tuple(1.6e-2 * 2.0**-k for k in range(11))
NO_FORCES = "no energy and forces among the outputs"


def forces_against_differences(trial: Trial) -> Findings:
    r""":math:`F \cdot v = -dE(x + h v)/dh` along random unit vectors v of all coordinates; the right side by central
    differences.
    """
    if not {"energy", "forces"} <= set(trial.quantities):
        return NO_FORCES
    worst, told = Worst(trial, FORCE_BOUND_PER_RMS), False
    for k, structure in _few(trial):
        forces = trial.outputs[k]["forces"].to(torch.float64)
        for v, path in _paths(trial, k, structure.graph):
            slope, noise = derivative(_along("energy", path), trial.outputs[k]["energy"])
            told = told or float((forces * v).sum().abs()) > noise
            error = max(0.0, float((slope + (forces * v).sum()).abs()) - noise)
            worst.see("forces", error / trial.size("forces"), f"{structure.name}, derivative along a random direction")
    if not told:
        worst.trivial.setdefault("forces", "no force is above what the rounding of the energy hides")
    return worst.findings()


def force_jacobian(trial: Trial) -> Findings:
    r""":math:`u \cdot J v = v \cdot J u` with :math:`J v = dF(x + h v)/dh`: there is an energy that the forces derive
    from.
    """
    if "forces" not in trial.quantities:
        return "no forces among the outputs"
    worst = Worst(trial, JACOBIAN_BOUND_PER_LARGEST)
    for k, structure in _few(trial):
        vectors, columns, noise = [], [], 0.0
        for v, path in _paths(trial, k, structure.graph):
            column, uncertain = derivative(_along("forces", path), trial.outputs[k]["forces"])
            vectors.append(v)
            columns.append(column)
            noise = max(noise, uncertain)
        jacobian = torch.stack([v.flatten() for v in vectors]) @ torch.stack(columns).T
        skew = max(0.0, float((jacobian - jacobian.T).abs().max()) - 2 * noise)
        size = float(torch.stack(columns).norm(dim=1).max())
        worst.see(
            "forces",
            skew / size if size else skew,
            f"{structure.name}, Jacobian along {len(vectors)} random directions",
        )
    return worst.findings()


def force_sum(trial: Trial) -> Findings:
    r""":math:`\sum_i F_i = 0`: the energy does not depend on where the structure is."""
    if "forces" not in trial.quantities or "energy" not in trial.quantities:
        return NO_FORCES
    worst = Worst(trial)
    for structure, output in zip(trial.structures, trial.outputs, strict=True):
        total = output["forces"].to(torch.float64).sum(0).abs().max()
        worst.see(
            "forces",
            float(total) / trial.size("forces") / max(1, structure.graph.num_nodes) ** 0.5,
            f"{structure.name}, sum of forces",
        )
    return worst.findings()


def torque(trial: Trial) -> Findings:
    r""":math:`\sum_i (x_i \wedge F_i) = 0` about the centroid, in open structures: the energy does not depend on
    orientation.

    Where it depends on vectors that the structure is given, they exert a torque on it, and nothing is tested."""
    if not {"energy", "forces"} <= set(trial.quantities):
        return NO_FORCES
    worst = Worst(trial)
    for structure, output in zip(trial.structures, trial.outputs, strict=True):
        if structure.graph.periodic or _in_a_field(trial, structure.graph, output["energy"]):
            continue
        x, f = structure.graph.pos.to(torch.float64), output["forces"].to(torch.float64)
        moment, arm = x.T @ f - f.T @ x, float(x.norm()) or 1.0
        error, words = float(moment.abs().max()) / (trial.size("forces") * arm), f"{structure.name}, total torque"
        if trial.claimed_error is None:
            worst.see("forces", error, words)
        else:
            worst.see("forces", error, words, bound=max(trial.claimed_error, trial.bound), sense=APPROXIMATE)
    return worst.findings("no open structure, or the energy depends on vectors that they are given")


def _in_a_field(trial: Trial, graph: Graph, energy: Tensor) -> bool:
    """Whether the energy is another one where vectors and tensors of the structure are turned and positions are not."""
    turned = act(Isometry.random(graph.dimension, generator=torch.Generator().manual_seed(0)), graph)
    turned.pos = graph.pos
    if all(torch.equal(turned[name], value) for name, value in graph.to_dict().items() if isinstance(value, Tensor)):
        return False
    return not torch.allclose(trial.subject(turned)["energy"], energy, rtol=1e-10, atol=1e-10 * trial.size("energy"))


def stress_against_strain(trial: Trial) -> Findings:
    r""":math:`V\,\sigma : \eta = dE((1 + h\eta) x)/dh` for random symmetric strains, positive under tension."""
    if not {"energy", "stress"} <= set(trial.quantities):
        missing = " and no ".join(name for name in ("energy", "stress") if name not in trial.quantities)
        return f"no {missing} among the outputs" + _unless_periodic(trial)
    worst = Worst(trial, FORCE_BOUND_PER_RMS)
    for k, structure in enumerate(trial.structures):
        graph = structure.graph
        if not graph.periodic or "stress" not in trial.outputs[k]:
            continue
        volume = float(torch.linalg.det(graph.cell[0].to(torch.float64)).abs())
        stress = trial.outputs[k]["stress"].to(torch.float64).reshape(3, 3)
        for _ in range(DIRECTIONS):
            eta = torch.randn(3, 3, generator=trial.generator, dtype=torch.float64)
            eta = (eta + eta.T) / (2 * eta.norm())
            energy = _along("energy", _outputs(trial, partial(_strained, graph, eta)))
            slope, noise = derivative(energy, trial.outputs[k]["energy"])
            error = max(0.0, float((slope - volume * (stress * eta).sum()).abs()) - noise)
            size = volume * float(eta.norm()) * trial.size("stress")
            worst.see("stress", error / size, f"{structure.name}, derivative along a random strain")
    return worst.findings("no periodic structure")


def _unless_periodic(trial: Trial) -> str:
    """That a stress may be missing because no structure repeats."""
    return "" if any(structure.graph.periodic for structure in trial.structures) else ": no periodic structure"


def derivative(f: Callable[[float], Float[Tensor, " k"]], reference: Tensor) -> tuple[Float[Tensor, " k"], float]:
    r"""df/dh at 0 by central differences, extrapolated (Ridders 1982), and its uncertainty from rounding.

    With steps halved Neville's tableau cancels the terms in h^2, h^4, ...; the entry that changed least is taken.
    Values carry a rounding error of about eps |f|, so the difference quotient carries :math:`\epsilon |f| / h` with the
    step h of that entry: a float64 energy of -4210 eV limits a force to some 1e-10 eV/A, which is no fault of the
    force.
    """
    size = torch.finfo(torch.float64).eps * float(reference.to(torch.float64).abs().max()) if reference.numel() else 0.0
    previous: list[Tensor] = []
    best, smallest, noise = None, float("inf"), 0.0
    for row, h in enumerate(STEPS_ANGSTROM):
        current = [(f(h) - f(-h)) / (2 * h)]
        for k in range(row):
            current.append(current[k] + (current[k] - previous[k]) / (4 ** (k + 1) - 1))
            change = float(max((current[-1] - current[k]).abs().max(), (current[-1] - previous[k]).abs().max()))
            if change < smallest:
                best, smallest, noise = current[-1], change, 4 * size / h
        previous = current
        if smallest <= CONVERGED_RELATIVE_CHANGE * float(current[-1].abs().max()):
            break
    return best if best is not None else previous[0], noise


def _outputs(trial: Trial, path: Callable[[float], Graph]) -> Path:
    """The outputs along a path of graphs, each evaluated once."""
    return cache(lambda h: trial.subject(path(h)))


def _paths(trial: Trial, k: int, graph: Graph) -> list[tuple[Tensor, Path]]:
    """Random unit vectors of all coordinates of structure k, and the outputs along each: both tests of forces share the
    evaluations.
    """
    if k not in trial.paths:
        trial.paths[k] = [(v, _outputs(trial, partial(_moved, graph, v))) for v in _directions(trial, graph)]
    return trial.paths[k]


def _along(name: str, path: Path) -> Callable[[float], Float[Tensor, " k"]]:
    """One output, flat and in float64, along a path."""
    return lambda h: path(h)[name].to(torch.float64).flatten()


def _few(trial: Trial) -> list[tuple[int, Structure]]:
    """Structures of moderate size with two nodes or more: differences need many evaluations."""
    able = [(k, s) for k, s in enumerate(trial.structures) if s.graph.num_nodes > 1]
    able.sort(key=lambda item: (item[1].graph.num_nodes > 64, -item[0]))
    return able[: trial.spread]


def _directions(trial: Trial, graph: Graph) -> list[Tensor]:
    random = [torch.randn(graph.pos.shape, generator=trial.generator, dtype=torch.float64) for _ in range(DIRECTIONS)]
    return [v / v.norm() for v in random]


def _moved(graph: Graph, v: Tensor, h: float) -> Graph:
    result = graph.clone()
    result.pos = graph.pos + h * v.to(graph.pos)
    return result


def _strained(graph: Graph, eta: Tensor, h: float) -> Graph:
    result, deformation = graph.clone(), torch.eye(3, dtype=torch.float64) + h * eta
    result.pos, result.cell = graph.pos @ deformation.to(graph.pos).T, graph.cell @ deformation.to(graph.cell).T
    return result
