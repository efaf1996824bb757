"""Requests whose cost explodes are answered, or refused at once by a named limit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from intertwine import o3
from intertwine.numerics import InputError

ANGLES = [torch.tensor(0.3, dtype=torch.float64)] * 3
VECTORS = torch.eye(3, dtype=torch.float64)

REFUSED: dict[str, Callable[[], object]] = {
    "harmonics of degree 1000": lambda: o3.spherical_harmonics([1000], VECTORS, True),
    "a million harmonics": lambda: o3.spherical_harmonics("1000000x50o", VECTORS, True),
    "a module of them": lambda: o3.SphericalHarmonics("1000000x51o", True),
    "degree 500 of a rotation": lambda: o3.wigner_D(500, *ANGLES),
    "an irrep of degree 500": lambda: o3.Irrep("500e").D_from_angles(*ANGLES),
    "a matrix of a million": lambda: o3.Irreps("1000000x1o").D_from_angles(*ANGLES),
    "coupling of degree 500": lambda: o3.wigner_3j(500, 500, 500),
    "product of degrees 50": lambda: o3.FullTensorProduct("1000000x50o", "1000000x50o"),
    "product of all degrees": lambda: o3.FullTensorProduct(
        o3.Irreps.spherical_harmonics(100), o3.Irreps.spherical_harmonics(100)
    ),
    "a representation of a million degrees": lambda: o3.Irreps.spherical_harmonics(10**6),
    "a grid of a million": lambda: o3.ToS2Grid(10, 10**6),
    "a grid of degree 10000": lambda: o3.ToS2Grid(10**4, None),
    "samples on a grid of a million": lambda: o3.FromS2Grid(10**6, 5),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_refused_at_once(request_: Callable[[], object]) -> None:
    with pytest.raises(InputError, match=r"Remedy: (give|lower)"):
        request_()


def test_answered() -> None:
    """Large, and no matter."""
    assert o3.Irreps("1000000x50o").dim == 101_000_000
    assert o3.Irreps("1000000000000x50o + 0x60e").lmax == 50
    y = o3.spherical_harmonics([100, 0], VECTORS, True, "component")
    assert y[:, :-1].square().sum(-1).sub(201).abs().max() < 1e-9
    d = o3.wigner_D(60, *ANGLES)
    assert (d @ d.T - torch.eye(121, dtype=torch.float64)).abs().max() < 1e-11
