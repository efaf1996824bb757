"""Layers that convolve, what they are called with, and the product that defines them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from intertwine.nn.convolution import Convolution
from intertwine.nn.irreps.fully_connected_convolution import FullyConnectedConvolution
from intertwine.o3 import FullyConnectedTensorProduct, TensorProduct

D = torch.float64
LEFT, RIGHT = "3x0e+2x1o+1x0e", "0e+1o+2e"
PLAIN: dict[str, tuple[str, str, dict[str, Any]]] = {
    "all": (LEFT, RIGHT, {}),
    "filtered": (LEFT, RIGHT, {"filter_ir_out": "5x1o+2e+7o+8o", "lmax": 7, "average_degree": 3}),
    "channels of edges": ("2x0e+3x1o", "2x1o", {"lmax": 1}),
    "no weights": (LEFT, RIGHT, {"weighted": False, "filter_ir_out": ["0e", "2e"]}),
}
SHARED: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "natural": (LEFT, RIGHT, "2x0e+3x1o+2x2e+1x1e", {}),
    "channels of edges": ("2x1o+1x0e", "2x1o+1x0e", "2x1o+3x0e+2x1o+0x2e+2x1e", {"average_degree": 2.5}),
    "small": ("2x1o", "2x1o", "2x0e+1x1e", {}),
    "unreachable": ("2x0e", "0e+1o", "2x0o+3x1o", {}),
}
ALL = [*[("plain", name) for name in PLAIN], *[("shared", name) for name in SHARED]]


def build(kind: str, name: str, layout: str = "ir_mul") -> Any:
    if kind == "plain":
        left, right, options = PLAIN[name]
        return Convolution(left, right, layout=layout, **options)
    *irreps, options = SHARED[name]
    return FullyConnectedConvolution(*irreps, layout=layout, dtype=D, **options)


def inputs(layer: nn.Module, generator: torch.Generator, nodes: int = 4, edges: int = 9) -> list[Any]:
    """Unsorted, repeated and self edges; the last node has none. What ``forward`` takes."""
    edge_index = torch.randint(max(nodes - 1, 1), (2, edges), generator=generator)
    x, y = (
        torch.randn(n, s.dim, dtype=D, generator=generator)
        for n, s in ((nodes, layer.irreps_in), (edges, layer.irreps_edge))
    )
    if isinstance(layer, FullyConnectedConvolution):
        return [x, y, edge_index]
    weight = torch.randn(edges, layer.weight_numel, dtype=D, generator=generator) if layer.weighted else None
    return [x, y, edge_index, weight]


def definition(layer: Any) -> TensorProduct:
    """The product on one edge."""
    irreps, kind = (layer.irreps_in, layer.irreps_edge, layer.irreps_out), {"layout": layer.layout, "dtype": D}
    if isinstance(layer, FullyConnectedConvolution):
        product = FullyConnectedTensorProduct(*irreps, **kind)
        product.load_state_dict(layer.state_dict())
        return product
    return TensorProduct(
        *irreps, [path[:5] for path in layer.instructions], shared_weights=False, internal_weights=False, **kind
    )
