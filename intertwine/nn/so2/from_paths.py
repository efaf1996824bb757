r"""From the path weights of a tensor product with harmonics to the weights of its SO(2) form: a fixed linear map.

On the polar axis :math:`Y^{l_2}_m(e_y) = c_{l_2} \delta_{m0}`, so that a path of weight w and factor f adds
:math:`w f c_{l_2} C^{l_1 l_2 l_3}_{-m, 0, -m}` to :math:`a_m` if :math:`l_1 + l_2 + l_3` is even, and
:math:`w f c_{l_2} C^{l_1 l_2 l_3}_{m, 0, -m}` to :math:`b_m` if it is odd. With all :math:`l_2` from
:math:`|l_1 - l_3|` to :math:`l_1 + l_3` the map is one to one: the SO(2) form is no approximation, but another basis of
the same maps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.nn.so2.convolution import SO2Convolution
from intertwine.nn.so2.linear import SO2Linear
from intertwine.numerics import ExactBuffers, InputError, choose
from intertwine.o3 import Instruction, TensorProduct, coupling

_LENGTHS = {
    "component": lambda l: (2 * l + 1) ** 0.5,
    "norm": lambda l: 1.0,
    "integral": lambda l: ((2 * l + 1) / (4 * np.pi)) ** 0.5,
}


class PathsToSO2(ExactBuffers):
    r"""The map of the module's docstring, for one tensor product.

    Args:
        product: of features with the harmonics of a vector: the second representation has one copy of each of its
            degrees, of parity :math:`(-1)^l`; paths are ``uvu`` with weights for each sample.
        normalization: of the harmonics: "component", "norm" or "integral".
        dtype, device: of the constants; None is torch's default.

    Attributes:
        paths_numel, weight_numel: number of weights before and after.

    Raises:
        InputError: a product of another kind.

    The product with harmonics and its SO(2) form:

    >>> from intertwine.o3 import spherical_harmonics
    >>> paths = [(0, 0, 0, "uvu", True), (0, 1, 1, "uvu", True)]
    >>> product = TensorProduct("4x0e+4x1o", "0e+1o", "4x0e+4x1o", paths, shared_weights=False)
    >>> to_so2 = PathsToSO2(product)
    >>> x, r, w = torch.randn(1, 16), torch.randn(1, 3), torch.randn(1, 8)
    >>> there = product(x, spherical_harmonics([0, 1], r, True, "component"), w)
    >>> here = to_so2.convolution(layout="mul_ir")(x, r, torch.zeros(2, 1, dtype=torch.int64), to_so2(w))
    >>> torch.allclose(there, here, atol=1e-5)
    True
    """

    place: Tensor
    path: Tensor
    value: Tensor

    def __init__(
        self,
        product: TensorProduct,
        normalization: str = "component",
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        choose(normalization, _LENGTHS, kind="normalization", where="PathsToSO2")
        _require_uvu(product)
        self.irreps_in, self.irreps_out, self.paths_numel = product.irreps_in1, product.irreps_out, product.weight_numel
        maps = SO2Linear(self.irreps_in, self.irreps_out, mode="uvu")
        self.weight_numel = maps.weight_numel
        starts = np.cumsum([0, *[path.path_shape[0] for path in product.instructions]])
        rows, columns, values = [], [], []
        for slot in maps.slots:
            places = slot.start + np.arange(slot.numel).reshape(slot.shape)
            for number, path in enumerate(product.instructions):
                value = _coefficient(product, path, slot.order, slot.kind, _LENGTHS[normalization])
                if value and path.i_in1 in slot.inputs and path.i_out in slot.outputs:
                    place = places[slot.outputs.index(path.i_out), slot.inputs.index(path.i_in1)]
                    rows.append(place)
                    columns.append(starts[number] + np.arange(slot.shape[2]))
                    values.append(np.full(slot.shape[2], value / maps.factors[path.i_out]))
        empty = [np.zeros(0, dtype=np.int64)]
        self.register_exact("place", np.concatenate(rows or empty), device=device)
        self.register_exact("path", np.concatenate(columns or empty), device=device)
        self.register_exact("value", np.concatenate(values or [np.zeros(0)]), dtype, device)

    def extra_repr(self) -> str:
        return f"{self.paths_numel} -> {self.weight_numel} weights"

    def forward(self, weight: Float[Tensor, "*batch paths"]) -> Float[Tensor, "*batch weights"]:
        """Weights of :class:`SO2Convolution` in mode uvu.

        To save the map at every call, apply it once to the last layer of the radial network: to the rows of W^T in w =
        W h.

        Args:
            weight: (..., product.weight_numel), in the order of the product's paths.
        """
        if weight.shape[-1:] != (self.paths_numel,):
            raise InputError(
                f"the shape is {tuple(weight.shape)}",
                where="weight",
                remedy=f"the product has {self.paths_numel} weights.",
            )
        zeros = weight.new_zeros(*weight.shape[:-1], self.weight_numel)
        return zeros.index_add(-1, self.place, weight.index_select(-1, self.path) * self.value)

    def convolution(
        self, *, layout: str = "ir_mul", dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> SO2Convolution:
        """The layer that computes the product's convolution from the weights of :meth:`forward`."""
        return SO2Convolution(self.irreps_in, self.irreps_out, mode="uvu", layout=layout, dtype=dtype, device=device)


def _coefficient(product: TensorProduct, path: Instruction, m: int, kind: str, length: Callable[[int], float]) -> float:
    """What a weight 1 of the path adds to a_m or b_m."""
    l1, l2, l3 = (
        product.irreps_in1[path.i_in1].ir.l,
        product.irreps_in2[path.i_in2].ir.l,
        product.irreps_out[path.i_out].ir.l,
    )
    if m > min(l1, l3) or ((l1 + l2 + l3) % 2 == 0) != (kind == "even"):
        return 0.0
    return path.path_weight * length(l2) * float(coupling(l1, l2, l3)[l1 + (-m if kind == "even" else m), l2, l3 - m])


def _require_uvu(product: TensorProduct) -> None:
    harmonics = product.irreps_in2
    if any(mul != 1 or ir.p != (-1) ** ir.l for mul, ir in harmonics) or len(set(harmonics.ls)) != len(harmonics):
        raise InputError(
            f"{harmonics} are not the harmonics of one vector",
            where="irreps_in2",
            remedy="one copy of each degree, of parity (-1)^l.",
        )
    others = [path for path in product.instructions if path.connection_mode != "uvu" or not path.has_weight]
    if others or product.shared_weights:
        raise InputError(
            "the product has paths without weights, shared weights or other modes than uvu",
            where="product",
            remedy="use uvu with weights.",
        )
