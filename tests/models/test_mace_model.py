"""MACE: the contract, what its correlation tells apart, and mace-torch at the same weights, through the converter."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from contract import ModelContract
from switches import as_users_run_it, default_precision

from intertwine.geometry import Graph, connect
from intertwine.integrations.mace import from_mace
from intertwine.models.mace import MACE
from intertwine.nn import Backbone
from intertwine.numerics import GeometryError, InputError
from intertwine.training import load_run, save_task

SMALL = {
    "width": 3,
    "lmax": 2,
    "cutoff": 2.5,
    "species": (1, 6, 8),
    "radial_size": 5,
    "radial_width": 8,
    "radial_layers": 2,
    "average_degree": 3.0,
}


class TestMACE(ModelContract):
    @pytest.fixture
    def model(self) -> Backbone:
        return MACE(**SMALL).double()


class TestMACEWithInputs(ModelContract):
    """Nodes that are no atoms: velocities as first vectors, a residual first layer, vectors from the last."""

    fields, species = ("vel", "charge"), ()

    @pytest.fixture
    def model(self) -> Backbone:
        options = {
            "species": (),
            "vector_inputs": ("vel",),
            "node_inputs": ("charge",),
            "edge_inputs": ("charge_product",),
        }
        others = {"outputs": "0e+1o", "lmax": 1, "correlation": 2, "envelope_power": 6, "radial": "gaussian"}
        return MACE(**SMALL | options | others).double()


def test_presets_are_arguments() -> None:
    for arguments in MACE.PRESETS.values():
        assert MACE(**arguments | {"species": (1,), "width": 4}).irreps_out.count("0e") == 8


def test_an_atom_alone_may_have_no_features() -> None:
    atom = Graph(torch.zeros(1, 3, dtype=torch.float64), z=[8])
    assert MACE(**SMALL).double()(atom).any()
    assert not MACE(**SMALL, first_residual=False).double()(atom).any()


def test_species_know_their_own_weights() -> None:
    model = MACE(**SMALL, first_residual=False).double()
    graph = connect(Graph(torch.randn(6, 3, dtype=torch.float64), z=[8, 1, 1, 6, 8, 1]), 2.5)
    expected = model(graph)
    for layer in model.layers:
        with torch.no_grad():
            layer.self_interaction.weight[1].zero_()
            for weight in layer.contraction.weights:
                weight[1].zero_()
    changed = model(graph)
    assert not changed[3].any()
    assert changed.any()
    assert not torch.equal(changed, expected)


def test_compiled() -> None:
    """With one linear map for each node, where eager mode has one for each species."""
    model = MACE(**SMALL).double()
    graph = connect(Graph(torch.randn(6, 3, dtype=torch.float64), z=[8, 1, 1, 6, 8, 1]), 2.5)
    with as_users_run_it():
        torch.testing.assert_close(torch.compile(model, backend="aot_eager")(graph), model(graph), rtol=0, atol=1e-13)


TWO = ([(5, 0, 0), (3, 0, 4)], [(5, 0, 0), (-5, 0, 0)])
THREE = ([(5, 0, 5), (5, 5, 5), (-5, -5, 5), (0, 5, 5)], [(5, 0, 5), (5, 5, 5), (-5, -5, 5), (0, -5, 5)])


@pytest.mark.parametrize(("pair", "needed"), [(TWO, 2), (THREE, 3)], ids=["angles", "triples of neighbours"])
def test_correlation_is_what_it_tells_apart(pair: tuple, needed: int) -> None:
    """Neighbours of a centre with the same distances, and the same angles, too (Joshi et al. 2023, after Pozdnyakov et
    al. 2020).
    """
    torch.manual_seed(0)
    for correlation in (1, 2, 3):
        model = MACE(
            width=4, layers=1, correlation=correlation, lmax=3, cutoff=10.0, average_degree=1.0, species=(6,)
        ).double()
        found = []
        for neighbours in pair:
            pos = torch.tensor([(0, 0, 0), *neighbours], dtype=torch.float64)
            star = torch.stack([torch.arange(1, len(pos)), torch.zeros(len(pos) - 1, dtype=torch.int64)])
            found.append(model(Graph(pos, z=[6] * len(pos), edge_index=star))[0])
        difference = (found[0] - found[1]).abs().max() / found[0].abs().max()
        assert difference > 1e-5 if correlation >= needed else difference < 1e-13


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lmax": -1}, "lmax"),
        ({"hidden_lmax": -1}, "lmax"),
        ({"outputs": "0e+1e", "correlation": 1}, "leads to 1e"),
        ({"hidden_lmax": 3, "correlation": 1}, "leads to 3o"),
        ({"average_degree": 0.0}, "neighbours on average"),
        ({"envelope_power": 1}, "p = 1"),
        ({"correlation": 0}, "correlation"),
        ({"radial_layers": 0}, "radial_layers"),
        ({"width": 0}, "width"),
        ({"layers": 0}, "layers"),
        ({"cutoff": -1.0}, "cutoff"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MACE(**SMALL | arguments)


def test_the_plane_is_refused() -> None:
    with pytest.raises(GeometryError, match="2 dimensions"):
        MACE(**SMALL)(Graph(torch.zeros(2, 2), z=[1, 1]))


def theirs(
    kind: str = "ScaleShiftMACE", dtype: torch.dtype = torch.float64, numbers: tuple[int, ...] = (1, 8, 6), **options
):
    """A model of mace-torch with random weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("mace")
        from e3nn import o3
        from mace import modules

    names = {
        "interaction_cls_first": "RealAgnosticInteractionBlock",
        "interaction_cls": "RealAgnosticResidualInteractionBlock",
    }
    irreps = {"hidden_irreps": "4x0e+4x1o", "MLP_irreps": "8x0e"}
    arguments = {
        "r_max": 3.5,
        "num_bessel": 6,
        "num_polynomial_cutoff": 5,
        "max_ell": 2,
        "num_interactions": 2,
        "num_elements": len(numbers),
        "atomic_numbers": list(numbers),
        "atomic_energies": np.arange(1.0, 1 + len(numbers)),
        "avg_num_neighbors": 6.0,
        "correlation": 2,
        "gate": torch.nn.functional.silu,
        "radial_MLP": [16, 16],
        **({"atomic_inter_scale": 0.7, "atomic_inter_shift": 0.1} if kind == "ScaleShiftMACE" else {}),
        **{name: getattr(modules, options.pop(name, value)) for name, value in names.items()},
        **{name: o3.Irreps(options.pop(name, value)) for name, value in irreps.items()},
    }
    torch.manual_seed(1)
    with default_precision(dtype):
        return getattr(modules, kind)(**arguments | options)


def structure(periodic: bool, numbers: tuple[int, ...] = (1, 8, 6)) -> Graph:
    """A molecule, or a cubic cell of silicon with its atoms displaced."""
    generator = torch.Generator().manual_seed(0)
    if not periodic:
        z = torch.tensor(numbers)[torch.arange(7) % len(numbers)]
        return connect(Graph(1.5 * torch.randn(7, 3, generator=generator, dtype=torch.float64), z=z), 3.5)
    atoms = bulk("Si", cubic=True)
    pos = torch.tensor(atoms.positions) + 0.1 * torch.randn(8, 3, generator=generator, dtype=torch.float64)
    cell = torch.tensor(atoms.cell.array).unsqueeze(0)
    return connect(Graph(pos, z=atoms.numbers.tolist(), cell=cell, pbc=torch.ones(1, 3, dtype=torch.bool)), 3.5)


def their_input(graph: Graph, numbers: list[int], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    shifts = (
        -graph.shifts.to(dtype) if graph.get("shifts") is not None else torch.zeros(graph.num_edges, 3, dtype=dtype)
    )
    cell = graph.cell[0].to(dtype) if graph.get("cell") is not None else torch.eye(3, dtype=dtype)
    return {
        "positions": graph.pos.detach().clone().to(dtype),
        "node_attrs": (graph.z.unsqueeze(1) == torch.tensor(numbers)).to(dtype),
        "edge_index": graph.edge_index,
        "unit_shifts": shifts,
        "shifts": shifts @ cell,
        "cell": cell,
        "batch": torch.zeros(graph.num_nodes, dtype=torch.int64),
        "ptr": torch.tensor([0, graph.num_nodes]),
    }


CASES = {
    "scalars, correlation 1": {"hidden_irreps": "4x0e", "correlation": 1},
    "vectors, correlation 2": {"atomic_inter_scale": 1.3},
    "vectors, correlation 3": {"correlation": 3, "max_ell": 3},
    "all layers residual": {
        "interaction_cls_first": "RealAgnosticResidualInteractionBlock",
        "hidden_irreps": "4x0e+4x1o+4x2e",
    },
    "three layers, p = 6": {"num_interactions": 3, "num_polynomial_cutoff": 6, "kind": "MACE"},
    "one layer": {"num_interactions": 1},
    "the last readout only": {"use_last_readout_only": True},
    "vectors to the end": {"keep_last_layer_irreps": True},
}


class TestAgainstTheirPackage:
    """Energies, forces and stress at their weights."""

    def compare(
        self,
        model: torch.nn.Module,
        graph: Graph,
        dtype: torch.dtype,
        tolerance: float,
        place: int | None = None,
        **options,
    ) -> None:
        numbers, periodic = model.atomic_numbers.tolist(), graph.get("cell") is not None
        data = their_input(graph, numbers, dtype) | ({} if place is None else {"head": torch.tensor([place])})
        expected = model(data, compute_stress=periodic)
        found = from_mace(model, **options).eval()(graph.cast(dtype))
        pairs = [(found["energy"], expected["energy"]), (found["forces"], expected["forces"])]
        if periodic:
            pairs.append((found["stress"], expected["stress"]))
        for ours, other in pairs:
            assert other.abs().max() > 1e-4
            assert (ours.double() - other).abs().max() < tolerance * other.abs().max()

    @pytest.mark.parametrize("options", CASES.values(), ids=CASES)
    def test_molecule_of_three_species(self, options: dict) -> None:
        self.compare(theirs(**options), structure(False), torch.float64, 1e-12)

    def test_written_and_read_again(self, tmp_path: Path) -> None:
        """A converted model is a file that commands read, and that runs begin with: the same bits."""
        field, graph = from_mace(theirs()).eval(), structure(False)
        save_task(field, tmp_path / "mace.safetensors", units={"energy": "eV"})
        run = load_run(tmp_path / "mace.safetensors")
        assert (run.species, run.config.training.precision) == ((1, 6, 8), "float64")
        for name, value in run.task(graph).items():
            assert torch.equal(value, field(graph)[name])

    @pytest.mark.parametrize("correlation", [1, 2, 3])
    def test_silicon(self, correlation: int) -> None:
        self.compare(theirs(numbers=(14,), correlation=correlation), structure(True), torch.float64, 1e-12)

    def test_single_precision(self) -> None:
        self.compare(theirs(dtype=torch.float32, correlation=3), structure(False), torch.float32, 1e-5)

    def test_heads(self) -> None:
        options = {"heads": ["a", "b"], "atomic_energies": np.array([[1.0, 2, 3], [4, 5, 6]])}
        model = theirs(**options, atomic_inter_scale=[0.7, 1.2], atomic_inter_shift=[0.1, 0.3])
        for number, name in enumerate("ab"):
            self.compare(model, structure(False), torch.float64, 1e-12, number, head=name)
        with pytest.raises(InputError, match=r"head None of a model with \['a', 'b'\]"):
            from_mace(model)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"pair_repulsion": True}, "pair repulsion"),
            ({"distance_transform": "Agnesi"}, "a transform of distances"),
            ({"radial_type": "gaussian"}, "other radial functions"),
            ({"apply_cutoff": False}, "an envelope of the weights"),
            ({"use_agnostic_product": True}, "products without species"),
            ({"use_so3": True, "hidden_irreps": "4x0e+4x1e"}, "not of harmonics"),
            ({"correlation": [1, 2]}, "correlations that differ"),
            ({"radial_MLP": [16, 8]}, "radial networks that differ"),
            ({"gate": torch.tanh}, "another non-linearity"),
            ({"interaction_cls": "RealAgnosticInteractionBlock"}, "interactions RealAgnosticInteractionBlock"),
            (
                {"interaction_cls": "RealAgnosticDensityResidualInteractionBlock"},
                "interactions RealAgnosticDensityResidual",
            ),
        ],
    )
    def test_what_can_not_be_converted_is_named(self, options: dict, message: str) -> None:
        with pytest.raises(InputError, match=message):
            from_mace(theirs(**{"correlation": 1} | options))

    def test_other_modules_are_refused(self) -> None:
        with pytest.raises(InputError, match="Linear can't be converted"):
            from_mace(torch.nn.Linear(1, 1))

    def test_the_page_says_how_to_load_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        page = Path(__file__).resolve().parents[2] / "docs" / "models.md"
        (code,) = re.findall(r"^```py\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        model, graph = theirs(correlation=1), structure(False)
        torch.save(model, tmp_path / "mace.model")
        monkeypatch.chdir(tmp_path)
        exec(code, found := {})
        atoms = Atoms(graph.z.tolist(), graph.pos.numpy(), calculator=found["calculator"])
        expected = model(their_input(graph, model.atomic_numbers.tolist(), torch.float64))["energy"].item()
        assert abs(atoms.get_potential_energy() - expected) < 1e-10 * abs(expected)
