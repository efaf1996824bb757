"""What every module of the algebra must survive: copies, files, compilers, precisions, derivatives, singular and empty
inputs.
"""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from case_kit import Case, ours
from layer_cases import CASES
from switches import as_users_run_it, does_not_apply
from torch import Tensor, nn

RANDOM = {"nn.Dropout", "nn.S2Activation[even]"}  # the first draws in training, the second is a case of values only
NOT_SMOOTH = ("'max'",)  # the derivative of a maximum jumps


def modules() -> list[Case]:
    """One case for each kind of module and each variant, but one random draw of irreps is enough here."""
    found: dict[str, Case] = {}
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    for case in CASES:
        if case.name in RANDOM or not isinstance(case.build(ours()), nn.Module):
            continue
        variant = (
            "random"
            if any(sign in case.name for sign in (";",)) or case.subject in ("o3.Norm", "o3.TensorSquare")
            else case.name
        )
        found.setdefault(f"{case.subject} {variant}", case)
    torch.set_default_dtype(before)
    return list(found.values())


MODULES = modules()
every_module = pytest.mark.parametrize("case", MODULES, ids=lambda case: case.name)


def build(case: Case, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, tuple[Any, ...]]:
    """The module and inputs, without touching the default precision: ours never needs that."""
    torch.manual_seed(0)
    module = case.build(ours()).to(dtype)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    inputs = tuple(x.to(dtype) if isinstance(x, Tensor) else x for x in case.inputs(torch.Generator().manual_seed(3)))
    return module.train(case.train), inputs


def flat(value: Any) -> Tensor:
    return torch.cat([x.flatten() for x in value]) if isinstance(value, tuple | list) else value


@every_module
def test_copies_and_files(case: Case) -> None:
    module, inputs = build(case)
    module.eval()
    expected = flat(module(*inputs))
    assert torch.equal(flat(copy.deepcopy(module)(*inputs)), expected)
    if "lambda" not in repr(vars(module)):
        assert torch.equal(flat(pickle.loads(pickle.dumps(module))(*inputs)), expected)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    torch.manual_seed(9)
    other = case.build(ours()).to(torch.float64).eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(flat(other(*inputs)), expected)


@every_module
def test_precision_comes_and_goes_without_loss(case: Case) -> None:
    module, inputs = build(case)
    module.eval()
    for parameter in module.parameters():
        parameter.data = parameter.data.float().double()
    for name, buffer in module.state_dict().items():
        if name.startswith("running"):
            buffer.copy_(buffer.float().double())
    expected = flat(module(*inputs))
    through = copy.deepcopy(module).float().double()
    assert torch.equal(flat(through(*inputs)), expected)
    single = flat(module.float()(*[x.float() for x in inputs]))
    assert single.dtype == torch.float32
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    assert not expected.numel() or float((single.double() - expected).abs().max()) < 2e-5 * scale


@every_module
def test_compiled_whole(case: Case) -> None:
    module, inputs = build(case)
    module.eval()
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    with as_users_run_it():
        torch.testing.assert_close(flat(compiled(*inputs)), flat(module(*inputs)), rtol=1e-12, atol=1e-12)


@every_module
def test_exported(case: Case) -> None:
    module, inputs = build(case)
    module.eval()
    with as_users_run_it():
        program = torch.export.export(module, inputs).module()
    torch.testing.assert_close(flat(program(*inputs)), flat(module(*inputs)), rtol=1e-12, atol=1e-12)


@every_module
def test_first_and_second_derivatives(case: Case) -> None:
    if any(mark in case.name for mark in NOT_SMOOTH) or not case.differentiable:
        does_not_apply("not twice differentiable by definition")
    module, inputs = build(case)
    parameters = [p for p in module.parameters() if p.numel()]
    inputs = tuple(x[:1] if x.ndim > 1 and case.subject != "nn.BatchNorm" else x for x in inputs)
    arguments = [x.clone().requires_grad_() for x in inputs] + parameters
    if sum(x.numel() for x in arguments) == 0 or flat(module(*inputs)).numel() == 0:
        does_not_apply("nothing to differentiate")
    running = {name: value.clone() for name, value in module.named_buffers() if "running" in name}

    def function(*values: Tensor) -> Tensor:
        replaced = dict(zip([n for n, p in module.named_parameters() if p.numel()], values[len(inputs) :], strict=True))
        with torch.no_grad():
            for name, value in running.items():
                module.get_buffer(name).copy_(value)  # a running mean moves with every call
        return flat(torch.func.functional_call(module, replaced, values[: len(inputs)]))

    assert torch.autograd.gradcheck(function, arguments, fast_mode=True, atol=1e-6)
    assert torch.autograd.gradgradcheck(function, arguments, fast_mode=True, atol=1e-5)


@every_module
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_singular_inputs_have_finite_derivatives_to_the_third(case: Case, value: float) -> None:
    """All zero; and all vectors equal, so that they are collinear."""
    if not case.differentiable:
        does_not_apply("compared by value only")
    module, inputs = build(case)
    arguments = [torch.full_like(x, value).requires_grad_() for x in inputs]
    current = flat(module(*arguments))
    for order in range(4):
        assert current.isfinite().all(), f"derivative {order}"
        total = (current * torch.linspace(0.5, 1.5, current.numel(), dtype=current.dtype).reshape(current.shape)).sum()
        if not total.requires_grad:
            break
        gradients = torch.autograd.grad(total, arguments, create_graph=True, allow_unused=True)
        found = [g.flatten() for g in gradients if g is not None]
        if not found:
            break
        current = torch.cat(found)


@every_module
def test_nothing_in_nothing_out(case: Case) -> None:
    module, inputs = build(case)
    if case.subject == "nn.BatchNorm":
        module.eval()
    empty = tuple(x[:0] for x in inputs)
    found = module(*empty)
    for part in found if isinstance(found, tuple) else (found,):
        assert part.shape[0] == 0
