r"""The channelwise form of a plan: a channel of x meets the components of y and stays that channel in z.

.. math::
    z_{u k} = \sum_{\text{terms}} \sum_{v} w_{u v} \sum_{i} M^{v}_{ik} x_{u i}, \qquad
    M^{v}_{ik} = \sum_j C_{ijk}\, y_{v j}

M is a few numbers for each edge, the same for all channels u: this is why a fused kernel needs so little arithmetic.
The connection ``uvu`` has this form, and so have the others wherever their multiplicities leave nothing to mix.
"""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, replace
from functools import lru_cache

from intertwine.kernels.plan import Operand, Path, Plan
from intertwine.kernels.shared.strip import Strip
from intertwine.numerics import InputError
from intertwine.numerics.once import once


@dataclass(frozen=True)
class Term:
    """One path.

    Attributes:
        x, z: its strips in the rows of x and z; equally many channels.
        w: its weights as a strip whose components are v; None if it has none.
        y: place in the row of y of component j of channel v, as ``y[v][j]``.
        entries: the coefficients ``(i, j, k, f C_ijk)`` that are not zero.
    """

    x: Strip
    z: Strip
    w: Strip | None
    y: tuple[tuple[int, ...], ...]
    entries: tuple[tuple[int, int, int, float], ...]


@dataclass(frozen=True)
class Channelwise:
    """All terms, and the sizes of the rows."""

    terms: tuple[Term, ...]
    dim_x: int
    dim_y: int
    dim_z: int
    dim_w: int

    def __hash__(self) -> int:
        return self._hash

    @once
    def _hash(self) -> int:  # a plan is looked up in every call, and has thousands of numbers
        return hash((self.terms, self.dim_x, self.dim_y, self.dim_z, self.dim_w))

    def holds(self, term: Term) -> bool:
        """Whether a term stays within the rows."""
        channels = len(term.y)
        strips = [(term.x, self.dim_x, term.x.dim), (term.z, self.dim_z, term.z.dim)]
        strips += [] if term.w is None else [(term.w, self.dim_w, channels)]
        return (
            all(strip.inside(size) and strip.dim == dim and strip.mul == term.x.mul for strip, size, dim in strips)
            and all(0 <= place < self.dim_y for y in term.y for place in y)
            and all(
                0 <= i < term.x.dim and 0 <= k < term.z.dim and 0 <= j < len(y)
                for i, j, k, _ in term.entries
                for y in term.y
            )
        )

    @once
    def coefficients(self) -> int:
        """How many there are: the length of straight-line code."""
        return sum(len(term.entries) * len(term.y) for term in self.terms)

    @once
    def components(self) -> tuple[int, ...]:
        """Places of the components of y that are read."""
        return tuple(sorted({place for term in self.terms for y in term.y for place in y}))

    @once
    def channels(self) -> int:
        """Most channels of a term: what vectors are filled with."""
        return max((term.x.mul for term in self.terms), default=0)

    @once
    def weighted(self) -> Channelwise:
        """The terms with weights: the derivative in the direction of w is their product with w replaced."""
        terms = tuple(term for term in self.terms if term.w is not None)
        return self if len(terms) == len(self.terms) else replace(self, terms=terms)

    def shapes(self, senders: int, receivers: int, edges: int) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor of the kernels, by its name in :mod:`intertwine.kernels.convolution.forms`, and of
        what names nodes of edges.
        """
        x = (senders, self.dim_x)
        y = (edges, self.dim_y)
        w = (edges, self.dim_w)
        z = (receivers, self.dim_z)
        ends = (edges,)
        real = {"x": x, "a": x, "dx": x, "y": y, "b": y, "dy": y, "w": w, "c": w, "dw": w, "g": z, "z": z}
        return real | {"order": ends, "source": ends, "destination": ends}

    def encode(self) -> str:
        """All of it as a text, so that a program that was exported needs nothing else."""
        return _encoded(self)

    @classmethod
    def decode(cls, text: str) -> Channelwise:
        """The inverse of :meth:`encode`.

        Raises:
            InputError: the text is none of a plan, or of one that reads or writes beside its rows.
        """
        return _decoded(text)


@lru_cache(maxsize=1024)
def _encoded(form: Channelwise) -> str:
    terms = [
        (astuple(term.x), astuple(term.z), astuple(term.w) if term.w else None, term.y, term.entries)
        for term in form.terms
    ]
    return json.dumps((form.dim_x, form.dim_y, form.dim_z, form.dim_w, terms), separators=(",", ":"))


@lru_cache(maxsize=1024)
def _decoded(text: str) -> Channelwise:
    try:
        *dims, terms = json.loads(text)
        decoded = []
        for x, z, w, y, entries in terms:
            places = tuple(tuple(row) for row in y)
            decoded.append(
                Term(
                    Strip(*x),
                    Strip(*z),
                    Strip(*w) if w else None,
                    places,
                    tuple((i, j, k, float(c)) for i, j, k, c in entries),
                )
            )
        form = Channelwise(tuple(decoded), *dims)
        sound = all(map(form.holds, form.terms)) and all(isinstance(dim, int) and dim >= 0 for dim in dims)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"no plan of a product: {text[:60]!r}", where="plan", remedy="give Channelwise.encode() of one."
        ) from error
    if not sound:
        raise InputError(
            "a path reads or writes beside its rows", where="plan", remedy="give Channelwise.encode() of a plan."
        )
    return form


_MOST_WEIGHTED_CHANNELS = 16  # channels of y that a weighted path may have: its weights lie in as many interleaved rows


@lru_cache(maxsize=1024)
def channelwise(plan: Plan) -> Channelwise | None:
    """The channelwise form of a plan; None if one of its paths mixes channels, or has too many channels of y."""
    terms = []
    for path in plan.paths:
        x, y, z = plan.blocks(path)
        if 0 in (x.mul, y.mul, z.mul) or path.factor == 0 or not path.table.entries:
            continue
        if not _reduces(plan, path):
            return None
        inner = {"mul_ir": "components", "ir_mul": "channels"}
        places = tuple(tuple(_place(plan.in2, path.in2, v, j) for j in range(y.dim)) for v in range(y.mul))
        terms.append(
            Term(
                Strip.of(x.mul, x.dim, x.start, innermost=inner[plan.in1.layout]),
                Strip.of(z.mul, z.dim, z.start, innermost=inner[plan.out.layout]),
                Strip.of(x.mul, y.mul, path.start, innermost="components") if path.weighted else None,
                places,
                tuple((i, j, k, path.factor * value) for i, j, k, value in path.table.entries),
            )
        )
    return Channelwise(tuple(terms), plan.in1.dim, plan.in2.dim, plan.out.dim, plan.weight_numel)


def _reduces(plan: Plan, path: Path) -> bool:
    """Whether the path is a ``uvu`` path in other words."""
    x, y, z = plan.blocks(path)
    if path.weighted and y.mul > _MOST_WEIGHTED_CHANNELS:
        return False
    if path.mode in ("uvu", "uvuv"):
        return path.mode == "uvu" or y.mul == 1
    if path.mode in ("uvv", "uuu", "uuw", "uvw"):
        return x.mul == z.mul == 1 and (y.mul == 1 or path.mode == "uvw")
    return False


def _place(operand: Operand, index: int, channel: int, component: int) -> int:
    block = operand.blocks[index]
    return block.start + (
        channel * block.dim + component if operand.layout == "mul_ir" else component * block.mul + channel
    )
