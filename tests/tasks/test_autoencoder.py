"""Codes of images: invariance and equivariance by a certificate, what a turn costs, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from intertwine.certify import certify
from intertwine.data import GraphStore, open_dataset
from intertwine.geometry import Graph, collate, raster, rasters, turned
from intertwine.models import CNN, EGNN, P4CNN, SE2CNN, SteerableCNN
from intertwine.nn.codes.images import ImageDecoder
from intertwine.numerics import DataError, GeometryError, InputError
from intertwine.tasks import TASKS, Autoencoder
from intertwine.tasks.code_scores import folds_of, nearest_neighbours, rotation_of, turned_scores
from intertwine.training.scoring import score

SMALL: dict[str, Any] = {"width": 4, "layers": 2, "kernel": 3, "strides": (), "level": "node"}
KINDS = {"SO(2)": SteerableCNN, "C_4": P4CNN, "none": CNN, "SE(2)": SE2CNN}


def images(count: int = 4, size: int = 8, seed: int = 0) -> list[Graph]:
    """Random images without a symmetry."""
    draws = torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return [raster(draw) for draw in draws]


def make(kind: str, **options: Any) -> Autoencoder:
    torch.manual_seed(0)
    sizes = {"code": 6, "moments": 6, "hidden": 16}
    return Autoencoder(KINDS[kind](**SMALL), **sizes | options).double()


@pytest.mark.parametrize("kind", ["SO(2)", "C_4", "SE(2)"])
def test_right_angles_leave_the_code_and_turn_the_reconstruction(kind: str) -> None:
    task, graphs = make(kind).eval(), images()
    still = task(collate(graphs))
    for angle in (90, 180, 270):
        g = rotation_of(angle)
        moved = task(collate([turned(graph, g) for graph in graphs]))
        for name in ("code", "canonical"):
            torch.testing.assert_close(moved[name], still[name], rtol=0, atol=1e-12)
        torch.testing.assert_close(moved["direction"], still["direction"] @ g.T, rtol=0, atol=1e-12)
        # the nodes have moved with their values
        torch.testing.assert_close(moved["reconstruction"], still["reconstruction"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["SO(2)", "C_4"])
def test_the_task_is_certified_for_its_group(kind: str) -> None:
    task = make(kind).float()
    assert task.symmetry == {"SO(2)": "T(2) x SO(2)", "C_4": "T(2) x C_4"}[kind]
    certificate = certify(task, images(2), symmetry=task.symmetry, quick=True)
    broken = {line.output for line in certificate.lines if line.verdict == "failed"}
    # random weights make noise of the canonical image, which multiplies the rounding of an angle between the pixels
    assert broken <= ({"reconstruction"} if kind == "SO(2)" else set()), certificate.summary()
    tried = {line.output for line in certificate.lines if line.verdict == "passed" and line.symmetry}
    assert tried >= {"code", "canonical", "direction", "reconstruction"}


def test_a_plain_code_turns_with_the_image_and_claims_translations_alone() -> None:
    task, graphs = make("none").eval(), images()
    assert task.symmetry == "T(2)"
    assert set(task(graphs[0])) == {"code", "canonical", "reconstruction"}
    moved = task(turned(graphs[0], rotation_of(90)))["code"]
    assert float((moved - task(graphs[0])["code"]).abs().max()) > 1e-3
    assert task.undefined(collate(graphs)) == [""] * 4


def test_the_canonical_image_is_turned_and_cut() -> None:
    decoder = ImageDecoder(4, 1, 8).double()
    assert (decoder.edge, decoder.size) == (12, 8)
    coefficients = torch.rand(2, 1, 12, 12, dtype=torch.float64)
    canonical = decoder.canonical(coefficients)
    for quarter in range(4):
        shown = decoder.turned(coefficients, rotation_of(90 * quarter).expand(2, 2, 2))
        expected = torch.rot90(canonical, quarter, (2, 3))[:, :, 2:10, 2:10]  # counterclockwise on the screen
        torch.testing.assert_close(shown, expected, rtol=0, atol=1e-12)
    from intertwine.geometry import turned_images

    g = rotation_of(37.0).expand(2, 2, 2)
    expected = turned_images(canonical, g, order=3)[:, :, 2:10, 2:10]
    torch.testing.assert_close(decoder.turned(coefficients, g), expected, rtol=0, atol=1e-12)
    angle = torch.tensor([0.3, 1.0], dtype=torch.float64, requires_grad=True)

    def by_angle(t: torch.Tensor) -> torch.Tensor:
        return decoder.turned(coefficients, torch.stack([t.cos(), -t.sin(), t.sin(), t.cos()], 1).reshape(-1, 2, 2))

    assert torch.autograd.gradcheck(by_angle, (angle,))


def test_the_loss_is_that_of_the_pixels_over_their_variance() -> None:
    task, graphs = make("SO(2)", turning=False), images()
    task.gather(graphs)
    x = torch.cat([graph.x for graph in graphs])
    assert float(task.spread) == pytest.approx(float(x.std(unbiased=False)))
    batch = collate(graphs)
    prediction = task.eval()(batch)
    loss, count = task.losses(prediction, batch)["reconstruction"]
    wanted = (prediction["reconstruction"] - x).square().sum() / x.var(unbiased=False)
    assert (float(loss), count) == (pytest.approx(float(wanted)), x.numel())
    scores = score(task, [batch], baselines=True)
    mean = torch.stack([graph.x for graph in graphs]).mean(0)
    blind = torch.cat([mean - graph.x for graph in graphs]).square().mean().sqrt()
    assert scores["reconstruction_baseline_rmse"] == pytest.approx(float(blind))


def test_the_loss_of_a_finite_group_is_its_mean_over_the_elements() -> None:
    task, graphs = make("C_4"), images(3)
    task.gather(graphs)
    batch = collate(graphs)
    prediction = task.train()(batch)
    loss, _ = task.losses(prediction, batch)["reconstruction"]
    canonical, total = prediction["canonical"], 0.0
    for k in range(4):
        shown = torch.rot90(canonical, k, (2, 3))[:, :, 2:10, 2:10]
        apart = (shown - rasters(batch, batch.x).values).square().sum((1, 2, 3)) / task.spread**2
        total = total + (prediction["probability"][:, k] * apart).sum()
    torch.testing.assert_close(loss, total)
    loss.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in task.encoder.parameters())


def test_in_training_images_are_turned_and_compared_as_they_were_seen() -> None:
    task, batch = make("SO(2)").train(), collate(images())
    first, second = task(batch), task(batch)
    assert float((first["seen"] - second["seen"]).abs().max()) > 0.1
    torch.testing.assert_close(task.residuals(first, batch)["reconstruction"], first["reconstruction"] - first["seen"])
    assert "seen" not in task.eval()(batch)
    assert "seen" not in make("SO(2)", turning=False).train()(batch)


@pytest.mark.parametrize("kind", ["SO(2)", "C_4"])
def test_symmetric_images_are_named_and_do_no_harm(kind: str) -> None:
    task, plain = make(kind), images(1)[0]
    constant, empty = plain.replaced(x=torch.ones_like(plain.x)), plain.replaced(x=torch.zeros_like(plain.x))
    image = rasters(plain, plain.x).values
    twofold = raster((image + torch.rot90(image, 2, (2, 3)))[0])
    graphs = [plain, constant, empty, twofold]
    reasons = task.eval().undefined(collate(graphs))
    assert [bool(reason) for reason in reasons] == [False, True, True, True]
    assert all("symmetric" in reason for reason in reasons[1:])
    task.train()
    prediction = task(collate(graphs))
    loss, _ = task.losses(prediction, collate(graphs))["reconstruction"]
    loss.backward()
    assert all(bool(value.isfinite().all()) for value in prediction.values())
    assert all(bool(p.grad.isfinite().all()) for p in task.parameters() if p.grad is not None)


def test_what_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"CNN is equivariant to T\(2\), and not to SO\(2\)"):
        make("none", group="SO(2)")
    with pytest.raises(InputError, match=r"P4CNN is equivariant to T\(2\) x C_4, and not to SO\(2\)"):
        make("C_4", group="SO(2)")
    with pytest.raises(InputError, match="group 'O3'"):
        make("C_4", group="O3")
    with pytest.raises(InputError, match="pools over the pixels"):
        Autoencoder(SteerableCNN(**SMALL | {"level": "graph"}))
    with pytest.raises(InputError, match="EGNN is no network of images"):
        Autoencoder(EGNN(width=4, layers=1))
    with pytest.raises(GeometryError, match="9 x 9 pixels, and the code is of 8 x 8"):
        make("SO(2)")(images(1, 9)[0])
    with pytest.raises(DataError, match="all pixels of the training set are equal"):
        make("SO(2)").fit([graph.replaced(x=torch.ones_like(graph.x)) for graph in images()])
    assert "equivariant to T(2) x C_8" in make("SE(2)").cautions()[0]


def test_a_model_that_claims_too_much_is_refused_before_training() -> None:
    class Liar(CNN):
        CARD = SteerableCNN.CARD

    torch.manual_seed(0)
    task = Autoencoder(Liar(**SMALL), code=6, moments=6, hidden=16)
    with pytest.raises(InputError, match=r"Liar is not equivariant to SO\(2\): a turn changes the code"):
        task.gather(images())
    assert task.training  # as before


def test_scores_of_turned_images() -> None:
    task, graphs = make("SO(2)").eval(), images(3)
    scores = turned_scores(task, graphs, [0.0, 90.0, 40.0])
    assert scores.rmse[0] == pytest.approx(float(scores.rmse[1]), abs=1e-12)
    assert float(scores.largest[:2].max()) < 1e-12
    assert float(scores.apart[:2].abs().max()) < 1e-9
    assert scores.folds.tolist() == [1, 1, 1]
    bar = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    bar[:, :, 4, 1:8] = 1.0
    cross = torch.maximum(bar, bar.mT)
    assert folds_of(torch.cat([bar, cross])).tolist() == [2, 4]
    twofold = scores._replace(apart=torch.tensor([[170.0, 100.0, 1.0]]), folds=torch.tensor([2, 4, 1]))
    torch.testing.assert_close(twofold.errors(), torch.tensor([[10.0, 10.0, 1.0]]))


def test_nearest_neighbours_vote() -> None:
    codes, labels = torch.tensor([[0.0], [0.1], [1.0], [1.1], [1.2]]), torch.tensor([2, 2, 0, 0, 1])
    assert nearest_neighbours(codes, labels, torch.tensor([[0.05], [1.05]]), 3).tolist() == [2, 0]


def test_the_task_takes_its_form_from_the_data() -> None:
    store = open_dataset("digits", progress=False)
    wishes = TASKS["autoencoder"].suggest(store, "label", SteerableCNN, {})
    assert wishes["task"] == {"size": 8, "channels": 1}
    assert wishes["model"]["level"] == "node"
    with pytest.raises(InputError, match="no images"):
        Autoencoder.suggest(GraphStore.from_graphs([Graph(torch.eye(3), z=[6, 1, 1])]), None, SteerableCNN, {})
