"""Makes the picture of docs/symmetrize.md: what an average over frames does to a network without symmetry.

python benchmarks/averaging.py

Five points of the plane, and a perceptron of their coordinates with random weights that answers with a vector. Left:
the points seen from each of their four frames of E(2), with the answer there. Middle: the same answers moved back, and
their mean. Right: points and answers are turned; the angle that the answer turns by beside that of the points, for the
network alone, for its mean over C_4 and for that over frames.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from measure import DOCS
from torch import Tensor, nn

from intertwine import plots
from intertwine.geometry.frames import pca
from intertwine.groups import Cartesian, Defining, cyclic
from intertwine.symmetrize import FrameAverage, GroupAverage

COLOURS = ("#2a6f97", "#c8553d", "#7a9e7e", "#e0a458")
POINTS = ((-1.1, -0.3), (-0.2, 0.6), (0.1, -0.2), (0.9, 0.4), (0.8, -0.4))


class Network(nn.Module):
    """A vector of each set of points (sets, 5, 2): a perceptron of all coordinates."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 2)).double()

    def forward(self, x: Tensor) -> Tensor:
        return 3 * self.net(x)


class Turned(nn.Module):
    """The network as a function of all coordinates in a row, which C_4 acts on."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.unflatten(-1, (5, 2)))


def turn(angle: float) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


def answers(network: nn.Module, x: Tensor) -> dict[str, Any]:
    """What each way answers, for sets (sets, 5, 2)."""
    quarter = cyclic(4)
    mean = GroupAverage(Turned(network), quarter, 5 * Defining(quarter), Defining(quarter))
    framed = FrameAverage(network, "pca", Cartesian(1, dimension=2), group="E(2)", points=True)
    with torch.no_grad():
        return {"the network alone": network(x), "mean over C_4": mean(x.flatten(1)), "mean over frames": framed(x)}


def arrow(axes: Any, vector: Tensor, color: str, width: float = 1.5) -> None:
    tip = vector.tolist()
    style = {"arrowstyle": "-|>", "color": color, "linewidth": width, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=tip, xytext=(0, 0), arrowprops=style)


def bare(axes: Any, title: str) -> None:
    axes.set_aspect("equal")
    axes.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[])
    axes.set_title(title, fontsize=9)
    for side in axes.spines.values():
        side.set_color("#cccccc")


def picture() -> Any:
    x = torch.tensor(POINTS, dtype=torch.float64)
    x = x - x.mean(0)
    network = Network()
    rotation = pca(x, torch.zeros(5, dtype=torch.int64), 1, group="E(2)").rotation[0]
    seen = torch.einsum("kab,na->knb", rotation, x)
    with torch.no_grad():
        there = network(seen)
    back = torch.einsum("kab,kb->ka", rotation, there)
    figure = plots.figure(11.0, 3.6)
    grid = figure.add_gridspec(2, 6)
    for k, (points, answer) in enumerate(zip(seen, there, strict=True)):
        axes = figure.add_subplot(grid[k // 2, k % 2])
        axes.plot(*points.T.tolist(), "o", color="#555555", markersize=3.5)
        arrow(axes, answer, COLOURS[k])
        bare(axes, f"seen from frame {k + 1}")
    axes = figure.add_subplot(grid[:, 2:4])
    axes.plot(*x.T.tolist(), "o", color="#555555", markersize=5)
    for answer, color in zip(back, COLOURS, strict=True):
        arrow(axes, answer, color)
    arrow(axes, back.mean(0), "black", 2.6)
    bare(axes, "answers moved back, and their mean (black)")
    axes = figure.add_subplot(grid[:, 4:])
    angles = torch.linspace(0, 2 * math.pi, 181, dtype=torch.float64)
    turned = torch.stack([x @ turn(float(angle)).T for angle in angles])
    for (name, vectors), color in zip(answers(network, turned).items(), ("#c8553d", "#e0a458", "#2a6f97"), strict=True):
        direction = torch.atan2(vectors[:, 1], vectors[:, 0])
        steps = torch.remainder(direction.diff() + math.pi, 2 * math.pi) - math.pi
        degrees = torch.cat([steps.new_zeros(1), steps.cumsum(0)]).rad2deg()
        axes.plot(angles.rad2deg().tolist(), degrees.tolist(), color=color, linewidth=1.5, label=name)
    axes.set(xticks=[0, 90, 180, 270, 360], xlabel="the points are turned by (degrees)")
    axes.set_ylabel("the answer turns by (degrees)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return figure


if __name__ == "__main__":
    picture().savefig(DOCS / "images" / "averaging.png", dpi=120)
