"""Small plans for the kernels of graphics cards, and what the definition says about them.

As a script it runs cases in Triton's interpreter and prints their deviations: the interpreter is chosen by a variable
of the environment when Triton is imported, which another test of the same process may have done before.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from typing import NamedTuple

import torch
from torch import Tensor

from intertwine.kernels.batched.reference import Reference
from intertwine.kernels.convolution.forms import VALUE, Forms, gradient, second
from intertwine.kernels.convolution.plan import Channelwise, channelwise
from intertwine.kernels.plan import Plan
from intertwine.o3 import Irreps, TensorProduct

#: irreps of x and of y, mode, whether the paths have weights, layout.
PRODUCTS = {
    "scalars": ("3x0e", "0e", "uvu", True, "ir_mul"),
    "vectors": ("16x0e+16x1o", "0e+1o", "uvu", True, "ir_mul"),
    "degree three": ("2x3o", "1o+3o", "uvu", True, "ir_mul"),
    "wide": ("70x0e", "0e+1o", "uvu", True, "ir_mul"),
    "uneven": ("5x0e+40x1o+1x1e", "0e+1o", "uvu", True, "ir_mul"),
    "components innermost": ("7x0e+3x1o+1x2e", "0e+1o", "uvu", True, "mul_ir"),
    "several channels of y": ("6x0e+6x1o", "3x0e+2x1o", "uvu", True, "ir_mul"),
    "several channels of y, components innermost": ("4x1o", "2x0e+3x1o", "uvu", True, "mul_ir"),
    "no weights": ("5x0e+5x1o", "2x0e+1o", "uvu", False, "ir_mul"),
    "some weights": ("9x0e+4x1o", "0e+2x1o", "uvu", None, "ir_mul"),
    "empty blocks": ("0x0e+4x1o+3x4e", "0x0e+1o+0x2e+2x3o", "uvu", True, "ir_mul"),
    "little": ("4x0e", "2x0e+2x1o", "uvu", None, "ir_mul"),
    "one channel": ("0e+1o+2e", "0e+1o", "uvw", True, "ir_mul"),
    "one result": ("12x0e+12x1o", "0e+1o", "joined", True, "ir_mul"),
}
LARGEST = 2  # of the degrees of z: more is slow in the interpreter and no different
#: Nodes that send, nodes that receive, edges.
EDGES = {"few": (3, 3, 5), "no edges": (4, 4, 0), "no nodes": (3, 0, 0), "crowded": (2, 2, 20), "many": (60, 50, 700)}


def product(x: str, y: str, mode: str, weights: bool | None, layout: str) -> Plan:
    """The plan of a product with all paths to degrees up to LARGEST, a block of z each (or, "joined", as few as
    possible).
    """
    first, other = Irreps(x), Irreps(y)
    found, instructions = [], []
    for (i, (mul, one)), (j, (_, two)) in itertools.product(enumerate(first), enumerate(other)):
        for irrep in one * two:
            if irrep.l > LARGEST:
                continue
            if mode != "joined" or (mul, irrep) not in found:
                found.append((mul, irrep))
            weighted = len(instructions) % 2 == 0 if weights is None else weights
            instructions.append(
                (
                    i,
                    j,
                    found.index((mul, irrep)) if mode == "joined" else len(found) - 1,
                    "uvu" if mode == "joined" else mode,
                    weighted,
                )
            )
    made = TensorProduct(
        first, other, Irreps(found), instructions, shared_weights=False, internal_weights=False, layout=layout
    )
    return made.kernel.plan


def edges(kind: str, generator: torch.Generator) -> tuple[Tensor, Tensor, int, int]:
    """Source, destination (unsorted, with repeated and self edges, and isolated nodes where there is room), and both
    numbers of nodes.
    """
    senders, receivers, count = EDGES[kind]
    source = torch.randint(0, max(senders - 1, 1), (count,), generator=generator)
    destination = torch.randint(0, max(receivers - 1, 1), (count,), generator=generator)
    return source, destination, senders, receivers


def by(index: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """The edges sorted by an index, and where those of each node begin."""
    order = torch.argsort(index, stable=True)
    return order, torch.cat([index.new_zeros(1), torch.bincount(index, minlength=nodes).cumsum(0)])[: nodes + 1]


def draw(plan: Plan, kind: str, seed: int = 0) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor, int, int]]:
    """Random arguments, tangents and cotangent in float64 that are exact in bfloat16."""
    generator = torch.Generator().manual_seed(seed)
    graph = edges(kind, generator)
    source, _, senders, receivers = graph
    rows = {
        "x": senders,
        "a": senders,
        "y": len(source),
        "b": len(source),
        "w": len(source),
        "c": len(source),
        "g": receivers,
    }
    sizes = {"x": plan.in1.dim, "a": plan.in1.dim, "y": plan.in2.dim, "b": plan.in2.dim}
    sizes |= {"w": plan.weight_numel, "c": plan.weight_numel, "g": plan.out.dim}
    tensors = {name: torch.randn(rows[name], sizes[name], generator=generator, dtype=torch.float64) for name in rows}
    return {name: tensor.bfloat16().double() for name, tensor in tensors.items()}, graph


def expected(
    plan: Plan, tensors: dict[str, Tensor], graph: tuple[Tensor, Tensor, int, int]
) -> dict[str, dict[str, Tensor]]:
    """First and second order by autograd through the reference: z; dx, dy, dw; the derivatives of <a, dx> + <b, dy> +
    <c, dw>.
    """
    source, destination, _, receivers = graph
    reference = Reference(plan, shared=False, dtype=torch.float64)
    given = {name: tensor.clone().requires_grad_(name in "xywg") for name, tensor in tensors.items()}
    weight = given["w"] if plan.weight_numel else None
    messages = reference(given["x"][source], given["y"], weight)
    z = messages.new_zeros(receivers, plan.out.dim).index_add(0, destination, messages)
    arguments = [given[name] for name in "xyw"]
    first = torch.autograd.grad(z, arguments, given["g"], create_graph=True, allow_unused=True, materialize_grads=True)
    whole = sum((given[tangent] * slope).sum() for tangent, slope in zip("abc", first))
    other = torch.autograd.grad(whole, [*arguments, given["g"]], allow_unused=True, materialize_grads=True)
    names = ("dx", "dy", "dw")
    return {
        "value": {"z": z.detach()},
        "first": {name: slope.detach() for name, slope in zip(names, first)},
        "second": dict(zip((*names, "z"), other)),
    }


def computed(
    form: Channelwise,
    forms: Forms,
    tensors: dict[str, Tensor],
    graph: tuple[Tensor, Tensor, int, int],
    dtype: torch.dtype,
    device: str,
) -> dict[str, Tensor]:
    """The same by the kernels."""
    from intertwine.kernels.convolution import gpu

    source, destination, senders, receivers = graph
    given = {name: tensor.to(device, dtype) for name, tensor in tensors.items() if form.dim_w or name not in "wc"}
    found = {}
    torch.use_deterministic_algorithms(True)  # what is not written is NaN then
    try:
        if forms.z:
            index = (*by(destination, receivers), source)
            found["z"] = gpu.gather(form, forms, given, *(one.to(device) for one in index), receivers)
        if forms.dx or forms.dy or forms.dw:
            index = (*by(source, senders), destination)
            found |= gpu.scatter(form, forms, given, *(one.to(device) for one in index), senders)
    finally:
        torch.use_deterministic_algorithms(False)
    return found


def deviation(found: Tensor, wanted: Tensor) -> float:
    """Largest deviation over the root mean square of what is expected, in eps of the precision; infinite where
    something is missing.
    """
    if found.shape != wanted.shape or not bool(found.isfinite().all()):
        return float("inf")
    if wanted.numel() == 0:
        return 0.0
    error = (found.cpu().double() - wanted).abs().max()
    scale = wanted.square().mean().sqrt()
    return 0.0 if error == 0 else float(error / scale / torch.finfo(found.dtype).eps)


FIRST = {"value": VALUE, "first": gradient("xyw")}
EVERY = {"value": VALUE, "first": gradient("xyw"), "second": second("abc", "gxyw")}


def suite(name: str) -> list[Case]:
    """The cases of a test."""
    double, single, half = torch.float64, torch.float32, torch.bfloat16
    if name == "plans":
        further = ("components innermost", "some weights")
        return [Case(product, "few", EVERY if product in further else FIRST, double) for product in PRODUCTS]
    if name == "precisions":
        return [Case("degree three", "few", FIRST, single), Case("components innermost", "few", FIRST, half)]
    if name == "graphs":
        found = [
            Case(product, kind, EVERY, double)
            for product in ("scalars", "no weights")
            for kind in ("no edges", "no nodes")
        ]
        return [*found, Case("scalars", "crowded", EVERY, single), Case("vectors", "crowded", FIRST, single)]
    found = [
        Case("little", "few", {"first": gradient(need), "second": second("abc", need)}, double)
        for need in ("x", "y", "w", "xw")
    ]
    return [
        *found,
        *(Case("little", "few", {"second": second(tangents, "gxyw")}, double) for tangents in ("a", "b", "c", "ac")),
    ]


class Case(NamedTuple):
    """Product, edges, forms by order, precision."""

    product: str
    edges: str
    forms: dict[str, Forms]
    dtype: torch.dtype


def deviations(case: Case, device: str = "cpu", *, twice: bool = False) -> dict[str, float]:
    """Deviation of every result of a case, and of every result of a second run from the first."""
    plan = product(*PRODUCTS[case.product])
    form = channelwise(plan)
    assert form is not None
    tensors, graph = draw(plan, case.edges)
    found = {}
    for order, forms in case.forms.items():
        named = {name for versions in (forms.z, forms.dx, forms.dy, forms.dw) for one in versions for name in one}
        given = {
            name: tensor if order != "second" or name not in "abc" or name in named else tensor * 0
            for name, tensor in tensors.items()
        }
        wanted = expected(plan, given, graph)[order]
        results = computed(form, forms, tensors, graph, case.dtype, device)
        label = f"{case.product}, {case.edges or 'edges'}, {case.dtype}, {order}{forms}"
        for key, value in results.items():
            found[f"{key} of {label}"] = deviation(value, wanted[key])
        if twice:
            for key, value in computed(form, forms, tensors, graph, case.dtype, device).items():
                found[f"{key} again of {label}"] = 0.0 if torch.equal(value, results[key]) else math.inf
    return found


def bounds(name: str) -> float:
    """The largest deviation, in eps of the precision."""
    return {torch.float64: 500.0, torch.float32: 40.0, torch.bfloat16: 10.0}[
        getattr(torch, name.split("torch.")[1].split(",")[0])
    ]


if __name__ == "__main__":
    suites = {name: [deviations(case, twice=name == "graphs") for case in suite(name)] for name in sys.argv[1:]}
    print(json.dumps({key: value for found in suites.values() for one in found for key, value in one.items()}))
