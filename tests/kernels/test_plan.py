"""The plan is immutable, hashable and says what is wrong with a path."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest

from intertwine.kernels import MODES, Block, Operand, Plan, Table, weight_shape
from intertwine.numerics import InputError

DOT = Table.of(np.eye(3)[:, :, None])


def dot(mode: str = "uvw") -> Plan:
    vectors = Operand.of([(4, 3)])
    return Plan.of(vectors, vectors, Operand.of([(5, 1)]), [(0, 0, 0, mode, True, 0.5, DOT)])


def test_plans_with_equal_contents_are_equal_and_have_one_hash() -> None:
    assert dot() == dot()
    assert hash(dot()) == hash(dot())
    assert dot() != dataclasses.replace(dot(), in1=Operand.of([(4, 3)], "ir_mul"))
    assert copy.deepcopy(dot()) == dot() == pickle.loads(pickle.dumps(dot()))


def test_a_plan_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        dot().paths[0].factor = 2.0  # type: ignore[misc]


def test_a_table_keeps_the_coefficients_exactly() -> None:
    dense = np.random.default_rng(0).normal(size=(3, 5, 7)) * (np.random.default_rng(1).random((3, 5, 7)) < 0.3)
    table = Table.of(dense)
    assert np.array_equal(table.dense(), dense)
    assert len(table.entries) == np.count_nonzero(dense)
    assert list(table.entries) == sorted(table.entries)


def test_weights_lie_in_the_order_of_the_paths_and_unweighted_paths_take_no_place() -> None:
    scalars = Operand.of([(2, 1), (3, 1)])
    one = Table.of(np.ones((1, 1, 1)))
    plan = Plan.of(
        scalars,
        scalars,
        Operand.of([(2, 1), (4, 1)]),
        [(0, 1, 0, "uvu", True, 1.0, one), (0, 0, 0, "uuu", False, 1.0, one), (1, 1, 1, "uvw", True, 1.0, one)],
    )
    assert [(path.start, path.numel, path.shape) for path in plan.paths] == [
        (0, 6, (2, 3)),
        (6, 0, (2,)),
        (6, 36, (3, 3, 4)),
    ]
    assert plan.weight_numel == 42
    assert plan.blocks(plan.paths[2]) == (Block(3, 1, 2), Block(3, 1, 2), Block(4, 1, 2))


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_has_the_weights_of_its_free_indices(mode: str) -> None:
    muls = {
        "uvu": (3, 4, 3),
        "uvv": (3, 4, 4),
        "uvuv": (3, 4, 12),
        "uvu<v": (4, 4, 6),
        "u<vw": (4, 4, 5),
        "uuw": (4, 4, 5),
        "uuu": (4,) * 3,
    }
    shapes = {"uvw": (3, 4, 5), "uuw": (4, 5), "uuu": (4,), "uvu<v": (6,), "u<vw": (6, 5)}
    assert weight_shape(mode, *muls.get(mode, (3, 4, 5))) == shapes.get(mode, (3, 4))


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ((0, 0, 0, "uvx", True, 1.0, DOT), "unknown connection mode"),
        ((0, 1, 0, "uvw", True, 1.0, DOT), "no block 1 in the second"),
        ((0, 0, 0, "uvu", True, 1.0, DOT), "multiplicities 4 and 4 can't be connected to 5"),
        ((0, 0, 0, "uvw", False, 1.0, DOT), "mixes channels by weights"),
        ((0, 0, 0, "uuw", False, 1.0, DOT), "mixes channels by weights"),
        ((0, 0, 0, "uvw", True, 1.0, Table.of(np.ones((1, 3, 1)))), "coefficients have shape"),
    ],
)
def test_a_bad_path_is_named(path: tuple, named: str) -> None:
    vectors = Operand.of([(4, 3)])
    with pytest.raises(InputError, match=named):
        Plan.of(vectors, vectors, Operand.of([(5, 1)]), [path])


def test_bad_blocks_and_tables_are_named() -> None:
    with pytest.raises(InputError, match="-1 channels"):
        Operand.of([(-1, 3)])
    with pytest.raises(InputError, match="unknown layout"):
        Operand.of([(1, 3)], "ir_mull")
    with pytest.raises(InputError, match="2 axes"):
        Table.of(np.eye(3))
