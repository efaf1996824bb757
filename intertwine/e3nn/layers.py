"""The tensor products, with e3nn's options of code generation."""

from __future__ import annotations

import warnings
from typing import Any, cast

from torch import Tensor

from intertwine.e3nn.errors import at_border
from intertwine.e3nn.settings import setting
from intertwine.o3 import products, tensor_product


class TensorProduct(tensor_product.TensorProduct):
    """:class:`intertwine.o3.TensorProduct` that takes e3nn's options of code generation as well.

    Args:
        args, kwargs: those of :class:`intertwine.o3.TensorProduct`.
        compile_left_right, compile_right: ignored: ``forward`` and ``right`` are always there.
        normalization: e3nn's older word for ``irrep_normalization``.
        _specialized_code, _optimize_einsums: kept as attributes.
    """

    @at_border
    def __init__(
        self,
        *args: Any,
        compile_left_right: bool = True,
        compile_right: bool = False,
        normalization: str | None = None,
        _specialized_code: bool | None = None,
        _optimize_einsums: bool | None = None,
        **kwargs: Any,
    ) -> None:
        if normalization is not None:
            warnings.warn("`normalization` is deprecated: say `irrep_normalization`", DeprecationWarning, stacklevel=3)
            kwargs["irrep_normalization"] = normalization
        super().__init__(*args, **kwargs)
        self._specialized_code = setting("specialized_code", _specialized_code)
        self._optimize_einsums = setting("optimize_einsums", _optimize_einsums)

    @at_border
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().forward(*args, **kwargs)

    @at_border
    def right(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().right(*args, **kwargs)

    def visualize(
        self, weight: Tensor | None = None, plot_weight: bool = True, aspect_ratio: Any = 1, ax: Any = None
    ) -> tuple[Any, Any]:
        """The figure and axes of :func:`intertwine.plots.paths`, drawn on ``ax`` if given; the other arguments shape
        e3nn's picture.
        """
        from intertwine.plots import paths

        figure = paths(cast(Any, self), axes=ax)
        return figure, ax if ax is not None else figure.axes[0]


class FullyConnectedTensorProduct(TensorProduct, products.FullyConnectedTensorProduct):
    """:class:`intertwine.o3.FullyConnectedTensorProduct`, with the options of :class:`TensorProduct`."""


class ElementwiseTensorProduct(TensorProduct, products.ElementwiseTensorProduct):
    """:class:`intertwine.o3.ElementwiseTensorProduct`, with the options of :class:`TensorProduct`."""


class FullTensorProduct(TensorProduct, products.FullTensorProduct):
    """:class:`intertwine.o3.FullTensorProduct`, with the options of :class:`TensorProduct`."""


class TensorSquare(TensorProduct, products.TensorSquare):
    """:class:`intertwine.o3.TensorSquare`, with the options of :class:`TensorProduct`."""
