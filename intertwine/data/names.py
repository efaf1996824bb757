"""What a name in a file says: which quantity, by which method."""

from __future__ import annotations

import re
from typing import NamedTuple

#: Usual names of each label, best first; upper and lower case don't matter.
USUAL: dict[str, tuple[str, ...]] = {
    "energy": (
        "energy", "energies", "total_energy", "energy_total", "tot_energy", "totenergy", "etot", "e_tot",
        "potential_energy", "toten",
    ),
    "free_energy": ("free_energy", "free_energies", "energy_free", "freeenergy", "force_consistent_energy"),
    "forces": ("forces", "force", "atomic_forces"),
    "stress": ("stress",),
    "virial": ("virial", "virials"),
    "dipole": ("dipole", "dipole_moment"),
}  # fmt: skip
#: Words beside a usual name that make it another quantity, not the same one by another method.
OTHER = re.compile(
    r"kin(etic)?|pot|form(ation)?|bind(ing)?|adsorption|atomi[sz]ation|cohesive|above|hull|band|zero|zero_?point|zpve?|"
    r"thermal|entropy|local|internal|dispersion|d[34]|vdw|coulomb|electrostatic|repulsion|nuclear|exchange|correlation|"
    r"xc|hartree|ewald|solvation|reaction|strain|surface|interface|excitation|ionization|fermi|vacuum|homo|lumo|per|"
    r"atom|atoms|atomic|site|shift|offset|scale|mean|avg|average|std|var|variance|sigma|err(or)?|uncertainty|unc|max|"
    r"min|norm|rms|rmse|mae|diff(erence)?|delta|weight|weights|unit|units|level|cutoff|external|constraint|residual|"
    r"drift|convergence|threshold|gradient|hessian|charge|spin|change|initial|\d+",
    re.IGNORECASE,
)
#: Methods that a word alone is known to name; any other word is one if it stands beside an energy and beside forces.
METHODS = re.compile(
    r"ref(erence)?|dft|qm|target|label|true|mace|nequip|allegro|ace|xtb|gfn[12]?|pbe0?|pbesol|b3lyp|wb97|r2?scan|lda|"
    r"blyp|hf|mp2|ccsd|ccsdt|vasp|qe|cp2k|castep|aims|orca|psi4|gpaw|abinit|siesta|lammps|ff|ml|nn|pred(icted)?",
    re.IGNORECASE,
)
#: Methods in the order in which one is taken where several label the file equally well; "" is a name without a method.
PREFERRED = ("ref", "reference", "", "target", "dft", "qm")


class Name(NamedTuple):
    """A name taken apart: ``quantity`` of :data:`USUAL`, ``family`` in lower case ("" where no method is named),
    ``rank`` among names.
    """

    quantity: str
    family: str
    rank: int


def parse(key: str) -> Name | None:
    """What a file's name of a quantity says; None if it is not one of :data:`USUAL`, alone or beside a method's.

    >>> parse("REF_energy"), parse("forces_dft").family, parse("kinetic_energy")
    (Name(quantity='energy', family='ref', rank=0), 'dft', None)
    """
    for quantity, name, pattern in _PATTERNS:
        match = pattern.fullmatch(key)
        if match is not None:
            family = "_".join(word for word in match.groups() if word).lower()
            known = all(METHODS.fullmatch(part) or not OTHER.fullmatch(part) for part in re.split(r"[_\-.:]", family))
            return Name(quantity, family, USUAL[quantity].index(name)) if known or not family else None
    return None


_PATTERNS = [  # the longest name that fits is meant: free_energy is not the energy of a method called free
    (quantity, name, re.compile(rf"(?:(.+)[_\-.:])?{name}(?:[_\-.:](.+))?", re.IGNORECASE))
    for quantity, name in sorted(((q, n) for q, names in USUAL.items() for n in names), key=lambda pair: -len(pair[1]))
]


def is_method(family: str) -> bool:
    """Whether a word beside a usual name is the known name of a method."""
    return not family or any(METHODS.fullmatch(part) for part in re.split(r"[_\-.:]", family))


def preference(family: str) -> int:
    """Place of a family among those that label a file equally well; smaller is better."""
    predicted = re.search(r"\b(ff|ml|nn|pred|predicted|mace|nequip|allegro)\b", family.replace("_", " ")) is not None
    return PREFERRED.index(family) if family in PREFERRED else len(PREFERRED) + predicted
