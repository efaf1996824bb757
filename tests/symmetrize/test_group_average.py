"""Means over a group: exact of a finite one, within the band limit of a quadrature, in distribution of samples."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ase.build import molecule
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from intertwine.certify import certify
from intertwine.geometry import Graph, ImageAction, centred
from intertwine.groups import (
    Affine,
    Cartesian,
    Defining,
    Group,
    Orthogonal,
    Permutations,
    RowAction,
    T,
    Unchanged,
    cyclic,
    dihedral,
    octahedral,
    symmetric,
)
from intertwine.numerics import Caution, InputError
from intertwine.symmetrize import GroupAverage

O3 = Orthogonal(3)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def perceptron(inputs: int, outputs: int, width: int = 8) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))


def cnn() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.SiLU(), nn.Conv2d(3, 2, 3, padding=1))


def cubic(x: Tensor) -> Tensor:
    """A polynomial of degree 3, (B, 3) to (B, 3), of no symmetry."""
    a, b, c = x.unbind(-1)
    return torch.stack([a * b * c + b, a * a * c - a, 0.3 * c**3 + a * b + 1], dim=-1)


FINITE: dict[str, tuple[Any, ...]] = {
    "tensors": (lambda: perceptron(4, 2), cyclic(4), 2 * Defining(cyclic(4)), Defining(cyclic(4)), (5, 4)),
    "images": (cnn, dihedral(4), ImageAction(dihedral(4)), ImageAction(dihedral(4)), (2, 1, 7, 7)),
    "classes of images": (
        lambda: nn.Sequential(cnn(), nn.Flatten(), nn.Linear(98, 3)),
        cyclic(4), ImageAction(cyclic(4)), Unchanged(cyclic(4)), (2, 1, 7, 7),
    ),
    "sets": (
        lambda: nn.Sequential(nn.Flatten(), perceptron(12, 12), nn.Unflatten(1, (4, 3))),
        symmetric(4), RowAction(symmetric(4)), RowAction(symmetric(4)), (2, 4, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("case", FINITE)
def test_a_finite_group_exactly(case: str, chunk: int | None) -> None:
    make, group, act_in, rep_out, shape = FINITE[case]
    network = make()
    mean = GroupAverage(network, group, act_in, rep_out, chunk=chunk)
    x = torch.randn(*shape)
    certificate = certify(mean, x, quick=True)
    assert certificate.verdict == "exact", certificate.summary()
    assert certify(network, x, group=group, act_in=act_in, rep_out=rep_out, quick=True).verdict == "broken"
    assert mean.band == float("inf")
    assert torch.allclose(mean(x), GroupAverage(network, group, act_in, rep_out)(x), atol=1e-6)


def test_one_call_for_each_element_gives_the_same() -> None:
    group, x = cyclic(4), torch.randn(3, 4)
    network = perceptron(4, 2)
    actions = 2 * Defining(group), Defining(group)
    assert torch.allclose(
        GroupAverage(network, group, *actions, batch=False)(x), GroupAverage(network, group, *actions)(x)
    )


def test_a_quadrature_is_exact_at_its_band_limit_and_not_below() -> None:
    x, g = torch.randn(4, 3, dtype=torch.float64), O3.sample(1, torch.Generator().manual_seed(1))[0]

    def error(order: int) -> float:
        mean = GroupAverage(cubic, O3, Cartesian(1), Cartesian(1), order=order)
        return float((mean(x @ g.T) - mean(x) @ g.T).abs().max() / mean(x).square().mean().sqrt())

    assert error(4) < 1e-12  # three factors of the input and one of the output
    assert error(2) > 1e-3


def test_a_certificate_states_the_error_of_a_quadrature() -> None:
    x, network = torch.randn(4, 3), perceptron(3, 3)
    fine, coarse = (GroupAverage(network, O3, Cartesian(1), Cartesian(1), order=n, claimed_error=1e-2) for n in (7, 1))
    certificate = certify(fine, x, quick=True)
    assert certificate.verdict == "within approximation", certificate.summary()
    broken = certify(coarse, x, quick=True)
    assert broken.verdict == "broken"
    size = 1.1 * max(line.error or 0.0 for line in broken.lines)
    assert certify(coarse, x, quick=True, approximation=size).verdict == "within approximation"


def test_samples_are_equivariant_in_distribution_and_their_error_is_told() -> None:
    x, network = torch.randn(4, 3, dtype=torch.float64), perceptron(3, 3).double()
    certificate = certify(GroupAverage(network, O3, Cartesian(1), Cartesian(1), samples=16), x, quick=True)
    assert certificate.verdict == "in distribution", certificate.summary()
    exact = GroupAverage(network, O3, Cartesian(1), Cartesian(1), order=12)(x)
    errors = []
    for samples in (50, 800):
        seen = GroupAverage(network, O3, Cartesian(1), Cartesian(1), samples=samples, seed=3).spread(x)
        assert seen.bias is None
        assert seen.error is not None
        assert float(((seen.mean - exact.detach()) / seen.error).abs().max()) < 6
        errors.append(float(seen.error.mean()))
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.3)


def test_the_bias_is_the_difference_between_two_orders() -> None:
    x, network = torch.randn(4, 3, dtype=torch.float64), perceptron(3, 3).double()
    means = [GroupAverage(network, O3, Cartesian(1), Cartesian(1), order=n, chunk=7) for n in (2, 3, 8)]
    seen = means[0].spread(x)
    assert torch.allclose(seen.bias, means[1](x) - means[0](x), atol=1e-14)
    assert torch.allclose(seen.mean, means[0](x), atol=1e-14)
    assert float(means[2].spread(x).bias.abs().max()) < 1e-3 * float(seen.bias.abs().max())
    group = cyclic(4)
    whole = GroupAverage(perceptron(2, 1), group, Defining(group)).spread(torch.randn(3, 2))
    assert float(whole.bias.abs().max()) == 0.0
    assert float(whole.deviation.min()) > 0


def test_an_equivariant_network_is_left_unchanged() -> None:
    x = torch.randn(5, 3, dtype=torch.float64)

    def equivariant(x: Tensor) -> Tensor:
        return x * x.square().sum(-1, keepdim=True).tanh()

    for chosen in ({"order": 1}, {"samples": 3}):
        assert torch.allclose(GroupAverage(equivariant, O3, Cartesian(1), Cartesian(1), **chosen)(x), equivariant(x))


@pytest.mark.parametrize("chunk", [None, 2])
def test_derivatives_of_two_orders(chunk: int | None) -> None:
    mean = GroupAverage(perceptron(3, 3, 3).double(), O3, Cartesian(1), Cartesian(1), samples=3, chunk=chunk)
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mean, (x,))
    assert torch.autograd.gradgradcheck(mean, (x,))


def test_memory_is_constant_in_the_number_of_elements() -> None:
    network, x = perceptron(3, 3, 512), torch.randn(200, 3, requires_grad=True)

    def peak(samples: int, chunk: int | None) -> int:
        mean = GroupAverage(network, O3, Cartesian(1), Cartesian(1), samples=samples, chunk=chunk)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
            mean(x).square().sum().backward()
        held = highest = 0
        for event in run.profiler.kineto_results.events():
            if event.name() == "[memory]":
                held += event.nbytes()
                highest = max(highest, held)
        return highest

    few, many, stored = peak(4, 2), peak(64, 2), peak(64, None)
    assert many < 1.2 * few
    assert stored > 5 * many


def test_a_frozen_network_stays_frozen() -> None:
    network = perceptron(3, 1).requires_grad_(False)
    x = torch.randn(2, 3, requires_grad=True)
    GroupAverage(network, O3, Cartesian(1), order=2)(x).sum().backward()
    assert x.grad is not None
    assert all(p.grad is None for p in network.parameters())


def test_graphs_with_energies_and_forces() -> None:
    """Forces through the mean are the gradient of the mean, and the mean of the turned forces."""
    inner = perceptron(27, 1).double()

    def energy(graph: Graph) -> Tensor:
        return inner(centred(graph).reshape(-1, 27) / 4).squeeze(-1)

    def both(graph: Graph) -> dict[str, Tensor]:
        pos = graph.pos.detach().requires_grad_()
        value = energy(graph.replaced(pos=pos))
        return {"energy": value.detach(), "forces": -torch.autograd.grad(value.sum(), pos)[0]}

    ethanol = Graph.from_ase(molecule("CH3CH2OH"))
    mean = GroupAverage(energy, O3, order=3, centred=True)
    pair = GroupAverage(both, O3, rep_out={"energy": None, "forces": Cartesian(1)}, order=3, centred=True)
    assert mean.group == Affine(O3)
    ethanol.pos.requires_grad_()
    forces = -torch.autograd.grad(mean(ethanol).sum(), ethanol.pos)[0]
    ethanol.pos.requires_grad_(False)
    assert torch.allclose(forces, pair(ethanol)["forces"], atol=1e-13)
    certificate = certify(pair, ethanol, group=pair.group, rep_out=pair.rep_out, quick=True, dtypes=(torch.float64,))
    assert certificate.verdict == "within approximation", certificate.summary()
    cube = GroupAverage(both, octahedral(), rep_out={"energy": None, "forces": Defining(octahedral())}, centred=True)
    assert certify(cube, ethanol, group=cube.group, dtypes=(torch.float64,), quick=True).verdict == "exact"


X = torch.randn(2, 3)
REFUSED: dict[str, tuple[Any, str]] = {
    "no way": (lambda: GroupAverage(nn.Linear(3, 3), O3), "0 ways to average over O\\(3\\)"),
    "two ways": (lambda: GroupAverage(nn.Linear(3, 3), O3, order=1, samples=2), "2 ways"),
    "no samples": (lambda: GroupAverage(nn.Linear(3, 3), O3, samples=0), "0 samples"),
    "no chunk": (lambda: GroupAverage(nn.Linear(3, 3), O3, order=1, chunk=0), "0 copies"),
    "not compact": (lambda: GroupAverage(nn.Linear(3, 3), T(3), samples=2), "not compact"),
    "another group's representation": (
        lambda: GroupAverage(nn.Linear(3, 3), O3, Defining(cyclic(4)), order=1), "is of C_4, not of O"
    ),
    "an input of another size": (
        lambda: GroupAverage(nn.Linear(4, 3), O3, Cartesian(1), order=1)(torch.randn(2, 4)), "for 3 components"
    ),
    "a graph of another dimension": (
        lambda: GroupAverage(lambda g: g.pos, O3, order=1)(Graph(torch.randn(3, 2))), "dimension"
    ),
    "tensors without an action": (lambda: GroupAverage(nn.Linear(3, 1), O3, order=1)(X), "act_in"),
    "permutations of graphs at once": (
        lambda: GroupAverage(lambda g: g.pos, Permutations(3))(Graph(torch.randn(3, 3))), "batch=False"
    ),
    "another shape": (
        lambda: GroupAverage(nn.Linear(3, 4), O3, Cartesian(1), Cartesian(1), order=1)(X), "rep_out"
    ),
    "fewer rows": (
        lambda: GroupAverage(lambda x: x.sum(), O3, Cartesian(1), order=1)(X), "returns shape"
    ),
    "no tensor": (lambda: GroupAverage(lambda x: "yes", O3, Cartesian(1), order=1)(X), "returns str"),
    "other names": (
        lambda: GroupAverage(lambda x: {"e": x}, O3, Cartesian(1), order=1)(X), r"\['e'\]"
    ),
    "batch statistics in chunks": (
        lambda: GroupAverage(nn.Sequential(nn.BatchNorm1d(3)), O3, Cartesian(1), order=1, chunk=2)(X),
        r"BatchNorm1d \(0\) in training mode",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    action, words = REFUSED[case]
    with pytest.raises(InputError, match=words):
        action()


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(3), nn.Dropout(0.5)])
def test_layers_that_depend_on_the_batch_or_on_chance_are_named_in_training(layer: nn.Module) -> None:
    mean = GroupAverage(nn.Sequential(nn.Linear(3, 3), layer), O3, Cartesian(1), order=1)
    with pytest.warns(Caution, match=rf"{type(layer).__name__} \(1\) in training mode"):
        mean(torch.randn(4, 3))
    assert certify(mean, torch.randn(4, 3), quick=True, approximation=1.0).verdict == "within approximation"


def test_permutations_of_nodes_one_call_each() -> None:
    group: Group = symmetric(3)
    inner = perceptron(6, 1)
    mean = GroupAverage(lambda g: inner(g.pos.reshape(-1)), group, rep_out=Unchanged(group), batch=False, act_in=None)
    graph = Graph(torch.randn(3, 2))
    with pytest.raises(InputError):
        mean(Graph(torch.randn(4, 2)))
    rows = GroupAverage(lambda x: inner(x.flatten(1)), group, RowAction(group))
    assert torch.allclose(rows(graph.pos[None])[0], rows(graph.pos[[2, 0, 1]][None])[0], atol=1e-6)
