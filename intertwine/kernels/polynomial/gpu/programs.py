r"""A machine for straight-line programs in Triton: each step works on a tile of rows and channels, and the program is
data, so that none is compiled for a new one.

A program of Triton's takes one task after the other, a node and LANES of its channels, and has memory of its own for
their registers: its threads wait for each other before they read what others of them wrote. Imported late: Triton is
not there on every machine.
"""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

#: Whether Triton's interpreter runs the programs, on the CPU: $TRITON_INTERPRET was set when this module was imported.
INTERPRETED = triton.knobs.runtime.interpret


@triton.jit
@no_type_check
def machine(
    arguments,
    results,
    group,
    workspace,
    described,
    levels,
    tiles,
    targets,
    first,
    second,
    coefficients,
    outputs,
    tasks,
    chunks,
    channels,
    slots,
    ones,
    depth,
    REAL: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Results of every node. ``described``: size and whether it is shared of each argument, and size of each result."""
    lane = tl.arange(0, LANES)[None, :]
    row = tl.arange(0, ROWS)
    mine = workspace + tl.program_id(0).to(tl.int64) * slots * LANES
    tl.store(mine + ones * LANES + lane, tl.full((1, LANES), 1.0, REAL))
    for task in range(tl.program_id(0), tasks, tl.num_programs(0)):
        node = (task // chunks).to(tl.int64)
        channel = (task % chunks) * LANES + lane
        keep = channel < channels
        kind = tl.load(group + node)
        slot = 0
        for k in tl.static_range(len(arguments)):
            size = tl.load(described + 2 * k)
            place = tl.where(tl.load(described + 2 * k + 1) != 0, kind, node) * size
            for start in range(0, size, ROWS):
                component = (start + row)[:, None]
                value = tl.load(
                    arguments[k] + (place + component) * channels + channel, mask=(component < size) & keep, other=0.0
                )
                tl.store(mine + (slot + component) * LANES + lane, value.to(REAL), mask=component < size)
            slot += size
        tl.debug_barrier()
        for level in range(depth):
            for tile in range(tl.load(levels + level), tl.load(levels + level + 1)):
                entry = tl.load(tiles + 2 * tile) + row
                total = tl.zeros((ROWS, LANES), REAL)
                for _ in range(tl.load(tiles + 2 * tile + 1)):
                    a = tl.load(mine + tl.load(first + entry)[:, None] * LANES + lane)
                    b = tl.load(mine + tl.load(second + entry)[:, None] * LANES + lane)
                    total += tl.load(coefficients + entry)[:, None] * a * b
                    entry += ROWS
                target = tl.load(targets + tile * ROWS + row)[:, None]
                tl.store(mine + target * LANES + lane, total, mask=target >= 0)
            tl.debug_barrier()
        output = outputs
        for k in tl.static_range(len(results)):
            size = tl.load(described + 2 * len(arguments) + k)
            for start in range(0, size, ROWS):
                component = start + row
                source = tl.load(output + component, mask=component < size, other=0)[:, None]
                component = component[:, None]
                tl.store(
                    results[k] + (node * size + component) * channels + channel,
                    tl.load(mine + source * LANES + lane),
                    mask=(component < size) & keep,
                )
            output += size
        tl.debug_barrier()


@triton.jit
@no_type_check
def totals(values, order, offsets, sums, width, REAL: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr):
    """Rows of values added up over the nodes of a group, in their order."""
    group = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * LANES + tl.arange(0, LANES)[None, :]
    keep = place < width
    stop = tl.load(offsets + group + 1)
    total = tl.zeros((ROWS, LANES), REAL)
    for start in range(tl.load(offsets + group), stop, ROWS):
        at = start + tl.arange(0, ROWS)[:, None]
        node = tl.load(order + at, mask=at < stop, other=0)
        total += tl.load(values + node * width + place, mask=(at < stop) & keep, other=0.0)
    tl.store(sums + group * width + place, tl.sum(total, axis=0, keep_dims=True), mask=keep)
