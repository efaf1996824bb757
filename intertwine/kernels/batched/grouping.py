"""Sort the paths of a plan into the groups of :mod:`intertwine.kernels.batched.stages`."""

from __future__ import annotations

from intertwine.kernels.batched.stages import LOOP_MULTIPLICATIONS, Early, Group, Late, Outer, Paired, Scaled
from intertwine.kernels.plan import Path, Plan

Mixing = dict[tuple[int, int], list[Path]]  # uvw paths by (block whose channels stay, output block)


def grouped(plan: Plan, shared: bool) -> tuple[list[Group], list[Paired]]:
    """The groups of a plan.

    Args:
        plan: its paths without channels are left out.
        shared: whether all samples have the same weights.
    """
    live = [path for path in plan.paths if 0 not in path.shape and all(block.mul for block in plan.blocks(path))]
    groups: list[Group] = [*_apart(plan, live)]
    for side in (0, 1):
        mixing: Mixing = {}
        for path in live:
            if path.mode == "uvw" and side == _mirrored(plan, path, shared):
                mixing.setdefault(((path.in1, path.in2)[side], path.out), []).append(path)
        groups += _mixed(plan, side, mixing, shared)
    pairs: dict[tuple[int, int, bool], list[Path]] = {}
    for path in live:
        if path.mode in ("uuu", "uuw", "uvu<v", "u<vw"):
            pairs.setdefault((path.in1, path.in2, "<" in path.mode), []).append(path)
    return groups, [Paired(*key, tuple(paths)) for key, paths in pairs.items()]


def _apart(plan: Plan, paths: list[Path]) -> list[Group]:
    """Groups of the paths that keep the channels of a block."""
    outer: dict[tuple[int, int, int, bool], list[Path]] = {}
    scaled: list[Group] = []
    for path in paths:
        if path.mode not in ("uvu", "uvv", "uvuv"):
            continue
        side = int(path.mode == "uvv")
        block, inner = (path.in2, path.in1) if side else (path.in1, path.in2)
        first, second, out = plan.blocks(path)
        kept, evaluated = (second, first) if side else (first, second)
        batched = kept.dim == 1 or (kept.dim < out.dim and kept.mul * kept.dim * out.dim >= LOOP_MULTIPLICATIONS)
        if path.weighted and path.mode != "uvuv" and (evaluated.mul > 1 or batched):
            scaled.append(Scaled(side, block, path))
            continue
        summed = path.mode != "uvuv" and evaluated.mul > 1
        outer.setdefault((side, block, inner if _has_copies(plan, side) else -1, summed), []).append(path)
    groups: list[Group] = []
    for (side, block, _, summed), members in outer.items():
        groups += [Outer(side, block, tuple(bundle), summed) for bundle in _bundles(plan, members)]
    return groups + scaled


def _bundles(plan: Plan, paths: list[Path]) -> list[list[Path]]:
    """Paths that share a matrix product: few, so that it stays in the cache, but not so few that torch would not call
    the BLAS.
    """
    bundles: list[list[Path]] = []
    work = LOOP_MULTIPLICATIONS
    for path in paths:
        first, second, out = plan.blocks(path)
        if work >= LOOP_MULTIPLICATIONS:
            bundles.append([])
            work = 0
        bundles[-1].append(path)
        work += first.size * second.size * out.dim // (first.dim if path.mode == "uvv" else second.dim)
    if work < LOOP_MULTIPLICATIONS and len(bundles) > 1:
        bundles[-2:] = [bundles[-2] + bundles[-1]]
    return bundles


def _mixed(plan: Plan, side: int, mixing: Mixing, shared: bool) -> list[Group]:
    """Groups of the fully connected paths of one side."""
    late: dict[tuple[int, ...], list[tuple[Path, ...]]] = {}
    early: dict[int, list[tuple[int, tuple[Path, ...]]]] = {}
    apart, first = _has_copies(plan, side), _weights_first(plan, side, mixing)
    for (block, out), paths in mixing.items():
        if not shared:  # to join the weights of several paths would copy as much as there is to read
            early.setdefault(out, []).extend((block, (path,)) for path in paths)
        elif out in first:
            early.setdefault(out, []).append((block, tuple(paths)))
        elif apart:
            for path in paths:
                late.setdefault((block, path.in1 if side else path.in2), []).append((path,))
        else:
            late.setdefault((block,), []).append(tuple(paths))
    groups: list[Group] = []
    if late:
        groups.append(
            Late(side, tuple(block for block, *_ in late), tuple(tuple(runs) for runs in late.values()), apart)
        )
    return groups + [
        Early(side, tuple(block for block, _ in runs), tuple(run for _, run in runs)) for runs in early.values()
    ]


def _has_copies(plan: Plan, side: int) -> bool:
    """Whether the argument evaluated first has a block of several channels."""
    return any(block.mul > 1 for block in (plan.in1 if side else plan.in2).blocks)


def _mirrored(plan: Plan, path: Path, shared: bool) -> int:
    """1 if x should be evaluated first because it has fewer channels than y."""
    first, second, _ = plan.blocks(path)
    return int(shared and first.mul < second.mul)


def _weights_first(plan: Plan, side: int, mixing: Mixing) -> set[int]:
    """The blocks of z for which (W x) M is cheaper than (x M) W.

    With single channels to evaluate the latter is one product fewer, so that the former has to halve the
    multiplications; with several the latter moves more memory.
    """
    early, late = [0] * len(plan.out.blocks), [0] * len(plan.out.blocks)
    for (_, out), paths in mixing.items():
        for path in paths:
            first, second, target = plan.blocks(path)
            kept, copies = (second, first.mul) if side else (first, second.mul)
            early[out] += copies * kept.dim * target.mul * (kept.mul + target.dim)
            late[out] += copies * kept.mul * target.dim * (kept.dim + target.mul)
    return {out for _, out in mixing if (1 if _has_copies(plan, side) else 2) * early[out] <= late[out]}
