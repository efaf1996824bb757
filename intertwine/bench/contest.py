"""The same map by several libraries: checked to be the same, then timed in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from intertwine.bench.clock import interleaved, peak_memory
from intertwine.numerics import DataError

OURS = "ours"
#: Largest difference over largest value, in float32 with sums over thousands of edges.
LARGEST_RELATIVE_DIFFERENCE = 1e-4

Adapt = Callable[[int, Tensor], Tensor]


def _as_it_is(place: int, tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True)
class Contestant:
    """One library's version of a map z = f(leaves).

    Attributes:
        function: f, differentiable.
        leaves: its arguments, in its own layout, which require gradients.
        cotangent: of z, as dense as a loss makes it.
        adapt: ``adapt(n, tensor)`` puts something of the shape of leaf n, or of z where n is -1, in the order of ours.
        passes: names of the :data:`PASSES` that it can do.
        shared: how many of the leaves, from the first, are the same for all contestants; the others are parameters, in
            bases of their own.
    """

    function: Callable[..., Tensor]
    leaves: Sequence[Tensor]
    cotangent: Tensor
    adapt: Adapt = _as_it_is
    passes: tuple[str, ...] = ("forward", "forward + backward", "force training")
    shared: int | None = None


def forward(contestant: Contestant) -> list[Tensor]:
    """z, without gradients."""
    with torch.no_grad():
        return [contestant.function(*contestant.leaves)]


def backward(contestant: Contestant) -> list[Tensor]:
    """z and the gradients to all leaves."""
    z = contestant.function(*contestant.leaves)
    return [z.detach(), *torch.autograd.grad(z, contestant.leaves, contestant.cotangent)]


def force_training(contestant: Contestant) -> list[Tensor]:
    """z, the gradients to the shared leaves, and those of the sum of their squares to all leaves: what a loss on forces
    costs.
    """
    z = contestant.function(*contestant.leaves)
    first = torch.autograd.grad(z, contestant.leaves[: contestant.shared], contestant.cotangent, create_graph=True)
    total = torch.stack([gradient.square().sum() for gradient in first]).sum()
    second = torch.autograd.grad(total, contestant.leaves)
    return [z.detach(), *(gradient.detach() for gradient in first), *second]


#: name -> what is done with a contestant; returns everything that the pass leaves behind.
PASSES: dict[str, Callable[[Contestant], list[Tensor]]] = {
    "forward": forward,
    "forward + backward": backward,
    "force training": force_training,
}


def agree(contestants: Mapping[str, Contestant], where: str) -> dict[str, float]:
    """Largest difference from ours over largest value, of z and of the first and second gradients, for each peer.

    Raises:
        DataError: a peer computes something else.
    """
    ours = contestants[OURS]
    differences: dict[str, float] = {}
    for name, peer in contestants.items():
        if name == OURS:
            continue
        kind = peer.passes[-1]
        pairs = zip(_comparable(ours, PASSES[kind](ours)), _comparable(peer, PASSES[kind](peer)))
        shares = [
            (left - right).abs().max() / left.abs().max().clamp_min(torch.finfo(left.dtype).tiny)
            for left, right in pairs
        ]
        differences[name] = float(torch.stack(shares).max())  # NaN, if there is one
        if not differences[name] <= LARGEST_RELATIVE_DIFFERENCE:
            remedy = "report this: one of the two is wrong, and their times say nothing."
            raise DataError(
                f"{name} and ours differ by {differences[name]:.3g} of the largest value", where=where, remedy=remedy
            )
    return differences


def _comparable(contestant: Contestant, results: Sequence[Tensor]) -> list[Tensor]:
    """z and the gradients to what is shared, in our order."""
    shared = len(contestant.leaves[: contestant.shared])
    places = [-1, *range(shared), *range(shared)] if "force training" in contestant.passes else [-1, *range(shared)]
    return [contestant.adapt(place, result) for place, result in zip(places, results)]


def contest(
    contestants: Mapping[str, Contestant],
    repeats: int,
    tick: Callable[[], object],
    *,
    passes: Sequence[str] = tuple(PASSES),
    check: bool = True,
    where: str = "bench",
) -> list[dict[str, Any]]:
    """One row for each pass.

    Args:
        contestants: by name; one of them "ours".
        repeats: samples of each time.
        tick: called after every round, ``repeats`` times for each pass.
        passes: which of the :data:`PASSES`.
        check: whether to compare the results first, and to measure memory.
        where: what is measured, for messages.

    Returns:
        rows: ``pass``; ``ms`` and ``cold``, the :class:`~intertwine.bench.clock.Times` by name; if checked ``memory``,
        bytes beyond inputs and results by name, and ``difference`` of each peer's results from ours.

    Raises:
        DataError: a peer computes something else.
    """
    differences = agree(contestants, where) if check else {}
    rows = []
    for kind in passes:
        does = {name: contestant for name, contestant in contestants.items() if kind in contestant.passes}
        calls = {
            name: (lambda kind=kind, contestant=contestant: PASSES[kind](contestant))
            for name, contestant in does.items()
        }
        times = interleaved(calls, repeats, warmup=1, progress=tick)
        row: dict[str, Any] = {"pass": kind, "ms": times.steady, "cold": times.cold}
        if check:
            row |= {"memory": {name: beyond(call) for name, call in calls.items()}, "difference": differences}
        rows.append(row)
    return rows


def beyond(call: Callable[[], Sequence[Tensor]]) -> int:
    """Most bytes held at one time during a call, beyond its inputs and its results."""
    results = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in call()}
    return max(0, peak_memory(call) - sum(results.values()))
