"""Pictures of finite groups: the multiplication table and the characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from intertwine.groups import FiniteGroup
from intertwine.numerics import InputError
from intertwine.plots.style import figure, root

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELLED = 24  # elements beyond which they are not labelled
DRAWN = 400  # elements beyond which a table is a grey square


def multiplication_table(group: FiniteGroup, *, axes: Axes | None = None) -> Figure:
    """The product of row and column as a colour; the same colour is the same element.

    Each colour is once in each row and column. Of a commutative group the picture is symmetric.

    Args:
        group: at most 400 elements.
        axes: where to draw; a new figure if None.

    Raises:
        InputError: the group is larger.
    """
    order = group.order or 1
    if order > DRAWN:
        raise InputError(f"{group} has {order} elements", where="multiplication_table", remedy="draw a subgroup.")
    if axes is None:
        axes = figure(4.4, 4.2).add_subplot()
    axes.imshow(group.table.numpy(), cmap="twilight", vmin=0, vmax=order, interpolation="nearest")
    axes.set_title(f"{group}: row times column", fontsize=10, loc="left")
    axes.tick_params(length=0, labelsize=7)
    places = list(range(order)) if order <= LABELLED else []
    names = [group.labels[k] for k in places]
    axes.set_xticks(places, names, rotation=90)
    axes.set_yticks(places, names)
    axes.xaxis.tick_top()
    return root(axes)


def characters(group: FiniteGroup, *, axes: Axes | None = None) -> Figure:
    r"""The table of characters of the real irreps: one row for each irrep, one column for each conjugacy class.

    Rows are orthogonal when columns count as often as their class has elements, which is written above them.

    Args:
        group: any finite group.
        axes: where to draw; a new figure if None.
    """
    irreps, classes = group.irreps(), group.classes
    count = int(classes.max()) + 1
    first = torch.stack([(classes == k).to(torch.int64).argmax() for k in range(count)])
    table = torch.stack([irrep.character(first) for irrep in irreps])
    if axes is None:
        axes = figure(max(3.2, 0.55 * count + 1.2), max(2.4, 0.4 * len(irreps) + 1.2)).add_subplot()
    most = float(table.abs().max())
    axes.imshow(table.numpy(), cmap="bwr", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    if count <= LABELLED:
        for row, values in enumerate(table.tolist()):
            for column, value in enumerate(values):
                text = f"{round(value, 3):g}".replace("-", "−")
                axes.text(column, row, text, ha="center", va="center", fontsize=7)
        sizes = [int((classes == k).sum()) for k in range(count)]
        axes.set_xticks(range(count), [f"{n} x {group.labels[k]}" for n, k in zip(sizes, first.tolist())], rotation=90)
        axes.set_yticks(range(len(irreps)), [str(irrep) for irrep in irreps])
    axes.set_title(f"{group}: characters", fontsize=10, loc="left")
    axes.tick_params(length=0, labelsize=7)
    axes.xaxis.tick_top()
    return root(axes)
