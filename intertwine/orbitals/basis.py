r"""Bases of atomic orbitals: for each element its shells of contracted Gaussians.

A shell of degree l has 2l + 1 orbitals

.. math:: \chi_m(r) = R(|r|)\, Y_{lm}(r / |r|), \qquad R(d) = n \sum_p c_p N_l(\alpha_p)\, d^l e^{-\alpha_p d^2},

with real harmonics of norm 1 on the sphere. N normalises a primitive and n the shell, as PySCF does. An element's
shells are sorted by degree, so that its orbitals are features of irreps :math:`l^{(-1)^l}` in the layout mul_ir.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import DataError, InputError
from intertwine.numerics.once import once
from intertwine.o3 import Irreps

MOST_DEGREE = 6  # of a shell, i functions: beyond, no basis has any
BOHR = 0.52917721092  # A, CODATA 2010, that of PySCF
HARTREE = 27.211386024367243  # eV, CODATA 2014, that of ASE


@dataclass(frozen=True)
class Shell:
    """A contracted shell: ``degree`` l, ``exponents`` (1 / Bohr^2), and ``coefficients`` of normalised primitives.

    Raises:
        InputError: a negative degree or one above 6, exponents that are not positive, or not as many coefficients.
    """

    degree: int
    exponents: tuple[float, ...]
    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        fits = len(self.exponents) == len(self.coefficients) > 0
        positive = all(math.isfinite(a) and a > 0 for a in self.exponents) and all(
            map(math.isfinite, self.coefficients)
        )
        if not (0 <= self.degree <= MOST_DEGREE and fits and positive and any(self.coefficients)):
            what = (
                f"degree {self.degree} with exponents {self.exponents} and coefficients {self.coefficients} is no shell"
            )
            remedy = f"give a degree of 0 to {MOST_DEGREE}, and as many coefficients as positive exponents."
            raise InputError(what, where="Shell", remedy=remedy)

    @once
    def weights(self) -> Float[Tensor, " primitives"]:
        r""":math:`n\, c_p N_l(\alpha_p)` of each primitive, in Bohr, float64."""
        a = torch.tensor(self.exponents, dtype=torch.float64)
        c = torch.tensor(self.coefficients, dtype=torch.float64) / _radial_integral(self.degree, 2 * a).sqrt()
        square = c @ _radial_integral(self.degree, a.unsqueeze(1) + a) @ c
        return c / square.sqrt()


@dataclass(frozen=True)
class Basis:
    """The shells of each element, sorted by degree.

    Args:
        name: of the basis, "def2-svp" for example.
        shells: by atomic number.

    Raises:
        InputError: an element without shells, or with shells that are not sorted.
    """

    name: str
    shells: Mapping[int, tuple[Shell, ...]]

    def __post_init__(self) -> None:
        for z, shells in self.shells.items():
            degrees = [shell.degree for shell in shells]
            if not degrees or degrees != sorted(degrees):
                what = f"the shells of element {z} have degrees {degrees}"
                raise InputError(what, where="Basis", remedy="give one or more, sorted by degree.")

    def of(self, z: int) -> tuple[Shell, ...]:
        """The shells of an element.

        Raises:
            DataError: the basis does not have the element.
        """
        if z not in self.shells:
            what = f"the basis {self.name} has no shells for element {z}"
            known = ", ".join(map(str, sorted(self.shells)))
            remedy = f"use molecules of the elements {known}, or give a basis that has element {z}."
            raise DataError(what, where="basis", remedy=remedy)
        return self.shells[z]

    def irreps(self, z: int) -> Irreps:
        """How the orbitals of an element transform: a shell of degree l as the harmonics do."""
        return shell_irreps([shell.degree for shell in self.of(z)])

    def size(self, z: int) -> int:
        """How many orbitals an atom of the element has."""
        return sum(2 * shell.degree + 1 for shell in self.of(z))

    def only(self, elements: Sequence[int]) -> Basis:
        """The basis of some elements; a :class:`DataError` names one that it lacks."""
        return Basis(self.name, {int(z): self.of(int(z)) for z in sorted(set(elements))})

    def to_json(self) -> str:
        """As text, which :meth:`from_json` reads: all digits are kept."""
        shells = {
            str(z): [[shell.degree, list(shell.exponents), list(shell.coefficients)] for shell in shells]
            for z, shells in self.shells.items()
        }
        return json.dumps({"name": self.name, "shells": shells})

    @classmethod
    def from_json(cls, text: str) -> Basis:
        """The basis of a text of :meth:`to_json`.

        Raises:
            DataError: the text is not one.
        """
        try:
            content: dict[str, Any] = json.loads(text)
            return cls(
                content["name"],
                {
                    int(z): tuple(Shell(int(l), tuple(map(float, a)), tuple(map(float, c))) for l, a, c in shells)
                    for z, shells in content["shells"].items()
                },
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            remedy = "give what Basis.to_json wrote."
            raise DataError(f"this is no basis: {error}", where="basis", remedy=remedy) from error


def shell_irreps(degrees: Sequence[int]) -> Irreps:
    """The irreps of shells of these degrees, which are sorted: one of parity (-1)^l each.

    >>> shell_irreps([0, 0, 1, 2])
    2x0e+1x1o+1x2e
    """
    return Irreps([(1, (l, (-1) ** l)) for l in degrees]).simplify()


def _radial_integral(l: int, exponent: Tensor) -> Tensor:
    r""":math:`\int_0^\infty d^{2l+2} e^{-a d^2}\,\mathrm{d}d = \Gamma(l + 3/2) / (2 a^{l + 3/2})`."""
    return math.gamma(l + 1.5) / (2 * exponent ** (l + 1.5))
