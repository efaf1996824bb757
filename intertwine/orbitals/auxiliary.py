r"""Auxiliary bases, in which densities are expanded: even-tempered Gaussians on the atoms.

.. math:: \alpha_{lk} = \alpha_l\, \beta^k, \qquad k = 0, 1, \ldots

A density is a sum of products of orbitals. On one atom the products of shells of degrees :math:`l_1, l_2` have the
degrees up to :math:`l_1 + l_2`, and the sums of their exponents. Products of orbitals of two atoms lie between them,
and need more of both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from intertwine.numerics import InputError
from intertwine.orbitals.basis import MOST_DEGREE, Basis, Shell

RATIO = 1.6  # beta; of water in def2-SVP the best fit is then off by 0.11 % of the density, with 1.75 by 0.21 %
LEAST_DEGREE = 3  # that the functions of each element reach at least, for what lies between atoms
#: Of the smallest exponent of the orbitals, the smallest one of degree l: the first, and so much more for each l.
LOWEST, LOWEST_BY_DEGREE = 1.0, 0.4
HIGHEST = 3.0  # of the largest exponent of the orbitals whose products have the degree, the largest one


def even_tempered(basis: Basis, elements: Iterable[int], ratio: float = RATIO) -> Basis:
    """Uncontracted Gaussians for the products of orbitals of a basis.

    Args:
        basis: of the orbitals.
        elements: atomic numbers.
        ratio: of an exponent to the next smaller one, above 1.

    Raises:
        InputError: a ratio that is not above 1.
        DataError: the basis does not have an element.
    """
    if not ratio > 1 or not math.isfinite(ratio):
        remedy = f"give a number above 1: {RATIO} is usual, a smaller one makes more functions."
        raise InputError(f"a ratio of {ratio}", where="even_tempered", remedy=remedy)
    shells: dict[int, tuple[Shell, ...]] = {}
    for z in sorted({int(z) for z in elements}):
        own = basis.of(z)
        least = min(a for shell in own for a in shell.exponents)
        largest = {l: max(a for shell in own if shell.degree >= l for a in shell.exponents) for l in _degrees(own)}
        made = []
        for l in range(min(max(2 * max(largest), LEAST_DEGREE), MOST_DEGREE) + 1):
            lowest = (LOWEST + LOWEST_BY_DEGREE * l) * least
            highest = max(HIGHEST * largest[min(-(-l // 2), max(largest))], lowest * ratio**2)
            count = math.ceil(math.log(highest / lowest) / math.log(ratio) - 1e-9) + 1
            made += [Shell(l, (lowest * ratio**k,), (1.0,)) for k in range(count)]
        shells[z] = tuple(made)
    return Basis(f"even-tempered, ratio {ratio:g}, for {basis.name}", shells)


def _degrees(shells: Iterable[Shell]) -> range:
    return range(max(shell.degree for shell in shells) + 1)
