"""Weights that come from another network, and weights that stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.numerics import CheckpointError, InputError, nearest


def grown(
    weights: Mapping[str, Tensor],
    fresh: Mapping[str, Tensor],
    before: Sequence[int],
    after: Sequence[int],
    *,
    where: str = "",
) -> dict[str, Float[Tensor, "..."]]:
    """The tensors of a network that knows the species ``before``, for the same network with the species ``after``.

    A table by species is known by its shape: every axis whose length differs from the fresh network's has one row for
    each species, in the order of the atomic numbers (:class:`~intertwine.nn.SpeciesTable`). Old rows keep their bits;
    those of new species are fresh.

    Args:
        weights: tensors by name.
        fresh: those of a network of random weights with the species ``after``; it may have more tensors.
        before, after: atomic numbers; ``after`` has all of ``before``.
        where: they come from, for messages.

    Raises:
        CheckpointError: a tensor is unknown, or of a shape that more species do not explain; it is named.

    >>> new = grown({"w": torch.zeros(2, 3)}, {"w": torch.ones(3, 3)}, [1, 8], [1, 6, 8])
    >>> new["w"][:, 0]
    tensor([0., 1., 0.])
    """
    order = {z: row for row, z in enumerate(sorted(after))}
    rows = torch.tensor([order[z] for z in sorted(before)], dtype=torch.int64)
    result = {}
    for name, old in weights.items():
        if name not in fresh:
            raise CheckpointError(
                f"weights: unknown {name!r}; {nearest(name, fresh)}", where=where, remedy="use the model that it is of."
            )
        new = fresh[name].clone()
        axes = [axis for axis, sizes in enumerate(zip(old.shape, new.shape, strict=False)) if sizes[0] != sizes[1]]
        if old.ndim != new.ndim or any(
            (old.shape[axis], new.shape[axis]) != (len(before), len(after)) for axis in axes
        ):
            what = f"weights: {name} has shape {tuple(old.shape)}, not {tuple(new.shape)}"
            raise CheckpointError(what, where=where, remedy="only tables with one row for each species can grow.")
        places = [rows if axis in axes else torch.arange(size) for axis, size in enumerate(new.shape)]
        if axes:
            new[torch.meshgrid(*places, indexing="ij")] = old.to(new.dtype)
        result[name] = new if axes else old
    return result


def freeze(module: nn.Module, names: Sequence[str], inside: str = "") -> tuple[str, ...]:
    """Weights of parts of a module that training leaves alone: they no longer ask for gradients.

    Args:
        module: whose parts they are.
        names: of submodules or parameters, or patterns such as ``layers.*``.
        inside: a submodule whose parts may be called without its own name.

    Returns:
        Names of the outermost submodules without a weight that is trained: in evaluation mode, they keep their
        statistics, too.

    Raises:
        InputError: a name is unknown (the nearest is named) or has no weights, or all weights are frozen.
    """
    parameters = dict(module.named_parameters())
    known = {name: name for name in [*dict(module.named_modules()), *parameters] if name}
    known |= {name.removeprefix(f"{inside}."): name for name in list(known) if inside and name.startswith(f"{inside}.")}
    for pattern in names:
        matches = [full for name, full in known.items() if fnmatchcase(name, pattern)]
        if not matches:
            raise InputError(f"nothing is called {pattern!r}", where="freeze", remedy=nearest(pattern, _shallow(known)))
        chosen = [
            p for name, p in parameters.items() if any(name == full or name.startswith(f"{full}.") for full in matches)
        ]
        if not chosen:
            raise InputError(f"{pattern!r} has no weights", where="freeze", remedy=nearest(pattern, _shallow(known)))
        for parameter in chosen:
            parameter.requires_grad_(False)
    if parameters and not any(p.requires_grad for p in parameters.values()):
        raise InputError(
            "all weights are frozen, so nothing is left to train", where="freeze", remedy="leave out a name."
        )
    still: list[str] = []
    for name, part in module.named_modules():
        own = list(part.parameters())
        if own and not any(p.requires_grad for p in own) and not any(name.startswith(f"{outer}.") for outer in still):
            still.append(name)
    return tuple(still)


def _shallow(names: Mapping[str, str]) -> list[str]:
    """Names of two parts at most: a list of all would fill the screen."""
    return [name for name in names if name.count(".") < 2]
