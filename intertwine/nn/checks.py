"""What models refuse, said in one way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from intertwine.geometry import EDGE_INVARIANTS, NODE_INVARIANTS, Graph
from intertwine.numerics import GeometryError, InputError, choose
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


def check_degree(average_degree: float) -> None:
    """Raise an :class:`InputError` unless the average number of neighbours is positive."""
    if not average_degree > 0:
        raise InputError(f"{average_degree} neighbours on average", where="average_degree", remedy="give a number > 0.")


def check_edge_inputs(names: Sequence[str]) -> tuple[str, ...]:
    """The names of invariants of edges as a tuple, checked."""
    return _names(names, [*EDGE_INVARIANTS, "edge_attr"], "edge_inputs")


def check_node_inputs(names: Sequence[str]) -> tuple[str, ...]:
    """The names of invariants of nodes as a tuple, checked."""
    return _names(names, [*NODE_INVARIANTS, "x"], "node_inputs")


def _names(names: Sequence[str], known: Iterable[str], where: str) -> tuple[str, ...]:
    """An :class:`InputError` for a plain string, and for a name that is not known."""
    if isinstance(names, str):
        raise InputError(f"{names!r} is one string", where=where, remedy=f"give a sequence of names: [{names!r}].")
    for name in names:
        choose(name, list(known), kind="input", where=where)
    return tuple(names)


def hidden_irreps(width: int, lmax: int, parity: bool) -> Irreps:
    """``width`` channels of every degree up to ``lmax``, with both parities or only that of harmonics (0e, 1o, 2e, ...)."""
    if lmax < 0:
        raise InputError(f"lmax = {lmax}", where="lmax", remedy="give 0 or more; 2 is usual.")
    return Irreps([(width, (l, p)) for l in range(lmax + 1) for p in ((1, -1) if parity else ((-1) ** l,))])


def check_outputs(wanted: Irreps, reached: Irreps, remedy: str = "raise lmax or the number of layers, or have parity") -> None:
    """Raise an :class:`InputError` that names the irreps of ``wanted`` which are not among those ``reached``."""
    if not wanted.dim:
        raise InputError("no outputs", where="outputs", remedy="give 0e+1o, for example.")
    if missing := [str(ir) for _, ir in wanted if ir not in reached]:
        raise InputError(f"nothing leads to {', '.join(missing)}", where="outputs", remedy=f"{remedy}; these can be reached: {reached}.")


def require_space(graph: Graph) -> None:
    """Raise a :class:`GeometryError` unless nodes live in three dimensions."""
    if graph.dimension != 3:
        what = f"nodes in {graph.dimension} dimensions, the model is for 3"
        raise GeometryError(what, where="pos", remedy="EGNN and SchNet work in any dimension.")
