"""Axioms of every group, and what a representation, an action, a measure and an exponential map have to satisfy."""

from __future__ import annotations

import math

import pytest
import torch
from group_cases import COMPACT, FINITE, GROUPS, representations
from switches import as_users_run_it

from intertwine import groups
from intertwine.groups import Group, Restricted, Subgroup
from intertwine.groups.fourier import FourierTransform
from intertwine.groups.quadrature import super_fibonacci
from intertwine.groups.regular import quotient, regular
from intertwine.numerics import InputError
from intertwine.o3 import Irrep

TIGHT = 1e-12


def close(a: torch.Tensor, b: torch.Tensor, bound: float = TIGHT) -> None:
    scale = max(1.0, float(b.abs().max())) if b.numel() else 1.0
    assert a.numel() == 0 or float((a.to(torch.float64) - b.to(torch.float64)).abs().max()) <= bound * scale


@pytest.fixture(params=GROUPS)
def group(request: pytest.FixtureRequest) -> Group:
    return GROUPS[request.param]()


def test_axioms(group: Group, generator: torch.Generator) -> None:
    g, h, k = group.sample(60, generator).unflatten(0, (3, 20))
    one = group.identity()
    assert (group.distance(group.product(g, group.inverse(g)), one) <= TIGHT * 10).all()
    assert (group.distance(group.product(group.inverse(g), g), one) <= TIGHT * 10).all()
    close(group.product(g, one), g)
    close(group.product(one, g), g)
    close(group.product(group.product(g, h), k), group.product(g, group.product(h, k)))
    close(group.inverse(group.product(g, h)), group.product(group.inverse(h), group.inverse(g)))
    assert (group.distance(g, g) == 0).all()
    group.require(g, "here")


def test_action(group: Group, generator: torch.Generator) -> None:
    if group.space is None:
        with pytest.raises(InputError, match="action on points"):
            group.act(group.identity(), torch.zeros(3))
        return
    g, h = group.sample(14, generator).unflatten(0, (2, 7))
    x = torch.randn(5, 7, group.space, generator=generator, dtype=torch.float64)
    close(group.act(group.product(g, h), x), group.act(g, group.act(h, x)))
    close(group.act(group.identity(), x), x)
    moved = group.act(g[0], x) - group.act(g[0], torch.zeros(group.space, dtype=torch.float64))
    close(moved, x @ group.linear(g[0]).T)


def test_representations(group: Group, generator: torch.Generator) -> None:
    g, h = group.sample(10, generator).unflatten(0, (2, 5))
    for rep in representations(group):
        a, b, ab = rep.matrix(g), rep.matrix(h), rep.matrix(group.product(g, h))
        assert ab.shape == (5, rep.dim, rep.dim)
        close(ab, a @ b)
        close(rep.matrix(group.identity()), torch.eye(rep.dim, dtype=torch.float64))
        x = torch.randn(3, 5, rep.dim, generator=generator, dtype=torch.float64)
        if rep.axes == 1:
            close(rep.transform(g, x), torch.einsum("bij,nbj->nbi", a, x))
            close(rep.transform(g[0], x), x @ a[0].T)
        close(rep.matrix(g[0]), a[0])


def test_exponential(group: Group, generator: torch.Generator) -> None:
    lie = group.dim > 0 and group.name not in ("SO(4)", "O(4)")
    if not lie:
        if group.order is None or group.name != "T(0)":
            with pytest.raises(InputError):
                group.log(group.exp(torch.zeros(1, dtype=torch.float64)))
        return
    for size in (0.0, 1e-9, 1e-3, 0.3, 1.0, 2.0):
        x = torch.randn(40, group.dim, generator=generator, dtype=torch.float64)
        x = size * x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        g = group.exp(x)
        assert float((group.log(g) - x).abs().max()) <= TIGHT
        close(group.exp(group.log(g)), g)
        # one-parameter subgroups
        close(group.product(group.exp(0.4 * x), group.exp(0.6 * x)), g)
        close(group.exp(-x), group.inverse(g))
    x = 0.3 * torch.randn(4, group.dim, generator=generator, dtype=torch.float64)
    x[0] = 0  # derivatives at the identity are those of the series
    assert torch.autograd.gradcheck(group.exp, x.requires_grad_())
    assert torch.autograd.gradgradcheck(group.exp, x)
    assert torch.autograd.gradcheck(lambda y: group.log(group.exp(y)), x)
    assert torch.autograd.gradgradcheck(lambda y: group.log(group.exp(y)), x)


WITH_LOG = ["SO(2)", "SO(3)", "SE(2)", "SE(3)", "SO+(1,3)", *(name for name in GROUPS if name[:2] in ("T(", "R+"))]


@pytest.mark.parametrize("name", [name for name in WITH_LOG if name != "T(3) x| O"])
def test_samples_have_a_logarithm(name: str, generator: torch.Generator) -> None:
    """Of random elements too, far from the identity: the logarithm is a right inverse."""
    group = GROUPS[name]()
    g = group.sample(400, generator)
    close(group.exp(group.log(g)), g)


@pytest.mark.parametrize("name", COMPACT)
def test_measure(name: str, generator: torch.Generator) -> None:
    """A grid integrates matrix elements exactly, samples do within their error; representations are orthogonal."""
    group = COMPACT[name]()
    if name in ("SO(4)", "O(4)"):
        with pytest.raises(InputError, match="grid"):
            group.grid(3)
        vector = group.sample(4000, generator)
        assert float(vector.mean(0).abs().max()) < 5 / 4000**0.5
        assert abs(float(vector.square().mean()) - 1 / 4) < 5 / 4000**0.5
        return
    if name == "O(1)":
        grid = group.grid(1)
        close(grid.mean(grid.elements), torch.zeros(1, 1))
        return
    grid = group.grid(8)
    assert abs(float(grid.weights.sum()) - 1) < 1e-14
    every = group.irreps(4)
    characters = []
    for irrep in every:
        matrices = irrep.matrix(grid.elements)
        close(matrices @ matrices.mT, torch.eye(irrep.dim, dtype=torch.float64).expand_as(matrices))
        expected = torch.ones(1, 1) if irrep is every[0] else torch.zeros(irrep.dim, irrep.dim)
        close(grid.mean(matrices), expected)
        characters.append(matrices.diagonal(dim1=-2, dim2=-1).sum(-1))
    table = torch.stack(characters)
    gram = (table * grid.weights) @ table.T
    types = torch.tensor([float(getattr(irrep, "type", 1)) for irrep in every])
    close(gram, torch.diag(types))
    g = group.sample(3000, generator)
    for irrep in every[1:6]:
        assert float(irrep.matrix(g).mean(0).abs().max()) < 5 / 3000**0.5


@pytest.mark.parametrize("name", FINITE)
def test_characters(name: str) -> None:
    """Dimensions add up to the order, and irreps over the complex numbers are as many as classes."""
    group = FINITE[name]()
    irreps, every = group.irreps(), group.elements()
    assert sum(irrep.dim**2 // irrep.type for irrep in irreps) == group.order
    # a real irrep of complex type is two complex ones, of real and quaternionic type one
    assert sum(2 if irrep.type == 2 else 1 for irrep in irreps) == int(group.classes.max()) + 1
    for irrep in irreps:
        character = irrep.character(every)
        for k in range(int(group.classes.max()) + 1):
            members = character[group.classes == k]
            close(members, members[:1].expand_as(members))
        # Frobenius and Schur: the mean of the character of squares
        indicator = float(character[group.table[every, every]].mean())
        assert abs(indicator - {1: 1, 2: 0, 4: -2}[irrep.type]) < TIGHT
    assert len({str(irrep) for irrep in irreps}) == len(irreps)


@pytest.mark.parametrize("name", [*FINITE, "SO(2)", "O(2)"])
def test_fourier_and_back(name: str, generator: torch.Generator) -> None:
    group = COMPACT[name]()
    grid = group.grid(8)
    transform = FourierTransform(grid, group.irreps(4))
    coefficients = torch.randn(3, transform.rep.dim, generator=generator, dtype=torch.float64)
    close(transform(transform.inverse(coefficients)), coefficients)
    values = transform.inverse(coefficients)
    # Parseval
    close((values.square() * grid.weights).sum(-1), coefficients.square().sum(-1))
    if group.order is not None:
        f = torch.randn(3, group.order, generator=generator, dtype=torch.float64)
        close(transform.inverse(transform(f)), f)
        for h in group.sample(3, generator):
            close(transform(regular(group).transform(h, f)), transform.rep.transform(h, transform(f)))


@pytest.mark.parametrize("n", [2, 3])
def test_a_grid_is_exact_to_its_band_and_no_further(n: int) -> None:
    for order in (0, 1, 2, 5):
        grid = groups.SO(n).grid(order)
        assert grid.band == order
        beyond = groups.SO(2).irreps(order + 1)[-1] if n == 2 else Irrep(order + 1, 1)
        within = [Irrep(l, 1) for l in range(1, order + 1)] if n == 3 else groups.SO(2).irreps(order)[1:]
        for irrep in within:
            close(grid.mean(irrep.matrix(grid.elements)), torch.zeros(irrep.dim, irrep.dim))
        assert float(grid.mean(beyond.matrix(grid.elements)).abs().max()) > 1e-3


def test_super_fibonacci_spreads_evenly() -> None:
    """Means of matrix elements fall about as 1/n, those of samples as its root."""
    errors = []
    for n in (100, 1000, 10_000):
        turns = super_fibonacci(n)
        close(turns @ turns.mT, torch.eye(3, dtype=torch.float64).expand(n, 3, 3), 1e-14)
        errors.append(max(float(Irrep(l, 1).matrix(turns).mean(0).abs().max()) for l in (1, 2, 3)))
    assert errors[0] < 0.03
    assert errors[1] < errors[0] / 4
    assert errors[2] < errors[1] / 4


def test_restriction() -> None:
    """The harmonics of degree 2 under the rotations of a cube, and a subgroup's own table."""
    cube = groups.octahedral()
    restricted = Restricted(Irrep(2, 1), cube)
    g, h = cube.sample(40, torch.Generator().manual_seed(1)).unflatten(0, (2, 20))
    close(restricted.matrix(cube.product(g, h)), restricted.matrix(g) @ restricted.matrix(h))
    part = Subgroup(cube, [int(cube.generators()[0])])
    assert part.order == 4
    k = part.elements()
    close(Restricted(cube.irreps()[-1], part, part.include).matrix(k), cube.irreps()[-1].matrix(part.include(k)))
    assert torch.equal(part.include(part.product(k, k)), cube.product(part.include(k), part.include(k)))


def test_precision_and_device_are_kept(generator: torch.Generator) -> None:
    for name, make in GROUPS.items():
        group = make()
        if group.sample(3, generator).is_floating_point():
            g = group.sample(3, generator).float()
            assert group.product(g, g).dtype == group.inverse(g).dtype == torch.float32, name
        if group.space is not None:
            assert group.act(group.sample(3, generator), torch.zeros(3, group.space)).dtype == torch.float32


def test_wrong_input_is_named() -> None:
    table = torch.tensor([[0, 1, 2], [1, 0, 2], [2, 1, 0]])
    for wrong in (table, torch.zeros(0, 0, dtype=torch.int64), torch.tensor([[1, 0], [0, 1]])):
        with pytest.raises(InputError):
            groups.FiniteGroup("wrong", wrong)
    # a Latin square with an identity that is not associative
    loop = torch.tensor([[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]])
    with pytest.raises(InputError, match=r"\(a b\) c"):
        groups.FiniteGroup("loop", loop)
    with pytest.raises(InputError, match="multiply"):
        groups.FiniteGroup("C_2", torch.tensor([[0, 1], [1, 0]]), groups.cyclic(4).matrices[:2])
    turn = groups.SO(2).exp(torch.tensor([[math.sqrt(2)]], dtype=torch.float64))
    with pytest.raises(InputError, match="more than"):
        groups.FiniteGroup.from_matrices("endless", turn)
    for wrong_call in (
        lambda: groups.cyclic(0),
        lambda: groups.symmetric(7),
        lambda: groups.SO(0),
        lambda: groups.SO(3).elements(),
        lambda: groups.SO(4).irreps(),
        lambda: groups.SO(3).grid(-1),
        lambda: groups.SE(3).grid(3),
        lambda: groups.O(2).log(torch.diag(torch.tensor([1.0, -1.0]))),
        lambda: groups.SE(2).exp(torch.zeros(2)),
        lambda: groups.Affine(groups.cyclic(3), lattice=True),
        lambda: groups.SO(3).require(torch.zeros(3), "x"),
        lambda: super_fibonacci(0),
    ):
        with pytest.raises(InputError):
            wrong_call()


def test_numbers_are_not_truncated() -> None:
    """Matrices in the precision of integers would be 0 and 1."""
    turn = groups.SO(3).sample(1, torch.Generator().manual_seed(0))[0]
    whole = torch.tensor([1, 2, 3])
    transform = FourierTransform(groups.cyclic(8).grid(), groups.cyclic(8).irreps())
    for call in (
        lambda: groups.Defining(groups.SO(3)).transform(turn, whole),
        lambda: groups.SO(3).act(turn, whole),
        lambda: groups.SE(3).act(groups.SE(3).identity(), whole),
        lambda: transform(torch.arange(8)),
    ):
        with as_users_run_it(), pytest.raises(InputError, match="int64"):
            call()


def test_what_does_not_fit_is_named() -> None:
    so2, c8 = groups.SO(2), groups.cyclic(8)
    skew = torch.tensor([[[-1.0, 1.0], [0.0, 1.0]]], dtype=torch.float64)
    for call in (
        lambda: FourierTransform(so2.grid(4), [so2.irreps(5)[0], so2.irreps(5)[5]]),  # beyond the band
        lambda: FourierTransform(groups.cyclic(4).grid(), c8.irreps()[:2]),  # of another group
        lambda: groups.FiniteGroup.from_matrices("skew", skew),
        lambda: groups.FiniteGroup("zero", torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 2, 2).double()),
        lambda: -1 * groups.Defining(groups.SO(3)),
        lambda: groups.Defining(groups.SO(3)) + groups.Defining(so2),
        lambda: groups.Defining(groups.SO(3)) * groups.Defining(groups.O(3)),
        lambda: Subgroup(c8, [-2]),
        lambda: Subgroup(c8, [9]),
        lambda: so2.exp(torch.rand(5)),
        lambda: groups.Scaling(2).exp(torch.rand(2)),
        lambda: groups.Lorentz().exp(torch.rand(3)),
        lambda: groups.Defining(groups.SO(3)).transform(torch.eye(3), torch.rand(4)),
    ):
        with pytest.raises(InputError):
            call()
    with pytest.raises(InputError, match=r"SO\(3\) has no list of its elements: it is infinite"):
        groups.SO(3).elements()


def test_a_tensor_of_another_representation_is_named(group: Group) -> None:
    """Too many components, one too few, and a single one, which would be broadcast over all."""
    for rep in [rep for rep in representations(group) if rep.axes]:
        n = round(rep.dim ** (1 / rep.axes))
        for last in {n + 1, n - 1, 1} - {n}:
            with as_users_run_it(), pytest.raises(InputError, match=f"for {rep.dim} components"):
                rep.transform(group.identity(), torch.zeros(4, *[last] * rep.axes, dtype=torch.float64))
        with as_users_run_it(), pytest.raises(InputError, match=f"for {rep.dim} components"):
            rep.transform(group.identity(), torch.zeros((), dtype=torch.float64))


def test_groups_of_one_name_are_not_one_group() -> None:
    four = [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]  # Klein's group, not C_4
    assert groups.FiniteGroup("C_4", torch.tensor(four)) != groups.cyclic(4)
    assert groups.cyclic(4) == groups.cyclic(4)
    square = groups.dihedral(4)
    corner, edge = (quotient(square, Subgroup(square, [k], "H")) for k in (4, 5))
    assert corner != edge
    assert corner == quotient(square, Subgroup(square, [4], "H"))


def test_half_turns_of_the_lorentz_group_have_a_logarithm(generator: torch.Generator) -> None:
    lorentz = groups.Lorentz()
    half = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))
    boost = lorentz.exp(torch.tensor([0.0, 0, 0, 0, 0, 1.3], dtype=torch.float64))
    for g in (half, half @ boost, lorentz.sample(1, generator)[0] @ half):
        close(lorentz.exp(lorentz.log(g)), g, 1e-11)
    x = torch.randn(200, 6, generator=generator, dtype=torch.float64)
    for angle in (1e-2, 1e-5, 1e-9):  # short of half a turn
        x[:, :3] *= (math.pi - angle) / torch.linalg.vector_norm(x[:, :3], dim=1, keepdim=True)
        close(lorentz.exp(lorentz.log(lorentz.exp(x))), lorentz.exp(x), 1e-11)
