r"""Signals on the sphere by their coefficients, :math:`f(x) = \sum_l A^l \cdot Y^l(x)` with orthonormal harmonics."""

from __future__ import annotations

from math import pi
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.numerics import InputError, safe
from intertwine.o3.angles import angles_to_matrix
from intertwine.o3.irreps import Irreps
from intertwine.o3.peaks import climb, grid_maxima
from intertwine.o3.s2_transforms import FromS2Grid, ToS2Grid
from intertwine.o3.spherical_harmonics import spherical_harmonics


class Samples(NamedTuple):
    """A signal on the grid: positions (res_beta, res_alpha, 3) and values (..., res_beta, res_alpha)."""

    grid: Tensor
    values: Tensor


class SphericalTensor(Irreps):
    r"""The irreps of a signal on the sphere to degree lmax, and what one does with such a signal.

    A signal is a tensor of coefficients (..., dim) in the order of the irreps. Its value in the direction x is
    :math:`f(x) = \sum_l A^l \cdot Y^l(x)` with harmonics of normalisation ``integral``, so :math:`\int f^2 = \|A\|^2`;
    methods that take a ``normalization`` pass it to :class:`~intertwine.o3.ToS2Grid`. Under the inversion the signal
    becomes :math:`p_v\, f(p_a x)`.

    Args:
        lmax: largest degree.
        p_val: :math:`p_v`, 1 or -1: parity of the value.
        p_arg: :math:`p_a`, 1 or -1: -1 where the argument is a vector, 1 where it is a pseudovector.

    Raises:
        InputError: a negative degree, or another parity.

    >>> SphericalTensor(3, 1, -1), SphericalTensor(3, 1, 1)
    (1x0e+1x1o+1x2e+1x3o, 1x0e+1x1e+1x2e+1x3e)
    """

    __slots__ = ()

    def __new__(cls, lmax: int, p_val: int, p_arg: int) -> SphericalTensor:
        if p_val not in (1, -1) or p_arg not in (1, -1):
            raise InputError(f"parities {p_val!r} and {p_arg!r}", where="SphericalTensor", remedy="give 1 or -1.")
        if not isinstance(lmax, int) or lmax < 0:
            raise InputError(f"lmax = {lmax!r}", where="SphericalTensor", remedy="give an integer of 0 or more.")
        return super().__new__(cls, [(1, (l, p_val * p_arg**l)) for l in range(lmax + 1)])  # type: ignore[return-value]

    def __getnewargs__(self) -> tuple[int, int, int]:
        return self.lmax, self.p_val, self.p_arg

    @property
    def p_val(self) -> int:
        """Parity of the value."""
        return self[0].ir.p

    @property
    def p_arg(self) -> int:
        """Parity of the argument (1 where lmax = 0 does not tell)."""
        return self[1].ir.p * self.p_val if len(self) > 1 else 1

    def with_peaks_at(
        self, vectors: Float[Tensor, "*batch n 3"], values: Float[Tensor, "*values"] | None = None
    ) -> Float[Tensor, "... dim"]:
        r"""The smallest signal (in :math:`\int f^2`) that takes given values in given directions.

        Args:
            vectors: directions (..., N, 3); their lengths are the values where none are given.
            values: (..., N); directions of value zero are left out.

        Returns:
            coefficients (..., dim): the minimum-norm solution of :math:`Y(\hat r_i) \cdot A = v_i`.

        Raises:
            InputError: lengths as values of a pseudoscalar signal (they are even), or values that no signal to lmax
                takes there.

        >>> s, directions = SphericalTensor(4, 1, -1), torch.tensor([[1.0, 0.0, 0.0], [3.0, 4.0, 0.0]])
        >>> s.signal_xyz(s.with_peaks_at(directions), directions)
        tensor([1.0000, 5.0000])
        """
        _require_last(vectors, 3, "SphericalTensor.with_peaks_at")
        if values is None:
            if self.p_val != 1 and vectors.numel():
                raise InputError(
                    "lengths are even, the signal is odd", where="SphericalTensor.with_peaks_at", remedy="give values."
                )
            values = safe.norm(vectors)
        vectors, values = _broadcast(vectors, values)
        harmonics = torch.where((values != 0)[..., None], self._harmonics(vectors), 0.0)
        checked = values.numel() > 0 and safe.inspectable(values) and safe.inspectable(vectors)
        if checked and not bool(harmonics.isfinite().all() and values.isfinite().all()):
            raise InputError("directions or values that are not finite", where="SphericalTensor.with_peaks_at")
        heights = (torch.linalg.pinv(harmonics) @ values[..., None]).squeeze(-1)
        if checked:
            missed = (harmonics.detach() @ heights.detach()[..., None]).squeeze(-1) - values.detach()
            if bool(missed.abs().amax() > 1e-5 * values.detach().abs().amax()):
                what = f"no signal to degree {self.lmax} takes these values"
                raise InputError(what, where="SphericalTensor.with_peaks_at", remedy="raise lmax.")
        return heights

    def sum_of_diracs(
        self, positions: Float[Tensor, "*batch n 3"], values: Float[Tensor, "*values"]
    ) -> Float[Tensor, "... dim"]:
        r""":math:`f = \sum_i v_i\, \delta(x, \hat r_i)` with
        :math:`\delta = \frac{4\pi}{(l_{max}+1)^2} \sum_l Y^l(x) \cdot Y^l(\hat r_i)`, the Dirac distribution cut off at
        lmax and scaled to a peak of height 1.

        Args:
            positions: directions (..., N, 3).
            values: (..., N); leading axes broadcast.

        Returns:
            coefficients (..., dim).

        >>> s = SphericalTensor(7, 1, -1)
        >>> peaks = s.sum_of_diracs(torch.eye(3)[:2], torch.tensor([-1.0, 1.0]))
        >>> s.signal_xyz(peaks, torch.eye(3)).mul(10).round().abs()
        tensor([10., 10.,  0.])
        """
        positions, values = _broadcast(positions, values)
        return 4 * pi / self.dim * (self._harmonics(positions) * values[..., None]).sum(-2)

    def from_samples_on_s2(
        self, positions: Float[Tensor, "*batch n 3"], values: Float[Tensor, "*values"], res: int = 100
    ) -> Float[Tensor, "... dim"]:
        """The signal that takes everywhere the value of the nearest sample, projected to lmax.

        Args:
            positions: directions of the samples (..., N, 3).
            values: (..., N); leading axes broadcast.
            res: resolution of the grid on which the projection is computed.

        Returns:
            coefficients (..., dim), differentiable in the values; zero without samples.

        Raises:
            InputError: the grid does not resolve lmax.
        """
        positions, values = _broadcast(positions, values)
        if not positions.numel():
            return values.new_zeros(*values.shape[:-1], self.dim)
        to_tensor = FromS2Grid(res, self.lmax, "integral", dtype=values.dtype, device=values.device)
        nodes = to_tensor.grid.flatten(0, 1)
        with torch.no_grad():
            directions = safe.normalize(positions)
            # largest where |x - r| is smallest
            nearest = (directions @ nodes.T - directions.square().sum(-1, keepdim=True) / 2).argmax(-2)
        return to_tensor(values.gather(-1, nearest).unflatten(-1, (to_tensor.res_beta, to_tensor.res_alpha)))

    def norms(self, signal: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch degrees"]:
        r""":math:`\|A^l\|` for each degree, (..., lmax + 1); with zero derivatives at zero.

        >>> SphericalTensor(1, 1, -1).norms(torch.tensor([1.5, 0.0, 3.0, 4.0]))
        tensor([1.5000, 5.0000])
        """
        _require_last(signal, self.dim, "SphericalTensor.norms")
        return torch.stack([safe.norm(signal[..., part]) for part in self.slices()], dim=-1)

    def power(self, signal: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch degrees"]:
        r"""Power spectrum :math:`\|A^l\|^2`, (..., lmax + 1): how much each degree contributes to :math:`\int f^2`
        (Parseval).

        >>> SphericalTensor(1, 1, -1).power(torch.tensor([1.5, 0.0, 3.0, 4.0]))
        tensor([ 2.2500, 25.0000])
        """
        _require_last(signal, self.dim, "SphericalTensor.power")
        return torch.stack([signal[..., part].square().sum(-1) for part in self.slices()], dim=-1)

    def signal_xyz(
        self, signal: Float[Tensor, "*signals dim"], r: Float[Tensor, "*points 3"]
    ) -> Float[Tensor, "*signals *points"]:
        r""":math:`f(r / \|r\|)` of every signal at every point, (\*signals, \*points).

        Args:
            signal: coefficients (\*signals, dim).
            r: directions (\*points, 3) of any length; the zero vector sees the mean of f alone, with zero derivatives.

        >>> s = SphericalTensor(3, 1, -1)
        >>> s.signal_xyz(s.randn(2, 1, 3, -1), torch.randn(2, 4, 3)).shape
        torch.Size([2, 1, 3, 2, 4])
        """
        _require_last(signal, self.dim, "SphericalTensor.signal_xyz")
        _require_last(r, 3, "SphericalTensor.signal_xyz")
        values = signal.reshape(-1, self.dim) @ self._harmonics(r).reshape(-1, self.dim).T
        return values.reshape(signal.shape[:-1] + r.shape[:-1])

    def signal_on_grid(
        self, signal: Float[Tensor, "*batch dim"], res: Any = 100, normalization: Any = "integral"
    ) -> Samples:
        """The signal on a grid: ``grid``, points (res_beta, res_alpha, 3), and ``values`` (..., res_beta, res_alpha).

        Args:
            signal: coefficients (..., dim).
            res, normalization: as in :class:`~intertwine.o3.ToS2Grid`.
        """
        to_grid = ToS2Grid(self.lmax, res, normalization, dtype=signal.dtype, device=signal.device)
        return Samples(to_grid.grid, to_grid(signal))

    def plot(
        self,
        signal: Float[Tensor, "*batch dim"],
        center: Float[Tensor, "*#batch 3"] | None = None,
        res: Any = 100,
        radius: bool = True,
        relu: bool = False,
        normalization: Any = "integral",
    ) -> tuple[Float[Tensor, "*batch beta alpha 3"], Float[Tensor, "*batch beta alpha"]]:
        """A closed surface to draw: its points and the values on it, as ``plot_surface(*r.unbind(-1))`` and plotly's
        ``Surface`` want them.

        The first and the last parallel are drawn together to the poles, and the first meridian is repeated at the end.

        Args:
            signal: coefficients (..., dim).
            center: where the surface stands, (..., 3); at the origin if None.
            res, normalization: as in :class:`~intertwine.o3.ToS2Grid`.
            radius: whether the distance from the centre is the absolute value, or 1.
            relu: whether negative values count as zero.

        Returns:
            points (..., res_beta, res_alpha + 1, 3) and values (..., res_beta, res_alpha + 1).
        """
        grid, values = self.signal_on_grid(signal, res, normalization)
        values = values.relu() if relu else values
        poles = [x.mean(-1, keepdim=True).expand_as(x) for x in (values[..., :1, :], values[..., -1:, :])]
        values = torch.cat([poles[0], values[..., 1:-1, :], poles[1]], dim=-2)
        top = torch.tensor([0.0, 1.0, 0.0], dtype=grid.dtype, device=grid.device).expand_as(grid[:1])
        grid = torch.cat([top, grid[1:-1], -top], dim=0)
        grid, values = torch.cat([grid, grid[:, :1]], dim=1), torch.cat([values, values[..., :1]], dim=-1)
        surface = grid * values.abs()[..., None] if radius else grid.expand(*values.shape, 3)
        return (surface if center is None else surface + center[..., None, None, :]), values

    def plotly_surface(
        self,
        signals: Float[Tensor, "*batch dim"],
        centers: Float[Tensor, "*centers 3"] | None = None,
        res: Any = 100,
        radius: bool = True,
        relu: bool = False,
        normalization: Any = "integral",
    ) -> list[dict[str, Any]]:
        """The arguments of one ``plotly.graph_objects.Surface`` for each signal; see :meth:`plot`.

        >>> s = SphericalTensor(4, 1, 1)
        >>> [sorted(trace) for trace in s.plotly_surface(s.randn(-1))]
        [['surfacecolor', 'x', 'y', 'z']]
        """
        signals = signals.detach().reshape(-1, self.dim)
        places = [None] * len(signals) if centers is None else centers.detach().reshape(-1, 3)
        if len(places) != len(signals):
            raise InputError(
                f"{len(signals)} signals, {len(places)} centres", where="plotly_surface", remedy="give one for each."
            )
        traces = []
        for signal, center in zip(signals, places):
            r, f = (x.cpu().numpy() for x in self.plot(signal, center, res, radius, relu, normalization))
            traces.append({"x": r[..., 0], "y": r[..., 1], "z": r[..., 2], "surfacecolor": f})
        return traces

    def find_peaks(
        self, signal: Float[Tensor, "dim"], res: int = 100, refine: bool = False
    ) -> tuple[Float[Tensor, "peaks 3"], Float[Tensor, "peaks"]]:
        """Local maxima of one signal, the highest first.

        The grid is searched twice, the second time turned so that its poles and its seam lie elsewhere; what both find
        counts once.

        Args:
            signal: coefficients (dim).
            res: resolution of the grid.
            refine: whether to go on from the nodes, which are e3nn's answer, to the maxima themselves by Newton's
                method.

        Returns:
            unit vectors (peaks, 3), and the values there (peaks), differentiable in the signal. A constant has no
            peaks.

        Raises:
            InputError: not one signal.

        >>> s = SphericalTensor(4, 1, -1)
        >>> where, height = s.find_peaks(s.with_peaks_at(torch.tensor([[4.0, 0.0, 4.0], [0.0, 5.0, 0.0]])), refine=True)
        >>> where[height > 4].mul(10).round().abs()
        tensor([[ 7.,  0.,  7.],
                [ 0., 10.,  0.]])
        """
        if signal.shape != (self.dim,):
            raise InputError(
                f"shape {tuple(signal.shape)}",
                where="SphericalTensor.find_peaks",
                remedy=f"give one signal, ({self.dim},).",
            )
        turn = angles_to_matrix(*signal.new_full((3,), pi / 2))
        grid, values = self.signal_on_grid(signal, res)
        turned = self.signal_on_grid(self.D_from_matrix(turn) @ signal, res).values
        first, second = grid_maxima(values.detach()), grid_maxima(turned.detach())
        points, others = grid[first], grid[second] @ turn
        alone = ((points[:, None] - others).norm(dim=-1) >= 2 * pi / res).all(1)
        points, heights = torch.cat([points[alone], others]), torch.cat([values[first][alone], turned[second]])
        if refine:
            with torch.inference_mode(False):  # derivatives are needed there too
                fixed = signal.detach().clone()
            points = climb(lambda x: self.signal_xyz(fixed, x), points)
            again = (points[:, None] - points).norm(dim=-1) < 1e-4
            points = points[~again.tril(-1).any(1)]
            heights = self.signal_xyz(signal, points)
        order = heights.detach().argsort(descending=True, stable=True)
        return points[order], heights[order]

    def _harmonics(self, r: Tensor) -> Tensor:
        return spherical_harmonics(list(range(self.lmax + 1)), r, normalize=True)


def _broadcast(vectors: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    _require_last(vectors, 3, "SphericalTensor")
    vectors, wide = torch.broadcast_tensors(vectors, values[..., None])
    return vectors, wide[..., 0]


def _require_last(x: Tensor, size: int, where: str) -> None:
    if x.ndim == 0 or x.shape[-1] != size or not x.is_floating_point():
        raise InputError(f"expected floats of shape (..., {size}), got {x.dtype} {tuple(x.shape)}", where=where)
