"""Layers of irreps, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from intertwine.nn.checks import check_outputs, products
from intertwine.o3 import Irreps


def stacked(
    make: Callable[[int, Irreps, Irreps], Any], irreps: Irreps, wanted: Sequence[Irreps], irreps_edge: Irreps
) -> tuple[nn.ModuleList, Irreps]:
    """Layers, each of which takes what the one before gives, and the irreps of the last.

    Args:
        make: layer number k, from what it gets and what is wanted of it; it has ``irreps_out``, what it gives of that.
        irreps: what the first layer gets.
        wanted: what is wanted of each.
        irreps_edge: of the harmonics that a layer couples features with, for the message.

    Raises:
        InputError: no path leads to an irrep that is wanted of the last.
    """
    layers = nn.ModuleList()
    for number, target in enumerate(wanted):
        layer = make(number, irreps, target)
        layers.append(layer)
        before, irreps = irreps, layer.irreps_out
    check_outputs(wanted[-1], irreps, could=products(before, irreps_edge))
    return layers, irreps
