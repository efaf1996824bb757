"""The molecules of a batch by composition, for what is computed of many geometries of one molecule at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.geometry import Graph, pair_list
from intertwine.nn import Backbone
from intertwine.numerics import DataError, InputError
from intertwine.o3 import Irreps
from intertwine.orbitals import Basis, BlockLayout
from intertwine.tasks.task import label


class Molecules(NamedTuple):
    """Molecules of one composition: atomic ``numbers``, positions ``pos`` (A, float64) of all of them, and the rows of
    their ``nodes`` and of their ``pairs`` of atoms, i N + j, in the batch."""

    numbers: Int[Tensor, " atoms"]
    pos: Float[Tensor, "m atoms 3"]
    nodes: Int[Tensor, "m atoms"]
    pairs: Int[Tensor, "m pairs"]


def molecules(graph: Graph) -> Iterator[Molecules]:
    """The molecules of a batch, one composition after the other.

    Raises:
        DataError: the graph lists only some pairs.
    """
    owner = graph.membership()
    counts = torch.bincount(owner, minlength=graph.graphs).tolist()
    if graph.get("pairs") is not None and len(graph.pairs) != sum(n * n for n in counts):
        raise DataError("orbitals need the blocks of all pairs", where="pairs", remedy="list all, or none.")
    nodes = owner.argsort(stable=True)  # of one molecule after the other, whatever their order in the batch
    place = torch.empty_like(nodes)
    place[nodes] = torch.arange(len(nodes), device=nodes.device)
    i, j = pair_list(graph).T
    rows = (place[i] * len(nodes) + place[j]).argsort()
    node = row = 0
    kinds: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    z = graph.z[nodes].tolist()
    for n in counts:
        kinds.setdefault(tuple(z[node : node + n]), []).append((node, row))
        node, row = node + n, row + n * n
    for numbers, places in kinds.items():
        n, device = len(numbers), graph.pos.device
        at, pairs = (
            torch.tensor([start[k] for start in places], device=device).unsqueeze(1) + torch.arange(size, device=device)
            for k, size in ((0, n), (1, n * n))
        )
        of_atoms = nodes[at]
        pos = graph.pos[of_atoms].to(torch.float64)
        yield Molecules(torch.tensor(numbers, device=device), pos, of_atoms, rows[pairs])


def one_molecule(graph: Graph) -> Molecules:
    """One molecule as :func:`molecules` gives it."""
    n = graph.num_nodes
    nodes, pairs = (torch.arange(size, device=graph.pos.device).unsqueeze(0) for size in (n, n * n))
    return Molecules(graph.z, graph.pos.to(torch.float64).unsqueeze(0), nodes, pairs)


def basis_of(text: str) -> Basis:
    """The basis of the orbitals that a task is given, as :meth:`intertwine.orbitals.Basis.to_json` writes it.

    Raises:
        InputError: there is none.
        DataError: the text is damaged.
    """
    if not text:
        remedy = 'train on data that say their basis, or give Basis.to_json() of yours as --set task.basis="..."'
        raise InputError("no basis of the orbitals is given", where="task.basis", remedy=remedy)
    return Basis.from_json(text)


def tensors_of(backbone: Backbone) -> Irreps:
    """The irreps of a model's features; an :class:`InputError` if it has none."""
    irreps = backbone.irreps_out
    if not isinstance(irreps, Irreps):
        what, remedy = f"the model gives {irreps}, no irreps", "choose NequIP, MACE or PaiNN."
        raise InputError(what, where="irreps_out", remedy=remedy)
    return irreps


def check_blocks(blocks: Float[Tensor, "pairs dim"], layout: BlockLayout, graph: Graph, where: str) -> None:
    """Raise a :class:`DataError` if a matrix is not of the basis, or electrons are not paired."""
    if blocks.shape[1:] != (layout.irreps.dim,):
        what = f"blocks have {blocks.shape[1]} components, and {layout.irreps.dim} in the basis {layout.basis.name}"
        remedy = "do not mix matrices of different bases: train on one method."
        raise DataError(what, where=where, remedy=remedy)
    check_closed(graph, where)
    check_room(layout.basis, graph, where)


def check_room(basis: Basis, graph: Graph, where: str) -> None:
    """Raise a :class:`DataError` if a molecule has more electrons than its orbitals hold."""
    kinds = graph.z.unique().tolist()
    room = torch.zeros(max([0, *kinds]) + 1, dtype=torch.int64, device=graph.z.device)
    for z in kinds:
        room[z] = 2 * basis.size(z)
    free = torch.zeros(graph.graphs, dtype=torch.int64, device=graph.z.device)
    free.index_add_(0, graph.membership(), room[graph.z] - graph.z)
    if bool((free < 0).any()):
        number = int((free < 0).nonzero()[0])
        held = int(room[graph.z[graph.membership() == number]].sum())
        what = (
            f"molecule {number} has {held - int(free[number])} electrons, and its orbitals in {basis.name} hold {held}"
        )
        raise DataError(what, where=where, remedy="choose a basis with more functions.")


def labelled(graphs: Iterable[Graph], name: str, layout: BlockLayout, most: int) -> list[Graph]:
    """All graphs of a training set are checked to have a matrix of the basis; the first ``most`` are returned.

    Raises:
        DataError: a matrix is missing, not finite, or of another basis; a molecule has an odd number of electrons, or
            more than its orbitals hold; there is no graph.
    """
    kept: list[Graph] = []
    for number, graph in enumerate(graphs):
        value = label(graph, name, number)
        check_blocks(value, layout, graph, f"graph {number} of the training set")
        if number < most:
            kept.append(graph)
    if not kept:
        raise DataError("the training set is empty", where="training set", remedy="give more data.")
    return kept


def check_closed(graph: Graph, where: str) -> None:
    """Raise a :class:`DataError` if the electrons of a neutral molecule are not paired."""
    electrons = torch.zeros(graph.graphs, dtype=torch.int64, device=graph.z.device)
    electrons.index_add_(0, graph.membership(), graph.z)
    if bool((odd := electrons % 2 == 1).any()):
        what = f"molecule {int(odd.nonzero()[0])} has {int(electrons[odd][0])} electrons: its shell is open"
        remedy = "leave out radicals and ions: closed shells of neutral molecules are learned."
        raise DataError(what, where=where, remedy=remedy)


def occupied(numbers: Int[Tensor, " atoms"]) -> int:
    """Occupied orbitals of a neutral closed shell."""
    return int(numbers.sum()) // 2


def centred(ones: Molecules) -> Float[Tensor, "m atoms 3"]:
    """Positions (A) from the centre of the nuclei's charge."""
    z = ones.numbers.to(ones.pos)
    return ones.pos - (torch.einsum("a,max->mx", z, ones.pos) / z.sum()).unsqueeze(1)
