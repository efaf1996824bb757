"""Tensor products beside e3nn: forward, forward and backward to all arguments, and construction, at the sizes of real
networks.

python benchmarks/products.py
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from measure import interleaved, table

LIBRARIES = {"ours_ms": "intertwine.o3", "e3nn_ms": "e3nn.o3"}
SPHERICAL = "1x0e+1x1o+1x2e"


def depthwise(o3: Any, channels: str, harmonics: str, lmax: int) -> Any:
    """The product of a convolution: ``uvu`` with weights for each sample, every path to degrees up to lmax with natural
    parity.
    """
    left, right = o3.Irreps(channels), o3.Irreps(harmonics)
    blocks, paths = [], []
    for i, (mul, ir_left) in enumerate(left):
        for j, (_, ir_right) in enumerate(right):
            for ir in ir_left * ir_right:
                if ir.l <= lmax and ir.p == (-1) ** ir.l:
                    paths.append((i, j, len(blocks), "uvu", True))
                    blocks.append((mul, ir))
    return o3.TensorProduct(left, right, o3.Irreps(blocks), paths, shared_weights=False, internal_weights=False)


#: name -> how the product is made, and the samples; the sizes of one product lie together
CASES: dict[str, tuple[Callable[[Any], Any], int]] = {
    "uvu, 32 channels, l 2x2->2, 400 samples": (lambda o3: depthwise(o3, "32x0e+32x1o+32x2e", SPHERICAL, 2), 400),
    "uvu, 32 channels, l 2x2->2, 10,000 samples": (lambda o3: depthwise(o3, "32x0e+32x1o+32x2e", SPHERICAL, 2), 10_000),
    "uvu, 128 channels, l 1x3->3, 4,000 samples": (
        lambda o3: depthwise(o3, "128x0e+128x1o", SPHERICAL + "+1x3o", 3),
        4_000,
    ),
    "FullyConnected, 16 channels, y 1 channel, 1,000 samples": (
        lambda o3: o3.FullyConnectedTensorProduct("16x0e+16x1o+16x2e", SPHERICAL, "16x0e+16x1o+16x2e"),
        1_000,
    ),
    "FullyConnected, 16 channels, y 4 channels, 1,000 samples": (
        lambda o3: o3.FullyConnectedTensorProduct("16x0e+16x1o+16x2e", "4x0e+4x1o+4x2e", "16x0e+16x1o+16x2e"),
        1_000,
    ),
    "FullyConnected, 64 scalars, y 1 channel, 1,000 samples": (
        lambda o3: o3.FullyConnectedTensorProduct("64x0e", SPHERICAL, "64x0e+64x1o+64x2e"),
        1_000,
    ),
    "Elementwise, 128 channels, 4,000 samples": (
        lambda o3: o3.ElementwiseTensorProduct("128x0e+128x1o", "128x0e+128x1o"),
        4_000,
    ),
    "Elementwise, gates of 128 channels, 4,000 samples": (
        lambda o3: o3.ElementwiseTensorProduct("128x0e+128x1o", "256x0e"),
        4_000,
    ),
    "Full, 4x0e+4x1o squared, 1,000 samples": (lambda o3: o3.FullTensorProduct("4x0e+4x1o", "4x0e+4x1o"), 1_000),
    "Full, 1o x 1o, 1 sample": (lambda o3: o3.FullTensorProduct("1o", "1o"), 1),
}


def arguments(product: Any, samples: int) -> list[torch.Tensor]:
    """Random x, y and, where the module has none, weights."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(samples, product.irreps_in1.dim), (samples, product.irreps_in2.dim)]
    sizes += [] if product.shared_weights else [(samples, product.weight_numel)]
    return [torch.randn(size, generator=generator) for size in sizes]


def forward(product: Any, inputs: list[torch.Tensor]) -> Callable[[], Any]:
    """A call without gradients."""

    def run() -> None:
        with torch.no_grad():
            product(*inputs)

    return run


def backward(product: Any, inputs: list[torch.Tensor]) -> Callable[[], Any]:
    """A call and the gradients to x, y and the weights, from a dense cotangent."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    parameters = [parameter for parameter in product.parameters() if parameter.numel()]
    cotangent = torch.randn_like(product(*leaves))
    return lambda: torch.autograd.grad(product(*leaves), leaves + parameters, cotangent)


def rows(repeats: int = 11) -> list[dict[str, Any]]:
    """Median times in ms and ratio = e3nn / ours of every case; construction with tables that an earlier module has
    computed.
    """
    libraries = {name: import_module(path) for name, path in LIBRARIES.items()}
    lines = []
    for case, (build, samples) in CASES.items():
        products = {name: build(library) for name, library in libraries.items()}
        products["ours_ms"].load_state_dict(products["e3nn_ms"].state_dict())
        inputs = arguments(products["ours_ms"], samples)
        for kind, task in (("forward", forward), ("forward + backward", backward)):
            times = interleaved({name: task(product, inputs) for name, product in products.items()}, repeats)
            lines.append({"case": f"{case}, {kind}", **times})
        times = interleaved(
            {name: (lambda build=build, library=library: build(library)) for name, library in libraries.items()},
            5,
            warmup=1,
        )
        lines.append({"case": f"{case}, construction", **times})
    return [{**row, "ratio": row["e3nn_ms"] / row["ours_ms"]} for row in lines]


if __name__ == "__main__":
    print(table(rows()))
