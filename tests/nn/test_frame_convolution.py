"""Messages in the frames of edges: with all orders a tensor product with harmonics, and their size at the start."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from switches import default_precision

from intertwine.kernels.convolution.derivatives import convolve
from intertwine.nn.so2.frame_convolution import FrameConvolution
from intertwine.o3 import edge_frames


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain torch in the place of compiled kernels, which take a second for each new plan."""
    monkeypatch.setenv("INTERTWINE_KERNELS", "reference")


@pytest.fixture
def double() -> Iterator[None]:
    with default_precision(torch.float64):
        yield


@pytest.mark.usefixtures("double", "plain")
def test_maps_of_all_orders_are_a_tensor_product(generator: torch.Generator) -> None:
    """Any path weights w of a fully connected product with harmonics, as weights of the maps:
    a_m = sum over l_2 of w sqrt(2 l_2 + 1) C(l_1 -m, l_2 0, l_3 -m)."""
    from e3nn import o3

    lmax, width = 3, 3
    layer = FrameConvolution(width, width, lmax, lmax, lmax, 4, 1.0, 4, 0, True, 1.0).double()
    irreps, harmonics = o3.Irreps(str(layer.second.irreps_in)), o3.Irreps.spherical_harmonics(2 * lmax)
    paths = [
        (a, b, c, "uvw", True)
        for a, (_, one) in enumerate(irreps)
        for b, (_, two) in enumerate(harmonics)
        for c, (_, out) in enumerate(irreps)
        if out in one * two
    ]
    norms = {
        "irrep_normalization": "none",
        "path_normalization": "none",
        "shared_weights": True,
        "internal_weights": True,
    }
    product = o3.TensorProduct(irreps, harmonics, irreps, paths, **norms).double()
    weight = torch.zeros_like(layer.second_weight)
    for slot in layer.second.slots:
        assert slot.kind == "even"  # the odd ones join harmonics and pseudotensors
        into = weight[slot.start : slot.start + slot.numel].view(len(slot.inputs), width, len(slot.outputs), width)
        for path, w in zip(paths, product.weight_views()):
            l1, l2, l3 = irreps[path[0]].ir.l, path[1], irreps[path[2]].ir.l
            if path[0] in slot.inputs and path[2] in slot.outputs:
                c = o3.wigner_3j(l1, l2, l3, dtype=torch.float64)[l1 - slot.order, l2, l3 - slot.order]
                place = slot.inputs.index(path[0]), slice(None), slot.outputs.index(path[2])
                into[place] += w[:, 0].detach() * c * math.sqrt(2 * l2 + 1)
    r = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    r[0], r[1] = torch.tensor([0.0, 1, 0]), torch.tensor([0.0, -1, 0])
    x, edge = torch.randn(6, irreps.dim, generator=generator, dtype=torch.float64), torch.arange(6)
    expected = product(x, o3.spherical_harmonics(harmonics, r, True, "component"))
    frames = edge_frames(r, lmax)
    blocks = torch.cat(
        [x[:, where].unflatten(1, (mul, ir.dim)).mT.flatten(1) for (mul, ir), where in zip(irreps, irreps.slices())], 1
    )
    seen = convolve(layer.there, blocks, frames.matrices, None, edge, edge, 6)
    z = convolve(layer.back, layer.second(seen, weight), frames.matrices, None, edge, edge, 6)
    found = [z[:, where].unflatten(1, (ir.dim, mul)).mT.flatten(1) for (mul, ir), where in zip(irreps, irreps.slices())]
    assert (torch.cat(found, 1) - expected).abs().max() < 1e-13 * expected.abs().max()


@pytest.mark.usefixtures("plain")
def test_variance_at_the_start() -> None:
    """Messages and features have components of variance about one, of all degrees alike."""
    layer = FrameConvolution(32, 32, 4, 4, 2, 6, 6.0, 32, 0, True, 1.0)
    x, s = torch.randn(400, 25, 32), torch.randn(400, 32)
    edges = torch.stack([torch.randperm(400), torch.arange(400)])
    frames, one = edge_frames(torch.randn(400, 3), 4, 2), torch.ones(400)
    size = layer(x, s, frames, torch.randn(400, 6), one, edges).square().mean((0, 2)).sqrt()
    for l in range(5):
        assert 0.4 < size[l**2 : (l + 1) ** 2].square().mean().sqrt() < 2.0
