"""MACE's networks, as PyPI has them, on the replacement of e3nn: the same numbers, forward, in force training, and as
TorchScript.

mace-torch 0.3.16 pins e3nn 0.4.4, but runs on 0.6: install it as ``pip install --no-deps mace-torch==0.3.16``, with
what it imports::

    pip install matscipy torch-ema torchmetrics prettytable python-hostlist configargparse GitPython
    pip install lmdb orjson pandas opt_einsum h5py
"""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import assert_same, both

pytest.importorskip("mace", reason="mace-torch is not installed")


def test_energy_forces_and_gradients_are_those_on_e3nn(tmp_path: Path) -> None:
    theirs, ours = both(Path(__file__).parent / "scripts" / "mace_program.py", tmp_path)
    for name in ("MACE", "ScaleShiftMACE"):
        assert theirs[f"{name} forces"].abs().max() > 1e-3
        assert sum(key.startswith(f"{name} gradient") for key in theirs) > 10
    assert_same(theirs, ours, 1e-12)
