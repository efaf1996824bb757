r"""The two kernels as Triton programs.

A program does one node and up to LANES channels. It takes EDGES edges of the node at a time, as a tile (EDGES, LANES):
one number of the tile is one register of one thread, so a row of weights is read in whole cache lines. The tables of a
job are unrolled: what is compiled is straight-line code whose coefficients are immediate operands.

Imported late: Triton is not there on every machine.
"""

# ruff: noqa: RUF005 -- Triton joins tuples by "+" only
from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

from intertwine.kernels.convolution.gpu.schedule import Table

#: Whether Triton's interpreter runs the programs, on the CPU: $TRITON_INTERPRET was set when this module was imported.
INTERPRETED = triton.knobs.runtime.interpret


@triton.constexpr_function
def _constant(x):
    """A part of a constant as one: Triton 3.6, which comes with torch 2.11, takes only whole ones for arguments."""
    return x


@triton.constexpr_function
def _table(rows):
    """A tuple as a constant, which Triton 3.6 would take apart."""
    return Table(rows)


@triton.jit
@no_type_check
def _strip(row, channel, keep, STRIP: tl.constexpr, REAL: tl.constexpr):
    """All components of a tile of channels."""
    components = ()
    for c in tl.static_range(int(STRIP.dim)):
        component = tl.load(row + channel * STRIP.along + (STRIP.start + c * STRIP.across), mask=keep, other=0.0)
        components = components + (component.to(REAL),)
    return components


@triton.jit
@no_type_check
def _numbers(ys, edge, real, JOB: tl.constexpr, REAL: tl.constexpr):
    """The components of y of a tile of edges (EDGES, 1), of all versions."""
    numbers = ()
    for version in tl.static_range(int(JOB.versions[1])):
        for place in tl.static_range(len(JOB.ys)):
            number = tl.load(ys[version] + edge * JOB.dims[1] + JOB.ys[place], mask=real, other=0.0)
            numbers = numbers + (number.to(REAL),)
    return numbers


@triton.jit
@no_type_check
def _features(xs, node, channel, keep, JOB: tl.constexpr, REAL: tl.constexpr):
    """The components of x of a tile of channels, of all versions."""
    features = ()
    for version in tl.static_range(int(JOB.versions[0])):
        for number in tl.static_range(len(JOB.xs)):
            features = features + _strip(
                xs[version] + node * JOB.dims[0], channel, keep, _constant(JOB.xs[number]), REAL
            )
    return features


@triton.jit
@no_type_check
def _zeros(COUNT: tl.constexpr, EDGES: tl.constexpr, LANES: tl.constexpr, REAL: tl.constexpr):
    zeros = ()
    for _ in tl.static_range(COUNT):
        zeros = zeros + (tl.full((EDGES, LANES), 0.0, REAL),)
    return zeros


@triton.jit
@no_type_check
def _products(numbers, features, TABLE: tl.constexpr):
    """The sums over p of f_p M_p, with M_p = sum over q of v_pq y_pq, of all rows."""
    products = ()
    for r in tl.static_range(len(TABLE.rows)):
        for p in tl.static_range(len(TABLE.rows[r][1])):
            for q in tl.static_range(len(TABLE.rows[r][1][p][1])):
                term = numbers[TABLE.rows[r][1][p][1][q][0]] * TABLE.rows[r][1][p][1][q][1]
                if q == 0:
                    m = term
                else:
                    m = m + term
            if p == 0:
                total = m * features[TABLE.rows[r][1][p][0]]
            else:
                total = total + m * features[TABLE.rows[r][1][p][0]]
        products = products + (total,)
    return products


@triton.jit
@no_type_check
def _gather_step(
    sums, features, numbers, ws, edge, channel, keep, STEP: tl.constexpr, JOB: tl.constexpr, REAL: tl.constexpr
):
    """z += w (M x) of one term."""
    for s in tl.static_range(len(STEP.scales)):
        products = _products(numbers, features, _table(STEP.scales[s][2]))
        if STEP.w is not None:
            scale = _weight(ws[STEP.scales[s][0]], edge, channel, keep, STEP.scales[s][1], _constant(STEP.w), JOB, REAL)
        for r in tl.static_range(len(STEP.scales[s][2])):
            total = products[r]
            if STEP.w is not None:
                total = scale * total
            total += sums[STEP.scales[s][2][r][0]]
            sums = sums[: STEP.scales[s][2][r][0]] + (total,) + sums[STEP.scales[s][2][r][0] + 1 :]
    return sums


@triton.jit
@no_type_check
def gather(
    z,
    order,
    offsets,
    source,
    x0,
    x1,
    y0,
    y1,
    w0,
    w1,
    JOB: tl.constexpr,
    REAL: tl.constexpr,
    EDGES: tl.constexpr,
    LANES: tl.constexpr,
):
    """z[node] = sum of T over the edges of the node; the arguments come in up to two versions."""
    node = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * LANES + tl.arange(0, LANES)[None, :]
    lane = channel < JOB.channels
    start = tl.load(offsets + node)
    stop = tl.load(offsets + node + 1)
    sums = _zeros(JOB.summed, EDGES, LANES, REAL)
    place = start + tl.arange(0, EDGES)[:, None]
    edge, sender = _edge(order, source, place, stop)
    for _ in range(start, stop, EDGES):
        real = place < stop
        place += EDGES
        edge_after, sender_after = _edge(order, source, place, stop)  # one turn ahead: x waits for nothing
        features = _features((x0, x1), sender, channel, real & lane, JOB, REAL)
        numbers = _numbers((y0, y1), edge, real, JOB, REAL)
        for t in tl.static_range(len(JOB.steps)):
            sums = _gather_step(
                sums, features, numbers, (w0, w1), edge, channel, real & lane, _constant(JOB.steps[t]), JOB, REAL
            )
        edge, sender = edge_after, sender_after
    _put_strips(z + node * JOB.dims[2], sums, channel, lane, _table(JOB.zs))


@triton.jit
@no_type_check
def _edge(order, ends, place, stop):
    """A tile of edges (EDGES, 1), and their other ends."""
    edge = tl.load(order + place, mask=place < stop, other=0)
    return edge, tl.load(ends + edge, mask=place < stop, other=0)


@triton.jit
@no_type_check
def _weight(w, edge, channel, keep, V: tl.constexpr, STRIP: tl.constexpr, JOB: tl.constexpr, REAL: tl.constexpr):
    """Weights of a tile of edges and channels; nobody reads them again, so they need not stay in a cache."""
    place = edge * JOB.dims[3] + channel * STRIP.along + (STRIP.start + V * STRIP.across)
    return tl.load(w + place, mask=keep, other=0.0, eviction_policy="evict_first").to(REAL)


@triton.jit
@no_type_check
def _put_strips(row, sums, channel, lane, TABLE: tl.constexpr):
    """Add up the edges of the tiles, and write the components of one row."""
    for number in tl.static_range(len(TABLE.rows)):
        for c in tl.static_range(int(TABLE.rows[number].dim)):
            total = sums[0]
            if total.shape[0] > 1:
                total = tl.sum(total, axis=0, keep_dims=True)
            tl.store(
                row + channel * TABLE.rows[number].along + (TABLE.rows[number].start + c * TABLE.rows[number].across),
                total,
                mask=lane,
            )
            sums = sums[1:]


@triton.jit
@no_type_check
def _to_x(dx, slopes, scales, Y: tl.constexpr, V: tl.constexpr, STEP: tl.constexpr):
    """dx_i += w h_i for one version of y and one v."""
    for f in tl.static_range(len(STEP.to_x)):
        if STEP.to_x[f][0] == Y:
            for r in tl.static_range(len(STEP.slopes[Y][V])):
                slope = slopes[r]
                if STEP.w is not None:
                    slope = scales[STEP.to_x[f][1]] * slope
                slope += dx[STEP.base + STEP.slopes[Y][V][r][0]]
                dx = (
                    dx[: STEP.base + STEP.slopes[Y][V][r][0]] + (slope,) + dx[STEP.base + STEP.slopes[Y][V][r][0] + 1 :]
                )
    return dx


@triton.jit
@no_type_check
def _to_w(dw, slopes, features, Y: tl.constexpr, V: tl.constexpr, STEP: tl.constexpr, JOB: tl.constexpr):
    """dw_v += sum over i of x_i h_i for one version of y."""
    for f in tl.static_range(len(STEP.to_w)):
        if STEP.to_w[f][1] == Y:
            for r in tl.static_range(len(STEP.slopes[Y][V])):
                dw += features[STEP.to_w[f][0] * JOB.features + STEP.base + STEP.slopes[Y][V][r][0]] * slopes[r]
    return dw


@triton.jit
@no_type_check
def _to_y(dy, g, features, scales, V: tl.constexpr, STEP: tl.constexpr, JOB: tl.constexpr):
    """dy_j += sum over i, k of C_ijk (w x_i) g_k for one v."""
    for r in tl.static_range(len(STEP.pairs[V])):
        for f in tl.static_range(len(STEP.to_y)):
            feature = features[STEP.to_y[f][0] * JOB.features + STEP.base + STEP.pairs[V][r][0]]
            if STEP.w is not None:
                feature = feature * scales[STEP.to_y[f][1]]
            if f == 0:
                x = feature
            else:
                x = x + feature
        for p in tl.static_range(len(STEP.pairs[V][r][1])):
            product = x * g[STEP.pairs[V][r][1][p][0]]
            for q in tl.static_range(len(STEP.pairs[V][r][1][p][1])):
                slope = dy[STEP.pairs[V][r][1][p][1][q][0]] + product * STEP.pairs[V][r][1][p][1][q][1]
                dy = dy[: STEP.pairs[V][r][1][p][1][q][0]] + (slope,) + dy[STEP.pairs[V][r][1][p][1][q][0] + 1 :]
    return dy


@triton.jit
@no_type_check
def _scatter_step(
    dx, dy, g, features, numbers, ws, dw, edge, channel, keep, STEP: tl.constexpr, JOB: tl.constexpr, REAL: tl.constexpr
):
    """All that one term adds to dx and dy, and its dw."""
    for v in tl.static_range(int(STEP.fan)):
        scales = ()
        if STEP.w is not None:
            for version in tl.static_range(int(JOB.versions[2])):
                scales = scales + (_weight(ws[version], edge, channel, keep, v, _constant(STEP.w), JOB, REAL),)
        slope = tl.full(g[0].shape, 0.0, REAL)
        for version in tl.static_range(int(JOB.versions[1])):
            slopes = _products(numbers, g, _table(STEP.slopes[version][v]))
            dx = _to_x(dx, slopes, scales, version, v, STEP)
            slope = _to_w(slope, slopes, features, version, v, STEP, JOB)
        if len(STEP.to_w) > 0:
            place = edge * JOB.dims[3] + channel * STEP.w.along + (STEP.w.start + v * STEP.w.across)
            tl.store(dw + place, slope, mask=keep)
        if len(STEP.to_y) > 0:
            dy = _to_y(dy, g, features, scales, v, STEP, JOB)
    return dx, dy


@triton.jit
@no_type_check
def scatter(
    dx,
    dy,
    dw,
    order,
    offsets,
    destination,
    x0,
    x1,
    y0,
    y1,
    w0,
    w1,
    g,
    size_dy: tl.int64,
    JOB: tl.constexpr,
    REAL: tl.constexpr,
    EDGES: tl.constexpr,
    LANES: tl.constexpr,
):
    """dx[node], and dy[edge] and dw[edge] of the edges that leave the node; dy of each block of channels for itself."""
    node = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * LANES + tl.arange(0, LANES)[None, :]
    lane = channel < JOB.channels
    start = tl.load(offsets + node)
    stop = tl.load(offsets + node + 1)
    features = _features((x0, x1), node, channel, lane, JOB, REAL)
    sums = _zeros(JOB.asked_x, EDGES, LANES, REAL)
    mine = dy + tl.program_id(1) * size_dy
    place = start + tl.arange(0, EDGES)[:, None]
    edge, receiver = _edge(order, destination, place, stop)
    for _ in range(start, stop, EDGES):
        real = place < stop
        place += EDGES
        edge_after, receiver_after = _edge(order, destination, place, stop)
        numbers = _numbers((y0, y1), edge, real, JOB, REAL)
        totals = _zeros(JOB.asked_y, EDGES, LANES, REAL)
        for t in tl.static_range(len(JOB.steps)):
            slope = _strip(g + receiver * JOB.dims[2], channel, real & lane, _constant(JOB.steps[t].z), REAL)
            sums, totals = _scatter_step(
                sums,
                totals,
                slope,
                features,
                numbers,
                (w0, w1),
                dw,
                edge,
                channel,
                real & lane,
                _constant(JOB.steps[t]),
                JOB,
                REAL,
            )
        for j in tl.static_range(int(JOB.asked_y)):
            tl.store(mine + edge * JOB.dims[1] + JOB.ys[j], tl.sum(totals[j], axis=1, keep_dims=True), mask=real)
        edge, receiver = edge_after, receiver_after
    if JOB.asked_x > 0:
        _put_strips(dx + node * JOB.dims[0], sums, channel, lane, _table(JOB.xs))
