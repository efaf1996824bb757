r"""What the two kernels sum: which versions of their arguments meet.

With :math:`T(x, y, w)` the product of a plan, e an edge from s to n, and g a cotangent of z:

* ``gather``: :math:`z_n = \sum_{e \to n} \sum_{\text{forms}} T(x_s, y_e, w_e)`
* ``scatter``: the derivatives of :math:`\sum_e \langle g_n, T(x_s, y_e, w_e) \rangle` to :math:`x_s` (summed over the
  edges that leave s), to :math:`y_e` and to :math:`w_e`

Every argument comes in two versions: ``x``, ``y``, ``w`` and their tangents ``a``, ``b``, ``c``. The first order is T
itself and its three derivatives. The second is the derivative of
:math:`\langle a, dx \rangle + \langle b, dy \rangle + \langle c, dw \rangle`, a sum of the same expressions with one
argument replaced by its tangent: so two kernels are enough, at any order.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from intertwine.numerics import InputError


@dataclass(frozen=True)
class Forms:
    """Versions that meet: in z triples such as ("a", "y", "w"); in dx pairs (y, w), in dy pairs (x, w), in dw pairs (x,
    y).
    """

    z: tuple[tuple[str, str, str], ...] = ()
    dx: tuple[tuple[str, str], ...] = ()
    dy: tuple[tuple[str, str], ...] = ()
    dw: tuple[tuple[str, str], ...] = ()

    def meetings(self, kernel: str) -> tuple[tuple[str, ...], ...]:
        """What meets in a kernel, "gather" or "scatter"."""
        return self.z if kernel == "gather" else (*self.dx, *self.dy, *self.dw)


#: z itself.
VALUE = Forms(z=(("x", "y", "w"),))


@lru_cache(maxsize=1024)
def read(forms: Forms, kernel: str, weighted: bool) -> frozenset[str]:
    """The arguments that a kernel, "gather" or "scatter", reads; ``weighted``: whether the plan has weights."""
    names = {name for meeting in forms.meetings(kernel) for name in meeting} | ({"g"} if kernel == "scatter" else set())
    return frozenset(names if weighted else names - {"w", "c"})


def missing(forms: Forms, kernel: str, weighted: bool, names: Collection[str]) -> None:
    """Make sure that every argument is there.

    Raises:
        InputError: one is not.
    """
    absent = read(forms, kernel, weighted).difference(names)
    if absent:
        raise InputError(
            "is missing", where=", ".join(sorted(absent)), remedy="give every tensor that the derivatives need."
        )


def gradient(needs: Collection[str]) -> Forms:
    """The derivatives that are needed, of "x", "y" and "w"."""
    return Forms(
        dx=(("y", "w"),) if "x" in needs else (),
        dy=(("x", "w"),) if "y" in needs else (),
        dw=(("x", "y"),) if "w" in needs else (),
    )


def second(tangents: Collection[str], needs: Collection[str]) -> Forms:
    """The derivatives, to what is needed of "g", "x", "y" and "w", of the sum over the tangents that are given, of "a",
    "b" and "c".
    """

    def with_tangent(*forms: tuple[str, ...]) -> tuple:
        return tuple(form for form in forms if set(form) & set(tangents))

    return Forms(
        z=with_tangent(("a", "y", "w"), ("x", "b", "w"), ("x", "y", "c")) if "g" in needs else (),
        dx=with_tangent(("b", "w"), ("y", "c")) if "x" in needs else (),
        dy=with_tangent(("a", "w"), ("x", "c")) if "y" in needs else (),
        dw=with_tangent(("a", "y"), ("x", "b")) if "w" in needs else (),
    )
