"""What it costs to import the algebra of O(3) and to build the modules of a typical network, beside e3nn.

python benchmarks/building.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from measure import interleaved, table

WIDE, HARMONICS = "128x0e + 128x1o + 128x2e", "0e + 1o + 2e + 3o"
BEYOND_TORCH = "import time, torch; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
LIBRARIES = {"ours_ms": "intertwine", "e3nn_ms": "e3nn"}


def uvu(o3: Any) -> Any:
    """The depthwise product of a convolution, weights from outside: every path that the irreps allow."""
    left, right = o3.Irreps(WIDE), o3.Irreps(HARMONICS)
    blocks, instructions = [], []
    for i, (mul, ir_left) in enumerate(left):
        for j, (_, ir_right) in enumerate(right):
            for ir in ir_left * ir_right:
                if ir.l <= 2:
                    instructions.append((i, j, len(blocks), "uvu", True))
                    blocks.append((mul, ir))
    return o3.TensorProduct(left, right, o3.Irreps(blocks), instructions, shared_weights=False, internal_weights=False)


MODULES: dict[str, Callable[[Any, Any], Any]] = {
    "SphericalHarmonics": lambda o3, nn: o3.SphericalHarmonics(HARMONICS, True, "component"),
    "TensorProduct uvu": lambda o3, nn: uvu(o3),
    "FullyConnectedTensorProduct": lambda o3, nn: o3.FullyConnectedTensorProduct(WIDE, HARMONICS, WIDE),
    "ElementwiseTensorProduct": lambda o3, nn: o3.ElementwiseTensorProduct(WIDE, "384x0e"),
    "Linear": lambda o3, nn: o3.Linear(WIDE, WIDE),
    "Norm": lambda o3, nn: o3.Norm(WIDE),
    "Gate": lambda o3, nn: nn.Gate("128x0e", [_silu], "256x0e", [_silu], "128x1o + 128x2e"),
    "NormActivation": lambda o3, nn: nn.NormActivation(WIDE, _silu),
    "BatchNorm": lambda o3, nn: nn.BatchNorm(WIDE),
    "Dropout": lambda o3, nn: nn.Dropout(WIDE, 0.1),
    "FullyConnectedNet": lambda o3, nn: nn.FullyConnectedNet([8, 64, 64, 1920], _silu),
    "ReducedTensorProducts": lambda o3, nn: o3.ReducedTensorProducts("ijkl=jikl=klij", i="1o"),
    "FullTensorProduct": lambda o3, nn: o3.FullTensorProduct("8x0e + 8x1o + 8x2e", HARMONICS),
}


def _silu(x: Any) -> Any:
    import torch

    return torch.nn.functional.silu(x)


def rows(repeats: int = 7) -> list[dict[str, Any]]:
    """Times in ms to import, and to build a module for the second time: tables of the first time are shared by later
    modules.
    """
    libraries = {key: (import_module(f"{name}.o3"), import_module(f"{name}.nn")) for key, name in LIBRARIES.items()}
    result: list[dict[str, Any]] = [{"case": "import o3, beyond torch", **imports()}]
    for case, build in MODULES.items():
        contestants = {
            key: (lambda build=build, library=library: build(*library)) for key, library in libraries.items()
        }
        result.append({"case": f"build {case}", **interleaved(contestants, repeats, warmup=1)})
    return [{**row, "ratio": row["e3nn_ms"] / row["ours_ms"]} for row in result]


def imports(repeats: int = 5) -> dict[str, float]:
    """Median time in ms of an import in a fresh process that has torch already."""
    samples: dict[str, list[float]] = {key: [] for key in LIBRARIES}
    for _ in range(repeats):
        for key, name in LIBRARIES.items():
            command = [sys.executable, "-c", BEYOND_TORCH.format(f"from {name} import o3")]
            samples[key].append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return {key: 1e3 * statistics.median(values) for key, values in samples.items()}


if __name__ == "__main__":
    print(table(rows()))
