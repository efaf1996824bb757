"""Edges sorted by one of their ends: a counting sort, stable, so that sums are added in the same order every time."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from intertwine.kernels.llvm.assembler import WORD, Code
from intertwine.kernels.llvm.compile import compiled
from intertwine.kernels.llvm.threads import run
from intertwine.kernels.shared import doors
from intertwine.numerics import InputError

WORDS = ("index", "count", "nodes", "order", "offsets", "cursor")


def sort_edges(
    index: Int[Tensor, " edges"], nodes: int, where: str
) -> tuple[Int[Tensor, " edges"], Int[Tensor, " places"]]:
    """The edges sorted by ``index``, and where those of each node begin.

    Args:
        index: node of each edge; nodes: how many there are; where: name of the index, for messages.

    Returns:
        order (edges,): edges of node 0 first; offsets (nodes + 1,): those of node n are
            ``order[offsets[n]:offsets[n + 1]]``.

    Raises:
        InputError: an index is out of range.

    >>> sort_edges(torch.tensor([2, 0, 2]), 3, "destination")
    (tensor([1, 0, 2]), tensor([0, 1, 1, 3]))
    """
    index = index.contiguous()
    order, offsets, cursor = torch.empty_like(index), index.new_zeros(nodes + 2), index.new_empty(nodes + 1)
    count = len(index)
    words = {"count": count, "nodes": nodes}
    words["index"] = doors.address(index, where, (count,), torch.int64)
    words["order"] = doors.own_address(order, "order", (count,), torch.int64)
    words["offsets"] = doors.own_address(offsets, "offsets", (nodes + 2,), torch.int64)
    words["cursor"] = doors.own_address(cursor, "cursor", (nodes + 1,), torch.int64)
    function = compiled("the sort of edges", "order", _text)
    run(function, [words[word] for word in WORDS], (0, 1))
    if len(index) and int(offsets[nodes + 1]) != int(offsets[nodes]):
        bad = int(index[(index < 0) | (index >= nodes)][0])
        raise InputError(
            f"node {bad} of an edge does not exist: there are {nodes}", where=where, remedy="count the nodes from 0."
        )
    return order, offsets[: nodes + 1]


def _text() -> str:
    code = Code("body", "float64", WORDS)
    builder = code.builder
    count, nodes = code.words["count"], code.words["nodes"]
    index, order, offsets, cursor = (code.integers(name) for name in ("index", "order", "offsets", "cursor"))

    def put(pointer, place, value) -> None:
        builder.store(value, builder.gep(pointer, [place]))

    def node(edge):  # those that do not exist are counted as one more
        number = code.integer_at(index, edge)
        return builder.select(builder.icmp_unsigned("<", number, nodes), number, nodes)

    with code.loop(WORD(0), count) as edge:
        after = builder.add(node(edge), WORD(1))
        put(offsets, after, builder.add(code.integer_at(offsets, after), WORD(1)))
    with code.loop(WORD(0), builder.add(nodes, WORD(1))) as n:
        start = code.integer_at(offsets, n)
        put(cursor, n, start)
        after = builder.add(n, WORD(1))
        put(offsets, after, builder.add(start, code.integer_at(offsets, after)))
    with code.loop(WORD(0), count) as edge:
        n = node(edge)
        place = code.integer_at(cursor, n)
        put(order, place, edge)
        put(cursor, n, builder.add(place, WORD(1)))
    return code.finish()
