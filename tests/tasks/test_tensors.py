"""Tensors of molecules and of atoms: any irreps, Cartesian in and out."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch

from intertwine.certify import certify
from intertwine.data import GraphStore
from intertwine.geometry import Graph, act, collate
from intertwine.groups import Cartesian, Isometry
from intertwine.models import MODELS
from intertwine.numerics import DataError, InputError
from intertwine.o3 import Irreps
from intertwine.o3.cartesian import CartesianTensor
from intertwine.tasks import Property

F64 = torch.float64


def backbone(outputs: str = "0e+1o+2e", **arguments: object):
    torch.manual_seed(1)
    small = {"width": 8, "layers": 2, "cutoff": 3.5, "radial_size": 6, "outputs": outputs}
    return MODELS["nequip"](**(small | arguments)).double()


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64)


def symmetric(*batch: int) -> torch.Tensor:
    a = normal(*batch, 3, 3)
    return a + a.mT


#: representation, shape of a label of one molecule, irreps and settings that the model needs
KINDS = {
    "ij=ji": ((3, 3), "0e+2e", {}),
    "ij": ((3, 3), "0e+1e+2e", {"parity": True}),
    "ij=-ji": ((3, 3), "1e", {"parity": True}),
    "ijk=jik=ikj": ((3, 3, 3), "1o+3o", {"lmax": 3}),
    "1e": ((3,), "1e", {"parity": True}),
    "2x0e+1o+2e": ((10,), "0e+1o+2e", {}),
}


@pytest.mark.parametrize("representation", KINDS)
@pytest.mark.parametrize("level", ["graph", "node"])
def test_a_tensor_turns_with_the_molecule(representation: str, level: str, molecule) -> None:
    shape, outputs, arguments = KINDS[representation]
    graphs = []
    for nodes in (3, 5):
        graph = molecule(nodes)
        y = normal(nodes if level == "node" else 1, *shape)
        if len(shape) > 1:
            tensor = CartesianTensor(representation)
            y = tensor.to_cartesian(tensor.from_cartesian(y))
        graph.y = y
        graphs.append(graph)
    model = backbone("+".join(dict.fromkeys(["0e", *outputs.split("+")])), **arguments)
    task = Property(model, "y", representation, level=level).double()
    task.fit(graphs)
    batch = Batch.from_data_list(graphs)
    prediction = task(batch)
    assert prediction["y"].shape == (8 if level == "node" else 2, *shape)
    assert task.losses(prediction, batch)["y"][1] == prediction["y"].numel()
    certificate = certify(task.eval(), graphs, quick=True, dtypes=(F64,))
    assert certificate.passed, certificate.summary()


def test_a_polarizability_is_symmetric_and_has_references(molecule) -> None:
    """With a network that says zero, the isotropic part is that of the composition, and nothing else is left."""
    graphs = [molecule(n) for n in (3, 4, 5, 6, 7)]
    for graph in graphs:
        graph.alpha = (graph.z.double() * 1.5).sum() * torch.eye(3, dtype=F64)[None]
    task = Property(backbone(), "alpha", "ij=ji").double().eval()
    before = task(graphs[0])["alpha"]
    assert torch.equal(before, before.mT)
    with torch.no_grad():
        for p in task.head.parameters():
            p.zero_()
    task.fit(graphs)
    for graph in graphs:
        torch.testing.assert_close(task(graph)["alpha"], graph.alpha, rtol=1e-12, atol=1e-12)
    assert task.outputs["alpha"].representation == Cartesian(2)


def test_scalars_of_atoms_have_references_by_species(molecule) -> None:
    graphs = [molecule(n) for n in (3, 6, 8)]
    for graph in graphs:
        graph.shift = graph.z.double() ** 2
    task = Property(backbone("0e"), "shift", level="node").double().eval()
    with torch.no_grad():
        for p in task.head.parameters():
            p.zero_()
    task.fit(graphs)
    batch = collate(graphs)
    torch.testing.assert_close(task(batch)["shift"], batch.shift, rtol=1e-12, atol=1e-12)


def test_axial_and_polar_tensors_differ_under_a_reflection(molecule) -> None:
    graph = molecule(5)
    mirror = Isometry(-torch.eye(3, dtype=F64), torch.zeros(3, dtype=F64))
    for representation, sign in (("1o", -1), ("1e", 1), ("2e", 1), ("ijk=jik=ikj", -1)):
        outputs, parity = ("0e+1e", True) if representation == "1e" else ("0e+1o+2e+3o", False)
        task = Property(backbone(outputs, parity=parity, lmax=3), "y", representation).double().eval()
        torch.testing.assert_close(task(act(mirror, graph))["y"], sign * task(graph)["y"], rtol=1e-10, atol=1e-12)


def test_derivatives_reach_every_weight(molecule) -> None:
    graph = molecule(5, alpha=symmetric(1))
    task = Property(backbone("0e+2e"), "alpha", "ij=ji").double()
    task.fit([graph])
    loss, _ = task.losses(task(graph), graph)["alpha"]
    loss.backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in task.head.parameters())


def test_what_it_refuses(molecule) -> None:
    with pytest.raises(InputError, match=r"needs 2e features(.|\n)*NequIP"):
        Property(backbone("0e+1o"), "alpha", "ij=ji")
    with pytest.raises(InputError, match="needs 1e and 2e"):
        Property(backbone("0e+1o"), "t", "ij")
    with pytest.raises(InputError, match="1q"):
        Property(backbone(), "t", "1q")
    with pytest.raises(InputError, match="no components"):
        Property(backbone(), "t", "0x0e")
    with pytest.raises(InputError, match="unknown level"):
        Property(backbone(), "t", level="bond")
    with pytest.raises(InputError, match="reads scalars"):
        Property(backbone(), "t", "ij=ji", readout="set2set")
    task = Property(backbone(), "alpha", "ij=ji").double()
    with pytest.raises(DataError, match="6 components, not 9"):
        task.fit([molecule(3, alpha=normal(1, 6))])
    with pytest.raises(DataError, match="has not the symmetry 'ij=ji'") as error:
        task.fit([molecule(3, alpha=symmetric(1)), molecule(4, alpha=normal(1, 3, 3))])
    assert "graph 1 of the training set" in str(error.value)
    with pytest.raises(DataError, match="not finite"):
        task.fit([molecule(3, alpha=symmetric(1) * torch.nan)])
    with pytest.raises(DataError, match="no 'alpha'"):
        task.fit([molecule(3, alpha=symmetric(1)), molecule(3)])


@pytest.mark.parametrize(
    ("values", "representation"),
    [
        (torch.ones(4), "0e"),
        (torch.ones(4, 1), "0e"),
        (torch.randn(4, 3), "1o"),
        (torch.eye(3).expand(4, 3, 3), "ij=ji"),
        (torch.eye(3).expand(4, 3, 3).flatten(1), "ij=ji"),
        (torch.randn(4, 3, 3), "ij"),
        (torch.ones(4, 27), "ijk=jik=ikj"),
        (torch.randn(4, 3, 3, 3), "ijk"),
    ],
)
def test_the_shape_of_labels_says_what_they_are(values: torch.Tensor, representation: str) -> None:
    from intertwine.tasks.representations import representation_of

    assert representation_of(values, "y") == representation


@pytest.mark.parametrize("width", [2, 4, 5, 6, 9, 27])
def test_numbers_that_may_be_anything_are_not_guessed(width: int) -> None:
    from intertwine.tasks.representations import representation_of

    with pytest.raises(InputError, match=f"{width} components, which may be anything") as error:
        representation_of(torch.randn(4, width), "y")
    assert f"{width}x0e" in str(error.value)


def test_what_the_user_says_of_a_tensor_decides_the_features(molecule) -> None:
    data = GraphStore.from_graphs([molecule(n, y=normal(1, 9)) for n in (2, 3, 4)])
    for told, outputs in (("ij", "0e+1e+2e"), ("9x0e", "0e"), ("1o+2x2e", "0e+1o+2e")):
        wishes = Property.suggest(data, "y", MODELS["nequip"], {"representation": told})
        assert wishes["task"]["representation"] == told
        assert wishes["model"]["outputs"] == outputs
        assert wishes["model"].get("parity", False) == ("1e" in outputs)
        model = MODELS["nequip"](**wishes["model"])
        assert all(model.irreps_out.count(ir) for _, ir in Irreps(outputs))


def test_graphs_hold_the_labels_of_a_batch(molecule) -> None:
    graphs: list[Graph] = [molecule(n, alpha=symmetric(1)) for n in (2, 3)]
    assert collate(graphs).alpha.shape == (2, 3, 3)


def test_what_the_data_declare_is_what_it_is(molecule) -> None:
    """An axial vector is no polar one, and components of irreps are no question."""
    declared = {"mag": "1e", "quad": "2e"}
    data = GraphStore.from_graphs(
        [molecule(n, mag=normal(1, 3), quad=normal(1, 5), representations=declared) for n in (2, 3, 4)]
    )
    for name, representation in declared.items():
        assert Property.suggest(data, name, MODELS["nequip"], {})["task"]["representation"] == representation


@pytest.mark.parametrize("readout", ["sum", "mean"])
def test_several_scalars_have_a_mean_each(readout: str, molecule) -> None:
    graphs = [molecule(n) for n in (3, 4, 8)]
    for graph in graphs:
        graph.y = torch.tensor([[1000.0, -7.0]], dtype=F64) * (graph.num_nodes if readout == "sum" else 1)
    task = Property(backbone("0e"), "y", "2x0e", readout=readout).double().eval()
    with torch.no_grad():
        for p in task.head.parameters():
            p.zero_()
    task.fit(graphs)
    batch = collate(graphs)
    torch.testing.assert_close(task(batch)["y"], batch.y, rtol=1e-12, atol=1e-12)


def test_noise_of_a_tensor_that_is_zero_is_no_lack_of_symmetry(molecule) -> None:
    """The hyperpolarizability of a molecule with a centre: digits beside those of the others."""
    tensor = CartesianTensor("ijk=jik=ikj")
    graphs = [
        molecule(3, beta=10 * tensor.to_cartesian(normal(1, tensor.dim))),
        molecule(4, beta=1e-8 * normal(1, 3, 3, 3)),
    ]
    task = Property(backbone("0e+1o+3o", lmax=3), "beta", tensor.formula).double()
    task.fit(graphs)  # raises DataError where the second tensor is taken for one without the symmetry


def test_labels_of_another_size_or_level_are_named(molecule) -> None:
    task = Property(backbone("0e+2e"), "alpha", "ij=ji").double()
    graph = molecule(3, alpha=symmetric(1))
    prediction = task(graph)
    graph.alpha = normal(1, 6)
    with pytest.raises(DataError, match="is predicted"):
        task.residuals(prediction, graph)
    with pytest.raises(DataError, match="for 3 nodes"):
        Property(backbone("0e"), "energy", level="node").double().fit([molecule(3, energy=torch.ones(1, dtype=F64))])
