r"""Orders and signs of other programs' spherical harmonics, and the matrices that lead there from ours and back.

Ours are e3nn's: the polar axis is y, and degree 1 is (x, y, z). Textbooks and most programs take z. With the textbook's
real harmonics :math:`Y_{lm} \propto P_l^{|m|}(\cos\theta) \times (\sin|m|\phi,\ 1,\ \cos m\phi)` for m < 0, m = 0, m >
0, without the phase of Condon and Shortley, the conventions here are:

| name | components of degree l | degree 1 | used by |
|---|---|---|---|
| ``e3nn`` | m = -l, ..., l about the y axis | x, y, z | e3nn, nequip, MACE, intertwine |
| ``textbook`` | m = -l, ..., l | y, z, x | sphericart |
| ``pyscf`` | m = -l, ..., l; but x, y, z in degree 1 | x, y, z | the spherical orbitals of PySCF and libcint |
| ``e3x`` | m = l, -l, l-1, -(l-1), ..., 1, -1, 0 | x, y, z | e3x, in its Cartesian order (the default) |
| ``complex`` | m = -l, ..., l, Condon and Shortley's phase | (x-iy)/√2, z, -(x+iy)/√2 | scipy's ``sph_harm_y``, sympy |

The matrices are orthogonal (unitary for ``complex``), so they leave a normalisation as it is: what is called
``integral`` in e3nn is that of PySCF, scipy and textbooks; ``norm`` is Racah's, that of e3x.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from intertwine.groups.wigner import wigner_d
from intertwine.numerics import InputError, choose
from intertwine.o3.blocks import LAYOUTS, join_blocks, split_blocks
from intertwine.o3.irreps import Irreps

CONVENTIONS = ("e3nn", "textbook", "pyscf", "e3x", "complex")


def convention_matrix(
    l: int, target: str, source: str = "e3nn"
) -> Float[np.ndarray, "target source"] | Complex[np.ndarray, "target source"]:
    r"""The matrix A with :math:`Y_{target}(r) = A\, Y_{source}(r)` at every r, for harmonics of one degree.

    Args:
        l: degree, 0 or more.
        target: one of ``CONVENTIONS``.
        source: one of ``CONVENTIONS``.

    Returns:
        read-only (2l+1, 2l+1) in float64, orthogonal; in complex128, unitary, where one of the two is ``complex``.

    Raises:
        InputError: negative degree, or unknown convention.

    >>> convention_matrix(1, "textbook")
    array([[0., 1., 0.],
           [0., 0., 1.],
           [1., 0., 0.]])
    """
    for name in (target, source):
        choose(name, CONVENTIONS, kind="convention", where="convention_matrix")
    if not isinstance(l, int) or isinstance(l, bool) or l < 0:
        raise InputError(f"{l!r} is not a degree", where="convention_matrix", remedy="give an integer of 0 or more.")
    return _matrix(l, target, source)


def convert(
    x: Float[Tensor, "..."] | Complex[Tensor, "..."], irreps: Any, source: str, target: str, layout: str = "mul_ir"
) -> Float[Tensor, "..."] | Complex[Tensor, "..."]:
    r"""Components in one convention from those in another: :math:`A x` for each irrep, A from
    :func:`convention_matrix`.

    The components of a feature, of a spherical harmonic or of an orbital go this way. So do the coefficients :math:`c`
    of an expansion :math:`\sum_m c_m Y_m` between real conventions; to ``complex`` they take the conjugate matrix:
    convert ``c.conj()`` and conjugate.

    Args:
        x: (..., irreps.dim) in the convention ``source``; real, or complex where ``source`` is ``"complex"``.
        irreps: what x is made of.
        source: one of ``CONVENTIONS``.
        target: one of ``CONVENTIONS``.
        layout: ``"mul_ir"``, channels outermost in each block, or ``"ir_mul"``, innermost; kept.

    Returns:
        (..., irreps.dim) in the convention ``target``. From ``complex`` the result stays complex: its imaginary part is
        zero, up to rounding, where x stands for something real.

    Raises:
        InputError: the last axis of x is not ``irreps.dim``, or an unknown convention or layout.

    >>> convert(torch.tensor([1.0, 2.0, 3.0]), "1o", source="e3nn", target="textbook")
    tensor([2., 3., 1.])
    """
    irreps = Irreps(irreps)
    choose(layout, LAYOUTS, kind="layout", where="convert")
    if x.shape[-1:] != (irreps.dim,):
        raise InputError(
            f"got shape {tuple(x.shape)} for {irreps}",
            where="convert",
            remedy=f"the last axis must be {irreps.dim} long.",
        )
    if not (x.is_floating_point() or x.is_complex()):
        raise InputError(f"got {x.dtype}", where="convert", remedy="convert the components to floating point.")
    parts = [x[..., :0] if "complex" not in (source, target) else x[..., :0] + 0j]
    for block, (_, ir) in zip(split_blocks(x, irreps, layout), irreps):
        A = torch.tensor(convention_matrix(ir.l, target, source), device=x.device)
        dtype = torch.promote_types(x.dtype, torch.complex32) if A.is_complex() else x.dtype
        parts.append(join_blocks([block.to(dtype) @ A.to(dtype).T], layout))
    return torch.cat(parts, dim=-1)


@lru_cache(maxsize=256)
def _matrix(l: int, target: str, source: str) -> np.ndarray:
    A = _from_textbook(l, target) @ _from_textbook(l, source).conj().T if target != source else np.eye(2 * l + 1)
    A.setflags(write=False)
    return A


@lru_cache(maxsize=256)
def _from_textbook(l: int, name: str) -> np.ndarray:
    """A with Y = A Y_textbook."""
    eye = np.eye(2 * l + 1)  # row l + m is the harmonic m
    if name == "pyscf" and l == 1:
        return eye[[2, 0, 1]]
    if name in ("textbook", "pyscf"):
        return eye
    if name == "e3x":
        return eye[[l + m for k in range(l, 0, -1) for m in (k, -k)] + [l]]
    if name == "complex":
        m = np.arange(1, l + 1)
        A = eye.astype(np.complex128)
        A[l - m, l + m], A[l - m, l - m] = 0.5**0.5, -1j * 0.5**0.5
        A[l + m, l + m], A[l + m, l - m] = (-1.0) ** m * 0.5**0.5, 1j * (-1.0) ** m * 0.5**0.5
        return A
    # e3nn's harmonic m at r is the textbook's at P r = (z, x, y), and P acts on e3nn's by its Wigner matrix
    P = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64, device="cpu")
    return wigner_d(l, P).numpy()
