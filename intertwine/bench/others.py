"""Harmonics and the symmetric contraction by this library and its peers."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from intertwine.bench.clock import installed
from intertwine.bench.contest import OURS, Contestant
from intertwine.nn.irreps.mace_contraction import load_mace_contraction
from intertwine.nn.irreps.symmetric_contraction import SymmetricContraction
from intertwine.o3 import SphericalHarmonics
from intertwine.o3.blocks import join_blocks, split_blocks

SPECIES, CORRELATION = 10, 3


def harmonics(vectors: int, l: int) -> dict[str, Contestant]:
    """All degrees up to l of random unit vectors, normalisation "integral": ours, e3nn's and sphericart's."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(vectors, 3, generator=generator)
    cotangent = torch.randn(vectors, (l + 1) ** 2, generator=generator)
    degrees = list(range(l + 1))
    contestants = {OURS: Contestant(SphericalHarmonics(degrees, normalize=True), (x.requires_grad_(),), cotangent)}
    if installed("e3nn"):
        from e3nn.o3 import SphericalHarmonics as Theirs

        contestants["e3nn"] = Contestant(Theirs(degrees, normalize=True), (x.requires_grad_(),), cotangent)
    if installed("sphericart-torch"):
        from sphericart.torch import SphericalHarmonics as Cart

        def ours(place: int, tensor: Tensor) -> Tensor:
            return tensor if place < 0 else tensor[:, [1, 2, 0]]

        turned = x.detach()[:, [2, 0, 1]].contiguous().requires_grad_()  # its polar axis is z
        contestants["sphericart"] = Contestant(Cart(l).compute, (turned,), cotangent, ours)
    return contestants


def contraction(channels: int, l: int, nodes: int, out: int | None = None) -> dict[str, Contestant]:
    """MACE's symmetric contraction, degrees up to l to degrees up to ``out`` (l by default): ours, and mace-torch's
    with its weights.
    """
    irreps, result = (
        "+".join(f"{channels}x{k}{'eo'[k % 2]}" for k in range(top + 1)) for top in (l, l if out is None else out)
    )
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(nodes, channels, (l + 1) ** 2, generator=generator)
    species = torch.arange(nodes) % SPECIES
    layer = SymmetricContraction(irreps, result, CORRELATION, SPECIES, dtype=torch.float32)
    cotangent = torch.randn(nodes, layer.irreps_out.dim, generator=generator)

    def contestant(function: torch.nn.Module, kind: Tensor, leaf: Tensor, slope: Tensor) -> Contestant:
        weights = [parameter for parameter in function.parameters() if parameter.requires_grad and parameter.numel()]

        def adapt(place: int, tensor: Tensor) -> Tensor:
            if place >= 0:
                return tensor if tensor.ndim == 2 else tensor.mT.flatten(1)
            return tensor if function is layer else _rows(tensor, layer)

        return Contestant(lambda x, *_: function(x, kind), (leaf.requires_grad_(), *weights), slope, adapt, shared=1)

    contestants = {OURS: contestant(layer, species, x.mT.flatten(1).contiguous(), cotangent)}
    if installed("mace-torch") and installed("e3nn"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from e3nn import o3
            from mace.modules.symmetric_contraction import SymmetricContraction as Theirs

            theirs = Theirs(o3.Irreps(irreps), o3.Irreps(result), CORRELATION, num_elements=SPECIES).float()
        load_mace_contraction(layer, theirs.state_dict())
        contestants["mace-torch"] = contestant(
            theirs, torch.nn.functional.one_hot(species, SPECIES).float(), x, _rows(cotangent, layer, back=True)
        )
    return contestants


def _rows(tensor: Tensor, layer: SymmetricContraction, *, back: bool = False) -> Tensor:
    """Rows of mace-torch, ``mul_ir``, as ours, ``ir_mul``; or back."""
    before, after = ("ir_mul", "mul_ir") if back else ("mul_ir", "ir_mul")
    return join_blocks(split_blocks(tensor, layer.irreps_out, before), after)
