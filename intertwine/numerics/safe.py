r"""Functions with a finite value and finite derivatives of every order at the points where the plain formula has none.

At a singular point (the zero vector, a pole, collinear points) each function takes the value stated in its docstring
and all derivatives are zero there. The trick is the same throughout: the argument is replaced by a harmless constant
*before* the singular operation, and the result by the stated value after it, so no infinity enters the backward pass.

Vectors are divided by their largest component first. That scale counts as a constant, which is exact because every
function here is homogeneous in it; squares then neither overflow nor underflow, and nor do the backward pass's negative
powers.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor

_PLAIN_TYPES = (Tensor, torch.nn.Parameter, torch.nn.Buffer)


def sqrt(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r"""``sqrt(x)`` for ``x > 0``, and 0 with zero derivatives for ``x <= 0``."""
    zero = x <= 0  # NaN is not, and stays
    return torch.where(zero, 0.0, torch.where(zero, 1.0, x).sqrt())


def norm(x: Float[Tensor, "*shape dim"], keepdim: bool = False) -> Float[Tensor, "..."]:
    r"""Euclidean norm :math:`\|x\|` over the last axis; 0 with zero derivatives at the zero vector."""
    if ordinary(x):
        return (x * x).sum(-1, keepdim=keepdim).sqrt()
    scale = _scale(x)
    scaled = x / scale
    result = scale * sqrt((scaled * scaled).sum(-1, keepdim=True))
    return result if keepdim else result.squeeze(-1)


def soft_norm(x: Float[Tensor, "..."], scale: float, dim: int = -1) -> Float[Tensor, "..."]:
    r""":math:`\sqrt{\|x\|^2 + s^2} - s`: the norm far from zero, :math:`\|x\|^2/2s` near it, and smooth everywhere.

    The norm itself has a cusp at zero. Where symmetry makes a vector vanish (the carbon of methane) the derivative of
    the cusp is a unit vector along rounding noise, and forces would be noise of order one.

    Args:
        x: vectors along ``dim``.
        scale: s > 0, where the two regimes meet, in the unit of x.
        dim: the axis to reduce.
    """
    square = (x * x).sum(dim)
    return square / ((square + scale * scale).sqrt() + scale)  # the same as the formula, without its cancellation


def normalize(x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape dim"]:
    r"""Unit vector :math:`x/\|x\|`; the zero vector, with zero derivatives, at the zero vector."""
    if ordinary(x):
        return x * (x * x).sum(-1, keepdim=True).rsqrt()
    scaled = x / _scale(x)
    square = (scaled * scaled).sum(-1, keepdim=True)
    zero = square <= 0
    return torch.where(zero, 0.0, scaled * torch.where(zero, 1.0, square).rsqrt())


def compress(x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape dim"]:
    r""":math:`x\, \mathrm{asinh}(\|x\|) / \|x\|`: short vectors as they are, of long ones the logarithm of the length.

    Below a length of 0.1 by its series to :math:`\|x\|^{16}`, so that all derivatives exist.
    """
    square = (x * x).sum(-1, keepdim=True)
    small = square < 1e-2
    inner = torch.where(small, square, 0.0)
    series = torch.ones_like(square)
    for k in range(8, 0, -1):
        series = 1 - series * inner * ((2 * k - 1) ** 2 / (2 * k * (2 * k + 1)))
    length = torch.where(small, 1.0, square).sqrt()
    return x * torch.where(small, series, length.asinh() / length)


def angle(x: Float[Tensor, "*shape 3"], y: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape"]:
    r"""Angle between two vectors in [0, pi] (radians), :math:`\mathrm{atan2}(\|x \times y\|, x \cdot y)`.

    Accurate at small angles and near pi, where ``acos`` of the cosine loses half of the digits. Collinear vectors give
    0 or pi with zero derivatives; a zero vector gives 0.
    """
    x, y = x / _scale(x), y / _scale(y)
    sine, cosine = norm(torch.linalg.cross(x, y, dim=-1)), (x * y).sum(-1)
    collinear = sine == 0
    value = torch.atan2(torch.where(collinear, 1.0, sine), torch.where(collinear, 1.0, cosine))
    # two plain numbers would be of the default precision
    flat = torch.where(cosine < 0, torch.pi, torch.zeros_like(value))
    return torch.where(collinear, flat, value)


def sinc(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r""":math:`\sin(x) / x`, 1 at zero, with accurate derivatives there (those of ``torch.sinc`` are NaN from the second
    on).

    Below |x| = 0.3 by its series to :math:`x^{14}`, which is exact to the last digit in float64 up to the third
    derivative.
    """
    small = x.abs() < 0.3
    if inspectable(x) and not bool(small.any()):
        return x.sin() / x
    square = torch.where(small, x * x, 0.0)
    series = torch.ones_like(x)
    for k in range(7, 0, -1):
        series = 1 - series * square / (2 * k * (2 * k + 1))
    large = torch.where(small, 1.0, x)
    return torch.where(small, series, large.sin() / large)


def sinc_sqrt(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r""":math:`\sin(\sqrt x) / \sqrt x` for :math:`x \ge 0`: :func:`sinc` as the smooth function of its squared argument
    that it is.

    Of a squared length it has the true derivatives at zero; :func:`sinc` of :func:`norm` has not.
    """
    small = x < 0.09
    series, inner = torch.ones_like(x), torch.where(small, x, 0.0)
    for k in range(7, 0, -1):
        series = 1 - series * inner / (2 * k * (2 * k + 1))
    root = torch.where(small, 1.0, x).sqrt()
    return torch.where(small, series, root.sin() / root)


def inspectable(x: Tensor) -> bool:
    """Whether Python may look at the values of x for nothing: on the CPU, and neither compiled, traced, fake nor of
    ``torch.func``.
    """
    return x.device.type == "cpu" and not traced(x) and not torch._C._functorch.is_functorch_wrapped_tensor(x)


def autocasting(x: Tensor) -> bool:
    """Whether torch itself picks the precision of matrix products, where x is; the device ``meta`` has no such mode,
    and would raise.
    """
    return x.device.type != "meta" and torch.is_autocast_enabled(x.device.type)


def without_autocast(device: torch.device) -> AbstractContextManager:
    """A context in which operations have the precision of their arguments; the devices that have no other raise if told
    so.
    """
    return torch.autocast(device.type, enabled=False) if torch.amp.is_autocast_available(device.type) else nullcontext()


def traced(x: Tensor) -> bool:
    """Whether operations are recorded (a compiler, ``make_fx``, ``jit.trace``) or x has no values.

    A branch on the values of x would then fail, or be recorded as if all later values were of the same kind.
    """
    if torch.compiler.is_compiling():
        return True
    if type(x) not in _PLAIN_TYPES or torch._C._len_torch_dispatch_stack() > 0:
        return True
    return torch._is_functional_tensor(x) or torch.jit.is_tracing()


def captured(x: Tensor) -> bool:
    """Whether a CUDA graph records what is done with x: nothing may then wait for its values."""
    return x.is_cuda and torch.cuda.is_current_stream_capturing()


def recording() -> AbstractContextManager:
    """Autograd can be asked for derivatives inside the ``with`` block, also in the code of an operator: torch calls
    that below autograd.
    """
    below = torch._C._dispatch_tls_local_exclude_set()
    for key in (torch._C.DispatchKey.AutogradFunctionality, torch._C.DispatchKey.ADInplaceOrView):
        below = below.remove(key)
    return torch._C._ForceDispatchKeyGuard(torch._C._dispatch_tls_local_include_set(), below)


def forward_mode() -> bool:
    """Whether derivatives in forward mode are being taken, by ``torch.func.jvp`` or dual numbers."""
    return torch.autograd.forward_ad._current_level >= 0


def plain(x: Tensor) -> bool:
    """Whether x is an ordinary tensor, which may be written to: not one of a compiler, a tracer, ``torch.func`` or
    forward mode.
    """
    wrapped = torch._C._functorch
    if traced(x) or wrapped.is_functorch_wrapped_tensor(x) or wrapped.is_legacy_batchedtensor(x):
        return False
    return torch.autograd.forward_ad.unpack_dual(x).tangent is None


def readable(x: Tensor) -> bool:
    """Whether NumPy may take the numbers of x, and return what it makes of them: ordinary real numbers on the CPU."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and plain(x) and not x.is_neg()


def ordinary(x: Tensor) -> bool:
    """Whether it is known that all vectors (last axis) have ordinary lengths, so that plain formulas and their
    derivatives are safe.
    """
    if not inspectable(x) or not x.numel():
        return False
    shortest, longest = torch.aminmax(x.detach().square().sum(-1))
    return bool(shortest > 1e-12) and bool(longest < 1e12)


def _scale(x: Tensor) -> Tensor:
    """Largest absolute component of each vector (..., 1), a constant for autograd; 1 for the zero vector."""
    largest = x.detach().abs().amax(-1, keepdim=True) if x.shape[-1] else x.new_zeros(*x.shape[:-1], 1)
    return torch.where(largest > 0, largest, 1.0)
