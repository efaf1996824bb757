r"""Index symmetries of tensors: the group that a formula names, and a basis of the tensors that have the symmetry.

A formula such as ``"ijk=jik=-ikj"`` names the indices by its first term; every other term says that the tensor with its
indices in that order is the tensor itself, or minus it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from intertwine.groups.permutations import Permutation, closure, inverse
from intertwine.numerics import InputError


def germinate_formulas(formula: str) -> tuple[str, set[tuple[int, Permutation]]]:
    r"""The group of an index symmetry: every permutation of the indices that follows from the formula, with its sign.

    Args:
        formula: such as ``"ij=-ji"``.

    Returns:
        The names of the indices, and pairs (s, p) with :math:`T_{x_0 x_1 \ldots} = s\,T_{x_{p[0]} x_{p[1]} \ldots}`. If
        a permutation occurs with both signs, the tensor is zero.

    Raises:
        InputError: a term is not a permutation of the first one, an index occurs twice, or the first term has a sign.

    >>> indices, group = germinate_formulas("ij=-ji")
    >>> indices, sorted(group)
    ('ij', [(-1, (1, 0)), (1, (0, 1))])
    """
    if not isinstance(formula, str):
        raise InputError(
            f"{formula!r} is not a string",
            where="formula of an index symmetry",
            remedy="write, for instance, 'ij=-ji'.",
        )
    terms = [
        (-1 if term.startswith("-") else 1, term.removeprefix("-")) for term in formula.replace(" ", "").split("=")
    ]
    indices = terms[0][1]
    for s, term in terms:
        if not indices or len(set(indices)) != len(indices) or sorted(term) != sorted(indices) or terms[0][0] < 0:
            raise InputError(
                f"{'-' * (s < 0)}{term} is not a permutation of different indices without a sign",
                where=f"formula {formula!r}",
                remedy="name each index by one letter and write, for instance, 'ijk=jik=-ikj'.",
            )
    return indices, closure({(s, tuple(term.index(i) for i in indices)) for s, term in terms})


def share_values(f0: str, group: Iterable[tuple[int, Permutation]], values: Mapping[str, Any], kind: str) -> list[Any]:
    """One value for each index, where indices that the symmetry exchanges share theirs.

    Args:
        f0: the names of the indices.
        group: from :func:`germinate_formulas`.
        values: the value of each index, or of one of each set of indices that are exchanged.
        kind: what a value is, for the message.

    Raises:
        InputError: exchanged indices have different values, an index has none, or a value belongs to no index.
    """
    where, pairs = f"{kind} of the indices {f0!r}", {(f0[p[k]], name) for _, p in group for k, name in enumerate(f0)}
    if extra := set(values) - set(f0):
        raise InputError(f"{sorted(extra)} do not appear in the formula", where=where, remedy="leave them out.")
    shared = []
    for name in f0:
        equals = [values[other] for other in f0 if other in values and (other, name) in pairs | {(name, name)}]
        if not equals:
            raise InputError(f"index {name!r} has no {kind}", where=where, remedy=f"give {name}=...")
        if any(value != equals[0] for value in equals):
            raise InputError(
                f"the indices exchanged with {name!r} have different {kind}", where=where, remedy="give them the same."
            )
        shared.append(equals[0])
    return shared


def orbits(
    group: Iterable[tuple[int, Permutation]], shape: tuple[int, ...]
) -> tuple[Int[np.ndarray, " entries"], Float[np.ndarray, " entries"]]:
    r"""How the symmetry ties the entries of a tensor together.

    Args:
        group: from :func:`germinate_formulas`.
        shape: of the tensor; exchanged axes are equally long.

    Returns:
        For each entry, in the order of the flattened tensor, the number of its free component (-1 where the symmetry
        forces a zero) and the coefficient of that component in it. As the rows of a matrix, the components are
        orthonormal.
    """
    entries, group = prod(shape), sorted(group)
    grid, signs = np.arange(entries).reshape(shape), np.array([s for s, _ in group], dtype=np.float64)
    images = np.stack([grid.transpose(inverse(p)).reshape(-1) for _, p in group], axis=-1)
    first, sign = images.min(axis=-1, initial=max(entries - 1, 0)), signs[images.argmin(axis=-1)]
    zero = ((images == np.arange(entries)[:, None]) & (signs < 0)).any(axis=-1)
    roots, component, size = np.unique(first[~zero], return_inverse=True, return_counts=True)
    total = np.bincount(component, weights=sign[~zero], minlength=len(roots))
    # e3nn's choice of sign: more plus than minus, and of equally many the first entry is minus
    flip = np.where(total != 0, np.sign(total), -1.0)
    number, coefficient = np.full(entries, -1), np.zeros(entries)
    number[~zero] = component
    coefficient[~zero] = sign[~zero] * flip[component] / np.sqrt(size[component])
    return number, coefficient


def reduce_permutation(
    f0: str,
    formulas: Iterable[tuple[int, Permutation]],
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    **dims: int,
) -> tuple[Float[Tensor, "..."], list[list[tuple[int, tuple[int, ...]]]]]:
    r"""An orthonormal basis of the tensors that have an index symmetry.

    Args:
        f0: the names of the indices.
        formulas: the group, from :func:`germinate_formulas`.
        dtype: precision of the basis; None is torch's default.
        device: where it lives.
        **dims: the dimension of each index, or of one of each set of indices that the symmetry exchanges.

    Returns:
        The basis Q (free, dim, dim, ...), and for each of its tensors the non-zero entries: pairs of sign and position,
        sorted.

    Raises:
        InputError: see :func:`share_values`.

    >>> Q, entries = reduce_permutation(*germinate_formulas("ij=-ji"), i=2)
    >>> Q.shape, entries
    (torch.Size([1, 2, 2]), [[(-1, (0, 1)), (1, (1, 0))]])
    """
    formulas = list(formulas)
    shape = tuple(share_values(f0, formulas, dims, "dimension"))
    number, coefficient = orbits(formulas, shape)
    (kept,) = np.nonzero(number >= 0)
    Q = np.zeros((int(number.max(initial=-1)) + 1, len(number)))
    Q[number[kept], kept] = coefficient[kept]
    entries: list[list[tuple[int, tuple[int, ...]]]] = [[] for _ in Q]
    for flat in kept:
        position = tuple(int(i) for i in np.unravel_index(flat, shape))
        entries[number[flat]].append((1 if coefficient[flat] > 0 else -1, position))
    dtype = torch.empty(0, dtype=dtype).dtype
    return torch.tensor(Q.reshape(len(Q), *shape), dtype=dtype, device=device), [sorted(entry) for entry in entries]
