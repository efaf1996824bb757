"""TorchScript that was made here and saved runs where this library is not: it holds torch's own operations, for any
number of rows.
"""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from programs import assert_same, environment, run
from torch import Tensor
from tracing_cases import CASES, built, jit, o3

from intertwine import nn as layers
from intertwine.e3nn.tracing import methods

LOAD = """
import sys, torch
saved = torch.load(sys.argv[1], weights_only=True)
results = {}
for name, calls in saved.items():
    module = torch.jit.load(f"{sys.argv[3]}/{name}.ts")
    traced = module if hasattr(module, "forward") else module.to_grid
    assert "intertwine::" not in str(traced.inlined_graph), name
    for key, inputs in calls.items():
        result = getattr(module, key.split(" ")[0])(*inputs)
        parts = result if isinstance(result, tuple) else (result,)
        for number, part in enumerate(parts):
            results[f"{name} {key} {number}"] = part.detach()
        leaves = [x for x in inputs if x.requires_grad]
        if leaves and parts[0].requires_grad:
            slopes = torch.autograd.grad(sum(part.sin().sum() for part in parts), leaves, allow_unused=True)
            results |= {f"{name} {key} slope {k}": slope for k, slope in enumerate(slopes) if slope is not None}
assert not [name for name in sys.modules if name.startswith(("intertwine", "e3nn"))]
torch.save(results, sys.argv[2])
"""
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


def elsewhere(folder: Path, calls: dict[str, dict[str, tuple[Tensor, ...]]]) -> dict[str, Tensor]:
    """What the saved files give in a process without this library."""
    torch.save(calls, folder / "calls.pt")
    (folder / "load.py").write_text(LOAD)
    command = [sys.executable, "load.py", "calls.pt", "results.pt", "."]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment() | {"PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "results.pt", weights_only=True)  # type: ignore[no-any-return]


def here(modules: dict[str, Any], calls: dict[str, dict[str, tuple[Tensor, ...]]]) -> dict[str, Tensor]:
    """The same of the modules themselves, by the fast kernels."""
    results = {}
    for name, module in modules.items():
        for key, inputs in calls[name].items():
            result = getattr(module, key.split(" ")[0])(*inputs)
            parts = result if isinstance(result, tuple) else (result,)
            results |= {f"{name} {key} {number}": part.detach() for number, part in enumerate(parts)}
            leaves = [x for x in inputs if x.requires_grad]
            if leaves and parts[0].requires_grad:
                total: Any = sum(part.sin().sum() for part in parts)
                slopes = torch.autograd.grad(total, leaves, allow_unused=True)
                results |= {f"{name} {key} slope {k}": slope for k, slope in enumerate(slopes) if slope is not None}
    return results


def test_every_class(tmp_path: Path) -> None:
    """Compiled with three rows, called with others and with more axes; values and first derivatives."""
    modules, calls = {}, {}
    for name in CASES:
        module = built(name, torch.float64).eval()
        jit.compile(copy.deepcopy(module)).save(str(tmp_path / f"{name}.ts"))
        modules[name], calls[name] = module, {}
        for method, how in methods(module).items():
            for axes in ((40,), (2, 5)):
                apart = len(how.sizes) - how.shared
                shapes = [(*axes, *sizes) if k < apart else sizes for k, sizes in enumerate(how.sizes)]
                calls[name][f"{method} {axes}"] = tuple(
                    torch.randn(shape, dtype=torch.float64).requires_grad_() for shape in shapes
                )
    assert_same(here(modules, calls), elsewhere(tmp_path, calls), 1e-11)


def graph(nodes: int, edges: int) -> Tensor:
    return torch.randint(nodes, (2, edges), generator=torch.Generator().manual_seed(nodes))


SPECIES = layers.SymmetricContraction("8x0e+8x1o", "8x0e+8x1o", 3, 2)
CONVOLUTION = layers.Convolution("4x0e+4x1o", "0e+1o")
LAYERS: dict[str, tuple[torch.nn.Module, Callable[[int, int], tuple[Tensor, ...]]]] = {
    "convolution": (
        CONVOLUTION,
        lambda n, e: (torch.randn(n, 16), torch.randn(e, 4), graph(n, e), torch.randn(e, CONVOLUTION.weight_numel)),
    ),
    "shared": (
        layers.FullyConnectedConvolution("4x0e+4x1o", "0e+1o", "2x1o"),
        lambda n, e: (torch.randn(n, 16), torch.randn(e, 4), graph(n, e)),
    ),
    "so2": (
        layers.SO2Convolution("4x0e+4x1o", "4x0e+4x1o", mode="uvw"),
        lambda n, e: (torch.randn(n, 16), torch.randn(e, 3), graph(n, e)),
    ),
    "contraction": (SPECIES, lambda n, e: (torch.randn(n, 32), graph(2, n)[0] % 2)),
    "contraction-fractions": (SPECIES, lambda n, e: (torch.randn(n, 32), torch.rand(n, 2))),
    "products": (
        o3.TensorProduct("8x1o", "1o", "8x1e", [(0, 0, 0, "uvu", True)], shared_weights=False),
        lambda n, e: (torch.randn(n, 24), torch.randn(n, 3), torch.randn(n, 8)),
    ),
    "harmonics": (o3.SphericalHarmonics([0, 1, 2, 3], True), lambda n, e: (torch.randn(n, 3),)),
}


def test_layers_with_operators_of_ours(tmp_path: Path) -> None:
    """``torch.jit.trace`` itself, of what runs by our operators: other numbers of nodes and edges than were traced."""
    modules, calls = {}, {}
    for name, (layer, given) in LAYERS.items():
        modules[name] = layer
        torch.jit.trace(layer, given(7, 12), check_trace=False).save(str(tmp_path / f"{name}.ts"))
        inputs = {f"forward {sizes}": given(*sizes) for sizes in ((4, 12), (40, 90), (5, 3))}
        calls[name] = {
            key: tuple(x.requires_grad_() if x.is_floating_point() else x for x in one) for key, one in inputs.items()
        }
    assert_same(here(modules, calls), elsewhere(tmp_path, calls), 2e-5)


PROGRAM = """
import sys, torch
from e3nn import nn, o3
from e3nn.util.jit import compile_mode, script

@compile_mode("script")
class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.harmonics = o3.SphericalHarmonics("0e+1o+2e", True, normalization="component")
        paths = [(0, k, k, "uvu", True) for k in range(3)]
        self.product = o3.TensorProduct("16x0e", "0e+1o+2e", "16x0e+16x1o+16x2e", paths, shared_weights=False)
        self.radial = nn.FullyConnectedNet([4, 8, self.product.weight_numel], torch.nn.functional.silu)
        wide = "16x0e+16x1o+16x2e"
        self.up, self.out = o3.Linear("2x0e", "16x0e"), o3.FullyConnectedTensorProduct(wide, wide, "0e")

    def forward(self, x, edges, vectors, radii):
        messages = self.product(self.up(x)[edges[0]], self.harmonics(vectors), self.radial(radii))
        z = torch.zeros([x.size(0), messages.size(1)], dtype=x.dtype).index_add(0, edges[1], messages)
        return self.out(z, z).sum()

torch.manual_seed(0)
network = Network()
script(network).save(sys.argv[1])
"""


def test_a_deployed_program(tmp_path: Path) -> None:
    """What ``sevenn deploy`` does: a network compiled by ``e3nn.util.jit.script`` and saved; the same numbers on e3nn
    and here.
    """
    (tmp_path / "program.py").write_text(PROGRAM)
    results = []
    torch.manual_seed(0)
    inputs = (torch.randn(9, 2), torch.randint(9, (2, 70)), torch.randn(70, 3).requires_grad_(), torch.rand(70, 4))
    for replaced in (False, True):
        done = run(["program.py", "network.ts"], tmp_path, replaced=replaced)
        assert done.returncode == 0, done.stderr
        results.append(elsewhere(tmp_path, {"network": {"forward": inputs}}))
    assert_same(results[0], results[1], 1e-5)
    assert results[0]["network forward slope 0"].abs().max() > 0.01


MACE = """
import sys, torch
from mace.calculators import LAMMPS_MACE
from e3nn.util import jit
import e3nn.o3
model = torch.load(sys.argv[1], weights_only=False).double()
model.lammps_mliap = False
jit.compile(LAMMPS_MACE(model)).save(sys.argv[2])
"""


def test_the_lammps_model_of_mace(tmp_path: Path) -> None:
    """What ``mace_create_lammps_model`` does, with a potential that was pickled on e3nn."""
    pytest.importorskip("mace", reason="mace-torch is not installed")
    script = str(Path(__file__).parent / "scripts" / "mace_potential.py")
    done = run([script, "write", "potential.model", "result.pt"], tmp_path, replaced=False)
    assert done.returncode == 0, done.stderr
    (tmp_path / "deploy.py").write_text(MACE)
    files = {}
    for replaced in (False, True):
        done = run(["deploy.py", "potential.model", f"{replaced}.ts"], tmp_path, replaced=replaced)
        assert done.returncode == 0, done.stderr
        files[replaced] = torch.jit.load(str(tmp_path / f"{replaced}.ts"))
    assert "intertwine::" not in str(files[True].inlined_graph)
    results = []
    for model in files.values():
        generator = torch.Generator().manual_seed(3)
        positions = 1.5 * torch.randn(8, 3, generator=generator, dtype=torch.float64)
        edges = torch.tensor(
            [(i, j) for i in range(8) for j in range(8) if i != j and (positions[i] - positions[j]).norm() < 4]
        ).T.contiguous()
        data = {
            "positions": positions, "node_attrs": torch.eye(3, dtype=torch.float64)[torch.arange(8) % 3],
            "edge_index": edges, "shifts": torch.zeros(edges.shape[1], 3).double(),
            "unit_shifts": torch.zeros(edges.shape[1], 3).double(), "cell": torch.eye(3, dtype=torch.float64) * 50,
            "batch": torch.zeros(8, dtype=torch.long), "ptr": torch.tensor([0, 8]),
        }  # fmt: skip
        out = model(data, torch.ones(8, dtype=torch.float64), False)
        results.append(
            {
                name: out[name].detach()
                for name in ("total_energy_local", "node_energy", "forces")
                if out.get(name) is not None
            }
        )
    assert results[0]["forces"].abs().max() > 1e-3
    assert_same(results[0], results[1], 1e-10)
