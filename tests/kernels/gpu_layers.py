"""Harmonics, linear layers and straight-line programs by the programs of graphics cards: values, first and second
derivatives beside those of the definition in float64.

As a script it runs in Triton's interpreter, with ``INTERTWINE_KERNELS=gpu``, and prints what it finds: see
``gpu_cases.py``.
"""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from gpu_cases import deviation
from torch import Tensor

from intertwine.geometry import Graph, connect
from intertwine.kernels.harmonics import definition as harmonics_definition
from intertwine.kernels.harmonics import kernel as harmonics_kernel
from intertwine.kernels.harmonics.gpu import tape
from intertwine.kernels.harmonics.operators import evaluate
from intertwine.kernels.linear import definition as linear_definition
from intertwine.kernels.linear.gpu import OnCard
from intertwine.kernels.linear.operators import mix
from intertwine.kernels.polynomial import kernel as polynomial_kernel
from intertwine.kernels.polynomial.gpu import launch as polynomial_launch
from intertwine.kernels.polynomial.operators import contract
from intertwine.kernels.polynomial.plan import NO_FACTOR, Argument, Program, Result, Writer
from intertwine.kernels.shared import trust
from intertwine.models import MODELS
from intertwine.nn.irreps.contraction_programs import contraction
from intertwine.o3 import Irreps, Linear
from intertwine.o3.harmonic_plans import solid
from intertwine.tasks import ForceField

Function = Callable[..., Sequence[Tensor]]


class Case(NamedTuple):
    """A layer: what the library calls, its definition, and its arguments in float64; ``odd``: as views that are not
    contiguous.
    """

    layer: Function
    definition: Function
    arguments: list[Tensor]
    dtype: torch.dtype
    odd: bool = False
    orders: int = 2


def random(*shape: int, seed: int = 0) -> Tensor:
    """Numbers that are exact in bfloat16."""
    generator = torch.Generator().manual_seed(sum(shape) + seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).bfloat16().double()


def harmonics(degrees: tuple[int, ...], normalize: bool, n: int, dtype: torch.dtype, odd: bool = False) -> Case:
    plan, x = solid(degrees, "component", normalize), random(n, 3)
    if n > 4:
        x[0], x[1] = torch.tensor([0.0, 2.0, 0.0]), torch.tensor([0.0, 0.0, -1.0])
    return Case(lambda x: [evaluate(x, plan.text)], lambda x: [harmonics_definition.values(x, plan)], [x], dtype, odd)


def linear(ins: str, outs: str, layout: str, n: int, dtype: torch.dtype, odd: bool = False, bias: bool = False) -> Case:
    layer = Linear(ins, outs, layout=layout, biases=bias)
    plan, biases = layer._mixing, [random(layer.bias_numel)] if bias else []
    assert plan is not None
    return Case(
        lambda x, w, *b: [mix(x, w, plan, *b)],
        lambda x, w, *b: [linear_definition.forward(plan, x, w, *b)],
        [random(n, plan.dim_in), random(plan.weights), *biases],
        dtype,
        odd,
    )


def polynomial(program: Program, n: int, channels: int, dtype: torch.dtype, odd: bool = False) -> Case:
    """Of three groups, one of them empty."""
    group, groups = torch.arange(n) % 2, 3
    if odd:
        group = group.int()
    arguments = [0.5 * random(groups if kind.shared else n, kind.size, channels) for kind in program.arguments]
    return Case(
        lambda *x: contract(x, group.to(x[0].device), groups, program.text),
        lambda *x: polynomial_kernel.plainly(program, x, group.long(), groups),
        arguments,
        dtype,
        odd,
    )


def long_rows() -> Program:
    """Rows of 1, 40 and no terms, a square, a copy of an argument; a shared argument and a shared result."""
    writer = Writer([Argument(9), Argument(2, shared=True)])
    square = writer.row([(0.5, 3, 3)])
    pairs = [(0.1 * (i + 1) - 0.3 * j, i, j) for i in range(9) for j in range(i, 9)][:36]
    sums = writer.row([*pairs, *((0.7, k, NO_FACTOR) for k in range(4))])
    last = writer.row([(1.5, sums, 9), (-0.5, square, 10), (1.0, 0, NO_FACTOR)])
    return writer.program([Result((last, writer.row([]), 4)), Result((sums, last), shared=True)])


def cases(family: str) -> dict[str, Case]:
    """The cases of a family by name, which says the precision."""
    double, single, half = torch.float64, torch.float32, torch.bfloat16
    wide, other = "37x0e+5x1o+2x2e", "70x0e+3x1o+4x1o+2x3o"
    made = {
        "harmonics": [
            harmonics((0, 1, 2, 3), True, 130, double),
            harmonics((0, 1, 2, 3), True, 130, single),
            harmonics((3, 0, 1, 1), False, 7, double, odd=True),
            harmonics((2, 1), True, 7, single, odd=True),
            harmonics((2, 1), True, 7, half)._replace(orders=0),
            harmonics((1, 2), True, 0, double),
        ],
        "linear": [
            linear(wide, other, "ir_mul", 6, double),
            linear(wide, other, "mul_ir", 6, single, odd=True),
            linear("3x0e+2x1o", "2x1o+4x0e", "mul_ir", 300, double, bias=True),
            linear("3x0e+2x1o", "2x1o+4x0e", "ir_mul", 300, single, odd=True),
            linear("3x0e+2x1o", "2x1o+4x0e", "ir_mul", 5, half)._replace(orders=0),
            linear("3x0e+2x1o", "2x1o+4x0e", "ir_mul", 0, double),
        ],
        "polynomial": [
            polynomial(long_rows(), 3, 35, double),
            polynomial(long_rows(), 2, 2, single, odd=True)._replace(orders=1),
            polynomial(contraction(Irreps("1o"), Irreps("0e"), (2,), False), 2, 3, double, odd=True),
            polynomial(long_rows(), 1, 2, half)._replace(orders=0),
            polynomial(long_rows(), 0, 3, double),
        ],
    }[family]
    return {f"{family} {number} in {case.dtype}": case for number, case in enumerate(made)}


def view(x: Tensor) -> Tensor:
    """The same numbers, every second of those of a negated tensor."""
    wide = torch.stack([-x, torch.full_like(x, torch.nan)], -1)
    return torch._neg_view(wide.flatten(-2)[..., ::2])


def derivatives(case: Case, function: Function, dtype: torch.dtype, device: str) -> dict[str, Tensor]:
    """The results, the gradient of their inner product with fixed numbers, and that of another with that gradient."""
    leaves = [x.to(device, dtype).requires_grad_() for x in case.arguments]
    results = function(*(view(x) if case.odd else x for x in leaves))
    kept = {f"result {number}": y for number, y in enumerate(results)}
    if case.orders:
        cotangents = [random(*y.shape, seed=100).to(device, dtype).requires_grad_() for y in results]
        given = [view(g) if case.odd else g for g in cotangents]
        first = torch.autograd.grad(results, leaves, given, create_graph=True)
        kept |= {f"first {number}": x for number, x in enumerate(first)}
    if case.orders > 1:
        tangents = [random(*x.shape, seed=200).to(device, dtype) for x in first]
        second = torch.autograd.grad(first, [*leaves, *cotangents], tangents, allow_unused=True, materialize_grads=True)
        kept |= {f"second {number}": x for number, x in enumerate(second)}
    return {name: x.detach() for name, x in kept.items()}


def deviations(family: str, device: str, *, twice: bool = False) -> dict[str, float]:
    """Of every result from the definition, in eps of the root mean square, and of every one of a second run from the
    first.
    """
    deviating: dict[str, float] = {}
    for name, case in cases(family).items():
        right = derivatives(case, case.definition, torch.float64, "cpu")
        computed = derivatives(case, case.layer, case.dtype, device)
        for order, x in computed.items():
            deviating[f"{order} of {name}"] = deviation(x, right[order])
        for order, x in (derivatives(case, case.layer, case.dtype, device) if twice else {}).items():
            deviating[f"{order} again of {name}"] = 0.0 if torch.equal(x, computed[order]) else math.inf
    deviating |= far(device) if family == "harmonics" else {}
    if not all(trust._verdicts.values()) or not any(key[:2] == (family, "gpu") for key in trust._verdicts):
        deviating[f"no program of {family} ran, torch.float64, or it is not trusted"] = math.inf
    return deviating


def far(device: str) -> dict[str, float]:
    """The kernels of harmonics at the zero vector, where all derivatives are zero, and beside vectors whose square is
    beyond all numbers.
    """
    plan, x = (
        solid((0, 1, 2), "component", True),
        torch.tensor([[0.0, 0, 0], [2.0**80, 0, 2.0**81], [0, -(2.0**-90), 0]]),
    )
    g, v = random(3, plan.dim).float(), random(3, 3, seed=1).float()
    kernels, deviating = harmonics_kernel.harmonics(plan.text), dict[str, float]()
    for kind, given in (("values", [x]), ("gradient", [x, g]), ("second", [x, g, v])):
        results = getattr(kernels, kind)(*(tensor.to(device) for tensor in given))
        right = getattr(harmonics_definition, kind)(*(tensor.double() for tensor in given), plan)
        for number, (one, other) in enumerate(zip(*((y,) if isinstance(y, Tensor) else y for y in (results, right)))):
            for row in range(1 if kind == "second" else 3):  # the others are beyond the range of float32
                deviating[f"{kind} {number} at {row}, torch.float32,"] = deviation(one[row].cpu(), other[row].cpu())
    return deviating


def faults(device: str) -> dict[str, Any]:
    """For each family what is said, and how far its results are off, if a number of its tables is wrong."""

    def forget() -> None:
        trust._verdicts.clear()
        harmonics_kernel.harmonics.cache_clear()
        polynomial_kernel._machine.cache_clear()

    def told(case: Case) -> dict[str, Any]:
        forget()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            result = derivatives(case._replace(orders=0), case.layer, case.dtype, device)
        right = derivatives(case._replace(orders=0), case.definition, torch.float64, "cpu")
        messages = [str(one.message) for one in seen if issubclass(one.category, RuntimeWarning)]
        messages = [message for message in messages if "Plain torch" in message]
        return {"messages": messages, "off": max(deviation(result[name], right[name]) for name in right)}

    single, made, sent, schedule = torch.float32, tape.job, OnCard._sent, polynomial_launch.scheduled
    wrong: dict[str, Any] = {}

    def job(kind: str, plan: Any) -> tape.Job:
        good = made(kind, plan)
        last = good.steps[-1]
        return tape.Job(good.normalize, good.loads, (*good.steps[:-1], (*last[:3], last[0], None)), good.stores)

    launch = sys.modules["intertwine.kernels.harmonics.gpu.launch"]
    launch.job = job  # type: ignore[attr-defined]
    wrong["harmonics"] = told(harmonics((1, 2), True, 9, single))
    launch.job = made  # type: ignore[attr-defined]
    OnCard._sent = lambda self, rows, dtype=torch.int64: sent(  # type: ignore[method-assign]
        self, [1.01 * row for row in rows] if dtype != torch.int64 else rows, dtype
    )
    wrong["linear"] = told(linear("3x0e", "2x0e", "ir_mul", 4, single))
    OnCard._sent = sent  # type: ignore[method-assign]

    def scheduled(program: Program) -> Any:
        good = schedule(program)
        return good.__class__(**{**vars(good), "coefficients": (1.01 * good.coefficients[0], *good.coefficients[1:])})

    polynomial_launch.scheduled = scheduled  # type: ignore[attr-defined]
    wrong["polynomial"] = told(polynomial(long_rows(), 3, 2, single))
    polynomial_launch.scheduled = schedule  # type: ignore[attr-defined]
    forget()
    return wrong


def models(device: str) -> dict[str, Any]:
    """Energies, forces and gradients of a loss on both, of whole models, from those in plain torch, over the largest of
    each; and the kernels that have run.
    """
    generator = torch.Generator().manual_seed(0)
    graph = connect(Graph(1.5 * torch.randn(3, 3, generator=generator), z=torch.tensor([6, 1, 8])), 5.0)
    compared: dict[str, Any] = {}
    for name in ("nequip", "mace"):
        trust._verdicts.clear()
        harmonics_kernel.harmonics.cache_clear()
        torch.manual_seed(0)
        task, numbers = ForceField(MODELS[name](width=2, layers=1)).train().to(device), []
        for choice in ("reference", "gpu"):
            os.environ["INTERTWINE_KERNELS"] = choice
            results = task(graph.to(device))
            task.zero_grad()
            (results["energy"].square().sum() + results["forces"].square().sum()).backward()
            slopes = [x.grad.clone() for x in task.parameters() if x.grad is not None]
            numbers.append([results["energy"].detach(), results["forces"].detach(), *slopes])
        off = [float((x - y).abs().max() / y.abs().max().clamp(min=1e-3)) for x, y in zip(*reversed(numbers))]
        compared[name] = {"off": max(off), "ran": sorted({f"{a} {b}" for a, b, *_ in trust._verdicts})}
        compared[name]["trusted"] = all(trust._verdicts.values())
    return compared


if __name__ == "__main__":
    print(
        json.dumps(
            {"faults": faults("cpu"), "models": models("cpu")}
            if sys.argv[1] == "faults"
            else {key: value for family in sys.argv[1:] for key, value in deviations(family, "cpu").items()}
        )
    )
