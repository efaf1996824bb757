"""What a model costs an edge: operations and bytes, counted, not timed.

Every operation that torch dispatches is seen: products of matrices and our own kernels by their formula, everything
else as one operation for each number of its largest tensor. Bytes are those of its arguments and results, as if nothing
stayed in a cache between operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import flop_counter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from intertwine.geometry import Graph, connect, raster
from intertwine.kernels.convolution.plan import Channelwise
from intertwine.kernels.shared.processes import threads
from intertwine.nn import Backbone
from intertwine.nn.groups.grid_backbone import GridBackbone
from intertwine.nn.irreps.contraction_operator import program

ATOMS, SPACING_ANGSTROM = 64, 1.9  # of the standard graph: as dense as a molecular crystal


def _convolution(plan: str, x: Tensor, y: Tensor, *rest: Any) -> int:
    """M of each edge, then for each channel M times x, and the weights."""
    total = 0
    for term in Channelwise.decode(plan).terms:
        pairs = len({(i, k) for i, _, k, _ in term.entries})
        total += 2 * len(term.entries) * len(term.y) + term.x.mul * len(term.y) * (
            2 * pairs + 2 * term.z.dim * (term.w is not None)
        )
    return total * len(y)


def _contraction(arguments: list[Tensor], group: Tensor, groups: int, polynomial: str, steps: str) -> int:
    return 3 * program(polynomial, steps).terms * len(group) * arguments[0].shape[-1]


#: operator -> its operations, from its arguments.
FORMULAS: Mapping[str, Callable[..., int]] = {
    "intertwine::convolve": _convolution,
    "intertwine::symmetric_contraction": _contraction,
}


class Cost(TorchDispatchMode):
    """Counts while it is entered.

    Attributes:
        flops: operations; a multiplication and an addition are two.
        bytes: read and written.

    >>> with Cost() as cost:
    ...     _ = torch.ones(2, 3) @ torch.ones(3, 5)
    >>> cost.flops >= 2 * 2 * 3 * 5
    True
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        result = function(*arguments, **(keywords or {}))
        inputs, outputs = (_tensors(tree) for tree in ((arguments, keywords), result))
        owners = {tensor.untyped_storage()._cdata for tensor in inputs}
        in_place = function._schema.name.endswith("_") or "out" in (keywords or {})
        # a view moves nothing
        if outputs and (in_place or any(tensor.untyped_storage()._cdata not in owners for tensor in outputs)):
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in (*inputs, *outputs))
            self.flops += self._operations(function, arguments, keywords or {}, result, (*inputs, *outputs))
        return result

    @staticmethod
    def _operations(
        function: Any, arguments: Any, keywords: Mapping[str, Any], result: Any, tensors: tuple[Tensor, ...]
    ) -> int:
        counter = flop_counter.flop_registry.get(function.overloadpacket)
        if counter is not None:
            return int(
                counter(
                    *arguments, **{name: value for name, value in keywords.items() if name != "out"}, out_val=result
                )
            )
        formula = FORMULAS.get(function._schema.name)
        return max(tensor.numel() for tensor in tensors) if formula is None else formula(*arguments, **keywords)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def standard_graph(cutoff: float | None, edges: int | None = None) -> Graph:
    """Atoms of carbon on a disordered lattice, 4 A around each of them connected where there is no cutoff.

    Args:
        cutoff: that of a model, A.
        edges: columns of an ``edge_attr``, for models that want one.
    """
    generator, side = torch.Generator().manual_seed(0), round(ATOMS ** (1 / 3))
    grid = torch.cartesian_prod(*[torch.arange(float(side))] * 3) * SPACING_ANGSTROM
    pos = grid + 0.3 * torch.rand(grid.shape, generator=generator)
    graph = connect(Graph(pos=pos, z=torch.full((len(pos),), 6)), cutoff or 4.0)
    if edges:
        graph.edge_attr = torch.rand(graph.num_edges, edges, generator=generator)
    return graph


def standard_grid(model: Backbone) -> tuple[Graph, int]:
    """What a model without edges takes, and how many pairs it looks at: an image of 28 x 28 or 16^3 voxels, with a pair
    of each pixel and each one under its kernel; a signal on the sphere, a pair with itself; or the atoms of
    :func:`standard_graph`, a pair each.
    """
    generator = torch.Generator().manual_seed(0)
    if (signal := getattr(model, "signal", None)) is not None:
        values = torch.randn(1, signal.dim, generator=generator)
        return Graph(pos=torch.zeros(1, 3), signal=values, representations={"signal": str(signal)}), 1
    if not isinstance(model, GridBackbone):
        atoms = standard_graph(None).without_edges().cast(torch.float32)
        return atoms, atoms.num_nodes
    sizes = {2: (28, 28), 3: (16, 16, 16)}[model.dimension]
    graph = raster(torch.rand(*model.rows()["x"], *sizes, generator=generator))
    return graph, graph.num_nodes * model.taps


@torch.no_grad()
def cost(model: nn.Module, graph: Graph, edges: int | None = None) -> dict[str, float]:
    """Operations and bytes of a model's features, for each edge of a graph, in one thread: how several share the
    rows of a product is no property of the model.

    Args:
        model: of the precision of the graph.
        graph: with edges, if the model looks at them.
        edges: number of edges; the graph's if not given.
    """
    with threads(1), Cost() as counted:
        model(graph)
    edges = edges or max(graph.num_edges, 1)
    return {"flops": counted.flops / edges, "bytes": counted.bytes / edges}


def short(value: int | float) -> str:
    """A count in three digits.

    >>> short(12_345)
    '12.3k'
    """
    power = min(int(math.log10(max(value, 1.0)) // 3), 3)
    return f"{value / 1000**power:.3g}{('', 'k', 'M', 'G')[power]}"
