"""The products of ``e3nn.o3.experimental``: those of :mod:`intertwine.o3` with sorted outputs."""

from __future__ import annotations

from typing import Any

from intertwine.e3nn.errors import at_border
from intertwine.e3nn.layers import FullTensorProduct
from intertwine.numerics import InputError, ignore_keys
from intertwine.o3.irreps import Irreps
from intertwine.o3.products import ElementwiseTensorProduct
from intertwine.o3.tensor_product import TensorProduct

_THEIRS = [r"cg_\d+_\d+_\d+"]


class FullTensorProductv2(FullTensorProduct):
    """Every irrep of x with every irrep of y; the inputs are taken for regrouped if ``regroup_output``."""

    def __init__(
        self,
        irreps_in1: Any,
        irreps_in2: Any,
        *,
        filter_ir_out: Any = None,
        irrep_normalization: str = "component",
        regroup_output: bool = True,
    ) -> None:
        first, second = Irreps(irreps_in1), Irreps(irreps_in2)
        if regroup_output:
            first, second = first.regroup(), second.regroup()
        super().__init__(first, second, filter_ir_out, irrep_normalization)
        ignore_keys(self, _THEIRS)


class ElementwiseTensorProductv2(TensorProduct):
    """Channel by channel; the output is sorted."""

    @at_border
    def __init__(self, irreps_in1: Any, irreps_in2: Any, *, filter_ir_out: Any = None, irrep_normalization: str = "component") -> None:
        first, second = Irreps(irreps_in1), Irreps(irreps_in2)
        if first.num_irreps != second.num_irreps:
            raise InputError(f"{first} and {second} differ in their number of irreps", where="ElementwiseTensorProductv2")
        aligned = ElementwiseTensorProduct(first, second, filter_ir_out, irrep_normalization)
        out, place, _ = aligned.irreps_out.sort()
        paths = [(i1, i2, place[io], mode, False) for i1, i2, io, mode, *_ in aligned.instructions]
        super().__init__(aligned.irreps_in1, aligned.irreps_in2, out, paths, irrep_normalization=irrep_normalization)
        ignore_keys(self, _THEIRS)
