"""The columns of the map of architectures, measured: what a card says, asked of the model with one layer at random
weights, in double precision.

Nothing here looks at a card or at the name of an architecture.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from measured_grids import Grid, grid_of, point_group, shifted, smaller, space
from torch import Tensor, nn

from intertwine.geometry import Graph, act, collate
from intertwine.groups import Isometry
from intertwine.nn import Backbone
from intertwine.nn.embedding import NodeEmbedding
from intertwine.nn.frames import FrameEmbedding
from intertwine.nn.scalar_vector import VectorEmbedding
from intertwine.numerics import GeometryError, InputError
from intertwine.o3 import Irreps

SAME = 1e-10  # relative difference below which two results are one
WIDTH = 4  # of the features whose Jacobians are taken
COPIES = 40  # points at which the Jacobian of a layer is taken
CARBON, OXYGEN = 6, 8
HARDEST = 5  # body order that stands for itself and more


class Kind(NamedTuple):
    """An architecture with arguments."""

    model: type[Backbone]
    arguments: dict[str, Any]

    def accepts(self, name: str) -> bool:
        return name in inspect.signature(self.model).parameters

    def build(self, scale: float = 1.0, **more: Any) -> Backbone:
        """With all its weights times ``scale``; arguments that it does not take are left out."""
        wanted = {"species": (CARBON, OXYGEN)} | more
        torch.manual_seed(0)
        model = self.model(**{k: v for k, v in wanted.items() if self.accepts(k)} | self.arguments).double().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter *= scale
        return model

    def card(self) -> Any:
        return self.build().card


def star(leaves: Tensor, kind: int | list[int] = CARBON, dimension: int = 3) -> Graph:
    """A centre at the origin, node 0, joined to nodes (n, 3) in both directions."""
    n = len(leaves)
    edges = torch.tensor([[0] * n, list(range(1, n + 1))])
    z = [CARBON, *([kind] * n if isinstance(kind, int) else kind)]
    pos = torch.cat([leaves.new_zeros(1, dimension), leaves])
    return Graph(pos, z=z, edge_index=torch.cat([edges, edges.flip(0)], dim=1))


def path(points: list[tuple[float, float, float]]) -> Graph:
    """Nodes joined to the one before and the one behind."""
    n = len(points)
    edges = torch.stack([torch.arange(n - 1), torch.arange(1, n)])
    pos = torch.tensor(points, dtype=torch.float64)
    return Graph(pos, z=[CARBON] * n, edge_index=torch.cat([edges, edges.flip(0)], dim=1))


def with_vectors(graph: Graph) -> Graph:
    """With a vector ``u`` of each node, zero."""
    return Graph.from_dict(graph.to_dict() | {"u": torch.zeros_like(graph.pos), "representations": {"u": "1o"}})


def around(n: int, seed: int = 0, dimension: int = 3) -> Tensor:
    """Points (n, dimension) at 1.2 to 2.2 A from the origin."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(n, dimension, generator=generator, dtype=torch.float64)
    lengths = 1.2 + torch.rand(n, 1, generator=generator, dtype=torch.float64)
    return directions / directions.norm(dim=1, keepdim=True) * lengths


def difference(a: Tensor, b: Tensor) -> float:
    """The largest, relative to the largest value."""
    return float((a - b).abs().max() / torch.cat([a.flatten(), b.flatten()]).abs().max().clamp(min=1e-300))


def scalars(model: Backbone, graph: Graph) -> Tensor:
    """The even scalars of the nodes, (nodes, F)."""
    f, irreps = model(graph), model.irreps_out
    return irreps.part(f, "0e").flatten(1) if isinstance(irreps, Irreps) else f


# --- the message: linear in what the neighbours have? ---


def blind(kind: Kind, leaves: int) -> tuple[int, float]:
    r"""How many directions of the neighbours' features the centre of a star sees, and how much of a step along those
    that it does not.

    A layer is :math:`f_i' = \phi(f_i, \sum_j m(f_i, f_j, a_{ij}))`. With f_i and all a_ij fixed, the rows of its
    Jacobian in the features of the neighbours are taken at many points. If m is linear in f_j, they all lie in one
    space, whose dimension is at most that of the sum, however many neighbours there are. A step g of any length in its
    complement has :math:`\sum_j m(f_j + g_j) = \sum_j m(f_j) + \sum_j m(g_j)` with a last sum of zero, and is not seen
    at all.
    """
    model = kind.build(layers=1, width=WIDTH, vector_inputs=("u",))
    graph = with_vectors(collate([star(around(leaves))] * COPIES))
    start = features(model, graph, leaves)
    names = list(start)
    centre = torch.arange(COPIES) * (leaves + 1)

    def layer(state: dict[str, Tensor]) -> Tensor:
        return with_features(model, graph, state)[centre]

    state = {name: value.clone().requires_grad_() for name, value in start.items()}
    out = layer(state)
    rows = []
    for column in out.unbind(1):
        gradients = torch.autograd.grad(column.sum(), [state[name] for name in names], retain_graph=True)
        rows.append(torch.cat([g.reshape(COPIES, leaves + 1, -1)[:, 1:].flatten(1) for g in gradients], dim=1))
    jacobian = torch.cat(rows)
    jacobian = jacobian / jacobian.norm(dim=1, keepdim=True).clamp(min=1e-300)
    _, values, basis = torch.linalg.svd(jacobian, full_matrices=True)
    rank = int((values > SAME * values.max()).sum())
    if rank == len(basis):
        return rank, 1.0
    unseen = basis[rank:].sum(0)
    step, moved = unseen * (10.0 / unseen.norm()), {}
    sizes = [start[name].flatten(1).shape[1] * leaves for name in names]
    for name, part in zip(names, step.split(sizes)):
        whole = torch.zeros(leaves + 1, part.numel() // leaves, dtype=part.dtype)
        whole[1:] = part.view(leaves, -1)
        moved[name] = start[name] + whole.repeat(COPIES, 1).view_as(start[name])
    return rank, difference(layer(moved).detach(), out.detach())


def features(model: Backbone, graph: Graph, leaves: int) -> dict[str, Tensor]:
    """Random first features for the nodes of all copies, scalars and vectors; those of the centres are the same."""
    shapes: dict[str, torch.Size] = {}

    def look(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: shapes.update({name: output.shape})

    hooks = [module.register_forward_hook(look(name)) for name, module in embeddings(model)]
    with torch.no_grad():
        model(graph)
    for hook in hooks:
        hook.remove()
    generator = torch.Generator().manual_seed(1)
    state = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    for value in state.values():
        value[:: leaves + 1] = value[0].clone()
    return state


def with_features(model: Backbone, graph: Graph, state: dict[str, Tensor]) -> Tensor:
    """The model's result with its first features replaced."""

    def put(value: Tensor) -> Callable[..., Tensor]:
        return lambda module, inputs, output: value

    hooks = [module.register_forward_hook(put(state[name])) for name, module in embeddings(model)]
    try:
        return model(graph)
    finally:
        for hook in hooks:
            hook.remove()


def embeddings(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """What makes the first features of the nodes."""
    return [(k, module) for k, module in model.named_modules() if isinstance(module, NodeEmbedding | VectorEmbedding)]


def message(kind: Kind) -> str:
    """ "linear" if the centre of a star sees of six neighbours no more than of four, and nothing of the rest.
    (It takes more to fill the sum of a network on orientations, which has components at each of them.)"""
    grid = lifted(kind)
    kind = kind._replace(arguments=smaller(grid) | kind.arguments)
    (few, _), (many, seen) = (blind(kind, n) for n in ((4, 6) if grid is None else (12, 14)))
    return "linear" if few == many and seen < SAME else "nonlinear"


# --- body order: what one layer tells apart ---


def apart(kind: Kind, graph: Graph) -> bool:
    """Whether one layer tells the two graphs of a batch apart by the sums of their scalars, at weights of two sizes."""
    differences = []
    for scale in (1.0, 3.0):
        with torch.no_grad():
            f = scalars(kind.build(scale, layers=1, outputs="0e", average_degree=2.0), graph)
        first, second = f.chunk(2)
        differences.append(difference(first.sum(0), second.sum(0)))
    return max(differences) > SAME


def body_order(kind: Kind, pairs: Any) -> int:
    """The largest k for which one layer tells apart two stars that agree in all that k - 1 nodes see; 5 is 5 or more.

    Args:
        pairs: the module of benchmarks/papers, whose pairs agree up to two, three and four nodes.
    """
    points = around(3)
    order = 1
    order += apart(kind, collate([star(points), star(points * 1.1, OXYGEN)]))  # as many neighbours, of another kind
    for name in ("2-body", "3-body", "4-body"):
        if order == {"2-body": 2, "3-body": 3, "4-body": 4}[name] and apart(kind, pairs.BODY[name]().batch()):
            order += 1
    return order


# --- what a message looks at; where features live ---


def sees(kind: Kind, first: Graph, second: Graph) -> bool:
    """Whether one layer's scalars differ."""
    model = kind.build(layers=1)
    with torch.no_grad():
        return difference(scalars(model, first), scalars(model, second)) > SAME


def sees_distances(kind: Kind) -> bool:
    return sees(kind, star(around(3)), star(around(3) * 1.1))


def sees_angles(kind: Kind) -> bool:
    """The angle at the middle of a path of three nodes, the lengths of its edges kept."""
    return sees(kind, path([(0, 0, 0), (1.5, 0, 0), (1.5, 1.4, 0)]), path([(0, 0, 0), (1.5, 0, 0), (2.9, 0, 0)]))


def sees_torsions(kind: Kind) -> bool:
    """The torsion of a path of four nodes, lengths and angles kept."""
    bent = [(1.5, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 1.4, 0.0)]
    return sees(kind, path([*bent, (1.3, 1.4, 0.0)]), path([*bent, (0.0, 1.4, 1.3)]))


def frames(kind: Kind) -> list[Tensor]:
    """The frames (nodes, 3, 3) that the model gives its nodes, of a structure and of the same turned and shifted by
    :func:`turn`."""
    model, kept = kind.build(layers=1), []
    for module in model.modules():
        if isinstance(module, FrameEmbedding):
            module.register_forward_hook(lambda module, inputs, output: kept.append(output.detach()))
    graph = star(around(5))
    for structure in (graph, act(turn(), graph)):
        model(structure)
    return kept


def lifted(kind: Kind) -> Grid | None:
    """The grid of orientations that the model has features on, if any."""
    return grid_of(kind.build(layers=1), star(around(3)), SAME)


def turn(improper: bool = False) -> Isometry:
    """An isometry, with a shift."""
    return Isometry.random(3, generator=torch.Generator().manual_seed(2), improper=improper, shift=1.0)


def carries_vectors(kind: Kind) -> bool:
    """Whether a neighbour's vector, sent along an edge, turns the vectors of the centre."""
    if not kind.accepts("vector_inputs"):
        return False
    model, graph = kind.build(layers=1, vector_inputs=("u",), outputs="0e+1o"), star(around(3))
    results = []
    for axis in (0, 1):
        graph = with_vectors(graph)
        graph.u[1, axis] = 1.0
        with torch.no_grad():
            results.append(model(graph)[0])
    return difference(*results) > SAME


def sees_tensors(kind: Kind) -> bool:
    """Whether two neighbours opposite to each other are told from the same turned, by features of degree 2."""
    if not (kind.accepts("lmax") and kind.accepts("outputs")):
        return False
    model, directions = kind.build(layers=1, lmax=2, hidden_lmax=2, outputs="2e"), torch.eye(3, dtype=torch.float64)
    graphs = [star(torch.stack([x, -x]) * 1.5) for x in directions[:2]]
    with torch.no_grad():
        degree = model.irreps_out.part(model(collate(graphs)), "2e").flatten(1)
    return difference(degree[0], degree[3]) > SAME


def geometry(kind: Kind) -> str:
    """What a message looks at, the most telling first."""
    if frames(kind) or lifted(kind) is not None:
        return "group element"
    if sees_tensors(kind):
        return "spherical tensor"
    if carries_vectors(kind):
        return "vector"
    if sees_torsions(kind):
        return "torsion"
    if sees_angles(kind):
        return "angle"
    return "distance" if sees_distances(kind) else "none"


def domain(kind: Kind) -> str:
    """Where features live: at group elements if every node has a frame that turns with the structure."""
    if made := frames(kind):
        first, second = made
        turned = difference(turn().rotation @ first, second) < SAME and difference(first, second) > SAME
        return group(kind) if turned else "R^d"
    if (grid := lifted(kind)) is not None:
        return space(grid, group(kind))
    return "R^d" if sees_distances(kind) else "graph"


# --- the group ---


def group(kind: Kind) -> str:
    """The largest of the groups that the whole model, with its own number of layers, is equivariant to."""
    if not sees_distances(kind):
        return "S(n)"
    model = kind.build()
    if not keeps(model, turn(improper=False)):
        if not keeps(model, shifted(torch.eye(3, dtype=torch.float64))):
            return "none"
        return f"T(3) x {name}" if (name := point_group(lambda g: keeps(model, g))) else "T(n)"
    if not keeps(model, turn(improper=False), graph=SYMMETRIC):
        proper = "" if keeps(model, turn(improper=True)) else "S"
        return f"{proper}E(3) where frames are unique"
    if not keeps(model, turn(improper=True)):
        return "SE(3)"
    return "E(n)" if all(lives_in(kind, n) for n in (2, 4)) else "E(3)"


def lives_in(kind: Kind, dimension: int) -> bool:
    """Whether it is equivariant to E(n) in another dimension."""
    g = Isometry.random(dimension, generator=torch.Generator().manual_seed(2), improper=True, shift=1.0)
    try:
        return keeps(kind.build(dimension=dimension), g, dimension)
    except (InputError, GeometryError):
        return False


#: Four corners of a cube with carbon at them, an oxygen at the centre: its principal axes are anywhere.
SYMMETRIC = Graph(
    torch.tensor([(0.0, 0, 0), (1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]).double(), z=[OXYGEN] + [CARBON] * 4
)


def keeps(model: Backbone, g: Isometry, dimension: int = 3, graph: Graph | None = None) -> bool:
    """Whether f(g x) = g f(x), on a structure without symmetry or the one given."""
    graph = Graph(2 * around(6, seed=3, dimension=dimension), z=[CARBON, OXYGEN] * 3) if graph is None else graph
    with torch.no_grad():
        moved, f = model(act(g, graph)), model(graph)
    invariant = isinstance(model.irreps_out, Irreps) and model.irreps_out.lmax == 0  # the same in all dimensions
    return difference(moved, f if invariant else model.irreps_out.transform(g.rotation, f)) < SAME
