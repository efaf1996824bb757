"""Precisions and modes of torch: autocast, half precision, inference, meta tensors, a default device; and copies of the
object.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import pytest
import torch
from random_plans import D, case_of, convolved, depthwise, deviation
from switches import as_users_run_it

from intertwine.kernels.convolution import check
from intertwine.kernels.convolution.fused import Fused
from intertwine.numerics import InputError

PLAN = depthwise("3x0e+2x1o", "0e+1o", 1)
FUSED = Fused(PLAN)


@pytest.fixture(autouse=True)
def _as_users_run_it() -> Iterator[None]:
    with as_users_run_it():
        yield


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_a_way_to_store_numbers(half: torch.dtype) -> None:
    """The error is that of rounding the result once: half an eps of the number itself."""
    one = case_of(PLAN, 0, dtype=half)
    z = FUSED.convolve(one.x, one.y, one.w, *one.ends)
    wanted = convolved(PLAN, *(t.detach().to(D) for t in (one.x, one.y, one.w)), *one.ends)
    assert z.dtype == half
    assert ((z.to(D) - wanted).abs() <= 0.51 * torch.finfo(half).eps * wanted.abs() + 1e-5).all()
    slopes = torch.autograd.grad(z.sum(), (one.x, one.y, one.w))
    assert all(slope.dtype == half and slope.isfinite().all() for slope in slopes)


def test_autocast_takes_the_widest_precision() -> None:
    one = case_of(PLAN, 0, dtype=torch.float32)
    narrow = one.x.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = FUSED.convolve(narrow, one.y, one.w, *one.ends)
        plain = FUSED.convolve(one.x, one.y, one.w, *one.ends)
    assert mixed.dtype == plain.dtype == torch.float32
    assert torch.equal(mixed, FUSED.convolve(narrow.float(), one.y, one.w, *one.ends))
    assert torch.equal(plain, FUSED.convolve(one.x, one.y, one.w, *one.ends))
    assert torch.autograd.grad(mixed.sum(), narrow)[0].dtype == torch.bfloat16
    with pytest.raises(InputError, match="cast them to one precision"):
        FUSED.convolve(narrow, one.y, one.w, *one.ends)


def test_inference_mode_and_no_grad() -> None:
    one = case_of(PLAN, 0)
    wanted = FUSED.convolve(one.x, one.y, one.w, *one.ends)
    assert wanted.requires_grad
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            z = FUSED.convolve(one.x, one.y, one.w, *one.ends)
        assert torch.equal(z, wanted)
        assert not z.requires_grad


def test_shapes_on_meta_tensors() -> None:
    one = case_of(PLAN, 0, dtype=torch.float32)
    given = [t.detach().to("meta").requires_grad_() for t in (one.x, one.y, one.w)]
    z = FUSED.convolve(*given, one.source.to("meta"), one.destination.to("meta"), 7)
    assert (z.shape, z.device.type, z.dtype) == ((7, PLAN.out.dim), "meta", torch.float32)
    first = torch.autograd.grad(z.sum(), given, create_graph=True)
    second = torch.autograd.grad(sum(t.square().sum() for t in first), given)
    assert [t.shape for t in first] == [t.shape for t in second] == [t.shape for t in given]


def test_the_default_device_and_precision_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not on first use, when the kernel is checked."""
    one = case_of(PLAN, 0)
    wanted = FUSED.convolve(one.x, one.y, one.w, *one.ends)
    monkeypatch.setattr(check, "_trust", {})
    with torch.device("meta"):
        z = FUSED.convolve(one.x, one.y, one.w, *one.ends)
        slope = torch.autograd.grad(z.sum(), one.x)[0]
    assert torch.equal(z, wanted)
    assert slope.device.type == "cpu"
    monkeypatch.setattr(check, "_trust", {})
    monkeypatch.setenv("INTERTWINE_KERNELS", "reference")
    with torch.device("meta"):
        plain = FUSED.convolve(one.x, one.y, one.w, *one.ends)
    assert deviation(plain, wanted, torch.finfo(D).eps) <= 50


def test_copies_and_pickles() -> None:
    one = case_of(PLAN, 0)
    wanted = FUSED.convolve(one.x, one.y, one.w, *one.ends)
    for fused in (copy.deepcopy(FUSED), pickle.loads(pickle.dumps(FUSED)), Fused(pickle.loads(pickle.dumps(PLAN)))):
        assert torch.equal(fused.convolve(one.x, one.y, one.w, *one.ends), wanted)


def test_a_plan_that_mixes_channels_is_refused() -> None:
    from intertwine.kernels import Operand, Plan, Table

    one = Table.of(torch.ones(1, 1, 1).numpy())
    for mode, muls in (
        ("uvw", (2, 1, 3)),
        ("uvuv", (2, 2, 4)),
        ("uvv", (2, 3, 3)),
        ("uuu", (2, 2, 2)),
        ("uvu<v", (3, 3, 3)),
    ):
        plan = Plan.of(*(Operand.of([(mul, 1)]) for mul in muls), [(0, 0, 0, mode, True, 1.0, one)])
        assert not Fused.supports(plan)
        with pytest.raises(InputError, match="mixes channels"):
            Fused(plan)
    assert Fused.supports(PLAN)
