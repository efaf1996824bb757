"""The outputs of a function, their sizes, and how deviations from them are measured: what all trials share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.certify.certificate import APPROXIMATE, IN_DISTRIBUTION, PASSED, SKIPPED
from intertwine.certify.subject import Quantity
from intertwine.groups import DirectSum, Representation
from intertwine.o3 import Irreps

SMALLEST_PART = 1e-2  # parts of an output smaller than this times the whole are measured on the scale of the whole
ROUNDING_ULPS = 4  # units in the last place of a result that do not count: no function of its inputs could avoid them

NOISE_PER_LOSS = 4  # times the loss of a precision against float64 is no broken symmetry
#: Times the stated bound: the loss is measured on the function itself, so it would excuse any error of that precision.
MOST_ALLOWED_PER_BOUND = 4

#: How a symmetry may hold, the strongest first.
SENSES = (PASSED, APPROXIMATE, IN_DISTRIBUTION)

#: Largest relative error of a model of four layers under a symmetry (docs/design.md, "Numbers to live by").
BOUNDS = {torch.float64: 1e-12, torch.float32: 2e-5}


class Finding(NamedTuple):
    """Largest error of one output (relative to its size), the bound, the case in words, and the sense in which it holds
    within the bound: exactly, or as the certificate's verdicts say.
    """

    error: float
    bound: float
    worst: str
    sense: str = PASSED


#: What a check returns: findings by output name, or the reason why it does not apply.
Findings = dict[str, Finding] | str


class Measured:
    """Outputs of a function in one precision.

    Args:
        quantities: what they are, by name.
        outputs: what the function gave on each input.
        references: the same in float64, for a function of lower precision; empty if it does not run there.
        dtype: precision.
        bound: largest relative error under a symmetry; None for the default of the precision.
    """

    def __init__(
        self,
        quantities: dict[str, Quantity],
        outputs: list[dict[str, Tensor]],
        references: list[dict[str, Tensor]],
        dtype: torch.dtype,
        bound: float | None,
    ) -> None:
        self.quantities, self.outputs, self.references = quantities, outputs, references
        self.eps = torch.finfo(dtype).eps
        self.bound = bound if bound is not None else BOUNDS.get(dtype, 40 * self.eps)
        self.sizes = {name: self._sizes(name) for name in quantities}
        self.peaks = {name: self._peaks(name) for name in quantities}
        pairs = list(zip(outputs, references, strict=True)) if references else []
        self.trivial = {name: words for name in quantities if (words := self._triviality(name))}
        self.noise = {
            name: max((self.deviation(name, out[name], ref[name]) for out, ref in pairs if name in out), default=0.0)
            for name in quantities
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
            parts_of(self.quantities[name].representation), (self.peaks if peak else self.sizes)[name], strict=True
        )
        return max(
            (float(excess[..., part].max()) / size for part, size in parts if excess[..., part].numel()), default=0.0
        )

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

    def _triviality(self, name: str) -> str:
        """Why an output of these values shows nothing; "" where it shows something."""
        values = [output[name].flatten() for output in self.outputs if name in output]
        if name in self.zero():
            return f"every number of {name} is zero"
        constant = len(values) > 1 and all(value.numel() and bool((value == values[0][:1]).all()) for value in values)
        return f"{name} is the same number on all inputs" if constant else ""

    def _whole(self, name: str) -> float:
        """The size of an output, on which parts that are nearly zero are measured."""
        return rms([output[name] for output in self.outputs if name in output])

    def _sizes(self, name: str) -> list[float]:
        """The size of each part of an output; 1 for an output that is zero everywhere."""
        size = self._whole(name)
        values = [output[name] for output in self.outputs if name in output]
        parts = [rms([value[..., part] for value in values]) for part in parts_of(self.quantities[name].representation)]
        if len(parts) == 1:
            return [size or 1.0]
        return [max(part, SMALLEST_PART * size) or 1.0 for part in parts]

    def _peaks(self, name: str) -> list[float]:
        """The largest absolute value of each part of an output, or its size where that is more."""
        parts = parts_of(self.quantities[name].representation)
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

    Attributes:
        untold: why elements that were tried told nothing, where there were such.
        trivial: why no error of an output, by its name, shows nothing; at first what the values themselves say.
    """

    def __init__(self, trial: Measured, bound: float | None = None, peak: bool = False) -> None:
        self.trial, self.bound, self.peak = trial, bound, peak
        self.largest: dict[str, tuple[tuple[bool, int, float], Finding]] = {}
        self.untold = ""
        self.trivial = dict(trial.trivial)

    def see(self, name: str, error: float, words: str, bound: float | None = None, sense: str = PASSED) -> None:
        """One measured error of one output; with a bound of its own where it holds in another sense than exactly.

        What fails counts before what passes, and a weaker sense before a stronger.
        """
        error = error if error == error else float("inf")
        allowed = next(limit for limit in (bound, self.bound, self.trial.bound) if limit is not None)
        rank = (error > allowed, SENSES.index(sense), error / allowed if allowed else error)
        if name not in self.largest or rank > self.largest[name][0]:
            self.largest[name] = (rank, Finding(error, bound if bound is not None else -1.0, words, sense))

    def compare(self, got: dict[str, Tensor], expected: dict[str, Tensor], words: str) -> None:
        """All outputs against what they should be."""
        for name in expected:
            if name in got:
                self.see(name, self.trial.deviation(name, got[name], expected[name], peak=self.peak), words)
            else:
                self.see(name, float("inf"), f"{words}, not returned")

    def findings(self, why_not: str = "does not apply") -> Findings:
        """What was found, and beside it that some told nothing; ``untold``, or else ``why_not``, if nothing was
        seen.
        """
        findings = {name: self._finding(name, finding) for name, (_, finding) in self.largest.items()}
        if findings and self.untold:
            findings[""] = Finding(0.0, 0.0, f"some elements: {self.untold}", SKIPPED)
        return findings or self.untold or why_not

    def _finding(self, name: str, finding: Finding) -> Finding:
        if finding.error == 0 and name in self.trivial:
            finding = finding._replace(worst=f"{finding.worst}; shows nothing: {self.trivial[name]}")
        if finding.bound >= 0:
            return finding
        if self.bound is not None:
            return finding._replace(bound=self.bound)
        words = finding.worst
        bound, stated = self.trial.allowed(name, finding.error), self.trial.bound
        if bound != stated:
            noise = self.trial.noise[name]
            allowed = f"allowed for that, up to {MOST_ALLOWED_PER_BOUND} times {stated:.0e}"
            words += f" (the precision itself loses {noise:.1e}: {allowed})"
        return finding._replace(bound=bound, worst=words)


def parts_of(representation: Representation) -> list[slice]:
    """Where the parts of a direct sum lie on the last axis; everything for an indivisible representation."""
    if isinstance(representation, Irreps):
        return representation.slices() or [slice(None)]
    if isinstance(representation, DirectSum):
        ends = torch.tensor([mul * part.dim for mul, part in representation.terms]).cumsum(0).tolist()
        return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return [slice(None)]


def rms(values: list[Float[Tensor, "..."]]) -> float:
    """Root mean square of all numbers; 0 of none."""
    flat = torch.cat([torch.zeros(0, dtype=torch.float64), *(value.to(torch.float64).flatten() for value in values)])
    return float(flat.square().mean().sqrt()) if flat.numel() else 0.0
