"""A program written for e3nn, any version from 0.4.4: pickle a module of each class whole, with inputs and what it
makes of them.

``python pickle_modules.py write FILE [names]`` on e3nn, then ``python -m intertwine.e3nn pickle_modules.py read FILE``,
which prints the largest deviation for each. The files in ``tests/e3nn/files`` were written by this script on e3nn 0.4.4
and 0.5.6 (torch 2.13).
"""

from __future__ import annotations

import pickle
import sys
from typing import Any

import e3nn
import torch
from e3nn import io, math, nn, o3


class Program(torch.nn.Module):
    """A module of a program, with modules and irreps of e3nn inside."""

    def __init__(self) -> None:
        super().__init__()
        self.irreps = o3.Irreps("4x0e+4x1o")
        self.harmonics = o3.SphericalHarmonics("0e+1o", True, normalization="component")
        self.layers = torch.nn.ModuleList(
            [o3.FullyConnectedTensorProduct(self.irreps, "0e+1o", "8x0e+4x1o"), o3.Linear("4x0e+4x1o", "1o+2x0e")]
        )
        self.gate = nn.Gate("4x0e", [torch.relu], "4x0e", [torch.sigmoid], "4x1o")
        self.options = {"irrep": o3.Irrep("1o"), "block": self.irreps[1], "path": self.layers[0].instructions[0]}

    def forward(self, x: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        assert self.options["irrep"] == self.irreps[1].ir == self.options["block"].ir
        product, linear = self.layers
        return linear(self.gate(product(x, self.harmonics(r))))


class Tied(torch.nn.Module):
    """In double precision, with one layer twice, a frozen weight, and a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.second = o3.Linear("4x0e+2x1o", "4x0e+2x1o")
        self.product = o3.TensorSquare("4x0e+2x1o", "4x0e+2x1o")
        self.product.weight.requires_grad_(False)
        self.double()
        self.first.register_forward_hook(twice)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.first is self.second
        assert self.first.weight.dtype == torch.float64
        assert not self.product.weight.requires_grad
        return self.second(self.product(self.first(x)))


def twice(module: torch.nn.Module, given: Any, result: torch.Tensor) -> torch.Tensor:
    return 2 * result


def dims(*sizes: int) -> Any:
    return lambda: tuple(torch.randn(5, size) for size in sizes)


PATHS = [(0, 1, 0, "uvu", True), (1, 0, 0, "uvu", True, 0.5), (1, 1, 1, "uvu", True)]
CASES: dict[str, tuple[Any, Any]] = {
    "TensorProduct": (lambda: o3.TensorProduct("8x0e+8x1o", "0e+1o", "8x1o+8x0e", PATHS), dims(32, 4)),
    "TensorProduct-own": (
        lambda: o3.TensorProduct("8x0e+8x1o", "0e+1o", "8x1o+8x0e", PATHS, shared_weights=False),
        dims(32, 4, 24),
    ),
    "TensorProduct-unnormalised": (
        lambda: o3.TensorProduct(
            "2x1o",
            "2x1o",
            "4x1e+2x0e",
            [(0, 0, 0, "uvuv", False, 3.0), (0, 0, 1, "uvu", True)],
            path_normalization="path",
        ),
        dims(6, 6),
    ),
    "FullyConnectedTensorProduct": (
        lambda: o3.FullyConnectedTensorProduct("4x0e+4x1o", "0e+1o", "4x1o+4x0e"),
        dims(16, 4),
    ),
    "ElementwiseTensorProduct": (lambda: o3.ElementwiseTensorProduct("4x0e+4x1o", "4x1o+4x0e"), dims(16, 16)),
    "FullTensorProduct": (lambda: o3.FullTensorProduct("2x0e+3x1o", "0e+1o"), dims(11, 4)),
    "TensorSquare": (lambda: o3.TensorSquare("2x0e+3x1o"), dims(11)),
    "TensorSquare-weighted": (lambda: o3.TensorSquare("2x0e+3x1o", "2x0e+1o"), dims(11)),
    "Linear": (lambda: o3.Linear("8x0e+4x1o", "2x0e+3x1o", biases=True), dims(20)),
    "Linear-f": (
        lambda: o3.Linear("8x0e+4x1o", "2x0e+3x1o", f_in=3, f_out=2, biases=True),
        lambda: (torch.randn(5, 3, 20),),
    ),
    "Linear-own": (lambda: o3.Linear("4x0e+2x1o", "2x0e+3x1o", shared_weights=False), dims(10, 14)),
    "Linear-paths": (
        lambda: o3.Linear("4x0e+2x0e", "2x0e+3x0e", instructions=[(0, 1), (1, 0)], path_normalization="path"),
        dims(6),
    ),
    "Norm": (lambda: o3.Norm("4x0e+4x1o"), dims(16)),
    "Norm-squared": (lambda: o3.Norm("4x0e+4x1o", squared=True), dims(16)),
    "SphericalHarmonics": (lambda: o3.SphericalHarmonics("0e+1o+2e+3o", True, normalization="component"), dims(3)),
    "SphericalHarmonics-list": (lambda: o3.SphericalHarmonics([2, 1, 4], False), dims(3)),
    "SphericalHarmonicsAlphaBeta": (
        lambda: o3.SphericalHarmonicsAlphaBeta([0, 1, 2], "norm"),
        lambda: (torch.rand(5), torch.rand(5)),
    ),
    "Legendre": (lambda: o3.Legendre([0, 1, 2]), lambda: (torch.rand(5), torch.rand(5))),
    "ReducedTensorProducts": (lambda: o3.ReducedTensorProducts("ij=ji", i="1o+0e"), dims(4, 4)),
    "ReducedTensorProducts-three": (lambda: o3.ReducedTensorProducts("ijk=-jik", i="1o", k="0e+1o"), dims(3, 3, 4)),
    "ToS2Grid": (lambda: o3.ToS2Grid(3, (8, 9)), dims(16)),
    "ToS2Grid-integral": (lambda: o3.ToS2Grid(4, (30, 41), normalization="integral"), dims(25)),
    "FromS2Grid": (lambda: o3.FromS2Grid((8, 9), 3), lambda: (torch.randn(5, 8, 9),)),
    "FromS2Grid-norm": (lambda: o3.FromS2Grid((30, 41), 4, normalization="norm"), lambda: (torch.randn(2, 30, 41),)),
    "Activation": (lambda: nn.Activation("4x0e+2x0o+1e", [torch.relu, torch.tanh, None]), dims(9)),
    "BatchNorm": (lambda: nn.BatchNorm("4x0e+2x1o"), dims(10)),
    "BatchNorm-instance": (
        lambda: nn.BatchNorm("4x0e+2x1o", instance=True, reduce="max", normalization="norm"),
        lambda: (torch.randn(2, 3, 10),),
    ),
    "BatchNorm-plain": (lambda: nn.BatchNorm("4x0e+2x1o", affine=False), dims(10)),
    "Dropout": (lambda: nn.Dropout("4x0e+2x1o", 0.5), dims(10)),
    "Extract": (lambda: nn.Extract("1e+0e+0e", ["0e", "0e+1e"], [(1,), (2, 0)]), dims(5)),
    "ExtractIr": (lambda: nn.ExtractIr("1e+0e+0e", "0e"), dims(5)),
    "FullyConnectedNet": (lambda: nn.FullyConnectedNet([3, 8, 2], torch.nn.functional.silu), dims(3)),
    "Gate": (lambda: nn.Gate("4x0o", [torch.tanh], "6x0o+2x0e", [torch.tanh, torch.sigmoid], "4x1e+4x1o"), dims(36)),
    "Gate-scalars": (lambda: nn.Gate("4x0e", [torch.nn.functional.silu], "", [], ""), dims(4)),
    "Identity": (lambda: nn.Identity("2x0e", "2x0e"), dims(2)),
    "NormActivation": (lambda: nn.NormActivation(o3.Irreps("4x0e+2x1o"), torch.sigmoid, bias=True), dims(10)),
    "NormActivation-epsilon": (
        lambda: nn.NormActivation(o3.Irreps("4x0e+2x1o"), torch.sigmoid, epsilon=1e-4),
        dims(10),
    ),
    "S2Activation": (lambda: nn.S2Activation("0e+1o+2e", torch.tanh, 8), dims(9)),
    "SO3Activation": (lambda: nn.SO3Activation(1, 1, torch.tanh, 2), dims(10)),
    "normalize2mom": (lambda: math.normalize2mom(torch.tanh), dims(3)),
    "Tied": (Tied, lambda: (torch.randn(5, 10, dtype=torch.float64),)),
    "Extract-one": (lambda: nn.Extract("1e+0e+0e", ["0e+1e"], [(1, 0)], squeeze_out=True), dims(5)),
    "Extract-tuple": (lambda: nn.Extract("1e+0e+0e", ["0e+1e"], [(1, 0)]), dims(5)),
    "Program": (Program, lambda: (torch.randn(5, 16), torch.randn(5, 3))),
}
LATER = {
    "FullTensorProductv2": (lambda: o3.FullTensorProductv2("2x0e+3x1o", "0e+1o"), dims(11, 4)),
    "ElementwiseTensorProductv2": (
        lambda: o3.experimental.ElementwiseTensorProductv2(
            o3.Irreps("2x0e+3x1o"), o3.Irreps("5x1o"), irrep_normalization="norm"
        ),
        dims(11, 15),
    ),
    "CartesianTensor": (lambda: io.CartesianTensor("ij=-ji").reduced_tensor_products(), dims(3, 3)),
}
TENSORS = {"irreps": o3.Irreps("4x0e+4x1o"), "irrep": o3.Irrep("3o")}


def picklable(make: Any) -> Any:
    """A module; if it can't be pickled (e3nn 0.5's harmonics as TorchScript), one without TorchScript."""
    module = make()
    try:
        pickle.dumps(module)
    except pickle.PickleError:
        e3nn.set_optimization_defaults(jit_script_fx=False)
        torch.manual_seed(0)
        module = make()
        e3nn.set_optimization_defaults(jit_script_fx=True)
    return module


def write(path: str, names: list[str]) -> None:
    """Save {name: (module, inputs, outputs)}; what can't be pickled at all on this e3nn is left out."""
    saved: dict[str, Any] = {"objects": TENSORS}
    for name in names or CASES | LATER:
        make, inputs = (CASES | LATER)[name]
        torch.manual_seed(0)
        try:
            module = picklable(make)
        except AttributeError as error:
            print(f"{name}: not in this e3nn ({error})")
            continue
        with torch.no_grad():
            for number in (*module.parameters(), *(b for k, b in module.named_buffers() if "running" in k)):
                number.copy_(torch.rand_like(number) + 0.5)
        module.eval()
        module.note = name  # a program's own
        given = inputs()
        saved[name] = (module, given, module(*given))
    torch.save(saved, path)


def read(path: str) -> None:
    """Load on what is called e3nn here, and compare."""
    saved = torch.load(path, weights_only=False)
    objects = saved.pop("objects")
    assert objects == TENSORS, objects
    assert all(type(objects[name]) is type(TENSORS[name]) for name in TENSORS)
    for name, (module, given, wanted) in saved.items():
        found = module(*given)
        pairs = zip(*((one,) if isinstance(one, torch.Tensor) else one for one in (found, wanted)))
        worst = max(float((a - b).abs().max() / max(float(b.abs().max()), 1.0)) for a, b in pairs)
        assert module.note == name
        assert not module.training
        print(name, worst, type(module).__module__)


if __name__ == "__main__":
    write(sys.argv[2], sys.argv[3:]) if sys.argv[1] == "write" else read(sys.argv[2])
