"""Annotations are checked by the tests: in the first calls of each test, and again in the next one."""

from __future__ import annotations

import checked_calls as first
import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from intertwine.geometry import distances


def wrong() -> Tensor:
    return distances(torch.zeros(3, 2, 2))  # for which there is no annotation


@pytest.fixture
def doubled() -> object:
    """A function that lies: checked, it fails."""

    def double(x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return torch.cat([x, x])

    def checked(x: Tensor) -> Tensor:
        raise TypeCheckError

    return first.first_calls(double, lambda _: checked)


def test_a_lie_is_found_until_it_was_called_often(doubled) -> None:
    for _ in range(first.CALLS):
        with pytest.raises(TypeCheckError):
            doubled(torch.ones(2))
    assert doubled(torch.ones(2)).shape == (4,)
    first.begin_test()
    with pytest.raises(TypeCheckError):
        doubled(torch.ones(2))


def test_the_package_is_checked(pytestconfig: pytest.Config) -> None:
    if not pytestconfig.getoption("jaxtyping_packages", None):
        return  # who runs the tests without the checks has none
    for _ in range(3):
        with pytest.raises(TypeCheckError):
            wrong()
