"""NequIP: the contract in its modes, and the package nequip at the same weights, through the converter."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from contract import ModelContract
from switches import as_users_run_it

from intertwine.geometry import Graph, connect
from intertwine.groups import Isometry
from intertwine.models.nequip import NequIP
from intertwine.nn import Backbone
from intertwine.numerics import CheckpointError, GeometryError, InputError

SMALL = {
    "width": 4,
    "layers": 2,
    "lmax": 1,
    "cutoff": 2.5,
    "species": (1, 6, 8),
    "radial_size": 5,
    "radial_width": 8,
    "average_degree": 3.0,
}


class TestNequIP(ModelContract):
    @pytest.fixture
    def model(self) -> Backbone:
        return NequIP(**SMALL).double()


class TestNequIPWithInputs(ModelContract):
    """Nodes that are no atoms: attributes of each node, velocities as first vectors, self-interactions from the first
    layer on.
    """

    fields, species = ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        options = {
            "species": (),
            "vector_inputs": ("vel",),
            "node_inputs": ("charge",),
            "edge_inputs": ("charge_product",),
        }
        return NequIP(**SMALL | options, irreps="4x0e+3x1o", radial="gaussian").double()


def test_presets_are_arguments() -> None:
    for arguments in NequIP.PRESETS.values():
        assert NequIP(**arguments | {"species": (1,), "layers": 2, "width": 4}).irreps_out.count("0e") == 4


def test_species_know_their_own_self_interaction() -> None:
    """Sorted by species or one by one: the same numbers."""
    model = NequIP(**SMALL | {"layers": 3}).double()
    graph = connect(Graph(torch.randn(6, 3, dtype=torch.float64), z=[8, 1, 1, 6, 8, 1]), 2.5)
    x = model.embedding(graph)
    kinds = model.kinds(graph, x)
    assert kinds.counts == [3, 1, 2]
    layer = model.layers[1]
    f = torch.randn(6, layer.irreps_in.dim, dtype=torch.float64)
    single = layer.self_interaction(f, type(kinds)(x))
    torch.testing.assert_close(layer.self_interaction(f, kinds), single, rtol=0, atol=1e-14)


def test_an_atom_alone_may_have_no_features() -> None:
    atom = Graph(torch.zeros(1, 3, dtype=torch.float64), z=[8])
    assert NequIP(**SMALL).double()(atom).any()
    assert not NequIP(**SMALL, first_self_interaction=False).double()(atom).any()


def test_odd_scalars_tell_left_from_right() -> None:
    """A pseudoscalar of a chiral molecule is not zero, and changes its sign in the mirror; that of a planar one is
    zero.
    """
    model = NequIP(**SMALL | {"layers": 4, "cutoff": 4.0, "lmax": 2, "parity": True}, outputs="0e+0o").double()
    pos = torch.tensor(
        [[0, 0, 0], [1.1, 0, 0], [0, 1.2, 0.1], [0.2, 0.3, 1.3], [-0.9, -0.8, -0.4]], dtype=torch.float64
    )
    z = [6, 1, 8, 6, 8]

    def pseudo(pos: torch.Tensor) -> torch.Tensor:
        return model.irreps_out.part(model(Graph(pos, z=z)), "0o").sum(0).flatten()

    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    turn = Isometry.random(3, generator=torch.Generator().manual_seed(0), improper=True, shift=1.0)
    left, right = pseudo(pos), pseudo(pos @ mirror)
    assert left.abs().max() > 1e-6
    assert (right + left).abs().max() < 1e-11 * left.abs().max()
    assert (pseudo(pos @ turn.rotation.T) + left).abs().max() < 1e-11 * left.abs().max()
    flat = pos * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    assert pseudo(flat).abs().max() < 1e-11 * left.abs().max()


def test_compiled() -> None:
    with as_users_run_it():
        model = NequIP(**SMALL).double()
        graph = connect(Graph(torch.randn(6, 3, dtype=torch.float64), z=[8, 1, 1, 6, 8, 1]), 2.5)
        torch.testing.assert_close(torch.compile(model, backend="aot_eager")(graph), model(graph), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lmax": -1}, "lmax"),
        ({"irreps": "4x1o"}, "no even scalars"),
        ({"outputs": "0e+3o", "lmax": 1, "layers": 1}, "nothing leads to 3o"),
        ({"average_degree": 0.0}, "neighbours on average"),
        ({"radial_layers": 0}, "radial_layers"),
        ({"radial_width": 0}, "radial_width"),
        ({"width": 0}, "width"),
        ({"layers": 0}, "layers"),
        ({"cutoff": -1.0}, "cutoff"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        NequIP(**SMALL | arguments)


def test_the_plane_is_refused() -> None:
    with pytest.raises(GeometryError, match="2 dimensions"):
        NequIP(**SMALL)(Graph(torch.zeros(2, 2), z=[1, 1]))


THEIRS = {
    "seed": 0,
    "r_max": 3.5,
    "type_names": ["H", "O", "C"],
    "num_layers": 3,
    "l_max": 2,
    "num_features": [4, 3, 5],
    "type_embed_num_features": 6,
    "avg_num_neighbors": 8.0,
    "radial_mlp_width": 16,
    "per_type_energy_scales": {"H": 1.5, "C": 1.2, "O": 0.7},
    "per_type_energy_shifts": {"H": -1.0, "C": 2.0, "O": 3.0},
}


class TestAgainstTheirPackage:
    """Energies, forces and stress of a molecule and of a crystal, at their weights."""

    def theirs(self, **options) -> torch.nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pytest.importorskip("nequip")
            from nequip.model import NequIPGNNModel
            from nequip.utils.global_state import set_global_state

            precision = torch.backends.cuda.matmul.allow_tf32
            set_global_state()
            torch.backends.cuda.matmul.allow_tf32 = precision
            return NequIPGNNModel(**THEIRS | options)

    def graph(self, periodic: bool) -> Graph:
        generator = torch.Generator().manual_seed(0)
        pos = 1.5 * torch.randn(9, 3, generator=generator, dtype=torch.float64)
        graph = Graph(pos, z=[6, 6, 8, 1, 1, 1, 1, 1, 1])
        if periodic:
            graph.cell = (4 * torch.eye(3) + 0.3 * torch.randn(3, 3, generator=generator)).double().unsqueeze(0)
            graph.pbc = torch.ones(1, 3, dtype=torch.bool)
        return connect(graph, 3.5)

    @pytest.mark.parametrize(
        "options", [{}, {"parity": False, "radial_mlp_depth": 2, "num_features": 4}], ids=["both", "harmonics"]
    )
    @pytest.mark.parametrize("periodic", [False, True], ids=["molecule", "crystal"])
    @pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
    def test_energy_forces_stress(self, options: dict, periodic: bool, dtype: str, tolerance: float) -> None:
        from intertwine.integrations.nequip import from_nequip

        theirs, graph = self.theirs(model_dtype=dtype, **options), self.graph(periodic)
        data = {"pos": graph.pos, "edge_index": graph.edge_index.flip(0)}
        data["atom_types"] = torch.tensor([{1: 0, 8: 1, 6: 2}[z] for z in graph.z.tolist()])
        if periodic:
            data |= {"cell": graph.cell, "edge_cell_shift": graph.shifts.double(), "pbc": graph.pbc}
        expected = theirs(data)
        found = from_nequip(theirs).eval()(graph.cast(getattr(torch, dtype)))
        pairs = [(found["energy"], expected["total_energy"].flatten()), (found["forces"], expected["forces"])]
        if periodic:
            pairs.append((found["stress"], expected["stress"]))
        for ours, other in pairs:
            assert (ours.double() - other).abs().max() < tolerance * other.abs().max()

    def test_written_and_read_again(self, tmp_path: Path) -> None:
        """A converted model, its scales of species and all, is a file that commands read, and that runs begin with."""
        from intertwine.integrations.nequip import from_nequip
        from intertwine.training import load_run, save_task

        field, graph = from_nequip(self.theirs(model_dtype="float64")).eval(), self.graph(False)
        save_task(field, tmp_path / "nequip.safetensors")
        for name, value in load_run(tmp_path / "nequip.safetensors").task(graph).items():
            assert torch.equal(value, field(graph)[name])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"polynomial_cutoff_p": 5}, "an envelope of another power"),
            ({"readout_mlp_hidden_layers_depth": 1}, "hidden layers in the readout"),
            (
                {"type_names": ["H", "X1", "C"], "per_type_energy_scales": None, "per_type_energy_shifts": None},
                "no chemical symbols",
            ),
        ],
    )
    def test_what_can_not_be_converted_is_named(self, options: dict, message: str) -> None:
        from intertwine.integrations.nequip import from_nequip

        with pytest.raises(InputError, match=message):
            from_nequip(self.theirs(model_dtype="float32", **options))

    @pytest.mark.parametrize("other", ["deployed.nequip.pth", torch.nn.Linear(1, 1)], ids=["file", "module"])
    def test_other_things_are_refused(self, other: object) -> None:
        from intertwine.integrations.nequip import from_nequip

        with pytest.raises(InputError, match=r"can't be converted(.|\n)*ModelFromCheckpoint"):
            from_nequip(other)

    def test_damage_is_named(self) -> None:
        """A number that is not finite, in any of the weights, and a weight of another shape than the model says."""
        from intertwine.integrations.nequip import from_nequip

        theirs = self.theirs(model_dtype="float32")
        weights = [(name, weight) for name, weight in theirs.named_parameters() if weight.numel()]
        assert len(weights) > 10
        for name, weight in weights:
            if "bessel" in name:
                continue  # constants of the architecture: any other value is a trained basis, refused as such
            place, kept = weight.data.view(-1)[-1:], weight.data.view(-1)[-1:].clone()
            place.fill_(float("nan"))
            with pytest.raises(CheckpointError, match="finite"):
                from_nequip(theirs)
            place.copy_(kept)
        from_nequip(theirs)
        energy = theirs.get_submodule("model.func")
        embedding = energy.get_submodule("type_embed.embed_module")
        embedding.weight = torch.nn.Parameter(embedding.weight.detach()[:1])
        with pytest.raises(CheckpointError, match="damaged, or of another version"):
            from_nequip(theirs)
        del energy.per_atom_energy_readout
        with pytest.raises(CheckpointError, match="per_atom_energy_readout"):
            from_nequip(theirs)
