"""Nested Python values as named tensors and one JSON text, and back, with nothing that could run code."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from intertwine.numerics.errors import CheckpointError

TAG = "$"  # a JSON object with this key is a value that JSON has no word for


def pack(value: Any) -> tuple[dict[str, Tensor], str]:
    """Take a nested value apart.

    Args:
        value: any nesting of dicts (keys: strings, numbers, None), lists, tuples, None, bools, ints, floats, strings,
            tensors, numpy arrays and scalars, ``torch.dtype``. Floats come back with the same bits, tuples as tuples,
            int keys as ints.

    Returns:
        The tensors (contiguous, on the CPU) by number, and the JSON text that refers to them.

    Raises:
        CheckpointError: a value of another type; names where it is.
    """
    tensors: dict[str, Tensor] = {}
    return tensors, json.dumps(_encode(value, tensors, "state"), separators=(",", ":"))


def unpack(tensors: dict[str, Tensor], text: str) -> Any:
    """Put a nested value together again; the inverse of :func:`pack`.

    Raises:
        CheckpointError: the text is not one that :func:`pack` wrote.
    """
    try:
        return _decode(json.loads(text), tensors)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise CheckpointError(f"its description can't be read ({error})", remedy="use another checkpoint.") from error


def _encode(value: Any, tensors: dict[str, Tensor], where: str) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {TAG: "float", "is": value.hex()}
    if isinstance(value, Tensor):
        return {TAG: "tensor", "is": _store(value.detach(), tensors)}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {TAG: "array", "is": _store(torch.from_numpy(np.array(value, order="C", copy=True)), tensors)}
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return {TAG: "scalar", "is": _store(torch.from_numpy(np.array([value])), tensors)}
    if isinstance(value, torch.dtype):
        return {TAG: "dtype", "is": str(value).removeprefix("torch.")}
    if kind is list:
        return [_encode(v, tensors, f"{where}[{k}]") for k, v in enumerate(value)]
    if kind is tuple:
        return {TAG: "tuple", "is": [_encode(v, tensors, f"{where}[{k}]") for k, v in enumerate(value)]}
    if isinstance(value, dict):
        if all(type(key) is str for key in value) and TAG not in value:
            return {key: _encode(v, tensors, f"{where}.{key}") for key, v in value.items()}
        pairs = [
            [_encode(key, tensors, f"key of {where}"), _encode(v, tensors, f"{where}[{key!r}]")]
            for key, v in value.items()
        ]
        return {TAG: "dict", "is": pairs}
    raise CheckpointError(
        f"a {kind.__module__}.{kind.__qualname__} can't be stored",
        where=where,
        remedy="store numbers, strings, tensors, lists and dicts.",
    )


def _store(tensor: Tensor, tensors: dict[str, Tensor]) -> str:
    name = str(len(tensors))
    tensors[name] = tensor.cpu().contiguous().clone()
    return name


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: _decode(v, tensors) for key, v in value.items()}
    content = value["is"]
    match value[TAG]:
        case "float":
            return float.fromhex(content)
        case "tensor":
            return tensors[content]
        case "array":
            return tensors[content].numpy()
        case "scalar":
            return tensors[content].numpy()[0]
        case "dtype":
            dtype = getattr(torch, content)
            if not isinstance(dtype, torch.dtype):
                raise ValueError(f"{content!r} is no dtype")
            return dtype
        case "tuple":
            return tuple(_decode(v, tensors) for v in content)
        case "dict":
            return {_decode(key, tensors): _decode(v, tensors) for key, v in content}
        case tag:
            raise ValueError(f"unknown tag {tag!r}")
