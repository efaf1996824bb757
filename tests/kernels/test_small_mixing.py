"""Small products of matrices, and the linear layers that are made of them."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from switches import as_users_run_it

from intertwine.kernels.linear import cpu as small_products
from intertwine.kernels.linear import kernel as small_mixing
from intertwine.kernels.linear.cpu import SIZE_AT_CALL, Table, Task
from intertwine.kernels.linear.kernel import SmallMixing, deviation
from intertwine.kernels.llvm.compile import compiled
from intertwine.numerics import InputError
from intertwine.o3 import Linear

D = torch.float64


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("dtype", [torch.float32, D])
def test_every_width_of_vectors(width, dtype, generator) -> None:
    """Processors have vectors of 16 to 64 bytes: tiles that are whole, cut off, and not there at all."""
    name = {torch.float32: "float32", D: "float64"}[dtype]
    for samples, depth, columns, dim in [
        (0, 3, 3, 1),
        (1, 1, 1, 1),
        (7, 5, 3, 3),
        (6, 33, 67, 1),
        (9, 2, 32, 5),
        (4, 16, 16, 1),
    ]:
        sizes = (samples, dim, depth), (depth, columns), (samples, dim, columns)
        x, w, g = (torch.randn(size, generator=generator, dtype=D).to(dtype) for size in sizes)
        product = Task(
            0,
            0,
            0,
            SIZE_AT_CALL,
            columns,
            depth,
            1,
            dim,
            dim * depth,
            dim * columns,
            1,
            columns,
            0,
            0,
            depth,
            columns,
            0,
        )
        total = Task(
            0,
            0,
            0,
            depth,
            columns,
            SIZE_AT_CALL,
            dim,
            1,
            1,
            columns,
            dim * depth,
            dim * columns,
            depth,
            columns,
            0,
            0,
            1,
        )
        before = torch.randn(depth, columns, generator=generator, dtype=D).to(dtype)
        summed = before + 0.5 * torch.einsum("ziu,ziw->uw", x.double(), g.double())
        cases = [
            (product, x, w, torch.full_like(g, torch.nan), 0.5 * (x.double() @ w.double())),
            (total, x, g, before.clone(), summed),
        ]
        for task, a, b, c, expected in cases:
            table = Table([task], [0.5], dtype)
            table.function = compiled(
                "a width", f"test {name} {width}", lambda name=name: small_products.text(name, width)
            )
            table(samples, a, b, c)
            torch.testing.assert_close(c.double(), expected, rtol=0, atol=300 * torch.finfo(dtype).eps)


def test_nothing_beside_the_result_is_written(generator) -> None:
    layer = Linear("5x0e + 3x1o", "7x0e + 2x1o", layout="ir_mul", dtype=D)
    kernels = SmallMixing(layer._mixing, D)
    memory = torch.full((4 + 2, 13), torch.nan, dtype=D)
    table, x = kernels._forwards, torch.randn(4, 14, generator=generator, dtype=D)
    table(4, x, layer.weight.detach(), memory[1:5])
    assert memory[[0, 5]].isnan().all()
    assert not memory[1:5].isnan().any()


def test_strided_and_negated_arguments(generator) -> None:
    layer = Linear("5x0e + 3x1o", "7x0e + 2x1o", layout="ir_mul", dtype=D)
    wide = torch.randn(4, 28, generator=generator, dtype=D)
    expected = layer(wide[:, ::2].contiguous())
    torch.testing.assert_close(layer(wide[:, ::2]), expected, rtol=0, atol=0)
    torch.testing.assert_close(layer(torch._neg_view(wide[:, ::2])), -expected, rtol=0, atol=0)


def test_wrong_sizes_are_refused() -> None:
    layer = Linear("2x0e", "3x0e", layout="ir_mul")
    kernels, weight = SmallMixing(layer._mixing, torch.float32), layer.weight.detach()
    wrong = {
        "features": [
            (kernels.forward, torch.ones(4, 3), weight),
            (kernels.for_weight, torch.ones(4, 2), torch.ones(4, 2)),
        ],
        "weight": [(kernels.for_x, torch.ones(4, 3), torch.ones(5))],
        "rows": [(kernels.for_weight, torch.ones(4, 2), torch.ones(3, 3))],
    }
    with as_users_run_it():  # annotations would be the first to complain
        for message, calls in wrong.items():
            for call, *arguments in calls:
                with pytest.raises(InputError, match=message):
                    call(*arguments)


def test_a_plan_is_copied_and_pickled_without_its_kernels() -> None:
    layer = Linear("4x0e", "4x0e", layout="ir_mul")
    x = torch.ones(2, 4)
    y = layer(x)
    assert layer._mixing.kernels
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), y)


def test_a_kernel_that_is_wrong_is_not_used(monkeypatch) -> None:
    class Wrong(SmallMixing):
        def for_weight(self, x, g):
            return super().for_weight(x, g) * (1 + 1e-3)

    assert deviation(SmallMixing, D) < 8
    assert deviation(SmallMixing, torch.float32) < 8
    assert deviation(Wrong, torch.float32) > small_mixing._BOUND_EPS
    monkeypatch.setattr(small_mixing, "SmallMixing", Wrong)
    monkeypatch.setitem(small_mixing._TRUSTED, torch.float32, None)
    layer = Linear("4x0e", "4x0e", layout="ir_mul")
    with pytest.warns(RuntimeWarning, match="small linear layers"):
        layer(torch.ones(2, 4)).sum().backward()
    torch.testing.assert_close(layer.weight.grad, torch.ones(16))  # 2 samples / sqrt(4) channels


def test_the_environment_turns_them_off(monkeypatch) -> None:
    layer = Linear("4x0e", "4x0e", layout="ir_mul")
    monkeypatch.setenv("INTERTWINE_KERNELS", "reference")
    layer(torch.ones(2, 4))
    assert not layer._mixing.kernels


def test_who_watches_operations_sees_them() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    layer = Linear("4x0e", "5x0e", layout="ir_mul")
    with FlopCounterMode(display=False) as counter:
        layer(torch.ones(3, 4))
    assert counter.get_total_flops() == 2 * 3 * 4 * 5
