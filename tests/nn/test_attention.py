"""Attention over edges: against loops, smooth where an edge fades, safe for any logits, differentiable twice."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from intertwine.nn import PolynomialCutoff
from intertwine.nn.attention import attend, edge_mean, edge_softmax
from intertwine.nn.edge_mlp import EdgeLinear, EdgeMLP

INDEX, NODES = torch.tensor([2, 0, 2, 2, 4, 0]), 5  # unsorted, nodes 1 and 3 without edges
CUTOFF = 3.0


def inputs(generator: torch.Generator, *heads: int) -> tuple[Tensor, Tensor]:
    logits = 3 * torch.randn(6, *heads, generator=generator, dtype=torch.float64)
    envelope = torch.rand(6, generator=generator, dtype=torch.float64)
    envelope[2] = 0
    return logits, envelope


def loop(logits: Tensor, envelope: Tensor) -> Tensor:
    """The formula, edge by edge."""
    p = torch.stack([c * a.exp() for c, a in zip(envelope, logits, strict=True)])
    return torch.stack([p[k] / (1 + sum(p[l] for l in range(6) if INDEX[l] == INDEX[k])) for k in range(6)])


@pytest.mark.parametrize("heads", [(), (1,), (4,), (2, 3)])
def test_weights_against_a_loop(heads: tuple[int, ...], generator: torch.Generator) -> None:
    logits, envelope = inputs(generator, *heads)
    weights = edge_softmax(logits, envelope, INDEX, NODES)
    torch.testing.assert_close(weights, loop(logits, envelope), rtol=1e-14, atol=0)
    assert not weights[2].any()


@pytest.mark.parametrize("columns", [1, 4])
@pytest.mark.parametrize("fades", [True, False])
def test_attend_is_the_weighted_sum(columns: int, fades: bool, generator: torch.Generator) -> None:
    logits, envelope = inputs(generator, columns)
    values = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    given = envelope if fades else None
    expected = torch.zeros(NODES, 4, dtype=torch.float64).index_add(
        0, INDEX, edge_softmax(logits, given, INDEX, NODES) * values
    )
    torch.testing.assert_close(attend(logits, given, values, INDEX, NODES), expected, rtol=1e-14, atol=1e-15)


def test_without_an_envelope_the_ordinary_softmax(generator: torch.Generator) -> None:
    logits, _ = inputs(generator, 2)
    weights = edge_softmax(logits, None, INDEX, NODES)
    for node in (0, 2, 4):
        torch.testing.assert_close(weights[node == INDEX], logits[node == INDEX].softmax(0), rtol=1e-14, atol=0)


def test_mean_is_attention_without_logits(generator: torch.Generator) -> None:
    _, envelope = inputs(generator)
    values = torch.randn(6, 3, 2, generator=generator, dtype=torch.float64)
    expected = attend(torch.zeros(6, 1, 1, dtype=torch.float64), envelope, values, INDEX, NODES)
    torch.testing.assert_close(edge_mean(values, envelope, INDEX, NODES), expected, rtol=1e-14, atol=1e-15)
    plain = edge_mean(values, None, INDEX, NODES)
    torch.testing.assert_close(plain[2], values[INDEX == 2].mean(0), rtol=1e-14, atol=0)
    assert not plain[1].any()


@pytest.mark.parametrize("neighbours", [1, 2])
def test_smooth_where_the_last_neighbour_leaves(neighbours: int) -> None:
    """Value, first and second derivative go to zero with the envelope; with a plain softmax the value would be one up
    to the cutoff.
    """
    index = torch.zeros(neighbours, dtype=torch.int64)
    logits = torch.full((neighbours,), 1.3, dtype=torch.float64)
    found = []
    for step in (-1e-6, 0.0, 1e-6):
        d = torch.full((), CUTOFF + step, dtype=torch.float64, requires_grad=True)
        value = edge_softmax(logits, PolynomialCutoff(CUTOFF)(d.expand(neighbours)), index, 1).sum()
        (first,) = torch.autograd.grad(value, d, create_graph=True)
        (second,) = torch.autograd.grad(first, d)
        found.append(torch.stack([value, first, second]).detach())
    assert max(x.abs()[:2].max() for x in found) < 1e-10
    assert max(x.abs()[2] for x in found) < 1e-3  # in proportion to the step
    assert not found[2].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("size", [0.0, 100.0, -100.0, 1e4, -1e4])
@pytest.mark.parametrize("thin", [1e-8, 1e-15, 1e-30])
def test_any_logits_and_envelopes_are_safe(dtype: torch.dtype, size: float, thin: float) -> None:
    """Weights in [0, 1], with finite derivatives to second order, however large the logits and however thin the
    envelope.
    """
    tiny = torch.finfo(dtype).tiny
    logits = (size * torch.tensor([1.0, -1.0, 1.0, 0.5, 1.0, 1.0], dtype=dtype)).requires_grad_()
    envelope = torch.tensor([1.0, 0.3, 0.0, tiny, thin, 0.0], dtype=dtype).requires_grad_()
    weights = edge_softmax(logits, envelope, INDEX, NODES)
    assert ((weights >= 0) & (weights <= 1)).all()
    first = torch.autograd.grad(
        (weights * torch.arange(1.0, 7, dtype=dtype)).sum(), [logits, envelope], create_graph=True
    )
    second = torch.autograd.grad(first[0].square().sum(), [logits, envelope])
    assert all(x.isfinite().all() for x in (*first, *second))


def test_large_logits_are_exact() -> None:
    """A common shift of logits by 1e3 makes the edge to nowhere vanish, and leaves the ordinary softmax of logits + ln
    c.
    """
    logits, envelope = torch.tensor([1e3, 1e3 + 1], dtype=torch.float64), torch.tensor([1.0, 0.5], dtype=torch.float64)
    weights = edge_softmax(logits, envelope, torch.tensor([0, 0]), 1)
    torch.testing.assert_close(weights, (logits + envelope.log()).softmax(0), rtol=1e-12, atol=0)


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize("name", ["softmax", "attend", "mean"])
def test_derivatives(name: str, check, generator: torch.Generator) -> None:
    logits, _ = inputs(generator, 2)
    d = (0.5 + 2 * torch.rand(6, generator=generator, dtype=torch.float64)).requires_grad_()
    values = torch.randn(6, 3, 2, generator=generator, dtype=torch.float64).requires_grad_()
    cutoff = PolynomialCutoff(CUTOFF)
    functions = {
        "softmax": lambda a, r, x: edge_softmax(a, cutoff(r), INDEX, NODES),
        "attend": lambda a, r, x: attend(a.unsqueeze(1), cutoff(r), x, INDEX, NODES),
        "mean": lambda a, r, x: edge_mean(x * a.unsqueeze(1), cutoff(r), INDEX, NODES),
    }
    assert check(functions[name], (logits.requires_grad_(), d, values))


def test_empty() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert edge_softmax(torch.zeros(0, 3), torch.zeros(0), none, 2).shape == (0, 3)
    assert torch.equal(attend(torch.zeros(0, 1), torch.zeros(0), torch.zeros(0, 3), none, 2), torch.zeros(2, 3))
    assert edge_mean(torch.zeros(0, 3), torch.zeros(0), none, 0).shape == (0, 3)


@pytest.mark.parametrize(("received", "sent"), [(3, 2), (0, 2), (3, 0), (0, 0)])
def test_edge_layers_are_those_of_the_concatenation(received: int, sent: int, generator: torch.Generator) -> None:
    f = torch.randn(4, 6, 5, generator=generator, dtype=torch.float64)  # any axes between the row and the channels
    f_i = f[..., :received]
    f_j = f[..., received : received + sent]
    a_ij = torch.randn(7, 6, 2, generator=generator, dtype=torch.float64)
    i, j = torch.randint(4, (2, 7), generator=generator)
    layer = EdgeLinear(received, sent, 2, 4).double()
    torch.nn.init.normal_(layer.attributes.bias)
    r, s = layer.nodes(f_i, f_j)
    found = layer(None if r is None else r[i], None if s is None else s[j], a_ij)
    parts = [part.weight for part in (layer.received, layer.sent, layer.attributes) if part is not None]
    expected = torch.cat([f_i[i], f_j[j], a_ij], dim=-1) @ torch.cat(parts, dim=1).T + layer.attributes.bias
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_edge_mlp(generator: torch.Generator) -> None:
    f = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    a_ij, mlp = torch.randn(2, 2, generator=generator, dtype=torch.float64), EdgeMLP(3, 3, 2, 5, 4).double()
    i, j = torch.tensor([0, 3]), torch.tensor([1, 1])
    r, s = mlp.nodes(f, f)
    first, second = mlp.first, mlp.second.layers[0]
    hidden = (
        f[i] @ first.received.weight.T
        + f[j] @ first.sent.weight.T
        + a_ij @ first.attributes.weight.T
        + first.attributes.bias
    )
    expected = torch.nn.functional.silu(hidden) @ second.weight.T + second.bias
    torch.testing.assert_close(mlp(r[i], s[j], a_ij), expected, rtol=0, atol=1e-14)
