"""Whole modules that were pickled on e3nn, loaded on the replacement by the programs that load them: they compute what
they did.

e3nn 0.6 pickles them here; the files of ``tests/e3nn/files`` were written on 0.4.4, which mace-torch pins, and 0.5.6,
by ``scripts/pickle_modules.py write FILE NAMES``, with the names below, and ``xz -9e``.
"""

from __future__ import annotations

import copy
import lzma
from pathlib import Path

import pytest
import torch
from programs import assert_same, run

from intertwine.e3nn import nn, o3
from intertwine.numerics import CheckpointError

SCRIPTS, FILES = Path(__file__).parent / "scripts", Path(__file__).parent / "files"
PRECISION = 2e-6  # single
KEPT = [
    "TensorProduct-own",
    "Linear-f",
    "SphericalHarmonics-list",
    "ReducedTensorProducts",
    "BatchNorm",
    "Extract-one",
    "FullyConnectedNet",
    "Program",
]


def read(path: Path, folder: Path) -> dict[str, tuple[float, str]]:
    """Name -> deviation of the outputs, and home of the class, on the replacement."""
    done = run([str(SCRIPTS / "pickle_modules.py"), "read", str(path)], folder, replaced=True)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (line.split() for line in done.stdout.splitlines())
    return {name: (float(deviation), home) for name, deviation, home in lines}


def test_every_class_of_e3nn_0_6(tmp_path: Path) -> None:
    written = run([str(SCRIPTS / "pickle_modules.py"), "write", str(tmp_path / "modules.pt")], tmp_path, replaced=False)
    assert written.returncode == 0, written.stderr
    found = read(tmp_path / "modules.pt", tmp_path)
    assert len(found) > 40
    for name, (deviation, home) in found.items():
        assert deviation <= PRECISION, name
        assert home.startswith(("intertwine.", "__main__", "torch.fx")), name


@pytest.mark.parametrize("version", ["0.4.4", "0.5.6"])
def test_files_of_older_versions(version: str, tmp_path: Path) -> None:
    (tmp_path / "modules.pt").write_bytes(lzma.decompress((FILES / f"e3nn-{version}.pt.xz").read_bytes()))
    found = read(tmp_path / "modules.pt", tmp_path)
    assert set(found) == set(KEPT)
    assert all(deviation <= PRECISION for deviation, _ in found.values()), found


def test_potentials_of_mace(tmp_path: Path) -> None:
    pytest.importorskip("mace", reason="mace-torch is not installed")
    results = []
    for mode, replaced in (("write", False), ("read", True)):
        done = run(
            [str(SCRIPTS / "mace_potential.py"), mode, str(tmp_path / "potential.model"), str(tmp_path / f"{mode}.pt")],
            tmp_path,
            replaced=replaced,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-1] == ("intertwine.e3nn.linear" if replaced else "e3nn.o3._linear")
        results.append(torch.load(tmp_path / f"{mode}.pt", weights_only=True))
    assert_same(results[0], results[1], 1e-12)


@pytest.mark.parametrize(
    "kind", [o3.Linear, o3.TensorProduct, nn.Gate, o3.SO3Grid, o3.ToS2Grid], ids=lambda kind: kind.__name__
)
def test_a_state_that_says_nothing_is_an_error(kind: type) -> None:
    """An unknown version's, or a broken one: not a module that dies at its first call."""
    state = torch.nn.Module().__dict__ | {"irreps_in": o3.Irreps("0e")}
    with pytest.raises(CheckpointError, match=f"{kind.__name__}.*\n.*state_dict"):
        kind.__new__(kind).__setstate__(state)


def test_weights_that_follow_no_rule_are_an_error() -> None:
    layer = o3.Linear("4x0e", "2x0e")
    state = dict(layer.__dict__)
    state["instructions"] = [layer.instructions[0]._replace(path_weight=0.123)]
    with pytest.raises(CheckpointError, match="follow no rule"):
        o3.Linear.__new__(o3.Linear).__setstate__(state)


def test_what_we_copy_is_ours() -> None:
    """Our own states are taken as they are: copies draw no random numbers, and keep the layout, which e3nn has not."""
    layer = o3.TensorProduct("4x0e", "0e", "4x0e", [(0, 0, 0, "uvu", True)], layout="ir_mul")
    before = torch.random.get_rng_state()
    again = copy.deepcopy(layer)
    assert torch.equal(before, torch.random.get_rng_state())
    assert again.layout == "ir_mul"
    assert again.kernel.plan == layer.kernel.plan
    assert "_intertwine_state" not in vars(again)
