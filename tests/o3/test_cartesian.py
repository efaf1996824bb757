"""Cartesian tensors: e3nn's numbers, the round trip, norms, rotations, and tensors that physicists know."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from e3nn import io as e3nn_io
from switches import as_users_run_it

from intertwine.groups.index_symmetry import germinate_formulas
from intertwine.groups.permutations import inverse
from intertwine.numerics import InputError
from intertwine.o3.cartesian import CartesianTensor
from intertwine.o3.irreps import Irreps

FORMULAS = {
    "i": "1o",
    "ij": "0e+1e+2e",
    "ij=ji": "0e+2e",
    "ij=-ji": "1e",
    "ijk": "0o+3x1o+2x2o+3o",
    "ijk=ikj": "2x1o+2o+3o",
    "ijk=jki": "0o+1o+3o",
    "ijk=jik=ikj": "1o+3o",
    "ijk=-jik=-ikj": "0o",
    "ijkl=jikl=klij": "2x0e+2x2e+4e",
    "ijkl=-jikl=-ijlk=klij": "2x0e+2e",
    "ijkl=jikl=ikjl=ijlk": "0e+2e+4e",
    "ijklm=jiklm=jklmi": "1o+3o+5o",
}
ORACLE = ["ij", "ij=ji", "ij=-ji", "ijk=ikj", "ijk=jki", "ijkl=jikl=klij"]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def symmetrised(t: torch.Tensor, formula: str) -> torch.Tensor:
    indices, group = germinate_formulas(formula)
    lead = tuple(range(t.ndim - len(indices)))
    return sum(s * t.permute(*lead, *[len(lead) + i for i in inverse(p)]) for s, p in group) / len(group)


@pytest.mark.parametrize("formula", FORMULAS)
def test_round_trip(formula: str):
    x = CartesianTensor(formula)
    rank = len(x.indices)
    if formula != "ijkl=-jikl=-ijlk=klij":
        assert x == Irreps(FORMULAS[formula])
    t = symmetrised(draw(2, 3, *[3] * rank), formula)
    y = x.from_cartesian(t)
    assert y.shape == (2, 3, x.dim)
    torch.testing.assert_close(x.to_cartesian(y), t, atol=1e-14, rtol=0)
    torch.testing.assert_close(y.norm(dim=-1), t.flatten(2).norm(dim=-1), atol=1e-13, rtol=0)
    c = draw(x.dim, seed=1)
    torch.testing.assert_close(x.from_cartesian(x.to_cartesian(c)), c, atol=1e-14, rtol=0)
    any_tensor = draw(*[3] * rank, seed=2)
    torch.testing.assert_close(
        x.to_cartesian(x.from_cartesian(any_tensor)), symmetrised(any_tensor, formula), atol=1e-14, rtol=0
    )


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("improper", [1.0, -1.0])
def test_rotation(formula: str, improper: float):
    x = CartesianTensor(formula)
    R, _ = torch.linalg.qr(draw(3, 3, seed=3))
    R = improper * R * torch.linalg.det(R)
    t = turned = symmetrised(draw(*[3] * len(x.indices)), formula)
    for axis in range(t.ndim):
        turned = torch.tensordot(R, turned.movedim(axis, 0), 1).movedim(0, axis)
    torch.testing.assert_close(x.from_cartesian(turned), x.transform(R, x.from_cartesian(t)), atol=1e-13, rtol=0)


@pytest.mark.parametrize("formula", ORACLE)
def test_oracle(formula: str):
    ours, theirs = CartesianTensor(formula), e3nn_io.CartesianTensor(formula)
    assert str(ours) == str(theirs)
    assert (ours.formula, ours.indices) == (theirs.formula, theirs.indices)
    rtp = theirs.reduced_tensor_products().to(torch.float64)
    rtp.change_of_basis = ours.reduced_tensor_products(draw(1)).change_of_basis.clone()
    mine = ours.reduced_tensor_products()
    torch.testing.assert_close(
        mine.change_of_basis, theirs.reduced_tensor_products().change_of_basis, atol=1e-6, rtol=0
    )
    t, xs = draw(2, *[3] * len(ours.indices)), draw(len(ours.indices), 2, 3)
    torch.testing.assert_close(ours.from_cartesian(t), theirs.from_cartesian(t, rtp), atol=1e-14, rtol=0)
    c = draw(2, ours.dim)
    torch.testing.assert_close(ours.to_cartesian(c), theirs.to_cartesian(c, rtp), atol=1e-14, rtol=0)
    torch.testing.assert_close(ours.from_vectors(*xs), theirs.from_vectors(*xs, rtp=rtp), atol=1e-6, rtol=0)


def test_from_vectors():
    x, (a, b) = CartesianTensor("ij"), draw(2, 5, 3)
    torch.testing.assert_close(
        x.from_vectors(a, b), x.from_cartesian(a[:, :, None] * b[:, None, :]), atol=1e-14, rtol=0
    )
    scalar, cross = CartesianTensor("ij=ji").from_vectors(a, b)[:, 0], CartesianTensor("ij=-ji").from_vectors(a, b)
    torch.testing.assert_close(scalar, (a * b).sum(-1) / 3**0.5, atol=1e-14, rtol=0)
    torch.testing.assert_close(cross, torch.linalg.cross(a, b) / 2**0.5, atol=1e-14, rtol=0)


def test_isotropic_elasticity_has_two_constants():
    """Lame's tensor, lambda d_ij d_kl + mu (d_ik d_jl + d_il d_jk), is made of the two scalars."""
    d = torch.eye(3, dtype=torch.float64)
    for lam, mu in ((1.0, 0.0), (0.0, 1.0), (2.0, 0.7)):
        C = lam * torch.einsum("ij,kl->ijkl", d, d) + mu * (
            torch.einsum("ik,jl->ijkl", d, d) + torch.einsum("il,jk->ijkl", d, d)
        )
        y = CartesianTensor("ijkl=jikl=klij").from_cartesian(C)
        torch.testing.assert_close(y[2:], torch.zeros(19, dtype=torch.float64), atol=1e-14, rtol=0)


def test_given_products():
    x, t = CartesianTensor("ij=ji"), draw(4, 3, 3)
    rtp = x.reduced_tensor_products(t)
    assert rtp.change_of_basis.dtype == torch.float64
    assert torch.equal(x.from_cartesian(t, rtp), x.from_cartesian(t))
    assert torch.equal(x.to_cartesian(draw(4, 6), rtp=rtp), x.to_cartesian(draw(4, 6)))
    assert torch.equal(x.from_vectors(t[0], t[1], rtp=rtp), rtp(t[0], t[1]))
    assert x.reduced_tensor_products().change_of_basis.dtype == torch.get_default_dtype()


def test_is_irreps():
    x = CartesianTensor("ij=ji")
    assert isinstance(x, Irreps)
    assert x.D_from_matrix(torch.eye(3)).shape == (6, 6)
    assert repr(x) == "1x0e+1x2e"
    for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert type(other) is CartesianTensor
        assert (other, other.formula, other.indices) == (x, x.formula, x.indices)
        assert torch.equal(other.from_cartesian(draw(3, 3)), x.from_cartesian(draw(3, 3)))


def test_differentiable_and_compiled():
    x = CartesianTensor("ijk=jik")
    assert torch.autograd.gradcheck(lambda t: x.to_cartesian(x.from_cartesian(t)), draw(3, 3, 3).requires_grad_())
    with as_users_run_it():
        there_and_back = torch.compile(
            lambda t: x.to_cartesian(x.from_cartesian(t)), fullgraph=True, backend="aot_eager"
        )
        torch.testing.assert_close(there_and_back(draw(2, 3, 3, 3)), x.to_cartesian(x.from_cartesian(draw(2, 3, 3, 3))))


def test_made_in_inference_mode():
    with torch.inference_mode():
        x = CartesianTensor("abc=bac")  # a formula that no other test has put in the cache
    assert torch.autograd.gradcheck(x.from_cartesian, draw(3, 3, 3).requires_grad_())


def test_empty_batch_and_precision():
    x = CartesianTensor("ij=ji")
    assert x.from_cartesian(torch.zeros(0, 3, 3)).shape == (0, 6)
    assert x.to_cartesian(torch.zeros(0, 6)).shape == (0, 3, 3)
    assert x.from_cartesian(torch.zeros(3, 3, dtype=torch.float32)).dtype == torch.float32
    nothing = CartesianTensor("ij=ji=-ji")
    assert nothing.dim == 0
    assert torch.equal(
        nothing.to_cartesian(nothing.from_cartesian(draw(2, 3, 3))), torch.zeros(2, 3, 3, dtype=torch.float64)
    )


def test_bad_input():
    x = CartesianTensor("ij=ji")
    with pytest.raises(InputError, match="last 2 axes"):
        x.from_cartesian(torch.randn(3))
    with pytest.raises(InputError, match="last axis must be 6 long"):
        x.to_cartesian(torch.randn(3, 3))
    with pytest.raises(InputError, match="one for each index"):
        x.from_vectors(torch.randn(3))
    with as_users_run_it(), pytest.raises(InputError, match="one for each index"):
        x.from_vectors(torch.randn(3), torch.randn(4))
    with as_users_run_it(), pytest.raises(InputError, match="int64"):
        x.from_cartesian(torch.ones(3, 3, dtype=torch.int64))
    with pytest.raises(InputError, match="not a permutation"):
        CartesianTensor("ij=jk")
    with as_users_run_it(), pytest.raises(InputError, match="not a string"):
        CartesianTensor(2)  # type: ignore[arg-type]
