"""HDF5: the numbers of each layout, the sign of gradients, units as declared, and files that are refused."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import units

from intertwine.data import open_dataset
from intertwine.data.hdf5 import CONFORMATIONS_AT_ONCE, read_hdf5
from intertwine.numerics import DataError, InputError, IntertwineError

h5py = pytest.importorskip("h5py")
RNG = np.random.default_rng(0)
WATER, AMMONIA = np.array([8, 1, 1]), np.array([7, 1, 1, 1])
POS = {3: RNG.normal(size=(4, 3, 3)), 4: RNG.normal(size=(2, 4, 3))}
ENERGY = {3: RNG.normal(size=4), 4: RNG.normal(size=2)}
FORCES = {3: RNG.normal(size=(4, 3, 3)), 4: RNG.normal(size=(2, 4, 3))}


def opened(path: Path, **options: Any) -> Any:
    return open_dataset(str(path), progress=False, **options)


def written(path: Path, groups: dict[str, dict[str, Any]]) -> Path:
    """A file of arrays; a pair is an array and its attributes."""
    with h5py.File(path, "w") as file:
        for group, arrays in groups.items():
            for name, given in arrays.items():
                value, attributes = given if isinstance(given, tuple) else (given, {})
                file.create_dataset(f"{group}/{name}", data=value).attrs.update(attributes)
    return path


def spice(n: int, numbers: np.ndarray, **changed: Any) -> dict[str, Any]:
    arrays = {
        "atomic_numbers": numbers.astype(np.int16),
        "conformations": (POS[n].astype(np.float32), {"units": "bohr"}),
        "dft_total_energy": (ENERGY[n], {"units": "hartree"}),
        "dft_total_gradient": (-FORCES[n].astype(np.float32), {"units": "hartree/bohr"}),
        "mayer_indices": np.zeros((len(POS[n]), n, n)),
        "scf_quadrupole": (np.ones((len(POS[n]), 3, 3)), {"units": "elementary_charge*bohr^2"}),
        "mbis_charges": (np.arange(len(POS[n]) * n, dtype=float).reshape(-1, n, 1), {"units": "elementary_charge"}),
        "smiles": np.array([b"O"], dtype=object),
    }
    return {name: value for name, value in (arrays | changed).items() if value is not None}


def ani(n: int, numbers: Any, **changed: Any) -> dict[str, Any]:
    arrays = {"coordinates": POS[n], "species": numbers, "energies": ENERGY[n], "forces": FORCES[n]}
    return {name: value for name, value in (arrays | changed).items() if value is not None}


def modelforge(n: int, numbers: np.ndarray, **changed: Any) -> dict[str, Any]:
    c = len(POS[n])
    system, atom = {"format": "per_system"}, {"format": "per_atom"}
    arrays = {
        "atomic_numbers": (numbers[:, None], {"format": "atomic_numbers"}),
        "n_configs": (c, {"format": "meta_data"}),
        "positions": (POS[n], atom | {"u": "nanometer", "property_type": "length"}),
        "dft_total_energy": (ENERGY[n][:, None], system | {"u": "kilojoule_per_mole"}),
        "dft_total_gradient": (-FORCES[n], atom | {"u": "kilojoule_per_mole / nanometer"}),
        "dipole_moment": (np.ones((c, 3)), system | {"u": "elementary_charge * nanometer"}),
        "partial_charges": (np.zeros((c, n, 1)), atom | {"u": "elementary_charge"}),
        "smiles": (np.bytes_("O"), {"format": "meta_data", "u": "dimensionless"}),
    }
    return {name: value for name, value in (arrays | changed).items() if value is not None}


def check(
    store: Any, length: float, energy: float, force: float, *, order: tuple[int, ...] = (3, 4), single: bool = False
) -> None:
    """The numbers that went in, in eV and A; float32 arrays are exact in float32."""
    tolerance = 1e-6 if single else 1e-14
    graphs = [(n, k) for n in order for k in range(len(POS[n]))]
    assert len(store) == len(graphs)
    for graph, (n, k) in zip((store[i] for i in range(len(store))), graphs, strict=True):
        assert graph.z.tolist() == (WATER if n == 3 else AMMONIA).tolist()
        assert np.allclose(graph.pos.numpy(), POS[n][k] * length, rtol=tolerance, atol=tolerance)
        assert np.allclose(graph.energy.item(), ENERGY[n][k] * energy, rtol=1e-14, atol=0)
        assert np.allclose(graph.forces.numpy(), FORCES[n][k] * force, rtol=tolerance, atol=50 * tolerance)


def test_spice_gradients_become_forces_in_ev(tmp_path: Path) -> None:
    path = written(tmp_path / "a.hdf5", {"a water": spice(3, WATER), "b": spice(4, AMMONIA)})
    store = opened(path)
    check(store, units.Bohr, units.Hartree, units.Hartree / units.Bohr, single=True)
    assert "dft_forces = -dft_total_gradient" in store.notes
    assert any("left out: mayer_indices" in note for note in store.notes)
    frames = list(read_hdf5(path, "a"))
    # of the structure, though it has as many rows as the molecule has atoms
    assert frames[0].values["scf_quadrupole"].shape == (3, 3)
    assert frames[1].columns["mbis_charges"].tolist() == [3.0, 4.0, 5.0]
    assert frames[0].values["smiles"] == "O"
    assert frames[0].units["mbis_charges"] == "e"


@pytest.mark.parametrize("kind", ["symbols", "letters", "numbers", "of each conformation", "atomic_numbers"])
def test_ani_in_all_its_spellings(kind: str, tmp_path: Path) -> None:
    def species(numbers: np.ndarray, conformations: int) -> Any:
        letters = [{8: "O", 7: "N", 1: "H"}[int(z)] for z in numbers]
        return {
            "symbols": np.array(letters, dtype=h5py.string_dtype()),
            "letters": np.array(letters, dtype="S1"),
            "numbers": numbers,
            "of each conformation": np.tile(numbers, (conformations, 1)),
            "atomic_numbers": None,
        }[kind]

    groups = {}
    for name, n, numbers in (("gdb_s01/gdb_s01-0", 3, WATER), ("gdb_s01/gdb_s01-1", 4, AMMONIA)):
        more = {"atomic_numbers": numbers} if kind == "atomic_numbers" else {}
        high = {"coordinatesHE": np.zeros((1, n, 3)), "energiesHE": np.zeros(1), "smiles": np.array([b"[", b"O", b"]"])}
        groups[name] = ani(n, species(numbers, len(POS[n])), **more, **high)
    store = opened(written(tmp_path / "a.h5", groups))
    check(store, 1.0, units.Hartree, units.Hartree)
    assert any("the layout's are taken" in note and "Hartree/A" in note for note in store.notes)
    assert any("energiesHE" in note for note in store.notes)


def test_ani_1x_leaves_out_what_was_not_computed(tmp_path: Path) -> None:
    level = {
        "wb97x_dz.energy": ENERGY[3],
        "wb97x_dz.forces": FORCES[3],
        "ccsd(t)_cbs.energy": np.array([1.0, np.nan, 2.0, np.nan]),
    }
    path = written(tmp_path / "a.h5", {"w": ani(3, WATER, energies=None, forces=None, **level)})
    frames = list(read_hdf5(path, "a"))
    assert ["ccsd(t)_cbs.energy" in frame.values for frame in frames] == [True, False, True, False]
    check(opened(path), 1.0, units.Hartree, units.Hartree, order=(3,))
    with pytest.raises(DataError, match=r"frames 1, 3 .*energy is missing in 2 of 4 frames"):
        opened(path, keys={"energy": "ccsd(t)_cbs.energy"})


def test_modelforge_by_its_attributes(tmp_path: Path) -> None:
    path = written(tmp_path / "a.hdf5", {"w": modelforge(3, WATER), "x": modelforge(4, AMMONIA)})
    store = opened(path, keys={"dipole": "dipole_moment"})
    energy = units.kJ / units.mol
    check(store, 10.0, energy, energy / 10)
    assert torch.equal(store[0].dipole, torch.full((1, 3), 10.0, dtype=torch.float64))
    both = modelforge(
        3, WATER, dft_total_forces=(FORCES[3], {"format": "per_atom", "u": "kilojoule_per_mole / nanometer"})
    )
    assert len(opened(written(tmp_path / "b.hdf5", {"w": both}))) == 4
    old = {
        "geometry": (POS[3], {"format": "series_atom", "u": "nanometer"}),
        "charge": (np.array([[0]]), {"format": "single_rec"}),
    }
    frames = list(read_hdf5(written(tmp_path / "c.hdf5", {"w": modelforge(3, WATER, positions=None, **old)}), "c"))
    assert np.array_equal(frames[2].positions, POS[3][2])
    assert frames[3].values["charge"] == 0


def test_the_layout_is_told_by_content_and_not_by_name(tmp_path: Path) -> None:
    for k, group in enumerate((spice(3, WATER), ani(3, WATER), modelforge(3, WATER))):
        for ending in (".h5", ".hdf5", ".HDF5"):
            assert len(opened(written(tmp_path / f"ani-spice{k}{ending}", {"qm9": group}))) == 4
    single = {"coordinates": POS[3][0], "species": WATER, "energies": ENERGY[3][:1], "forces": FORCES[3][0]}
    graph = opened(written(tmp_path / "one.h5", {"": single}))[0]  # one conformation, arrays at the root
    assert graph.forces.shape == (3, 3)


def test_declared_units_come_before_those_of_the_layout(tmp_path: Path) -> None:
    energies = (ENERGY[3], {"units": "kcal/mol"})
    store = opened(written(tmp_path / "a.h5", {"w": ani(3, WATER, energies=energies, forces=None)}))
    assert store[1].energy.item() == pytest.approx(ENERGY[3][1] * units.kcal / units.mol, rel=1e-14)
    store = opened(tmp_path / "a.h5", units={"energy": "eV"})  # and what is told before both
    assert store[1].energy.item() == ENERGY[3][1]


def test_a_limit_reads_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = {name: np.repeat(value, 1000, axis=0) for name, value in ani(3, None, species=None).items()}
    path = written(
        tmp_path / "a.h5", {"w": many | {"species": WATER}, "z": {"coordinates": np.zeros((1, 5)), "species": WATER}}
    )
    read: list[int] = []
    plain = h5py.Dataset.__getitem__

    def counting(self: Any, rows: Any, **more: Any) -> Any:
        value = plain(self, rows, **more)
        read.append(np.size(value))
        return value

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
    assert len(list(islice(read_hdf5(path, "a"), 3))) == 3
    assert sum(read) < 20 * CONFORMATIONS_AT_ONCE  # of 76,000 numbers; and the broken group behind is never looked at


def test_compressed_and_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.hdf5", {"w": spice(3, WATER)})
    packed = tmp_path / "b.hdf5.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert torch.equal(opened(path).field("forces"), opened(packed).field("forces"))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r'a.hdf5: HDF5 files need.*\n.*pip install "intertwine\[hdf5\]"'):
        opened(path)


def nan(array: np.ndarray, *at: int) -> np.ndarray:
    array = array.copy()
    array[at] = np.nan
    return array


def _groups(**groups: dict[str, Any]) -> Callable[[Path], Path]:
    return lambda folder: written(folder / "a.hdf5", groups)


def _cut(keep: float) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = written(folder / "a.hdf5", {"w": spice(3, WATER)})
        path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
        return path

    return make


def _text(folder: Path) -> Path:
    (folder / "a.hdf5").write_text("hello")
    return folder / "a.hdf5"


#: case -> (how to make the file, words of the message).
BAD: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "text": (_text, ("not HDF5",)),
    "truncated": (_cut(0.6), ("truncated",)),
    "cut short": (_cut(0.01), ("not HDF5",)),
    "another layout": (
        _groups(mol={"atNUM": WATER, "atXYZ": POS[3][0]}),
        ("unknown layout", "mol/atXYZ (3, 3) float64", "SPICE", "ANI"),
    ),
    "positions without attributes": (
        _groups(w={"atomic_numbers": WATER, "positions": POS[3]}),
        ("unknown layout", "w/positions (4, 3, 3)"),
    ),
    "nothing in it": (_groups(), ("unknown layout", "no arrays")),
    "no atomic numbers": (
        _groups(v=spice(3, WATER), w=spice(3, WATER, atomic_numbers=None)),
        ("frame 4", "'/w'", "no atomic numbers"),
    ),
    "no positions": (_groups(w=ani(3, WATER, coordinates=None)), ("'/w'", "no positions")),
    "too few atoms": (_groups(w=spice(3, AMMONIA)), ("frame 0", "(4, 3, 3)", "(4,)")),
    "positions in a plane": (_groups(w=ani(3, WATER, coordinates=np.zeros((4, 3, 2)))), ("(4, 3, 2)",)),
    "too few energies": (
        _groups(v=ani(3, WATER), w=ani(4, AMMONIA, energies=np.zeros(1 + 2))),
        ("frame 4", "energies", "(3,)", "2 conf"),
    ),
    "too few forces": (_groups(w=ani(3, WATER, forces=np.zeros((4, 2, 3)))), ("forces", "(4, 2, 3)")),
    "words for energies": (_groups(v=ani(3, WATER), w=ani(4, AMMONIA, energies=np.array([b"a", b"b"]))), ("energies",)),
    "unknown symbol": (_groups(w=ani(3, np.array([b"O", b"H", b"Q"]))), ("'Q'",)),
    "element 0": (_groups(w=spice(3, np.array([8, 0, 1]))), ("frame 0", "atomic number 0")),
    "NaN position": (_groups(w=ani(3, WATER, coordinates=nan(POS[3], 2, 1, 0))), ("frame 2", "position of atom 1")),
    "NaN energy": (
        _groups(w=spice(3, WATER, dft_total_energy=(nan(ENERGY[3], 1), {"units": "hartree"}))),
        ("frame 1", "energy"),
    ),
    "NaN force": (_groups(w=ani(3, WATER, forces=nan(FORCES[3], 3, 2, 0))), ("frame 3", "forces of atom 2")),
    "unknown unit of length": (
        _groups(w=spice(3, WATER, conformations=(POS[3], {"units": "parsec"}))),
        ("'parsec'", "Bohr"),
    ),
    "unknown unit of energy": (
        _groups(w=spice(3, WATER, dft_total_energy=(ENERGY[3], {"units": "erg"}))),
        ("'erg'", "Hartree"),
    ),
    "two units": (
        _groups(v=spice(3, WATER), w=spice(3, WATER, dft_total_energy=(ENERGY[3], {"units": "eV"}))),
        ("frame 4", "'/w'", "dft_total_energy is in eV, and in Hartree"),
    ),
    "energies of some molecules": (
        _groups(v=ani(3, WATER), w=ani(4, AMMONIA, energies=None)),
        ("frames 4, 5", "energy is missing in 2 of 6 frames"),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_named(case: str, tmp_path: Path) -> None:
    make, words = BAD[case]
    path = make(tmp_path)
    with pytest.raises(IntertwineError) as caught:
        opened(path)
    message = str(caught.value)
    for word in words:
        assert word in message
    assert "Remedy" in message
    assert isinstance(caught.value, InputError) or str(path) in message


def test_a_damaged_file_never_ends_in_another_error(tmp_path: Path) -> None:
    """Texts are of fixed length here: libhdf5 itself does not end on some damaged heaps of texts of any length."""
    groups = {"w": spice(3, WATER, smiles=None), "x": spice(4, AMMONIA, smiles=None)}
    for arrays in groups.values():
        arrays |= {
            key: (given[0], {"units": np.bytes_(given[1]["units"])})
            for key, given in arrays.items()
            if isinstance(given, tuple)
        }
    sound = written(tmp_path / "sound.hdf5", groups).read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for k in range(40):
        damaged = bytearray(sound)
        for at in rng.integers(0, len(sound), 1 + 8 * (k % 4)):
            damaged[at] = rng.integers(256)
        path = tmp_path / "damaged.hdf5"
        path.write_bytes(damaged)
        try:
            opened(path)
        except IntertwineError:
            refused += 1
    assert refused > 5


def test_shared_files(shared_data: Path) -> None:
    """Energies change by the work of the forces, in the samples' own units, along steps of one coordinate."""
    folder = shared_data / "formats/hdf5"
    store = opened(folder / "SPICE-1.1.4_n2.hdf5")
    assert len(store) == 55
    graphs = [store[k] for k in range(50, 55)]  # acetylene and a sodium ion, moved apart in steps
    pairs = [(a, b) for a in graphs for b in graphs if 0 < float((a.pos - b.pos).abs().max()) < 0.1]
    assert len(pairs) == 8
    for a, b in pairs:
        work = -((a.forces + b.forces) / 2 * (b.pos - a.pos)).sum()
        assert float(b.energy - a.energy) == pytest.approx(float(work), abs=1.5e-3)
    store = opened(folder / "ani1_n5.hdf5")
    assert [decision.key for decision in store.decisions] == ["wb97x_dz.energy", "wb97x_dz.forces"]
    total = torch.stack([store[k].forces.sum(0) for k in range(len(store))])
    assert float(total.abs().max()) < 1e-5  # translations cost nothing
    store = opened(folder / "qm9_dataset_v1.1_ntc_10.hdf5", keys={"energy": "internal_energy_at_0K"})
    assert len(store) == 10
    # the same molecule as its authors published it
    raw = opened(shared_data / "formats/qm9_xyz/dsgdb9nsd_000001.xyz")[0]
    assert np.allclose(store[0].pos.numpy(), raw.pos.numpy(), rtol=0, atol=1e-7)
    assert store[0].energy.item() == pytest.approx(raw.u0.item(), rel=1e-6)
