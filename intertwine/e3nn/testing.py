"""``e3nn.util.test``: random irreps, equivariance, normalisation, compilation."""

from __future__ import annotations

import itertools
import logging
import math
import random
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from intertwine.e3nn.arguments import CARTESIAN, arguments_in, io_irreps, random_arguments, transform
from intertwine.e3nn.jit import compile_module, get_compile_mode, get_tracing_inputs
from intertwine.e3nn.settings import get_optimization_defaults, set_optimization_defaults
from intertwine.groups.rotations import rand_matrix
from intertwine.o3.irreps import Irreps

logger = logging.getLogger("e3nn.util.test")  # the name under which programs set its level
FLOAT_TOLERANCE = {
    dtype: torch.tensor(value, dtype=dtype) for dtype, value in ((torch.float32, 1e-3), (torch.float64, 1e-9))
}
Errors = dict[tuple[int, bool], Tensor]


def set_random_seeds() -> None:
    """Seed torch, Python and numpy with 0."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)


def random_irreps(
    n: int = 1,
    lmax: int = 4,
    mul_min: int = 0,
    mul_max: int = 5,
    len_min: int = 0,
    len_max: int = 4,
    clean: bool = False,
    allow_empty: bool = True,
) -> Any:
    """``n`` random irreps (one, or a list), as Irreps if ``clean``, else as Irreps, a string or a list of pairs."""
    assert n >= 1
    assert lmax >= 0
    assert 0 <= mul_min <= mul_max
    len_min = len_min if allow_empty else max(len_min, 1)
    assert 0 <= len_min <= len_max
    drawn = [_random_irreps(lmax, mul_min, mul_max, len_min, len_max, clean, allow_empty) for _ in range(n)]
    return drawn[0] if n == 1 else drawn


def _random_irreps(
    lmax: int, mul_min: int, mul_max: int, len_min: int, len_max: int, clean: bool, allow_empty: bool
) -> Any:
    length = random.randint(len_min, len_max)
    blocks = [
        (random.randint(mul_min, mul_max), (random.randint(0, lmax), random.choice((1, -1)))) for _ in range(length)
    ]
    if not allow_empty and not any(mul for mul, _ in blocks):
        blocks[-1] = (random.randint(1, mul_max), blocks[-1][1])
    kind = "irreps" if clean else random.choice(("irreps", "str", "list"))
    irreps = Irreps(blocks)
    return {"irreps": irreps, "str": str(irreps), "list": blocks}[kind]


def format_equivariance_error(errors: Errors) -> str:
    """One line for each case of :func:`equivariance_error`."""
    return "\n".join(
        f"(parity_k={int(parity)}, did_translate={bool(moved)}) -> "
        f"max error={error.max():.3e} in argument {int(error.argmax())}"
        for (parity, moved), error in errors.items()
    )


def assert_equivariant(
    func: Callable[..., Any],
    args_in: Any = None,
    irreps_in: Any = None,
    irreps_out: Any = None,
    tolerance: Any = None,
    **kwargs: Any,
) -> Errors:
    """Assert that the errors of :func:`equivariance_error` are at most ``tolerance`` (the one of torch's default
    precision).
    """
    __tracebackhide__ = True
    args_in, irreps_in, irreps_out = arguments_in(func, args_in, irreps_in, irreps_out)
    errors = equivariance_error(func, args_in, irreps_in, irreps_out, **kwargs)
    logger.info("equivariance of %s:\n%s", getattr(func, "__name__", func), format_equivariance_error(errors))
    tolerance = FLOAT_TOLERANCE[torch.empty(0).dtype] if tolerance is None else tolerance
    broken = {case: error for case, error in errors.items() if not error.max() <= tolerance}
    assert not broken, f"not equivariant to {float(tolerance):.1e}:\n{format_equivariance_error(broken)}"
    return errors


def equivariance_error(
    func: Callable[..., Any],
    args_in: Sequence[Tensor],
    irreps_in: Any = None,
    irreps_out: Any = None,
    ntrials: int = 1,
    do_parity: bool = True,
    do_translation: bool = True,
    transform_dtype: torch.dtype = torch.float64,
) -> Errors:
    r"""Largest :math:`|f(g x) - g f(x)|` for each result, over random g.

    Args:
        func: of tensors, to a tensor or several.
        args_in: its arguments.
        irreps_in, irreps_out: for each, Irreps, ``"cartesian_points"`` (rotated and moved) or None (left alone); read
            off ``func`` if not given.
        ntrials: number of rotations for each case.
        do_parity: with the inversion also.
        do_translation: with translations also, if an argument is points.
        transform_dtype: precision of g.

    Returns:
        (parity 0 or 1, translated) -> errors, one for each result, in torch's default precision.
    """
    irreps_in, irreps_out = io_irreps(func, irreps_in, irreps_out)
    moves = [False, True] if do_translation and CARTESIAN in irreps_in else [False]
    cases = list(itertools.product([0, 1] if do_parity else [0], moves))
    worst: Errors = {}
    for _, (parity, move) in itertools.product(range(ntrials), cases):
        matrix = rand_matrix(dtype=transform_dtype) * (-1) ** parity
        shift = 10 * torch.randn(1, 3, dtype=transform_dtype) if move else 0.0
        first = _results(func(*transform(args_in, irreps_in, matrix, shift)))
        second = _results(func(*args_in))
        assert len(first) == len(second) == len(irreps_out), f"{len(first)} results for {len(irreps_out)} irreps"
        second = transform(second, irreps_out, matrix, shift, output_transform_dtype=True)
        error = torch.stack([(a.to(transform_dtype) - b).abs().max() for a, b in zip(first, second)])
        worst[parity, move] = torch.maximum(error, worst.get((parity, move), error))
    return {case: error.to(torch.empty(0).dtype) for case, error in worst.items()}


def _results(value: Any) -> list[Tensor]:
    if not isinstance(value, Tensor | list | tuple):
        raise TypeError(f"a result of type {type(value).__name__} is neither a tensor nor a list of tensors")
    return [x.detach() for x in ([value] if isinstance(value, Tensor) else value)]


def assert_auto_jitable(
    func: nn.Module, error_on_warnings: bool = True, n_trace_checks: int = 2, strict_shapes: bool = True
) -> Any:
    """Compile a module to TorchScript by its mode, check that inputs of a wrong last dimension are refused, and return
    it.
    """
    __tracebackhide__ = True
    if get_compile_mode(func) is None and not isinstance(func, torch.jit.ScriptModule):
        raise ValueError(f"{type(func).__name__} has no compile mode")
    with warnings.catch_warnings():
        if error_on_warnings:
            warnings.filterwarnings("error", category=torch.jit.TracerWarning)
        compiled = compile_module(func, n_trace_checks=n_trace_checks)
    says_irreps = hasattr(func, "irreps_in") or hasattr(func, "irreps_in1")
    if strict_shapes and says_irreps and not hasattr(func, "_make_tracing_inputs"):
        for method, inputs in get_tracing_inputs(func)[0].items():
            _assert_refuses(getattr(compiled, method), list(inputs))
    return compiled


def _assert_refuses(method: Callable[..., Any], inputs: list[Tensor]) -> None:
    wrong = random.randint(0, len(inputs) - 1)
    inputs[wrong] = inputs[wrong][..., : -random.randint(1, 3)]
    try:
        method(*inputs)
    except (torch.jit.Error, RuntimeError, ValueError):  # type: ignore[misc]
        return
    raise AssertionError("the compiled module took an input of the wrong shape")


def assert_torch_compile(compile_mode: str, func: Callable[[], nn.Module], *args: Any, **kwargs: Any) -> Any:
    """Build a module with ``jit_mode=compile_mode``, compile it with ``torch.compile(fullgraph=True)``, call it, and
    return it.
    """
    before = get_optimization_defaults()["jit_mode"]
    set_optimization_defaults(jit_mode=compile_mode)
    try:
        torch._dynamo.reset()
        compiled = torch.compile(func(), fullgraph=True)
        compiled(*args, **kwargs)
    finally:
        set_optimization_defaults(jit_mode=before)
    return compiled


def assert_normalized(
    func: Any,
    irreps_in: Any = None,
    irreps_out: Any = None,
    normalization: str = "component",
    n_input: int = 10_000,
    n_weight: int | None = None,
    weights: Iterable[nn.Parameter] | None = None,
    atol: float = 0.1,
) -> None:
    """Assert that random inputs and weights give results whose components have mean square 1 ("component") or norms 1
    ("norm").

    Args:
        func: a module or function.
        irreps_in, irreps_out: as in :func:`equivariance_error`.
        normalization: of inputs and results.
        n_input: number of inputs for each draw of the weights.
        n_weight: number of draws, 20 by default.
        weights: what to draw; by default all parameters.
        atol: tolerance of the mean squares.
    """
    __tracebackhide__ = True
    if normalization not in ("component", "norm"):
        raise ValueError(f"unknown normalization {normalization!r}: use component or norm")
    irreps_in, irreps_out = io_irreps(func, irreps_in, irreps_out)
    if not any(irreps.num_irreps for irreps in irreps_in) or not any(irreps.num_irreps for irreps in irreps_out):
        return
    weights = list(func.parameters() if weights is None and isinstance(func, nn.Module) else weights or ())
    assert weights or n_weight in (None, 1), "there are no weights to draw"
    draws = (20 if n_weight is None else n_weight) if weights else 1
    squares = _mean_squares(func, irreps_in, irreps_out, normalization, n_input, draws, weights)
    for square, irreps in zip(squares, irreps_out):
        for (mul, ir), part in zip(irreps, irreps.slices()):
            wanted = 1.0 if normalization == "component" else 1 / math.sqrt(ir.dim)
            error = (square[part] - wanted).abs().max().item() if mul else 0.0
            assert error <= atol, f"mean square of {mul}x{ir}: {error:.6f} away from {wanted:.6f}"


@torch.no_grad()
def _mean_squares(
    func: Any,
    irreps_in: list[Irreps],
    irreps_out: list[Irreps],
    normalization: str,
    rows: int,
    draws: int,
    weights: list[nn.Parameter],
) -> list[Tensor]:
    totals = [torch.zeros(irreps.dim) for irreps in irreps_out]
    for _ in range(draws):
        for weight in weights:
            weight.normal_()
        inputs = random_arguments(irreps_in, rows)
        if normalization == "norm":
            for irreps, x in zip(irreps_in, inputs):
                for (_, ir), part in zip(irreps, irreps.slices()):
                    x[:, part] /= math.sqrt(ir.dim)
        for total, result in zip(totals, _results(func(*inputs))):
            total += result.square().mean(0) / draws
    return totals
