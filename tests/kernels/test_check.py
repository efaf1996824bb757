"""A kernel with one coefficient wrong by 1 % is found on first use, announced once, and replaced by plain torch."""

from __future__ import annotations

import random
import warnings
from dataclasses import replace

import pytest
import torch
from random_plans import D, case_of, convolved, depthwise, derivatives, deviation

from intertwine.kernels.convolution import check, definition, native
from intertwine.kernels.convolution import cpu as backend
from intertwine.kernels.convolution import kernel as backends
from intertwine.kernels.convolution.forms import VALUE, Forms, gradient, second
from intertwine.kernels.convolution.fused import Fused
from intertwine.kernels.convolution.plan import Channelwise, channelwise
from intertwine.kernels.llvm import compile

PLAN = depthwise("1x1o", "1o+2e", 3)
FORM = channelwise(PLAN)
LARGE = channelwise(depthwise("64x0e+64x1o+64x2e+64x3o", "0e+1o+2e+3o", 3))
KINDS = [
    ("gather", VALUE),
    ("scatter", gradient("xyw")),
    ("gather", second("abc", "gxyw")),
    ("scatter", second("abc", "gxyw")),
]
NAMES = ["gather", "scatter", "gather, second order", "scatter, second order"]
CPU = torch.device("cpu")


def entries(form: Channelwise) -> list[tuple[int, int]]:
    return [(t, n) for t, term in enumerate(form.terms) for n in range(len(term.entries))]


def faulty(form: Channelwise, at: tuple[int, int], factor: float = 1.01) -> Channelwise:
    """The plan with one coefficient changed."""
    terms = list(form.terms)
    changed = list(terms[at[0]].entries)
    i, j, k, value = changed[at[1]]
    changed[at[1]] = (i, j, k, factor * value)
    terms[at[0]] = replace(terms[at[0]], entries=tuple(changed))
    return replace(form, terms=tuple(terms))


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch):
    """Writes kernels from a wrong table, with nothing remembered of kernels before."""
    originals = {kind: getattr(backend, f"{kind}_text") for kind in ("gather", "scatter")}
    monkeypatch.setattr(compile, "_folder", lambda: None)

    def seed(at: tuple[int, int] | None, kinds: tuple[str, ...] = ("gather", "scatter"), factor: float = 1.01) -> None:
        backend._kernel.cache_clear()
        monkeypatch.setattr(compile, "_functions", {})
        monkeypatch.setattr(check, "_trust", {})
        for kind, original in originals.items():
            wrong = at is not None and kind in kinds
            write = (
                (lambda form, *rest, original=original: original(faulty(form, at, factor), *rest))
                if wrong
                else original
            )
            monkeypatch.setattr(backend, f"{kind}_text", write)

    yield seed
    backend._kernel.cache_clear()


@pytest.mark.parametrize(("kind", "forms"), KINDS, ids=NAMES)
def test_a_fault_in_any_coefficient_is_found(kind: str, forms: Forms, fault) -> None:
    assert {path.table.shape[2] for path in PLAN.paths} == {1, 3, 5, 7}
    fault(None)
    assert check.deviation(kind, "cpu", FORM, forms, CPU, torch.float32) <= 0.5
    missed = []
    for at in entries(FORM):
        fault(at)
        if check.deviation(kind, "cpu", FORM, forms, CPU, torch.float32) <= 1:
            missed.append(at)
    assert not missed


@pytest.mark.parametrize(("kind", "forms"), KINDS, ids=NAMES)
def test_a_fault_in_a_large_plan_is_found(kind: str, forms: Forms, monkeypatch: pytest.MonkeyPatch) -> None:
    """In many sums the wrong term is one of hundreds. The kernel is played by plain torch with the wrong table."""
    for at in random.Random(0).sample(entries(LARGE), 3):

        def wrong(_, form, *rest, at=at):
            return getattr(definition, kind)(faulty(form, at), rest[0], rest[1], *rest[2], rest[3])

        monkeypatch.setattr(native, kind, wrong)
        assert check.deviation(kind, "cpu", LARGE, forms, CPU, torch.float32) > 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kinds", [("gather",), ("scatter",), ("gather", "scatter")])
def test_one_warning_for_each_kernel_and_the_right_numbers(kinds: tuple[str, ...], dtype: torch.dtype, fault) -> None:
    fault((1, 4), kinds)
    one = case_of(PLAN, 0, dtype=dtype)
    leaves = (one.x, one.y, one.w)
    exact = case_of(PLAN, 0)
    wanted = derivatives(convolved(PLAN, exact.x, exact.y, exact.w, *exact.ends), (exact.x, exact.y, exact.w), 0)
    for repeat in range(3):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            found = derivatives(Fused(PLAN).convolve(*leaves, *one.ends), leaves, 0)
        said = [str(one.message) for one in seen if issubclass(one.category, RuntimeWarning)]
        assert len(said) == (0 if repeat else 2 * len(kinds))  # first and second order
        assert all("on cpu is wrong" in text and "4 paths" in text and str(dtype) in text for text in said)
        assert {kind for kind in ("gather", "scatter") if any(f"'{kind}'" in text for text in said)} == (
            set() if repeat else set(kinds)
        )
        assert all(deviation(value, wanted[name], torch.finfo(dtype).eps) <= 40 for name, value in found.items())


def test_a_kernel_that_gives_nan_is_found(fault) -> None:
    fault((0, 0), factor=float("inf"))
    with pytest.warns(RuntimeWarning, match=r"on cpu is wrong: inf times"):
        assert not check.trusted("gather", "cpu", FORM, VALUE, CPU, D)


def test_a_sound_kernel_is_checked_once(fault, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(None)
    calls = []
    real = check.deviation
    monkeypatch.setattr(check, "deviation", lambda *given: calls.append(given[0]) or real(*given))
    one = case_of(PLAN, 0, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for _ in range(3):
            Fused(PLAN).convolve(one.x, one.y, one.w, *one.ends).sum().backward()
    assert calls == ["gather", "scatter"]


def test_the_rounding_of_correct_kernels_is_far_from_the_bound() -> None:
    """Otherwise a kernel that is right might be refused: sums of hundreds of channels, many paths to a block, both
    precisions.
    """
    for plan in (PLAN, depthwise("130x0e+130x1o", "0e+1o+2e", 2), depthwise("33x2e", "0e+1o+2e", 2, "mul_ir")):
        for kind, forms in KINDS[:2]:
            for dtype in (torch.float32, D):
                assert check.deviation(kind, "cpu", channelwise(plan), forms, CPU, dtype) <= 0.25


def test_backends_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    from intertwine.numerics import InputError

    used: list[str] = []
    for module, name in ((native, "native"), (definition, "plain")):
        real = module.gather
        monkeypatch.setattr(module, "gather", lambda *given, real=real, name=name: used.append(name) or real(*given))
    one = case_of(PLAN, 0, dtype=torch.float32)

    def run() -> torch.Tensor:
        used.clear()
        return Fused(PLAN).convolve(one.x, one.y, one.w, *one.ends)

    assert backends.backend(FORM, CPU, torch.float32) == "cpu"
    wanted = run()
    for forced, expected in (("", "native"), ("auto", "native"), ("cpu", "native"), ("reference", "plain")):
        monkeypatch.setenv("INTERTWINE_KERNELS", forced)
        assert deviation(run(), wanted.double(), torch.finfo(torch.float32).eps) <= 40
        assert used[-1] == expected
    for forced, message in (("gpu", "no kernel of the backend 'gpu'"), ("numba", "unknown backend 'numba'")):
        monkeypatch.setenv("INTERTWINE_KERNELS", forced)
        with pytest.raises(InputError, match=message):
            run()
    monkeypatch.setenv("INTERTWINE_KERNELS", "cpu")
    with pytest.raises(InputError, match=r"no kernel of the backend 'cpu' for torch.float16"):
        backends.backend(FORM, CPU, torch.float16)
