r"""Finite groups: elements are integers 0, ..., N - 1 (0 the identity), products are read from a table.

A group may come with orthogonal matrices (N, n, n) by which it moves the points of R^n: rotations by 90 degrees, the
symmetries of a cube.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.groups import permutations
from intertwine.groups.group import Grid, Group
from intertwine.groups.irreps import FiniteIrrep, Matrices, regular_irreps
from intertwine.groups.young import young_irreps
from intertwine.numerics import InputError
from intertwine.numerics.linalg import apply
from intertwine.numerics.once import once

MOST = 2000  # elements: a table of four million products


class FiniteGroup(Group):
    r"""A group of N elements given by its table.

    Args:
        name: as it prints.
        table: entry (i, j) is the number of the product of elements i and j, (N, N); element 0 is the identity.
        matrices: orthogonal matrices (N, n, n) of the elements, a homomorphism; None if it moves no points.
        labels: a name for each element.
        known_irreps: makes name, matrices (N, dim, dim) and type of each irrep, where there is a formula for them.

    Raises:
        InputError: the table is not that of a group, or the matrices multiply otherwise.
    """

    is_compact = True
    element_shape = ()

    def __init__(
        self,
        name: str,
        table: Int[Tensor, "n n"],
        matrices: Float[Tensor, "n d d"] | None = None,
        labels: Sequence[str] | None = None,
        known_irreps: Callable[[], list[Matrices]] | None = None,
    ) -> None:
        self.known_irreps = known_irreps
        self.name, self.table, self.order = name, table, len(table)
        self.labels = list(labels) if labels is not None else [str(k) for k in range(self.order)]
        self._check()
        self.matrices = matrices
        if matrices is not None:
            self.space = matrices.shape[-1]
            _require_orthogonal(matrices, name)
            steps = self.generators()
            if (matrices[table[:, steps]] - matrices[:, None] @ matrices[steps]).abs().max() > 1e-9:
                raise InputError(f"the matrices do not multiply as {name} does", where="FiniteGroup")

    @classmethod
    def from_matrices(cls, name: str, generators: Float[Tensor, "k d d"]) -> FiniteGroup:
        """The group that orthogonal matrices generate.

        Raises:
            InputError: they generate more than 2,000 elements.
        """
        _require_orthogonal(generators, name)
        generators = generators.to(torch.float64)
        eye = torch.eye(generators.shape[-1], dtype=torch.float64)
        elements, new = eye[None], eye[None]
        while len(new):
            products = (new[:, None] @ generators).flatten(0, 1)
            products = products[_first_of_each(products)]
            far = (products[:, None] - elements).flatten(2).abs().amax(-1).amin(1) > 1e-6
            new = products[far]
            elements = torch.cat([elements, new])
            if len(elements) > MOST:
                raise InputError(
                    f"the matrices generate more than {MOST} elements",
                    where=name,
                    remedy="use angles that divide 2 pi.",
                )
        # a product of many factors has gathered rounding: the nearest orthogonal matrix has none
        u, _, v = torch.linalg.svd(elements)
        elements = u @ v
        flat = elements.flatten(1)
        # right products by the generators, and from these column by column: h s has the column of h, moved by s
        steps = [torch.cdist((elements @ s).flatten(1), flat).argmin(-1) for s in generators]
        table = torch.full((len(elements), len(elements)), -1)
        table[:, 0] = torch.arange(len(elements))
        todo = [0]
        while todo:
            h = todo.pop()
            for step in steps:
                if table[0, target := int(step[h])] < 0:
                    table[:, target] = step[table[:, h]]
                    todo.append(target)
        return cls(name, table, elements)

    @classmethod
    def from_permutations(cls, name: str, generators: Sequence[Sequence[int]]) -> FiniteGroup:
        """The group that permutations generate; its matrices permute the axes of R^n."""
        points = len(generators[0])
        members = permutations.germinate([tuple(g) for g in generators]) | {permutations.identity(points)}
        if len(members) > MOST:
            raise InputError(f"{len(members)} elements", where=name, remedy=f"a table is kept for {MOST} at most.")
        images = torch.tensor(sorted(members))
        places = points ** torch.arange(points - 1, -1, -1)
        code = images @ places  # increasing, since the elements are sorted
        products = (images[:, images] @ places).flatten()
        table = torch.searchsorted(code, products).reshape(len(images), -1)
        matrices = torch.zeros(len(images), points, points, dtype=torch.float64)
        matrices.scatter_(1, images[:, None], 1.0)
        whole = len(images) == math.factorial(points)
        known = partial(young_irreps, images, table) if whole else None
        return cls(name, table, matrices, ["".join(map(str, p)) for p in images.tolist()], known)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, FiniteGroup) or self.name != other.name or not torch.equal(self.table, other.table):
            return False
        a, b = self.matrices, other.matrices
        return (a is None) == (b is None) and (a is None or b is None or (a.shape == b.shape and torch.equal(a, b)))

    __hash__ = Group.__hash__

    def identity(self, dtype: torch.dtype = torch.int64, device: torch.device | str | None = None) -> Tensor:
        return torch.zeros((), dtype=torch.int64, device=device)

    def product(self, g: Tensor, h: Tensor) -> Tensor:
        return self.table.to(g.device)[g, h]

    def inverse(self, g: Tensor) -> Tensor:
        return self.inverses.to(g.device)[g]

    def distance(self, g: Tensor, h: Tensor) -> Float[Tensor, "..."]:
        return (g != h).to(torch.float64)

    @once
    def inverses(self) -> Int[Tensor, " n"]:
        """The inverse of each element."""
        return (self.table == 0).to(torch.int64).argmax(1)

    def linear(self, g: Tensor) -> Float[Tensor, "*batch d d"]:
        if self.matrices is None:
            return super().linear(g)
        return self.matrices.to(g.device)[g]

    def act(self, g: Tensor, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return apply(self.linear(g).to(x), x)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randint(self.order or 1, (n,), generator=generator)

    def elements(self) -> Tensor:
        return torch.arange(self.order or 1)

    def grid(self, order: int = 0) -> Grid:
        n = self.order or 1
        return Grid(self.elements(), torch.full((n,), 1 / n, dtype=torch.float64), float("inf"))

    def generators(self) -> Tensor:
        return self._steps

    @once
    def _steps(self) -> Int[Tensor, " k"]:
        """Elements that generate all, each the first that those before it don't; of a group of one, that one."""
        steps: list[int] = []
        reached = torch.zeros(self.order or 1, dtype=torch.bool)
        reached[0] = True
        while not reached.all():
            steps.append(int((~reached).to(torch.int64).argmax()))
            reached[:] = False
            reached[0] = True
            new = torch.tensor([0])
            while len(new):
                products = self.table[new[:, None], torch.tensor(steps)].flatten().unique()
                new = products[~reached[products]]
                reached[new] = True
        return torch.tensor(steps or [0])

    @once
    def classes(self) -> Int[Tensor, " n"]:
        """The number of the conjugacy class of each element; classes are numbered by their first element."""
        every = self.elements()
        conjugates = self.table[self.table[every[:, None], every], self.inverses[every][:, None]]  # (by, of)
        return conjugates.amin(0).unique(return_inverse=True)[1]

    def irreps(self, limit: int = 0) -> list[FiniteIrrep]:  # type: ignore[override]
        """All real irreps, the trivial one first; ``limit`` has no effect."""
        return self._irreps

    @once
    def _irreps(self) -> list[FiniteIrrep]:
        if self.known_irreps is not None:
            return [FiniteIrrep(self, *known) for known in self.known_irreps()]
        inversion = None
        if self.matrices is not None and self.space == 3:
            where = (self.matrices + torch.eye(3, dtype=torch.float64)).flatten(1).abs().amax(1) < 1e-9
            inversion = int(where.nonzero()[0, 0]) if where.any() else None
        return [FiniteIrrep(self, *known) for known in regular_irreps(self.table, self.inverses, inversion)]

    def _check(self) -> None:
        table, n = self.table, self.order or 0
        every = torch.arange(n)
        wrong = ""
        if table.ndim != 2 or table.shape != (n, n) or not n:
            wrong = f"a table of shape {tuple(table.shape)}"
        elif not (torch.equal(table.sort(0)[0], every[:, None].expand(n, n)) and torch.equal(table[0], every)):
            wrong = "a column misses an element, or element 0 is not the identity"
        elif not (torch.equal(table.sort(1)[0], every.expand(n, n)) and torch.equal(table[:, 0], every)):
            wrong = "a row misses an element, or element 0 is not the identity"
        elif any(not torch.equal(table[table[:, s]], table[:, table[s]]) for s in self._steps):
            wrong = "(a b) c is not a (b c)"  # Light's test: for b among the generators is enough
        if wrong:
            raise InputError(wrong, where=f"table of {self.name}", remedy="give the table of a group.")


class Subgroup(FiniteGroup):
    """Some elements of a finite group, as a group of their own.

    Args:
        parent: the group.
        members: numbers of its elements, which generate the subgroup.
    """

    def __init__(self, parent: FiniteGroup, members: Sequence[int] | Int[Tensor, " k"], name: str = "") -> None:
        numbers = torch.as_tensor(members, dtype=torch.int64).flatten()
        if ((numbers < 0) | (numbers >= (parent.order or 1))).any():
            raise InputError(
                f"{numbers.tolist()} among the elements of {parent}",
                where="Subgroup",
                remedy=f"they have the numbers 0 to {(parent.order or 1) - 1}.",
            )
        inside = torch.zeros(parent.order or 1, dtype=torch.bool)
        inside[0] = True
        inside[numbers] = True
        while True:
            index = inside.nonzero()[:, 0]
            products = parent.table[index[:, None], index]
            if inside[products].all():
                break
            inside[products.flatten()] = True
        self.parent, self.members = parent, index
        number = torch.full((parent.order or 1,), -1)
        number[index] = torch.arange(len(index))
        matrices = parent.matrices[index] if parent.matrices is not None else None
        super().__init__(
            name or f"{parent.name}/{len(index)}:{index.tolist() if len(index) < 7 else hash(tuple(index.tolist()))}",
            number[products],
            matrices,
            [parent.labels[k] for k in index],
        )

    def include(self, g: Tensor) -> Tensor:
        """The elements of the parent that elements of the subgroup are."""
        return self.members.to(g.device)[g]


def _require_orthogonal(matrices: Float[Tensor, "k d d"], name: str) -> None:
    exact = matrices.to(torch.float64)
    error = (exact @ exact.mT - torch.eye(exact.shape[-1], dtype=torch.float64)).abs().max()
    if not error < 1e-6:
        raise InputError(
            f"matrices with A A^T - 1 up to {float(error):.2g}", where=name, remedy="give orthogonal ones."
        )


def _first_of_each(matrices: Float[Tensor, "k d d"]) -> Int[Tensor, " m"]:
    """Of matrices that are equal but for rounding, the number of the first."""
    close = (matrices[:, None] - matrices).flatten(2).abs().amax(-1) < 1e-6
    first = close.to(torch.int64).argmax(1)
    return first.unique()
