"""Straight-line programs: gradients of every order against autograd, the machine against plain torch, and a fault that
is found.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch

from intertwine.kernels.polynomial import kernel as backend
from intertwine.kernels.polynomial.cpu import Tables
from intertwine.kernels.polynomial.definition import Evaluator
from intertwine.kernels.polynomial.plan import NO_FACTOR, Argument, Program, Result, Writer, gradient
from intertwine.numerics import InputError

D = torch.float64


def random_program(seed: int, rows: int = 40) -> Program:
    """Two arguments, one of them shared; sums, products, squares, copies, a row without terms; a shared and an own
    result.
    """
    generator = torch.Generator().manual_seed(seed)

    def some(high: int, count: int) -> list[int]:
        return torch.randint(high, (count,), generator=generator).tolist()

    writer = Writer([Argument(3), Argument(2, shared=True)])
    registers = list(range(5))
    for place in range(rows):
        recent = [registers[-1 - k] if place % 3 else registers[k] for k in some(5, 6)]
        terms = [
            (0.5, recent[0], recent[1]),
            (-0.7, recent[2], NO_FACTOR),
            (0.3, recent[3], recent[3]),
            (1.0, recent[4], some(5, 1)[0]),
        ]
        registers.append(writer.row(terms[: 1 + some(4, 1)[0]]))
    empty, copy = writer.row([]), writer.row([(1.0, 2, NO_FACTOR)])
    assert copy == 2
    return writer.program([Result((registers[-1], empty, 0, registers[-2])), Result((registers[-3], 4), shared=True)])


def arguments_of(
    program: Program, nodes: int, groups: int, channels: int, dtype: torch.dtype = D
) -> tuple[list, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    rows = [groups if argument.shared else nodes for argument in program.arguments]
    arguments = [
        torch.rand(n, kind.size, channels, generator=generator, dtype=D) - 0.5
        for n, kind in zip(rows, program.arguments)
    ]
    return [x.to(dtype) for x in arguments], torch.randint(groups, (nodes,), generator=generator)


@pytest.mark.parametrize("seed", range(6))
def test_gradients_of_every_order(seed: int) -> None:
    """Each gradient of a gradient against autograd through the program before it."""
    program = random_program(seed, rows=12)
    for given, wanted in (([0, 1], [0, 1]), ([1], [0, 1, 2]), ([0, 2], [1, 3])):
        arguments, group = arguments_of(program, 5, 3, 2)
        leaves = [x.requires_grad_() for x in arguments]
        results = Evaluator(program)(leaves, group, 3)
        further = gradient(program, given, wanted)
        cotangents = arguments_of(further, 5, 3, 2)[0][len(arguments) :]
        total = sum((results[k] * cotangent).sum() for k, cotangent in zip(given, cotangents, strict=True))
        expected = torch.autograd.grad(total, [leaves[k] for k in wanted], materialize_grads=True)
        found = Evaluator(further)([x.detach() for x in leaves] + cotangents, group, 3)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
        program = further


@pytest.mark.parametrize("dtype", [torch.float32, D])
@pytest.mark.parametrize("channels", [0, 1, 7, 16, 33, 64, 130])
@pytest.mark.parametrize("nodes", [0, 1, 70])
def test_machine(nodes: int, channels: int, dtype: torch.dtype) -> None:
    for seed in range(4):
        program = random_program(seed)
        for one in (program, gradient(program, [0, 1], [1, 0])):
            arguments, group = arguments_of(one, nodes, 3, channels, dtype)
            found = Tables(one, dtype)(arguments, group, 3)
            expected = Evaluator(one)([x.double() for x in arguments], group, 3)
            for mine, reference in zip(found, expected, strict=True):
                assert mine.dtype == dtype
                assert mine.shape == reference.shape
                if reference.numel():
                    assert (mine - reference).abs().max() <= 40 * torch.finfo(dtype).eps * max(
                        1.0, float(reference.abs().max())
                    )


def test_strides_and_threads(monkeypatch) -> None:
    """The same bits with other strides, twice, and with two threads."""
    monkeypatch.setattr("intertwine.kernels.polynomial.cpu._PRODUCTS_WORTH_A_THREAD", 1)
    program = gradient(random_program(0), [0, 1], [0, 1])
    arguments, group = arguments_of(program, 300, 4, 80)
    expected = Tables(program, D)(arguments, group, 4)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            turned = [x.transpose(0, 2).contiguous().transpose(0, 2) for x in arguments]
            for one, other in zip(Tables(program, D)(turned, group.int(), 4), expected, strict=True):
                assert torch.equal(one, other)
    finally:
        torch.set_num_threads(threads)


def test_few_registers() -> None:
    """A chain needs two slots, however long it is."""
    writer = Writer([Argument(1)])
    last = 0
    for _ in range(100):
        last = writer.row([(1.0, last, 0), (2.0, last, NO_FACTOR)])
    writer.row([(1.0, 0, 0)])
    program = writer.program([Result((last,))])
    assert len(program.rows) == 100
    assert Tables(program, D).slots <= 2


def test_a_fault_is_found(monkeypatch) -> None:
    """One coefficient changed by 1 % in the machine's table: a warning, and plain torch's numbers."""
    program = random_program(3)
    arguments, group = arguments_of(program, 4, 2, 3)
    genuine = Tables.__init__

    def faulty(self, *rest) -> None:
        genuine(self, *rest)
        self.coefficients[0] *= 1.01

    monkeypatch.setattr(Tables, "__init__", faulty)
    with pytest.warns(RuntimeWarning, match="is wrong by"):
        found = backend.evaluate(program, arguments, group, 2)
    for one, other in zip(found, Evaluator(program)(arguments, group, 2), strict=True):
        assert torch.equal(one, other)


def test_choice(monkeypatch) -> None:
    program = random_program(2)
    arguments, group = arguments_of(program, 4, 2, 3)
    expected = Evaluator(program)(arguments, group, 2)
    for choice in ("reference", "cpu", "auto", ""):
        monkeypatch.setenv("INTERTWINE_KERNELS", choice)
        for one, other in zip(backend.evaluate(program, arguments, group, 2), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)
    for choice, dtype in (("cuda", D), ("gpu", D), ("cpu", torch.bfloat16)):
        monkeypatch.setenv("INTERTWINE_KERNELS", choice)
        with pytest.raises(InputError, match="backend"):
            backend.evaluate(program, [x.to(dtype) for x in arguments], group, 2)
    monkeypatch.delenv("INTERTWINE_KERNELS")
    assert backend.evaluate(program, [x.bfloat16() for x in arguments], group, 2)[0].dtype == torch.bfloat16


def test_programs_are_frozen() -> None:
    program = random_program(0)
    assert program.terms == sum(len(row) for row in program.rows)
    with pytest.raises(dataclasses.FrozenInstanceError):
        program.rows = ()
