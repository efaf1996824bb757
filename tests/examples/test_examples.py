"""Tasks and data sets of one's own, given as ``module:Class``, through every command: labels on pairs, at points, of
classes, and codes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import class_task
import numpy as np
import pair_task
import point_task
import pytest
import torch
from switches import does_not_apply
from typer.testing import CliRunner

from intertwine.cli import app
from intertwine.geometry import collate, connect, distances, edge_vectors
from intertwine.groups import Cartesian
from intertwine.models import PaiNN
from intertwine.numerics import InputError
from intertwine.tasks import Output, Task
from intertwine.training import load_run, predict

#: data, task, the target whose error is reported, its unit, the task's own picture
EXAMPLES = {
    "dense pairs": ("pair_task:dense", "pair_task:Hamiltonian", "hopping", "meV", "matrix.png"),
    "listed pairs": ("pair_task:SPARSE", "pair_task:Hamiltonian", "onsite", "meV", "matrix.png"),
    "points": ("point_task:clouds", "point_task:Density", "density", "me/A^3", "density.png"),
    "classes": ("class_task:shapes", "class_task:Shape", "shape", "", "confusion.png"),
    "codes": ("class_task:shapes", "class_task:Autoencoder", "again", "A", "parity_again.png"),
}
SMALL = ["model.width=8", "model.layers=1", "training.threads=1", "data.test_size=4"]


def said(*words: object) -> str:
    """What a command prints on standard output; it must succeed."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module", params=EXAMPLES, ids=lambda name: name.replace(" ", "_"))
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path, str]]:
    """An example by name, its run folder, and what the training printed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    data, task = EXAMPLES[request.param][:2]
    settings = [word for setting in SMALL for word in ("--set", setting)]
    sizes = ["--train", "8", "--validation", "4", "--epochs", "3"]
    printed = said("train", data, "--task", task, *sizes, "--run", folder, *settings)
    return request.param, folder, printed


def module(name: str) -> str:
    return EXAMPLES[name][0].partition(":")[0]


def parts(value: Any, other: Any) -> list[tuple[Any, Any]]:
    """Two numbers, or those of two tables of the same names."""
    if not isinstance(other, dict):
        return [(value, other)]
    assert value.keys() == other.keys()
    return [(value[name], other[name]) for name in other]


def test_report_has_the_task_s_own_lines_and_pictures(trained: tuple[str, Path, str]) -> None:
    name, folder, printed = trained
    _, task, target, unit, picture = EXAMPLES[name]
    report = json.loads((folder / "report.json").read_text())
    assert report["task"] == task
    assert report["test"][target]["unit"] == unit
    assert picture in report["pictures"]
    assert (folder / picture).stat().st_size > 1000
    assert not [line for line in report["pictures"] if "not drawn" in line]
    (line,) = (line for line in printed.splitlines() if line.startswith(f"test     {target}: "))
    assert {"points": "% of the density", "classes": "% right"}.get(name, f"{unit}, RMSE") in line
    assert report["statistics"].keys() == ({"size of blocks (eV)"} if "pairs" in name else set())


def test_certificate_passes_on_the_task_s_own_data(trained: tuple[str, Path, str]) -> None:
    name, folder, _ = trained
    certificate = json.loads(said("certify", folder, "--allow", module(name), "--json"))
    assert certificate["passed"], certificate["summary"]
    output = {"pairs": "block", "points": "density", "classes": "shape", "codes": "again"}[name.split()[-1]]
    measured = {
        line["test"] for line in certificate["lines"] if line["output"] == output and line["verdict"] == "passed"
    }
    everywhere = {
        "random rotations",
        "reflections",
        "translations",
        "permutations",
        "batch against single",
        "unsorted batch",
    }
    assert everywhere | ({"value at the cutoff"} if name != "codes" else set()) <= measured


def test_evaluate_prints_errors_with_units(trained: tuple[str, Path, str]) -> None:
    name, folder, _ = trained
    data, _, target, unit, _ = EXAMPLES[name]
    own = json.loads(said("evaluate", folder, "--allow", module(name), "--json"))
    for key, value in json.loads((folder / "report.json").read_text())["test"][target].items():
        for again, other in parts(own["errors"][target][key], value):
            assert again == (other if isinstance(other, str) else pytest.approx(other, rel=1e-5))
    table = said("evaluate", folder, data, "--allow", module(name))
    assert all(word in table for word in (target, unit, "accuracy" if name == "classes" else "MAE"))


@pytest.mark.parametrize("kind", ["npz", "json"])
def test_predict_writes_all_rows(trained: tuple[str, Path, str], tmp_path: Path, kind: str) -> None:
    name, folder, _ = trained
    data = EXAMPLES[name][0]
    store = getattr(*(__import__(module(name)), data.partition(":")[2]))
    store = store.open(progress=False) if hasattr(store, "open") else store()
    (output,) = load_run(folder, allow=[module(name)]).task.outputs
    said("predict", folder, data, "--allow", module(name), "-o", tmp_path / f"out.{kind}")
    expected = len(store.field(output)) if output in store.fields else len(store.field("pos"))
    if kind == "json":
        written = json.loads((tmp_path / "out.json").read_text())
        values = [np.atleast_1d(np.array(p[output])) for p in written["predictions"]]
        assert len(values) == len(store)
        rows = [len(value) for value in values]
        assert name == "classes" or sum(rows) == expected
        return
    with np.load(tmp_path / "out.npz") as written:
        assert len(written[f"predicted_{output}"]) == expected
        assert np.isfinite(written[f"predicted_{output}"]).all()
        if f"predicted_{output}_rows" in written:
            assert written[f"predicted_{output}_rows"].tolist() == [len(store[k][output]) for k in range(len(store))]
        assert (f"predicted_{output}_rows" in written) == (name.split()[-1] in ("pairs", "points"))


def test_a_file_that_cannot_hold_the_rows_is_refused_before_the_work(
    trained: tuple[str, Path, str], tmp_path: Path
) -> None:
    name, folder, _ = trained
    result = CliRunner().invoke(
        app, ["predict", str(folder), EXAMPLES[name][0], "--allow", module(name), "-o", str(tmp_path / "out.xyz")]
    )
    if name.split()[-1] in ("classes", "codes"):
        assert result.exit_code == 0, result.output
        return
    output, level = ("density", "points") if name == "points" else ("block", "pairs")
    assert result.exit_code == 2
    assert f"extxyz holds numbers of atoms and of structures; {output} is of {level}" in result.stderr.replace(
        "\n", " "
    )
    assert "write .npz or .json" in result.stderr.replace("\n", " ")
    assert not (tmp_path / "out.xyz").exists()


def test_structures_of_a_file_have_all_pairs_and_no_points(trained: tuple[str, Path, str], tmp_path: Path) -> None:
    """What a file of atoms does not say: pairs are then all of them, points have to be given."""
    name, folder, _ = trained
    (tmp_path / "water.xyz").write_text("3\n\nO 0 0 0\nH 0 0 1\nH 0 1 0\n")
    result = CliRunner().invoke(
        app, ["predict", str(folder), str(tmp_path / "water.xyz"), "--allow", module(name), "--json"]
    )
    if "pairs" in name:
        assert np.array(json.loads(result.stdout)[0]["block"]).shape == (9, 16)
    elif name == "points":
        assert result.exit_code == 2
        assert "the model reads 'points', and the structure has none" in result.stderr.replace("\n", " ")


def test_predicted_blocks_are_hermitian(trained: tuple[str, Path, str]) -> None:
    name, folder, _ = trained
    if name != "dense pairs":
        does_not_apply("one example will do")
    task = load_run(folder, allow=["pair_task"], dtype=torch.float64).task
    graph = pair_task.dense()[3]
    whole = pair_task.matrix(task(graph)["block"], pair_task.pair_list(graph), graph.num_nodes)
    torch.testing.assert_close(whole, whole.T, rtol=0, atol=1e-13)
    torch.testing.assert_close(pair_task.to_irreps(pair_task.to_blocks(graph.block)), graph.block, rtol=0, atol=1e-14)


def test_an_output_of_edges_is_predicted_as_connect_lists_them(trained: tuple[str, Path, str]) -> None:
    name, folder, _ = trained
    if name != "dense pairs":
        does_not_apply("one example will do")

    class Lengths(Task):
        def __init__(self, backbone) -> None:
            super().__init__(backbone)
            self.outputs = {"length": Output(Cartesian(0), "edge", "A")}

        def residuals(self, prediction: dict[str, torch.Tensor], graph: Graph) -> dict[str, torch.Tensor]:
            return {}

        def predict(self, graph):
            return {"length": distances(edge_vectors(graph))}

    run, store = load_run(folder, allow=["pair_task"], dtype=torch.float64), pair_task.dense()
    run.task = Lengths(run.task.backbone).eval()
    for k, prediction in enumerate(predict(run, (store[k] for k in range(5)))):
        source, target = connect(store[k], run.task.cutoff).edge_index
        expected = (store[k].pos[source] - store[k].pos[target]).norm(dim=1)
        np.testing.assert_allclose(prediction["length"], expected.numpy(), rtol=0, atol=1e-14)


def test_they_learn() -> None:
    """Each example, of which the commands make a few steps only, fits a handful of its structures."""
    learned = {
        pair_task.Hamiltonian: pair_task.dense(),
        point_task.Density: point_task.clouds(),
        class_task.Shape: class_task.shapes(),
    }
    for kind, store in learned.items():
        torch.manual_seed(0)
        task = kind(PaiNN(width=16, layers=2, radial_size=8, cutoff=4.0))
        task.fit(store[k] for k in range(len(store)))
        batch, optimizer, history = collate([store[k] for k in range(9)]), torch.optim.Adam(task.parameters(), 5e-3), []
        for _ in range(60):
            loss = sum(value / count for value, count in task.losses(task(batch), batch).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.append(float(loss.detach()))
        assert history[-1] < 0.5 * history[0], kind.__name__


def test_a_level_that_there_is_not_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="unknown level 'bond'"):
        Output(Cartesian(0), "bond", "eV")
