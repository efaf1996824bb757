"""What the name of a method means: a program, and for PySCF a functional that is written out and a basis."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any

from intertwine.labels.programs import program
from intertwine.numerics import InputError, nearest

#: Names of methods that tblite has, and what it calls them.
XTB = {"gfn2-xtb": "GFN2-xTB", "gfn1-xtb": "GFN1-xTB", "ipea1-xtb": "IPEA1-xTB"}
#: B3LYP by its parts. Its name does not say which functional of Vosko, Wilk and Nusair it has: Gaussian and PySCF from
#: 2.3 on take the one that they call VWN3, ORCA and PySCF before 2.3 take VWN5. The energy of water differs by 1 eV.
B3LYP = {
    "b3lyp": ".2*HF + .08*SLATER + .72*B88, .81*LYP + .19*VWN3",
    "b3lypg": ".2*HF + .08*SLATER + .72*B88, .81*LYP + .19*VWN3",
    "b3lyp5": ".2*HF + .08*SLATER + .72*B88, .81*LYP + .19*VWN5",
}
HARTREE_FOCK = "hf"
FORM = "write FUNCTIONAL/BASIS, such as pbe/def2-svp, b3lypg/6-31g** or hf/sto-3g; or " + ", ".join(XTB) + "."
_DISPERSION = re.compile(r"-d[34](bj|zero|m|op)?\b|-d2\b|\bd[34]bj\b", re.IGNORECASE)


@dataclass(frozen=True)
class Method:
    """A method.

    Args:
        name: as it was given, in lower case: ``pbe/def2-svp``.
        program: what computes it, "pyscf" or "tblite".
        xc: the functional as PySCF takes it, B3LYP written out; "hf" is Hartree-Fock, "" no such thing.
        basis: of the orbitals, "" where the method says it.
        functionals: what the string means: the share of exact exchange, short- and long-range with the range's
            parameter, and Libxc's functionals with their weights.
    """

    name: str
    program: str
    xc: str = ""
    basis: str = ""
    functionals: str = ""


def method_of(name: str) -> Method:
    """The method of a name.

    Raises:
        InputError: it is none, its program is not installed, or the program knows no such functional or basis.
    """
    name = name.strip().lower()
    if name in XTB:
        program("tblite")
        return Method(name, "tblite")
    xc, slash, basis = name.partition("/")
    if not (slash and xc and basis) or not re.fullmatch(r"[\w+*().-]+", basis):
        remedy = nearest(name, XTB) if "xtb" in name else FORM
        raise InputError(f"unknown method {name!r}", where="--method", remedy=remedy)
    if _DISPERSION.search(xc):
        remedy = "leave it out; dispersion is a function of the positions alone, and can be added afterwards."
        raise InputError(f"the functional {xc!r} has a correction for dispersion", where="--method", remedy=remedy)
    gto, libxc = program("pyscf.gto"), program("pyscf.dft.libxc")
    pinned = B3LYP.get(xc, xc)
    if pinned == HARTREE_FOCK:
        functionals = "exact exchange, no correlation"
    else:
        functionals = _spelled(libxc, pinned)
    _check_basis(gto, basis)
    return Method(name, "pyscf", pinned, basis, functionals)


def _spelled(libxc: Any, xc: str) -> str:
    """A functional by Libxc's numbers and weights."""
    try:
        _, parts = libxc.parse_xc(xc)
        kind, (omega, long, _), exact = libxc.xc_type(xc), libxc.rsh_coeff(xc), exact_exchange(xc)
    except (KeyError, ValueError, RuntimeError, IndexError) as error:
        remedy = "use one of Libxc's or PySCF's, such as pbe, pbe0, b3lypg, r2scan, wb97x-v, or hf."
        raise InputError(f"PySCF knows no functional {xc!r}", where="--method", remedy=remedy) from error
    if kind not in ("LDA", "GGA", "MGGA"):
        raise InputError(f"{xc!r} is no functional ({kind})", where="--method", remedy=FORM)
    named = ", ".join(f"{int(number)} x {float(weight):g}" for number, weight in parts)
    return f"{kind}; Libxc {named}; exact exchange {exact:g}, long-range {long:g}, omega {omega:g}"


def exact_exchange(xc: str) -> float:
    """The share of exact exchange of a functional, at short range where it depends on the distance."""
    if xc == HARTREE_FOCK:
        return 1.0
    libxc = program("pyscf.dft.libxc")
    omega, long, beyond = libxc.rsh_coeff(xc)
    return float(long + beyond if omega else libxc.hybrid_coeff(xc))


def _check_basis(gto: Any, basis: str) -> None:
    """Raise an :class:`InputError` unless some element has that basis."""
    symbols = [gto.elements.ELEMENTS[z] for z in (1, 6, 8, 3, 14, 26, 46, 78)]
    if not any(has_basis(gto, basis, symbol) for symbol in symbols):
        known = [name for name in gto.basis.ALIAS if not name.startswith(("gth", "ccecp", "bfd"))]
        raise InputError(f"PySCF knows no basis {basis!r}", where="--method", remedy=_like(basis, known))


def _like(basis: str, known: list[str]) -> str:
    """A remedy for a misspelt basis; there are too many to list all."""
    remedy = nearest(re.sub(r"[^\w+*]", "", basis), known)
    return f"{remedy.split('? ')[0]}?" if "did you mean" in remedy else "use a usual one: sto-3g, 6-31g**, def2-svp."


def has_basis(gto: Any, basis: str, symbol: str) -> bool:
    """Whether PySCF has a basis for an element."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an advertisement of another package
        try:
            return bool(gto.basis.load(basis, symbol))
        except (KeyError, ValueError, RuntimeError, OSError):
            return False
