"""Every layer commutes with O(3), and computes the same in both layouts of its features."""

from __future__ import annotations

import inspect
from functools import partial
from types import SimpleNamespace
from typing import Any, is_typeddict

import pytest
import torch
from case_kit import Case, ours
from switches import does_not_apply
from test_modules import MODULES, build
from torch import Tensor

from intertwine.groups import Isometry
from intertwine.o3 import Irreps, join_blocks, split_blocks

EPS = torch.finfo(torch.float64).eps
# test_grids.py: exact for polynomials only
ON_A_GRID = {"o3.ToS2Grid", "o3.FromS2Grid", "nn.S2Activation", "nn.SO3Activation"}
OF_ANGLES = {"o3.SphericalHarmonicsAlphaBeta", "o3.Legendre"}


def representations(module: Any, inputs: tuple[Any, ...]) -> tuple[list[Irreps | None], list[Irreps]]:
    """Representations of the arguments (None for weights) and of the outputs."""
    if hasattr(module, "irreps_in1") and len(inputs) > 1:
        return [module.irreps_in1, module.irreps_in2, None][: len(inputs)], [module.irreps_out]
    if hasattr(module, "irreps_outs"):
        return [module.irreps_in], list(module.irreps_outs)
    irreps_in = getattr(module, "irreps_in", None) or getattr(module, "irreps", None)
    if irreps_in is None and hasattr(module, "irreps_out"):
        irreps_in = Irreps("1o") if "Harmonics" in type(module).__name__ else module.irreps_in1
    if isinstance(irreps_in, list | tuple) and not isinstance(irreps_in, Irreps):
        return list(irreps_in), [module.irreps_out]
    if irreps_in is None:
        return [Irreps(f"{x.shape[-1]}x0e") for x in inputs], [Irreps("0e")]
    return [Irreps(irreps_in)], [Irreps(getattr(module, "irreps_out", irreps_in))]


def outputs(module: Any, arguments: list[Tensor]) -> tuple[Tensor, ...]:
    torch.manual_seed(1)
    found = module(*arguments)
    return found if isinstance(found, tuple) else (found,)


EQUIVARIANT = [
    case
    for case in MODULES
    if case.subject not in ON_A_GRID | OF_ANGLES | {"nn.FullyConnectedNet", "math.normalize2mom"}
]


@pytest.mark.parametrize("improper", [False, True], ids=["rotation", "reflection"])
@pytest.mark.parametrize("case", EQUIVARIANT, ids=lambda case: case.name)
def test_commutes_with_the_group(case: Case, improper: bool) -> None:
    module, inputs = build(case)
    arguments, results = representations(module, inputs)
    q = Isometry.random(3, generator=torch.Generator().manual_seed(7), improper=improper).rotation
    moved = [x if irreps is None else irreps.transform(q, x) for x, irreps in zip(inputs, arguments, strict=True)]
    for before, after, irreps in zip(outputs(module, list(inputs)), outputs(module, moved), results, strict=True):
        assert before.shape[-1] == irreps.dim
        if before.numel():
            error = (after - irreps.transform(q, before)).abs().max()
            assert float(error) <= 500 * EPS * max(float(before.detach().square().mean().sqrt()), 1e-3)


def with_layout() -> SimpleNamespace:
    """Our namespace, where every class that knows layouts is built for ``ir_mul``."""
    space = ours()

    def turned(module: Any) -> SimpleNamespace:
        found = {}
        for name in dir(module):
            entry = getattr(module, name)
            known = (
                inspect.isclass(entry) and not is_typeddict(entry) and "layout" in inspect.signature(entry).parameters
            )
            found[name] = partial(entry, layout="ir_mul") if known else entry
        return SimpleNamespace(**found)

    return SimpleNamespace(o3=turned(space.o3), nn=turned(space.nn), io=space.io, math=space.math)


@pytest.mark.parametrize("case", EQUIVARIANT, ids=lambda case: case.name)
def test_both_layouts_compute_the_same(case: Case) -> None:
    reference, inputs = build(case)
    if "layout" not in inspect.signature(type(reference)).parameters:
        does_not_apply("no channels, no layout")
    torch.manual_seed(0)
    module = case.build(with_layout()).to(torch.float64).train(case.train)
    module.load_state_dict(reference.state_dict())
    arguments, results = representations(reference, inputs)
    turned = [x if irreps is None else relaid(x, irreps) for x, irreps in zip(inputs, arguments, strict=True)]
    for expected, found, irreps in zip(outputs(reference, list(inputs)), outputs(module, turned), results, strict=True):
        torch.testing.assert_close(found, relaid(expected, irreps), rtol=1e-12, atol=1e-12)


def relaid(x: Tensor, irreps: Irreps) -> Tensor:
    return join_blocks(split_blocks(x, irreps), "ir_mul") if len(irreps) else x
