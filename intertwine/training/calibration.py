"""The size of what random weights predict, fitted to the labels that they are to learn."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from intertwine.geometry import Graph, Graphs, collate
from intertwine.nn.embedding import at_every_edge
from intertwine.nn.evaluating import evaluating
from intertwine.nn.irreps.fully_connected import inputs_measured
from intertwine.tasks import Task

STRUCTURES = 8  # first of the training set, at most, on which the untrained model is tried
MOST = 4.0  # loss over that of an output of zero, up to which a model is left as it is
GOAL = 2.0  # the same of a model that is not: where its output is about as large as the labels
LARGEST_POWER = 100  # of 2, by which outputs are divided
TOLD = 10.0  # times that the output has become smaller, from which the user hears of it


def calibrate(task: Task, graphs: Graphs, most: int = STRUCTURES) -> list[str]:
    r"""Make the output of random weights about as large as the labels, if it is much larger.

    A network is made so that its signals have a second moment of one on typical inputs. Where the data are not typical,
    such as two neighbours at 1 A of a cutoff of 5 A, products of many factors are far from it. With :math:`L` the loss
    and :math:`L_0` that of an output of zero, :math:`L > 4\,L_0` tells so. Then

    1. networks of radial functions (:class:`~intertwine.nn.FullyConnectedNet`) get inputs of second moment one on these
       data: their first weights are divided by the root of what it is, over what was assumed;
    2. if L is still above :math:`4\,L_0`, the task's ``gain`` (:class:`~intertwine.tasks.Task`) is divided by the
       smallest power of two with :math:`L \le 2\,L_0`.

    Weights and gain are part of every checkpoint. A model within the limit keeps its bits, and so does the state of the
    random numbers. LSUV (Mishkin and Matas 2016, arXiv:1511.06422) scales every layer in this way.

    Args:
        task: with random weights, its statistics fitted; changed in place. One without a gain is left as it is.
        graphs: the training set, with edges.
        most: how many of its first structures are looked at, 8 at most: as many as a batch has need no more memory.

    Returns:
        A line for the user if the output is less than a tenth of what it was; else none.
    """
    if not task.gain or not len(graphs):
        return []
    batch = collate([graphs[k] for k in range(min(STRUCTURES, most, len(graphs)))])
    with evaluating(task), torch.random.fork_rng(devices=[]):  # without dropout
        return _calibrated(task, task.get_buffer(task.gain), batch)


def _calibrated(task: Task, gain: Tensor, batch: Graph) -> list[str]:
    value, former = gain.clone(), task(batch)
    gain.zero_()
    nothing = task(batch)
    gain.copy_(value)
    least = _loss(task, nothing, batch)
    if not 0 < least < float("inf") or _loss(task, former, batch) <= MOST * least:
        return []
    with at_every_edge(task.backbone), inputs_measured(task.backbone):  # where edges are, not where knots are
        task(batch)
    now = task(batch)
    output = {name: now[name] - nothing[name] for name in nothing}

    def loss(power: int) -> float:
        """That of the output divided by a power of two: outputs are linear in the gain."""
        return _loss(task, {name: nothing[name] + 0.5**power * output[name] for name in nothing}, batch)

    power = 0
    if loss(0) > MOST * least:
        power = next((k for k in range(1, LARGEST_POWER) if loss(k) <= GOAL * least), 0)
    gain.copy_(value * 0.5**power)
    before = _size(task, {name: former[name] - nothing[name] for name in nothing})
    after = 0.5**power * _size(task, output)
    if not before > TOLD * after:
        return []
    smaller = f"{before / after:.1e}" if after else "infinitely many"
    return [f"scaled   the output of the random weights is made {smaller} times smaller, to about that of the labels"]


def _loss(task: Task, prediction: Mapping[str, Tensor], batch: Graph) -> float:
    """The weighted loss of a batch, 0 without labels; infinite where it is not a number."""
    losses = task.losses(dict(prediction), batch)
    total = sum(task.weights[name] * float(value) / float(count) for name, (value, count) in losses.items() if count)
    return total if total == total else float("inf")


def _size(task: Task, output: Mapping[str, Tensor]) -> float:
    """Largest root mean square of the outputs that are trained on, in units of their scales."""
    trained = [name for name in output if task.weights.get(name, 0.0) > 0]
    return max(
        (float(output[name].to(torch.float64).square().nanmean().sqrt() / task.scale_of(name)) for name in trained),
        default=0.0,
    )
