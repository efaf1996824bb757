"""Frames of edges: rotations to the axis at every direction, poles included; right derivatives of all that ignores the
roll.
"""

from __future__ import annotations

import pytest
import torch
from switches import as_users_run_it
from torch import Tensor

from intertwine.groups.wigner import wigner_d_blocks
from intertwine.numerics import InputError
from intertwine.o3 import rand_matrix, spherical_harmonics
from intertwine.o3.edge_frames import EdgeFrames, edge_frames, edge_rotations, frame_block

D = torch.float64


def blocks_of(frames: EdgeFrames) -> list[Tensor]:
    """The degrees from 1 on."""
    return [frame_block(frames, l) for l in range(1, frames.lmax + 1)]


EPS = torch.finfo(D).eps


def directions() -> Tensor:
    """The poles and 1e-3 to 1e-300 away from them, the equator where the charts meet, axes, and 30 random ones, of many
    lengths.
    """
    poles = torch.tensor([[0.0, 1, 0], [0, -1, 0]], dtype=D)
    steps = torch.tensor([[1e-3, 0, 1e-3], [1e-9, 0, 0], [0, 0, -1e-15], [1e-300, 0, 0]], dtype=D)
    near = (poles[:, None] + steps).reshape(-1, 3)
    equator = torch.tensor([[1.0, 0, 0], [1, 1e-14, 0], [1, -1e-14, 0], [0, -0.0, -1], [-1, 0, 1]], dtype=D)
    random = torch.randn(30, 3, dtype=D, generator=torch.Generator().manual_seed(0))
    every = torch.cat([poles, near, equator, random])
    return every * torch.logspace(-3, 3, len(every), dtype=D)[:, None]


def test_the_direction_goes_to_the_axis_by_a_rotation() -> None:
    u = torch.nn.functional.normalize(directions(), dim=-1)
    R = edge_rotations(u)
    assert torch.allclose(R @ R.mT, torch.eye(3, dtype=D), rtol=0, atol=4 * EPS)
    assert torch.allclose(torch.linalg.det(R), torch.ones(len(u), dtype=D), rtol=0, atol=8 * EPS)
    assert torch.allclose(
        (R @ u[..., None])[..., 0], torch.tensor([0.0, 1, 0], dtype=D).expand_as(u), rtol=0, atol=4 * EPS
    )


def test_harmonics_become_those_of_the_axis() -> None:
    r = directions()
    frames = edge_frames(r, 8)
    assert frames.zero is None
    for l, block in enumerate(blocks_of(frames), start=1):
        on_axis = torch.zeros(2 * l + 1, dtype=D)
        on_axis[l] = 1
        turned = (block @ spherical_harmonics(l, r, True, "norm")[..., None])[..., 0]
        assert torch.allclose(turned, on_axis.expand_as(turned), rtol=0, atol=40 * EPS)


@pytest.mark.parametrize("mmax", [0, 1, 3])
def test_only_the_rows_that_are_asked_for(mmax: int) -> None:
    some, every = edge_frames(directions(), 5, mmax), edge_frames(directions(), 5)
    for l, (rows, block) in enumerate(zip(blocks_of(some), blocks_of(every)), start=1):
        kept = min(l, mmax)
        assert rows.shape[1] == 2 * kept + 1
        assert torch.allclose(rows, block[:, l - kept : l + kept + 1], rtol=0, atol=4 * EPS)
    R = rand_matrix(3, dtype=D, generator=torch.Generator().manual_seed(0))
    first = wigner_d_blocks(2, R, 0)[1]
    first.zero_()  # a copy: the caller's rotations stay
    assert bool((R[:, 1] != 0).all())


def around(r: Tensor, x: Tensor, plain: bool) -> Tensor:
    """Something that does not feel the roll: a map that commutes with rotations about the axis, between two turns."""
    if plain:
        with as_users_run_it():
            blocks = wigner_d_blocks(3, edge_rotations(torch.nn.functional.normalize(r, dim=-1)), 2)
    else:
        blocks = [None, *blocks_of(edge_frames(r, 3, 2))]
    even, odd = torch.tensor([0.3, -1.2, 0.7, -1.2, 0.3], dtype=D), torch.tensor([0.9, 0.4, 0.0, -0.4, -0.9], dtype=D)
    inside = (blocks[3] @ x[..., None])[..., 0]
    return (blocks[2].mT @ (inside * even + inside.flip(-1) * odd)[..., None])[..., 0]


def test_derivatives_at_and_around_the_poles() -> None:
    at = torch.tensor(
        [[0.0, 2, 0], [0, -0.5, 0], [1e-9, -1, 0], [1, 0, 0], [1, -1e-13, 0.2], [0.3, -0.4, 0.5]], dtype=D
    )
    x = torch.randn(len(at), 7, dtype=D, generator=torch.Generator().manual_seed(1))
    leaves = (at.requires_grad_(), x.requires_grad_())
    assert torch.autograd.gradcheck(lambda r, x: around(r, x, False), leaves)
    assert torch.autograd.gradgradcheck(lambda r, x: around(r, x, False), leaves)


def test_the_rule_without_roll_is_the_derivative_of_the_recursion() -> None:
    """To third order."""
    r = directions()[10:]
    x = torch.randn(len(r), 7, dtype=D, generator=torch.Generator().manual_seed(1))
    found = []
    for plain in (False, True):
        leaf = r.clone().requires_grad_()
        total, orders = around(leaf, x, plain), []
        for order in range(3):
            weights = torch.randn(total.shape, dtype=D, generator=torch.Generator().manual_seed(order))
            (total,) = torch.autograd.grad((total * weights).sum(), leaf, create_graph=True)
            total = total * leaf.detach().norm(dim=-1, keepdim=True)
            orders.append(total)
        found.append(orders)
    for mine, other in zip(*found):
        torch.testing.assert_close(mine, other, rtol=1e-11, atol=1e-11)


def test_an_edge_of_length_zero_has_no_frame() -> None:
    r = torch.zeros(2, 3, dtype=D)
    r[1, 0] = 1e-200
    r.requires_grad_()
    frames = edge_frames(r, 3)
    assert frames.zero.tolist() == [True, False]
    assert not bool(frames.matrices[0].any())
    assert all(bool(block[1].any()) for block in blocks_of(frames))
    (gradient,) = torch.autograd.grad(frames.matrices[0].sum(), r, create_graph=True)
    assert not bool(gradient.any())
    assert bool(torch.autograd.grad(gradient.sum(), r)[0].isfinite().all())


def test_shapes_and_precisions() -> None:
    empty = edge_frames(torch.zeros(0, 3), 2)
    assert [tuple(block.shape) for block in blocks_of(empty)] == [(0, 3, 3), (0, 5, 5)]
    assert edge_frames(torch.ones(2, 3), 0).matrices.tolist() == [[1.0], [1.0]]
    r = directions()
    single, double = edge_frames(r.float(), 6).matrices, edge_frames(r.float().double(), 6).matrices
    assert single.dtype == torch.float32
    assert torch.equal(single, double.float())  # computed in double precision, rounded once
    with as_users_run_it():
        for wrong in (torch.zeros(3), torch.zeros(2, 4), torch.zeros(2, 3, dtype=torch.int64)):
            with pytest.raises(InputError, match="floats of shape"):
                edge_frames(wrong, 2)
        with pytest.raises(InputError, match="degree"):
            edge_frames(torch.zeros(2, 3), -1)
        with pytest.raises(InputError, match="degree"):
            edge_frames(torch.zeros(2, 3), 2, -1)
