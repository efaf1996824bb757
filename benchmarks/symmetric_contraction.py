"""The symmetric contraction beside mace-torch's (eager): forward, forward and backward, and a backward through the
gradient.

python benchmarks/symmetric_contraction.py [threads]
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from measure import interleaved, table

NODES, CHANNELS, SPECIES, CORRELATION = 64, 128, 10, 3
#: irreps of the features and of the result
CASES = [(l_max, out) for l_max in (1, 2, 3) for out in ("0e", "0e+1o")]

Call = Callable[[torch.Tensor], torch.Tensor]


def with_channels(irreps: str) -> str:
    """With all channels."""
    return "+".join(f"{CHANNELS}x{ir}" for ir in irreps.split("+"))


def builders(l_max: int, out: str) -> dict[str, Callable[[], torch.nn.Module]]:
    """How the two layers are made."""
    from e3nn import o3
    from mace.modules.symmetric_contraction import SymmetricContraction as Theirs

    from intertwine.nn.irreps.symmetric_contraction import SymmetricContraction

    irreps, result = with_channels("+".join(f"{l}{'eo'[l % 2]}" for l in range(l_max + 1))), with_channels(out)
    return {
        "ours_ms": lambda: SymmetricContraction(irreps, result, CORRELATION, SPECIES),
        "mace_ms": lambda: Theirs(o3.Irreps(irreps), o3.Irreps(result), CORRELATION, num_elements=SPECIES),
    }


def contestants(l_max: int, out: str) -> dict[str, tuple[torch.Tensor, Call, list[torch.Tensor]]]:
    """Features in the layout of each, the layer at its species, and its weights."""
    layers = {name: build() for name, build in builders(l_max, out).items()}
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(NODES, CHANNELS, (l_max + 1) ** 2, generator=generator)
    species = torch.arange(NODES) % SPECIES
    one_hot = torch.nn.functional.one_hot(species, SPECIES).to(x.dtype)
    ours, theirs = layers["ours_ms"], layers["mace_ms"]
    return {
        "ours_ms": (x.mT.reshape(NODES, -1), lambda x: ours(x, species), [p for p in ours.parameters() if p.numel()]),
        "mace_ms": (x, lambda x: theirs(x, one_hot), [p for p in theirs.parameters() if p.requires_grad]),
    }


def forward(x: torch.Tensor, layer: Call, weights: list[torch.Tensor]) -> Callable[[], Any]:
    """A call without gradients."""

    def run() -> None:
        with torch.no_grad():
            layer(x)

    return run


def backward(x: torch.Tensor, layer: Call, weights: list[torch.Tensor]) -> Callable[[], Any]:
    """A call and the gradients to features and weights."""
    leaf = x.clone().requires_grad_()
    cotangent = torch.randn_like(layer(x))
    return lambda: torch.autograd.grad(layer(leaf), [leaf, *weights], cotangent)


def second(x: torch.Tensor, layer: Call, weights: list[torch.Tensor]) -> Callable[[], Any]:
    """As in training on forces: a call, its gradient to the features, and the gradients of that."""
    leaf = x.clone().requires_grad_()
    cotangent, direction = torch.randn_like(layer(x)), torch.randn_like(x)

    def run() -> None:
        (gradient,) = torch.autograd.grad(layer(leaf), leaf, cotangent, create_graph=True)
        torch.autograd.grad(gradient, [leaf, *weights], direction, allow_unused=True)

    return run


def rows(repeats: int = 11) -> list[dict[str, Any]]:
    """Median times in ms and ratio = mace-torch / ours of every case."""
    lines = []
    for l_max, out in CASES:
        both = contestants(l_max, out)
        for kind, task in (
            ("forward", forward),
            ("forward + backward", backward),
            ("backward through a gradient", second),
        ):
            times = interleaved({name: task(*contestant) for name, contestant in both.items()}, repeats)
            lines.append({"case": f"l <= {l_max} to {out}, {kind}", **times})
        lines.append({"case": f"l <= {l_max} to {out}, construction", **interleaved(builders(l_max, out), 3, warmup=1)})
    return [{**row, "ratio": row["mace_ms"] / row["ours_ms"]} for row in lines]


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    print(
        f"{NODES} nodes, {CHANNELS} channels, {SPECIES} species, correlation {CORRELATION}, "
        f"{torch.get_num_threads()} thread(s)"
    )
    print(table(rows()))
