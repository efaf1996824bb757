"""Irreps: strings, dimensions, parts and matrices, with e3nn as the oracle."""

from __future__ import annotations

import pickle

import pytest
import torch
from e3nn import o3 as oracle

from intertwine.groups import Isometry
from intertwine.numerics import InputError
from intertwine.o3 import Irrep, Irreps

SPECS = ["0e", "1o", "64x0e + 8x1o", "2x0e+3x0o+1x1e+2x1o+2e+3o", "0x1o + 2e", "  3x2o ", "10x11o", "", "2x1o+1o"]


@pytest.mark.parametrize("spec", SPECS)
def test_parse_and_dimension(spec: str) -> None:
    ours, theirs = Irreps(spec), oracle.Irreps(spec)
    assert ours.dim == theirs.dim
    assert str(ours) == str(theirs)
    assert [(mul, ir.l, ir.p) for mul, ir in ours] == [(mul, ir.l, ir.p) for mul, ir in theirs]
    assert ours.slices() == theirs.slices()
    assert len(ours) == len(theirs)


@pytest.mark.parametrize("spec", SPECS)
def test_round_trip(spec: str) -> None:
    irreps = Irreps(spec)
    assert Irreps(str(irreps)) == Irreps(irreps) == Irreps(list(irreps)) == irreps == pickle.loads(pickle.dumps(irreps))
    assert hash(Irreps(str(irreps))) == hash(irreps)
    assert irreps != Irreps("7x7o")
    assert irreps != spec


@pytest.mark.usefixtures("oracle_in_double")
@pytest.mark.parametrize("spec", ["2x0e+3x0o+1x1e+2x1o+2e+3o", "2x4e+1x5o"])
@pytest.mark.parametrize("improper", [False, True])
def test_matrix_against_e3nn(spec: str, improper: bool, generator: torch.Generator) -> None:
    q = Isometry.random(3, generator=generator, improper=improper).rotation
    assert (Irreps(spec).matrix(q) - oracle.Irreps(spec).D_from_matrix(q)).abs().max() < 1e-13


@pytest.mark.parametrize("flips", [(False, False), (False, True), (True, True)])
def test_matrix_is_a_homomorphism(flips: tuple[bool, bool], generator: torch.Generator) -> None:
    irreps = Irreps("0e+0o+1e+1o+2e+3o+8e")
    g, h = (Isometry.random(3, generator=generator, improper=flip) for flip in flips)
    assert (irreps.matrix((g @ h).rotation) - irreps.matrix(g.rotation) @ irreps.matrix(h.rotation)).abs().max() < 1e-13


def test_vectors_are_vectors(generator: torch.Generator) -> None:
    q, x = Isometry.random(3, generator=generator, improper=True).rotation, torch.randn(5, 6, generator=generator, dtype=torch.float64)
    moved = Irreps("2x1o").transform(q, x)
    torch.testing.assert_close(moved, (x.reshape(5, 2, 3) @ q.T).reshape(5, 6), rtol=0, atol=1e-14)
    axial = Irreps("2x1e").transform(q, x)
    torch.testing.assert_close(axial, -moved, rtol=0, atol=1e-14)


def test_parts() -> None:
    irreps, x = Irreps("2x0e+1o+1x0e+2x1o"), torch.arange(12.0).reshape(1, 12)
    assert irreps.part(x, "0e").tolist() == [[[0.0], [1.0], [5.0]]]
    assert irreps.part(x, Irrep(1, -1)).tolist() == [[[2.0, 3.0, 4.0], [6.0, 7.0, 8.0], [9.0, 10.0, 11.0]]]
    assert irreps.part(x, "2e").shape == (1, 0, 5)
    assert irreps.part(torch.zeros(0, 12), "1o").shape == (0, 3, 3)
    assert irreps.count("0e") == 3
    assert irreps.count(Irrep(1, 1)) == 0


@pytest.mark.parametrize("spec", ["1", "x1o", "2x", "1x1x0e", "1a", "-1x0e", "2*1o", "0e,1o", "1 o"])
def test_bad_strings_are_named(spec: str) -> None:
    with pytest.raises(InputError, match="is not an irrep"):
        Irreps(spec)


@pytest.mark.parametrize("name", ["", "0e+1o"])
def test_one_irrep_is_asked_for_at_a_time(name: str) -> None:
    with pytest.raises(InputError, match="one irrep"):
        Irreps("0e").count(name)
    with pytest.raises(InputError, match="one irrep"):
        Irreps("0e").part(torch.zeros(1, 1), name)
