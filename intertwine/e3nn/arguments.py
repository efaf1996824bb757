"""``e3nn.util._argtools``: what a function's arguments transform like, random ones, and their transformation."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from intertwine.o3.irreps import Irreps

CARTESIAN = "cartesian_points"


def is_irreps(obj: Any) -> bool:
    """Whether an object is an Irreps."""
    return isinstance(obj, Irreps)


def transform(
    dat: Sequence[Tensor],
    irreps_dat: Sequence[Any],
    rot_mat: Tensor,
    translation: Any = 0.0,
    output_transform_dtype: bool = False,
) -> list[Tensor]:
    """Act on each tensor by its irreps; points are rotated and moved, and what has None for irreps stays.

    Args:
        dat: tensors (..., dim).
        irreps_dat: for each the Irreps, ``"cartesian_points"``, or None.
        rot_mat: orthogonal matrix (3, 3); the action is computed in its precision.
        translation: (1, 3), in the unit of the points.
        output_transform_dtype: whether the results stay in that precision.
    """
    moved_by = torch.as_tensor(translation, dtype=rot_mat.dtype)
    acted = []
    for irreps, x in zip(irreps_dat, dat):
        if irreps is None:
            acted.append(x.clone())
            continue
        cartesian = isinstance(irreps, str)
        matrix = rot_mat if cartesian else irreps.D_from_matrix(rot_mat)
        y = x.to(rot_mat.dtype) @ matrix.T.to(x.device)
        y = y + moved_by.to(x.device) if cartesian else y
        acted.append(y if output_transform_dtype else y.to(x.dtype))
    return acted


def io_irreps(func: Any, irreps_in: Any = None, irreps_out: Any = None) -> tuple[list[Any], list[Any]]:
    """The irreps of arguments and results, one for each: given, or read off ``func``.

    Raises:
        ValueError: they are not given and ``func`` does not say.
    """
    if irreps_in is None:
        irreps_in = getattr(func, "irreps_in", None)
        if irreps_in is None and hasattr(func, "irreps_in1"):
            irreps_in = [func.irreps_in1, func.irreps_in2]
    if irreps_out is None:
        irreps_out = getattr(func, "irreps_out", None)
    for name, value in (("irreps_in", irreps_in), ("irreps_out", irreps_out)):
        if value is None:
            raise ValueError(f"{func!r} does not say its {name}: give {name}")
    return _each(irreps_in, func), _each(irreps_out, func)


def _each(irreps: Any, func: Any) -> list[Any]:
    if isinstance(irreps, list):
        return [part if part is None or part == CARTESIAN else Irreps(part) for part in irreps]
    if is_irreps(irreps) or irreps == CARTESIAN:
        return [irreps]
    if isinstance(irreps, tuple):
        warnings.warn(f"the irreps of {func!r} are a tuple, read as one Irreps; use a list for several", stacklevel=3)
    return [Irreps(irreps)]


def arguments_in(
    func: Any, args_in: Any = None, irreps_in: Any = None, irreps_out: Any = None
) -> tuple[Any, list[Any], list[Any]]:
    """Arguments, given or random, with the irreps of arguments and results."""
    irreps_in, irreps_out = io_irreps(func, irreps_in, irreps_out)
    args_in = random_arguments(irreps_in) if args_in is None else args_in
    assert len(args_in) == len(irreps_in), f"{len(args_in)} arguments for {len(irreps_in)} irreps"
    return args_in, irreps_in, irreps_out


def random_arguments(irreps_in: Sequence[Any], batch_size: int | None = None) -> list[Tensor]:
    """Standard normal arguments, one to four rows if not said."""
    if any(irreps is None for irreps in irreps_in):
        raise ValueError("an argument without irreps can't be drawn: give args_in")
    rows = random.randint(1, 4) if batch_size is None else batch_size
    return [torch.randn(rows, 3) if isinstance(irreps, str) else irreps.randn(rows, -1) for irreps in irreps_in]


def device_of(mod: nn.Module) -> torch.device:
    """Device of the first parameter, or else buffer; the CPU if it has none."""
    first = next(mod.parameters(), next(mod.buffers(), None))
    return torch.device("cpu") if first is None else first.device


def dtype_of(mod: nn.Module) -> torch.dtype:
    """Precision of the first parameter of floating point, or else buffer; torch's default if it has none."""
    numbers = (x.dtype for x in (*mod.parameters(), *mod.buffers()) if x.is_floating_point())
    return next(numbers, torch.empty(0).dtype)


def moved(args: Any, device: Any = None, dtype: torch.dtype | None = None) -> Any:
    """Tensors, also inside dictionaries, tuples and lists, on another device; those of floating point in another
    precision.
    """
    if isinstance(args, Tensor):
        return args.to(device=device, dtype=dtype if args.is_floating_point() else None)
    if isinstance(args, tuple | list):
        return type(args)(moved(part, device, dtype) for part in args)
    if isinstance(args, dict):
        return {key: moved(part, device, dtype) for key, part in args.items()}
    raise TypeError(f"{type(args).__name__} is neither a tensor nor a dictionary, tuple or list of tensors")
