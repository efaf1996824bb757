"""The SO(2) form of a convolution beside its tensor-product form: the same map, from which degree on is it faster?

Features C x (0 + 1 + ... + l) of natural parity in and out, each channel by itself, every path with harmonics up to 2l,
that is, all equivariant maps of this kind (with --harmonics-to-l up to l only, as is usual: fewer paths and weights,
where the SO(2) form can do no less). Both forms are run by the fused kernel, and take x, the edge vectors and their own
weights per edge; the harmonics, or the frames, are made in the timed call, or given (as between the layers of one
network).

python benchmarks/so2.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from measure import interleaved, table, write
from torch import Tensor

from intertwine.kernels.convolution.fused import Fused
from intertwine.nn.so2.from_paths import PathsToSO2
from intertwine.o3 import Irreps, TensorProduct, spherical_harmonics


def product(l: int, channels: int, edge_lmax: int) -> TensorProduct:
    """All paths between degrees up to l."""
    features = Irreps([(channels, (k, (-1) ** k)) for k in range(l + 1)])
    harmonics = Irreps.spherical_harmonics(edge_lmax)
    paths = [
        (a, b, c, "uvu", True)
        for a, (_, first) in enumerate(features)
        for b, (_, other) in enumerate(harmonics)
        for c, (_, ir) in enumerate(features)
        if ir in first * other
    ]
    return TensorProduct(
        features, harmonics, features, paths, shared_weights=False, internal_weights=False, layout="ir_mul"
    )


def forms(
    l: int, channels: int, edges: int, nodes: int, edge_lmax: int
) -> dict[str, tuple[Callable[..., Tensor], list[Tensor]]]:
    """name -> (function of x, vectors and weights, its arguments)."""
    tensor = product(l, channels, edge_lmax)
    fused = Fused(tensor.kernel.plan)
    to_so2 = PathsToSO2(tensor)
    layer = to_so2.convolution()
    generator = torch.Generator().manual_seed(0)
    x, r = torch.randn(nodes, tensor.irreps_in1.dim, generator=generator), torch.randn(edges, 3, generator=generator)
    w = torch.randn(edges, tensor.weight_numel, generator=generator)
    edge_index = torch.randint(nodes, (2, edges), generator=generator)
    edge_index = edge_index[:, edge_index[1].argsort()]

    def by_product(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return fused.convolve(x, y, w, edge_index[0], edge_index[1], nodes)

    def harmonics(r: Tensor) -> Tensor:
        return spherical_harmonics(list(range(edge_lmax + 1)), r, True, "component")

    return {
        "product": (lambda x, r, w: by_product(x, harmonics(r), w), [x, r, w]),
        "so2": (lambda x, r, w: layer(x, r, edge_index, w), [x, r, to_so2(w)]),
        "product, given Y": (lambda x, y, w: by_product(x, y, w), [x, harmonics(r), w]),
        "so2, given frames": (lambda x, f, w: layer(x, f, edge_index, w), [x, layer.frames(r), to_so2(w)]),
    }


def without_gradients(function: Callable[..., Tensor], arguments: list[Any]) -> Callable[[], Any]:
    """A call without gradients."""

    def run() -> None:
        with torch.no_grad():
            function(*arguments)

    return run


def with_gradients(function: Callable[..., Tensor], arguments: list[Any]) -> Callable[[], Any]:
    """A call and the gradients to all floating arguments; harmonics and frames that are given count as arguments."""
    leaves, inputs = [], []
    for argument in arguments:
        if isinstance(argument, Tensor):
            inputs.append(argument.detach().requires_grad_())
            leaves.append(inputs[-1])
        else:
            inputs.append(argument._replace(matrices=argument.matrices.detach().requires_grad_()))
            leaves.append(inputs[-1].matrices)
    cotangent = torch.randn_like(function(*inputs))
    return lambda: torch.autograd.grad(function(*inputs), leaves, cotangent)


def rows(
    degrees: list[int], channels: list[int], edges: int, repeats: int, all_harmonics: bool
) -> list[dict[str, Any]]:
    """Median times in ms of both forms and product / so2."""
    lines = []
    for c in channels:
        for l in degrees:
            contestants = forms(l, c, edges, max(edges // 20, 1), 2 * l if all_harmonics else l)
            for kind, task in (("forward", without_gradients), ("forward + backward", with_gradients)):
                times = interleaved(
                    {name: task(*contestant) for name, contestant in contestants.items()}, repeats, warmup=1
                )
                row: dict[str, Any] = {
                    "channels": c,
                    "l": l,
                    "pass": kind,
                    "product_ms": times["product"],
                    "so2_ms": times["so2"],
                }
                row["ratio"] = times["product"] / times["so2"]
                row |= {"product, given Y": times["product, given Y"], "so2, given frames": times["so2, given frames"]}
                lines.append({**row, "ratio, given": row["product, given Y"] / row["so2, given frames"]})
    return lines


def verdict(times: list[dict[str, Any]]) -> str:
    """From which degree on the SO(2) form is faster, for each size and pass."""
    lines = []
    for c, kind in dict.fromkeys((row["channels"], row["pass"]) for row in times):
        for ratio in ("ratio", "ratio, given"):
            mine = sorted((row["l"], row[ratio]) for row in times if (row["channels"], row["pass"]) == (c, kind))
            slower = [l for l, value in mine if value <= 1]
            first = next((l for l, _ in mine if not slower or l > max(slower)), None)
            what = "geometry given" if ratio != "ratio" else "with geometry"
            lines.append(f"{c} channels, {kind}, {what}: " + ("never" if first is None else f"from l = {first}"))
    return "The SO(2) form wins\n  " + "\n  ".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--degrees", type=int, nargs="+", default=list(range(1, 9)))
    parser.add_argument("--channels", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--edges", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--harmonics-to-l", action="store_true", help="harmonics up to l only, not 2l: fewer paths, not all maps"
    )
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/so2.json")
    chosen = parser.parse_args()
    measured = rows(chosen.degrees, chosen.channels, chosen.edges, chosen.repeats, not chosen.harmonics_to_l)
    print(table(measured))
    print(verdict(measured))
    if chosen.save:
        print(write("so2", {"edges": chosen.edges, "rows": measured}))
