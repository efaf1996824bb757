"""DimeNet++: the contract, torch-geometric at the same weights, the basis against scipy, what its angles see."""

from __future__ import annotations

import copy
import itertools
import types
import warnings

import numpy as np
import pytest
import torch
from contract import ModelContract
from torch import Tensor

from intertwine.geometry import Graph, connect
from intertwine.models.dimenet import DimeNet
from intertwine.nn import Backbone
from intertwine.numerics import InputError

SMALL = {
    "width": 6,
    "layers": 2,
    "cutoff": 2.5,
    "radial_size": 3,
    "degrees": 4,
    "triplet_width": 4,
    "basis_width": 3,
    "output_width": 6,
}
ATOMS = {"species": (1, 6, 8)}


class Contract(ModelContract):
    """Without the isolated atom of the relative bounds: where there are no edges there is nothing, as in the paper."""

    def structures(self, model: Backbone) -> dict[str, Graph]:
        return {name: graph for name, graph in super().structures(model).items() if name != "isolated"}

    def any_dimension(self, model: Backbone) -> bool:
        return True


class TestDimeNet(Contract):
    @pytest.fixture
    def model(self) -> Backbone:
        return DimeNet(**SMALL, **ATOMS).double()


class TestDimeNetWithInputs(Contract):
    fields, species = ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        return DimeNet(
            **SMALL, species=(), node_inputs=("charge", "speed"), edge_inputs=("charge_product",), features=5
        ).double()


def exact_zeros(degrees: int, size: int) -> np.ndarray:
    """What PyG's ``Jn_zeros`` rounds to single precision: brackets from the order before, refined in double."""
    from scipy.optimize import brentq
    from scipy.special import spherical_jn

    rows = [np.pi * np.arange(1, size + degrees)]
    for l in range(1, degrees):
        rows.append(
            np.array(
                [brentq(lambda y, l=l: spherical_jn(l, y), a, b, xtol=1e-15) for a, b in itertools.pairwise(rows[-1])]
            )
        )
    return np.stack([row[:size] for row in rows])


def naive_triplets(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, ...]:
    """In the order that PyG's own function returns, which needs torch-sparse."""
    j, i = edge_index
    pairs = [(a, b) for b in range(len(i)) for a in range(len(i)) if i[a] == j[b] and j[a] != i[b]]
    kj, ji = torch.tensor(pairs).T
    return i, j, i[ji], j[ji], j[kj], kj, ji


class PaperEnvelope(torch.nn.Module):
    """The authors' envelope holds a factor 1/u that the paper's equations for triplets have not."""

    def __init__(self, authors: torch.nn.Module) -> None:
        super().__init__()
        self.authors = authors

    def forward(self, u: Tensor) -> Tensor:
        return self.authors(u) * u


@pytest.fixture(scope="module")
def oracle():
    """torch-geometric's model with exact constants; its edges and triplets by loops, since it needs compiled extensions
    for them.
    """
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        from torch_geometric.nn.models import dimenet, dimenet_utils

        patch.setattr(dimenet_utils, "Jn_zeros", exact_zeros)
        patch.setattr(dimenet, "radius_graph", lambda pos, r, **_: connect(Graph(pos), r).edge_index)
        patch.setattr(dimenet, "triplets", naive_triplets)
        sizes = {
            "num_blocks": 2,
            "int_emb_size": 12,
            "basis_emb_size": 5,
            "out_emb_channels": 20,
            "num_spherical": 3,
            "num_radial": 3,
        }
        yield dimenet.DimeNetPlusPlus(16, 7, **sizes, cutoff=2.5, output_initializer="glorot_orthogonal")


@pytest.mark.parametrize("authors", [True, False], ids=["as published code", "as paper"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_against_torch_geometric(
    twins: types.ModuleType, oracle, dtype: torch.dtype, tolerance: float, authors: bool
) -> None:
    """All node features and their gradients, at the same weights, none of them zero."""
    theirs = copy.deepcopy(oracle).to(dtype)
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    if not authors:
        theirs.sbf.envelope = PaperEnvelope(theirs.sbf.envelope)
    ours = twins.dimenet(theirs, authors)
    lattice = torch.tensor(list(itertools.product(range(3), range(2), range(2))))
    pos = (1.1 * lattice + 0.15 * torch.randn(12, 3)).to(dtype)
    z, results = torch.tensor([1, 6, 8] * 4), []
    for model in (ours, theirs):
        x = pos.clone().requires_grad_()
        f = ours(Graph(x, z=z)) if model is ours else theirs(z, x, batch=torch.arange(12))
        results.append((f, *torch.autograd.grad(f.square().sum(), x)))
    for mine, other in zip(*results, strict=True):
        assert ((mine - other).abs().max() / other.abs().max()).item() < tolerance


def angles(*degrees: float) -> Graph:
    """Neighbours at distance 1 from a centre, in a plane, at the given angles; the last atom hangs on the centre out of
    the plane.
    """
    turns = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    around = torch.stack([turns.cos(), turns.sin(), torch.zeros_like(turns)], dim=1)
    return Graph(torch.cat([torch.zeros(1, 3, dtype=torch.float64), around]), z=[6] + [1] * len(degrees))


def test_sees_angles_between_two_neighbours_that_do_not_see_each_other() -> None:
    """Body order 3: at a cutoff below the distance of the two neighbours, only the angle tells the structures apart."""
    model = DimeNet(**SMALL | {"cutoff": 1.2}, **ATOMS).double()
    f, g = model(angles(0, 100)), model(angles(0, 170))
    assert (f[1:] - g[1:]).abs().max() > 1e-6 * f.abs().max()
    mirrored = angles(0, 100)
    mirrored.pos[:, 1] *= -1
    torch.testing.assert_close(model(mirrored), f, rtol=0, atol=1e-13)


def test_blind_to_what_angles_do_not_tell() -> None:
    """Four neighbours of a centre, one cutoff, mutual distances beyond it: the two layouts have the same unordered
    angles at every first edge, so one layer sees no difference; the 2-body pair of the expressivity paper, which they
    do tell apart, is seen."""
    model = DimeNet(**SMALL | {"cutoff": 6.0, "layers": 1}, species=(1,)).double()
    bent = Graph(torch.tensor([[0.0, 0, 0], [5, 0, 0], [3, 0, 4]]).double(), z=[1, 1, 1])
    straight = Graph(torch.tensor([[0.0, 0, 0], [5, 0, 0], [-5, 0, 0]]).double(), z=[1, 1, 1])
    assert (model(bent)[1:].sum(0) - model(straight)[1:].sum(0)).abs().max() > 1e-9
    common = [[5.0, 0, 5], [5, 5, 5], [-5, -5, 5]]
    wide = [
        Graph(torch.tensor([[0.0, 0, 0], *common, last]).double(), z=[1] * 5) for last in ([0.0, 5, 5], [0.0, -5, 5])
    ]
    near = [connect(graph, 9.0) for graph in wide]
    for graph in near:  # the pair is about one centre: keep its own edges only
        graph.edge_index = torch.stack([torch.tensor([1, 2, 3, 4, 0, 0, 0, 0]), torch.tensor([0, 0, 0, 0, 1, 2, 3, 4])])
        graph.shifts = torch.zeros(8, 3, dtype=torch.int64)
    long = DimeNet(**SMALL | {"cutoff": 9.0, "layers": 1}, species=(1,)).double()
    first, second = (long(graph) for graph in near)
    torch.testing.assert_close(first[0], second[0], rtol=0, atol=1e-13)


def test_collinear_atoms_have_the_derivatives_of_their_neighbourhood() -> None:
    """The cosine has no cusp on a line: forces there are the limit of forces nearby, and second derivatives exist."""
    model = DimeNet(**SMALL, **ATOMS).double()
    values = []
    for bend in (0.0, 1e-7):
        pos = torch.tensor(
            [[0.0, 0, 0], [1, bend, 0], [2, 0, 0], [3, 0, bend]], dtype=torch.float64, requires_grad=True
        )
        (force,) = torch.autograd.grad(model(Graph(pos, z=[1, 6, 8, 1])).square().sum(), pos, create_graph=True)
        (second,) = torch.autograd.grad(force.square().sum(), pos)
        values.append((force.detach(), second))
    for on, off in zip(*values, strict=True):
        assert (on - off).abs().max() < 1e-5 * on.abs().max()


def test_crystal_in_a_cell_smaller_than_the_cutoff_is_its_supercell() -> None:
    """One atom whose neighbours are all images of itself: triplets k -> j -> i with k an image of i count, the way back
    does not.
    """
    cell = torch.tensor([[1.6, 0, 0], [0.2, 1.7, 0], [0.1, 0.3, 1.8]], dtype=torch.float64)
    one = Graph(torch.zeros(1, 3, dtype=torch.float64), z=[6], cell=cell)
    shifts = torch.tensor(list(itertools.product(range(2), range(3), range(2))), dtype=torch.float64)
    many = Graph(shifts @ cell, z=[6] * 12, cell=cell * torch.tensor([[2.0], [3.0], [2.0]]).double())
    model = DimeNet(**SMALL | {"cutoff": 3.0}, **ATOMS).double()
    torch.testing.assert_close(model(many), model(one).expand(12, -1), rtol=0, atol=1e-12)


def test_presets_and_arguments() -> None:
    for options in DimeNet.PRESETS.values():
        model = DimeNet(**{**options, "cutoff": 3.0})
        assert model(angles(0, 90).cast(torch.float32)).isfinite().all()
    for name in ("degrees", "triplet_width", "basis_width", "output_width", "output_layers", "features"):
        with pytest.raises(InputError, match=name):
            DimeNet(**{name: 0})
