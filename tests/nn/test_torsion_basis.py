"""The basis of torsions: associated Legendre functions and cosines, smooth where there is no torsion."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import lpmv

from intertwine.geometry import directions
from intertwine.nn.paths.waves import TorsionBasis


def test_basis_of_torsions(generator: torch.Generator) -> None:
    """Associated Legendre functions and cosines of multiples of the angle, at random directions; orthonormal on
    average; and on the axis, where there is no torsion, derivatives that agree with those next to it."""
    basis = TorsionBasis(5).double()
    points = torch.randn(60000, 3, generator=generator, dtype=torch.float64)
    u, v, w = directions(points).unflatten(0, (3, -1))
    uw, vw, uv = (u * w).sum(-1), (v * w).sum(-1), (u * v).sum(-1)
    found = basis(uw, vw, uv)
    normal = [directions(x - (x * w).sum(-1, keepdim=True) * w) for x in (u, v)]
    theta = torch.arccos((normal[0] * normal[1]).sum(-1).clamp(-1, 1)).numpy()
    for k, (l, m) in enumerate(basis.orders):
        wave = (-1) ** m * lpmv(m, l, uw.numpy()) * (1 - vw.numpy() ** 2) ** (m / 2) * np.cos(m * theta)
        ratio = found[0, k].item() / wave[0]
        assert np.abs(found[:, k].numpy() - ratio * wave).max() < 1e-11 * found[:, k].abs().max()
    gram = found.T @ found / len(found)
    assert (gram - torch.eye(len(gram))).abs().max() < 0.15
    values, weights = [], torch.randn(len(gram), generator=generator, dtype=torch.float64)
    for bend in (0.0, 1e-7):
        x = torch.tensor([[1.0, bend, 0], [0, bend, 1.0]], dtype=torch.float64, requires_grad=True)
        p, q = directions(x)
        (first,) = torch.autograd.grad((basis(p[:1], q[:1], (p @ q)[None]) @ weights).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
        values.append((first.detach(), second))
    for on, off in zip(*values, strict=True):
        assert (on - off).abs().max() < 1e-5 * on.abs().max()
