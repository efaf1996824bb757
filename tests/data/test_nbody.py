"""The charged N-body generator: its integrator, its stream, its conservation laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from intertwine.data import integrator, nbody
from intertwine.data.integrator import integrate
from intertwine.data.nbody import HALF_BOX_EDGE, INITIAL_SPEED, NOISE_NUMBERS_PER_PARTICLE, generate, initial_state
from intertwine.numerics import InputError


def plain(
    pos: np.ndarray, vel: np.ndarray, charge: np.ndarray, steps: int, dt: float, largest: float
) -> tuple[np.ndarray, np.ndarray]:
    """One system in plain numpy: kick, then drift."""
    pos, vel = pos.copy(), vel.copy()
    n = len(pos)
    for _ in range(steps):
        force = np.zeros_like(pos)
        for i in range(n):
            for j in range(n):
                if i != j:
                    d = pos[i] - pos[j]
                    r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
                    force[i] += charge[i] * charge[j] / (r2 * np.sqrt(r2)) * d
        vel += dt * np.clip(force, -largest, largest)
        pos += dt * vel
    return pos, vel


@pytest.fixture
def systems() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    stream = np.random.RandomState(1)
    states = [initial_state(stream, 5) for _ in range(6)]
    return tuple(np.stack(part) for part in zip(*states, strict=True))


@pytest.mark.parametrize("largest", [100.0, 0.3])
def test_bit_for_bit_as_plain_numpy(systems, largest: float) -> None:
    pos, vel, charge = systems
    x, v = integrate(pos, vel, charge, np.array([100, 250]), 0.001, largest)
    for s in range(len(pos)):
        for k, steps in enumerate((100, 250)):
            expected = plain(pos[s], vel[s], charge[s], steps, 0.001, largest)
            assert np.array_equal(x[s, k], expected[0])
            assert np.array_equal(v[s, k], expected[1])


def test_blocks_and_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = np.random.RandomState(2)
    pos, vel, charge = (np.stack(part) for part in zip(*[initial_state(stream, 3) for _ in range(53)], strict=True))
    whole = integrate(pos, vel, charge, np.array([20, 50]), 0.001, 100.0)
    monkeypatch.setattr(integrator, "PARTICLES_AT_ONCE", 27)
    monkeypatch.setattr(integrator, "LEAST_SYSTEMS_AT_ONCE", 8)
    threads, counts = torch.get_num_threads(), []
    try:
        torch.set_num_threads(3)
        parts = integrate(pos, vel, charge, np.array([20, 50]), 0.001, 100.0, counts.append)
    finally:
        torch.set_num_threads(threads)
    assert counts == [8] * 6 + [5]
    assert np.array_equal(parts, whole)


def test_two_particles_at_one_place_are_an_error(systems) -> None:
    pos, vel, charge = systems
    pos[2, 1] = pos[2, 4]
    with pytest.raises(FloatingPointError):
        integrate(pos, vel, charge, np.array([10]), 0.001, 100.0)


def test_momentum_is_conserved_without_the_clamp(systems) -> None:
    pos, vel, charge = systems
    x, v = integrate(pos, vel, charge, np.array([1000]), 0.001, np.inf)
    assert np.abs(v[:, 0].sum(1) - vel.sum(1)).max() < 1e-10 * np.abs(v).max()
    drift = x[:, 0].mean(1) - pos.mean(1) - vel.mean(1)  # one unit of time at the mean velocity
    assert np.abs(drift).max() < 1e-10 * np.abs(v).max()


def test_rotated_start_gives_rotated_trajectory_without_the_clamp(systems) -> None:
    pos, vel, charge = systems
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # exact in floating point
    x, _ = integrate(pos, vel, charge, np.array([500]), 0.001, np.inf)
    y, _ = integrate(pos @ turn.T, vel @ turn.T, charge, np.array([500]), 0.001, np.inf)
    assert np.abs(y - x @ turn.T).max() < 1e-9


def test_initial_states() -> None:
    stream, twin = np.random.RandomState(43), np.random.RandomState(43)
    pos, vel, charge = initial_state(stream, 5)
    assert np.allclose(np.linalg.norm(vel, axis=1), INITIAL_SPEED, rtol=1e-14, atol=0)
    assert set(charge) <= {-1.0, 1.0}
    twin.choice([-1.0, 0.0, 1.0], size=(5, 1), p=[0.5, 0.0, 0.5])
    assert np.array_equal(pos, twin.randn(3, 5).T)
    twin.randn(3, 5)
    twin.randn(49, 3, 5)  # the noise, of zero variance, that the authors' generator draws
    twin.randn(49, 3, 5)
    assert NOISE_NUMBERS_PER_PARTICLE * 5 == 2 * 49 * 3 * 5
    assert stream.randn() == twin.randn()


def test_reflection_at_the_box() -> None:
    class Far(np.random.RandomState):
        def randn(self, *shape):
            return np.full(shape, 6.0)

    pos, vel, _ = initial_state(Far(0), 5)
    assert np.array_equal(pos, np.full((5, 3), 2 * HALF_BOX_EDGE - 6.0))
    assert (vel < 0).all()


def test_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERTWINE_CACHE", str(tmp_path))
    store = nbody(train=20, validation=5, test=7, progress=False)
    assert len(store) == 32
    assert [len(part) for part in (store.splits.train, store.splits.validation, store.splits.test)] == [20, 5, 7]
    graph = store[0]
    assert graph.get("z") is None
    assert {name: tuple(graph[name].shape) for name in ("pos", "vel", "charge", "target_pos")} == {
        "pos": (5, 3), "vel": (5, 3), "charge": (5,), "target_pos": (5, 3),
    }  # fmt: skip
    again = generate(5, 43, 30, 5, 7)
    assert torch.equal(again[0].target_pos, graph.target_pos)
    for part in ("validation", "test"):  # validation and test don't depend on how many training trajectories are used
        assert torch.equal(
            again.subset(getattr(again.splits, part)).field("pos"),
            store.subset(getattr(store.splits, part)).field("pos"),
        )
    cached = nbody(train=20, validation=5, test=7, progress=False)
    assert torch.equal(cached.field("target_pos"), store.field("target_pos"))


@pytest.mark.parametrize(
    "wrong", [{"train": 10_001}, {"particles": 1}, {"test": -1}, {"seed": -1}, {"train": 0, "validation": 0, "test": 0}]
)
def test_wrong_arguments(wrong: dict) -> None:
    with pytest.raises(InputError):
        nbody(**wrong)
