"""Spherical harmonics beside e3nn and sphericart: all degrees 0 ... l, normalised, float32.

    python benchmarks/harmonics.py    # every degree, size and number of threads; some minutes
    python benchmarks/harmonics.py --l 1 6 --vectors 10000 --threads 1

Forward; forward and gradient; and what a force costs in training: the gradient with a graph, and a backward pass
through it. ``algebra.py`` prints :data:`CASES`. "/ e3nn" and "/ sphericart" are their times over ours: above 1 ours is
faster.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from typing import Any

import torch
from measure import interleaved, table

CASES = [(100_000, l) for l in (2, 3, 6, 10)] + [(400, 2)]


def rows(repeats: int = 7) -> list[dict[str, Any]]:
    """One row a case and a direction: case, ours_ms, e3nn_ms, sphericart_ms (None where it has no such derivative),
    ratio.
    """
    return [row for number, l in CASES for row in _case(number, l, repeats)]


def _case(number: int, l: int, repeats: int) -> list[dict[str, Any]]:
    import e3nn.o3
    import sphericart.torch

    from intertwine.o3.spherical_harmonics import SphericalHarmonics

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(number, 3, generator=generator)
    weights = torch.randn(number, (l + 1) ** 2, generator=generator)
    degrees = list(range(l + 1))
    cart = sphericart.torch.SphericalHarmonics(l)
    contestants = {
        "ours": SphericalHarmonics(degrees, normalize=True),
        "e3nn": e3nn.o3.SphericalHarmonics(degrees, normalize=True),
        "sphericart": cart.compute,
    }
    lines = []
    for name, job in DIRECTIONS.items():
        times = interleaved(
            {who: functools.partial(job, model, x, weights) for who, model in contestants.items()}, repeats
        )
        lines.append(
            {
                "case": f"harmonics l<={l}, {number} vectors, {name}",
                **{f"{who}_ms": times[who] for who in contestants},
                "ratio": times["e3nn"] / times["ours"],
                "/ sphericart": times["sphericart"] / times["ours"],
            }
        )
    return lines


def _forward(model: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, weights: torch.Tensor) -> None:
    with torch.no_grad():
        model(x)


def _backward(model: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, weights: torch.Tensor) -> None:
    leaf = x.clone().requires_grad_()
    torch.autograd.grad(model(leaf), leaf, weights)


def _force_training(model: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, weights: torch.Tensor) -> None:
    leaf, parameters = x.clone().requires_grad_(), weights.clone().requires_grad_()
    (force,) = torch.autograd.grad(model(leaf), leaf, parameters, create_graph=True)
    torch.autograd.grad(force.square().sum(), (leaf, parameters))


def main() -> None:
    """The whole grid, and the smallest ratios of each direction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--l", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6, 10])
    parser.add_argument("--vectors", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    lines = []
    for threads in chosen.threads:
        torch.set_num_threads(threads)
        for number in chosen.vectors:
            for l in chosen.l:
                part = [{"threads": threads, **row} for row in _case(number, l, chosen.repeats)]
                print(table(part), flush=True)
                lines += part
    for name in DIRECTIONS:
        rows_of = [row for row in lines if row["case"].endswith(f", {name}")]
        least = {peer: min(row[peer] for row in rows_of) for peer in ("ratio", "/ sphericart")}
        print(f"{name}: at least {least['ratio']:.2g} times e3nn, {least['/ sphericart']:.2g} times sphericart")


DIRECTIONS = {"forward": _forward, "forward + backward": _backward, "force training": _force_training}

if __name__ == "__main__":
    main()
