"""The moving average, against a loop over numbers."""

from __future__ import annotations

import pytest
import torch

from intertwine.training.averaging import Average, averaged


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


def test_statistics_of_batches_are_averaged_with_the_weights() -> None:
    """Averaged weights are evaluated with averaged statistics, not with those of the last weights: a layer before whose
    output is scaled has its outputs normalised all the same.
    """
    module = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.BatchNorm1d(1, momentum=1.0, affine=False))
    module.double()
    x = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    with torch.no_grad():
        module[0].weight.fill_(1.0)
    module(x)
    average = Average(module, 0.5)
    assert list(averaged(module)) == ["0.weight", "1.running_mean", "1.running_var"]
    with torch.no_grad():
        module[0].weight.fill_(3.0)
    module(x)
    average.update()
    module.eval()
    last = module(x)
    with average.applied():
        weight, variance = average.live[0].item(), average.live[2].item()
        assert weight == pytest.approx(3.0 - 2.0 * 2 / 11)
        assert variance == pytest.approx(18.0 - 16.0 * 2 / 11)
        assert module(x).abs().max() < 1
    assert torch.equal(module(x), last)
