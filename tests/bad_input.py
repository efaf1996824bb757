"""The catalogue of bad input: what is tried, and what the error must say. Run by tests/test_bad_input.py."""

from __future__ import annotations

import importlib.util
import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from intertwine.certify import certify
from intertwine.data import GraphStore, Splits, open_dataset, residue_graph, split
from intertwine.geometry import Graph, connect
from intertwine.integrations import Calculator
from intertwine.models import EGNN, PaiNN, RegularGroupCNN, SchNet
from intertwine.numerics import CheckpointError, DataError, GeometryError, InputError, IntertwineError
from intertwine.tasks import Dynamics, ForceField, Property
from intertwine.training import load_checkpoint, load_run, predict, read_config, resolve, save_checkpoint, train

_spec = importlib.util.spec_from_file_location("bad_files", Path(__file__).parent / "data" / "bad_files.py")
bad_files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bad_files)

KINDS = (InputError, GeometryError, DataError, CheckpointError)
CHECKPOINTS = ("best.safetensors", "last.safetensors")


def water(count: int) -> str:
    """Frames of water as extended xyz, atoms displaced, with energies and forces of springs."""
    rng, frames = np.random.default_rng(0), []
    places = np.array([[0, 0, 0], [0, 0, 0.96], [0.93, 0, -0.24]])
    for _ in range(count):
        shift = 0.05 * rng.normal(size=(3, 3))
        rows = [
            f"{s} {' '.join(f'{v:.8f}' for v in (*x, *-10 * d))}"
            for s, x, d in zip("OHH", places + shift, shift, strict=True)
        ]
        frames.append(
            bad_files.frame(
                header=bad_files.HEADER.replace("-1.5", f"{5 * (shift**2).sum() - 10:.8f}"), atoms=tuple(rows)
            )
        )
    return "".join(frames)


class Kit:
    """What a case may use: a folder of its own, a file of good data, a copy of a trained run."""

    def __init__(self, folder: Path, source: Path, run: Path) -> None:
        self.folder, self.data = folder, source
        self.run = folder / "run"
        shutil.copytree(run, self.run)

    def file(self, content: str, name: str = "a.xyz") -> Path:
        path = self.folder / name
        path.write_text(content)
        return path

    def damage(self, change: Callable[[bytes], bytes], name: str = "best.safetensors") -> Path:
        path = self.run / name
        path.write_bytes(change(path.read_bytes()))
        return self.run

    def config(self, **sections: dict[str, Any]) -> dict[str, Any]:
        small = {"width": 4, "layers": 1, "radial_size": 4}
        training = {"epochs": 1, "threads": 1, "certify": False} | sections.get("training", {})
        return {
            "data": {"source": str(self.data)} | sections.get("data", {}),
            "model": small | sections.get("model", {}),
            "training": training,
        }

    def train(self, **sections: dict[str, Any]) -> Path:
        return train(self.config(**sections), run=self.folder / "new", progress=False)


def painn(**arguments: Any) -> PaiNN:
    return PaiNN(**({"width": 4, "layers": 1, "radial_size": 4} | arguments)).double()


def atoms(*positions: tuple[float, float, float], z: list[int] | None = None, **fields: Any) -> Graph:
    return Graph(torch.tensor(positions, dtype=torch.float64), z=z or [1] * len(positions), **fields)


def flip(position: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:position] + bytes([data[position] ^ 255]) + data[position + 1 :]


def newer(data: bytes) -> bytes:
    """A checkpoint as a later version might write it."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"]["schema"] = "99"
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def ase_atoms(symbols: str, positions: Any, run: Path, **options: Any) -> Any:
    from ase import Atoms

    return Atoms(symbols, positions=positions, calculator=Calculator(run), **options)


@dataclass(frozen=True)
class Refused:
    """What is tried, the error that it must raise, and words of the message."""

    action: Callable[[Kit], Any]
    kind: type[IntertwineError]
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        bad_files.check_words(self.words)


REFUSED: dict[str, Refused] = {
    # structures
    "NaN position": Refused(
        lambda k: painn()(atoms((0, 0, 0), (0, 0, float("nan")))), GeometryError, ("pos", "node 1", "not finite")
    ),
    "infinite position": Refused(
        lambda k: connect(atoms((np.inf, 0, 0)), 5.0), GeometryError, ("node 0", "not finite")
    ),
    "NaN in the second structure": Refused(
        lambda k: predict(load_run(k.run), [atoms((0, 0, 0)), atoms((0, np.nan, 0))]),
        GeometryError,
        ("structure 1", "not finite"),
    ),
    "singular cell": Refused(
        lambda k: painn()(atoms((0, 0, 0), cell=[[3.0, 0, 0], [0, 3, 0], [3, 3, 0]])),
        GeometryError,
        ("cell", "singular"),
    ),
    "NaN in the cell": Refused(
        lambda k: painn()(atoms((0, 0, 0), cell=np.diag([3, 3, np.nan]))), GeometryError, ("cell", "not finite")
    ),
    "cell of two vectors": Refused(lambda k: atoms((0, 0, 0), cell=np.ones((2, 3))), GeometryError, ("cell", "(2, 3)")),
    "periodic without a cell": Refused(lambda k: atoms((0, 0, 0), pbc=True), GeometryError, ("pbc", "without a cell")),
    "positions of one axis": Refused(lambda k: Graph(torch.zeros(3)), GeometryError, ("pos", "(3,)")),
    "ragged positions": Refused(lambda k: Graph([[0.0, 0, 0], [1.0, 0]]), GeometryError, ("pos", "not an array")),
    "complex positions": Refused(lambda k: Graph(np.zeros((2, 3), dtype=complex)), GeometryError, ("pos", "complex")),
    "words for positions": Refused(
        lambda k: Graph([["a", "b", "c"]]), GeometryError, ("pos", "not an array of numbers")
    ),
    "fractional atomic numbers": Refused(lambda k: Graph(np.zeros((1, 3)), z=[1.5]), GeometryError, ("z", "not whole")),
    "too few atomic numbers": Refused(lambda k: Graph(np.zeros((3, 3)), z=[1, 1]), GeometryError, ("z", "3 nodes")),
    "forces of the wrong shape": Refused(
        lambda k: atoms((0, 0, 0), forces=np.zeros((2, 3))), GeometryError, ("forces", "(2, 3)")
    ),
    "edges to nodes that are not": Refused(
        lambda k: atoms((0, 0, 0), edge_index=torch.tensor([[0], [7]])), GeometryError, ("edge_index", "7")
    ),
    "pair of an atom that is not there": Refused(
        lambda k: atoms((0, 0, 0), pairs=[[0, 1]]), GeometryError, ("pairs", "(1, 2)", "1 nodes")
    ),
    "labels of fewer pairs": Refused(
        lambda k: atoms((0, 0, 0), (0, 0, 1), block=torch.zeros(3), levels={"block": "pair"}),
        GeometryError,
        ("block", "4 pairs"),
    ),
    "labels of fewer points": Refused(
        lambda k: atoms((0, 0, 0), points=np.zeros((4, 3)), rho=torch.zeros(3), levels={"rho": "point"}),
        GeometryError,
        ("rho", "4 points"),
    ),
    "a residue whose atoms coincide": Refused(
        lambda k: residue_graph([[0, 0, 0]], [[0, 0, 0]], [[1, 0, 0]], "A"), GeometryError, ("residue 0", "N and CA")
    ),
    "two dimensions for PaiNN": Refused(
        lambda k: painn()(Graph(np.zeros((2, 2)), z=[1, 1])), GeometryError, ("2 dimensions",)
    ),
    "no atomic numbers": Refused(lambda k: painn()(Graph(np.zeros((2, 3)))), GeometryError, ("z", "no atomic numbers")),
    "unknown species": Refused(
        lambda k: predict(load_run(k.run), [atoms((0, 0, 0), z=[79])]), DataError, ("structure 0", "[79]")
    ),
    "atomic number 500": Refused(lambda k: painn()(atoms((0, 0, 0), z=[500])), DataError, ("[500]",)),
    # models
    "cutoff of zero": Refused(lambda k: painn(cutoff=0.0), InputError, ("cutoff", "0.0")),
    "negative cutoff": Refused(lambda k: connect(atoms((0, 0, 0)), -1.0), InputError, ("cutoff", "-1.0")),
    "NaN cutoff": Refused(lambda k: SchNet(cutoff=float("nan")), InputError, ("cutoff", "nan")),
    "width of zero": Refused(lambda k: PaiNN(width=0), InputError, ("width",)),
    "unknown radial functions": Refused(
        lambda k: PaiNN(radial="besel"), InputError, ("radial", "did you mean 'bessel'")
    ),
    "infinitely many orientations": Refused(
        lambda k: RegularGroupCNN(group="SO(3)"), InputError, ("orientations", "infinitely many", "orientations=32")
    ),
    "an argument that no model has": Refused(
        lambda k: PaiNN(readial=3), InputError, ("readial", "did you mean 'radial'")
    ),
    "vectors for scalars": Refused(
        lambda k: SchNet(vector_inputs=("vel",)), InputError, ("SchNet", "no place for 'vector_inputs'")
    ),
    "no columns": Refused(lambda k: PaiNN(node_inputs={"x": 0}), InputError, ("node_inputs.x", "whole number")),
    "species beyond the table": Refused(lambda k: PaiNN(species=(1, 300)), InputError, ("species", "300")),
    "SchNet for dynamics": Refused(lambda k: Dynamics(SchNet()), InputError, ("irreps_out", "1o", "PaiNN and EGNN")),
    "SchNet for a vector": Refused(lambda k: Property(SchNet(), representation="1o"), InputError, ("irreps_out", "1o")),
    "EGNN without velocities": Refused(
        lambda k: EGNN(velocity=True).double()(atoms((0, 0, 0), (0, 0, 1))), GeometryError, ("vel", "velocities")
    ),
    "unknown loss": Refused(lambda k: ForceField(painn(), loss="l3"), InputError, ("unknown loss 'l3'", "huber")),
    # data
    "empty data set": Refused(lambda k: GraphStore.from_graphs([]), DataError, ("no graphs",)),
    "mixed labels": Refused(
        lambda k: GraphStore.from_graphs([atoms((0, 0, 0), energy=1.0), atoms((0, 0, 0))]), DataError, ("energy", "1")
    ),
    "label that is not there": Refused(
        lambda k: open_dataset(str(k.data), target="homo"), DataError, ("water.xyz", "homo")
    ),
    "misspelt data set": Refused(
        lambda k: open_dataset("ethanool"), InputError, ("ethanool", "did you mean 'ethanol'")
    ),
    "unknown unit": Refused(lambda k: open_dataset(str(k.data), units={"energy": "parsec"}), InputError, ("parsec",)),
    "limit of zero": Refused(lambda k: open_dataset(str(k.data), limit=0), InputError, ("limit",)),
    "split too large": Refused(
        lambda k: split(10, train=8, validation=2, test=2, seed=0), InputError, ("12", "data set of 10")
    ),
    "split with nothing to train on": Refused(
        lambda k: split(4, train=None, validation=2, test=2, seed=0), InputError, ("training",)
    ),
    "duplicated indices": Refused(lambda k: Splits([0, 1, 1], [2], [3]).check(4), DataError, ("1",)),
    "overlapping indices": Refused(lambda k: Splits([0, 1], [1], [3]).check(4), DataError, ("1",)),
    "indices out of range": Refused(lambda k: Splits([0, 9], [1], [2]).check(4), DataError, ("9",)),
    "split file of words": Refused(lambda k: Splits.load(k.file("hello", "s.json")), DataError, ("s.json",)),
    "split file that is missing": Refused(lambda k: Splits.load(k.folder / "gone.json"), DataError, ("gone.json",)),
    "index beyond the store": Refused(lambda k: open_dataset(str(k.data)).subset([99]), InputError, ("99",)),
    # configuration
    "misspelt key": Refused(
        lambda k: resolve({"training": {"learning_rat": 1}}), InputError, ("did you mean 'learning_rate'",)
    ),
    "misspelt section": Refused(lambda k: resolve({"modle": {}}), InputError, ("did you mean 'model'",)),
    "misspelt model": Refused(lambda k: resolve({"model": "pain"}), InputError, ("model", "did you mean 'painn'")),
    "misspelt task": Refused(lambda k: resolve({"task": "force_feild"}), InputError, ("did you mean 'force_field'",)),
    "wrong type": Refused(
        lambda k: resolve({"training": {"epochs": "many"}}), InputError, ("training.epochs", "whole number")
    ),
    "half an epoch": Refused(lambda k: resolve({"training": {"epochs": 1.5}}), InputError, ("training.epochs", "1.5")),
    "negative epochs": Refused(lambda k: resolve({"training": {"epochs": -3}}), InputError, ("training.epochs", "-3")),
    "learning rate of zero": Refused(
        lambda k: resolve({"training": {"learning_rate": 0}}), InputError, ("learning_rate", "above 0")
    ),
    "infinite learning rate": Refused(
        lambda k: resolve({"training": {"learning_rate": np.inf}}), InputError, ("learning_rate", "inf")
    ),
    "unknown optimizer": Refused(
        lambda k: resolve({"training": {"optimizer": "sgdd"}}), InputError, ("optimizer", "adam")
    ),
    "average of one": Refused(lambda k: resolve({"training": {"average": 1.0}}), InputError, ("training.average",)),
    "section that is a number": Refused(lambda k: resolve({"training": 3}), InputError, ("[training]", "not a table")),
    "broken TOML": Refused(lambda k: read_config(k.file("[data\n", "c.toml")), InputError, ("c.toml", "line 1")),
    "absent TOML": Refused(lambda k: read_config(k.folder / "c.toml"), InputError, ("c.toml", "No such file")),
    # training
    "more processes than structures": Refused(
        lambda k: k.train(training={"devices": 50}), IntertwineError, ("devices",)
    ),
    "no forces to learn": Refused(
        lambda k: train(k.config() | {"task": FORCES, "data": {"source": str(k.file(NO_FORCES))}}, progress=False),
        DataError,
        ("forces", "graph 0"),
    ),
    "no labels at all": Refused(
        lambda k: train(k.config() | {"data": {"source": str(k.file(UNLABELLED))}}, progress=False),
        InputError,
        ("which label",),
    ),
    "validation larger than the data": Refused(lambda k: k.train(data={"validation": 99}), InputError, ("99", "12")),
    "run folder that is taken": Refused(
        lambda k: train(k.config(), run=k.run, progress=False), InputError, ("not empty", "--resume")
    ),
    "resume of no run": Refused(
        lambda k: train(run=k.folder / "none", resume=True), CheckpointError, ("none", "no such run folder")
    ),
    "resume with another model": Refused(
        lambda k: train({"model": {"name": "schnet"}}, run=k.run, resume=True),
        InputError,
        ("'model' differs", "training"),
    ),
    # runs and checkpoints
    "no such run": Refused(lambda k: load_run(k.folder / "none"), CheckpointError, ("none", "no such run folder")),
    "a folder that is no run": Refused(lambda k: load_run(k.folder), CheckpointError, ("not a run folder",)),
    "half-written run": Refused(lambda k: _half(k), CheckpointError, ("half-written", "--resume")),
    "neither best nor last": Refused(lambda k: load_run(k.run, which="first"), InputError, ("which", "first", "best")),
    "flipped byte of a weight": Refused(
        lambda k: load_run(k.damage(flip(-3))), CheckpointError, ("best.safetensors", "damaged")
    ),
    "flipped byte of the header": Refused(
        lambda k: load_run(k.damage(flip(40))), CheckpointError, ("best.safetensors",)
    ),
    "flipped byte of the length": Refused(
        lambda k: load_run(k.damage(flip(3))), CheckpointError, ("best.safetensors", "truncated")
    ),
    "truncated checkpoint": Refused(
        lambda k: load_run(k.damage(lambda d: d[: len(d) // 2])), CheckpointError, ("truncated",)
    ),
    "empty checkpoint": Refused(lambda k: load_run(k.damage(lambda d: b"")), CheckpointError, ("truncated",)),
    "newer schema": Refused(lambda k: load_run(k.damage(newer)), CheckpointError, ("schema 99", "or newer")),
    "checkpoint of something else": Refused(lambda k: _other(k), CheckpointError, ("not the checkpoint of a run",)),
    "weights of another model": Refused(lambda k: _exchanged(k), CheckpointError, ("weights: backbone.", "has shape")),
    "a pickle called checkpoint": Refused(lambda k: _pickled(k), CheckpointError, ("best.safetensors",)),
    "an object in a checkpoint": Refused(
        lambda k: save_checkpoint(k.folder / "c", {"a": object()}), CheckpointError, ("state.a",)
    ),
    "checkpoint into no folder": Refused(
        lambda k: save_checkpoint(k.folder / "no" / "c", {}), CheckpointError, ("can't be written",)
    ),
    # use
    "dynamics of an unknown species": Refused(
        lambda k: ase_atoms("Au2", [[0, 0, 0], [0, 0, 2.5]], k.run).get_forces(), DataError, ("unknown species", "[79]")
    ),
    "negative skin": Refused(lambda k: Calculator(k.run, skin=-1.0), InputError, ("skin",)),
    "nothing to certify on": Refused(lambda k: certify(painn(), []), InputError, ("graphs",)),
    "certificate of undeclared outputs": Refused(
        lambda k: certify(len, [atoms((0, 0, 0))]), InputError, ("irreps_out",)
    ),
    "unknown symmetry": Refused(lambda k: certify(painn(), [atoms((0, 0, 0))], symmetry="G2"), InputError, ("G2",)),
}

FORCES = {"name": "force_field", "force_weight": 1.0}
NO_FORCES = bad_files.frame(header="Properties=species:S:1:pos:R:3 energy=-1", atoms=("O 0 0 0", "H 0 0 1")) * 12
UNLABELLED = bad_files.frame(header="Properties=species:S:1:pos:R:3", atoms=("O 0 0 0", "H 0 0 1")) * 12


def _half(kit: Kit) -> None:
    for name in CHECKPOINTS:
        (kit.run / name).unlink()
    load_run(kit.run)


def _other(kit: Kit) -> None:
    save_checkpoint(kit.run / "best.safetensors", {"weights": 1})
    load_run(kit.run)


def _exchanged(kit: Kit) -> None:
    state = load_checkpoint(kit.run / "best.safetensors")
    state["config"]["model"]["width"] = 8
    save_checkpoint(kit.run / "best.safetensors", state)
    load_run(kit.run)


def _pickled(kit: Kit) -> None:
    torch.save({"weights": torch.zeros(3)}, kit.run / "best.safetensors")
    load_run(kit.run)
