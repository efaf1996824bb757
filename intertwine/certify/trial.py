"""One function in one precision on its structures: reference outputs, their sizes, and how deviations are measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.certify.structures import Structure
from intertwine.certify.subject import Subject
from intertwine.geometry import Graph, act
from intertwine.groups import DirectSum, Isometry, Representation
from intertwine.o3 import Irreps

SMALLEST_PART = 1e-2  # parts of an output smaller than this times the whole are measured on the scale of the whole
ROUNDING_ULPS = 4  # units in the last place of a result that do not count: no function of its inputs could avoid them

NOISE_PER_LOSS = 4  # times the loss of a precision against float64 is no broken symmetry
#: Times the stated bound: the loss is measured on the function itself, so it would excuse any error of that precision.
MOST_ALLOWED_PER_BOUND = 4

#: Largest relative error of a model of four layers under a symmetry (docs/design.md, "Numbers to live by").
BOUNDS = {torch.float64: 1e-12, torch.float32: 2e-5}


class Finding(NamedTuple):
    """Largest error of one output (relative to its size), the bound, and the case in words."""

    error: float
    bound: float
    worst: str


#: What a check returns: findings by output name, or the reason why it does not apply.
Findings = dict[str, Finding] | str

#: Outputs by name, as a function of the way (A) gone along a direction.
Path = Callable[[float], dict[str, Tensor]]


class Trial:
    r"""A subject and what it gives on each structure.

    Args:
        subject: the function.
        structures: graphs in float64, at least one, all of which the function takes.
        generator: random numbers.
        bound: largest relative error under a symmetry; None for the default of the precision.
        rotations: number of random rotations.
        spread: on how many structures each special element is tried.
        exact: the same function in float64, for a subject of lower precision: tells the rounding of inputs from errors.
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
    ) -> None:
        self.subject = subject
        self.generator = generator
        self.rotations = rotations
        self.spread = spread
        self.exact = exact
        self.eps = torch.finfo(subject.dtype).eps
        self.bound = bound if bound is not None else BOUNDS.get(subject.dtype, 40 * self.eps)
        self.structures = [Structure(s.name, s.graph.cast(subject.dtype)) for s in structures]
        self.outputs = [subject(s.graph) for s in self.structures]
        self.references = [exact(s.graph.double()) for s in self.structures] if exact is not None else []
        self.keeps_points = self._keeps_points()
        # by structure: random directions, made once for all tests of forces
        self.paths: dict[int, list[tuple[Tensor, Path]]] = {}
        self.quantities = subject.quantities
        self.sizes = {name: self._sizes(name) for name in self.quantities}
        self.peaks = {name: self._peaks(name) for name in self.quantities}
        pairs = list(zip(self.outputs, self.references, strict=True)) if exact is not None else []
        self.noise = {
            name: max((self.deviation(name, out[name], ref[name]) for out, ref in pairs if name in out), default=0.0)
            for name in self.quantities
        }

    def allowed(self, name: str, error: float) -> float:
        """The bound under a symmetry: the stated one, or for larger errors what the precision loses against float64.

        A float32 function that is 1e-5 away from its own float64 values can't be symmetric to better than that. No more
        than 4 times the stated bound are allowed: an error made in float32 alone is such a loss, too.
        """
        noise = self.noise[name]
        return (
            max(self.bound, min(NOISE_PER_LOSS * noise, MOST_ALLOWED_PER_BOUND * self.bound))
            if error > self.bound and noise < float("inf")
            else self.bound
        )

    def deviation(self, name: str, got: Tensor, expected: Tensor, *, peak: bool = False) -> float:
        r""":math:`\max |got - expected| / \mathrm{rms}(f)` over the parts of the representation, or infinite.

        The rms is that of the part over all structures, so a vector that vanishes on one of them by symmetry does no
        harm. With ``peak`` the largest absolute value stands in for the rms.
        """
        if got.shape != expected.shape:
            return float("inf")
        rounding = ROUNDING_ULPS * torch.finfo(got.dtype).eps
        got, expected = got.to(torch.float64), expected.to(torch.float64)
        if not bool(torch.isfinite(got).all()):
            return float("inf")
        excess = ((got - expected).abs() - rounding * expected.abs()).clamp(min=0)
        parts = zip(
            _parts(self.quantities[name].representation), (self.peaks if peak else self.sizes)[name], strict=True
        )
        return max(
            (float(excess[..., part].max()) / size for part, size in parts if excess[..., part].numel()), default=0.0
        )

    def rounding(self, k: int, g: Isometry, moved: Graph) -> dict[str, Tensor]:
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

    def size(self, name: str) -> float:
        """rms of an output, whole."""
        return max(self.sizes[name])

    def zero(self) -> list[str]:
        """Outputs that are zero in every component of every structure."""
        return [
            name
            for name in self.quantities
            if not any(bool((out[name] != 0).any()) for out in self.outputs if name in out)
        ]

    def _sizes(self, name: str) -> list[float]:
        """The size of each part of an output; 1 for an output that is zero everywhere."""
        quantity = self.quantities[name]
        if quantity.affine:  # points: their size is that of the structures
            spread = _rms([s.graph.pos - s.graph.pos.mean(0) for s in self.structures if s.graph.num_nodes])
            return [spread or 1.0]
        values = [output[name] for output in self.outputs if name in output]
        size = _rms(values)
        if name == "energy" and "forces" in self.quantities:  # the rest of an energy is the constant of the free atoms
            # moving each atom 1 A
            work = [float(output["forces"].to(torch.float64).norm(dim=-1).sum()) for output in self.outputs]
            size = min(size, sum(work) / len(work)) or size
        parts = [_rms([value[..., part] for value in values]) for part in _parts(quantity.representation)]
        if len(parts) == 1:
            return [size or 1.0]
        return [max(part, SMALLEST_PART * size) or 1.0 for part in parts]

    def _peaks(self, name: str) -> list[float]:
        """The largest absolute value of each part of an output, or its size where that is more."""
        parts = _parts(self.quantities[name].representation)
        values = [
            [abs(output[name][..., part]).max() for output in self.outputs if name in output and output[name].numel()]
            for part in parts
        ]
        return [max([size, *map(float, peaks)]) for size, peaks in zip(self.sizes[name], values, strict=True)]


class Worst:
    """Keeps the largest deviation of each output and says where it was.

    Args:
        trial: what is tried.
        bound: the largest deviation that passes; None for that of a symmetry.
        peak: measure in units of the largest value, not of the root mean square.
    """

    def __init__(self, trial: Trial, bound: float | None = None, peak: bool = False) -> None:
        self.trial, self.bound, self.peak = trial, bound, peak
        self.largest: dict[str, tuple[float, str]] = {}

    def see(self, name: str, error: float, words: str) -> None:
        """One measured error of one output."""
        error = error if error == error else float("inf")
        if name not in self.largest or error > self.largest[name][0]:
            self.largest[name] = (error, words)

    def compare(self, got: dict[str, Tensor], expected: dict[str, Tensor], words: str) -> None:
        """All outputs against what they should be."""
        for name in expected:
            if name in got:
                self.see(name, self.trial.deviation(name, got[name], expected[name], peak=self.peak), words)
            else:
                self.see(name, float("inf"), f"{words}, not returned")

    def findings(self, why_not: str = "does not apply") -> Findings:
        """What was found, or ``why_not`` if nothing was seen."""
        return {name: self._finding(name, error, words) for name, (error, words) in self.largest.items()} or why_not

    def _finding(self, name: str, error: float, words: str) -> Finding:
        if self.bound is not None:
            return Finding(error, self.bound, words)
        bound, stated = self.trial.allowed(name, error), self.trial.bound
        if bound != stated:
            noise = self.trial.noise[name]
            allowed = f"allowed for that, up to {MOST_ALLOWED_PER_BOUND} times {stated:.0e}"
            words += f" (the precision itself loses {noise:.1e}: {allowed})"
        return Finding(error, bound, words)


def _parts(representation: Representation) -> list[slice]:
    """Where the parts of a direct sum lie on the last axis; everything for an indivisible representation."""
    if isinstance(representation, Irreps):
        return representation.slices() or [slice(None)]
    if isinstance(representation, DirectSum):
        ends = torch.tensor([mul * part.dim for mul, part in representation.terms]).cumsum(0).tolist()
        return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return [slice(None)]


def _rms(values: list[Float[Tensor, "..."]]) -> float:
    flat = torch.cat([torch.zeros(0, dtype=torch.float64), *(value.to(torch.float64).flatten() for value in values)])
    return float(flat.square().mean().sqrt()) if flat.numel() else 0.0
