"""mace-torch's own module beside ours at the same weights."""

from __future__ import annotations

import pytest
import torch
from nn_checks import D
from switches import default_precision

from intertwine.nn.irreps.mace_contraction import load_mace_contraction
from intertwine.nn.irreps.symmetric_contraction import SymmetricContraction
from intertwine.numerics import CheckpointError

CASES = [
    ("0e+1o", "0e", 3),
    ("0e+1o", "0e+1o", 3),
    ("0e+1o", "1o+2e+0o", 2),
    ("0e+1o+2e", "0e+1o", 3),
    ("0e+1o+2e+3o", "0e+1o", 3),
    ("0e+1o", "0e+1o", 4),
    ("0e+1o+2e", "2e", 2),
    ("0e+0o+1o+1e", "1e+0o", 3),
]


def pair(irreps_in: str, irreps_out: str, correlation: int, channels: int = 2, species: int = 3):
    """mace-torch's module in float64, ours with its weights."""
    from e3nn import o3
    from mace.modules.symmetric_contraction import SymmetricContraction as Theirs

    many = ["+".join(f"{channels}x{ir}" for ir in irreps.split("+")) for irreps in (irreps_in, irreps_out)]
    with default_precision(D):
        torch.manual_seed(0)
        theirs = Theirs(*map(o3.Irreps, many), correlation, num_elements=species)
    ours = SymmetricContraction(*many, correlation, species, layout="mul_ir", dtype=D)
    load_mace_contraction(ours, theirs.state_dict())
    return theirs, ours


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients(case, generator) -> None:
    theirs, ours = pair(*case)
    dim = ours.irreps_in.dim // 2
    x = torch.randn(5, 2, dim, dtype=D, generator=generator).requires_grad_()
    species = torch.tensor([2, 0, 0, 1, 2])
    flat = torch.cat([block.flatten(1) for block in x.split([ir.dim for _, ir in ours.irreps_in], 2)], 1)
    expected, found = theirs(x, torch.nn.functional.one_hot(species, 3).to(D)), ours(flat, species)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    cotangent = torch.randn(expected.shape, dtype=D, generator=generator)
    gradients = [torch.autograd.grad(y, x, cotangent, create_graph=True)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-11)
    seconds = [torch.autograd.grad(gradient.square().sum(), x)[0] for gradient in gradients]
    torch.testing.assert_close(*seconds, rtol=1e-10, atol=1e-10)


def test_independent_paths() -> None:
    """Theirs counts 21 and 51 couplings of degree 3 to a vector, of which 5 and 12 are independent."""
    for irreps, counts in (("0e+1o+2e", (21, 5)), ("0e+1o+2e+3o", (51, 12))):
        theirs, ours = pair(irreps, "1o", 3)
        assert (theirs.contractions[0].weights_max.shape[1], ours.weights[2].shape[1]) == counts


def test_errors() -> None:
    theirs, ours = pair("0e+1o", "0e", 2)
    state = theirs.state_dict()
    with pytest.raises(CheckpointError, match="missing"):
        load_mace_contraction(ours, state, "products.0.")
    with pytest.raises(CheckpointError, match="expected"):
        load_mace_contraction(SymmetricContraction("2x0e+2x1o", "2x0e", 2, 4, dtype=D), state)
    before = [weight.clone() for weight in ours.weights]
    state["contractions.0.U_matrix_2"] = state["contractions.0.U_matrix_2"].clone()
    state["contractions.0.U_matrix_2"][1, 2] = 1.0
    with pytest.raises(CheckpointError, match="is left"):
        load_mace_contraction(ours, state)
    assert all(torch.equal(a, b) for a, b in zip(before, ours.weights, strict=True))
