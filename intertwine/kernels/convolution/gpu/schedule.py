r"""What the two GPU kernels do for a plan, as tables of small numbers that they unroll while they are compiled.

A *job* is what one launch does. All its terms have equally many channels, and what it adds up stays in registers, so a
plan with many components is cut into several jobs: by blocks of z for ``gather``, by blocks of x for ``scatter``. No
two jobs write to the same place, but for dy: each job and block of channels has its own, and they are added at the end.

Numbers in the tables:

* ``numbers``: the components of y that the job reads, of each version of y one after the other;
* ``features``: the components of x that it reads, in the same way;
* ``products``: :math:`\sum_p f_p \sum_q v_{pq} y_{pq}` as ``((f, ((y, v), ...)), ...)``, f and y places among features
  and numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import groupby

from intertwine.kernels.convolution.forms import Forms
from intertwine.kernels.convolution.plan import Channelwise, Term
from intertwine.kernels.shared.strip import Strip

#: Bytes of one channel of z that a job of each kernel may write or read: few enough for the registers of a thread (1020
#: bytes), where they meet what they are multiplied with; the fewer a thread needs, the more of them hide the time that
#: memory takes to answer. And Triton compiles two small programs faster than one large.
GATHERED_BYTES_PER_JOB, SCATTERED_BYTES_PER_JOB = 256, 160

Entry = tuple[int, int, int, float]
Products = tuple[tuple[int, tuple[tuple[int, float], ...]], ...]


@dataclass(frozen=True, eq=False)
class Constant:
    """A value that Triton compiles in: cheap to compare (there is one object of each), and named by a digest of what it
    holds.
    """

    def __post_init__(self) -> None:
        content = repr([getattr(self, field.name) for field in fields(self)])
        object.__setattr__(self, "_digest", hashlib.sha256(content.encode()).hexdigest()[:20])

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self._digest}"  # type: ignore[attr-defined]


@dataclass(frozen=True, eq=False, repr=False)
class Table(Constant):
    """A part of a job that is a tuple: products or strips, as an argument of a function of a program."""

    rows: tuple


@dataclass(frozen=True, eq=False, repr=False)
class GatherStep(Constant):
    """One term in ``gather``.

    Attributes:
        w: its strip of weights; None if it has none.
        scales: (version of w, v, (place among the sums, products) of each component of z that is reached).
    """

    w: Strip | None
    scales: tuple[tuple[int, int, tuple[tuple[int, Products], ...]], ...]


@dataclass(frozen=True, eq=False, repr=False)
class GatherJob(Constant):
    """A launch of ``gather``.

    Attributes:
        channels: of each strip; xs: strips of x that are read; zs: strips of z that are written; ys: places in the row
            of y.
        versions: how many versions of x and of y are read.
        dims: sizes of the rows of x, y, z and w.
    """

    channels: int
    xs: tuple[Strip, ...]
    ys: tuple[int, ...]
    zs: tuple[Strip, ...]
    steps: tuple[GatherStep, ...]
    versions: tuple[int, int]
    dims: tuple[int, int, int, int]

    @property
    def summed(self) -> int:
        """Number of components of z."""
        return sum(strip.dim for strip in self.zs)


@dataclass(frozen=True, eq=False, repr=False)
class ScatterStep(Constant):
    r"""One term in ``scatter``.

    Attributes:
        base: place of its first component of x among those of one version of x.
        w, z: its strips of weights and of z; w is None if it has none.
        fan: number of its channels v of y.
        slopes: for each version of y and each v, (i, products) of :math:`h_i = \sum_k M_{ik} g_k`, the "features" being
            g.
        pairs: for each v, (i, ((k, ((place in dy, value), ...)), ...)).
        to_x: (version of y, version of w) that meet in dx; to_y: (of x, of w) in dy; to_w: (of x, of y) in dw.
    """

    base: int
    w: Strip | None
    z: Strip
    fan: int
    slopes: tuple[tuple[tuple[tuple[int, Products], ...], ...], ...]
    pairs: tuple[tuple[tuple[int, Products], ...], ...]
    to_x: tuple[tuple[int, int], ...]
    to_y: tuple[tuple[int, int], ...]
    to_w: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False, repr=False)
class ScatterJob(Constant):
    """A launch of ``scatter``.

    Attributes:
        channels, xs, ys, versions, dims: as in :class:`GatherJob`; versions of x, y and w.
        steps: its terms.
        asks: whether dx and dy are wanted.
    """

    channels: int
    xs: tuple[Strip, ...]
    ys: tuple[int, ...]
    steps: tuple[ScatterStep, ...]
    versions: tuple[int, int, int]
    dims: tuple[int, int, int, int]
    asks: tuple[bool, bool]

    @property
    def features(self) -> int:
        """Number of components of one version of x."""
        return sum(strip.dim for strip in self.xs)

    @property
    def asked_x(self) -> int:
        """Number of components of dx."""
        return self.features if self.asks[0] else 0

    @property
    def asked_y(self) -> int:
        """Number of components of dy."""
        return len(self.ys) if self.asks[1] else 0


@dataclass(frozen=True)
class Versions:
    """The tensors of each kind that forms name, in order: of "x", "a"; "y", "b"; "w", "c"."""

    x: tuple[str, ...]
    y: tuple[str, ...]
    w: tuple[str, ...]


def versions(forms: Forms, kernel: str) -> Versions:
    """The versions that ``kernel``, "gather" or "scatter", reads."""
    if kernel == "gather":
        return Versions(*(tuple(dict.fromkeys(form[at] for form in forms.z)) for at in range(3)))
    return Versions(
        tuple(dict.fromkeys(x for x, _ in (*forms.dy, *forms.dw))),
        tuple(dict.fromkeys((*(y for y, _ in forms.dx), *(y for _, y in forms.dw)))),
        tuple(dict.fromkeys(w for _, w in (*forms.dx, *forms.dy))),
    )


@lru_cache(maxsize=1024)
def gather_jobs(plan: Channelwise, forms: Forms, size: int) -> tuple[GatherJob, ...]:
    """The launches that give z; ``size`` is that of a number in bytes."""
    read = versions(forms, "gather")
    return tuple(
        _gather_job(plan, forms, read, zs, [term for term in plan.terms if term.z in zs])
        for zs in _parcels({term.z: term.z.dim for term in plan.terms}, GATHERED_BYTES_PER_JOB // size)
    )


def _gather_job(
    plan: Channelwise, forms: Forms, read: Versions, zs: Sequence[Strip], terms: Sequence[Term]
) -> GatherJob:
    xs, ys = tuple(dict.fromkeys(term.x for term in terms)), _places(terms)
    features = sum(strip.dim for strip in xs)
    steps = []
    for term in terms:
        first, base, scales = _base(xs, term.x), _base(zs, term.z), []
        for w in read.w:
            if term.w is None and w == "c":
                continue
            met = [(read.x.index(x), read.y.index(y)) for x, y, other in forms.z if other == w]
            for v, row in enumerate(term.y):
                places = [ys.index(place) for place in row]
                rows = tuple(
                    (base + k, _products(group, met, first, features, places, len(ys)))
                    for k, group in _grouped(term.entries, 2)
                )
                scales.append((read.w.index(w), v, rows))
        steps.append(GatherStep(term.w, tuple(scales)))
    dims = (plan.dim_x, plan.dim_y, plan.dim_z, plan.dim_w)
    return GatherJob(terms[0].x.mul, xs, ys, tuple(zs), tuple(steps), (len(read.x), len(read.y)), dims)


def _products(
    entries: Iterable[Entry],
    met: Iterable[tuple[int, int]],
    base: int,
    features: int,
    places: Sequence[int],
    numbers: int,
) -> Products:
    """The sum over i, and over the versions of x and y that meet, of x_i M_ik, for one k.

    ``base`` is the place of x_0 among ``features`` of one version; ``places[j]`` that of y_j among ``numbers``.
    """
    return tuple(
        (x * features + base + i, tuple((y * numbers + places[j], value) for _, j, _, value in group))
        for x, y in met
        for i, group in _grouped(entries, 0)
    )


@lru_cache(maxsize=1024)
def scatter_jobs(plan: Channelwise, forms: Forms, size: int) -> tuple[ScatterJob, ...]:
    """The launches that give dx, dy and dw; ``size`` is that of a number in bytes."""
    read = versions(forms, "scatter")
    work: dict[Strip, int] = {}
    for term in plan.terms:
        work[term.x] = work.get(term.x, 0) + term.z.dim
    return tuple(
        _scatter_job(plan, forms, read, xs, [term for term in plan.terms if term.x in xs])
        for xs in _parcels(work, SCATTERED_BYTES_PER_JOB // size)
    )


def _scatter_job(
    plan: Channelwise, forms: Forms, read: Versions, xs: Sequence[Strip], terms: Sequence[Term]
) -> ScatterJob:
    ys = _places(terms)
    steps = []
    for term in terms:
        weighted = term.w is not None
        slopes = tuple(
            tuple(_slopes(term, [number * len(ys) + ys.index(place) for place in places]) for places in term.y)
            for number in range(len(read.y))
        )
        pairs = tuple(_slopes(term, [ys.index(place) for place in places]) for places in term.y)
        steps.append(
            ScatterStep(
                _base(xs, term.x),
                term.w,
                term.z,
                len(term.y),
                slopes,
                pairs,
                tuple((read.y.index(y), read.w.index(w)) for y, w in forms.dx if weighted or w != "c"),
                tuple((read.x.index(x), read.w.index(w)) for x, w in forms.dy if weighted or w != "c"),
                tuple((read.x.index(x), read.y.index(y)) for x, y in forms.dw if weighted),
            )
        )
    dims = (plan.dim_x, plan.dim_y, plan.dim_z, plan.dim_w)
    counts = (len(read.x), len(read.y), len(read.w))
    return ScatterJob(terms[0].x.mul, tuple(xs), ys, tuple(steps), counts, dims, (bool(forms.dx), bool(forms.dy)))


def _slopes(term: Term, places: Sequence[int]) -> tuple[tuple[int, Products], ...]:
    return tuple(
        (i, tuple((k, tuple((places[j], value) for _, j, _, value in group)) for k, group in _grouped(rest, 2)))
        for i, rest in _grouped(term.entries, 0)
    )


def _grouped(entries: Iterable[Entry], at: int) -> list[tuple[int, list[Entry]]]:
    """(index, entries with it), ordered by the index at a place of the entry."""
    ordered = sorted(entries, key=lambda entry: entry[at])
    return [(index, list(group)) for index, group in groupby(ordered, key=lambda entry: entry[at])]


def _places(terms: Iterable[Term]) -> tuple[int, ...]:
    """Places in the row of y that the terms read."""
    return tuple(sorted({places[j] for term in terms for places in term.y for _, j, _, _ in term.entries}))


def _base(strips: Iterable[Strip], stop: Strip) -> int:
    """Number of components of the strips before ``stop``."""
    count = 0
    for strip in strips:
        if strip == stop:
            break
        count += strip.dim
    return count


def _parcels(work: Mapping[Strip, int], limit: int) -> list[list[Strip]]:
    """The strips in parcels of equally many channels and about equal work, not much more than ``limit``."""
    by_channels: dict[int, list[Strip]] = {}
    for strip in work:
        by_channels.setdefault(strip.mul, []).append(strip)
    parcels: list[list[Strip]] = []
    for alike in by_channels.values():
        total = sum(work[strip] for strip in alike)
        share = total / -(-total // limit)
        done, current = 0.0, -1
        for strip in alike:
            middle = int((done + work[strip] / 2) / share)
            if middle != current:
                parcels.append([])
                current = middle
            parcels[-1].append(strip)
            done += work[strip]
    return parcels
