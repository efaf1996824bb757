"""The clock takes turns and the count of memory is exact. No time is judged here."""

from __future__ import annotations

import pytest
import torch

from intertwine.bench import clock


def test_contestants_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "SHORTEST_SAMPLE_S", 0.0)  # one call a sample
    calls: list[str] = []
    rounds: list[int] = []
    functions = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    times = clock.interleaved(functions, repeats=3, warmup=2, progress=lambda: rounds.append(len(calls)))
    assert "".join(calls) == "aabb" + "bbaa" + "aabb" + "bbaa"  # the cold call and the one that follows
    assert rounds == [8, 12, 16]
    assert set(times.steady) == set(times.cold) == {"a", "b"}
    assert min(*times.steady.values(), *times.cold.values()) > 0


def test_peak_memory_sees_what_an_operation_drops(capfd: pytest.CaptureFixture[str]) -> None:
    x = torch.ones(64, 1000)  # 256,000 bytes, there before

    def call() -> torch.Tensor:
        y = x + 1
        return (y * 2).sum(0)

    assert 2 * x.nbytes + 4000 <= clock.peak_memory(call) <= 2 * x.nbytes + 4000 + 1000
    assert clock.peak_memory(lambda: x.add_(1)) < 1000
    assert capfd.readouterr().err == ""  # the profiler has nothing to say


def test_peak_memory_passes_errors_on(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        clock.peak_memory(lambda: 1 // 0)
    torch._C._log_api_usage_once("bench")  # the standard error is back
    assert clock.peak_memory(lambda: torch.ones(1000)) >= 4000


def test_the_machine_has_a_name() -> None:
    on = clock.machine()
    assert on["versions"]["torch"] == clock.installed("torch")
    assert on["threads"] >= 1
    assert on["processor"]
