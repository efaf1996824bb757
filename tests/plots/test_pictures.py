"""Pictures are written, show the numbers given, and refuse what can't be drawn."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from intertwine import plots
from intertwine.numerics import InputError

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Measurement:
    test: str
    dtype: str
    error: float | None
    bound: float | None
    verdict: str = "passed"


LINES = [
    Measurement("rotations", "float64", 1e-14, 1e-12),
    Measurement("rotations", "float64", 3e-14, 1e-12),
    Measurement("rotations", "float32", 0.5, 2e-5, "failed"),
    Measurement("determinism", "float64", 0.0, 0.0),
    Measurement("supercell", "float64", None, None, "skipped"),
]
HISTORY = {"epoch": [0, 1, 2, 3], "train": [1.0, 0.5, 0.3, 0.2], "validation": [1.2, float("nan"), 0.4, float("nan")]}


def is_picture(path: Path) -> bool:
    return path.read_bytes().startswith(PNG) and len(list(path.parent.iterdir())) == 1


def test_learning_curve_draws_the_columns(tmp_path: Path) -> None:
    assert is_picture(plots.learning_curve(HISTORY, tmp_path / "curve.png", y="loss"))
    axes = plots.figure().add_subplot()
    plots.draw_learning_curve(axes, HISTORY)
    train, validation = axes.lines
    assert train.get_xydata().tolist() == [[0, 1.0], [1, 0.5], [2, 0.3], [3, 0.2]]
    assert validation.get_xydata().tolist() == [[0, 1.2], [2, 0.4]]  # epochs without validation are left out
    assert axes.get_yscale() == "log"


def test_losses_that_are_not_positive_are_drawn_linearly() -> None:
    axes = plots.figure().add_subplot()
    plots.draw_learning_curve(axes, {"loss": [0.1, -0.2]})
    assert axes.get_yscale() == "linear"
    assert axes.lines[0].get_xdata().tolist() == [0, 1]


def test_parity_draws_the_points_and_says_the_errors(tmp_path: Path) -> None:
    true, predicted = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 2.0], [3.0, 4.5]])
    assert is_picture(plots.parity(predicted, true, "eV/A", tmp_path / "forces.png", "forces"))
    axes = plots.figure().add_subplot()
    plots.draw_parity(axes, predicted, true, "eV/A", "forces")
    _, points = axes.lines
    assert points.get_xdata().tolist() == [1, 2, 3, 4]
    assert points.get_ydata().tolist() == [1, 2, 3, 4.5]
    assert axes.get_title(loc="left") == "forces: MAE 125, RMSE 250 meV/Å"
    plots.draw_parity(axes, predicted, true, "eV/A", "forces", "zero: MAE 2.5e+03, RMSE 2.7e+03")
    assert axes.get_title(loc="left").splitlines()[1] == "zero: MAE 2.5e+03, RMSE 2.7e+03"
    assert axes.get_xlim() == axes.get_ylim()


def test_parity_of_many_points_is_a_density_of_all_of_them() -> None:
    values = np.random.default_rng(0).normal(size=5000)
    axes = plots.figure().add_subplot()
    plots.draw_parity(axes, values, values, "eV", "energy")
    assert axes.collections[0].get_array().sum() == 5000


def test_parity_of_one_constant_value(tmp_path: Path) -> None:
    assert is_picture(plots.parity([1.0], [1.0], "D", tmp_path / "one.png", "dipole"))


def test_error_by_species(tmp_path: Path) -> None:
    errors = {"H": [0.1, -0.1], "C": [[0.3, -0.4]]}
    assert is_picture(plots.error_by_species(errors, "eV/A", tmp_path / "species.png"))
    axes = plots.figure().add_subplot()
    plots.draw_error_by_species(axes, errors, "eV/A", "forces")
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == pytest.approx([100.0, 350.0, 100.0, 1e3 * np.sqrt(0.125)])


def test_species_whose_errors_say_nothing_have_words_in_place_of_bars(tmp_path: Path) -> None:
    errors = {"H": [0.1, -0.1], "Cs": [1e-7], "C": [[0.3, -0.4]], "Hf": [2e3]}
    notes = {"Cs": "vanish by symmetry", "Hf": "not trained on: RMSE 2e6", "Xe": "not there"}
    plain, noted = (plots.figure().add_subplot() for _ in range(2))
    plots.draw_error_by_species(plain, {k: errors[k] for k in "HC"}, "eV/A", "forces")
    plots.draw_error_by_species(noted, errors, "eV/A", "forces", notes=notes)
    assert [label.get_text() for label in noted.get_xticklabels()] == list(errors)
    assert [text.get_text() for text in noted.texts] == [notes["Cs"], notes["Hf"]]
    assert noted.get_yscale() == "linear"
    assert noted.get_ylim() == pytest.approx(plain.get_ylim())
    assert len(noted.patches) == len(plain.patches) == 4
    assert is_picture(plots.error_by_species(errors, "eV/A", tmp_path / "species.png", notes=notes))
    alone = plots.figure().add_subplot()
    plots.draw_error_by_species(alone, {"Cs": [1e-7]}, "eV/A", "forces", notes=notes)  # nothing else is there
    assert len(alone.patches) == 2
    few = plots.figure().add_subplot()
    plots.draw_error_by_species(few, errors, "eV/A", "forces", notes=notes, most=2)
    assert [label.get_text() for label in few.get_xticklabels()] == ["C", "others"]


def test_certificate_draws_the_worst_line_of_each_test(tmp_path: Path) -> None:
    assert is_picture(plots.certificate(LINES, tmp_path / "certificate.png"))
    axes = plots.figure().add_subplot()
    plots.draw_certificate(axes, LINES)
    ends = sorted(bar.get_x() + bar.get_width() for bar in axes.patches)
    assert ends == pytest.approx([1e-17, 3e-14, 0.5], rel=1e-12)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["rotations", "determinism"]


def test_trajectory_draws_drift_per_atom(tmp_path: Path) -> None:
    path = plots.trajectory(
        [0.0, 1.0, 2.0], [-9.0, -9.0, -9.0 + 3e-3], [300.0, 310.0, 290.0], tmp_path / "md.png", atoms=3, target=300.0
    )
    assert is_picture(path)


def test_trajectory_tells_one_drift_in_the_unit_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from intertwine.plots import curves

    titles: list[str] = []
    monkeypatch.setattr(curves, "tidy", lambda axes, title, x, y: titles.append(title))
    time, energy, kelvin = [0.0, 1.0, 2.0], [-9.0, -9.0, -9.0 + 6e-3], [300.0] * 3  # 3 meV for 3 atoms in each ps
    shadow = ([0.5, 1.0, 1.5], [-9.0, -9.0 + 3e-4, -9.0 + 6e-4])
    for options in ({}, {"conserved": shadow}, {"conserved": shadow, "drift": -0.0046}):
        assert is_picture(plots.trajectory(time, energy, kelvin, tmp_path / "md.png", atoms=3, **options))
    few = (time[:1], energy[:1], kelvin[:1])
    assert is_picture(plots.trajectory(*few, tmp_path / "md.png", atoms=3, what="conserved energy"))
    assert titles[::2] == [
        "drift of the total energy: 1 eV/atom/ns",
        "drift of the conserved energy: 0.2 eV/atom/ns",
        "drift of the conserved energy: -0.0046 eV/atom/ns",
        "drift of the conserved energy: none of so few frames",
    ]


def test_trajectory_says_that_it_means_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from intertwine.plots import curves

    kept: list[Any] = []
    monkeypatch.setattr(curves, "save", lambda picture, path: kept.append(picture) or path)
    for caveat in ("", "far outside of the training data from step 3"):
        plots.trajectory([0.0, 1.0, 2.0], [-9.0] * 3, [300.0] * 3, tmp_path / "md.png", caveat=caveat)
    assert [picture.get_suptitle() for picture in kept] == ["", "far outside of the training data from step 3"]


def test_overview_of_all_and_of_parts(tmp_path: Path) -> None:
    parities = {"energy": ([1.0, 2.0], [1.0, 2.1], "eV"), "forces": (np.ones((2, 3)), np.zeros((2, 3)), "eV/A")}
    species = ({"H": [0.1]}, "eV/A")
    assert is_picture(
        plots.overview(
            tmp_path / "all.png", history=HISTORY, parities=parities, species=species, lines=LINES, title="run"
        )
    )
    assert is_picture(plots.overview(tmp_path / "all.png", lines=LINES))
    assert is_picture(plots.overview(tmp_path / "all.png", history=HISTORY))


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: plots.parity([1.0, 2.0], [1.0], "eV", path),
        lambda path: plots.parity([float("nan")], [1.0], "eV", path),
        lambda path: plots.parity([float("nan"), 1.0], [1.0, float("nan")], "eV", path),
        lambda path: plots.parity([], [], "eV", path),
        lambda path: plots.parity(["a"], [1.0], "eV", path),
        lambda path: plots.learning_curve({"epoch": [1, 2]}, path),
        lambda path: plots.learning_curve({"epoch": [1, 2], "train": [1.0]}, path),
        lambda path: plots.error_by_species({}, "eV/A", path),
        lambda path: plots.certificate([LINES[-1]], path),
        lambda path: plots.trajectory([0.0], [1.0], [1.0], path, atoms=0),
        lambda path: plots.trajectory([0.0, 1.0], [1.0], [1.0, 2.0], path),
        lambda path: plots.overview(path),
    ],
)
def test_what_cannot_be_drawn_is_named_and_leaves_no_file(draw, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        draw(tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_unknown_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="picture format"):
        plots.parity([1.0, 2.0], [1.0, 2.0], "eV", tmp_path / "x.doc")


def test_importing_plots_loads_no_matplotlib() -> None:
    code = "import sys, intertwine.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
