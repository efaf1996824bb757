"""A molecule beside its reconstruction: by places of the canonical order, and laid on each other as well as can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from intertwine.geometry import Graph, centred, equivalent, matched

STILL = torch.eye(3).unsqueeze(0)  # the one rotation that is tried where none is allowed
OTHER = 1e4  # A^2, cost of an atom at the place of one of another species: more than any distance in a molecule


class Slots(NamedTuple):
    """Places and atoms of each molecule, both in the canonical order; m of the largest, rows and columns behind the
    last atom are padding.

    Attributes:
        counts: atoms of each.
        atoms: where they are, from the centroid, over the spread.
        made: what is put at each place, likewise.
        apart: squared distances of place k from atom i.
        surprise: minus the logarithm of the probability that place k gives the species of atom i; None without species.
        hard: the order itself, as a matrix.
        kinds: species of each atom; -1 where there is none.
        spread: unit of distances (A).
    """

    counts: Int[Tensor, " graphs"]
    atoms: Float[Tensor, "graphs m 3"]
    made: Float[Tensor, "graphs m 3"]
    apart: Float[Tensor, "graphs m m"]
    surprise: Float[Tensor, "graphs m m"] | None
    hard: Float[Tensor, "graphs m m"]
    kinds: Int[Tensor, "graphs m"]
    spread: float

    @classmethod
    def of(
        cls, graph: Graph, prediction: Mapping[str, Tensor], kinds: Int[Tensor, " nodes"] | None, spread: float
    ) -> Slots:
        """
        Args:
            graph: with the atoms.
            prediction: of :class:`~intertwine.tasks.PointAutoencoder`.
            kinds: species of the atoms, as the logits count them.
            spread: unit of distances in the result (A).
        """
        owner, place = graph.membership(), prediction["place"].round().to(torch.int64)
        counts = torch.bincount(owner, minlength=graph.graphs)
        m, dtype = int(counts.max()), prediction["code"].dtype
        places = centred(graph).to(dtype)
        moved = (prediction["reconstruction"] - graph.pos).to(dtype) + places
        empty = places.new_zeros(graph.graphs, m, 3)
        atoms, made = (empty.index_put((owner, place), each / spread) for each in (places, moved))
        there = torch.arange(m, device=owner.device) < counts.unsqueeze(1)
        apart = (made.unsqueeze(2) - atoms.unsqueeze(1)).square().sum(-1)
        listed, surprise = torch.full_like(there, -1, dtype=torch.int64), None
        if kinds is not None:
            listed = listed.index_put((owner, place), kinds)
            logs = prediction["species"][:, :m].log_softmax(-1)
            surprise = -logs.gather(2, listed.clamp(min=0).unsqueeze(1).expand(-1, m, -1))
        return cls(counts, atoms, made, apart, surprise, torch.diag_embed(there.to(dtype)), listed, spread)


def best_orders(
    slots: Slots, which: Bool[Tensor, " graphs"], shares: Float[Tensor, "graphs m m"], *, turning: bool = True
) -> tuple[Float[Tensor, "graphs m m"], Float[Tensor, "graphs m m"]]:
    r"""Squared distances and shares with those of some molecules replaced: by the distances after the best alignment,
    plus that of the centroids, and its assignment, which differs from the order by exchanges of equivalent atoms only.
    It is kept fixed: derivatives are those of the distances.

    Args:
        slots: of the molecules.
        which: of which the alignment is taken.
        shares: of atom i at place k.
        turning: whether an alignment may turn.
    """
    apart, shares = slots.apart.clone(), shares.clone()
    for g in which.nonzero().flatten().tolist():
        n = int(slots.counts[g])
        x, y = slots.atoms[g, :n], slots.made[g, :n]
        same = equivalent(x * slots.spread, slots.kinds[g, :n])  # place k is that of atom k
        match = matched(x, y, OTHER * (~same).to(torch.float64), None if turning else STILL)
        rotation, centre = match.rotation.to(y), y.mean(0)
        lain = (y - centre) @ rotation.T
        apart[g, :n, :n] = (lain.unsqueeze(1) - x).square().sum(-1) + centre.square().sum()
        shares[g] = 0.0
        shares[g, match.partner.to(x.device), torch.arange(n, device=x.device)] = 1.0
    return apart, shares


class Reconstructed(NamedTuple):
    """How well molecules are made again.

    Attributes:
        rmsd: after the best alignment, within each species, of each molecule (A).
        misplaced: of which atoms the place is not that of the alignment, and not that of an equivalent atom.
        mistaken: of which atoms the species at their place is another one; None without species.
    """

    rmsd: Float[Tensor, " graphs"]
    misplaced: Bool[Tensor, " nodes"]
    mistaken: Bool[Tensor, " nodes"] | None


def reconstructed(
    prediction: Mapping[str, Tensor], graph: Graph, kinds: Int[Tensor, " nodes"] | None, *, turning: bool = True
) -> Reconstructed:
    """Scores of reconstructions, modulo the symmetry of each molecule (:func:`intertwine.geometry.equivalent`). Where
    the motion is open, all alignments of principal axes are tried; otherwise only the one that was found.

    Args:
        prediction: of :class:`~intertwine.tasks.PointAutoencoder`.
        graph: the molecules.
        kinds: species of the atoms, as the logits count them.
        turning: whether an alignment of an open motion may turn.
    """
    owner = graph.membership().cpu()
    counts = torch.bincount(owner, minlength=graph.graphs).tolist()
    places = centred(graph).to("cpu", torch.float64)
    made = (prediction["reconstruction"] - graph.pos).to("cpu", torch.float64) + places
    mistaken = None
    if kinds is not None:
        place = prediction["place"].round().to(torch.int64)
        guessed = prediction["species"].argmax(-1)[graph.membership(), place].cpu()
        mistaken = guessed != kinds.cpu()
    open_ = prediction["open"].cpu() > 0
    rmsd, misplaced = [], torch.zeros(len(owner), dtype=torch.bool)
    for g, at in enumerate(torch.argsort(owner, stable=True).split(counts)):
        x, y = places[at], made[at]
        z = None if kinds is None else kinds.cpu()[at]
        cost = None if z is None else OTHER * (z.unsqueeze(1) != guessed[at]).to(torch.float64)
        match = matched(x, y, cost, None if turning and bool(open_[g]) else STILL)
        rmsd.append(match.rmsd)
        own = torch.argsort(match.partner)  # the atom that the alignment puts where each atom's place is
        misplaced[at] = ~equivalent(x, z)[own, torch.arange(len(x))]
    return Reconstructed(torch.tensor(rmsd, dtype=torch.float64), misplaced, mistaken)
