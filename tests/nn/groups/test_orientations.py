"""Grids of orientations: means that are exact where they say so, kernels of pairs, and errors that fall with the number
of orientations."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import Tensor

from intertwine.geometry import Graph, act, connect
from intertwine.groups import Isometry
from intertwine.models import RegularGroupCNN
from intertwine.nn.groups.orientations import Orientations, orientations

PAPERS = Path(__file__).resolve().parents[3] / "benchmarks" / "papers"
GRIDS: dict[str, tuple] = {
    "octahedral": ("octahedral", 3),
    "inversion": ("T_h", 3),
    "polygon": ("D_4", 2),
    "fibonacci": ("SO(3)", 3, 11),
    "quadrature": ("SO(3)", 3, 18, "quadrature"),
    "polyhedral": ("SO(3)", 3, 24, "polyhedral"),
    "circle": ("SO(2)", 2, 7),
}


@pytest.fixture(params=GRIDS)
def grid(request) -> Orientations:
    return orientations(*GRIDS[request.param]).double()


def test_a_grid_is_of_orthogonal_matrices_with_weights(grid: Orientations) -> None:
    R, eye = grid.matrices, torch.eye(grid.dimension, dtype=torch.float64)
    assert R.dtype == torch.float64
    assert (R @ R.mT - eye).abs().max() < 1e-14
    assert abs(float(grid.weights.sum()) - 1) < 1e-14
    f = torch.randn(3, grid.count, 2, dtype=torch.float64)
    torch.testing.assert_close(grid.mean(f), sum(w * f[:, h] for h, w in enumerate(grid.weights)))


def test_a_kernel_is_a_function_of_the_relative_orientation(grid: Orientations, generator: torch.Generator) -> None:
    """Equal R_h^-1 R_k, equal values; weights of its own for each h give the same rows."""
    weight = torch.randn(grid.functions, 2, generator=generator, dtype=torch.float64)
    kernel = grid.kernel(weight)
    relative = (grid.matrices.mT[:, None] @ grid.matrices).flatten(0, 1).flatten(1)
    close, values = torch.cdist(relative, relative) < 1e-7, kernel.flatten(0, 1)
    assert torch.cdist(values, values)[close].max() < 1e-6
    assert close.sum() > len(close)
    own = weight[:, None].repeat(1, grid.count, 1)
    own[:, 1:] *= 2
    rows = grid.rows(own)
    torch.testing.assert_close(rows[0], kernel[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(rows[1:], 2 * kernel[1:], rtol=0, atol=1e-12)


def test_vectors_seen_from_everywhere_are_themselves_again() -> None:
    """mean_h R_h R_h^-1 v = v, whatever the grid."""
    for name in GRIDS:
        grid = orientations(*GRIDS[name]).double()
        v = torch.randn(5, grid.dimension, 4, dtype=torch.float64)
        u = torch.einsum("hba,ibc->ihac", grid.matrices, v)
        torch.testing.assert_close(grid.out_of(u), v, rtol=0, atol=1e-14)
        # the component a of the group a of channels
        torch.testing.assert_close(grid.into(v.repeat(1, 1, grid.dimension)), u.sum(2), rtol=0, atol=1e-13)


class Linear(torch.nn.Module):
    """Lifting, one group convolution, readout: linear in the features, its kernels of degree lmax."""

    def __init__(self, count: int, sampling: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        options = {"group": "SO(3)", "orientations": count, "sampling": sampling, "lmax": 1}
        self.model = RegularGroupCNN(width=4, layers=1, vectors=3, cutoff=3.0, species=(6,), **options).double()

    def forward(self, graph: Graph) -> Tensor:
        model, graph = self.model, self.model.ready(graph)
        phi = model.basis(model.edges(graph))
        f = model.lifting(model.embedding(graph), phi, graph.edge_index)
        return model.readout(model.layers[0].convolution(f, phi, graph.edge_index))


@torch.no_grad()
def test_a_linear_network_is_exact_at_the_quadrature(generator: torch.Generator) -> None:
    """Its sums over orientations are of degree 2 lmax + 1 = 3 at most: 32 rotations integrate them, 18 do not, and a
    spiral is nearly right."""
    graph = connect(Graph(1.2 * torch.randn(6, 3, generator=generator, dtype=torch.float64), z=[6] * 6), 3.0)
    g = Isometry.random(3, generator=generator)
    errors = {}
    for count, sampling in ((32, "quadrature"), (18, "quadrature"), (60, "polyhedral"), (400, "fibonacci")):
        network = Linear(count, sampling)
        f = network(graph)
        turned = network.model.irreps_out.transform(g.rotation, f)
        errors[count] = float((network(act(g, graph)) - turned).abs().max() / f.square().mean().sqrt())
    assert errors[32] < 1e-13
    assert errors[60] < 1e-13  # the icosahedral rotations are exact to degree 5
    assert errors[18] > 1e-2
    assert 1e-6 < errors[400] < 0.1


def test_errors_fall_with_the_number_of_orientations(monkeypatch: pytest.MonkeyPatch, quick: bool) -> None:
    """The lines of docs/models.md: on SO(3) as fast as the number grows, in the plane faster than any power."""
    monkeypatch.syspath_prepend(str(PAPERS))
    script = import_module("orientations")
    counts = {"PONITA, Fibonacci": (32, 128), "RegularGroupCNN, circle": (4, 8, 16)}
    if not quick:
        counts |= {"RegularGroupCNN, super-Fibonacci": (64, 512), "RegularGroupCNN, quadrature": (32, 108, 256)}
        counts["PONITA, icosahedral"] = (12, 32)
    for name, numbers in counts.items():
        make, (first, *_) = script.LINES[name]
        errors = [script.error(make, n, first) for n in numbers]
        assert script.order(numbers, errors) > (4 if "circle" in name else 0.9), name
        assert errors == sorted(errors, reverse=True), name
