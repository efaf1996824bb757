"""Convolutions on images times C_n beside plain ones with as many feature maps, and steerable convolutions of voxels
beside e3nn's, forward and backward, in one thread.

The plain network has the channels of all orientations, so both do the same convolutions; what is more are the turned
kernels and the largest value over the orientations at the end. The convolution of voxels is e3nn's
`e3nn.nn.models.v2104.voxel_convolution.Convolution` at the same weights; the largest difference is printed.

python benchmarks/grids.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from e3nn import o3
from e3nn.nn.models.v2104.voxel_convolution import Convolution
from measure import DOCS, insert, interleaved, markdown, table, write
from torch import Tensor, nn

from intertwine.geometry import collate, raster
from intertwine.groups import cyclic
from intertwine.models import CNN, SE2CNN
from intertwine.nn.groups.grid_convolution import GroupConvolution
from intertwine.nn.groups.kernel_basis import RingBasis
from intertwine.nn.groups.steerable_convolution import SteerableConvolution, space_couplings, space_harmonics
from intertwine.o3 import Irreps


def step(function: Callable[[Any], Tensor], parameters: list[Tensor], x: Any) -> Callable[[], Any]:
    """Forward and backward to the parameters and to x, where it is a tensor that needs a gradient."""
    wanted = [*parameters] + ([x] if isinstance(x, Tensor) else [])
    out = function(x)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    return lambda: torch.autograd.grad(function(x), wanted, direction)


def layers(n: int, channels: int, size: int, images: int) -> dict[str, Any]:
    """One convolution on the group beside one of torch, both with n x channels maps."""
    ours = GroupConvolution(cyclic(n), channels, channels, RingBasis(5))
    plain = nn.Conv2d(n * channels, n * channels, 5, padding=2, bias=False)
    x = torch.randn(images, n * channels, size, size, requires_grad=True)
    functions = {
        "ours": step(ours, list(ours.parameters()), x),
        "plain": step(plain, list(plain.parameters()), x),
    }
    times = interleaved(functions)
    shape = f"{images} x {n * channels} x {size}^2"
    return {"what": f"layer, C_{n}", "maps": shape, "ms": times["ours"], "plain ms": times["plain"],
            "ratio": times["ours"] / times["plain"]}  # fmt: skip


def networks(n: int, width: int, size: int, images: int) -> dict[str, Any]:
    """SE2CNN on graphs of images beside the plain CNN with n times its channels."""
    batch = collate([raster(torch.rand(1, size, size)) for _ in range(images)])
    models = {"ours": SE2CNN(width=width, orientations=n), "plain": CNN(width=n * width)}
    times = interleaved({name: step(model, list(model.parameters()), batch) for name, model in models.items()})
    return {"what": f"network, C_{n}", "maps": f"{images} x {n * width} x {size}^2", "ms": times["ours"],
            "plain ms": times["plain"], "ratio": times["ours"] / times["plain"]}  # fmt: skip


def voxels(irreps: str, lmax: int, size: int, images: int) -> dict[str, Any]:
    """A steerable convolution of voxels beside e3nn's."""
    theirs = Convolution(irreps, irreps, o3.Irreps.spherical_harmonics(lmax), 5, 3)
    terms = tuple((mul, ir) for mul, ir in Irreps(irreps))
    ours = SteerableConvolution(terms, terms, 5, space_harmonics(5, lmax, 3), space_couplings, 3)
    kernel = theirs.kernel().detach()
    kernel[:, :, 2, 2, 2] += theirs.sc(torch.eye(kernel.shape[0])).T.detach()
    far = ours.fit(kernel)
    x = torch.randn(images, kernel.shape[0], size, size, size, requires_grad=True)
    with torch.no_grad():
        a, b = ours(x), theirs(x)
    functions = {
        "ours": step(ours, list(ours.parameters()), x),
        "e3nn": step(theirs, list(theirs.parameters()), x),
    }
    times = interleaved(functions, 11)
    return {"irreps": irreps, "l": lmax, "voxels": f"{images} x {size}^3", "ms": times["ours"],
            "e3nn ms": times["e3nn"], "speedup": times["e3nn"] / times["ours"], "kernel off by": far,
            "off by": float((a - b).abs().max() / b.abs().max())}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--save", action="store_true", help="write benchmarks/results/grids.json and the tables of docs/grids.md"
    )
    save = parser.parse_args().save
    torch.set_num_threads(1)
    torch.manual_seed(0)
    planes = [layers(8, 8, 28, 16), layers(16, 4, 28, 16), layers(8, 16, 14, 32)]
    planes += [networks(8, 4, 28, 32), networks(16, 2, 28, 32)]
    print(table(planes), flush=True)
    cubes = [
        voxels(irreps, lmax, size, images)
        for irreps, lmax in (("8x0e+4x1o+2x2e", 2), ("4x0e+4x1o+2x1e+2x2e", 3))
        for size, images in ((16, 1), (16, 4), (32, 1))
    ]
    print(table(cubes))
    if save:
        write("grids", {"images": planes, "voxels": cubes})
        rounded = [{k: f"{v:.1e}" if "off by" in k else v for k, v in row.items()} for row in cubes]
        insert(DOCS / "grids.md", "grids.py", markdown(planes) + "\n\n" + markdown(rounded))


if __name__ == "__main__":
    main()
