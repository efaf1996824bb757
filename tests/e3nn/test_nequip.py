"""NequIP's network, as PyPI has it, on the replacement of e3nn: the same numbers as on e3nn, forward and in a step of
force training.

nequip 0.19 asks for e3nn 0.6 and installs plainly (``pip install nequip==0.19.1``); it neither moves torch nor e3nn.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import assert_same, both

pytest.importorskip("nequip", reason="nequip is not installed")


def test_energy_forces_and_gradients_are_those_on_e3nn(tmp_path: Path) -> None:
    theirs, ours = both(Path(__file__).parent / "scripts" / "nequip_program.py", tmp_path)
    assert theirs["forces"].abs().max() > 1e-3
    assert sum(name.startswith("gradient") for name in theirs) > 10
    assert_same(theirs, ours, 1e-12)
