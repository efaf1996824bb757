"""One function in one precision on its structures: reference outputs, their sizes, and how deviations are measured."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from intertwine.certify.claims import NOTHING, Claim
from intertwine.certify.measured import Measured, rms
from intertwine.certify.pixels import KINDS, STATED, moved_pixels
from intertwine.certify.spread import SEED
from intertwine.certify.structures import Structure
from intertwine.certify.subject import Subject
from intertwine.geometry import FIELDS, Graph, act
from intertwine.geometry.copies import is_invariant
from intertwine.groups import AffineMap, Isometry
from intertwine.numerics.once import once

TURNS = 4  # of each structure, that the loss of a precision is measured at
DIGITS = 5  # what reordering may change, in units of what the last digit of the positions does

#: Outputs by name, as a function of the way (A) gone along a direction.
Path = Callable[[float], dict[str, Tensor]]


class Trial(Measured):
    r"""A subject and what it gives on each structure.

    Args:
        subject: the function.
        structures: graphs in float64, at least one, all of which the function takes.
        generator: random numbers.
        bound: largest relative error under a symmetry; None for the default of the precision.
        rotations: number of random rotations.
        spread: on how many structures each special element is tried.
        exact: the same function in float64, for a subject of lower precision: tells the rounding of inputs from errors.
        claim: what is claimed; a claim in distribution has every draw but those of a comparison from one seed.
        draws: how many a comparison in distribution takes.
    """

    def __init__(
        self,
        subject: Subject,
        structures: list[Structure],
        generator: torch.Generator,
        bound: float | None,
        rotations: int,
        spread: int,
        exact: Subject | None = None,
        claim: Claim = NOTHING,
        draws: int = 0,
    ) -> None:
        self.subject, self.claim, self.draws = subject, claim, draws
        self.claimed_error: float | None = None  # of the symmetry of a mean by quadrature
        whole = subject.function
        self.in_frames = any(getattr(part, "in_frames", False) for part in (whole, getattr(whole, "backbone", whole)))
        self.images, self.approximation = subject.kind in KINDS, STATED
        for function in (subject, exact) if claim.random else ():
            if function is not None:
                function.seed = SEED
        self.generator = generator
        self.rotations = rotations
        self.spread = spread
        self.exact = exact
        self.structures = [Structure(s.name, s.graph.cast(subject.dtype)) for s in structures]
        outputs = [subject(s.graph) for s in self.structures]
        references = [exact(s.graph.double()) for s in self.structures] if exact is not None else []
        super().__init__(subject.quantities, outputs, references, subject.dtype, bound)
        self.keeps_points = self._keeps_points()
        # by structure: random directions, made once for all tests of forces
        self.paths: dict[int, list[tuple[Tensor, Path]]] = {}
        self.drawn: dict[int, list[dict[str, Tensor]]] = {}

    @once
    def digit(self) -> float:
        """What a rounding changes, relative to the largest value: what the last digit of the positions, and of all else
        that turns with a structure, does to the outputs, at least eps.

        A network amplifies it, which is no fault, up to the bound of rotations, beyond which it would be one. A
        function that says it is ``in_frames`` has no such limit: it rounds the positions anew in each frame, and its
        axes turn by the rounding over the gap between moments, or over what fixes a rotation; it is measured on all
        structures. No symmetry is used.
        """
        change = max((peak for peak, _ in self.of_last_digit.values()), default=0.0)
        return max(self.eps, change if self.in_frames else min(change, self.bound / DIGITS))

    def allowed(self, name: str, error: float) -> float:
        """As of :class:`Measured`; of a function ``in_frames`` the loss against float64 is also that where it is
        turned, which another frame rounds otherwise.
        """
        if self.in_frames and error > self.bound:
            self.noise[name] = max(self.noise[name], self.loss_turned[name])
        return super().allowed(name, error)

    @once
    def loss_turned(self) -> dict[str, float]:
        """The deviation from the same function in float64, of a few turned structures. No symmetry is used."""
        lost, generator = dict.fromkeys(self.quantities, 0.0), torch.Generator().manual_seed(SEED)
        if self.exact is None or self.images:
            return lost
        for structure in self.structures:
            for _ in range(TURNS):
                turned = act(Isometry.random(structure.graph.dimension, generator=generator), structure.graph)
                exactly = self.exact(turned.double())
                for name, value in self.subject(turned).items():
                    lost[name] = max(lost[name], self.deviation(name, value, exactly[name]))
        return lost

    @once
    def of_last_digit(self) -> dict[str, tuple[float, float]]:
        """What a rounding does to each output, relative to the largest value and to the root mean square."""
        change, generator = dict.fromkeys(self.quantities, (0.0, 0.0)), torch.Generator().manual_seed(SEED)
        measured = self.structures if self.in_frames else self.structures[: self.spread]
        for k, structure in enumerate(() if self.images else measured):
            for _ in range(3 if structure.graph.pos.numel() else 0):
                for name, value in self.subject(_rounded(structure.graph, generator)).items():
                    off = [self.deviation(name, value, self.outputs[k][name], peak=peak) for peak in (True, False)]
                    change[name] = max(change[name][0], off[0]), max(change[name][1], off[1])
        return change

    def moved(self, g: AffineMap, graph: Graph) -> tuple[Graph, bool]:
        """The graph under a map of space, and whether it is exact: an image is interpolated unless pixels meet
        pixels.
        """
        return moved_pixels(g, graph) if self.images else (act(g, graph), True)

    def draws_on(self, graph: Graph, first: int) -> list[dict[str, Tensor]]:
        """What a function that draws gives at ``draws`` seeds, from ``first`` on."""
        return [self.subject.at(first + k, graph) for k in range(self.draws)]

    def rounding(self, k: int, g: AffineMap, moved: Graph) -> dict[str, Tensor]:
        r"""What the rounding of :math:`g x` to the subject's precision does to the outputs of structure k in its frame.

        The rounded input is exactly :math:`g x'` of a slightly different structure
        :math:`x' = g^{-1}(\mathrm{round}(g x))`, so the outputs to expect are :math:`\rho(g) f(x')`, and
        :math:`f(x') - f(x)` is found in float64. This uses no symmetry of f.
        """
        if self.exact is None:
            return {}
        nearby = self.exact(act(g.inverse(), moved.double()))
        return {
            name: nearby[name].to(torch.float64) - value.to(torch.float64) for name, value in self.references[k].items()
        }

    def exactly(self, k: int) -> Graph | None:
        """Structure k with points of space in float64, which holds their digits anywhere, and all else in the subject's
        precision; None if the function can't take that."""
        return self.structures[k].graph.double().in_precision(self.subject.dtype) if self.keeps_points else None

    def _keeps_points(self) -> bool:
        try:
            return bool(self.subject(self.structures[0].graph.double().in_precision(self.subject.dtype)))
        except Exception:  # of whatever kind: it can't take two precisions at once
            return False

    def _whole(self, name: str) -> float:
        if self.quantities[name].affine:  # points: their size is that of the structures
            return rms([s.graph.pos - s.graph.pos.mean(0) for s in self.structures if s.graph.num_nodes])
        size = super()._whole(name)
        if name == "energy" and "forces" in self.quantities:  # the rest of an energy is the constant of the free atoms
            # moving each atom 1 A
            work = [float(output["forces"].to(torch.float64).norm(dim=-1).sum()) for output in self.outputs]
            size = min(size, sum(work) / len(work)) or size
        return size


def _rounded(graph: Graph, generator: torch.Generator) -> Graph:
    """The graph with another last digit of its positions, and of all other fields of nodes that turn with it."""
    changed = {}
    for name, x in graph.to_dict().items():
        if not isinstance(x, Tensor) or not x.is_floating_point() or graph.level(name) not in ("node", None):
            continue
        if x.numel() and not is_invariant(graph.representation(name)):
            size = (x - x.mean(0)).abs().amax() if name in FIELDS and FIELDS[name].affine else x.abs().amax()
            signs = 2 * torch.randint(2, x.shape, generator=generator).to(x) - 1
            changed[name] = x + torch.finfo(x.dtype).eps * size * signs
    return graph.replaced(**changed)
