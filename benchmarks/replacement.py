"""Public programs of e3nn's on the replacement: time and memory as ratios to e3nn itself.

``python benchmarks/replacement.py`` runs each program on both in turn, in processes of their own, and prints the least
CPU time of a step and the largest memory; ``--repeats 3`` (the default) pairs of processes, so that a busy machine
disturbs both alike.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

PROGRAMS = {
    "voxel convolution, 10^3": "value voxel(10)",
    "voxel convolution, 10^3, gradient": "gradient voxel(10)",
    "voxel convolution, 10^3, second order": "second voxel(10)",
    "voxel convolution, 16^3, gradient": "gradient voxel(16)",
    "six layers with batch norms": "gradient norms()",
    "gate": "gradient gate()",
    "fully connected product": "second product()",
    "harmonics": "gradient harmonics()",
}
CHILD = """
import json, resource, sys, time, torch
torch.manual_seed(0); torch.set_num_threads(1)
from e3nn import nn, o3
IRREPS = o3.Irreps("16x0e+16x1o+16x2e")

def voxel(size):
    from e3nn.nn.models.v2104.voxel_convolution import Convolution
    layer = Convolution("4x0e+4x1o", "4x0e+4x1o+2x2e", irreps_sh="0e+1o+2e", diameter=5.0, num_radial_basis=3)
    return layer, torch.randn(1, 16, size, size, size)

def norms():
    layers = []
    for _ in range(6):
        layers += [o3.Linear(IRREPS, IRREPS), nn.BatchNorm(IRREPS), nn.NormActivation(IRREPS, torch.sigmoid)]
    return torch.nn.Sequential(*layers), torch.randn(5000, IRREPS.dim)

def gate():
    gate = nn.Gate("16x0e", [torch.relu], "32x0e", [torch.sigmoid], "16x1o+16x2e")
    return torch.nn.Sequential(o3.Linear(IRREPS, gate.irreps_in), gate), torch.randn(5000, IRREPS.dim)

def product():
    layer, y = o3.FullyConnectedTensorProduct(IRREPS, "0e+1o+2e", IRREPS), torch.randn(500, 9)
    return lambda x: layer(x, y), torch.randn(500, IRREPS.dim)

def harmonics():
    return o3.SphericalHarmonics([0, 1, 2, 3], True), torch.randn(20000, 3)

order, program = sys.argv[1].split(" ", 1)
function, x = eval(program)
def step():
    if order == "value":
        with torch.no_grad():
            return function(x)
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(leaf).sin().sum(), leaf, create_graph=order == "second")
    if order == "second":
        slope.square().sum().backward()
for _ in range(3):
    step()
best = float("inf")
for _ in range(15):
    start = time.process_time(); step(); best = min(best, time.process_time() - start)
print(json.dumps([best, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def measured(program: str, replaced: bool, folder: str) -> tuple[float, float]:
    """CPU seconds of a step and MB, in a process of its own."""
    file = os.path.join(folder, "program.py")
    with open(file, "w") as out:
        out.write(CHILD)
    command = [sys.executable, "-W", "ignore", *(["-m", "intertwine.e3nn"] if replaced else []), file, program]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    seconds, memory = json.loads(done.stdout.splitlines()[-1])
    return seconds, memory


def main() -> None:
    """Print the table."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    print(f"{'program':40} {'e3nn ms':>9} {'here ms':>9} {'times as fast':>14} {'e3nn MB':>9} {'here MB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for name, program in PROGRAMS.items():
            both = [[measured(program, replaced, folder) for replaced in (False, True)] for _ in range(repeats)]
            (theirs, their_memory), (ours, our_memory) = (
                tuple(min(pair[k][j] for pair in both) for j in (0, 1)) for k in (0, 1)
            )
            print(
                f"{name:40} {1e3 * theirs:9.2f} {1e3 * ours:9.2f} {theirs / ours:14.2f} "
                f"{their_memory:9.0f} {our_memory:9.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
