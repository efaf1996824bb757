"""Graphs under any group, as an :class:`~intertwine.groups.Action`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from intertwine.geometry.action import act, permute
from intertwine.geometry.graph import Graph
from intertwine.groups import Group, Permutations
from intertwine.numerics import InputError


@dataclass(frozen=True)
class GraphAction:
    """Graphs under a group that moves their space (:func:`~intertwine.geometry.act`), or that permutes their nodes:
    node i is listed at g(i).

    Args:
        group: of matrices, finite with matrices, affine, or :class:`~intertwine.groups.Permutations`.
    """

    group: Group

    def act(self, g: Tensor, x: Graph) -> Graph:
        if isinstance(self.group, Permutations):
            if x.num_nodes != self.group.space:
                raise InputError(
                    f"{x.num_nodes} nodes for {self.group}", where="GraphAction", remedy="permute as many as there are."
                )
            return permute(g.argsort(), x)
        return act(g.to(torch.float64) if g.is_floating_point() else g, x, self.group)

    def exact(self, g: Tensor, x: Graph) -> bool:
        """True: nodes are moved, nothing is interpolated."""
        return True

    def __str__(self) -> str:
        return f"graphs under {self.group}"
