"""Pictures of much and of little: no label over another, nothing hidden by a few numbers, no empty unit."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.data import chemical_symbols

from intertwine import plots
from intertwine.numerics import InputError
from intertwine.numerics.showing import figure as digits
from intertwine.plots.parity import WORST
from intertwine.plots.style import fit_titles, titles_of


def residuals(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {chemical_symbols[z]: 0.1 * rng.normal(size=(5, 3)) for z in range(1, count + 1)}


def boxes(picture: Any, axes: Any) -> list[Any]:
    """Where the names below a horizontal axis stand."""
    picture.canvas.draw()
    renderer, (left, right) = picture.canvas.get_renderer(), axes.get_xlim()
    ticks = [tick for tick in axes.xaxis.get_major_ticks() if left <= tick.get_loc() <= right]
    return [tick.label1.get_window_extent(renderer) for tick in ticks if tick.label1.get_text()]


def apart(picture: Any, axes: Any) -> bool:
    """There are names, and none touches its neighbour."""
    names = boxes(picture, axes)
    return bool(names) and all(left.x1 < right.x0 for left, right in pairwise(names))


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every figure that is saved."""
    pictures: list[Any] = []
    module = sys.modules["intertwine.plots.parity"]
    monkeypatch.setattr(module, "save", lambda picture, path: pictures.append(picture) or path)
    return pictures


@pytest.mark.parametrize("count", [1, 2, 12, 30, 31, 89])
def test_species_stand_apart_however_many(count: int, kept: list[Any]) -> None:
    plots.error_by_species(residuals(count), "eV/A", Path("x.png"))
    (picture,) = kept
    names = [label.get_text() for axes in picture.axes for label in axes.get_xticklabels()]
    assert names == chemical_symbols[1 : count + 1]
    assert all(apart(picture, axes) for axes in picture.axes)
    widths = [bar.get_window_extent().width for axes in picture.axes for bar in axes.patches]
    assert max(widths) < 0.2 * picture.bbox.width
    assert min(widths) > 3  # pixels


@pytest.mark.parametrize("count", [1, 2, 12, 13, 89])
def test_a_panel_has_the_worst_species_and_the_others_together(count: int) -> None:
    picture = plots.figure(4.5, 4.0)
    axes = picture.add_subplot()
    errors = residuals(count)
    plots.draw_error_by_species(axes, errors, "eV/A", "forces")
    assert apart(picture, axes)
    names = [label.get_text() for label in axes.get_xticklabels()]
    if count <= WORST:
        assert names == list(errors)
        return
    rms = {symbol: 1e3 * float(np.sqrt((v**2).mean())) for symbol, v in errors.items()}
    worst = sorted(rms, key=lambda symbol: -rms[symbol])[: WORST - 1]
    assert names == [*worst, "others"]
    rest = 1e3 * np.concatenate([v for symbol, v in errors.items() if symbol not in worst])
    heights = [bar.get_height() for bar in axes.containers[1]]
    assert heights == pytest.approx([*(rms[symbol] for symbol in worst), np.sqrt((rest**2).mean())])
    assert f"of {count} species" in axes.get_title(loc="left")


def test_species_without_a_label_are_left_out_and_a_wild_one_hides_none() -> None:
    axes = plots.figure().add_subplot()
    errors = {"H": [0.1, np.nan], "C": [np.nan], "O": [0.2, np.inf], "Pt": [1e4], "N": [0.1]}
    plots.draw_error_by_species(axes, errors, "eV/A", "forces")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["H", "O", "Pt", "N"]
    assert [bar.get_height() for bar in axes.containers[0]] == pytest.approx([100, 200, 1e7, 100])
    assert axes.get_yscale() == "log"
    with pytest.raises(InputError, match="no species"):
        plots.draw_error_by_species(axes, {"H": [np.nan]}, "eV/A", "forces")


@pytest.mark.parametrize("factor", [1.0, 8.0, 1e4])
def test_one_bad_species_squeezes_no_other_and_its_number_is_written(factor: float) -> None:
    picture = plots.figure(4.5, 4.0)
    axes, errors = picture.add_subplot(), residuals(40)
    errors["Zn"] = factor * errors["Zn"]
    plots.draw_error_by_species(axes, errors, "eV/A", "forces")
    assert apart(picture, axes)
    numbers = [text.get_text() for text in axes.texts]
    assert numbers == ([digits(1e3 * float(np.sqrt((errors["Zn"] ** 2).mean())))] if factor > 1 else [])
    heights = [bar.get_window_extent().height for bar in axes.containers[1]]
    assert min(heights) > 0.1 * axes.get_window_extent().height
    legend = axes.get_legend().get_window_extent()
    assert not any(legend.overlaps(text.get_window_extent()) for text in axes.texts)


@pytest.mark.parametrize("width", [2.4, 3.2])
def test_the_word_others_touches_no_symbol_of_a_narrow_panel(width: float) -> None:
    picture = plots.figure(width, 3.0)
    axes = picture.add_subplot()
    plots.draw_error_by_species(axes, {"Zn": [1.0], **residuals(89)}, "eV/A", "forces", most=8)
    assert "others" in [label.get_text() for label in axes.get_xticklabels()]
    assert apart(picture, axes)


@pytest.mark.parametrize(("unit", "shown"), [("", ""), ("D", " (D)"), ("eV/A", " (eV/Å)"), ("eV/A^3", " (eV/Å³)")])
def test_a_label_has_brackets_only_around_a_unit(unit: str, shown: str) -> None:
    axes = plots.figure().add_subplot()
    plots.draw_parity(axes, [1.0, 2.0], [1.0, 2.5], unit, "x")
    assert axes.get_xlabel() == "reference" + shown
    assert axes.get_ylabel() == "predicted" + shown
    assert not axes.get_title(loc="left").endswith(" ")
    bars = plots.figure().add_subplot()
    plots.draw_error_by_species(bars, {"H": [1.0]}, unit, "x")
    assert bars.get_ylabel() == ("error" + shown).replace("eV", "meV")


def history(epochs: int, first: float = 1e5) -> dict[str, Any]:
    """A loss that falls from 1 by a factor of e, after ``first``."""
    loss = np.exp(-np.arange(epochs) / epochs)
    loss[0] = first
    return {"epoch": np.arange(1, epochs + 1), "train_loss": loss}


@pytest.mark.parametrize("epochs", [1, 2, 3, 1000])
def test_learning_curves_of_few_and_many_epochs(epochs: int) -> None:
    picture = plots.figure(5.4, 3.6)
    axes = picture.add_subplot()
    plots.draw_learning_curve(axes, history(epochs, first=1.0))
    assert apart(picture, axes)
    (line,) = axes.lines
    assert line.get_ydata().tolist() == history(epochs, first=1.0)["train_loss"].tolist()
    ticks = [t for t in axes.get_xticks() if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
    assert ticks == [round(t) for t in ticks]
    x, y = axes.transAxes.inverted().transform(axes.transData.transform(line.get_xydata())).T
    assert x.min() >= 0.0
    assert x.max() <= 1.0
    assert y.min() >= 0.03
    assert y.max() <= 0.97
    if epochs <= 3:
        assert line.get_marker() == "o"
    assert any(label.get_text() for label in (*axes.get_yticklabels(), *axes.get_yticklabels(minor=True)))


@pytest.mark.parametrize(("epochs", "first"), [(20, 90.0), (150, 1e5), (1000, 1e9)])
def test_a_first_loss_does_not_hide_the_rest(epochs: int, first: float) -> None:
    axes = plots.figure().add_subplot()
    columns = history(epochs, first)
    columns["validation_loss"] = 1.1 * columns["train_loss"]
    plots.draw_learning_curve(axes, columns)
    rest = columns["train_loss"][1:]
    place = axes.transAxes.inverted().transform(axes.transData.transform([[1, rest.max()], [1, rest.min()]]))[:, 1]
    assert place[0] - place[1] > 0.6
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        f"train loss (▲ up to {first:.3g})",
        f"validation loss (▲ up to {1.1 * first:.3g})",
    ]
    marks = [line for line in axes.lines if line.get_marker() == "^"]
    assert [line.get_xdata().tolist() for line in marks] == [[1], [1]]


@pytest.mark.parametrize("peak", [1, 3, 9])
def test_what_takes_no_more_than_its_share_is_drawn_whole(peak: float) -> None:
    """No curve is cut because it falls, or because its first loss is a few times the second."""
    axes = plots.figure().add_subplot()
    plots.draw_learning_curve(axes, {"loss": [peak, 1.0, 0.5, 0.4, 0.3]})
    plots.draw_learning_curve(axes, {"loss": 10.0 ** -np.arange(30)})
    assert all(line.get_marker() != "^" for line in axes.lines)


def test_a_spike_within_a_curve_of_either_sign_is_marked_too() -> None:
    axes = plots.figure().add_subplot()
    loss = np.sin(np.arange(60.0))
    loss[40] = 1e4
    plots.draw_learning_curve(axes, {"loss": loss})
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim()[1] < 2
    assert axes.lines[1].get_xdata().tolist() == [40]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_curve_without_a_finite_value_is_named(bad: float) -> None:
    axes = plots.figure().add_subplot()
    plots.draw_learning_curve(axes, history(3, 1.0) | {"validation_loss": [bad] * 3})
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "train loss",
        "validation loss: no finite value",
    ]
    with pytest.raises(InputError, match="no finite value of train loss"):
        plots.draw_learning_curve(axes, {"epoch": [1, 2], "train_loss": [bad, bad]})


@pytest.mark.parametrize("losses", [[1.0, 0.0, 0.1], [0.0, 0.0], [2.0, float("nan"), 1.0]])
def test_zeros_and_gaps_are_drawn(losses: list[float]) -> None:
    axes = plots.figure().add_subplot()
    plots.draw_learning_curve(axes, {"loss": losses})
    assert len(axes.lines[0].get_xdata()) == np.isfinite(losses).sum()
    assert axes.get_yscale() == ("log" if any(loss > 0 for loss in losses) else "linear")


@pytest.mark.parametrize(("count", "far"), [(50, 1), (400, 2), (5000, 20)])
def test_points_far_away_don_t_hide_the_others(count: int, far: int) -> None:
    true = np.random.default_rng(0).normal(size=count) - 4200.0
    predicted = true + 0.01
    predicted[:far] += 5000.0
    axes = plots.figure().add_subplot()
    plots.draw_parity(axes, predicted, true, "eV", "energy")
    assert axes.get_xlim()[1] - axes.get_xlim()[0] < 10
    assert axes.texts[0].get_text().startswith(f"{far} of {count:,} outside, from -420")
    assert axes.lines[-1].get_xdata().tolist() == true[:far].tolist()
    assert f"MAE {digits(1e3 * np.abs(predicted - true).mean())}, " in axes.get_title(loc="left")


@pytest.mark.parametrize("error", [0.05, 5.0, 1e5, 1e13])
def test_titles_end_within_the_picture_and_the_note_is_over_no_point(error: float, tmp_path: Path) -> None:
    true = np.random.default_rng(0).normal(size=50)
    predicted = true + 0.01
    predicted[0] += 1e3 * error
    pictures: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys.modules["intertwine.plots.report"], "save", lambda picture, path: pictures.append(picture) or path
        )
        both = dict.fromkeys(("energy of the structure", "forces on the atoms"), (predicted, true, "eV/atom"))
        plots.overview(
            tmp_path / "a.png", history=history(5), parities=both, baselines=dict.fromkeys(both, 12 * "word ")
        )
    (picture,) = pictures
    fit_titles(picture)
    picture.draw_without_rendering()
    titles = [title.get_window_extent() for axes in picture.axes for title in titles_of(axes)]
    assert all(box.x1 <= picture.bbox.x1 for box in titles)
    assert not any(a.overlaps(b) for k, a in enumerate(titles) for b in titles[:k])
    notes = [(axes, text) for axes in picture.axes for text in axes.texts]
    assert len(notes) == 2
    for axes, note in notes:
        assert note.get_window_extent().y0 > axes.bbox.y1
        assert note.get_window_extent().y1 < titles_of(axes)[0].get_window_extent().y0


@pytest.mark.parametrize("spread", [3e-3, 0.2, 40.0])
def test_a_second_cloud_is_no_outlier(spread: float) -> None:
    """Many points that are wrong are what the picture is for; so is a wide distribution."""
    true = spread * np.random.default_rng(0).standard_t(3, size=400)
    axes = plots.figure().add_subplot()
    plots.draw_parity(axes, np.where(np.arange(400) % 10, true, true + 100 * spread), true, "eV", "energy")
    assert not axes.texts


@pytest.mark.parametrize("value", [0.0, -4200.123456, 1e6])
def test_parity_of_equal_values_has_legible_ticks(value: float) -> None:
    picture = plots.figure(4.6, 4.4)
    axes = picture.add_subplot()
    plots.draw_parity(axes, [value] * 3, [value] * 3, "eV", "energy")
    assert apart(picture, axes)
