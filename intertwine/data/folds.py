"""Helices and sheets with ideal bonds and side chains, and perturbed backbones to refine."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.data.residues import residue_graph
from intertwine.data.splits import Splits
from intertwine.data.store import GraphStore
from intertwine.geometry import Graph
from intertwine.geometry.residues import LETTERS, Chain, backbone
from intertwine.nn.frames import residue_frames
from intertwine.nn.side_chains import all_atoms, group_frames
from intertwine.numerics import InputError
from intertwine.o3 import axis_angle_to_matrix

HELIX, STRAND = (-57.0, -47.0), (-120.0, 125.0)  # phi and psi in degrees: Pauling's alpha helix; a flat strand
SPREAD, WOBBLE, CHI_WOBBLE = 3.0, 2.0, 5.0  # degrees: of a whole structure, of each residue, of side chains
HYDROGEN_BOND, HYDROGEN_BOND_WIDTH = 2.9, 0.25  # A, between N and O
TRIED_SHIFTS = 64  # of those with the best bonds, in which atoms must not collide
NEAREST = 2.6  # A, between other backbone atoms of two strands
#: The most frequent rotamer of each residue, chi1 to chi4 in degrees; in strands chi1 is that of STRAND_CHI1 if any.
ROTAMERS = {
    "R": (-67, 180, 65, 180), "N": (-70, -30), "D": (-70, -15), "C": (-65,), "Q": (-67, 180, -25), "E": (-67, 180, -10),
    "H": (-65, -70), "I": (-65, 170), "L": (-65, 175), "K": (-67, 180, 180, 180), "M": (-65, -65, -70), "F": (-65, 85),
    "P": (30, -32), "S": (62,), "T": (62,), "W": (-65, 95), "Y": (-65, 85), "V": (175,),
}  # fmt: skip
STRAND_CHI1 = {"F": 180, "Y": 180, "W": 180, "H": 180, "S": -65, "T": -60, "K": 180, "E": 180}


class Fold(NamedTuple):
    """A structure: sequence, number of each residue (a gap of 5 between strands), heavy atoms (residues, 14, 3) in A,
    nan where there is none."""

    residue: Int[Tensor, " residues"]
    number: Int[Tensor, " residues"]
    atoms: Float[Tensor, "residues 14 3"]


def structure(
    *, seed: int = 0, train: int = 400, validation: int = 50, test: int = 50, noise: float = 1.0, turn: float = 20.0,
    progress: bool = True,
) -> GraphStore:  # fmt: skip
    """Perturbed backbones of helices and sheets, to be refined: half of each, of random sequences and lengths.

    A helix has 8 to 16 residues, a sheet 2 or 3 antiparallel strands of 5 or 6. Each residue is moved and turned by
    itself. Fields are those of :func:`intertwine.data.residue_graph`.

    Args:
        seed: of all random numbers.
        train, validation, test: numbers of structures.
        noise: standard deviation of each coordinate of a residue (A).
        turn: standard deviation of the angle that a residue is turned by about a random axis (degrees).
        progress: not used; there is nothing to wait for.

    Raises:
        InputError: a negative number, or no structures.
    """
    counts = {"train": train, "validation": validation, "test": test, "noise": noise, "turn": turn}
    for name, value in counts.items():
        if value < 0:
            raise InputError(f"{name} = {value}", where=name, remedy="give 0 or more.")
    total = train + validation + test
    if not total:
        raise InputError("no structures", where="train", remedy="give at least one.")
    generator = torch.Generator().manual_seed(seed)
    graphs = [perturbed(fold(k % 2 == 0, generator), noise, turn, generator) for k in range(total)]
    return GraphStore.from_graphs(
        graphs,
        name="structure",
        units={"pos": "A", "target_atoms": "A"},
        notes=[f"helices and sheets, seed {seed}: residues moved by {noise:g} A and turned by {turn:g} degrees"],
        splits=Splits(range(train), range(train, train + validation), range(train + validation, total)),
        task="structure",
    )


def fold(helical: bool, generator: torch.Generator) -> Fold:
    """A helix, or a sheet, of a random sequence; backbone angles vary by some degrees.

    Args:
        helical: a helix.
        generator: of random numbers.
    """

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    def angles(degrees: tuple[float, float], count: int) -> list[Tensor]:
        spread = SPREAD * torch.randn(2, 1, generator=generator, dtype=torch.float64)
        wobble = WOBBLE * torch.randn(2, count, generator=generator, dtype=torch.float64)
        return list(torch.deg2rad(torch.tensor(degrees, dtype=torch.float64).unsqueeze(1) + spread + wobble).unbind(0))

    if helical:
        phi, psi = angles(HELIX, draw(8, 16))
        strands = [backbone(phi, psi)]
    else:
        count = draw(5, 6)
        phi, psi = angles(STRAND, count)
        psi = psi.clone()
        strands = [Chain(*_centred(backbone(phi, psi)))]
        for _ in range(draw(1, 2)):
            strands.append(paired(strands[-1], strands[:-1], psi))
    lengths = [len(strand.ca) for strand in strands]
    kinds = torch.randint(0, len(LETTERS), (sum(lengths),), generator=generator)
    proline = LETTERS.index("P")  # it has no hydrogen to bond with, and fits at the start only
    kinds[1:] = torch.where(kinds[1:] == proline, LETTERS.index("A"), kinds[1:])
    chain = Chain(*(torch.cat(column) for column in zip(*strands, strict=True)))
    number = torch.cat([torch.arange(length) + k * (lengths[0] + 5) for k, length in enumerate(lengths)])
    all_psi = psi.repeat(len(strands))
    return Fold(kinds, number, with_side_chains(chain, kinds, all_psi, helical, generator))


def with_side_chains(
    chain: Chain, kinds: Int[Tensor, " residues"], psi: Float[Tensor, " residues"], helical: bool,
    generator: torch.Generator,
) -> Float[Tensor, "residues 14 3"]:  # fmt: skip
    """All heavy atoms (A), the side chains as their most frequent rotamers; nan where a type has no atom.

    Args:
        chain: the backbone.
        kinds: residue types.
        psi: of each residue (radians), which places the oxygen.
        helical: whether it is a helix.
        generator: of the deviations of chi angles.
    """
    chi = torch.zeros(len(kinds), 4, dtype=torch.float64)
    for k, kind in enumerate(kinds.tolist()):
        letter = LETTERS[kind]
        rotamer = list(ROTAMERS.get(letter, ()))
        if rotamer and not helical:
            rotamer[0] = STRAND_CHI1.get(letter, rotamer[0])
        chi[k, : len(rotamer)] = torch.tensor(rotamer, dtype=torch.float64)
    chi = torch.deg2rad(chi + CHI_WOBBLE * torch.randn(chi.shape, generator=generator, dtype=torch.float64))
    angle = torch.cat([chi.new_zeros(len(kinds), 2), psi.unsqueeze(1), chi], dim=1)
    frames = residue_frames(*chain).transpose(1, 2)
    axes, origins = group_frames(kinds, frames, chain.ca, torch.stack([angle.sin(), angle.cos()], dim=-1))
    atoms, present = all_atoms(kinds, axes, origins)
    return torch.where(present.unsqueeze(-1), atoms, torch.nan)


def perturbed(fold: Fold, noise: float, turn: float, generator: torch.Generator) -> Graph:
    """The graph of a structure whose residues were moved and turned, each as a rigid body, with the structure itself as
    the target.

    Args:
        fold: the structure.
        noise: standard deviation of a coordinate (A).
        turn: standard deviation of the angle (degrees).
        generator: of random numbers.
    """
    count = len(fold.residue)
    step = noise * torch.randn(count, 3, generator=generator, dtype=torch.float64)
    axis = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    angle = math.radians(turn) * torch.randn(count, generator=generator, dtype=torch.float64)
    rotation = axis_angle_to_matrix(axis / axis.norm(dim=-1, keepdim=True), angle)
    ca = fold.atoms[:, 1]
    n, c = (((fold.atoms[:, k] - ca).unsqueeze(1) @ rotation.transpose(1, 2)).squeeze(1) + ca + step for k in (0, 2))
    return residue_graph(n, ca + step, c, fold.residue.tolist(), number=fold.number, target_atoms=fold.atoms)


def paired(strand: Chain, others: list[Chain], psi: Float[Tensor, " residues"]) -> Chain:
    r"""The antiparallel neighbour of a strand: its image under a half turn about an axis across the sheet, shifted to
    where the hydrogen bonds are best, :math:`\sum e^{-(d_{NO} - 2.9)^2 / 2 (0.25)^2}`, and no atoms collide.

    Args:
        strand: in its own axes, along x with the carbonyls along y.
        others: strands of the sheet already there, on whose other side it is placed.
        psi: of the strand (radians).
    """
    here = _with_oxygens(strand, psi)
    turned = [x * x.new_tensor([-1.0, -1.0, 1.0]) for x in here]
    centre = here[1].mean(0) - turned[1].mean(0)
    across = torch.arange(4.4, 5.7, 0.2, dtype=torch.float64)
    across = torch.cat([across, -across])
    if others:  # not on top of the last one
        across = across[across * (here[1].mean(0) - others[-1].ca.mean(0))[1] > 0]
    along, up = torch.arange(-3.6, 3.7, 0.2, dtype=torch.float64), torch.arange(-1.2, 1.3, 0.4, dtype=torch.float64)
    shifts = torch.cartesian_prod(along, across, up) + centre
    there = [x + shifts.unsqueeze(1) for x in turned]  # each (shifts, residues, 3)
    bonds = torch.cat([torch.cdist(here[0], there[3]), torch.cdist(there[0], here[3])], dim=1).flatten(1)
    value = torch.exp(-0.5 * ((bonds - HYDROGEN_BOND) / HYDROGEN_BOND_WIDTH).square()).sum(1)
    value, tried = value.topk(TRIED_SHIFTS)
    nearest = torch.cdist(torch.cat(here), torch.cat(there, dim=1)[tried]).flatten(1).amin(1)
    best = int(tried[(value - 10 * (NEAREST - nearest).clamp(min=0)).argmax()])
    return Chain(*(x[best] for x in there[:3]))


def _with_oxygens(chain: Chain, psi: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    kinds = torch.full((len(psi),), LETTERS.index("G"))
    angle = torch.zeros(len(psi), 7, dtype=torch.float64)
    angle[:, 2] = psi
    frames = residue_frames(*chain).transpose(1, 2)
    groups = group_frames(kinds, frames, chain.ca, torch.stack([angle.sin(), angle.cos()], dim=-1))
    return (*chain, all_atoms(kinds, *groups)[0][:, 3])


def _centred(chain: Chain) -> list[Tensor]:
    """A strand with its centre at the origin, its length along x and the direction of its carbonyls along y."""
    centre = chain.ca.mean(0)
    _, _, axes = torch.linalg.svd(chain.ca - centre)
    along = axes[0] * torch.sign(axes[0] @ (chain.ca[-1] - chain.ca[0]))
    carbonyl = torch.linalg.cross(chain.c - chain.ca, torch.linalg.cross(chain.c - chain.ca, chain.n - chain.ca))
    across = carbonyl - (carbonyl @ along).unsqueeze(1) * along
    _, _, directions = torch.linalg.svd(across)
    y = directions[0] - (directions[0] @ along) * along
    y = y / y.norm()
    basis = torch.stack([along, y, torch.linalg.cross(along, y)])
    return [(x - centre) @ basis.T for x in chain]
