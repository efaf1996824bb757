"""Who decides which kernels run: the device and the precision, or ``INTERTWINE_KERNELS`` in the environment."""

from __future__ import annotations

import os
import warnings
from functools import lru_cache

import torch

from intertwine.numerics import Caution, InputError, choose

_BACKENDS = ("auto", "reference", "cpu", "gpu")


def asked() -> str:
    """The backend that the environment asks for, or "auto".

    Raises:
        InputError: it asks for something unknown.
    """
    return _meant(os.environ.get("INTERTWINE_KERNELS", ""))


@lru_cache(maxsize=16)
def _meant(text: str) -> str:
    name = text.strip().lower() or "auto"
    return choose("gpu" if name == "cuda" else name, _BACKENDS, kind="backend", where="INTERTWINE_KERNELS")


def native(device: torch.device, backend: str | None = None) -> str | None:
    """The backend whose kernels run on a device, "cpu" or "gpu"; None if there is none, or none is asked for.

    ``backend`` is what :func:`asked` says, for those who have asked already.

    Triton's interpreter runs those of graphics cards on the processor: if they are asked for, a whole model can be
    tried without a card.

    Raises:
        InputError: the environment asks for something unknown.
    """
    backend = backend or asked()
    if backend == "reference":
        return None
    if device.type == "cpu" and backend == "gpu":
        from intertwine.kernels.convolution.gpu import interprets

        return "gpu" if interprets() else "cpu"
    if device.type == "cpu":
        return "cpu" if compiles() else None
    return "gpu" if device.type == "cuda" else None


@lru_cache(maxsize=1)
def compiles() -> bool:
    """Whether llvmlite is there, which compiles the kernels of the processor; one warning if it is not."""
    try:
        import llvmlite.binding  # noqa: F401
    except ImportError as error:
        remedy = "`pip install llvmlite`, or set INTERTWINE_KERNELS=reference to silence this warning."
        message = (
            f"no kernels for the processor, since llvmlite is not available ({error}). "
            "Plain torch is used: correct, but slow. "
        )
        warnings.warn(message + remedy, Caution, stacklevel=3)
        return False
    return True


def chosen(device: torch.device, able: bool, what: str) -> str:
    """ "cpu", "gpu" or "reference".

    Args:
        device: where the arguments are; able: whether its native backend can do it; what: it is, for messages.

    Raises:
        InputError: the backend that is asked for is unknown, or can't do it.
    """
    backend = asked()
    name = native(device, backend)
    if backend == "auto":
        return name if able and name is not None else "reference"
    if backend != "reference" and (backend != name or not able):
        remedy = "unset INTERTWINE_KERNELS to let each device and precision have what runs there."
        raise InputError(
            f"no kernel of the backend {backend!r} for {what} on {device}", where="INTERTWINE_KERNELS", remedy=remedy
        )
    return backend


def announce(kernel: str, problem: str) -> None:
    """Warn that a kernel is not used because of a problem."""
    message = f"the {kernel} {problem}. Plain torch is used instead: correct, but slow. Please report this."
    warnings.warn(message, Caution, stacklevel=3)
