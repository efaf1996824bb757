"""Which harmonics go to the kernels of :mod:`intertwine.kernels.harmonics.kernel`, and how these are described."""

from __future__ import annotations

from functools import lru_cache

from intertwine.kernels.harmonics.kernel import compilable
from intertwine.kernels.harmonics.plan import Solid
from intertwine.kernels.shared import choice
from intertwine.o3.harmonic_constants import constants

#: Vectors: fewer cost less than a kernel's first use, and much code asks for many lists of degrees at a few points.
FEWEST_VECTORS = 32


def wanted(degrees: tuple[int, ...], normalization: str, normalize: bool, number: int) -> str | None:
    """The description of the kernels, if they are to be used for so many vectors.

    Raises:
        InputError: ``INTERTWINE_KERNELS`` asks for something unknown.
    """
    backend = choice.asked()
    if backend in ("reference", "gpu") or (backend == "auto" and number < FEWEST_VECTORS):
        return None
    return described(degrees, normalization, normalize)


@lru_cache(maxsize=256)
def described(degrees: tuple[int, ...], normalization: str, normalize: bool) -> str | None:
    """The description of the kernels, if there are kernels for these degrees."""
    scales = constants(degrees, normalization)[1]
    solid = Solid(degrees, tuple(float(scale) for scale in scales), normalize)
    return solid.text if compilable(solid) else None
