"""predict and evaluate write files of chemiscope."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from ase.io import read as read_frames
from runs_in_use import refused

pytestmark = pytest.mark.usefixtures("own_folder")


def read(name: str) -> dict:
    return json.loads(gzip.decompress(Path(name).read_bytes()))


def test_predictions_for_chemiscope(trained, ethanol_file: Path, run_cli) -> None:
    folder = trained[0]
    command = ["predict", folder, ethanol_file, "--limit", 3, "--chemiscope", "out.json.gz"]
    result = run_cli(*command, "--json")
    assert result.exit_code == 0, result.output
    assert "wrote 3 structures to out.json.gz: load it at chemiscope.org" in result.stderr
    document, printed = read("out.json.gz"), json.loads(result.stdout)
    assert document["meta"]["name"] == "tiny.xyz, predicted by ethanol"
    values = document["properties"]["predicted energy"]["values"]
    np.testing.assert_allclose(values, [p["energy"] for p in printed], rtol=1e-6)
    assert document["structures"][2]["x"] == pytest.approx(read_frames(ethanol_file, 2).positions[:, 0], abs=1e-6)
    refused(run_cli(*command), "is there already")
    assert run_cli(*command, "--overwrite").exit_code == 0
    refused(run_cli(*command[:-1], "out.xyz"), "no name of a chemiscope file")
    refused(run_cli(*command[:-1], "b.json", "-o", "b.json"), "one file")
    assert not Path("b.json").exists()


def test_errors_for_chemiscope(trained, ethanol_file: Path, run_cli) -> None:
    """The mean over the structures is what is printed."""
    folder = trained[0]
    result = run_cli("evaluate", folder, ethanol_file, "--limit", 4, "--json", "--chemiscope", "errors.json.gz")
    assert result.exit_code == 0, result.output
    document, errors = read("errors.json.gz"), json.loads(result.stdout)["errors"]
    for target in ("energy", "forces"):
        values = document["properties"][f"error of {target}"]["values"]
        assert errors[target]["mae"] == pytest.approx(1000 * np.mean(values), rel=1e-3)  # meV
    of_atoms = document["properties"]["error of forces (atom)"]
    assert of_atoms["target"] == "atom"
    assert len(of_atoms["values"]) == 4 * 9
    result = run_cli("evaluate", folder, "--chemiscope", "test.json.gz")
    assert result.exit_code == 0, result.output
    assert read("test.json.gz")["meta"]["name"].startswith("the test set of")
