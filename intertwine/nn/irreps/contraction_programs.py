r"""The polynomials of :class:`~intertwine.nn.irreps.symmetric_contraction.SymmetricContraction` and of
:class:`~intertwine.nn.irreps.channel_product.ChannelProduct` as straight-line programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from intertwine.kernels.polynomial.plan import NO_FACTOR, Argument, Program, Result, Writer
from intertwine.o3 import Irreps
from intertwine.o3.clebsch_gordan import coupling as wigner_numbers
from intertwine.o3.symmetric_coupling import SymmetricCouplings, symmetric_couplings


def couplings(irreps_in: Irreps, irreps_out: Irreps, correlations: Sequence[int]) -> list[list[SymmetricCouplings]]:
    """Those of each irrep of the output, in every degree from 1 to its correlation.

    Args:
        irreps_in: representation of the features; multiplicities do not matter.
        irreps_out: that of the result.
        correlations: largest degree for each block of the output.
    """
    singles = Irreps([(1, ir) for _, ir in irreps_in])
    return [
        [symmetric_couplings(singles, ir, degree) for degree in range(1, most + 1)]
        for (_, ir), most in zip(irreps_out, correlations, strict=True)
    ]


def product_paths(irreps_1: Irreps, irreps_2: Irreps, irreps_out: Irreps) -> list[tuple[int, int, int]]:
    """Every way from a block of x and a block of y to one of the result, in the order of the blocks of the result."""
    return [
        (first, second, to)
        for to, (_, ir) in enumerate(irreps_out)
        for first, (_, ir_1) in enumerate(irreps_1)
        for second, (_, ir_2) in enumerate(irreps_2)
        if ir in ir_1 * ir_2
    ]


@lru_cache(maxsize=256)
def contraction(irreps_in: Irreps, irreps_out: Irreps, correlations: tuple[int, ...], shared: bool) -> Program:
    r"""The program :math:`B_{LM}(x, w) = \sum_\nu \sum_\eta w_\eta\, p_{\eta M}(x)`.

    Args:
        irreps_in, irreps_out: representations; multiplicities do not matter.
        correlations: largest degree for each block of the output.
        shared: whether weights are those of a group, its species, or of each node.
    """
    irreps_in, irreps_out = (Irreps([(1, ir) for _, ir in irreps]) for irreps in (irreps_in, irreps_out))
    coefficients = couplings(irreps_in, irreps_out, correlations)
    weight = inputs = irreps_in.dim
    weights = sum(len(coupling.coefficients) for degrees_of in coefficients for coupling in degrees_of)
    writer, known, components = Writer([Argument(inputs), Argument(weights, shared)]), {}, []

    def monomial(factors: tuple[int, ...]) -> int:
        """The register of a product of components: the product without the last one, times that one."""
        if len(factors) == 1:
            return factors[0]
        if factors not in known:
            known[factors] = writer.row([(1.0, monomial(factors[:-1]), factors[-1])])
        return known[factors]

    for (_, ir), degrees_of in zip(irreps_out, coefficients):
        sums: list[list[tuple[float, int, int]]] = [[] for _ in range(ir.dim)]
        for coupling in degrees_of:
            for path in coupling.coefficients:
                for m, row in enumerate(path):
                    terms = [(float(c), *factors) for c, factors in zip(row, coupling.monomials.tolist()) if c]
                    value = writer.row(
                        (c, monomial(tuple(most)), last) if most else (c, last, NO_FACTOR) for c, *most, last in terms
                    )
                    sums[m].append((1.0, value, weight))
                weight += 1
        components += [writer.row(terms) for terms in sums]
    return writer.program([Result(tuple(components))])


@lru_cache(maxsize=256)
def product(irreps_1: Irreps, irreps_2: Irreps, irreps_out: Irreps) -> Program:
    """The program of (x, y) side by side and the weights of a group: every path of :func:`product_paths` in component
    normalisation, times its weight.
    """
    irreps_1, irreps_2, irreps_out = (
        Irreps([(1, ir) for _, ir in irreps]) for irreps in (irreps_1, irreps_2, irreps_out)
    )
    paths, inputs = product_paths(irreps_1, irreps_2, irreps_out), irreps_1.dim + irreps_2.dim
    writer = Writer([Argument(inputs), Argument(len(paths), shared=True)])
    sums: list[list[tuple[float, int, int]]] = [[] for _ in range(irreps_out.dim)]
    starts = [[block.start for block in irreps.slices()] for irreps in (irreps_1, irreps_2, irreps_out)]
    for weight, path in enumerate(paths):
        l_1, l_2, l_3 = (irreps[block].ir.l for irreps, block in zip((irreps_1, irreps_2, irreps_out), path))
        # numbers, no tensors: a program may be asked for within a trace
        table = (2 * l_3 + 1) ** 0.5 * wigner_numbers(l_1, l_2, l_3)
        x, y, to = (start[block] for start, block in zip(starts, path))
        for m in range(2 * l_3 + 1):
            terms = [
                (float(table[i, j, m]), x + i, irreps_1.dim + y + j) for i, j in np.argwhere(table[..., m]).tolist()
            ]
            sums[to + m].append((1.0, writer.row(terms), inputs + weight))
    return writer.program([Result(tuple(writer.row(terms) for terms in sums))])
