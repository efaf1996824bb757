"""Harmonics, linear layers and straight-line programs on graphics cards: in Triton's interpreter, and the tables that
they read.
"""

from __future__ import annotations

import json

import gpu_cases
import gpu_layers
import pytest
import torch
from test_gpu import needs_triton, script
from test_straight_line import arguments_of, random_program

from intertwine.kernels.harmonics import definition as harmonics_definition
from intertwine.kernels.harmonics import kernel as harmonics_kernel
from intertwine.kernels.harmonics.gpu import tape
from intertwine.kernels.harmonics.gpu.launch import MOST_STEPS
from intertwine.kernels.linear.gpu import columns_of
from intertwine.kernels.polynomial.definition import Evaluator
from intertwine.kernels.polynomial.gpu.schedule import LONGEST_ROW, ROWS, scheduled
from intertwine.kernels.polynomial.plan import Program, gradient
from intertwine.kernels.shared import card, choice
from intertwine.o3 import Linear, spherical_harmonics
from intertwine.o3.harmonic_plans import solid, wanted

HERE = {"TRITON_INTERPRET": "1", "INTERTWINE_KERNELS": "gpu"}


@needs_triton
def test_layers_and_their_derivatives_are_those_of_the_definition() -> None:
    found = json.loads(script(gpu_layers.__file__, "harmonics", "linear", "polynomial", **HERE))
    assert len(found) > 80
    assert [name for name, value in found.items() if not value <= gpu_cases.bounds(name)] == []


@needs_triton
def test_a_fault_is_told_once_and_a_whole_model_runs_on_the_programs() -> None:
    found = json.loads(script(gpu_layers.__file__, "faults", **HERE))
    for family, one in found["faults"].items():
        assert len(one["messages"]) == 1, family
        assert "by gpu" in one["messages"][0]
        assert "is wrong" in one["messages"][0]
        assert one["off"] <= 40  # eps: plain torch took over
    families = {"nequip": ["gather", "harmonics", "linear", "scatter"]}
    families["mace"] = sorted([*families["nequip"], "polynomial"])
    for model, names in families.items():
        one = found["models"][model]
        assert one["ran"] == [f"{name} gpu" for name in names]
        assert one["trusted"]
        assert one["off"] < 1e-5


# --------------------------------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("kind", ["values", "gradient", "second"])
def test_the_steps_of_harmonics_give_the_definition(kind: str, normalize: bool) -> None:
    """Step by step in Python's numbers; nothing is written down that is not needed."""
    plan, x = solid((2, 0, 3, 2), "integral", normalize), torch.tensor([[0.3, -1.1, 0.7]], dtype=torch.float64)
    arguments = [gpu_layers.random(1, plan.dim), gpu_layers.random(1, 3, seed=5)]
    made = tape.job(kind, plan)
    size = float(x.norm())
    numbers = [*(x[0] / size).tolist(), 1 / size] if normalize else x[0].tolist()
    numbers += [float(arguments[which][0, place]) for which, _, place in made.loads]
    used = set()
    for a, b, scale, c, shift in made.steps:
        used |= {a, b, c}
        factor = numbers[b] if b >= 0 else 1.0 if scale is None else scale
        numbers.append(numbers[a] * factor + (numbers[c] if c >= 0 else shift or 0.0))
    given = arguments[: {"values": 0, "gradient": 1, "second": 2}[kind]]
    results = getattr(harmonics_definition, kind)(x, *given, plan)
    for number, right in enumerate(results if isinstance(results, tuple) else [results]):
        stores = sorted(store for store in made.stores if store[0] == number)
        assert [place for _, _, place, _, _ in stores] == list(range(right.shape[1]))
        values = [numbers[at] if at >= 0 else constant for _, _, _, at, constant in stores]
        torch.testing.assert_close(torch.tensor(values, dtype=torch.float64), right[0], rtol=1e-13, atol=1e-13)
    used |= {at for *_, at, _ in made.stores}
    first = 4 if normalize else 3
    assert set(range(first, len(numbers))) <= used


def test_long_codes_of_harmonics_are_left_to_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "installed", lambda: True)
    few, many = (solid(tuple(range(l + 1)), "component", True) for l in (3, 12))
    assert harmonics_kernel.gpu().able("second", few, torch.float32)
    assert not harmonics_kernel.gpu().able("second", many, torch.float32)
    assert harmonics_kernel.gpu().able("values", many, torch.float32)
    assert not harmonics_kernel.gpu().able("values", few, torch.float16)
    assert len(tape.job("second", few).steps) < MOST_STEPS < len(tape.job("second", many).steps)


def run_by_tables(program: Program, registers: torch.Tensor) -> list[torch.Tensor]:
    """What the machine of graphics cards does, for the components (inputs, channels) of one node."""
    tables = scheduled(program)
    memory = torch.full((tables.slots, registers.shape[1]), torch.nan, dtype=registers.dtype)
    memory[: program.inputs], memory[tables.ones] = registers, 1.0
    for first, last in zip(tables.levels, tables.levels[1:]):
        written = {slot for slot in tables.targets[ROWS * first : ROWS * last] if slot >= 0}
        results = {}
        for tile in range(first, last):
            entry, steps = tables.tiles[tile]
            for row in range(ROWS):
                places = [entry + step * ROWS + row for step in range(steps)]
                reads = {slot for at in places for slot in (tables.first[at], tables.second[at])}
                assert not reads & written  # another row of the level may have come first
                total = torch.zeros(registers.shape[1], dtype=registers.dtype)
                for at in places:
                    total = total + tables.coefficients[at] * memory[tables.first[at]] * memory[tables.second[at]]
                if (target := tables.targets[tile * ROWS + row]) >= 0:
                    results[target] = total
        assert set(results) == written
        for target, total in results.items():
            memory[target] = total
    ends = iter(tables.results)
    return [memory[[next(ends) for _ in result.registers]] for result in program.results]


@pytest.mark.parametrize("seed", range(3))
def test_the_tables_of_a_program_give_the_definition(seed: int) -> None:
    """Also where rows are cut, slots are used again, and levels have more rows than a tile."""
    programs = [random_program(seed, rows=14), gpu_layers.long_rows()]
    for program in [*programs, *(gradient(one, [0, 1], [1, 0]) for one in programs)]:
        arguments, group = arguments_of(program, 1, 1, 3)
        right = Evaluator(program)(arguments, group, 1)
        for mine, other in zip(run_by_tables(program, torch.cat(arguments, 1)[0]), right, strict=True):
            torch.testing.assert_close(mine, other[0], rtol=1e-12, atol=1e-12)
    longest = max(steps for _, steps in scheduled(gpu_layers.long_rows()).tiles)
    assert max(map(len, gpu_layers.long_rows().rows)) > LONGEST_ROW == longest
    assert scheduled(programs[0]).slots < programs[0].inputs + len(programs[0].rows)


@pytest.mark.parametrize(("channels", "columns"), [(1, 16), (16, 16), (17, 32), (64, 64), (300, 64)])
def test_tiles_are_as_wide_as_the_channels(channels: int, columns: int) -> None:
    mixing = Linear(f"{channels}x0e", "2x0e")._mixing
    assert mixing is not None
    assert columns_of(mixing) == columns


# --------------------------------------------------------------------------------------------------------------- choice


def test_a_card_has_kernels_of_harmonics_for_any_number_of_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, cuda, cpu = ((0, 1), "component", True), torch.device("cuda"), torch.device("cpu")
    for backend, on_card, on_processor in (
        ("auto", True, False), ("gpu", True, False), ("reference", False, False), ("cpu", False, True)
    ):  # fmt: skip
        monkeypatch.setenv("INTERTWINE_KERNELS", backend)
        if backend == "cpu":  # which is refused elsewhere, by those who ask
            on_card = choice.native(cuda) == "gpu"
        assert (wanted(*plan, True, cuda) is not None) == on_card, backend
        if not choice.interprets():
            assert (wanted(*plan, True, cpu) is not None) == on_processor, backend


def test_reference_turns_the_programs_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERTWINE_KERNELS", "reference")
    monkeypatch.setattr(choice, "interprets", lambda: True)
    monkeypatch.setattr(card, "supports", lambda dtype: pytest.fail("a program was looked for"))
    layer = Linear("3x0e+2x1o", "2x0e+2x1o")
    assert layer(torch.randn(2, 9)).shape == (2, 8)
    assert spherical_harmonics([0, 1], torch.randn(40, 3), normalize=True).shape == (40, 4)
    assert not layer._mixing.kernels
