"""``torch.compile`` takes the models whose own tests do not say so, and gives the same values and slopes."""

from __future__ import annotations

import pytest
import torch
from molecular import MODELS, within
from switches import as_users_run_it

from intertwine.geometry import Graph, connect

# in tests of their own, as one graph
OWN = {"nequip", "mace", "tensor_field", "se3_transformer", "segnn", "cormorant", "esen"}


@pytest.mark.parametrize("name", sorted(set(MODELS) - OWN))
def test_compiled(name: str, generator: torch.Generator) -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()
    options = {"layers": 1, "species": (1, 6, 8)} | within(name, 4.0)
    model = MODELS[name](**MODELS[name].PRESETS["small"] | options).double().eval()
    pos = 1.5 * torch.randn(6, 3, generator=generator, dtype=torch.float64)
    graph = connect(Graph(pos, z=[1, 6, 8, 6, 1, 1]), 4.0)
    with as_users_run_it():
        compiled = torch.compile(model, backend="eager")
        found = []
        for module in (model, compiled):
            graph.pos = pos.clone().requires_grad_()
            f = module(graph)
            found.append((f, *torch.autograd.grad(f.square().sum(), graph.pos)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
