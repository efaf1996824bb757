"""certify for any group, of functions of tensors, sets, images, voxels, signals and graphs: each verdict by one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from switches import as_users_run_it
from torch import Tensor, nn

from intertwine.certify import Certificate, assert_equivariant, certify
from intertwine.data.trials import images, signals
from intertwine.geometry import Graph, GraphAction, ImageAction, rasters
from intertwine.groups import (
    SO,
    Affine,
    Defining,
    DirectProduct,
    E,
    Group,
    LinearAction,
    Lorentz,
    O,
    Permutations,
    ProductAction,
    RowAction,
    T,
    Trivial,
    Unchanged,
    cyclic,
    dihedral,
    octahedral,
    symmetric,
)
from intertwine.groups.regular import natural
from intertwine.nn.groups.mlp import EquivariantMLP
from intertwine.numerics import InputError
from intertwine.o3 import Irreps, TensorSquare

DOUBLE = (torch.float64,)


def pictures(n: int = 20, channels: int = 1) -> Tensor:
    """Smooth images (2, channels, n, n) without symmetry."""
    return torch.cat([rasters(graph, graph.x).values for graph in images(channels, (n, n), 2)])


def turned_kernels(x: Tensor, turns: int) -> Tensor:
    """The sum over quarter turns of a convolution and a tanh: equivariant to C_4 for 4 of them."""
    kernel = torch.randn(2, 1, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(x)
    maps = [F.conv2d(x, torch.rot90(kernel, k, (2, 3)), padding=2).tanh() for k in range(turns)]
    return torch.stack(maps).sum(0)


def isotropic(x: Tensor) -> Tensor:
    """A filter that is a function of the distance alone, wide against the pixels."""
    r = torch.arange(-6, 7, dtype=torch.float64)
    kernel = torch.exp(-(r[:, None] ** 2 + r**2) / 6) * torch.cos((r[:, None] ** 2 + r**2).sqrt() / 2)
    return F.conv2d(x, kernel[None, None].to(x) / 20, padding=6).tanh()


def lines(certificate: Certificate, test: str) -> dict[str, float]:
    return {line.output: line.error for line in certificate.lines if line.test == test and line.error is not None}


@pytest.mark.parametrize("group", [symmetric(4), Lorentz(), octahedral()], ids=str)
def test_a_perceptron_of_a_group_is_exact(group: Group) -> None:
    vector = natural(group) if group.name == "S_4" else Defining(group)  # type: ignore[arg-type]
    network = EquivariantMLP(2 * vector, vector + Trivial(group), width=6, layers=1)
    certificate = certify(network, torch.randn(4, 2 * vector.dim))  # it says its group and representations itself
    assert certificate.verdict == "exact", certificate.summary()
    assert certificate.symmetry == str(group)
    assert {"identity", "generators"} < {line.test for line in certificate.lines}
    assert all((line.error or 0) < 500 * 2.3e-16 for line in certificate.lines if line.dtype == "float64")


def test_a_plain_perceptron_breaks_and_says_which_group() -> None:
    group = Lorentz()
    network = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    certificate = certify(network, torch.randn(4, 8), group=group, act_in=2 * Defining(group), rep_out=Trivial(group))
    assert certificate.verdict == "broken"
    assert certificate.broken == ("SO+(1,3)",)
    assert "SO+(1,3): output changes by" in certificate.summary()
    assert next(line for line in certificate.lines if line.test == "identity").verdict == "passed"


def test_sets_and_products_of_groups() -> None:
    """Deep Sets on vectors, under permutations of the rows and rotations of the columns by one action."""
    rows, turns = Permutations(9), SO(3)
    both = ProductAction(RowAction(rows), LinearAction(Defining(turns)))
    group = DirectProduct(rows, turns)

    def centred(x: Tensor) -> Tensor:
        x = x - x.mean(-2, keepdim=True)
        return x * x.square().sum(-1, keepdim=True).mean(-2, keepdim=True)

    assert certify(centred, torch.randn(3, 9, 3), group=group, act_in=both, rep_out=both).verdict == "exact"
    first = certify(lambda x: x * x[..., :1, :1], torch.randn(3, 9, 3), group=group, act_in=both, rep_out=both)
    assert first.broken == ("S_9 of lists x SO(3)",)


def test_a_plain_cnn_under_ninety_degrees_is_named() -> None:
    group = cyclic(4)
    act = ImageAction(group)
    assert certify(lambda x: turned_kernels(x, 4), pictures(), group=group, act_in=act, rep_out=act).verdict == "exact"
    plain = certify(lambda x: turned_kernels(x, 1), pictures(), group=group, act_in=act, rep_out=act, dtypes=DOUBLE)
    assert plain.broken == ("C_4",)
    assert "90 degrees" in next(line.worst for line in plain.lines if line.test == "generators")


def test_the_error_of_interpolation_stands_apart() -> None:
    """An isotropic filter under SO(2): right angles to rounding, others within what interpolation does alone; turned
    kernels: right angles to rounding, and the rest is the network's.
    """
    act = ImageAction(SO(2))
    good = certify(isotropic, pictures(28), group=SO(2), act_in=act, rep_out=act, dtypes=DOUBLE)
    assert good.verdict == "within approximation", good.summary()
    assert lines(good, "exact elements")["output"] < 500 * 2.3e-16
    alone = lines(good, "random elements: interpolation")
    assert 0 < alone["isotropic filter"] < alone["there and back"] < 0.1
    assert "within approximation" in good.summary()
    bad = certify(lambda x: turned_kernels(x, 4), pictures(28), group=SO(2), act_in=act, rep_out=act, dtypes=DOUBLE)
    assert {line.test for line in bad.lines if line.verdict == "failed"} == {"generators", "random elements"}
    assert lines(bad, "exact elements")["output"] < 500 * 2.3e-16
    stated = certify(
        lambda x: turned_kernels(x, 4),
        pictures(28),
        group=SO(2),
        act_in=act,
        rep_out=act,
        dtypes=DOUBLE,
        approximation=5.0,
    )
    assert stated.verdict == "within approximation"


def test_noise_can_not_be_told_apart() -> None:
    act = ImageAction(cyclic(8))
    noise = torch.randn(1, 1, 16, 16)
    certificate = certify(isotropic, noise, group=cyclic(8), act_in=act, rep_out=act, dtypes=DOUBLE)
    skipped = [line for line in certificate.lines if line.verdict == "skipped"]
    assert skipped
    assert "give smoother" in skipped[0].worst


def test_pooled_images_vector_maps_voxels_and_shifts() -> None:
    group = dihedral(4)
    act, vectors = ImageAction(group), ImageAction(group, channels=Defining(group))

    def gradient(x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1))
        along, down = x[..., 1:-1, 2:] - x[..., 1:-1, :-2], x[..., :-2, 1:-1] - x[..., 2:, 1:-1]
        return torch.cat([along, down], dim=1)

    assert certify(gradient, pictures(), group=group, act_in=act, rep_out=vectors).verdict == "exact"
    assert certify(gradient, pictures(), group=group, act_in=act, rep_out=act).verdict == "broken"
    pooled = certify(lambda x: turned_kernels(x, 4).mean((2, 3)), pictures(), group=cyclic(4),
                     act_in=ImageAction(cyclic(4)), rep_out=Unchanged(cyclic(4)))  # fmt: skip
    assert pooled.verdict == "exact"
    cube = ImageAction(octahedral())
    voxels = torch.randn(1, 1, 6, 6, 6)
    assert certify(lambda x: F.avg_pool3d(x, 3, 1, 1), voxels, group=octahedral(), act_in=cube, rep_out=cube).passed
    torus = Affine(cyclic(4), lattice=True, name="p4")
    round_and_round = ImageAction(torus, edges="circular")

    def periodic(x: Tensor) -> Tensor:
        return turned_kernels(F.pad(x, (4, 4, 4, 4), mode="circular"), 4)[..., 4:-4, 4:-4]

    # an odd size, so that quarter turns and whole steps have one lattice
    odd = torch.randn(1, 1, 15, 15)
    assert certify(periodic, odd, group=torus, act_in=round_and_round, rep_out=round_and_round).verdict == "exact"
    assert not certify(lambda x: turned_kernels(x, 4), odd, group=torus, act_in=round_and_round,
                       rep_out=round_and_round).passed  # fmt: skip


def test_spherical_signals_and_graphs() -> None:
    irreps = Irreps("1x0e + 2x1o + 1x2e")
    square = TensorSquare(irreps, "4x0e + 4x1o").double()
    certificate = certify(square, torch.randn(5, irreps.dim), group=O(3), act_in=irreps, rep_out=square.irreps_out)
    assert certificate.verdict == "exact", certificate.summary()

    def energy(graph: Graph) -> Tensor:
        return graph.signal.square().sum(1, keepdim=True) * graph.signal[:, :1]

    assert certify(energy, signals("1x0e + 2x1o"), group=O(3), rep_out=Trivial(O(3)), dtypes=DOUBLE).verdict == "exact"

    def spread(graph: Graph) -> Tensor:
        return (graph.pos - graph.pos.mean(0)).square().sum(1)

    cloud = Graph(torch.randn(6, 3))
    assert certify(spread, cloud, group=E(3), rep_out=Unchanged(E(3)), dtypes=DOUBLE).verdict == "exact"
    order = Permutations(6)
    rows = RowAction(order, axis=0)
    assert certify(spread, cloud, group=order, rep_out=rows, dtypes=DOUBLE).verdict == "exact"
    assert certify(spread, cloud, group=order, rep_out=Unchanged(order), dtypes=DOUBLE).broken == ("S_6 of lists",)
    spacetime = Graph(torch.randn(5, 4))  # events: any group of matrices moves a graph

    def intervals(graph: Graph) -> Tensor:
        x = graph.pos[:, None] - graph.pos
        return (x @ Lorentz().metric(x.dtype) * x).sum(-1)

    assert (
        certify(intervals, spacetime, group=Lorentz(), rep_out=Unchanged(Lorentz()), dtypes=DOUBLE).verdict == "exact"
    )
    assert certify(intervals, spacetime, group=T(4), rep_out=Unchanged(T(4)), dtypes=DOUBLE).verdict == "exact"
    assert GraphAction(order).exact(order.identity(), cloud)


class Turned(nn.Module):
    """A perceptron of points that are turned at random first, as a sampled stabiliser does.

    ``keep`` keeps the turn of one draw until it is told to ``redraw``; ``biased`` turns about one axis alone.
    """

    def __init__(self, keep: bool = False, biased: bool = False) -> None:
        super().__init__()
        self.net, self.keep, self.biased, self.seed = (
            nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)),
            keep,
            biased,
            0,
        )

    def redraw(self, seed: int) -> None:
        self.seed = seed

    def forward(self, x: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed) if self.keep else torch.default_generator
        q = SO(3).sample(1, generator)[0]
        if self.biased:
            q = torch.block_diag(SO(2).sample(1, generator)[0], torch.ones(1, 1, dtype=q.dtype))
        return self.net(x @ q.to(x).T).mean(-2)


@pytest.mark.parametrize("keep", [False, True], ids=["draws", "redrawn"])
def test_in_distribution(keep: bool, tmp_path: Path) -> None:
    vector, options = Defining(SO(3)), {"rep_out": Trivial(SO(3)), "dtypes": DOUBLE, "draws": 32}
    x = 2 * torch.randn(5, 3)
    certificate = certify(Turned(keep), x, act_in=vector, **options)
    assert certificate.verdict == "in distribution", certificate.summary()
    line = next(line for line in certificate.lines if line.test == "random elements")
    assert "standard errors apart" in line.worst
    assert "one draw deviates by" in line.worst
    assert Certificate.load(certificate.save(tmp_path / "c.json")) == certificate
    biased = certify(Turned(keep, biased=True), x, act_in=vector, **options)
    assert biased.broken == ("SO(3)",)
    # the same draw for both, of a function that is equivariant at every draw, is exact
    exact = certify(lambda x: x * torch.rand(()).to(x), x, act_in=vector, rep_out=vector, dtypes=DOUBLE)
    assert exact.verdict == "exact"
    assert "draws random numbers" in exact.lines[0].worst


def test_what_does_not_fit_is_named() -> None:
    vector, x = Defining(SO(3)), torch.randn(4, 3)

    class Endless(Group):
        name, element_shape = "endless", ()

        def identity(self, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None) -> Tensor:
            return torch.zeros((), dtype=dtype)

        def product(self, g: Tensor, h: Tensor) -> Tensor:
            return g + h

        def inverse(self, g: Tensor) -> Tensor:
            return -g

    endless = Trivial(Endless(), 3)
    for match, options in {
        "for 3 components": {"inputs": torch.randn(4, 5), "act_in": vector, "rep_out": vector},
        "no group to test": {"inputs": x},
        "is not said": {"inputs": x, "group": SO(3), "rep_out": vector},
        "does not say what it returns": {"inputs": x, "act_in": vector},
        r"not of O\(3\)": {"inputs": x, "group": O(3), "act_in": vector, "rep_out": vector},
        "no random elements": {"inputs": x, "act_in": endless, "rep_out": endless},
        "does not permute rows": {"inputs": x, "act_in": RowAction(SO(3)), "rep_out": vector},
        "must have 5 rows": {"inputs": x, "act_in": RowAction(Permutations(5)), "rep_out": Unchanged(Permutations(5))},
        "which moves 2 dimensions": {"inputs": x, "act_in": ImageAction(SO(2)), "rep_out": Unchanged(SO(2))},
        "an input of type str": {"inputs": ["x"], "act_in": vector, "rep_out": vector},
        "no inputs": {"inputs": [], "act_in": vector, "rep_out": vector},
        "is no action": {"inputs": x, "group": SO(3), "act_in": "1o", "rep_out": vector},
        "isometry|dimension": {"inputs": Graph(torch.randn(4, 2)), "group": SO(3), "rep_out": Unchanged(SO(3))},
    }.items():  # fmt: skip
        with as_users_run_it(), pytest.raises(InputError, match=match):
            certify(lambda x: x, **options)  # type: ignore[arg-type]


def test_a_fault_of_the_function_is_a_line() -> None:
    vector, x = Defining(SO(3)), torch.randn(4, 3)
    nan = certify(lambda x: x / 0 * 0, x, act_in=vector, rep_out=vector)
    assert not nan.passed
    assert "NaN" in nan.summary()
    assert "not among" in certify(lambda x: {"a": x}, x, act_in=vector, rep_out={"b": vector}).summary()
    shapes = certify(lambda x: x[..., :2], x, act_in=vector, rep_out=vector)
    assert "for 3 components" in shapes.summary()
    with pytest.raises(AssertionError, match="random elements"):
        assert_equivariant(lambda x: x.abs(), x, act_in=vector, rep_out=vector)
