"""What models refuse, said in one way."""

from __future__ import annotations

from intertwine.geometry import Graph
from intertwine.numerics import GeometryError, InputError
from intertwine.o3.irreps import Irreps


def check_sizes(**sizes: int) -> None:
    """Raise an :class:`InputError` that names the first size (width, layers, ...) which is not a positive whole number."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InputError(f"{name} = {size!r}", where=name, remedy="give a whole number of at least 1.")


def check_smoothing(smoothing: float) -> float:
    """The smoothing epsilon of norms; an :class:`InputError` unless it is positive."""
    if not smoothing > 0:
        raise InputError(f"smoothing is {smoothing}", where="smoothing", remedy="give a positive number, such as 0.1.")
    return float(smoothing)


def check_outputs(wanted: Irreps, reached: Irreps, remedy: str = "raise lmax or the number of layers, or have parity") -> None:
    """Raise an :class:`InputError` that names the irreps of ``wanted`` which are not among those ``reached``."""
    if missing := [str(ir) for _, ir in wanted if ir not in reached]:
        raise InputError(f"nothing leads to {', '.join(missing)}", where="outputs", remedy=f"{remedy}; these can be reached: {reached}.")


def require_space(graph: Graph) -> None:
    """Raise a :class:`GeometryError` unless nodes live in three dimensions."""
    if graph.dimension != 3:
        what = f"nodes in {graph.dimension} dimensions, the model is for 3"
        raise GeometryError(what, where="pos", remedy="EGNN and SchNet work in any dimension.")
