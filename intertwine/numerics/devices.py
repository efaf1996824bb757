"""Where to compute, by name: a CUDA GPU or the CPU. Others (Apple's MPS, ...) lack float64, which energies need."""

from __future__ import annotations

import functools
from typing import Any

import torch

from intertwine.numerics.errors import InputError, nearest

NAMES = ("auto", "cpu", "cuda", "gpu")
FOREIGN = ("meta", "mps", "xpu", "xla", "hpu")  # torch's own affair
HOW = "auto takes a GPU if there is one, else the CPU; cuda:1 is the second GPU"


def device_name(device: Any = "auto", where: str = "device") -> str:
    """The name in lower case, such as "cuda:1"; whether the device is there is not asked.

    Raises:
        InputError: an unknown name.
    """
    name = "auto" if device is None else str(device).strip().lower()
    if isinstance(device, int) and not isinstance(device, bool):  # as torch has it
        name = f"cuda:{device}"
    kind, colon, number = name.partition(":")
    if kind not in NAMES or (colon and (kind != "cuda" or not number.isdecimal())):
        known = (*NAMES, "cuda:N")
        raise InputError(f"unknown device {str(device)!r}", where=where, remedy=f"{nearest(kind, known)} {HOW}.")
    return name


def computing_device(device: Any = "auto", where: str = "device") -> torch.device:
    """The device of that name.

    Args:
        device: "auto" or None (a CUDA GPU if torch sees one, else the CPU), "cpu", "cuda" or "gpu", "cuda:1", or a
            ``torch.device``.
        where: the option or argument that names it, for messages.

    Raises:
        InputError: an unknown name, or a GPU that is not there.

    >>> computing_device("cpu")
    device(type='cpu')
    """
    kind, colon, number = device_name(device, where).partition(":")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cpu" or (kind == "auto" and not there):
        return torch.device("cpu")
    if not there:
        remedy = "install torch with CUDA and a driver (docs/gpu.md), or compute on the CPU: auto or cpu."
        raise InputError("torch sees no GPU", where=where, remedy=remedy)
    if colon and int(number) >= there:
        what = f"there is no GPU {int(number)}: torch sees {there}"
        raise InputError(what, where=where, remedy=f"give cuda:0 to cuda:{there - 1}; CUDA_VISIBLE_DEVICES hides GPUs.")
    return torch.device("cuda", int(number)) if colon else torch.device("cuda")


def target(device: Any, where: str = "to") -> Any:
    """What ``to`` of torch takes for the first argument that it was given: names of devices are resolved, all else (a
    precision, a tensor) is left as it is.

    Raises:
        InputError: an unknown device, or a GPU that is not there.
    """
    if isinstance(device, int) and not isinstance(device, bool):
        device = f"cuda:{device}"
    kind = device.type if isinstance(device, torch.device) else str(device).partition(":")[0]
    ours = kind == "cuda" if isinstance(device, torch.device) else isinstance(device, str) and kind not in FOREIGN
    if not ours and isinstance(device, str) and kind != "meta":
        _check_foreign(device, where)
    return computing_device(device, f"{where}({str(device)!r})") if ours else device


def _check_foreign(device: str, where: str) -> None:
    """Raise an InputError for a device of torch's that is not there."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, NotImplementedError, ImportError, AssertionError) as error:
        what = f"torch has no device {device!r} here"
        raise InputError(what, where=f"{where}({device!r})", remedy=f"{HOW}.") from error


class OnePrecision:
    """Modules of this kind are made in one precision, their ``dtype``, in all their parts, whatever torch's default is:
    mace-torch and nequip change it for the whole process. The outermost constructor sees to it, when all parts are
    there.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" not in vars(cls):
            return
        construct: Any = cls.__init__

        @functools.wraps(construct)  # and its signature
        def made(self: Any, *arguments: Any, **named: Any) -> None:
            construct(self, *arguments, **named)
            if type(self).__init__ is made:
                self.to(self.dtype)

        cls.__init__ = made  # type: ignore[method-assign]


class Placed:
    """Gives the ``to`` and ``cuda`` of a module or a graph the names of :func:`computing_device`, and its errors; to be
    named before torch's class.
    """

    def to(self, *arguments: Any, **options: Any) -> Any:
        """As torch's, with "auto" and "gpu" among the devices.

        Raises:
            InputError: an unknown device, or a GPU that is not there.
        """
        if arguments:
            arguments = (target(arguments[0]), *arguments[1:])
        if "device" in options:
            options["device"] = target(options["device"])
        return super().to(*arguments, **options)  # type: ignore[misc]

    def cuda(self, device: Any = None, **options: Any) -> Any:
        """As torch's; raises as :meth:`to`."""
        return super().cuda(target("cuda" if device is None else device, "cuda"), **options)  # type: ignore[misc]
