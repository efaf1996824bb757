"""The moving average, against a loop over numbers."""

from __future__ import annotations

import pytest
import torch

from intertwine.training.averaging import Average


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_against_plain_arithmetic(decay: float) -> None:
    module = torch.nn.Linear(3, 2).double()
    average = Average(module, decay)
    mean = [p.detach().clone() for p in module.parameters()]
    for step in range(1, 30):
        with torch.no_grad():
            for p in module.parameters():
                p += torch.randn_like(p)
        average.update()
        d = min(decay, (1 + step) / (10 + step))
        mean = [d * m + (1 - d) * p.detach() for m, p in zip(mean, module.parameters(), strict=True)]
    for value, expected in zip(average.mean, mean, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-13, atol=1e-13)


def test_applied_and_taken_back_even_after_an_error() -> None:
    module = torch.nn.Linear(3, 2)
    average = Average(module, 0.9)
    start = [p.detach().clone() for p in module.parameters()]
    with torch.no_grad():
        for p in module.parameters():
            p += 1
    with average.applied():
        for p, value in zip(module.parameters(), start, strict=True):
            assert torch.equal(p, value)
    with pytest.raises(ZeroDivisionError), average.applied():
        _ = 1 / 0
    for p, value, mean in zip(module.parameters(), start, average.mean, strict=True):
        assert torch.equal(p, value + 1)
        assert torch.equal(mean, value)


def test_no_decay_is_the_weights_themselves() -> None:
    module = torch.nn.Linear(3, 2)
    average = Average(module, 0.0)
    average.update()
    before = module.weight.detach().clone()
    with average.applied():
        assert torch.equal(module.weight, before)


def test_frozen_parameters_are_left_out_and_state_comes_back() -> None:
    module = torch.nn.Linear(3, 2)
    module.bias.requires_grad_(False)
    average, other = Average(module, 0.9), Average(module, 0.9)
    with torch.no_grad():
        module.weight += 1
    average.update()
    other.restore(average.state())
    assert other.steps == 1
    assert len(other.mean) == 1
    assert torch.equal(other.mean[0], average.mean[0])
