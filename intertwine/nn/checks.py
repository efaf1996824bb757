"""What models refuse, said in one way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from intertwine.geometry import EDGE_INVARIANTS, NODE_INVARIANTS, Graph
from intertwine.numerics import GeometryError, InputError, nearest
from intertwine.o3.irreps import Irreps

#: Names of fields, of one column each, or with their number of columns.
Columns = Mapping[str, int] | Sequence[str]


def check_sizes(**sizes: int) -> None:
    """Raise an :class:`InputError` that names the first size (width, ...) which is not a positive whole number."""
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


def check_edge_inputs(inputs: Columns) -> dict[str, int]:
    """Columns of each invariant of edges, by name."""
    return columns(inputs, "edge_inputs", [*EDGE_INVARIANTS, "edge_attr"])


def check_node_inputs(inputs: Columns) -> dict[str, int]:
    """Columns of each invariant of nodes, by name."""
    return columns(inputs, "node_inputs", [*NODE_INVARIANTS, "x"])


def check_vector_inputs(inputs: Columns) -> dict[str, int]:
    """How many vectors of each node there are, by name of the field."""
    return columns(inputs, "vector_inputs")


def columns(inputs: Columns, where: str, known: Sequence[str] = ()) -> dict[str, int]:
    """Columns by name. A name without a number has one column, and among those ``known`` if there are any."""
    if isinstance(inputs, str):
        raise InputError(f"{inputs!r} is one string", where=where, remedy=f"give a sequence of names: [{inputs!r}].")
    if isinstance(inputs, Mapping):
        check_sizes(**{f"{where}.{name}": columns for name, columns in inputs.items()})
        return dict(inputs)
    for name in inputs:
        if known and name not in known:
            remedy = f"{nearest(name, known)} A field of your own is given with its number of columns: {{{name!r}: 1}}."
            raise InputError(f"unknown input {name!r}", where=where, remedy=remedy)
    if len(set(inputs)) < len(inputs):
        raise InputError(f"{list(inputs)} has a name twice", where=where, remedy="name each field once.")
    return dict.fromkeys(inputs, 1)


LARGEST_DEGREE = 20  # couplings are proven up to here, and a layer of degree l costs as l^3 to l^6


def check_lmax(lmax: int, usual: str = "2 is usual") -> None:
    """Raise an :class:`InputError` unless features of this degree can be made."""
    if lmax < 0:
        raise InputError(f"lmax = {lmax}", where="lmax", remedy=f"give 0 or more; {usual}.")
    if lmax > LARGEST_DEGREE:
        remedy = (
            f"give {LARGEST_DEGREE} at most; {usual}, and each degree more costs several times the time and memory."
        )
        raise InputError(f"lmax = {lmax} is too high", where="lmax", remedy=remedy)


def hidden_irreps(width: int, lmax: int, parity: bool) -> Irreps:
    """``width`` channels of every degree up to ``lmax``, with both parities or that of harmonics (0e, 1o, ...)."""
    check_lmax(lmax)
    return Irreps([(width, (l, p)) for l in range(lmax + 1) for p in ((1, -1) if parity else ((-1) ** l,))])


def check_outputs(
    wanted: Irreps,
    reached: Irreps,
    remedy: str = "raise lmax or the number of layers, or have parity",
    could: Irreps | None = None,
) -> None:
    """Raise an :class:`InputError` that names the irreps of ``wanted`` that are not ``reached``, and those that
    ``could`` be.
    """
    if not wanted.dim:
        raise InputError("no outputs", where="outputs", remedy="give 0e+1o, for example.")
    if missing := [str(ir) for _, ir in wanted if ir not in reached]:
        could = reached if could is None else could
        known = f"; these can be reached: {', '.join(str(ir) for _, ir in could.regroup())}" if could.dim else ""
        raise InputError(f"nothing leads to {', '.join(missing)}", where="outputs", remedy=f"{remedy}{known}.")


def products(irreps: Irreps, edge: Irreps) -> Irreps:
    """What couplings of features and harmonics lead to, each irrep once."""
    return Irreps(sorted({out for _, ir in irreps for _, other in edge for out in ir * other}))


def require_space(graph: Graph, dimension: int | None = None) -> None:
    """Raise a :class:`GeometryError` unless nodes live in three dimensions, or in as many as a model was made for that
    takes any.
    """
    if graph.dimension != (dimension or 3):
        what = f"nodes in {graph.dimension} dimensions, the model is for {dimension or 3}"
        remedy = "set the model's `dimension`." if dimension else "EGNN, SchNet and PointConv work in any dimension."
        raise GeometryError(what, where="pos", remedy=remedy)
