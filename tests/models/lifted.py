"""What networks on orientations or directions keep beside the contract: their own group, exactly, and what it does to
their features."""

from __future__ import annotations

import pytest
import torch
from claimed import isometry, point_group
from contract import BOUNDS, ModelContract
from torch import Tensor

from intertwine.geometry import act, connect
from intertwine.groups import FiniteGroup
from intertwine.nn import Backbone

LAYER = 500 * torch.finfo(torch.float64).eps  # docs/design.md, "Bounds"


def lively(model: Backbone) -> Backbone:
    """With weights half as large again: what the start leaves nearly linear nearly keeps all rotations."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1.5
    return model


class LiftedContract(ModelContract):
    """Subclasses define the fixture ``model`` of a model whose card names a finite group."""

    lacks = ("rotation", "reflection")  # of all of which it keeps those of its group

    def group(self, model: Backbone) -> FiniteGroup:
        group = point_group(model.card.symmetry, self.dimension)
        assert group is not None
        return group

    @pytest.mark.parametrize("dtype", BOUNDS, ids=str)
    def test_its_group_is_kept(self, model: Backbone, dtype: torch.dtype, quick: bool) -> None:
        """Its elements, with a shift; a crystal turns with its cell."""
        model, matrices = model.to(dtype), self.group(model).matrices
        assert matrices is not None
        for name, graph in self.structures(model).items():
            graph = connect(graph, model.cutoff).cast(dtype)
            plain = model(graph).double()
            size = max(float(plain.detach().square().mean().sqrt()), 1e-3)
            for matrix in matrices[:: 1 + len(matrices) // (5 if quick else 30)]:
                expected = model.irreps_out.transform(matrix, plain)
                error = (model(act(isometry(matrix), graph)).double() - expected).abs().max() / size
                assert error < (LAYER if dtype == torch.float64 else BOUNDS[dtype]), name

    def test_features_are_permuted(self, model: Backbone) -> None:
        """The feature map transforms by the regular (or quotient) representation and the action on points: what node i
        had at h it has at g h."""
        graph, matrices = connect(self.graph(5), model.cutoff), self.group(model).matrices
        assert matrices is not None
        f = model.lifted(model.ready(graph))
        for matrix in matrices[:: 1 + len(matrices) // 12]:
            moved = model.lifted(model.ready(act(isometry(matrix), graph)))
            order = self.images(model, matrix)
            assert sorted(order.tolist()) == list(range(f.shape[1]))
            assert (moved[:, order] - f).abs().max() < LAYER * f.square().mean().sqrt()
        assert (f - f.mean(1, keepdim=True)).abs().max() > 1e-3  # or nothing has been seen

    def images(self, model: Backbone, matrix: Tensor) -> Tensor:
        """The number of g h for each orientation or direction h."""
        grid = model.directions.points if hasattr(model, "directions") else model.orientations.matrices
        moved = grid @ matrix.T if grid.ndim == 2 else matrix @ grid
        distance = torch.cdist(moved.flatten(1), grid.flatten(1))
        assert distance.amin(1).max() < 1e-7
        return distance.argmin(1)
