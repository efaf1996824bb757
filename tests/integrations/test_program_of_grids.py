"""Programs of networks of images, voxels and signals: for any number of images of one size, and in any order of the
nodes; another size is refused.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from switches import as_users_run_it

from intertwine.geometry import Graph, collate, permute, raster
from intertwine.integrations import export_program
from intertwine.models import MODELS, ClebschGordanNet
from intertwine.nn import Backbone
from intertwine.nn.groups.grid_backbone import GridBackbone
from intertwine.numerics import GeometryError
from intertwine.tasks import Classification, TensorForm

SMALL = {"width": 2, "layers": 2, "kernel": 3, "strides": (1,)}
OPTIONS = {"steerable_cnn_3d": {"width": 1, "kernel": 5, "lmax": 1}, "clebsch_gordan_net": {"lmax": 2}}
GRIDS = [name for name, kind in MODELS.items() if issubclass(kind, GridBackbone | ClebschGordanNet)]


def build(name: str) -> Backbone:
    torch.manual_seed(0)
    small = {"width": 2, "layers": 2} if name == "clebsch_gordan_net" else SMALL
    return MODELS[name](**small | OPTIONS.get(name, {}))


def entry(model: Backbone, seed: int, side: int = 6) -> Graph:
    """An image, voxels or a signal of random values."""
    draw = torch.Generator().manual_seed(seed)
    if model.trials == "signals":
        values = torch.randn(1, model.signal.dim, generator=draw)
        said = {"representations": {"signal": str(model.signal)}, "levels": {"signal": "node"}}
        return Graph(torch.zeros(1, 3), signal=values, **said)
    sizes = (side, side - 1) if model.dimension == 2 else (side - 2, side - 1, side - 2)
    return raster(torch.randn(1, *sizes, generator=draw))


@pytest.mark.parametrize("name", GRIDS)
def test_images_voxels_and_signals(name: str, tmp_path: Path) -> None:
    model = build(name)
    task = Classification(model, 3).eval()
    with as_users_run_it():
        description = export_program(task, tmp_path / "model.pt2", entry(model, 0))
        program = torch.export.load(tmp_path / "model.pt2").module()
        form = TensorForm(task, entry(model, 0))
        for count in (1, 5):
            batch = collate([entry(model, seed) for seed in range(count)])
            if model.trials != "signals":
                order = torch.randperm(batch.num_nodes, generator=torch.Generator().manual_seed(1))
                batch = permute(order[batch.membership()[order].argsort(stable=True)], batch)
            logits = program(form.inputs(batch))["logits"]
            torch.testing.assert_close(logits, task(batch)["logits"].detach(), rtol=1e-4, atol=1e-5)
    assert description["outputs"] == {"logits": {"unit": "", "level": "graph"}}
    if model.trials != "signals":
        with pytest.raises(GeometryError, match=r"(?s)grid: shape.*Remedy"):
            form.inputs(entry(model, 0, side=7))


def test_all_of_them_are_tested() -> None:
    assert {"cnn", "p4cnn", "p4mcnn", "se2cnn", "scale_cnn", "steerable_cnn", "octahedral_cnn"} < set(GRIDS)
    assert {"steerable_cnn_3d", "clebsch_gordan_net"} < set(GRIDS)
