"""Every public class and function of e3nn's o3, nn, io and math: values and gradients equal ours, with e3nn's own
weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from case_kit import Case, ours, theirs
from layer_cases import CASES
from torch import Tensor, nn

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def precision(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)  # e3nn has no other way to be asked for float64
    yield request.param
    torch.set_default_dtype(before)


def flatten(value: Any) -> list[Any]:
    if isinstance(value, Tensor | str) or not isinstance(value, tuple | list):
        return [value]
    return [entry for part in value for entry in flatten(part)]


def evaluate(case: Case, subject: Any, inputs: tuple[Any, ...]) -> tuple[list[Any], list[Tensor]]:
    """Outputs, and the gradients of a fixed combination of them to the inputs and the parameters."""
    arguments = [x.clone().requires_grad_(case.differentiable) for x in inputs]
    torch.manual_seed(1)
    outputs = flatten(subject(*arguments))
    if not case.differentiable:
        return outputs, []
    parameters = list(subject.parameters()) if isinstance(subject, nn.Module) else []
    weights = torch.Generator().manual_seed(2)
    total = sum(
        (x * torch.randn(x.shape, generator=weights, dtype=x.dtype)).sum() for x in outputs if isinstance(x, Tensor)
    )
    if not (isinstance(total, Tensor) and total.requires_grad):
        return outputs, []
    gradients = torch.autograd.grad(total, [x for x in arguments + parameters if x.numel()], allow_unused=True)
    return outputs, [torch.zeros(()) if g is None else g for g in gradients]


def close(mine: Tensor, other: Tensor, bound: float) -> None:
    if mine.ndim and other.ndim:
        assert mine.shape == other.shape
    scale = max(1.0, float(other.abs().max())) if other.numel() else 1.0
    assert not mine.numel() or float((mine - other).abs().max()) <= bound * scale


@pytest.mark.parametrize("case", [case for case in CASES if case.peer], ids=lambda case: case.name)
def test_values_and_gradients(case: Case, precision: torch.dtype) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        reference = case.build(theirs())
        torch.manual_seed(0)
        subject = case.build(ours())
    inputs = case.inputs(torch.Generator().manual_seed(3))
    if isinstance(reference, nn.Module):
        for (name, mine), (_, other) in zip(
            sorted(subject.named_parameters()), sorted(reference.named_parameters()), strict=True
        ):
            torch.testing.assert_close(mine, other, rtol=0, atol=0, msg=f"initial {name} at one seed")
        with torch.no_grad():
            for parameter in reference.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)))
        subject.load_state_dict(reference.state_dict())
        for module in (reference, subject):
            module.train(case.train)
    expected, expected_gradients = evaluate(case, reference, inputs)
    found, gradients = evaluate(case, subject, inputs)
    bound = TOLERANCE[precision]
    assert len(found) == len(expected)
    for mine, other in zip(found, expected, strict=True):
        if not isinstance(other, Tensor):
            assert mine == other
            continue
        assert mine.dtype == other.dtype
        close(mine, other, bound)
    assert len(gradients) == len(expected_gradients)
    for mine, other in zip(gradients, expected_gradients, strict=True):
        close(mine, other, bound)
    if isinstance(reference, nn.Module):
        for (name, mine), (key, other) in zip(
            sorted(subject.named_buffers()), sorted(reference.named_buffers()), strict=False
        ):
            if name == key and other.numel():
                close(mine.to(other.dtype), other, bound)


def test_nothing_public_is_left_out() -> None:
    space = theirs()
    # test_irreps.py; the drop-in's tests
    elsewhere = {"o3.irrep", "o3.Irrep", "o3.Instruction", "o3.FullTensorProductv2"}
    public = {f"{name}.{entry}" for name in ("o3", "nn", "io") for entry in getattr(space, name).__all__}
    public |= {f"math.{entry}" for entry in space.math.__all__}
    assert public - {case.subject.split("[")[0] for case in CASES} - elsewhere == set()
