"""One structure to label, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

NEAREST_NUCLEI = 0.2  # A, below which no two nuclei of a molecule are: H2 has 0.74 A


class NoLabelsError(Exception):
    """A structure has no such labels; the text says why."""


@dataclass(frozen=True)
class Structure:
    """A molecule to label.

    Args:
        frame: its number in the file, from 0.
        numbers: atomic numbers (N,).
        positions: (N, 3) in A.
        charge: total charge (e).
        periodic: whether it repeats in space.
    """

    frame: int
    numbers: Int[np.ndarray, " atoms"]
    positions: Float[np.ndarray, "atoms 3"]
    charge: int = 0
    periodic: bool = False

    def check(self, spin: int) -> None:
        """Raise :class:`NoLabelsError` where no program need be asked.

        Args:
            spin: unpaired electrons.
        """
        if self.periodic:
            raise NoLabelsError("periodic: labels are those of molecules")
        electrons = int(self.numbers.sum()) - self.charge
        if electrons < max(spin, 1):
            raise NoLabelsError(f"charge {self.charge} leaves {electrons} electrons, spin wants {max(spin, 1)}")
        if (electrons - spin) % 2:
            kind = f"an open shell with spin {spin}" if not spin else f"not {spin} of them unpaired"
            fitting = (
                f"--spin {electrons % 2} or another --charge, which are of all structures: label those of another "
            )
            fitting += "number of electrons from a file of their own"
            raise NoLabelsError(f"{electrons} electrons are {kind}: charge or spin does not fit ({fitting})")
        for k in range(1, len(self.numbers)):
            distances = np.linalg.norm(self.positions[:k] - self.positions[k], axis=1)
            if distances.min() < NEAREST_NUCLEI:
                raise NoLabelsError(f"atoms {distances.argmin()} and {k} are {distances.min():.3g} A apart")


@dataclass(frozen=True)
class Outcome:
    """What came of a structure.

    Args:
        frame: its number.
        labels: arrays in the units of the file; empty if there are none.
        reason: why there are none.
        seconds: that it took.
        remark: what speaks against labels that there are; empty if nothing does.
    """

    frame: int
    labels: dict[str, np.ndarray] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    remark: str = ""


def charge_of(info: dict[str, Any], told: int | None) -> int:
    """The charge of a structure (e): the one that was told, else the file's own (``charge``, ``total_charge``), else 0.

    Args:
        info: what the file says of the structure.
        told: by --charge.

    Raises:
        NoLabelsError: the file's own is another one, or no whole number.
    """
    own = next((np.asarray(info[name]) for name in ("charge", "total_charge") if name in info), None)
    if own is None:
        return told or 0
    if own.size != 1 or own.dtype.kind not in "iuf" or own.reshape(-1)[0] != np.round(own.reshape(-1)[0]):
        raise NoLabelsError(f"the file says charge {own}, which is no whole number")
    charge = int(own.reshape(-1)[0])
    if told is not None and charge != told:
        raise NoLabelsError(f"the file says charge {charge}, and --charge {told}")
    return charge
