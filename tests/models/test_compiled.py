"""``torch.compile`` takes the models that no other test compiles, and gives the same values and slopes.

Those with a cutoff are compiled whole, with their forces, in tests/tasks/test_tensor_form.py.
"""

from __future__ import annotations

import pytest
import torch
from molecular import LOCAL, MODELS, within
from switches import as_users_run_it

from intertwine.geometry import Graph, connect


# dimenet and gemnet list paths by themselves, in a graph that breaks
@pytest.mark.parametrize("name", sorted(set(MODELS) - set(LOCAL) | {"dimenet", "gemnet", "painn"}))
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
