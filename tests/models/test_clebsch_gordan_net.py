"""Clebsch-Gordan nets: exact under every rotation, the equation as loops over fragments, a signal's functions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from switches import as_users_run_it
from torch import Tensor

from intertwine.geometry import Graph, act, collate
from intertwine.groups import Isometry
from intertwine.models import ClebschGordanNet
from intertwine.numerics import GeometryError, InputError
from intertwine.o3 import Irreps, coupling

SMALL: dict[str, Any] = {"width": 3, "layers": 3, "lmax": 3, "channels": 2}


def build(**more: Any) -> ClebschGordanNet:
    torch.manual_seed(0)
    model = ClebschGordanNet(**SMALL | more).double()
    model(collate([signal(model, seed) for seed in range(4)]))
    return model.eval()


def signal(model: ClebschGordanNet, seed: int = 0) -> Graph:
    values = torch.randn(1, model.signal.dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    pos = torch.zeros(1, 3, dtype=torch.float64)
    return Graph(pos, signal=values, representations={"signal": str(model.signal)}, levels={"signal": "node"})


@pytest.mark.parametrize("reflections", [False, True])
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_every_rotation_is_exact(norm: str, reflections: bool, generator: torch.Generator) -> None:
    """To rounding, for no layer goes back to the sphere; mirror images are told apart, or not, as the card says."""
    model = build(norm=norm, reflections=reflections)
    batch = collate([signal(model, seed) for seed in (5, 6, 7)])
    f = model(batch).detach()
    assert f.shape == (3, model.irreps_out.dim)
    assert model.card.symmetry == ("E(3)" if reflections else "SE(3)")
    for improper in (False, True):
        for _ in range(3):
            g = Isometry.random(3, generator=generator, improper=improper, shift=1.0)
            error = (model(act(g, batch)) - f).abs().max() / f.square().mean().sqrt()
            assert error < 1e-12 if reflections or not improper else error > 1e-3


def loops(model: ClebschGordanNet, f: Tensor) -> Tensor:
    """Every pair of fragments, every component, with the coupling coefficients; weights by the paths' own views."""
    result = [f[: model.scalars[0]]]
    for layer, count in zip(model.layers, model.scalars[1:], strict=True):
        irreps, out = layer.product.irreps_in, layer.product.irreps_out
        total = torch.zeros(out.dim, dtype=torch.float64)
        places, targets = irreps.slices(), out.slices()
        for _, path, weight in layer.product.weight_views(yield_instruction=True):
            i1, i2, io, mode = path[:4]
            x1 = f[places[i1]].reshape(irreps[i1].mul, -1)
            x2 = f[places[i2]].reshape(irreps[i2].mul, -1)
            C = torch.tensor(coupling(irreps[i1].ir.l, irreps[i2].ir.l, out[io].ir.l), dtype=torch.float64)
            sums = torch.zeros(out[io].mul, out[io].ir.dim, dtype=torch.float64)
            pairs = {
                "uvw": [(u, v) for u in range(len(x1)) for v in range(len(x2))],
                "u<vw": [(u, v) for u in range(len(x1)) for v in range(u + 1, len(x2))],
                "uuw": [(u, u) for u in range(len(x1))],
            }[mode]
            for w, (u, v) in zip(weight.reshape(-1, out[io].mul), pairs, strict=True):
                sums += w[:, None] * torch.einsum("ijk,i,j->k", C, x1[u], x2[v])
            total[targets[io]] += path.path_weight * sums.flatten()
        f = layer.norm((total + layer.linear(f))[None])[0]
        result.append(f[:count])
    return torch.cat(result)


def test_the_products_of_all_pairs_of_fragments() -> None:
    model = build(lmax=2)
    graph = signal(model, seed=9)
    torch.testing.assert_close(model(graph)[0], loops(model, graph.signal[0]), rtol=0, atol=1e-12)


def test_products_are_the_only_nonlinearity() -> None:
    """In evaluation the features are polynomials of the signal, of degree 2 to the number of layers: finite differences
    of a higher order vanish.
    """
    model = build(layers=2)
    first, step = signal(model, 1), signal(model, 2)
    values = []
    for k in range(6):
        graph = first.clone()
        graph.signal = first.signal + k * step.signal
        values.append(model(graph).detach())
    differences = torch.stack(values)
    size = differences.abs().max()
    for _ in range(4):
        differences = differences.diff(dim=0)
    assert differences.abs().max() > 1e-6 * size
    assert differences.diff(dim=0).abs().max() < 1e-12 * size


def test_training_and_batches() -> None:
    model = build().train()
    batch = collate([signal(model, seed) for seed in range(6)])
    model(batch).square().sum().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    model.eval()
    singles = torch.cat([model(signal(model, seed)) for seed in range(6)])
    torch.testing.assert_close(model(batch), singles, rtol=0, atol=1e-12)


def test_what_is_no_signal_is_named() -> None:
    model = build()
    good = signal(model)
    for change, words in (
        ({"signal": good.signal[:, :5]}, r"of shape \(1, 5\)"),
        ({"representations": {"signal": "32x0e"}}, "declared as 32x0e"),
        ({"representations": None}, "declared as scalar"),
        ({"signal": None}, "the graph lacks it"),
        ({"signal": good.signal * torch.nan}, "not finite"),
    ):
        fields = {name: value for name, value in (good.to_dict() | change).items() if value is not None}
        with as_users_run_it(), pytest.raises(GeometryError, match=words):
            model(Graph.from_dict(fields))
    for arguments, words in (({"lmax": -1}, "lmax"), ({"width": 0}, "width"), ({"norm": "instance"}, "norm")):
        with as_users_run_it(), pytest.raises(InputError, match=words):
            ClebschGordanNet(**SMALL | arguments)
    assert model.signal == Irreps("2x0e+2x1o+2x2e+2x3o")
