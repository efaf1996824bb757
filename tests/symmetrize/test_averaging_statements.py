"""The statements of the lecture on group and frame averaging (docs/lectures/averaging.ipynb), at random."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from intertwine import Graph
from intertwine.geometry import ImageAction, act, connect
from intertwine.geometry.frames import FRAMES, centroid
from intertwine.groups import (
    Cartesian,
    Conjugated,
    Defining,
    DirectProduct,
    DirectSum,
    Dual,
    E,
    FiniteGroup,
    Representation,
    Trivial,
    cyclic,
    dihedral,
    octahedral,
    symmetric,
    tetrahedral,
)
from intertwine.groups.intertwiners import hom_basis
from intertwine.groups.regular import natural, regular
from intertwine.models import PointNet, SchNet, TensorField
from intertwine.nn.groups.grid_convolution import GroupConvolution
from intertwine.nn.groups.kernel_basis import SplineBasis
from intertwine.symmetrize import FrameAverage, GroupAverage

GROUPS = [cyclic(5), dihedral(4), tetrahedral(), octahedral(inversion=True), symmetric(4)]
each_group = pytest.mark.parametrize("group", GROUPS, ids=str)
# ring of pyridine, A; the nitrogen is the fourth
PYRIDINE = [
    (0.360945118, -1.120304970),
    (1.559292118, -0.407860970),
    (1.503191118, 0.986935030),
    (0.360945118, 1.29018350),
    (-0.781300882, 0.986935030),
    (-0.837401882, -0.407860970),
    (0.360945118, -2.206546970),
    (2.517950118, -0.917077970),
    (2.421289118, 1.572099030),
    (-1.699398882, 1.572099030),
    (-1.796059882, -0.917077970),
]


def represented(group: FiniteGroup, copies: int = 1) -> Representation:
    """A representation with parts of several kinds, so many regular ones, in a skewed basis: it is not orthogonal."""
    vector = natural(group) if group.space is None else Defining(group)
    whole = DirectSum(((2, vector), (copies, regular(group)), (1, Trivial(group))))
    skew = (
        torch.eye(whole.dim, dtype=torch.float64)
        + 2.0 * torch.rand(whole.dim, whole.dim, dtype=torch.float64).triu(1) / whole.dim
    )
    return Conjugated(whole, skew)


def perceptron(inputs: int, outputs: int) -> nn.Module:
    layers = [nn.Linear(inputs, 24), nn.SiLU(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, outputs)]
    return nn.Sequential(*layers).double().requires_grad_(False)


def change(function, x: Tensor, g: Tensor, source: Representation, target: Representation) -> float:
    """Relative equivariance error."""
    before, after = target.transform(g, function(x)), function(source.transform(g, x))
    return float((after - before).norm() / before.norm())


def pyridine() -> Graph:
    flat = torch.tensor(PYRIDINE, dtype=torch.float64)
    pos = torch.cat([torch.full((11, 1), -0.180226841, dtype=torch.float64), flat], dim=1)
    return Graph(pos, z=torch.tensor([6, 6, 6, 7, 6, 6, 1, 1, 1, 1, 1]))


def moved(graph: Graph, seed: int) -> tuple[Graph, Tensor, Tensor]:
    """A graph under a random isometry, with its matrix and the isometry."""
    g = E(graph.dimension).sample(1, torch.Generator().manual_seed(seed))[0]
    return act(g, graph, E(graph.dimension)), E(graph.dimension).linear(g), g


@each_group
@pytest.mark.parametrize("seed", [0, 1])
def test_a_mean_is_equivariant_whatever_the_network(group: FiniteGroup, seed: int) -> None:
    torch.manual_seed(seed)
    source, target = represented(group), represented(group)
    network = perceptron(source.dim, target.dim)
    mean = GroupAverage(network, group, source, target)
    x = torch.randn(3, source.dim, dtype=torch.float64)
    elements = group.elements()[torch.randperm(group.order)[:6]]
    assert max(change(network, x, g, source, target) for g in elements) > 1e-2
    assert max(change(mean, x, g, source, target) for g in elements) < 1e-12


@each_group
def test_an_equivariant_network_is_its_own_mean(group: FiniteGroup) -> None:
    torch.manual_seed(2)
    source, target = represented(group, 0), represented(group, 0)
    maps = hom_basis(source, target, group)
    matrix = torch.einsum("k,kij->ij", torch.randn(len(maps), dtype=torch.float64), maps)
    x = torch.randn(4, source.dim, dtype=torch.float64)
    mean = GroupAverage(lambda x: x @ matrix.T, group, source, target)
    assert (mean(x) - x @ matrix.T).norm() < 1e-12 * (x @ matrix.T).norm()
    again = GroupAverage(GroupAverage(perceptron(source.dim, 2), group, source), group, source)
    assert torch.allclose(again(x), again.network(x), atol=1e-13)


@each_group
def test_a_mean_is_as_near_to_an_equivariant_function_as_its_network_on_the_orbit(group: FiniteGroup) -> None:
    torch.manual_seed(3)
    rep = natural(group) if group.space is None else Defining(group)
    network = perceptron(rep.dim, rep.dim)
    mean = GroupAverage(network, group, rep, rep)
    x = torch.randn(5, rep.dim, dtype=torch.float64)

    def wanted(x: Tensor) -> Tensor:
        return x * x.norm(dim=-1, keepdim=True)

    orbit = torch.stack([rep.transform(g, x) for g in group.elements()])
    worst = (network(orbit) - wanted(orbit)).norm(dim=-1).amax(0)
    assert ((mean(x) - wanted(x)).norm(dim=-1) <= worst * (1 + 1e-12)).all()


@pytest.mark.parametrize("group", [cyclic(4), dihedral(4)], ids=str)
@pytest.mark.parametrize("size", [3, 5])
def test_the_mean_of_a_correlation_is_a_lifting_and_a_mean_over_its_maps(group: FiniteGroup, size: int) -> None:
    torch.manual_seed(4)
    lifting = GroupConvolution(group, 2, 3, SplineBasis(size, 2), lifting=True).double().requires_grad_(False)
    images = torch.randn(2, 2, 7, 7, dtype=torch.float64)
    maps = lifting(images).unflatten(1, (3, group.order))
    kernel = lifting.kernel().unflatten(0, (3, group.order))[:, 0]  # of the identity
    action = ImageAction(group)
    mean = GroupAverage(lambda f: nn.functional.conv2d(f, kernel, padding=size // 2), group, action, action)
    assert (mean(images) - maps.mean(2)).abs().max() < 1e-13 * maps.abs().max() * group.order
    g = group.elements()[1]
    assert torch.allclose(mean(action.act(g, images)), action.act(g, mean(images)), atol=1e-12)


def test_a_correlation_of_moved_kernel_and_image_is_the_moved_correlation() -> None:
    torch.manual_seed(5)
    action = ImageAction(dihedral(4))
    image, kernel = (torch.randn(1, 1, n, n, dtype=torch.float64) for n in (9, 3))
    plain = nn.functional.conv2d(image, kernel, padding=1)
    for g in dihedral(4).elements():
        both = nn.functional.conv2d(action.act(g, image), action.act(g, kernel), padding=1)
        assert torch.allclose(both, action.act(g, plain), atol=1e-13)


@each_group
def test_moving_the_kernel_needs_the_dual_where_a_representation_is_not_orthogonal(group: FiniteGroup) -> None:
    torch.manual_seed(6)
    rep = represented(group)
    kernel, f = torch.randn(2, rep.dim, dtype=torch.float64)
    mean = GroupAverage(lambda f: torch.tanh(f @ kernel[:, None]), group, rep)(f[None])[0, 0]

    def shortcut(of: Representation) -> Tensor:
        return torch.stack([torch.tanh(f @ of.transform(g, kernel)) for g in group.elements()]).mean()

    assert abs(mean - shortcut(Dual(rep))) < 1e-13
    assert abs(mean - shortcut(rep)) > 1e-6
    g = group.elements()[1]
    assert abs(rep.transform(g, kernel) @ rep.transform(g, f) - kernel @ f) > 1e-6


def test_the_mean_of_the_entries_is_a_frame_of_translations() -> None:
    torch.manual_seed(7)
    network, owner = perceptron(6, 6), torch.arange(4).repeat_interleave(6)

    def in_frame(x: Tensor) -> Tensor:
        frame = centroid(x.reshape(-1, 1), owner, 4)
        assert frame.weight.tolist() == [[1.0]] * 4
        return network(x - frame.centre) + frame.centre

    x, t = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 1, dtype=torch.float64)
    assert torch.allclose(in_frame(x + t), in_frame(x) + t, atol=1e-13)
    assert (network(x + t) - network(x) - t).abs().max() > 1e-2


class Shifts:
    """Images on a torus under shifts."""

    group = DirectProduct(cyclic(5), cyclic(5))

    def act(self, g: Tensor, x: Tensor) -> Tensor:
        return torch.roll(x, (int(self.group.first(g)), int(self.group.second(g))), (-2, -1))

    def exact(self, g: Tensor, x: Tensor) -> bool:
        return True


def test_a_segmentation_is_equivariant_by_a_mean_over_shifts() -> None:
    torch.manual_seed(8)
    network = nn.Sequential(nn.Flatten(-2), perceptron(25, 25), nn.Unflatten(-1, (5, 5)))
    mean = GroupAverage(network, Shifts.group, Shifts(), Shifts(), chunk=7)
    x = torch.randn(2, 5, 5, dtype=torch.float64)
    assert torch.allclose(mean(torch.roll(x, (2, 3), (1, 2))), torch.roll(mean(x), (2, 3), (1, 2)), atol=1e-13)
    linear = nn.Sequential(nn.Flatten(-2), nn.Linear(25, 25, bias=False).double(), nn.Unflatten(-1, (5, 5)))
    averaged = GroupAverage(linear.requires_grad_(False), Shifts.group, Shifts(), Shifts())
    impulse = torch.zeros(1, 5, 5, dtype=torch.float64)
    impulse[0, 0, 0] = 1
    kernel = averaged(impulse)[0]  # the mean of a linear map is a circular convolution
    spectrum = torch.fft.fft2(x) * torch.fft.fft2(kernel)
    assert torch.allclose(averaged(x), torch.fft.ifft2(spectrum).real, atol=1e-13)


def test_a_segmentation_is_equivariant_by_a_landmark() -> None:
    torch.manual_seed(9)
    network = nn.Sequential(nn.Flatten(-2), perceptron(25, 25), nn.Unflatten(-1, (5, 5)))

    def by_landmark(x: Tensor) -> Tensor:
        row, column = divmod(int(x.argmax()), 5)
        return torch.roll(network(torch.roll(x, (-row, -column), (-2, -1))), (row, column), (-2, -1))

    x = torch.randn(5, 5, dtype=torch.float64)
    for shift in ((1, 0), (3, 4)):
        moved_image = torch.roll(x, shift, (0, 1))
        assert torch.equal(by_landmark(moved_image), torch.roll(by_landmark(x), shift, (0, 1)))
        assert not torch.allclose(network(moved_image), torch.roll(network(x), shift, (0, 1)), atol=1e-2)


@pytest.mark.parametrize("seed", range(4))
def test_the_frames_of_moved_pyridine_are_moved_as_a_set(seed: int) -> None:
    graph = pyridine()
    other, matrix, g = moved(graph, seed)
    frames, others = FRAMES["pca"].build(graph), FRAMES["pca"].build(other)
    assert frames.rotation.shape == (1, 8, 3, 3)
    distance = ((matrix @ frames.rotation[0])[:, None] - others.rotation[0][None]).abs().amax((-2, -1))
    assert torch.maximum(distance.amin(0), distance.amin(1)).max() < 1e-12
    assert torch.allclose(act(g, Graph(frames.centre), E(3)).pos, others.centre, atol=1e-12)
    fewest = FRAMES["pca"].build(graph, signs="minimal")
    assert fewest.number().tolist() == [4]  # as many as C_2v has elements
    seen = fewest.into(graph.pos, graph.membership()).transpose(0, 1)
    others_seen = FRAMES["pca"].build(other, signs="minimal").into(other.pos, other.membership()).transpose(0, 1)
    apart = (seen[:, None] - others_seen[None]).abs().amax((-2, -1))
    assert torch.maximum(apart.amin(0), apart.amin(1)).max() < 1e-12


@pytest.mark.parametrize("frames", ["pca", "weighted"])
def test_the_invariant_and_the_equivariant_form(frames: str) -> None:
    torch.manual_seed(10)
    network = PointNet(width=6, pooled=6, hidden=6, scale=2.0, vectors=1).double().requires_grad_(False)
    graph = pyridine()
    other, matrix, _ = moved(graph, 1)
    forms = {"invariant": None, "equivariant": Cartesian(1)}
    for name, rep in forms.items():
        mean = FrameAverage(lambda graph: network(graph)[:, -3:], frames, rep)
        before, after = mean(graph), mean(other)
        turned = before @ matrix.T
        same, equivariant = ((after - value).norm() / before.norm() for value in (before, turned))
        assert (same if name == "invariant" else equivariant) < 1e-12
        assert (equivariant if name == "invariant" else same) > 1e-3


def face(picasso: bool) -> Graph:
    """Eyes and mouth at the ends of a nose, on one side of it, or the mouth on the other side."""
    nose = [[0.0, 0.0, float(k)] for k in range(4)]
    side = -1.0 if picasso else 1.0
    mouth = [[0.0, 0.7 * side, 0.0], [0.35, 0.6 * side, 0.0], [-0.35, 0.6 * side, 0.0]]
    pos = torch.tensor([[0.3, 0.7, 3.0], [-0.3, 0.7, 3.0], *nose, *mouth], dtype=torch.float64)
    return connect(Graph(pos, z=torch.tensor([9, 9, 6, 6, 6, 6, 8, 8, 8])), 1.8)


@pytest.mark.parametrize("layers", [1, 3, 5])
def test_distances_do_not_tell_a_face_from_a_picasso(layers: int) -> None:
    """And vectors do, as soon as messages from both ends meet; a mean over frames does."""
    torch.manual_seed(11)
    invariant = SchNet(width=6, layers=layers, cutoff=1.8).double().requires_grad_(False)
    a, b = invariant(face(False)), invariant(face(True))
    assert (a - b).abs().max() < 1e-13 * a.abs().max()
    vectors = TensorField(width=4, layers=layers, lmax=1, cutoff=1.8).double().requires_grad_(False)
    scalars = vectors.irreps_out.slices()[0]
    a, b = (vectors(face(picasso))[:, scalars] for picasso in (False, True))
    differs = float((a - b).abs().max() / a.abs().max())
    assert differs > 1e-6 if layers >= 3 else differs < 1e-12
    network = PointNet(width=6, pooled=6, hidden=6).double().requires_grad_(False)
    a, b = (FrameAverage(network, "pca", group="E(3)")(face(picasso)) for picasso in (False, True))
    assert (a - b).abs().max() > 1e-3 * a.abs().max()
