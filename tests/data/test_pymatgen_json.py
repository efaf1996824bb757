"""pymatgen's JSON: structures, records, tables; the sign and order of VASP's stress; and files that are refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import units

from intertwine.data import open_dataset
from intertwine.numerics import DataError

LATTICE = [[4.0, 0.0, 0.0], [1.0, 4.5, 0.0], [0.0, 0.5, 5.0]]
FRACTIONS = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.25], [0.1, 0.7, 0.6]])
SYMBOLS = ("Li", "Fe", "O")
FORCES = [[0.1, 0.2, 0.3], [-0.4, 0.0, 0.1], [0.3, -0.2, -0.4]]


def structure(symbols: tuple[str, ...] = SYMBOLS, *, cartesian: bool = False, **changed: Any) -> dict[str, Any]:
    """What ``Structure.as_dict()`` gives."""
    sites = []
    for symbol, abc in zip(symbols, FRACTIONS, strict=False):
        place = {"xyz": (abc @ LATTICE).tolist()} | ({} if cartesian else {"abc": abc.tolist()})
        sites.append(
            {"species": [{"element": symbol, "occu": 1}], "label": symbol, "properties": {"magmom": 0.5}} | place
        )
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": None,
        "lattice": {"matrix": LATTICE},
        "sites": sites,
    } | changed


def record(k: int = 0, **outputs: Any) -> dict[str, Any]:
    given = {"energy": -10.0 - k, "forces": FORCES, "virial_stress": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]} | outputs
    return {
        "structure": structure(),
        "outputs": {key: value for key, value in given.items() if value is not None},
        "group": "bulk",
        "num_atoms": 3,
    }


def opened(folder: Path, data: Any, name: str = "a.json", **options: Any) -> Any:
    text = (data if isinstance(data, str) else json.dumps(data)).encode()
    (folder / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return open_dataset(str(folder / name), progress=False, **options)


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.JSON"])
def test_records_with_labels(name: str, tmp_path: Path) -> None:
    store = opened(tmp_path, [record(0), record(1)], name)
    graph = store[1]
    assert graph.z.tolist() == [3, 26, 8]
    assert np.allclose(graph.pos.numpy(), FRACTIONS @ LATTICE, rtol=0, atol=1e-15)
    assert graph.cell[0].tolist() == LATTICE
    assert graph.pbc.all()
    assert graph.energy.item() == -11
    assert graph.forces.tolist() == FORCES
    # VASP's order; compression is positive there
    xx, yy, zz, xy, yz, zx = (-0.1 * units.GPa * value for value in (1, 2, 3, 4, 5, 6))
    expected = torch.tensor([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]], dtype=torch.float64)
    assert torch.allclose(graph.stress[0], expected, rtol=1e-14, atol=0)
    assert any("stress = -virial_stress" in note for note in store.notes)


def test_every_shape_of_file_holds_the_same_structures(tmp_path: Path) -> None:
    plain = [structure(), structure(("Si", "O", "O"))]
    entries = [
        {"@class": "ComputedStructureEntry", "energy": -1.0, "structure": each, "parameters": {}, "data": {}}
        for each in plain
    ]
    shapes: dict[str, Any] = {
        "list": plain,
        "by name": {"mp-1": plain[0], "mp-2": plain[1]},
        "entries": {"description": "two", "entries": entries},
        "nested": {"mp-1": {"a": {"structure": plain[0]}}, "mp-2": {"b": {"structure": plain[1]}}},
        "matbench": {"index": [0, 1], "columns": ["structure", "gap pbe"], "data": [[plain[0], 1.5], [plain[1], 2.5]]},
        "columns": {"structure": {"0": plain[0], "1": plain[1]}, "gap pbe": {"0": 1.5, "1": 2.5}},
    }
    for name, data in shapes.items():
        keys = {"gap": "gap pbe"} if name in ("matbench", "columns") else {}
        store = opened(tmp_path, data, keys=keys)
        assert [store[k].z.tolist() for k in range(2)] == [[3, 26, 8], [14, 8, 8]], name
        assert not keys or store.field("gap").tolist() == [1.5, 2.5]
    assert opened(tmp_path, entries)[1].energy.item() == -1
    assert len(opened(tmp_path, structure())) == 1


def test_molecules_slabs_sites_and_arrays(tmp_path: Path) -> None:
    molecule = {"@class": "Molecule", "charge": -1, "sites": structure(cartesian=True)["sites"]}
    graph = opened(tmp_path, [molecule], target="total_charge")[0]
    assert graph.get("cell") is None
    assert graph.total_charge.item() == -1
    slab = opened(tmp_path, structure(lattice={"matrix": LATTICE, "pbc": [True, True, False]}))[0]
    assert slab.pbc.tolist() == [[True, True, False]]
    assert opened(tmp_path, structure(), keys={"magmom": "magmom"})[0].magmom.tolist() == [0.5] * 3
    array = {"@module": "numpy", "@class": "array", "dtype": "float64", "data": FORCES}
    assert opened(tmp_path, [record(forces=array)])[0].forces.tolist() == FORCES
    assert opened(tmp_path, [structure(("D", "Fe", "O"))])[0].z.tolist() == [1, 26, 8]


def test_a_stress_of_unknown_sign_is_no_label(tmp_path: Path) -> None:
    store = opened(tmp_path, [{"structure": structure(), "energy": 0.0, "stress": [1, 2, 3, 4, 5, 6]}])
    assert "stress" not in store.fields
    assert any("stress_as_given" in note for note in store.notes)
    mptrj = {
        "structure": structure(),
        "uncorrected_total_energy": -3.0,
        "force": FORCES,
        "stress": np.diag([1.0, 2.0, 3.0]).tolist(),
    }
    store = opened(tmp_path, {"mp-1": {"mp-1-0-0": mptrj}}, keys={"energy": "uncorrected_total_energy"})
    graph = store[0]
    assert torch.allclose(graph.stress[0].diagonal(), torch.tensor([1.0, 2, 3]).double() * -0.1 * units.GPa, rtol=1e-14)
    (said,) = [note for note in store.notes if note.startswith("units ")]
    assert "as in all files of this format: pos in A, stress in kbar" in said


def site(**changed: Any) -> dict[str, Any]:
    sites = structure()["sites"]
    return structure(sites=[sites[0], sites[1] | changed, sites[2]])


#: case -> (what the JSON holds, words of the message).
BAD: dict[str, tuple[Any, tuple[str, ...]]] = {
    "truncated": (json.dumps([record()])[:-40], ("not JSON", "truncated")),
    "not JSON": ("hello", ("not JSON",)),
    "deep": ("[" * 100_000, ("JSON",)),
    "nothing": ([], ("a list of 0 entries", "pymatgen")),
    "another layout": ({"numbers": [1], "positions": [[0, 0, 0]]}, ("a mapping of numbers, positions", "pymatgen")),
    "two species on a site": (
        [structure(), site(species=[{"element": "Fe", "occu": 0.5}, {"element": "Ni", "occu": 0.5}])],
        ("frame 1", "site 1", "Fe 0.5, Ni 0.5"),
    ),
    "a site half empty": (site(species=[{"element": "Fe", "occu": 0.5}]), ("frame 0", "site 1", "Fe 0.5")),
    "a site of nothing": (site(species=[]), ("frame 0", "site 1", "nothing")),
    "a vacancy as a species": (site(species=[{"element": "X0+", "occu": 1}]), ("site 1", "'X0+'")),
    "no position": ([structure(), site(abc=None, xyz=None)], ("frame 1",)),
    "two coordinates": (site(abc=[0.1, 0.2]), ("frame 0", "not a structure")),
    "NaN position": (site(abc=[0.1, 0.2, float("nan")]), ("frame 0", "position of atom 1")),
    "no lattice vectors": (structure(lattice={"matrix": LATTICE[:2]}), ("frame 0", "(2, 3)")),
    "singular lattice": (structure(lattice={"matrix": [LATTICE[0]] * 3}), ("frame 0", "singular")),
    "no sites": (structure(sites=[]), ("frame 0", "no atoms")),
    "an entry without structure": ([record(), {"outputs": {"energy": 1.0}}], ("entry 1", "no structure")),
    "the first without structure": ([{"outputs": {"energy": 1.0}}, record()], ("entry 0", "no structure")),
    "two structures": ([{"initial": structure(), "final": structure(), "energy": 0.0}], ("initial, final",)),
    "table of short rows": ({"index": [0], "columns": ["structure", "gap"], "data": [[structure()]]}, ("columns",)),
    "too few forces": ([record(), record(forces=FORCES[:2])], ("frame 1", "forces", "(2, 3)")),
    "ragged forces": ([record(), record(forces=[[0.0], [1.0, 2.0], []])], ("frame 1", "forces")),
    "NaN force": ([record(forces=[[0, 0, float("nan")], *FORCES[1:]])], ("frame 0", "forces of atom 0")),
    "NaN energy": ([record(), record(energy=float("nan"))], ("frame 1", "energy")),
    "no energy": ([record(), record(energy=None)], ("frame 1", "energy is missing")),
    "stress of five": ([record(), record(virial_stress=[1, 2, 3, 4, 5])], ("frame 1", "virial_stress", "(5,)")),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_named(case: str, tmp_path: Path) -> None:
    data, words = BAD[case]
    with pytest.raises(DataError) as caught:
        opened(tmp_path, data)
    for word in (*words, "a.json", "Remedy"):
        assert word in str(caught.value)


@pytest.mark.parametrize("element", ["Ge", "Li", "Si"])
def test_the_stress_of_mlearn_is_the_derivative_of_its_energy(element: str, shared_data: Path) -> None:
    """Between strained cells with the same fractional positions the energy changes by the work of the stress, V sigma :
    strain.

    That fixes sign, unit and the order of the components: with any two of xy, yz, zx exchanged, the correlation falls
    below 0.81.
    """
    path = shared_data / f"crystals/{element}_training.json.gz"
    groups = [entry["group"] for entry in json.loads(gzip.decompress(path.read_bytes()))]
    store = open_dataset(str(path), progress=False)
    graphs = [store[k] for k, group in enumerate(groups) if group == "Elastic"]
    work, change = [], []
    for i, b in enumerate(graphs):
        for a in graphs[:i]:
            if len(a.z) != len(b.z):
                continue
            gradient = torch.linalg.solve(a.cell[0], b.cell[0])
            strain = (gradient + gradient.T) / 2 - torch.eye(3)
            moved = torch.linalg.solve(a.cell[0].T, a.pos.T) - torch.linalg.solve(b.cell[0].T, b.pos.T)
            if (gradient - torch.eye(3)).abs().max() > 0.045 or (moved - moved.round()).abs().max() > 1e-3:
                continue
            volume = (a.cell[0].det().abs() + b.cell[0].det().abs()) / 2
            work.append(float(volume * ((a.stress + b.stress)[0] / 2 * strain).sum()) / len(a.z))
            change.append(float(b.energy - a.energy) / len(a.z))
    assert len(work) > 190
    slope = np.dot(work, change) / np.dot(work, work)
    assert 0.92 < slope < 1.01
    assert np.corrcoef(work, change)[0, 1] > (0.999 if element != "Li" else 0.85)
