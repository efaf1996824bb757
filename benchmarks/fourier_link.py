"""Regular convolutions on n orientations beside steerable ones: how far the regular kernel, transformed to frequencies
up to 2, is from the nearest steerable kernel, and from its limit of many angles. Prints a table, and makes a picture.

python benchmarks/fourier_link.py
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import torch
from measure import DOCS, insert, markdown
from torch import Tensor

from intertwine.groups import SO, cyclic
from intertwine.nn.groups.fourier_link import circle_functions, circle_terms, coefficient_kernel
from intertwine.nn.groups.grid_convolution import GroupConvolution
from intertwine.nn.groups.kernel_basis import RingBasis
from intertwine.nn.groups.steerable_convolution import SteerableConvolution, plane_couplings, plane_harmonics

FREQUENCIES, ANGLES, MANY = 2, (3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20, 24, 32), 96


def kernel(n: int, limited: bool) -> Tensor:
    """The kernel in coefficients of a convolution on C_n: the same function of the angle at every n, of frequencies up
    to 2, or exp(4 cos) which has all."""
    theta = 2 * torch.pi * torch.arange(n, dtype=torch.float64) / n
    peak = (4 * theta.cos() - 4).exp()
    functions = circle_functions(FREQUENCIES, n) if limited else torch.stack([peak, peak * theta.sin()], dim=1)
    basis, generator = RingBasis(5), torch.Generator().manual_seed(0)
    convolution = GroupConvolution(cyclic(n), 1, 1, basis).double()
    draw = torch.randn(1, 1, basis.count, functions.shape[1], generator=generator, dtype=torch.float64)
    with torch.no_grad():
        convolution.weight.copy_(torch.einsum("oibk,hk->oihb", draw, functions / n))
    return coefficient_kernel(convolution, FREQUENCIES)


def rows() -> list[dict[str, Any]]:
    """Relative distances by the number of angles."""
    terms = circle_terms(1, FREQUENCIES)
    steerable = SteerableConvolution(terms, terms, 5, plane_harmonics(SO(2), 5, 4), plane_couplings, 2).double()
    limits = {limited: kernel(MANY, limited) for limited in (True, False)}
    result = []
    for n in ANGLES:
        row: dict[str, Any] = {"orientations": n}
        for limited, words in ((True, "frequencies up to 2"), (False, "all frequencies")):
            here = kernel(n, limited)
            row[f"{words}: from steerable"] = f"{steerable.fit(here):.1e}"
            row[f"{words}: from the limit"] = f"{float((here - limits[limited]).norm() / limits[limited].norm()):.1e}"
        result.append(row)
    return result


def picture(found: list[dict[str, Any]]) -> Any:
    """The distances over the number of orientations."""
    figure, axes = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
    for (column, colour), marker in zip(
        {
            "frequencies up to 2: from the limit": "#2a6f97",
            "all frequencies: from the limit": "#c8553d",
        }.items(),
        "os",
    ):
        values = [max(float(row[column]), 1e-17) for row in found]
        axes.plot([row["orientations"] for row in found], values, color=colour, marker=marker, ms=4, label=column)
    axes.axvline(9, color="#888888", lw=0.8, ls="--")
    axes.annotate("2 + 2 + 4 < n: exact", (9.3, 1e-13), fontsize=8)
    axes.set_yscale("log")
    axes.set_xlabel("orientations n of the regular convolution", fontsize=9)
    axes.set_ylabel("relative distance of kernels", fontsize=9)
    axes.legend(fontsize=8, frameon=False, loc="upper right")
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    measured = rows()
    print(markdown(measured))
    insert(DOCS / "grids.md", "fourier_link.py", markdown(measured))
    picture(measured).savefig(DOCS / "images" / "fourier_link.png", dpi=150)
