"""Symmetry-breaking order parameters: what an equivariant network needs to be told to make a rectangle of a square.

    python examples/order_parameters.py

An equivariant network gives an answer that has at least the symmetry of its input (Curie's principle). From a rectangle
to a square it learns the displacements; from a square to a rectangle it can't, for nothing says along which axis.
Smidt, Geiger and Miller (Phys. Rev. Research 3, L012002, 2021, arXiv:2007.02005; cited by the AIDD lecture) give the
network more inputs, here one vector (1o) and one tensor of degree 2 (2e) for all nodes, zero at first, and learn them
with the weights. The derivative of the loss says which of them help, and what is learned is the order parameter.

What is asserted, as in the paper: none is needed from the rectangle to the square; without one the other way fails;
the learned input has no 1o, and its 2e lies in the two components that the rectangle's group (mmm) leaves alone. One
of them, 3z^2 - r^2, has the square's group (4/mmm), too; the other, x^2 - y^2, is the order parameter.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from intertwine import o3
from intertwine.nn import MLP, Convolution, Gate

IRREPS = o3.Irreps("1o + 2e")
STEPS = 300
SQUARE = torch.tensor([[1.0, 1, 0], [-1, 1, 0], [-1, -1, 0], [1, -1, 0]], dtype=torch.float64)
RECTANGLE = SQUARE * torch.tensor([1.4, 0.8, 1.0], dtype=torch.float64)


class Displacements(nn.Module):
    """Two convolutions over all pairs, of node features 1x0e and the inputs, to one vector of each node."""

    def __init__(self) -> None:
        super().__init__()
        hidden = o3.Irreps("12x0e + 8x1o + 8x2e")
        self.harmonics = o3.SphericalHarmonics(o3.Irreps.spherical_harmonics(2), normalize=True)
        gates = o3.Irreps("16x0e")
        self.gate = Gate("12x0e", [torch.tanh], gates, [torch.sigmoid], "8x1o + 8x2e")
        self.layers, self.radial, self.mix = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        steps = [(o3.Irreps("0e") + IRREPS, self.gate.irreps_in), (hidden, o3.Irreps("1o"))]
        for before, after in steps:
            wanted = sorted({ir for _, ir in after})
            layer = Convolution(before, self.harmonics.irreps_out, wanted, average_degree=3, layout="mul_ir")
            self.layers.append(layer)
            self.radial.append(MLP([1, 16, layer.weight_numel]))
            self.mix.append(o3.Linear(layer.irreps_out, after, layout="mul_ir"))

    def forward(self, pos: Tensor, told: Tensor) -> Tensor:
        j, i = (torch.ones(4, 4) - torch.eye(4)).nonzero().T
        edges = pos[j] - pos[i]
        Y, d = self.harmonics(edges), edges.norm(dim=1, keepdim=True)
        f = torch.cat([torch.ones(4, 1).to(pos), told.expand(4, -1)], dim=1)
        for number, (layer, radial, mix) in enumerate(zip(self.layers, self.radial, self.mix, strict=True)):
            f = mix(layer(f, Y, torch.stack([j, i]), radial(d)))
            f = self.gate(f) if number == 0 else f
        return f


def learned(start: Tensor, goal: Tensor, free: bool) -> tuple[float, Tensor, Tensor]:
    """The loss at the end, the derivative of the loss by the inputs before they change, and the inputs at the end."""
    torch.manual_seed(0)
    network, told = Displacements().double(), torch.zeros(IRREPS.dim, dtype=torch.float64, requires_grad=True)
    loss = ((start + network(start, told) - goal) ** 2).sum()
    (first,) = torch.autograd.grad(loss, told)
    optimizer = torch.optim.Adam([*network.parameters(), *([told] if free else [])], 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        loss = ((start + network(start, told) - goal) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return float(loss.detach()), first, told.detach()


def invariant(elements: list[Tensor]) -> Tensor:
    """The projector onto what no element of a finite group changes, on the inputs."""
    return torch.stack([IRREPS.D_from_matrix(g) for g in elements]).mean(0)


def main() -> dict[str, float]:
    torch.set_num_threads(1)  # small tensors: more threads wait for each other
    signs = [torch.diag(torch.tensor(s, dtype=torch.float64)) for s in itertools.product((1.0, -1.0), repeat=3)]
    swap = torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    of_rectangle, of_square = invariant(signs), invariant(signs + [g @ swap for g in signs])
    assert [round(float(P.trace())) for P in (of_rectangle, of_square)] == [2, 1]

    down, _, _ = learned(RECTANGLE, SQUARE, free=False)
    stuck, _, _ = learned(SQUARE, RECTANGLE, free=False)
    found, slope, told = learned(SQUARE, RECTANGLE, free=True)
    print(
        f"rectangle to square: {down:.1e}; square to rectangle: {stuck:.2f}, with inputs that are learned {found:.1e}"
    )
    breaks = (of_rectangle - of_square) @ told
    print(f"derivative by the inputs: 1o {float(slope[:3].norm()):.1e}, 2e {float(slope[3:].norm()):.1e}")
    vector, others = float(told[:3].norm()), float((told - of_rectangle @ told).norm())
    kept = float((of_square @ told).norm())
    print(f"learned: 1o {vector:.1e}, x^2 - y^2 {float(breaks.norm()):.2f}, 3z^2 - r^2 {kept:.2f}, others {others:.1e}")
    assert down < 1e-4
    assert stuck > 0.3
    assert found < 1e-4
    assert float((slope - of_rectangle @ slope).norm()) < 1e-12  # the derivative has the symmetry of the goal
    assert vector < 1e-6
    assert others < 1e-6
    assert float(breaks.norm()) > 0.1
    return {"down": down, "stuck": stuck, "found": found, "order parameter": float(breaks.norm())}


if __name__ == "__main__":
    main()
