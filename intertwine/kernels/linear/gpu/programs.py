r"""Linear layers as two Triton programs that read tables of tiles: none is compiled for a new layer.

Products are in full precision: no tensor core rounds what it multiplies. Imported late: Triton is not there on every
machine.
"""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

#: Whether Triton's interpreter runs the programs, on the CPU: $TRITON_INTERPRET was set when this module was imported.
INTERPRETED = triton.knobs.runtime.interpret


@triton.jit
@no_type_check
def products(
    x,
    weight,
    y,
    tiles,
    entries,
    factors,
    count,
    samples,
    size_x,
    size_y,
    REAL: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """One component of some samples and channels of y: the sum over the tile's entries of x times a matrix."""
    row = (tl.program_id(0) // count).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    tile = tiles + (tl.program_id(0) % count) * 5  # tiles of the same samples run together
    place = tl.load(tile)
    along = tl.load(tile + 1)
    columns = tl.load(tile + 2)
    real = (row < samples)[:, None]
    total = tl.zeros((ROWS, COLUMNS), REAL)
    for number in range(tl.load(tile + 3), tl.load(tile + 4)):
        entry = entries + number * 6
        place_x = tl.load(entry)
        along_x = tl.load(entry + 1)
        depth = tl.load(entry + 2)
        place_w = tl.load(entry + 3)
        down = tl.load(entry + 4)
        across = tl.load(entry + 5)
        factor = tl.load(factors + number)
        for start in range(0, depth, DEPTH):
            channel = start + tl.arange(0, DEPTH)
            a = tl.load(
                x + row[:, None] * size_x + (place_x + channel * along_x)[None, :],
                mask=real & (channel < depth)[None, :],
                other=0.0,
            )
            b = tl.load(
                weight + place_w + channel[:, None] * down + column[None, :] * across,
                mask=(channel < depth)[:, None] & (column < columns)[None, :],
                other=0.0,
            )
            total = tl.dot(a.to(REAL), b.to(REAL) * factor, total, input_precision="ieee", out_dtype=REAL)
    tl.store(
        y + row[:, None] * size_y + (place + column * along)[None, :], total, mask=real & (column < columns)[None, :]
    )


@triton.jit
@no_type_check
def sums(
    x,
    g,
    slopes,
    tiles,
    factors,
    count,
    samples,
    share,
    size_x,
    size_g,
    size_w,
    REAL: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """A tile of x^T g, summed over a share of the samples and all components."""
    part = (tl.program_id(0) // count).to(tl.int64)
    number = tl.program_id(0) % count
    tile = tiles + number * 11
    place_x = tl.load(tile)
    along_x = tl.load(tile + 1)
    across_x = tl.load(tile + 2)
    rows = tl.load(tile + 3)
    place_g = tl.load(tile + 4)
    along_g = tl.load(tile + 5)
    across_g = tl.load(tile + 6)
    columns = tl.load(tile + 7)
    dim = tl.load(tile + 8)
    place = tl.load(tile + 9)
    down = tl.load(tile + 10)
    u = tl.arange(0, COLUMNS)
    total = tl.zeros((COLUMNS, COLUMNS), REAL)
    stop = tl.minimum((part + 1) * share, samples)
    for start in range(part * share, stop, ROWS):
        sample = start + tl.arange(0, ROWS)
        for component in range(dim):
            a = tl.load(
                x + sample[None, :] * size_x + (place_x + component * across_x + u * along_x)[:, None],
                mask=(sample < stop)[None, :] & (u < rows)[:, None],
                other=0.0,
            )
            b = tl.load(
                g + sample[:, None] * size_g + (place_g + component * across_g + u * along_g)[None, :],
                mask=(sample < stop)[:, None] & (u < columns)[None, :],
                other=0.0,
            )
            total = tl.dot(a.to(REAL), b.to(REAL), total, input_precision="ieee", out_dtype=REAL)
    total = total * tl.load(factors + number)
    tl.store(
        slopes + part * size_w + place + u[:, None] * down + u[None, :],
        total,
        mask=(u < rows)[:, None] & (u < columns)[None, :],
    )
