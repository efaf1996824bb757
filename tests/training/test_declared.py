"""A checkpoint whose checksum is right and whose content is not: what is wrong is named, and nothing is predicted or
trained from it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from intertwine.integrations import Calculator
from intertwine.numerics import CheckpointError, check_tensors, transcribe
from intertwine.training import load_checkpoint, load_run, save_checkpoint, train

State = dict[str, Any]
MOMENTS = ("exp_avg", "exp_avg_sq")


@pytest.fixture(scope="module")
def whole(molecules: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, State]:
    """What the two checkpoints of a small run hold."""
    config = {
        "data": {"source": str(molecules), "train": 10, "validation": 4, "test_size": 0},
        "model": {"name": "painn", "width": 4, "layers": 1, "radial_size": 4, "cutoff": 3.0},
        "training": {"epochs": 2, "batch_size": 5, "threads": 1, "certify": False},
    }
    folder = train(config, progress=False, run=tmp_path_factory.mktemp("declared") / "run")
    return {name: load_checkpoint(folder / f"{name}.safetensors") for name in ("best", "last")}


def damaged(tensor: torch.Tensor, how: str, draw: random.Random) -> torch.Tensor:
    """One kind of damage to a tensor."""
    value = tensor.clone()
    if how in ("nan", "inf", "-inf"):
        value.view(-1)[draw.randrange(value.numel())] = float(how)
        return value
    if how == "one number":
        return value.reshape(-1)[:1].clone()
    if how == "a row":
        return value[:1].clone() if value.ndim and len(value) > 1 else value.reshape(-1)[:1].clone().expand(2).clone()
    if how == "one axis more":
        return value[None]
    if how == "precision":
        return value.double() if value.dtype != torch.float64 else value.float()
    return value.half() if how == "half" else value.to(torch.int64)


TENSOR_DAMAGE = ("nan", "inf", "-inf", "one number", "a row", "one axis more", "precision", "half", "integers")


def refuse(state: State, tmp_path: Path, names: tuple[str, ...], *, resume_only: bool = False) -> None:
    """Nobody reads it: not to predict, not to go on; and the message names what is wrong."""
    for file in ("last", "best"):
        save_checkpoint(tmp_path / f"{file}.safetensors", state)
    readers: list[Callable[[], Any]] = [
        lambda: train({"training": {"epochs": 3}}, progress=False, run=tmp_path, resume=True)
    ]
    if not resume_only:
        readers += [
            lambda: load_run(tmp_path, which="last"),
            lambda: load_run(tmp_path / "best.safetensors", dtype=torch.float64),
        ]
        readers += [lambda: Calculator(tmp_path)]
    for read in readers:
        with pytest.raises(CheckpointError) as raised:
            read()
        assert ".safetensors" in raised.value.where
        assert raised.value.remedy
        for name in names:
            assert name in str(raised.value), raised.value


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("part", ["weights", "average"])
def test_weights_and_their_average(part: str, seed: int, whole: dict[str, State], tmp_path: Path) -> None:
    draw = random.Random(100 * seed + len(part))
    for how in draw.sample(TENSOR_DAMAGE, 3):
        state = copy.deepcopy(whole["last"])
        trained = [name for name in state["weights"] if name.startswith(("backbone", "head"))]
        k = draw.randrange(len(trained))
        if part == "weights":
            name = draw.choice(list(state["weights"]))
            while state["weights"][name].ndim == 0 and how in ("one number", "a row", "one axis more"):
                name = draw.choice(list(state["weights"]))
            value = damaged(state["weights"][name], how, draw)
            if (
                value.shape == state["weights"][name].shape
                and value.dtype == state["weights"][name].dtype
                and bool(value.isfinite().all())
            ):
                continue  # it has one row: no damage
            state["weights"][name] = value
        else:
            mean = state["average"]["mean"]
            k = draw.randrange(len(mean))
            value = damaged(mean[k], how, draw)
            if value.shape == mean[k].shape and value.dtype == mean[k].dtype and bool(value.isfinite().all()):
                continue
            mean[k], name = value, "average: "
        refuse(state, tmp_path, (name,))


def test_names_and_numbers_of_tensors(whole: dict[str, State], tmp_path: Path) -> None:
    weights = list(whole["last"]["weights"])
    draw = random.Random(0)
    for name in draw.sample(weights, 3):
        state = copy.deepcopy(whole["last"])
        del state["weights"][name]
        refuse(state, tmp_path, (name, "missing"))
        state = copy.deepcopy(whole["last"])
        state["weights"][f"{name}_more"] = torch.zeros(1)
        refuse(state, tmp_path, (f"{name}_more", "unknown"))
    shapes = {name: whole["last"]["weights"][name].shape for name in weights}
    pairs = [(a, b) for a in weights for b in weights if a < b and shapes[a] != shapes[b]]
    for a, b in draw.sample(pairs, 3):  # a swap of equal shapes is what the checksum is for
        state = copy.deepcopy(whole["last"])
        state["weights"][a], state["weights"][b] = state["weights"][b], state["weights"][a]
        refuse(state, tmp_path, ("weights: ",))
    for change in (lambda mean: mean.pop(), lambda mean: mean.append(torch.zeros(1)), lambda mean: mean.reverse()):
        state = copy.deepcopy(whole["last"])
        change(state["average"]["mean"])
        refuse(state, tmp_path, ("average: ",))
    for wrong in (None, 3, "w", [torch.zeros(1)], {"w": 3.0}):
        refuse(copy.deepcopy(whole["last"]) | {"weights": wrong}, tmp_path, ("weights",))


@pytest.mark.parametrize("seed", range(4))
def test_the_optimizer(seed: int, whole: dict[str, State], tmp_path: Path) -> None:
    draw = random.Random(seed)
    names = [name for name in whole["last"]["weights"] if name.startswith(("backbone", "head"))]
    for how in draw.sample(TENSOR_DAMAGE, 3):
        state = copy.deepcopy(whole["last"])
        moments = state["optimizer"]["state"]
        k, moment = draw.choice(list(moments)), draw.choice(MOMENTS)
        value = damaged(moments[k][moment], how, draw)
        if (
            value.shape == moments[k][moment].shape
            and value.dtype == moments[k][moment].dtype
            and bool(value.isfinite().all())
        ):
            continue
        moments[k][moment] = value
        refuse(state, tmp_path, ("optimizer of ", moment), resume_only=True)
    assert names


def change(path: str, value: Any) -> Callable[[State], None]:
    """Put a value at a place, written as ``optimizer.state.0.step``."""

    def apply(state: State) -> None:
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        for step in way:
            state = state[step]
        if value is KeyError:
            del state[last]
        else:
            state[last] = value

    return apply


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (change("optimizer.state.0.step", torch.tensor(float("nan"))), "step"),
        (change("optimizer.state.0.step", torch.tensor(1e6)), "step 1000000"),
        (change("optimizer.state.0.exp_avg", KeyError), "exp_avg is missing"),
        (change("optimizer.state.0.max_exp_avg_sq", torch.zeros(1)), "max_exp_avg_sq"),
        (change("optimizer.state.2", KeyError), "exp_avg is missing"),
        (change("optimizer.state.99", {}), "99"),
        (change("optimizer.param_groups.0.params", [1, 0]), "params"),
        (change("optimizer.param_groups.0.lr", float("nan")), "lr"),
        (change("optimizer.param_groups.0.betas", (0.9, 1.5)), "betas"),
        (change("optimizer.param_groups", []), "one group"),
        (change("optimizer", 3), "optimizer"),
        (change("rows.1.train_loss", float("nan")), "epoch 2: train_loss"),
        (change("rows.0.step", -1), "step"),
        (change("rows.0.step", 10**9), "epoch 1"),
        (change("rows.1.epoch", 1), "epoch 2"),
        (change("rows.0.learning_rate", "fast"), "learning_rate"),
        (change("rows.0.train_loss", KeyError), "train_loss is missing"),
        (change("rows.0.unheard", 1.0), "unheard"),
        (change("rows.0", KeyError), "rows: 1 of them for 2"),
        (change("rows", None), "rows"),
        (change("epoch", -1), "epoch"),
        (change("epoch", 1.5), "epoch"),
        (change("steps", "many"), "steps"),
        (change("seconds", float("inf")), "seconds"),
        (change("random", torch.zeros(3, dtype=torch.uint8)), "random"),
        (change("random", torch.zeros(5056, dtype=torch.uint8)), "random"),
        (change("schedule.scale", float("nan")), "scale"),
        (change("schedule.progress.stalled", -3), "stalled"),
        (change("clipping.mean", float("nan")), "mean"),
        (change("clipping.steps", -1), "steps"),
        (change("best.best", "good"), "best"),
        (change("stopping", KeyError), "stopping is missing"),
        (change("average.steps", None), "steps"),
        (change("species", ["H"]), "species"),
    ],
)  # fmt: skip
def test_everything_else_that_a_run_goes_on_from(
    damage: Callable[[State], None], words: str, whole: dict[str, State], tmp_path: Path
) -> None:
    state = copy.deepcopy(whole["last"])
    damage(state)
    refuse(state, tmp_path, (words,), resume_only=True)


def test_what_is_whole_is_taken_and_averaging_may_begin_later(whole: dict[str, State], tmp_path: Path) -> None:
    for name in ("best", "last"):
        save_checkpoint(tmp_path / f"{name}.safetensors", whole[name])
        run = load_run(tmp_path, which=name)
        assert all(torch.isfinite(p).all() for p in run.task.parameters())
    train({"training": {"epochs": 3, "average": 0.0}}, progress=False, run=tmp_path, resume=True)
    train({"training": {"epochs": 4, "average": 0.9}}, progress=False, run=tmp_path, resume=True)
    last = load_checkpoint(tmp_path / "last.safetensors")
    assert last["epoch"] == 4
    assert len(last["average"]["mean"]) == len(last["optimizer"]["state"])


def test_wild_weights_are_not_saved(tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of the last batch is finite, and its step is not."""
    from intertwine.numerics import DataError
    from intertwine.training.module import TrainingModule

    before = TrainingModule.on_train_batch_end

    def wild(self: TrainingModule, outputs: Any, batch: Any, index: int) -> None:
        before(self, outputs, batch, index)
        if self.epoch == 1:
            with torch.no_grad():
                next(self.task.parameters()).view(-1)[0] = float("inf")

    monkeypatch.setattr(TrainingModule, "on_train_batch_end", wild)
    monkeypatch.setattr(TrainingModule, "mean_loss", lambda self: 1.0)
    with pytest.raises(DataError, match="not finite after epoch 2"):
        train(tiny, progress=False, run=tmp_path / "run")
    assert load_run(tmp_path / "run", which="last").epoch == 1


# Other libraries' weights


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 3), (2, 1), (3, 2), ()])
def test_values_of_another_library_are_never_broadcast(shape: tuple[int, ...]) -> None:
    target = torch.zeros(2, 3)
    with pytest.raises(CheckpointError, match=r"linear.weight has shape"):
        transcribe(target, torch.ones(shape), "linear.weight")
    for bad in (float("nan"), float("inf")):
        values = torch.ones(2, 3, dtype=torch.float64)
        values[1, 2] = bad
        with pytest.raises(CheckpointError, match=r"linear.weight has numbers that are not finite"):
            transcribe(target, values, "linear.weight")
    assert not target.any()
    transcribe(target, torch.ones(2, 3, dtype=torch.float64), "linear.weight")
    assert target.sum() == 6


def test_declared_infinities_may_be() -> None:
    table = {"mask": torch.tensor([0.0, float("-inf")])}
    assert check_tensors(dict(table), table).keys() == table.keys()


def test_a_model_of_mace_with_wild_weights_is_refused() -> None:
    modules = pytest.importorskip("mace.modules")
    o3 = pytest.importorskip("e3nn.o3")
    import numpy as np

    from intertwine.integrations.mace import from_mace

    torch.manual_seed(0)
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = modules.ScaleShiftMACE(
        r_max=4.0, num_bessel=4, num_polynomial_cutoff=5, max_ell=1, interaction_cls=block, interaction_cls_first=block,
        num_interactions=1, num_elements=2, hidden_irreps=o3.Irreps("4x0e"), MLP_irreps=o3.Irreps("4x0e"),
        avg_num_neighbors=4.0, atomic_energies=np.array([-1.0, -2.0]), correlation=2, gate=nn.functional.silu,
        atomic_numbers=[1, 8], radial_MLP=[8, 8], atomic_inter_scale=1.0, atomic_inter_shift=0.0,
    )  # fmt: skip
    from_mace(model)
    draw = random.Random(0)
    for name, parameter in draw.sample(list(model.named_parameters()), 5):
        place = draw.randrange(parameter.numel())
        kept = parameter.detach().reshape(-1)[place].item()
        with torch.no_grad():
            parameter.view(-1)[place] = float("nan")
        with pytest.raises(CheckpointError, match="finite"):
            from_mace(model)
        with torch.no_grad():
            parameter.view(-1)[place] = kept
        assert name
    from_mace(model)
