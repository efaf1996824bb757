r"""The three products of a convolution in edge frames, as plans of the fused kernel.

1. turn: :math:`x'_{u m} = \sum_i D_{m i}\, x_{u i}`, gathered from the source node, with the Wigner matrix in the place
   of the harmonics;
2. mix: :math:`z'_{u, \pm m} = \sum w_u\, x'_{u, \pm m}`, edge by edge, with the weights of the edge;
3. turn back: :math:`z_{u i} = \sum_m D_{m i}\, z'_{u m}`, summed at the destination node.

So all of it is differentiable to every order, and runs where the kernel runs. Features in the frame have, block after
block, the orders :math:`-m \ldots m`, m = min(l, mmax), channels innermost.
"""

from __future__ import annotations

from collections.abc import Sequence

from intertwine.kernels.channelwise import Channelwise, Strip, Term
from intertwine.o3 import Irreps


def rows(l: int, mmax: int) -> int:
    """Number of orders of degree l that are kept."""
    return 2 * min(l, mmax) + 1


def frame_dim(irreps: Irreps, mmax: int) -> int:
    """Size of the features in the frame."""
    return sum(mul * rows(ir.l, mmax) for mul, ir in irreps)


def frame_strips(irreps: Irreps, mmax: int) -> list[Strip]:
    """Where each block lies in the frame."""
    return _strips([(mul, rows(ir.l, mmax)) for mul, ir in irreps], "ir_mul")


def node_strips(irreps: Irreps, layout: str) -> list[Strip]:
    """Where each block lies in the features of a node."""
    return _strips([(mul, ir.dim) for mul, ir in irreps], layout)


def turning(
    irreps: str, layout: str, mmax: int, frames: tuple[int, int], factors: tuple[float, ...] | None = None
) -> str:
    """The plan that turns features into the frame, or, if there are factors for the blocks, back out of it.

    Args:
        irreps, layout: of the features of the nodes.
        mmax: highest order in the frame.
        frames: lmax and mmax of the :class:`~intertwine.o3.edge_frames.EdgeFrames`, the second argument of the product.
        factors: of the blocks on the way back; None is the way in.
    """
    kind = Irreps(irreps)
    lmax, highest = frames
    starts = [sum(rows(l, highest) * (2 * l + 1) for l in range(before)) for before in range(lmax + 2)]
    terms = []
    for number, ((mul, ir), node, frame) in enumerate(zip(kind, node_strips(kind, layout), frame_strips(kind, mmax))):
        if mul:
            kept, have = rows(ir.l, mmax), rows(ir.l, highest)
            first = (have - kept) // 2 * ir.dim  # the rows of the frames of higher order are not read
            places = tuple(range(starts[ir.l] + first, starts[ir.l] + first + kept * ir.dim))
            if factors is None:
                entries = sorted((i, m * ir.dim + i, m, 1.0) for m in range(kept) for i in range(ir.dim))
                terms.append(Term(node, frame, None, (places,), tuple(entries)))
            else:
                entries = sorted((m, m * ir.dim + i, i, factors[number]) for m in range(kept) for i in range(ir.dim))
                terms.append(Term(frame, node, None, (places,), tuple(entries)))
    inside = frame_dim(kind, mmax)
    dim_x, dim_z = (kind.dim, inside) if factors is None else (inside, kind.dim)
    return Channelwise(tuple(terms), dim_x, starts[-1], dim_z, 0).encode()


# what torch.compiler.assume_constant_result does, which would import dynamo
turning._dynamo_marked_constant = True  # type: ignore[attr-defined]


def mixing(
    pairs: Sequence[tuple[int, int, int, str, int]], irreps_in: Irreps, irreps_out: Irreps, mmax: int, weights: int
) -> str:
    """The plan of the maps in the frame, for a second argument that is 1.

    Args:
        pairs: (block in, block out, order, "even" or "odd", place of the first weight) of each map; one weight for each
            channel.
        irreps_in, irreps_out: representations of input and output.
        mmax: highest order in the frame.
        weights: number of weights.
    """
    xs, zs = frame_strips(irreps_in, mmax), frame_strips(irreps_out, mmax)
    terms = []
    for a, b, m, kind, start in pairs:
        i, k = xs[a].dim // 2, zs[b].dim // 2
        if m == 0:
            entries: tuple[tuple[int, int, int, float], ...] = ((i, 0, k, 1.0),)
        elif kind == "even":
            entries = ((i - m, 0, k - m, 1.0), (i + m, 0, k + m, 1.0))
        else:
            entries = ((i - m, 0, k + m, -1.0), (i + m, 0, k - m, 1.0))
        terms.append(Term(xs[a], zs[b], Strip.of(xs[a].mul, 1, start, innermost="components"), ((0,),), entries))
    return Channelwise(tuple(terms), frame_dim(irreps_in, mmax), 1, frame_dim(irreps_out, mmax), weights).encode()


def resting(
    pairs: Sequence[tuple[int, int, int, str, int]],
    irreps_in: Irreps,
    irreps_out: Irreps,
    layout: str,
    factors: Sequence[float],
    weights: int,
) -> str:
    """The plan of the mean of the maps over all directions, for a second argument that is 1 where an edge has no
    direction, and else 0.

    Args:
        pairs, irreps_in, irreps_out, weights: as in :func:`mixing`.
        layout: of the features of the nodes.
        factors: of the blocks of the output.
    """
    xs, zs = node_strips(irreps_in, layout), node_strips(irreps_out, layout)
    terms = []
    for a, b, m, kind, start in pairs:
        if kind == "even" and xs[a].dim == zs[b].dim:
            share = factors[b] * (1 if m == 0 else 2) / xs[a].dim
            entries = tuple((i, 0, i, share) for i in range(xs[a].dim))
            terms.append(Term(xs[a], zs[b], Strip.of(xs[a].mul, 1, start, innermost="components"), ((0,),), entries))
    return Channelwise(tuple(terms), irreps_in.dim, 1, irreps_out.dim, weights).encode()


def _strips(sizes: Sequence[tuple[int, int]], layout: str) -> list[Strip]:
    strips, start = [], 0
    for mul, dim in sizes:
        strips.append(Strip.of(mul, dim, start, innermost="channels" if layout == "ir_mul" else "components"))
        start += mul * dim
    return strips
