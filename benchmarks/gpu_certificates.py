"""Layers and models on a graphics card: do they commute with O(3), and give the numbers of float64 on the processor?"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from intertwine import o3
from intertwine.certify import certify
from intertwine.geometry import Graph
from intertwine.groups import Isometry
from intertwine.models import MODELS
from intertwine.nn import Convolution, Gate, SymmetricContraction
from intertwine.tasks import ForceField

if TYPE_CHECKING:
    from gpu_parts import Record

#: Largest deviation of a layer, over the root mean square, in eps of its precision.
LAYER_BOUND_EPS = {torch.float64: 500.0, torch.float32: 40.0, torch.bfloat16: 10.0}
NODES, EDGES = 12, 40
#: Five models, with a task that takes their derivatives or as they are.
FIVE = {"nequip": True, "mace": True, "tensor_field": True, "painn": True, "egnn": False}


@dataclass(frozen=True)
class Layer:
    """A function of tensors, the representations of these (None: invariant) and of the result."""

    function: Callable[..., Tensor]
    inputs: Sequence[tuple[int, str | None, int]]  # rows, representation, columns where there is none
    output: str


def cases(dry: bool) -> dict[str, Callable[[], Layer]]:
    """Layers by name."""
    mul = 2 if dry else 32
    irreps = f"{mul}x0e+{mul}x1o" + ("" if dry else f"+{mul}x2e")
    generator = torch.Generator().manual_seed(0)
    ends = torch.randint(0, NODES, (2, EDGES), generator=generator)

    def convolution() -> Layer:
        layer = Convolution(irreps, "0e+1o" if dry else "0e+1o+2e", lmax=1 if dry else 2, layout="mul_ir")
        inputs = [(NODES, irreps, 0), (EDGES, str(layer.irreps_edge), 0), (EDGES, None, layer.weight_numel)]
        return Layer(lambda x, y, w: layer(x, y, ends.to(x.device), w), inputs, str(layer.irreps_out))

    def product() -> Layer:
        layer = o3.FullyConnectedTensorProduct(irreps, irreps, irreps, shared_weights=False, internal_weights=False)
        return Layer(layer, [(NODES, irreps, 0), (NODES, irreps, 0), (NODES, None, layer.weight_numel)], irreps)

    def linear() -> Layer:
        layer = o3.Linear(irreps, irreps, internal_weights=False, shared_weights=True)
        return Layer(lambda x, w: layer(x, w.flatten()), [(NODES, irreps, 0), (1, None, layer.weight_numel)], irreps)

    def harmonics() -> Layer:
        degrees = list(range(2 if dry else 5))
        layer = o3.SphericalHarmonics(degrees, normalize=True, normalization="component")
        return Layer(layer, [(EDGES, "1o", 0)], str(layer.irreps_out))

    def gate() -> Layer:
        layer = Gate(f"{mul}x0e", [torch.nn.functional.silu], f"{mul}x0e", [torch.sigmoid], f"{mul}x1o")
        return Layer(layer, [(NODES, str(layer.irreps_in), 0)], str(layer.irreps_out))

    def contraction() -> Layer:
        degrees = "0e+1o" if dry else "0e+1o+2e+3o"
        every = str(o3.Irreps([(mul, ir) for _, ir in o3.Irreps(degrees)]))
        layer = SymmetricContraction(every, f"{mul}x0e+{mul}x1o", 2 if dry else 3, 1, layout="mul_ir")
        return Layer(_Rows(layer), [(NODES, every, 0)], f"{mul}x0e+{mul}x1o")

    makers = (convolution, product, linear, harmonics, gate, contraction)
    return {function.__name__: function for function in makers}


def layers(record: Record) -> None:
    """Deviations of every layer in three precisions."""
    for name, build in cases(record.dry).items():
        for dtype, bound in LAYER_BOUND_EPS.items():
            with record.attempt(f"{name} in {dtype}", 0 if record.dry else 3) as there:
                if there:
                    torch.manual_seed(0)
                    row = {
                        "layer": name,
                        "dtype": str(dtype),
                        **deviations(build(), dtype, record.device),
                        "bound": bound,
                    }
                    record.add(row | {"passed": row["symmetry, eps"] <= bound and row["value, eps"] <= bound})


def deviations(layer: Layer, dtype: torch.dtype, device: torch.device) -> dict[str, float]:
    r"""Of f(x) from float64 on the processor, and of f(y) from :math:`g f(g^{-1} y)`, y being :math:`g x` rounded to
    the precision.

    The numbers on the right are in float64 by plain torch, so neither rounding nor a kernel of ours is in them. In eps
    of the root mean square.
    """
    generator, cpu = torch.Generator().manual_seed(1), torch.device("cpu")
    kinds = [None if irreps is None else o3.Irreps(irreps) for _, irreps, _ in layer.inputs]
    sizes = [
        (rows, columns if irreps is None else irreps.dim) for (rows, _, columns), irreps in zip(layer.inputs, kinds)
    ]
    inputs = [torch.randn(size, generator=generator, dtype=torch.float64).to(dtype).double() for size in sizes]
    exact = on(layer.function, inputs, torch.float64, cpu, plain=True)
    size = exact.square().mean().sqrt() * torch.finfo(dtype).eps
    values, worst = on(layer.function, inputs, dtype, device), 0.0
    for improper in (False, True):
        g = Isometry.random(3, generator=generator, improper=improper).rotation
        moved = [x if irreps is None else irreps.transform(g, x).to(dtype).double() for x, irreps in zip(inputs, kinds)]
        back = [x if irreps is None else irreps.transform(g.T, x) for x, irreps in zip(moved, kinds)]
        expected = o3.Irreps(layer.output).transform(g, on(layer.function, back, torch.float64, cpu, plain=True))
        worst = max(worst, float((on(layer.function, moved, dtype, device) - expected).abs().max() / size))
    return {"symmetry, eps": worst, "value, eps": float((values - exact).abs().max() / size)}


def on(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    dtype: torch.dtype,
    device: torch.device,
    *,
    plain: bool = False,
) -> Tensor:
    """What a layer gives in a precision on a device, brought back; ``plain``: without kernels."""
    moved = copy.deepcopy(function).to(device, dtype) if isinstance(function, nn.Module) else function
    before = os.environ.get("INTERTWINE_KERNELS", "")
    try:
        os.environ["INTERTWINE_KERNELS"] = "reference" if plain else before
        with torch.no_grad():
            return moved(*(x.to(device, dtype) for x in inputs)).double().cpu()
    finally:
        os.environ["INTERTWINE_KERNELS"] = before


class _Rows(nn.Module):
    """A contraction of rows, all nodes of one species."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layer(x, torch.zeros(len(x), dtype=torch.int64, device=x.device))
        return features


class OnCard(nn.Module):
    """A model or task on a device, for graphs that are on the processor: what ``certify`` moves and compares."""

    def __init__(self, inner: Any, device: torch.device) -> None:
        super().__init__()
        self.inner, self.device, self.cutoff = inner.to(device), device, getattr(inner, "cutoff", None)
        for name in ("outputs", "irreps_out"):
            if hasattr(inner, name):
                setattr(self, name, getattr(inner, name))

    def forward(self, graph: Graph) -> Any:
        outputs = self.inner(graph.to(self.device))
        return {name: value.cpu() for name, value in outputs.items()} if isinstance(outputs, dict) else outputs.cpu()


def models(record: Record) -> None:
    """Certificates of models, by their derivatives where they have scalars."""
    from ase.build import molecule

    chosen = {"egnn": False} if record.dry else FIVE
    names = ("H2O",) if record.dry else ("CH3CH2OH", "H2O", "H2")
    graphs = [Graph(atoms.positions, z=atoms.numbers) for atoms in map(molecule, names)]
    for name, derived in chosen.items():
        with record.attempt(f"certificate of {name}", 0 if record.dry else 12) as there:
            if there:
                torch.manual_seed(0)
                kind = MODELS[name]
                model: Any = kind(width=2, layers=1) if record.dry else kind(layers=2)
                subject = OnCard(ForceField(model) if derived else model, record.device)
                dtypes = [torch.float32] if record.dry else [torch.float32, torch.float64]
                certificate = certify(subject, graphs, symmetry=kind.CARD.symmetry, dtypes=dtypes, quick=True)
                record.add(
                    {
                        "model": name,
                        "passed": certificate.passed,
                        "summary": certificate.summary(),
                        "failed": list(certificate.failed),
                    }
                )
