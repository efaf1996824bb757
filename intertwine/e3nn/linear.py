"""The linear layer, with e3nn's option of code generation."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

from torch import Tensor

from intertwine.e3nn.errors import at_border
from intertwine.e3nn.settings import setting
from intertwine.o3 import linear


class LinearSlices(NamedTuple):
    """Where the weights of one path of a :class:`Linear` lie, and their shape."""

    slice_1D: slice  # noqa: N815  e3nn's words
    shape_2D: tuple[int, ...]  # noqa: N815


class Linear(linear.Linear):
    """:class:`intertwine.o3.Linear` that takes e3nn's option of code generation as well.

    Args:
        args, kwargs: those of :class:`intertwine.o3.Linear`.
        _optimize_einsums: kept as an attribute.

    Attributes:
        weight_index_slices: for each instruction where its weights lie.
    """

    @at_border
    def __init__(self, *args: Any, _optimize_einsums: bool | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._optimize_einsums = setting("optimize_einsums", _optimize_einsums)
        self._slice()

    def _slice(self) -> None:
        self.weight_index_slices, start = [], 0
        for instruction in self.instructions:
            stop = start + prod(instruction.path_shape)
            self.weight_index_slices.append(LinearSlices(slice(start, stop), instruction.path_shape))
            start = stop

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        super()._rebuild(state)
        self._slice()

    @at_border
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().forward(*args, **kwargs)
