"""Networks of images, voxels: symmetries of the grid exactly, others within an error that falls; what has no answer."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from switches import as_users_run_it
from torch import Tensor

from intertwine.geometry import Graph, act, collate, permute, raster, raster_positions
from intertwine.groups import Isometry, dihedral, octahedral
from intertwine.models import MODELS
from intertwine.nn.groups.grid_backbone import GridBackbone
from intertwine.nn.groups.steerable_convolution import SteerableConvolution
from intertwine.numerics import GeometryError, InputError

EPS = torch.finfo(torch.float64).eps
QUICK = {"layers": 3, "kernel": 3, "strides": (1,)}
#: name -> model, arguments, and which of the dihedral group of 4, or of O_h, it keeps: all, rotations or none.
CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "cnn": ("cnn", {}, "none"),
    "p4": ("p4cnn", {"width": 3}, "rotations"),
    "p4 mean gelu": (
        "p4cnn",
        {"pool": "mean", "activation": "gelu", "norm": "layer", "padding": "reflect"},
        "rotations",
    ),
    "p4 pixels": ("p4cnn", {"level": "node", "width": 3}, "rotations"),
    "p4 no strides": ("p4cnn", {"strides": (), "norm": "none", "padding": "circular"}, "rotations"),
    "p4m": ("p4mcnn", {"width": 2}, "all"),
    "p4m pixels": ("p4mcnn", {"width": 2, "level": "node"}, "all"),
    "C_8": ("se2cnn", {"width": 2, "kernel": 5}, "rotations"),
    "C_16 bspline": ("se2cnn", {"width": 2, "orientations": 16, "basis": "bspline"}, "rotations"),
    "D_8 bilinear": ("se2cnn", {"width": 2, "mirrors": True, "basis": "bilinear"}, "all"),
    "SO(2) circle": ("steerable_cnn", {"width": 3, "kernel": 5}, "rotations"),
    "SO(2) gate": ("steerable_cnn", {"width": 3, "nonlinearity": "gate", "level": "node"}, "rotations"),
    "O(2) norm": ("steerable_cnn", {"width": 3, "nonlinearity": "norm", "group": "O(2)", "norm": "layer"}, "all"),
    "O": ("octahedral_cnn", {"width": 1}, "rotations"),
    "Oh voxels": ("octahedral_cnn", {"width": 1, "mirrors": True, "level": "node", "layers": 2}, "all"),
    "O(3)": ("steerable_cnn_3d", {"width": 2, "lmax": 2, "kernel": 5}, "all"),
    "O(3) voxels": ("steerable_cnn_3d", {"width": 2, "lmax": 1, "parity": True, "level": "node"}, "all"),
    "p4m, a layer of one pixel": ("p4mcnn", {"width": 2, "features": 5}, "all"),
    "SO(2) pixels, a layer of one pixel": ("steerable_cnn", {"width": 3, "level": "node", "features": 5}, "rotations"),
    "O(3), a layer of one voxel": ("steerable_cnn_3d", {"width": 2, "lmax": 1, "features": 3}, "all"),
    "scales": ("scale_cnn", {"width": 2, "scales": 2}, "none"),
}
every_case = pytest.mark.parametrize("case", CASES)


def build(case: str, **more: Any) -> GridBackbone:
    name, arguments, _ = CASES[case]
    torch.manual_seed(0)
    model = MODELS[name](**QUICK | arguments | {"channels": 2} | more).double()
    assert isinstance(model, GridBackbone)
    model(collate([image(model, seed) for seed in range(3)]))  # running averages that are not those of the start
    return model.eval()


def image(model: GridBackbone, seed: int = 0, sizes: tuple[int, ...] | None = None) -> Graph:
    generator = torch.Generator().manual_seed(seed)
    sizes = sizes or ((9, 8) if model.dimension == 2 else (4, 5, 6))
    return raster(torch.randn(2, *sizes, generator=generator, dtype=torch.float64))


def elements(model: GridBackbone, which: str) -> list[Tensor]:
    group = dihedral(4) if model.dimension == 2 else octahedral(True)
    every = group.matrices.round()
    turns = every[torch.linalg.det(every) > 0]
    return [*(every if which == "all" else turns if which == "rotations" else turns[:1])]


def error(model: GridBackbone, g: Tensor, graph: Graph) -> float:
    with torch.no_grad(), as_users_run_it():
        shift = torch.full((model.dimension,), 3.0, dtype=torch.float64)
        f, moved = model(graph), model(act(Isometry(g, shift), graph))
    return float((moved - f).abs().max() / f.square().mean().sqrt())


@every_case
def test_symmetries_of_the_grid(case: str) -> None:
    """Exact where claimed, of an image that is not square, in any place; and what is not claimed is not there."""
    model = build(case)
    kept = elements(model, CASES[case][2])
    assert max(error(model, g, image(model)) for g in kept) < 500 * EPS
    others = [g for g in elements(model, "all") if not any(torch.equal(g, h) for h in kept)]
    assert all(error(model, g, image(model)) > 1e-3 for g in others)


@every_case
def test_nodes_in_any_order_and_batches(case: str) -> None:
    """Features of a batch are those of its images; listing the nodes otherwise moves the rows of nodes."""
    model = build(case)
    graphs = [image(model, seed) for seed in (3, 4, 5)]
    singles = torch.cat([model(graph) for graph in graphs])
    assert (model(collate(graphs)) - singles).abs().max() <= 1e-12 * singles.abs().max()
    order = torch.randperm(graphs[0].num_nodes, generator=torch.Generator().manual_seed(1))
    f, permuted = model(graphs[0]), model(permute(order, graphs[0]))
    expected = f[order] if model.level == "node" else f
    assert permuted.shape == (graphs[0].num_nodes if model.level == "node" else 1, model.irreps_out.dim)
    assert (permuted - expected).abs().max() <= 1e-12 * f.abs().max()


@every_case
def test_training(case: str) -> None:
    """Every parameter has a gradient, a step goes down, and state and precision are complete."""
    model = build(case).train()
    batch = collate([image(model, seed) for seed in range(4)])
    target = torch.randn(model(batch).shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    before = (model(batch) - target).square().mean()
    before.backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not dead
    optimizer.step()
    assert (model(batch) - target).square().mean() < before
    model.eval()
    twin = copy.deepcopy(model)
    for p in twin.parameters():
        torch.nn.init.normal_(p)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin(batch), model(batch))
    single = copy.deepcopy(model).float()(batch)
    assert single.dtype == torch.float32
    assert (single - model(batch)).abs().max() < 1e-3 * model(batch).abs().max()


def test_dropout_is_for_training_alone() -> None:
    model = build("p4", dropout=0.5)
    assert torch.equal(model(image(model)), model(image(model)))
    model.train()
    assert not torch.equal(model(image(model)), model(image(model)))


def smooth(points: Tensor) -> Tensor:
    """A function of the plane without edges: four Gaussians of 2.5 pixels, some negative."""
    centres = torch.tensor([[0.0, 4.0], [3.5, -1.0], [-3.0, -2.0], [1.0, 0.5]], dtype=torch.float64)
    heights = torch.tensor([1.0, -0.8, 0.6, 0.9], dtype=torch.float64)
    return torch.exp(-torch.cdist(points, centres).square() / (2 * 2.5**2)) @ heights


@pytest.mark.parametrize("basis", ["harmonic", "bspline"])
def test_the_error_of_other_angles_falls_with_the_orientations(basis: str) -> None:
    """A function of the plane, sampled where a turn puts it: nothing is interpolated, so the error is the network's.

    Without strides: subsampling has an error of its own, which no number of orientations makes smaller.
    """
    points, errors = raster_positions(29, 29), {}
    for n in (1, 4, 8, 16):
        squares = []
        for seed in range(4):
            torch.manual_seed(seed)
            options = {"orientations": n, "basis": basis, "strides": (), "pool": "mean", "activation": "gelu"}
            model = MODELS["se2cnn"](width=4, layers=3, kernel=5, **options).double().eval()
            for degrees in (11.25, 33.75, 78.75):
                a = math.radians(degrees)
                g = torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]], dtype=torch.float64)
                with torch.no_grad(), as_users_run_it():
                    f, moved = (model(Graph(pos=points, x=smooth(p)[:, None])) for p in (points, points @ g))
                squares.append(float((moved - f).square().mean() / f.square().mean()))
        errors[n] = (sum(squares) / len(squares)) ** 0.5
    assert errors[16] < errors[8] < errors[4] < errors[1]
    assert errors[16] < 0.01 < 0.1 < errors[1]


@pytest.mark.parametrize("group", ["SO(2)", "O(2)"])
def test_the_steerable_network_at_other_angles(group: str) -> None:
    torch.manual_seed(0)
    points = raster_positions(29, 29)
    model = MODELS["steerable_cnn"](width=4, layers=3, kernel=5, strides=(), group=group, activation="gelu")
    model = model.double().eval()
    a = math.radians(33.75)
    g = torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]], dtype=torch.float64)
    with torch.no_grad():
        f, moved = (model(Graph(pos=points, x=smooth(p)[:, None])) for p in (points, points @ g))
    assert (moved - f).abs().max() < 0.02 * f.square().mean().sqrt()


@pytest.mark.parametrize("case", ["cnn", "p4 pixels", "C_8", "O(3) voxels", "O", "scales"])
def test_one_pixel_and_small_images(case: str) -> None:
    """Kernels larger than the image, one pixel, in training and evaluation; a batch of nothing."""
    model = build(case)
    for sizes in [(1, 1), (2, 1), (2, 3)] if model.dimension == 2 else [(1, 1, 1), (2, 1, 2)]:
        graph = image(model, sizes=sizes)
        for training in (True, False):
            f = model.train(training)(graph)
            assert f.isfinite().all()
            assert len(f) == (graph.num_nodes if model.level == "node" else 1)
    empty = Graph(pos=torch.zeros(0, model.dimension).double(), x=torch.zeros(0, 2).double())
    assert model(empty).shape == (0, model.irreps_out.dim)


def test_what_is_no_image_is_named() -> None:
    model = build("p4")
    good = image(model)
    for change, words in (
        ({"x": good.x[:, :1]}, r"values `x` of shape \(72, 1\)(.|\n)*channels"),
        ({"x": None}, "no values `x`"),
        ({"pos": good.pos * 1.3}, "between the pixels"),
        ({"pos": torch.cat([good.pos[:1], good.pos[:-1]])}, "pixels"),
        ({"pos": torch.cat([good.pos, good.pos[:, :1]], 1)}, "3 dimensions"),
    ):
        fields = {name: value for name, value in (good.to_dict() | change).items() if value is not None}
        with as_users_run_it(), pytest.raises(GeometryError, match=words):
            model(Graph.from_dict(fields))
    with pytest.raises(GeometryError, match="image 1 of the batch has 20 pixels"):
        model(collate([good, image(model, sizes=(4, 5))]))
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    with pytest.raises(GeometryError, match="between the pixels"):
        model(act(Isometry(turn, torch.zeros(2).double()), good))
    with pytest.raises(InputError, match="on an image of 2 x 5"):
        build("p4", padding="none", strides=())(image(model, sizes=(2, 5)))


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("p4cnn", {"kernel": 4}, "no pixel in its middle"),
        ("cnn", {"width": 0}, "width"),
        ("se2cnn", {"orientations": 0}, "C_0"),
        ("se2cnn", {"basis": "hermite"}, "basis"),
        ("p4cnn", {"strides": (5,)}, "strides"),
        ("p4cnn", {"strides": (1, 1)}, "strides"),
        ("p4cnn", {"level": "image"}, "level"),
        ("p4cnn", {"padding": "same"}, "padding"),
        ("p4cnn", {"norm": "group"}, "norm"),
        ("p4cnn", {"pool": "sum"}, "pool"),
        ("p4cnn", {"dropout": 1.0}, "dropout"),
        ("p4cnn", {"activation": "tanh"}, "activation"),
        ("scale_cnn", {"ratio": 0.5}, "ratio"),
        ("steerable_cnn", {"group": "S_3"}, "group"),
        ("steerable_cnn", {"nonlinearity": "relu"}, "nonlinearity"),
        ("steerable_cnn", {"frequencies": -1}, "frequencies"),
        ("steerable_cnn_3d", {"nonlinearity": "fourier"}, "nonlinearity"),
        ("steerable_cnn_3d", {"functions": 0}, "functions"),
    ],
)
def test_arguments_are_checked_when_the_model_is_made(name: str, arguments: dict[str, Any], words: str) -> None:
    with as_users_run_it(), pytest.raises(InputError, match=words):
        MODELS[name](**arguments)


@every_case
def test_cards_and_presets(case: str) -> None:
    """A card says the group of these arguments; presets are arguments; all take digits by default."""
    model = build(case)
    assert model.card.symmetry == {
        "cnn": "T(2)", "scales": "T(2)", "C_8": "T(2) x C_8", "C_16 bspline": "T(2) x C_16",
        "D_8 bilinear": "T(2) x D_8", "O(2) norm": "T(2) x O(2)", "Oh voxels": "T(3) x octahedral with inversion",
    }.get(case, type(model).CARD.symmetry)  # fmt: skip
    kind = type(model)
    assert {"small", "paper"} <= set(kind.PRESETS)
    assert sum(p.numel() for p in kind(**kind.PRESETS["small"]).parameters()) > 0
    sizes = (28, 28) if model.dimension == 2 else (8, 8, 8)
    with torch.no_grad(), as_users_run_it():
        assert kind().eval()(raster(torch.rand(1, *sizes))).isfinite().all()


def test_blocks_of_voxels_are_steerable() -> None:
    model = build("O(3)")
    assert all(isinstance(block.convolution, SteerableConvolution) for block in model.blocks)
