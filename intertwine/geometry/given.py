"""What is given for a field of a graph (arrays, lists, numbers) as a tensor of the right kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from intertwine.geometry.fields import FIELDS
from intertwine.numerics import GeometryError


def as_field(name: str, value: Any) -> Any:
    """Numbers as a tensor; a quantity of the whole graph gets the leading axis that batching needs."""
    if not isinstance(value, Tensor | np.ndarray | list | tuple | float | int):
        return value
    field = FIELDS.get(name)
    if field is None:
        return as_tensor(value, name)
    tensor = as_floating(value, name) if field.floating else as_whole(value, name)
    if name == "energy" and tensor.ndim == 2 and tensor.shape[1] == 1:
        return tensor.squeeze(1)  # a column minus a row would pair every graph with every other
    return tensor.unsqueeze(0) if field.level == "graph" and tensor.ndim == field.rank else tensor


def as_floating(value: Any, where: str) -> Tensor:
    """Real numbers; whole ones become float64."""
    tensor = as_tensor(value, where)
    if tensor.is_complex():
        raise GeometryError("complex numbers", where=where, remedy="give real numbers.")
    return tensor if tensor.is_floating_point() else tensor.to(torch.float64)


def as_whole(value: Any, where: str) -> Tensor:
    """Whole numbers as int64."""
    tensor = as_tensor(value, where)
    whole = tensor.to(torch.int64)
    if not torch.equal(whole.to(tensor.dtype), tensor):
        raise GeometryError("numbers that are not whole", where=where, remedy="give integers.")
    return whole


def as_cell(value: Any) -> Tensor:
    """Lattice vectors as rows, (graphs, 3, 3)."""
    cell = as_floating(value, "cell")
    if cell.shape[-2:] != (3, 3) or cell.ndim > 3:
        remedy = "give three lattice vectors as the rows of a 3x3 matrix, in A."
        raise GeometryError(f"shape {tuple(cell.shape)}", where="cell", remedy=remedy)
    return cell.reshape(-1, 3, 3)


def as_periodic(value: Any, graphs: int) -> Tensor:
    """Whether space repeats along each lattice vector, (graphs, 3)."""
    pbc = as_tensor(value, "pbc").to(torch.bool)
    if pbc.ndim > 2 or pbc.shape not in ((), (1,), (3,), (1, 3), (graphs, 3)):
        remedy = "give one bool, or one for each of the three lattice vectors."
        raise GeometryError(f"shape {tuple(pbc.shape)}", where="pbc", remedy=remedy)
    return pbc.expand(graphs, 3).clone()


def as_tensor(value: Any, where: str) -> Tensor:
    """Lists and numbers become float64 or int64, arrays and tensors keep their precision (the global default is never
    read).
    """
    if isinstance(value, Tensor):
        return value
    try:
        array = np.asarray(value)
        # a copy: files give foreign byte orders, read-only views
        return torch.as_tensor(array.astype(array.dtype.newbyteorder("=")))
    except (TypeError, ValueError) as error:
        remedy = "give rows of equal length, all numbers."
        if where == "z":
            remedy = "give atomic numbers; of an ASE structure, atoms.numbers."
        elif hasattr(value, "get_positions"):
            remedy = (
                "of an ASE structure: Graph(atoms.positions, z=atoms.numbers), if periodic with cell=atoms.cell[:], "
                "pbc=atoms.pbc."
            )
        raise GeometryError("not an array of numbers", where=where, remedy=remedy) from error
