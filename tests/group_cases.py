"""Every group and representation that is tested, by its name."""

from __future__ import annotations

from collections.abc import Callable

import torch

from intertwine import groups
from intertwine.groups import Affine, Cartesian, Defining, DirectProduct, Group, OuterProduct, Representation, Trivial
from intertwine.groups.regular import Induced, natural, quotient, regular
from intertwine.o3 import Irrep, Irreps

FINITE: dict[str, Callable[[], groups.FiniteGroup]] = {
    **{f"C_{n}": lambda n=n: groups.cyclic(n) for n in (1, 2, 3, 4, 8, 12)},  # type: ignore[misc]
    **{f"D_{n}": lambda n=n: groups.dihedral(n) for n in (1, 2, 3, 4, 6)},  # type: ignore[misc]
    "T": groups.tetrahedral,
    "Th": lambda: groups.tetrahedral(inversion=True),
    "O": groups.octahedral,
    "Oh": lambda: groups.octahedral(inversion=True),
    "I": groups.icosahedral,
    "Ih": lambda: groups.icosahedral(inversion=True),
    **{f"S_{n}": lambda n=n: groups.symmetric(n) for n in (1, 2, 3, 4, 5, 6)},  # type: ignore[misc]
    "Q_8": lambda: quaternions(),
}
COMPACT: dict[str, Callable[[], Group]] = {
    **FINITE,
    **{f"SO({n})": lambda n=n: groups.SO(n) for n in (2, 3, 4)},  # type: ignore[misc]
    **{f"O({n})": lambda n=n: groups.O(n) for n in (1, 2, 3, 4)},  # type: ignore[misc]
    "C_3 x C_4": lambda: DirectProduct(groups.cyclic(3), groups.cyclic(4)),
    "SO(2) x S_3": lambda: DirectProduct(groups.SO(2), groups.symmetric(3)),
    "Q_8 x C_3": lambda: DirectProduct(quaternions(), groups.cyclic(3)),
    "SO(3) x C_2": lambda: DirectProduct(groups.SO(3), groups.cyclic(2)),
}
GROUPS: dict[str, Callable[[], Group]] = {
    **COMPACT,
    "R+(2)": lambda: groups.Scaling(2),
    "R+(3)": lambda: groups.Scaling(3),
    "R+ x SO(2)": groups.ScaledRotation,
    "SO+(1,3)": groups.Lorentz,
    **{f"T({n})": lambda n=n: groups.T(n) for n in (1, 2, 3)},  # type: ignore[misc]
    **{f"Z^{n}": lambda n=n: groups.Z(n) for n in (1, 2)},  # type: ignore[misc]
    **{f"SE({n})": lambda n=n: groups.SE(n) for n in (2, 3)},  # type: ignore[misc]
    **{f"E({n})": lambda n=n: groups.E(n) for n in (2, 3)},  # type: ignore[misc]
    "T(2) x| R+ x SO(2)": lambda: Affine(groups.ScaledRotation()),
    "T(2) x| R+(2)": lambda: Affine(groups.Scaling(2)),
    "p4": lambda: Affine(groups.cyclic(4), lattice=True, name="p4"),
    "p4m": lambda: Affine(groups.dihedral(4), lattice=True, name="p4m"),
    "T(3) x| O": lambda: Affine(groups.octahedral()),
    "S_7 of lists": lambda: groups.Permutations(7),
    "SO+(1,3) x S_3": lambda: DirectProduct(groups.Lorentz(), groups.symmetric(3)),
    "SE(2) x S_4 of lists": lambda: DirectProduct(groups.SE(2), groups.Permutations(4)),
}


def quaternions() -> groups.FiniteGroup:
    """1, -1, i, -i, j, -j, k, -k: the smallest group with an irrep of quaternionic type."""
    one = torch.eye(2, dtype=torch.complex128)
    i = torch.tensor([[1j, 0], [0, -1j]], dtype=torch.complex128)
    j = torch.tensor([[0, 1], [-1, 0]], dtype=torch.complex128)
    units = [s * m for m in (one, i, j, i @ j) for s in (1, -1)]
    table = torch.tensor(
        [[next(k for k, u in enumerate(units) if torch.allclose(a @ b, u)) for b in units] for a in units]
    )
    return groups.FiniteGroup("Q_8", table)


def representations(group: Group) -> list[Representation]:
    """Representations of each kind that a group has."""
    reps: list[Representation] = [Trivial(group, 2)]
    if group.space is not None:
        vector = Defining(group)
        reps += [vector, vector * vector, vector.dual(), vector + Trivial(group), 2 * vector]
    if isinstance(group, groups.FiniteGroup):
        reps += group.irreps()
        if (group.order or 0) <= 60:
            reps.append(regular(group))
        if (group.order or 0) > 1:
            half = groups.Subgroup(group, group.generators()[:1])
            reps += [quotient(group, half), Induced(group, half.irreps()[-1])]
        if group.name.startswith("S_"):
            reps.append(natural(group))
    if group.name in ("SO(2)", "O(2)"):
        reps += group.irreps(4)
    if group.name == "O(3)":
        reps += [
            *group.irreps(2),
            Irrep(2, -1),
            Irrep(3, 1),
            Irreps("2x0o + 1e + 2e"),
            Cartesian(2),
            Cartesian(1, axial=True),
        ]
    if group.name == "SO(3)":
        reps += group.irreps(3)
    if isinstance(group, DirectProduct):
        factors = [Trivial(group.left), Trivial(group.right)]
        if group.left.space is not None and group.right.space is not None:
            factors = [Defining(group.left), Defining(group.right)]
            reps.append(OuterProduct(group, Defining(group.left), Trivial(group.right)))
        reps += [OuterProduct(group, *factors), *(group.irreps(2)[1:] if group.is_compact else [])]
    return reps
