"""The products of ``e3nn.o3.experimental``: those of :mod:`intertwine.o3` with sorted outputs."""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose
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

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        FullTensorProductv2.__init__(
            self, state["irreps_in1"], state["irreps_in2"], regroup_output=False, **_options(state)
        )


def _options(state: Mapping[str, Any]) -> dict[str, Any]:
    """The filter and the normalisation of one of e3nn's products, which keeps irreps and tables of
    coefficients only.
    """
    tables = {name: float(buffer.norm()) for name, buffer in state["_buffers"].items() if name.startswith("cg_")}
    for rule in ("component", "norm", "none"):
        if all(isclose(norm, _norm(name, rule), rel_tol=1e-4) for name, norm in tables.items()):
            return {"filter_ir_out": sorted({ir for _, ir in state["irreps_out"]}), "irrep_normalization": rule}
    raise InputError("its coefficients have no known normalisation", where="experimental")


def _norm(name: str, rule: str) -> float:
    """That of e3nn's table of coefficients of three degrees."""
    l1, l2, l3 = map(int, name.removeprefix("cg_").split("_"))
    return {"component": 2 * l3 + 1, "norm": (2 * l1 + 1) * (2 * l2 + 1), "none": 1}[rule] ** 0.5


class ElementwiseTensorProductv2(TensorProduct):
    """Channel by channel; the output is sorted."""

    @at_border
    def __init__(
        self, irreps_in1: Any, irreps_in2: Any, *, filter_ir_out: Any = None, irrep_normalization: str = "component"
    ) -> None:
        first, second = Irreps(irreps_in1), Irreps(irreps_in2)
        if first.num_irreps != second.num_irreps:
            raise InputError(
                f"{first} and {second} differ in their number of irreps", where="ElementwiseTensorProductv2"
            )
        aligned = ElementwiseTensorProduct(first, second, filter_ir_out, irrep_normalization)
        out, place, _ = aligned.irreps_out.sort()
        paths = [(i1, i2, place[io], mode, False) for i1, i2, io, mode, *_ in aligned.instructions]
        super().__init__(aligned.irreps_in1, aligned.irreps_in2, out, paths, irrep_normalization=irrep_normalization)
        ignore_keys(self, _THEIRS)

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        ElementwiseTensorProductv2.__init__(self, state["irreps_in1"], state["irreps_in2"], **_options(state))
