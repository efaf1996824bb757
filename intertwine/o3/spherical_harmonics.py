r"""Real spherical harmonics of vectors, in e3nn's order, signs and normalisations.

The polynomials are in :mod:`intertwine.o3.solid_harmonics`, compiled ones in ``kernels/harmonics``; here are
conventions, derivatives, and the choice between the two.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import ExactBuffers, InputError, Rebuildable, choose
from intertwine.numerics.limits import MOST_COMPONENTS, check_degrees, check_size
from intertwine.numerics.safe import plain
from intertwine.o3.blocks import LAYOUTS, channels_innermost
from intertwine.o3.fused_harmonics import fused
from intertwine.o3.harmonic_constants import tables_for
from intertwine.o3.harmonic_derivatives import Harmonics, values
from intertwine.o3.irreps import Irrep, Irreps
from intertwine.o3.solid_harmonics import solid_harmonics
from intertwine.o3.unit_vectors import Unit, direction

NORMALIZATIONS = ("integral", "component", "norm")


class SphericalHarmonics(Rebuildable, ExactBuffers):
    r"""The module of :func:`spherical_harmonics`.

    Args:
        irreps_out: degrees of the output: one, a list, or irreps such as ``"0e + 1o + 2e"`` (multiplicity n repeats a
            degree n times).
        normalize: whether to evaluate at :math:`x / \|x\|`.
        normalization: ``integral``, ``component`` or ``norm``.
        irreps_in: what the input is: ``"1o"``, a vector, or ``"1e"``, a pseudovector. By default a vector, unless
            ``irreps_out`` has an odd degree of even parity.
        layout: where equal neighbours of the list repeat, their order on the last axis: ``mul_ir``, copy after copy, or
            ``ir_mul``, component after component.

    Attributes:
        irreps_in, irreps_out: what the input and the output transform like.
        degrees: the list of degrees.

    Raises:
        InputError: a negative degree, an unknown normalisation or layout, an ``irreps_in`` that is not one vector, or a
            parity that the harmonics of that input do not have.

    >>> harmonics = SphericalHarmonics("0e + 1o + 2e", normalize=True)
    >>> harmonics(torch.randn(7, 3)).shape, harmonics.irreps_out
    (torch.Size([7, 9]), 1x0e+1x1o+1x2e)
    """

    order: Tensor | None

    def __init__(
        self,
        irreps_out: int | Sequence[int] | str | Irrep | Irreps,
        normalize: bool,
        normalization: str = "integral",
        irreps_in: Any = None,
        *,
        layout: str = "mul_ir",
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.normalization = choose(normalization, NORMALIZATIONS, kind="normalization", where="SphericalHarmonics")
        self.layout = choose(layout, LAYOUTS, kind="layout", where="SphericalHarmonics")
        self.irreps_in, self.degrees = _resolve(irreps_out, irreps_in)
        parity = self.irreps_in[0].ir.p
        self.irreps_out = Irreps([(1, (l, parity**l)) for l in self.degrees]).simplify()
        reordered = layout == "ir_mul" and any(mul > 1 for mul, _ in self.irreps_out)
        if reordered:
            self.register_exact("order", channels_innermost(self.irreps_out))
        else:
            self.register_buffer("order", None, persistent=False)

    def _rebuild(self, state: Mapping[str, Any]) -> None:
        SphericalHarmonics.__init__(
            self, state["_ls_list"], state["normalize"], state["normalization"], state["irreps_in"]
        )

    def forward(self, x: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch dim"]:
        """Harmonics of vectors: components of ``irreps_out`` on the last axis; the unit is that of x to the power l, or
        none.

        Raises:
            InputError: x is not of shape (..., 3), or not of floating point.
        """
        _check_vectors(x, "SphericalHarmonics")
        result = _evaluate(x, self.normalize, self.degrees, self.normalization)
        return result if self.order is None else result.index_select(-1, self.order.to(x.device))

    def extra_repr(self) -> str:
        return (
            f"{self.irreps_in} -> {self.irreps_out}, normalize={self.normalize}, normalization={self.normalization!r}"
        )


def spherical_harmonics(
    l: int | Sequence[int] | str | Irrep | Irreps,
    x: Float[Tensor, "*batch 3"],
    normalize: bool,
    normalization: str = "integral",
) -> Float[Tensor, "*batch dim"]:
    r"""Real spherical harmonics :math:`Y^l(x)`, homogeneous harmonic polynomials with
    :math:`Y^l(R x) = D^l(R)\, Y^l(x)`.

    The polar axis is y; component :math:`m = -l \ldots l` goes with :math:`\sin |m|\alpha` for m < 0 and
    :math:`\cos m\alpha` for m > 0, where :math:`z + i x = \rho\, e^{i\alpha}`; so :math:`Y^1 \propto (x, y, z)`.
    Derivatives of every order are finite everywhere. With ``normalize`` the zero vector has :math:`Y^0` constant, the
    other degrees 0, and derivatives 0.

    Args:
        l: degree, list of degrees (any order, with repeats), or irreps; the output follows its order.
        x: vectors, in any unit of length.
        normalize: whether to evaluate at :math:`x / \|x\|`.
        normalization: on the unit sphere ``component`` has :math:`\|Y^l\|^2 = 2l+1`, ``norm`` has :math:`\|Y^l\| = 1`,
            and ``integral`` has :math:`\int (Y^l_m)^2 = 1`.

    Returns:
        The components, of the degree of x's unit to the power l where x is not normalised; none where it is.

    Raises:
        InputError: as :class:`SphericalHarmonics`.

    Source: Hobson, *The Theory of Spherical and Ellipsoidal Harmonics* (1931), chapter IV; conventions of e3nn 0.6.

    >>> spherical_harmonics([0, 1], torch.tensor([0.0, 2.0, 0.0]), normalize=True, normalization="norm")
    tensor([1., 0., 1., 0.])
    """
    choose(normalization, NORMALIZATIONS, kind="normalization", where="spherical_harmonics")
    _check_vectors(x, "spherical_harmonics")
    degrees = _resolve(l, None)[1] if isinstance(l, str | Irreps | Irrep) else read_degrees(l, "spherical_harmonics")
    return _evaluate(x, normalize, degrees, normalization)


def read_degrees(l: int | Sequence[int] | str | Irrep | Irreps, where: str) -> tuple[int, ...]:
    """The degrees that an argument names: one, a list, or irreps.

    Raises:
        InputError: a degree is negative, beyond 100 or not an integer, or there are more than a million components.
    """
    if isinstance(l, str | Irreps | Irrep):  # an irrep is a pair of numbers as well
        irreps = Irreps(l)
        check_degrees((ir.l for mul, ir in irreps if mul), where)
        check_size(irreps.dim, "components", where, MOST_COMPONENTS)
        return tuple(irreps.ls)
    entries: Any = l if isinstance(l, Sequence) else (l,)
    try:
        degrees = tuple(operator.index(degree) for degree in entries)
    except TypeError:
        raise InputError(
            f"{l!r} is not a degree, a list of degrees or irreps",
            where=where,
            remedy='for example 2, [0, 1] or "0e + 1o".',
        ) from None
    if any(degree < 0 for degree in degrees):
        raise InputError(f"degrees start at 0, got {list(degrees)}", where=where, remedy="drop the negative ones.")
    check_degrees(degrees, where)
    check_size(sum(2 * degree + 1 for degree in degrees), "components", where, MOST_COMPONENTS)
    return degrees


def _resolve(irreps_out: Any, irreps_in: Any) -> tuple[Irreps, tuple[int, ...]]:
    """The input's irreps and the degrees; e3nn's rules for parities that are not given."""
    degrees = read_degrees(irreps_out, "SphericalHarmonics")
    asked = Irreps(irreps_out) if isinstance(irreps_out, str | Irreps | Irrep) else Irreps()
    if irreps_in is None:
        irreps_in = "1e" if any(ir.l % 2 == 1 and ir.p == 1 for _, ir in asked) else "1o"
    vector = Irreps(irreps_in)
    if vector not in (Irreps("1o"), Irreps("1e")):
        raise InputError(
            f"the input of the harmonics is one vector, not {vector}",
            where="SphericalHarmonics",
            remedy='irreps_in is "1o" or "1e".',
        )
    parity = vector[0].ir.p
    for _, ir in asked:
        if ir.p != parity**ir.l:
            right = "e" if parity**ir.l == 1 else "o"
            raise InputError(
                f"harmonics of degree {ir.l} of a {vector[0].ir} have parity {right}, and {asked} asks for {ir}",
                where="SphericalHarmonics",
                remedy=f"write {ir.l}{right}, or change irreps_in.",
            )
    return vector, degrees


def _check_vectors(x: Tensor, where: str) -> None:
    if x.ndim == 0 or x.shape[-1] != 3 or not x.is_floating_point():
        raise InputError(f"vectors must be floats of shape (..., 3), got {x.dtype} {tuple(x.shape)}", where=where)


def _evaluate(x: Tensor, normalize: bool, degrees: tuple[int, ...], normalization: str) -> Tensor:
    harmonics = fused(x, normalize, degrees, normalization)
    if harmonics is not None:
        return harmonics
    tables = tables_for(degrees, normalization, x)
    points = x.reshape(-1, 3).t()
    if not plain(points):
        result = solid_harmonics(direction(points)[0] if normalize else points, tables).t().contiguous()
    elif points.requires_grad and torch.is_grad_enabled():
        result = Harmonics.apply(Unit.apply(points) if normalize else points, tables)
    else:
        result = values(direction(torch.stack(points.unbind()))[0] if normalize else points, tables)
    return result.reshape(*x.shape[:-1], tables.polar.shape[0])
