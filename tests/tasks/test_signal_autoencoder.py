"""Codes of signals on the sphere: invariance, equivariance, symmetric signals, learning a few, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from intertwine.certify import certify
from intertwine.cli import app
from intertwine.data import open_dataset
from intertwine.data.trials import signals
from intertwine.geometry import Graph, act, collate
from intertwine.groups import Isometry
from intertwine.models import ClebschGordanNet, PaiNN
from intertwine.nn.codes.signals import turned
from intertwine.numerics import DataError, GeometryError, InputError
from intertwine.o3 import Irreps, spherical_harmonics
from intertwine.tasks import TASKS, SignalAutoencoder
from intertwine.tasks.code_probes import between

LMAX = 3
IRREPS = Irreps.spherical_harmonics(LMAX)


def make(dtype: torch.dtype = torch.float64, model: type = ClebschGordanNet, **options: Any) -> SignalAutoencoder:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"width": 4, "layers": 2, "lmax": LMAX, "vectors": 6}
    sizes |= {name: options.pop(name) for name in list(options) if name in (*sizes, "channels", "reflections", "norm")}
    return SignalAutoencoder(model(**sizes), **{"code": 6, "hidden": 32} | options).to(dtype).eval()


def of(values: torch.Tensor) -> Graph:
    pos = torch.zeros(1, 3, dtype=torch.float64)
    return Graph(pos, signal=values.reshape(1, -1), representations={"signal": str(IRREPS)})


def zonal(axis: tuple[float, float, float]) -> Graph:
    """A function of the angle to an axis."""
    degrees = torch.tensor([1.0, -0.7, 0.5, 0.3], dtype=torch.float64)
    values = spherical_harmonics(IRREPS, torch.tensor(axis, dtype=torch.float64), normalize=True)
    return of(values * degrees.repeat_interleave(torch.tensor([2 * l + 1 for l in range(LMAX + 1)])))


def constant() -> Graph:
    return of(torch.nn.functional.one_hot(torch.tensor(0), IRREPS.dim).to(torch.float64))


def cubic() -> Graph:
    """A constant and xyz, which the tetrahedral group leaves alone."""
    values = constant().signal.clone()
    values[0, 10] = 0.8
    return of(values)


SYMMETRIC = {
    "constant": constant(),
    "about y": zonal((0.0, 1.0, 0.0)),
    "zonal": zonal((0.3, -0.5, 0.8)),
    "xyz": cubic(),
}


def rotation(seed: int = 1) -> Isometry:
    return Isometry.random(3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("more", [{}, {"reflections": True, "norm": "layer"}, {"norm": "none", "layers": 1}])
def test_the_code_is_invariant(dtype: torch.dtype, bound: float, more: dict[str, Any]) -> None:
    task = make(dtype, **more)
    for graph in (*signals(IRREPS, 4), *SYMMETRIC.values()):
        still, other = task(graph)["code"], task(act(rotation(), graph))["code"]
        assert float((other - still).abs().max()) <= bound * float(still.square().mean().sqrt())


@pytest.mark.parametrize("more", [{}, {"reflections": True}, {"channels": 2}])
def test_the_rotation_and_the_reconstruction_follow_the_signal(more: dict[str, Any]) -> None:
    task = make(**more)
    batch, g = collate(signals(task.irreps, 3)), rotation()
    still, other = task(batch), task(act(g, batch))
    assert task.undefined(batch) == [""] * 3
    assert still["open"].tolist() == [0.0] * 3
    torch.testing.assert_close(other["rotation"], still["rotation"] @ g.rotation.T, rtol=0, atol=1e-9)
    torch.testing.assert_close(other["canonical"], still["canonical"], rtol=0, atol=1e-9)
    expected = task.irreps.transform(g.rotation, still["reconstruction"])
    torch.testing.assert_close(other["reconstruction"], expected, rtol=0, atol=1e-9)
    frames = still["rotation"].mT
    torch.testing.assert_close(still["reconstruction"], turned(task.irreps, frames, still["canonical"]))
    torch.testing.assert_close(torch.linalg.det(frames), torch.ones(3, dtype=torch.float64))


def test_a_signal_and_its_mirror_image_have_two_codes() -> None:
    task, graph = make(), signals(IRREPS, 1)[0]
    mirror = Isometry(-torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    code, other = task(graph)["code"], task(act(mirror, graph))["code"]
    assert float((other - code).abs().max()) > 1e-3 * float(code.abs().max())


@pytest.mark.parametrize("name", SYMMETRIC)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_symmetric_signals_are_told_open_and_do_no_harm(name: str, dtype: torch.dtype) -> None:
    """Turned anyhow: derivatives stay small too."""
    for seed in range(3):
        task, graph = make(dtype), act(rotation(seed), SYMMETRIC[name])
        assert "symmetric" in task.undefined(graph)[0]
        prediction = task(graph)
        assert prediction["open"].tolist() == [1.0]
        assert all(bool(value.isfinite().all()) for value in prediction.values())
        batch = collate([graph, *signals(IRREPS, 2)])
        assert [bool(reason) for reason in task.undefined(batch)] == [True, False, False]
        losses = task.train().losses(task(batch), batch)
        assert set(losses) == {"reconstruction", "clear"}
        sum(value / count for value, count in losses.values()).backward()  # type: ignore[union-attr]
        norms = torch.stack([p.grad.norm() for p in task.parameters() if p.grad is not None])
        assert bool(norms.isfinite().all())
        assert float(norms.norm()) < 1e3


def test_the_code_has_no_jump_where_the_rotation_opens() -> None:
    """Along a path from a zonal signal to another one, a hundred times as fine a step changes the code by about a
    hundredth."""
    task, zone, other = make(), zonal((0.3, -0.5, 0.8)).signal, signals(IRREPS, 1)[0].signal

    def along(start: float, end: float) -> tuple[torch.Tensor, torch.Tensor]:
        path = torch.linspace(start, end, 101, dtype=torch.float64)
        made = task(collate([of(zone + t * other) for t in path]))
        k = int(made["open"].sum())
        assert 0 < k < len(path)  # it closes on the way
        return path[k - 1 : k + 1], made["code"].diff(dim=0).norm(dim=1)

    ends, coarse = along(0.0, 0.1)
    _, fine = along(*ends.tolist())
    assert float(fine.max()) < 0.1 * float(coarse.max())


def test_the_loss_is_that_of_the_equation() -> None:
    task, graphs = make(clear_weight=0.0), signals(IRREPS, 3)
    task.gather(graphs)
    batch = collate(graphs)
    assert float(task.spread) == pytest.approx(float(batch.signal.square().mean().sqrt()), rel=1e-12)
    total, count = task.losses(task(batch), batch)["reconstruction"]
    apart = (task(batch)["reconstruction"] - batch.signal).square().sum() / task.spread**2
    assert float(total) == pytest.approx(float(apart), rel=1e-9)
    assert count == batch.signal.numel()
    zero = task.baseline_predictions(batch, task(batch))["reconstruction"]
    assert torch.equal(zero, torch.zeros_like(batch.signal))
    assert task.baselines["reconstruction"].name == "zero"


def test_the_size_of_the_signals_does_not_matter() -> None:
    graphs = signals(IRREPS, 3)
    small = [graph.replaced(signal=1e-4 * graph.signal) for graph in graphs]
    one, other = make(), make()
    one.gather(graphs)
    other.gather(small)
    a, b = one(collate(graphs)), other(collate(small))
    torch.testing.assert_close(b["code"], a["code"], rtol=0, atol=1e-9)
    torch.testing.assert_close(1e4 * b["reconstruction"], a["reconstruction"], rtol=0, atol=1e-9)


def test_a_few_signals_are_learned_however_they_lie() -> None:
    graphs = signals(IRREPS, 4)
    task = make(torch.float32, hidden=64, code=16)
    task.gather(graphs)
    batch, optimizer = collate(graphs), torch.optim.Adam(task.parameters(), 3e-3)
    task.train()
    for _ in range(120):
        losses = task.losses(task(batch), batch)
        loss = sum(task.weights[name] * value / count for name, (value, count) in losses.items())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
    task.eval()
    for each in (batch, act(rotation(7), batch)):
        found = task.residuals(task(each), each)["reconstruction"]
        assert float(found.square().mean().sqrt()) < 0.1 * float(task.spread)
    halfway = between(task, graphs[0], graphs[1], 3)
    torch.testing.assert_close(halfway[0], task(graphs[0])["canonical"][0], rtol=0, atol=1e-4)


def test_the_task_is_certified() -> None:
    task = make(torch.float32)
    certificate = certify(task, signals(IRREPS, 2), symmetry=task.symmetry, quick=True)
    assert not [line for line in certificate.lines if line.verdict == "failed"], certificate.summary()
    tried = {line.output for line in certificate.lines if line.verdict == "passed" and line.symmetry == "rotation"}
    assert tried >= {"code", "canonical", "rotation", "open", "reconstruction"}


class Liar(ClebschGordanNet):
    """Adds a component to the invariants."""

    def features(self, graph: Graph) -> torch.Tensor:
        made = super().features(graph)
        return torch.cat([made[:, :1] + graph.signal[:, 1:2], made[:, 1:]], dim=1)


def test_what_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"Liar is not equivariant to SO\(3\): a rotation changes the code"):
        make(model=Liar).gather(signals(IRREPS, 2))
    with pytest.raises(InputError, match="PaiNN is no network of signals"):
        SignalAutoencoder(PaiNN(width=8, layers=1, species=[1]))
    for vectors in (0, 1):
        with pytest.raises(InputError, match=f"with {vectors} vectors"):
            make(vectors=vectors)
    with pytest.raises(InputError, match="loss 'l1'"):
        make(loss="l1")
    with pytest.raises(DataError, match="training set is empty"):
        make().fit([])
    with pytest.raises(DataError, match="all signals of the training set vanish"):
        make().fit([of(torch.zeros(IRREPS.dim, dtype=torch.float64))])
    two = Graph(torch.zeros(2, 3), signal=torch.ones(2, IRREPS.dim), representations={"signal": str(IRREPS)})
    with pytest.raises(GeometryError, match="2 nodes in 1 graph"):
        make()(two)
    with pytest.raises(GeometryError, match="signal"):
        make()(signals("0e+1o", 1)[0])
    with pytest.raises(InputError, match="no signals on the sphere"):
        SignalAutoencoder.suggest(open_dataset("digits", progress=False), None, ClebschGordanNet, {})


def test_what_the_data_suggest() -> None:
    data = open_dataset("spherical_digits", progress=False)
    wishes = TASKS["signal_autoencoder"].suggest(data, None, ClebschGordanNet, {})
    assert wishes["model"]["lmax"] == 8
    assert wishes["model"]["channels"] == 1
    assert wishes["model"]["vectors"] >= 2
    assert TASKS["signal_autoencoder"].default_model(data, None) == "clebsch_gordan_net"


def test_signals_are_trained_certified_and_encoded(tmp_path: Path) -> None:
    run, model = tmp_path / "run", ["model.width=2", "model.layers=1", "model.vectors=4"]
    words = [
        "train",
        "spherical_digits",
        "--task",
        "signal_autoencoder",
        "--train",
        60,
        "--epochs",
        1,
        "--run",
        run,
        "--no-certify",
    ]
    words += [part for option in (*model, "task.code=5", "task.hidden=16") for part in ("--set", option)]
    assert call(words).exit_code == 0
    for name in ("reconstructions.png", "codes.png"):
        assert (run / name).is_file()
    result = call(["certify", run])
    assert result.exit_code == 0
    assert "failed" not in result.stdout
    assert call(["encode", run, "spherical_digits", "--limit", 7, "-o", tmp_path / "codes.npz"]).exit_code == 0
    arrays = np.load(tmp_path / "codes.npz")
    assert set(arrays) == {"code", "frame", "open", "label"}
    assert arrays["code"].shape == (7, 5)
    refused = CliRunner().invoke(app, ["align", str(run), "spherical_digits", "spherical_digits"])
    assert refused.exit_code == 2
    assert "signal_autoencoder lays no signals on each other" in refused.stderr


def call(words: list[Any]) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result
