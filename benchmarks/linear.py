"""Linear layers, and the layers between them, beside e3nn: forward, forward and backward to inputs and parameters,
construction.

python benchmarks/linear.py
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from measure import interleaved, table

LIBRARIES = {"ours_ms": "intertwine", "e3nn_ms": "e3nn"}
SMALL, WIDE, MIXED = "16x0e+16x1o+16x2e", "128x0e+128x1o+128x2e", "64x0e+32x1o+16x2e+8x3o"


def silu(x: torch.Tensor) -> torch.Tensor:
    """The usual activation of scalars and gates."""
    return torch.nn.functional.silu(x)


#: name -> how the layer is made, and the samples
CASES: dict[str, tuple[Callable[[Any, Any], Any], int]] = {
    "Linear, 16 channels, l <= 2, 21 samples": (lambda o3, nn: o3.Linear(SMALL, SMALL), 21),
    "Linear, 16 channels, l <= 2, 1,000 samples": (lambda o3, nn: o3.Linear(SMALL, SMALL), 1_000),
    "Linear, 128 channels, l <= 2, 1,000 samples": (lambda o3, nn: o3.Linear(WIDE, WIDE), 1_000),
    "Linear, 64 to 8 channels, l <= 3, 10,000 samples": (lambda o3, nn: o3.Linear(MIXED, MIXED), 10_000),
    "Linear, blocks of one irrep apart, 1,000 samples": (
        lambda o3, nn: o3.Linear("32x0e+32x1o+32x0e+32x1o", "64x0e+32x1o+32x1o"),
        1_000,
    ),
    "Gate, 128 channels, l <= 2, 1,000 samples": (
        lambda o3, nn: nn.Gate("128x0e", [silu], "256x0e", [silu], "128x1o+128x2e"),
        1_000,
    ),
    "NormActivation, 128 channels, l <= 2, 1,000 samples": (
        lambda o3, nn: nn.NormActivation(o3.Irreps(WIDE), torch.sigmoid),
        1_000,
    ),
    "BatchNorm, 128 channels, l <= 2, 1,000 samples": (lambda o3, nn: nn.BatchNorm(WIDE), 1_000),
    "Norm, 128 channels, l <= 2, 1,000 samples": (lambda o3, nn: o3.Norm(WIDE), 1_000),
    "FullyConnectedNet 8-64-64-384, 10,000 samples": (
        lambda o3, nn: nn.FullyConnectedNet([8, 64, 64, 384], silu),
        10_000,
    ),
}


def forward(layer: Any, x: torch.Tensor) -> Callable[[], Any]:
    """A call without gradients."""

    def run() -> None:
        with torch.no_grad():
            layer(x)

    return run


def backward(layer: Any, x: torch.Tensor) -> Callable[[], Any]:
    """A call and the gradients to x and the parameters, from a dense cotangent."""
    leaf = x.detach().requires_grad_()
    parameters = [parameter for parameter in layer.parameters() if parameter.numel()]
    cotangent = torch.randn_like(layer(leaf))
    return lambda: torch.autograd.grad(layer(leaf), [leaf, *parameters], cotangent)


def rows(repeats: int = 11) -> list[dict[str, Any]]:
    """Median times in ms and ratio = e3nn / ours of every case."""
    libraries = {key: (import_module(f"{name}.o3"), import_module(f"{name}.nn")) for key, name in LIBRARIES.items()}
    lines = []
    for case, (build, samples) in CASES.items():
        layers = {key: build(*library) for key, library in libraries.items()}
        layers["ours_ms"].load_state_dict(layers["e3nn_ms"].state_dict())
        width = (
            layers["ours_ms"].hs[0]
            if hasattr(layers["ours_ms"], "hs")
            else getattr(layers["ours_ms"], "irreps_in", None)
        )
        width = width if isinstance(width, int) else (width or layers["ours_ms"].irreps).dim
        x = torch.randn(samples, width, generator=torch.Generator().manual_seed(0))
        for kind, task in (("forward", forward), ("forward + backward", backward)):
            times = interleaved({key: task(layer, x) for key, layer in layers.items()}, repeats)
            lines.append({"case": f"{case}, {kind}", **times})
        makers = {key: (lambda build=build, library=library: build(*library)) for key, library in libraries.items()}
        lines.append({"case": f"{case}, construction", **interleaved(makers, 5, warmup=1)})
    return [{**row, "ratio": row["e3nn_ms"] / row["ours_ms"]} for row in lines]


if __name__ == "__main__":
    print(table(rows()))
