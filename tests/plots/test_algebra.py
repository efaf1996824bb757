"""Pictures of representations, harmonics and tensor products show what they say; checked on the artists, not on
pixels.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import pi, prod, sqrt
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from torch import Tensor

from intertwine import o3, plots
from intertwine.groups import Cartesian, DirectSum, Isometry
from intertwine.numerics import InputError


@pytest.fixture
def rotation() -> Tensor:
    return Isometry.random(generator=torch.Generator().manual_seed(3)).rotation


def shown(picture: Any) -> np.ndarray:
    (image,) = picture.axes[0].images
    assert image.get_clim() == (-1, 1)
    assert image.get_cmap().name == "bwr"
    return np.asarray(image.get_array())


def labels(axes: Any) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


def solids(axes: Any) -> list[PolyCollection]:
    return [artist for artist in axes.collections if isinstance(artist, PolyCollection)]


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("improper", [False, True])
def test_the_image_of_a_representation_is_its_matrix(rotation: Tensor, improper: bool) -> None:
    q = -rotation if improper else rotation
    irreps = o3.Irreps("2x0o + 1o + 2e")
    picture = plots.representation(irreps, q, title="D")
    np.testing.assert_array_equal(shown(picture), irreps.matrix(q).numpy())
    axes = picture.axes[0]
    assert labels(axes) == ["0o", "0o", "1o", "2e"]
    assert [tick + 0.5 for tick in axes.get_xticks()] == [0.5, 1.5, 3.5, 7.5]  # the middles of the blocks
    assert sorted({line.get_xdata()[0] for line in axes.lines if line.get_xdata()[0] == line.get_xdata()[1]}) == [
        0.5,
        1.5,
        4.5,
    ]
    assert axes.get_title(loc="left") == "D"


def test_anything_with_a_matrix_is_a_representation(rotation: Tensor) -> None:
    kron = torch.kron(rotation, rotation).numpy()
    np.testing.assert_allclose(shown(plots.representation(Cartesian(2), rotation)), kron, atol=1e-15)
    np.testing.assert_array_equal(shown(plots.representation(torch.kron(rotation, rotation))), kron)
    total = DirectSum(((2, Cartesian(1)), (1, o3.Irreps("2e"))))
    np.testing.assert_array_equal(shown(plots.representation(total, rotation)), total.matrix(rotation).numpy())
    np.testing.assert_array_equal(
        shown(plots.representation("1o", rotation)), shown(plots.representation(rotation, blocks="1o"))
    )


def test_many_copies_are_named_together_and_empty_blocks_not_at_all(rotation: Tensor) -> None:
    axes = plots.representation("32x0e + 0x1o + 16x1e", rotation).axes[0]
    assert labels(axes) == ["32x0e", "16x1e"]
    assert len(axes.lines) == 2  # one boundary, across and down


def test_wigner_matrices_side_by_side(rotation: Tensor) -> None:
    picture = plots.wigner([0, 1, 2], rotation)
    for l, axes in enumerate(picture.axes[:3]):
        np.testing.assert_array_equal(np.asarray(axes.images[0].get_array()), o3.wigner_d(l, rotation).numpy())
    assert labels(picture.axes[1]) == ["x", "y", "z"]
    assert labels(picture.axes[2]) == ["−2", "−1", "0", "1", "2"]
    assert "0" in labels(plots.wigner(20, rotation).axes[0])


def test_pictures_are_drawn_on_given_axes(rotation: Tensor) -> None:
    own = plots.figure(8.0, 3.0)
    first, second, third, fourth = own.subplots(1, 4)
    assert plots.representation("1o", rotation, axes=first, bar=False) is own
    assert plots.wigner(2, rotation, axes=second) is own
    assert plots.harmonic_surface(2, 0, axes=third) is own
    assert plots.spherical_tensor([1.0], axes=fourth) is own


def test_surface_of_a_harmonic_has_its_radius_and_signs() -> None:
    r"""Seen along z with y up, :math:`Y_{10} = \sqrt{3/4\pi}\,y` reaches that far up, positive, and as far down,
    negative.
    """
    axes = plots.harmonic_surface(1, 0, view=(0.0, 0.0), resolution=40).axes[0]
    (solid,) = solids(axes)
    corners = np.stack([path.vertices[:4] for path in solid.get_paths()])
    most = sqrt(3 / (4 * pi))
    assert corners[..., 1].max() == pytest.approx(most)
    assert corners[..., 1].min() == pytest.approx(-most)
    assert corners[..., 0].max() == pytest.approx(most / 2, rel=2e-3)  # two spheres of half that diameter
    redder = solid.get_facecolor()[:, 0] > solid.get_facecolor()[:, 2]
    np.testing.assert_array_equal(redder, corners[..., 1].mean(1) > 0)


@pytest.mark.parametrize("lmax", [0, 1, 3])
def test_grid_of_harmonics(lmax: int) -> None:
    axes = plots.spherical_harmonics(lmax, resolution=12).axes[0]
    assert len(solids(axes)) == (lmax + 1) ** 2
    assert [text for text in texts(axes) if text.startswith("$l")] == [f"$l = {l}$" for l in range(lmax + 1)]
    if lmax:
        # l = 1, then the triad
        assert [text for text in texts(axes) if text in "xyz" and text] == ["x", "y", "z", "x", "y", "z"]


def test_surface_of_a_signal_turns_with_it(rotation: Tensor) -> None:
    """Turning the signal about y equals turning the camera back."""
    c, s = np.cos(0.3), np.sin(0.3)
    about_y = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    irreps = o3.Irreps("0e + 1o + 2e")
    signal = torch.randn(9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    one = plots.spherical_tensor(irreps.matrix(about_y) @ signal, irreps, view=(20.0, float(np.degrees(0.3))))
    two = plots.spherical_tensor(signal, irreps, view=(20.0, 0.0))
    first, second = (
        np.concatenate([path.vertices for path in solids(picture.axes[0])[0].get_paths()]) for picture in (one, two)
    )
    np.testing.assert_allclose(np.ptp(first, axis=0), np.ptp(second, axis=0), rtol=2e-3)


def test_constant_signal_is_a_ball() -> None:
    (solid,) = solids(plots.spherical_tensor([2.0, 0, 0, 0]).axes[0])
    corners = np.concatenate([path.vertices for path in solid.get_paths()])
    assert np.linalg.norm(corners, axis=1).max() == pytest.approx(2 / sqrt(4 * pi))


def test_signal_of_a_spherical_tensor_points_where_its_peak_is() -> None:
    irreps = o3.SphericalTensor(4, 1, -1)
    signal = irreps.with_peaks_at(torch.tensor([[0.0, 2.0, 0.0]]))
    (solid,) = solids(plots.spherical_tensor(signal, irreps, view=(0.0, 0.0)).axes[0])
    corners = np.concatenate([path.vertices for path in solid.get_paths()])
    assert np.linalg.norm(corners, axis=1).max() == pytest.approx(corners[:, 1].max())  # up is y
    assert corners[:, 1].max() == pytest.approx(2.0, rel=1e-5)


def test_signal_of_zeros_is_an_empty_picture() -> None:
    picture = plots.spherical_tensor(np.zeros(4))
    assert not solids(picture.axes[0])[0].get_paths()


def test_plotly_surface_that_turns() -> None:
    pytest.importorskip("plotly")
    signal = torch.tensor([0.0, 0.0, 1.0, 0.0])
    figure = plots.spherical_tensor(signal, engine="plotly", title="y", resolution=31)
    (surface,) = figure.data
    radius = np.sqrt(surface.x**2 + surface.y**2 + surface.z**2)
    np.testing.assert_allclose(radius, np.abs(surface.surfacecolor), atol=1e-14)
    np.testing.assert_allclose(surface.surfacecolor[0], sqrt(3 / (4 * pi)))  # the pole +y
    assert figure.layout.title.text == "y"


def test_plotly_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(InputError, match="pip install plotly"):
        plots.spherical_tensor([1.0], engine="plotly")


def test_every_path_of_a_tensor_product_is_a_row() -> None:
    product = o3.FullyConnectedTensorProduct("8x0e + 8x1o + 4x2e", "0e + 1o + 2e", "8x0e + 8x1o + 4x2e")
    axes = plots.paths(product).axes[0]
    words = texts(axes)
    weights = [int(prod(row.path_shape)) for row in product.instructions]
    assert sum(weights) == product.weight_numel
    assert axes.get_title(loc="left") == f"FullyConnectedTensorProduct: {len(weights)} paths, {sum(weights):,} weights"
    assert sorted(w for w in words if w.endswith("weights")) == sorted(f"{number:,} weights" for number in weights)
    assert sum(w.startswith("uvw") for w in words) == len(weights)
    assert sum("⊗" in w for w in words) == len(weights)
    for name in ["8x0e", "8x1o", "4x2e"]:
        assert words.count(name) == 2  # an input and an output
    curves = [patch for patch in axes.patches if type(patch).__name__ == "PathPatch"]
    assert len(curves) == 2 * len(weights)


def test_curves_join_the_blocks_that_a_path_couples() -> None:
    product = o3.FullTensorProduct("1o", "0e + 1e")
    axes = plots.paths(product, title="full").axes[0]
    assert axes.get_title(loc="left") == "full"
    curves = [patch for patch in axes.patches if type(patch).__name__ == "PathPatch"]
    from_right = {
        round(float(curve.get_path().vertices[0][1]), 6) for curve in curves if curve.get_path().vertices[0][0] > 0
    }
    from_left = {
        round(float(curve.get_path().vertices[0][1]), 6) for curve in curves if curve.get_path().vertices[0][0] < 0
    }
    assert len(from_right) == 2
    assert len(from_left) == 1
    assert all(curve.get_linestyle() != "solid" for curve in curves)  # no weights
    assert {tuple(curve.get_edgecolor()[:3]) for curve in curves} == {to_rgb("#0072B2"), to_rgb("#E69F00")}


def test_no_picture_touches_global_settings(rotation: Tensor) -> None:
    def opened() -> list[int]:
        return sys.modules["matplotlib.pyplot"].get_fignums() if "matplotlib.pyplot" in sys.modules else []

    before, figures = dict(matplotlib.rcParams), opened()
    plots.representation("1o", rotation)
    plots.spherical_harmonics(1, resolution=8)
    plots.paths(o3.FullTensorProduct("1o", "1o"))
    assert dict(matplotlib.rcParams) == before
    assert opened() == figures


def test_pictures_are_saved(tmp_path: Path, rotation: Tensor) -> None:
    assert plots.save(plots.wigner(2, rotation), tmp_path / "d.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.representation("1o"),
        lambda: plots.representation("1o", torch.eye(2)),
        lambda: plots.representation("1o", torch.full((3, 3), torch.nan)),
        lambda: plots.representation(torch.eye(3), torch.eye(3)),
        lambda: plots.representation(torch.ones(3, 4)),
        lambda: plots.representation(torch.eye(3), blocks="2e"),
        lambda: plots.wigner(-1, torch.eye(3)),
        lambda: plots.wigner([], torch.eye(3)),
        lambda: plots.wigner([1, 2], torch.eye(3), axes=plots.figure().add_subplot()),
        lambda: plots.harmonic_surface(1, 2),
        lambda: plots.harmonic_surface(-1, 0),
        lambda: plots.harmonic_surface(1, 0, resolution=2),
        lambda: plots.spherical_harmonics(-1),
        lambda: plots.spherical_tensor(torch.ones(5)),
        lambda: plots.spherical_tensor(torch.ones(2, 4)),
        lambda: plots.spherical_tensor([1.0, float("nan"), 0, 0]),
        lambda: plots.spherical_tensor(torch.ones(4), "0e + 2e"),
        lambda: plots.spherical_tensor(torch.ones(6), "2x1o"),
        lambda: plots.spherical_tensor([1.0], engine="vtk"),
        lambda: plots.spherical_tensor([1.0], engine="plotly", axes=plots.figure().add_subplot()),
        lambda: plots.paths(o3.FullyConnectedTensorProduct("0e", "0e", "1o")),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw: Callable[[], Any]) -> None:
    with pytest.raises(InputError):
        draw()
