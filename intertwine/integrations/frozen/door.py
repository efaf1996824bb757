"""Who computes a step: the only door to the files here that compile, and need llvmlite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intertwine.kernels.shared import choice

if TYPE_CHECKING:
    from intertwine.integrations.frozen.stepper import Stepper


def stepper_of(task: Any) -> Stepper | None:
    """The step of a task; None where it has no frozen form, or nothing compiles one."""
    if choice.asked() not in ("auto", "cpu") or not choice.compiles():
        return None
    from intertwine.integrations.frozen.stepper import Stepper, UnfitError

    try:
        return Stepper(task)
    except UnfitError:
        return None
