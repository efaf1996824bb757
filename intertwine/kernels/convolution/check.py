"""The first time a kernel is used it is compared with plain torch on a few edges; a wrong one is not used again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from intertwine.kernels.convolution import definition, native
from intertwine.kernels.convolution.forms import Forms
from intertwine.kernels.convolution.plan import Channelwise
from intertwine.kernels.shared.choice import announce
from intertwine.kernels.shared.processes import preparing, single
from intertwine.numerics import InputError

_EDGES, _SENDERS, _RECEIVERS = 9, 4, 3
_BOUND_EPS = 64  # |kernel - exact| <= this many eps of the sum of the absolute values of all terms

_trust: dict[tuple, bool] = {}


def trusted(kind: str, backend: str, plan: Channelwise, forms: Forms, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a kernel, "gather" or "scatter", gives the numbers of :mod:`intertwine.kernels.convolution.definition`;
    found out once.

    A kernel that does not is announced by a warning, and plain torch takes its place.
    """
    key = (kind, backend, plan, forms, device, dtype)
    verdict = _trust.get(key)
    if verdict is None:
        with preparing, single():
            verdict = _trust.get(key)
            if verdict is None:
                problem = _problem(kind, backend, plan, forms, device, dtype)
                verdict = _trust[key] = not problem
                if problem:
                    announce(f"{backend} kernel '{kind}' of {describe(plan)} in {dtype} on {device}", problem)
    return verdict


def _problem(kind: str, backend: str, plan: Channelwise, forms: Forms, device: torch.device, dtype: torch.dtype) -> str:
    """What is wrong with a kernel; nothing if it is right."""
    try:
        wrong = deviation(kind, backend, plan, forms, device, dtype)
    except (ImportError, InputError) as error:  # no compiler for this machine
        return f"is not available ({error})"
    return "" if wrong <= 1 else f"is wrong: {wrong:.3g} times the bound of its rounding errors"


def deviation(
    kind: str, backend: str, plan: Channelwise, forms: Forms, device: torch.device, dtype: torch.dtype
) -> float:
    """Largest error of a kernel on a small random graph, over the bound of its rounding errors; infinite for NaN.

    The graph has repeated edges, edges from a node to itself and a node without edges.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    source = torch.tensor([0, 1, 1, 2, 0, 2, 1, 1, 0], device="cpu")  # whatever the default device is
    destination = torch.tensor([2, 0, 0, 2, 0, 0, 2, 0, 0], device="cpu")
    sizes = {
        "x": (_SENDERS, plan.dim_x),
        "y": (_EDGES, plan.dim_y),
        "w": (_EDGES, plan.dim_w),
        "g": (_RECEIVERS, plan.dim_z),
    }
    sizes |= {tangent: sizes[name] for tangent, name in {"a": "x", "b": "y", "c": "w"}.items()}
    used = {name for group in (forms.z, forms.dx, forms.dy, forms.dw) for form in group for name in form} | {"x", "y"}
    used |= {"g"} if kind == "scatter" else set()
    exact = {name: _random(sizes[name], generator).to(dtype).double() for name in sorted(used)}
    nodes = _SENDERS if kind == "scatter" else _RECEIVERS
    inputs = {name: tensor.to(device=device, dtype=dtype) for name, tensor in exact.items()}
    ends = source.to(device), destination.to(device)
    sound = replace(
        plan, terms=tuple(replace(t, entries=tuple((i, j, k, abs(c)) for i, j, k, c in t.entries)) for t in plan.terms)
    )
    right = _outputs(getattr(definition, kind)(plan, forms, exact, source, destination, nodes))
    scale = _outputs(
        getattr(definition, kind)(
            sound, forms, {name: t.abs() for name, t in exact.items()}, source, destination, nodes
        )
    )
    outputs = _outputs(getattr(native, kind)(backend, plan, forms, inputs, ends, nodes))
    worst = 0.0
    for name, value in right.items():
        sums = max(torch.float32, dtype, key=lambda real: torch.finfo(real).bits)  # half precision is summed in single
        bound = (
            _BOUND_EPS * torch.finfo(sums).eps * scale[name]
            + torch.finfo(dtype).eps * value.abs()
            + torch.finfo(dtype).tiny
        )
        excess = ((outputs[name].double().cpu() - value).abs() / bound).nan_to_num(nan=torch.inf)
        worst = max(worst, float(excess.max()) if excess.numel() else 0.0)
    return worst


def _random(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    return torch.randn(size, generator=generator, dtype=torch.float64, device="cpu")


def describe(plan: Channelwise) -> str:
    """A plan in a few words."""
    channels = sorted({term.x.mul for term in plan.terms})
    return (
        f"the product of {len(plan.terms)} paths, {plan.dim_x} x {plan.dim_y} -> {plan.dim_z} numbers, "
        f"{channels} channels"
    )


def _outputs(result: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {"z": result} if isinstance(result, Tensor) else dict(result)
