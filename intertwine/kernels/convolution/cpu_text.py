r"""The two kernels of a channelwise plan, written for one plan.

With the terms :math:`z_{uk} = \sum w_{uv} M^v_{ik} x_{ui}` of :mod:`intertwine.kernels.convolution.plan`, and for
each edge e from s to n:

* ``gather`` goes row by row through z: :math:`z_n = \sum_{e \to n} T(x_s, y_e, w_e)`;
* ``scatter`` goes row by row through x and writes the derivatives of
  :math:`\sum_e \langle g_n, T(x_s, y_e, w_e) \rangle`.

So no row is touched by two threads, each input is read once for every edge, and nothing is kept for an edge but the
numbers M. The definition that they are checked against is :mod:`intertwine.kernels.convolution.definition`, by
:mod:`intertwine.kernels.convolution.check`. Which versions of the arguments meet is said by
:class:`intertwine.kernels.convolution.forms.Forms`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from llvmlite import ir

from intertwine.kernels.convolution.cpu_matrices import COEFFICIENTS_PER_FUNCTION, Matrices, grouped, parts
from intertwine.kernels.convolution.forms import Forms
from intertwine.kernels.convolution.plan import Channelwise, Term
from intertwine.kernels.llvm.assembler import WORD, Chunk, Code
from intertwine.kernels.shared.strip import Strip

#: Words of the argument of each kernel; ``a``, ``b`` and ``c`` are the tangents of x, y and w.
GATHER = ("order", "offsets", "source", "x", "y", "w", "a", "b", "c", "z")
SCATTER = ("order", "offsets", "destination", "x", "y", "w", "a", "b", "c", "g", "dx", "dy", "dw")

_PREFETCH_BYTES = 12_000  # bytes that are asked for ahead of their use; measured on rows that no cache holds

Vectors = list[ir.Value]
Scales = Sequence[ir.Value | None]  # weights of each v, None where there are none
Rows = Mapping[str, tuple[ir.Value, int]]  # pointer to the first row, length of a row


class Walk(NamedTuple):
    """Edges in the order of one end: ``order``, the other end of each, and the last place."""

    order: ir.Value
    ends: ir.Value
    last: ir.Value


@dataclass(frozen=True)
class Kernel:
    """A kernel that is being written.

    Attributes:
        rows: name -> pointer to the row of the node or edge that is done now.
        totals: sums of dy on the stack, ``widest`` lanes for each component; None if dy is not asked for.
        sums: the number of the sum of each component of y that is read.
    """

    code: Code
    plan: Channelwise
    forms: Forms
    widest: int
    matrices: Matrices
    rows: dict[str, ir.Value]
    totals: ir.Value | None = None
    sums: dict[int, int] = field(default_factory=dict)


def gather_text(plan: Channelwise, dtype: str, forms: Forms, widest: int) -> str:
    """The text of the first kernel.

    Args:
        plan: what to compute; dtype: "float32" or "float64"; forms: those of z; widest: lanes of a vector, a power of
            two.
    """
    code = Code("body", dtype, GATHER)
    senders, ys, ws = (sorted({form[at] for form in forms.z}) for at in range(3))
    kernel = Kernel(code, plan, forms, widest, Matrices(code, plan.terms, ys), {})
    order, offsets, source = (code.integers(name) for name in GATHER[:3])
    pointers = {name: code.reals(name) for name in (*senders, *ys, *ws, "z")}
    sizes = _sizes(plan)
    walk = Walk(order, source, code.builder.sub(code.integer_at(offsets, code.hi), WORD(1)))
    of_edge, of_node = ({name: (pointers[name], sizes[name]) for name in names} for names in ((*ys, *ws), senders))
    with code.loop(code.lo, code.hi) as node:
        kernel.rows["z"] = code.row(pointers["z"], node, plan.dim_z)
        _clear(code, kernel.rows["z"], plan.dim_z)
        with code.loop(
            code.integer_at(offsets, node), code.integer_at(offsets, code.builder.add(node, WORD(1)))
        ) as place:
            _ahead(code, walk, place, of_edge, of_node)
            edge = code.integer_at(order, place)
            sender = code.integer_at(source, edge)
            for name in (*senders, *ys, *ws):
                kernel.rows[name] = code.row(pointers[name], sender if name in senders else edge, sizes[name])
            kernel.matrices.fill(kernel.rows)
            for chunk, strip, numbers in _blocks(kernel):
                _apart(kernel, chunk, numbers, partial(_from_strip, strip=strip, senders=senders))
    return code.finish()


def _from_strip(kernel: Kernel, chunk: Chunk, numbers: Sequence[int], strip: Strip, senders: Sequence[str]) -> None:
    """z of some terms that read the same strip of x."""
    features = {name: kernel.code.strip(kernel.rows[name], strip, chunk) for name in senders}
    for number in numbers:
        _to_z(kernel, number, features, chunk)


def scatter_text(plan: Channelwise, dtype: str, forms: Forms, widest: int) -> str:
    """The text of the second kernel; arguments as for the first, the forms those of dx, dy and dw."""
    code = Code("body", dtype, SCATTER)
    senders = sorted({x for x, _ in (*forms.dy, *forms.dw)})
    ys = sorted({y for y, _ in forms.dx} | {y for _, y in forms.dw})
    ws = sorted({w for _, w in (*forms.dx, *forms.dy)})
    totals = code.scratch(len(plan.components) * widest) if forms.dy else None
    kernel = Kernel(
        code,
        plan,
        forms,
        widest,
        Matrices(code, plan.terms, ys),
        {},
        totals,
        {j: n for n, j in enumerate(plan.components)},
    )
    order, offsets, destination = (code.integers(name) for name in SCATTER[:3])
    outputs = [name for name in ("dx", "dy", "dw") if getattr(forms, name)]
    pointers = {name: code.reals(name) for name in (*senders, *ys, *ws, "g", *outputs)}
    sizes = _sizes(plan)
    walk = Walk(order, destination, code.builder.sub(code.integer_at(offsets, code.hi), WORD(1)))
    written = ["dw"] if forms.dw else []
    of_edge, of_node = (
        {name: (pointers[name], sizes[name]) for name in names} for names in ((*ys, *ws, *written), ("g",))
    )
    with code.loop(code.lo, code.hi) as node:
        for name in [*senders, *outputs[:1]] if forms.dx else senders:
            kernel.rows[name] = code.row(pointers[name], node, sizes[name])
        if forms.dx:
            _clear(code, kernel.rows["dx"], plan.dim_x)
        with code.loop(
            code.integer_at(offsets, node), code.integer_at(offsets, code.builder.add(node, WORD(1)))
        ) as place:
            _ahead(code, walk, place, of_edge, of_node)
            edge = code.integer_at(order, place)
            for name in (*ys, *ws, *outputs):
                if name != "dx":
                    kernel.rows[name] = code.row(pointers[name], edge, sizes[name])
            kernel.rows["g"] = code.row(pointers["g"], code.integer_at(destination, edge), plan.dim_z)
            _edge(kernel, senders)
    return code.finish()


def _edge(kernel: Kernel, senders: Sequence[str]) -> None:
    """All derivatives of one edge."""
    code, plan, rows = kernel.code, kernel.plan, kernel.rows
    kernel.matrices.fill(rows)
    if kernel.totals is not None:
        _clear(code, kernel.totals, len(kernel.sums) * kernel.widest)
    for chunk, strip, numbers in _blocks(kernel):
        _apart(kernel, chunk, numbers, partial(_to_strip, strip=strip, senders=senders))
    if kernel.totals is not None:
        if len(kernel.sums) < plan.dim_y:
            _clear(code, rows["dy"], plan.dim_y)
        for j, number in kernel.sums.items():
            code.store(code.total(code.load(kernel.totals, number * kernel.widest, kernel.widest)), rows["dy"], j)


def _to_strip(kernel: Kernel, chunk: Chunk, numbers: Sequence[int], strip: Strip, senders: Sequence[str]) -> None:
    """All derivatives of some terms that read the same strip of x."""
    code, forms, rows = kernel.code, kernel.forms, kernel.rows
    features = {name: code.strip(rows[name], strip, chunk) for name in senders}
    slopes = code.strip(rows["dx"], strip, chunk) if forms.dx else []
    for number in numbers:
        term = kernel.plan.terms[number]
        g = code.strip(rows["g"], term.z, chunk)
        weights = _weights(kernel, term, [w for _, w in (*forms.dx, *forms.dy)], chunk)
        if forms.dx:
            _to_x(kernel, number, weights, g, slopes, chunk)
        if forms.dy or (forms.dw and term.w is not None):
            _to_edge(kernel, term, weights, features, g, chunk)
    if forms.dx:
        code.put_strip(slopes, rows["dx"], strip, chunk)


def _to_z(kernel: Kernel, number: int, features: dict[str, Vectors], chunk: Chunk) -> None:
    """z += w (M x) of one term for a chunk of channels."""
    code, term = kernel.code, kernel.plan.terms[number]
    z = code.strip(kernel.rows["z"], term.z, chunk)
    weights = _weights(kernel, term, [w for _, _, w in kernel.forms.z], chunk)
    for w_name, meeting in grouped(kernel.forms.z, lambda form: form[2]):
        for v, scale in enumerate(weights.get(w_name, ())):
            sums: dict[int, ir.Value] = {}
            into: Any = z if scale is None else sums
            for x_name, y_name, _ in meeting:
                for (i, k), m in kernel.matrices.vectors(number, v, y_name, chunk.width).items():
                    into[k] = code.multiply_add(m, features[x_name][i], z[k] if scale is None else sums.get(k))
            for k, total in sums.items():
                z[k] = code.multiply_add(scale, total, z[k])
    code.put_strip(z, kernel.rows["z"], term.z, chunk)


def _to_x(kernel: Kernel, number: int, weights: dict[str, Scales], g: Vectors, slopes: Vectors, chunk: Chunk) -> None:
    """dx += M (w g) of one term."""
    code = kernel.code
    for w_name, meeting in grouped(kernel.forms.dx, lambda form: form[1]):
        for v, scale in enumerate(weights.get(w_name, ())):
            scaled = g if scale is None else [code.builder.fmul(scale, component) for component in g]
            for y_name, _ in meeting:
                for (i, k), m in kernel.matrices.vectors(number, v, y_name, chunk.width).items():
                    slopes[i] = code.multiply_add(m, scaled[k], slopes[i])


def _to_edge(
    kernel: Kernel, term: Term, weights: dict[str, Scales], features: dict[str, Vectors], g: Vectors, chunk: Chunk
) -> None:
    r"""dy and dw of one term from :math:`q_j = \sum C_{ijk} x_i g_k`: dy sums w q over the channels, dw = y q."""
    code, forms, rows, width = kernel.code, kernel.forms, kernel.rows, chunk.width
    q: dict[str, dict[int, ir.Value]] = {}
    for x_name, x in features.items():
        q[x_name] = {}
        for (i, k), entries in grouped(term.entries, lambda entry: (entry[0], entry[2])):
            product = code.builder.fmul(x[i], g[k])
            for _, j, _, value in entries:
                q[x_name][j] = code.multiply_add(product, code.constant(value, width), q[x_name].get(j))
    for x_name, w_name in forms.dy:
        for v, scale in enumerate(weights.get(w_name, ())):
            for j, q_j in q[x_name].items():
                place = kernel.sums[term.y[v][j]] * kernel.widest
                total = code.load(kernel.totals, place, width)
                code.store(
                    code.builder.fadd(total, q_j) if scale is None else code.multiply_add(scale, q_j, total),
                    kernel.totals,
                    place,
                )
    if forms.dw and term.w is not None:
        slopes = []
        for v in range(len(term.y)):
            slope = None
            for x_name, y_name in forms.dw:
                for j, q_j in q[x_name].items():
                    slope = code.multiply_add(code.splat(code.load(rows[y_name], term.y[v][j]), width), q_j, slope)
            slopes.append(slope)
        code.put_strip(slopes, rows["dw"], term.w, chunk)


def _weights(kernel: Kernel, term: Term, names: Iterable[str], chunk: Chunk) -> dict[str, Scales]:
    """Weights of a term by version; without weights the form of "w" stands once, and what is linear in their tangent
    vanishes.
    """
    if term.w is None:
        return {"w": [None] * len(term.y)} if "w" in names else {}
    return {name: kernel.code.strip(kernel.rows[name], term.w, chunk) for name in sorted(set(names))}


def _blocks(kernel: Kernel) -> Iterable[tuple[Chunk, Strip, list[int]]]:
    """(channels, strip of x, numbers of the terms that read it), in loops over all channels."""
    terms = kernel.plan.terms
    for mul, numbers in grouped(range(len(terms)), lambda number: terms[number].x.mul):
        for chunk in kernel.code.chunks(mul, kernel.widest):
            for strip, same in grouped(numbers, lambda number: terms[number].x):
                yield chunk, strip, same


def _apart(
    kernel: Kernel, chunk: Chunk, numbers: Sequence[int], write: Callable[[Kernel, Chunk, Sequence[int]], None]
) -> None:
    """Write the code of some terms: here if the plan is short, in functions of their own otherwise."""
    if kernel.plan.coefficients <= COEFFICIENTS_PER_FUNCTION:
        write(kernel, chunk, numbers)
        return
    rows, stacks = list(kernel.rows), list(kernel.matrices.stacks)
    totals = [] if kernel.totals is None else [kernel.totals]
    outer = [*kernel.rows.values(), *kernel.matrices.stacks.values(), chunk.first, *totals]
    for part in parts(numbers, lambda number: len(kernel.plan.terms[number].entries)):
        with kernel.code.apart(outer) as inner:
            matrices = kernel.matrices.at(dict(zip(stacks, inner[len(rows) :])))
            first, *sums = inner[len(rows) + len(stacks) :]
            seen = replace(kernel, rows=dict(zip(rows, inner)), matrices=matrices, totals=sums[0] if sums else None)
            write(seen, replace(chunk, first=first), part)


def _ahead(code: Code, walk: Walk, place: ir.Value, of_edge: Rows, of_node: Rows) -> None:
    """Ask for the rows of an edge that comes soon: in the order of its nodes, an edge list is a random walk through
    memory.
    """
    length = sum(size for _, size in (*of_edge.values(), *of_node.values())) * code.size
    place = code.builder.add(place, WORD(max(1, min(8, _PREFETCH_BYTES // max(length, 1)))))
    place = code.builder.select(code.builder.icmp_signed("<", place, walk.last), place, walk.last)
    edge = code.integer_at(walk.order, place)
    node = code.integer_at(walk.ends, edge)
    for at, rows in ((edge, of_edge), (node, of_node)):
        for name, (pointer, size) in rows.items():
            code.prefetch(code.row(pointer, at, size), size, write=name.startswith("d"))


def _clear(code: Code, row: ir.Value, size: int) -> None:
    """Set a row to zero."""
    for chunk in code.chunks(size, 16) if size else ():
        code.store(code.constant(0.0, chunk.width), row, chunk.first, chunk.count)


def _sizes(plan: Channelwise) -> dict[str, int]:
    """Length of the rows of every argument."""
    dims = {"xa": plan.dim_x, "yb": plan.dim_y, "wc": plan.dim_w, "g": plan.dim_z}
    sizes = {name: dim for names, dim in dims.items() for name in names}
    return sizes | {"dx": plan.dim_x, "dy": plan.dim_y, "dw": plan.dim_w}
