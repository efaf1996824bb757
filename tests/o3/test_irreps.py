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
    q = Isometry.random(3, generator=generator, improper=True).rotation
    x = torch.randn(5, 6, generator=generator, dtype=torch.float64)
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


FORMS = [None, "1o", [], [(2, "1o"), "0e", (3, (2, 1))], ("0e", "1y"), [(16, Irrep("3e")), Irrep("2o")], "0x1o+0e"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_constructor(form: object) -> None:
    expected = {0: "", 1: "1x1o", 2: "", 3: "2x1o+1x0e+3x2e", 4: "1x0e+1x1o", 5: "16x3e+1x2o", 6: "0x1o+1x0e"}
    assert str(Irreps(form)) == expected[FORMS.index(form)]


@pytest.mark.parametrize("spec", [*SPECS, "1e+0e+1e+0x2e", "2o+1e+0e+0o+1e"])
def test_algebra_against_e3nn(spec: str) -> None:
    ours, theirs = Irreps(spec), oracle.Irreps(spec)
    for method in ("simplify", "regroup", "remove_zero_multiplicities"):
        assert str(getattr(ours, method)()) == str(getattr(theirs, method)()), method
    assert tuple(map(str, ours.sort())) == tuple(map(str, theirs.sort()))
    assert (ours.num_irreps, ours.ls) == (theirs.num_irreps, theirs.ls)
    assert str(ours + "2e") == str(theirs + "2e")
    assert str(2 * ours) == str(ours * 2) == str(2 * theirs)
    assert str(ours[1:]) == str(theirs[1:])
    assert ours.filter("0e+1o") == ours.filter(["0e", "1o"])  # e3nn 0.6 finds nothing when it is given a string
    for keep in (["0e", "1o"], ["1o"], [], lambda block: block.mul > 1):
        assert str(ours.filter(keep)) == str(theirs.filter(keep=keep))
        assert str(ours.filter(drop=keep)) == str(theirs.filter(drop=keep))
    assert str(ours.filter(lmax=1)) == str(theirs.filter(lmax=1))
    for first, last in ((0, 3), (1, None), (None, -1), (2, 2)):
        assert str(ours.slice_by_mul[first:last]) == str(theirs.slice_by_mul[first:last])
    assert ("1o" in ours) == ("1o" in theirs)


def test_irreps_of_a_product() -> None:
    for a in Irrep.iterator(3):
        for b in Irrep.iterator(3):
            assert list(map(str, a * b)) == [str(ir) for ir in oracle.Irrep(str(a)) * oracle.Irrep(str(b))]
    assert 3 * Irrep("6o") == Irreps("3x6o")
    assert Irrep("4o") + Irrep("7e") == Irreps("4o+7e")
    assert sorted([Irrep("1e"), Irrep("0o"), Irrep("1o")]) == [Irrep("0o"), Irrep("1o"), Irrep("1e")]


@pytest.mark.parametrize("arguments", [(-1, 1), (1, 2), ("1x",), ("-1e",), (1.5, 1), (1,), ("",), (True, 1)])
def test_bad_irreps_are_named(arguments: tuple[object, ...]) -> None:
    with pytest.raises(InputError, match="is not an irrep"):
        Irrep(*arguments)


@pytest.mark.parametrize("spec", [[(32, 1)], [(-1, "1o")], [(1.0, "1o")], [3], [("1o", 3)], [(True, "1o")]])
def test_bad_blocks_are_named(spec: object) -> None:
    with pytest.raises(InputError, match="irrep"):
        Irreps(spec)


@pytest.mark.parametrize("normalization", ["component", "norm"])
def test_random_components(normalization: str) -> None:
    irreps = Irreps("5x0e+0x1e+10x1o")
    torch.manual_seed(0)
    theirs = oracle.Irreps(str(irreps)).randn(4, -1, 2, normalization=normalization, dtype=torch.float64)
    torch.manual_seed(0)
    ours = irreps.randn(4, -1, 2, normalization=normalization, dtype=torch.float64, requires_grad=True)
    assert ours.is_leaf
    assert ours.requires_grad
    torch.testing.assert_close(ours.detach(), theirs, rtol=0, atol=1e-15)
    assert Irreps("").randn(3, -1, normalization=normalization).shape == (3, 0)
    with pytest.raises(InputError, match="-1"):
        irreps.randn(3)
    with pytest.raises(InputError, match="normalization"):
        irreps.randn(-1, normalization="unit")


def test_matrices_from_every_description_of_a_rotation(generator: torch.Generator) -> None:
    irreps = Irreps("2x0e+0o+1e+1o+2x2o")
    axis = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    axis, angle = axis / axis.norm(dim=-1, keepdim=True), torch.rand(4, generator=generator, dtype=torch.float64)
    q = torch.cat([(angle / 2).cos()[:, None], (angle / 2).sin()[:, None] * axis], dim=-1)
    k = torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=torch.float64)
    d = irreps.D_from_axis_angle(axis, angle)
    torch.testing.assert_close(irreps.D_from_quaternion(q), d, rtol=0, atol=1e-14)
    inverted = irreps.D_from_quaternion(q, k)
    torch.testing.assert_close(inverted[::2], d[::2], rtol=0, atol=1e-14)
    matrices = torch.stack([Irreps("1e").D_from_axis_angle(a, b) for a, b in zip(axis, angle)])
    torch.testing.assert_close(
        irreps.D_from_matrix(matrices * (-1.0) ** k[:, None, None]), inverted, rtol=0, atol=1e-14
    )
    assert Irreps("").D_from_matrix(matrices).shape == (4, 0, 0)


def test_the_largest_degree_of_nothing() -> None:
    assert Irreps("0x3e+1o").lmax == 1
    for empty in ("", "0x1o"):
        with pytest.raises(InputError, match="empty"):
            _ = Irreps(empty).lmax


@pytest.mark.parametrize(
    "bad", [2 * torch.eye(3), torch.tensor([2.0, 0.5, 1.0]).diag(), torch.zeros(3, 3), torch.full((3, 3), torch.nan)]
)
def test_only_orthogonal_matrices_are_represented(bad: torch.Tensor) -> None:
    for representation in (Irreps("0e+1o+2e"), Irrep("2e")):
        with pytest.raises(InputError, match="not a rotation or reflection"):
            representation.D_from_matrix(bad)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_matrices_in_half_precision(dtype: torch.dtype) -> None:
    R = -torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    for representation in (Irreps("1o+2e+1e"), Irrep("2o")):
        found = representation.D_from_matrix(R.to(dtype))
        assert found.dtype == dtype
        torch.testing.assert_close(
            found.float(), representation.D_from_matrix(R), atol=8 * torch.finfo(dtype).eps, rtol=0
        )


def test_small_print() -> None:
    assert type(Irrep(1, 1.0).p) is int
    with pytest.raises(InputError, match="lmax=-1"):
        Irreps.spherical_harmonics(-1)
    q = Isometry.random(3, generator=torch.Generator().manual_seed(0)).rotation
    assert torch.equal(Irreps(irreps="1o").D_from_matrix(R=q), Irreps("1o").matrix(rotation=q))


def test_irreps_of_another_library_are_read() -> None:
    theirs = oracle.Irreps("2x0e + 1o")
    assert Irreps(theirs) == Irreps([(2, oracle.Irrep("0e")), oracle.Irrep("1o")]) == Irreps("2x0e+1x1o")
    assert Irreps("0e+1o+2e").filter(theirs) == Irreps("0e+1o")
    assert oracle.Irrep("1o") in Irreps("1o")
    with pytest.raises(InputError, match="not a sum"):
        Irreps(3)
