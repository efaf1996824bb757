"""Whether what should leave a code alone does, before it is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from intertwine.geometry import Graph, collate
from intertwine.nn.evaluating import evaluating
from intertwine.numerics import InputError
from intertwine.tasks.task import Task

TRIED, BROKEN = 4, 1e-3  # inputs that are moved before training; relative change of the code that refuses a model


def refuse_a_changed_code(
    task: Task, graphs: Sequence[Graph], moved: Sequence[Graph], group: str, motion: str, remedy: str
) -> None:
    """Raise an :class:`~intertwine.numerics.InputError` that names the model of a task if its output ``code`` of moved
    inputs is another one.

    Args:
        task: with the output ``code``.
        graphs: inputs. moved: the same, each moved by an element of the group.
        group: that the code should not see. motion: what the element is, in words. remedy: what to do.
    """
    with evaluating(task), torch.no_grad():
        still, other = (task(collate(each))["code"] for each in (graphs, moved))
    change = float((other - still).abs().max() / still.square().mean().sqrt().clamp(min=1e-12))
    if not change < BROKEN:
        what = (
            f"{type(task.backbone).__name__} is not equivariant to {group}: {motion} changes the code by {change:.1e}"
        )
        raise InputError(what, where="model", remedy=remedy)
