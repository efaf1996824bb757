"""Whatever goes into a checkpoint comes out with the same bits and types, or is refused."""

from __future__ import annotations

import json
import math
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from intertwine.numerics import CheckpointError
from intertwine.numerics.codec import pack, unpack
from intertwine.training import load_checkpoint, save_checkpoint


def trip(value):
    return unpack(*pack(value))


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -(2**70), "", "ä \u2028 \"quoted\"", 0.1, 1e-320, -0.0, math.inf, -math.inf, 5e300,
        [], (), {}, (1, [2.0, (None,)]), {1: "a", (2, "b"): 3.0, None: [], False: ()}, {"$": "tensor", "is": 3},
        {"nested": {"deep": [{"x": (1,)}]}}, torch.float64,
    ],
)  # fmt: skip
def test_round_trip(value) -> None:
    result = trip(value)
    assert result == value
    assert type(result) is type(value)


def test_floats_keep_every_bit() -> None:
    values = np.frombuffer(np.random.default_rng(0).bytes(8000), dtype=np.float64)
    values = [float(v) for v in values if not math.isnan(v)]
    assert [struct.pack("d", v) for v in trip(values)] == [struct.pack("d", v) for v in values]
    assert math.isnan(trip(math.nan))
    assert math.copysign(1, trip(-0.0)) == -1


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]
)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_tensors(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = (10 * torch.rand(shape)).to(dtype)
    back = trip({"t": tensor})["t"]
    assert back.dtype == dtype
    assert back.shape == tensor.shape
    assert torch.equal(back, tensor)


def test_views_and_shared_memory_are_stored_apart() -> None:
    whole = torch.arange(6.0).reshape(2, 3)
    a, b = trip([whole.T, whole[:, 1]])
    assert torch.equal(a, whole.T)
    assert torch.equal(b, whole[:, 1])


def test_numpy() -> None:
    value = {
        "scalar": np.float32(0.1),
        "int": np.int16(-3),
        "flag": np.bool_(True),
        "array": np.arange(6.0).reshape(2, 3)[:, ::2],
    }
    back = trip(value)
    for name in ("scalar", "int", "flag"):
        assert type(back[name]) is type(value[name])
        assert back[name] == value[name]
    assert back["array"].dtype == np.float64
    assert (back["array"] == value["array"]).all()


def test_other_types_are_refused_by_name() -> None:
    with pytest.raises(CheckpointError, match=r"state\.a\[1\]: a builtins\.set"):
        pack({"a": [1, {2}]})
    with pytest.raises(CheckpointError):
        pack({"f": len})


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, {"w": torch.randn(40), "lr": 0.1, "steps": {1: (2, 3)}})
    return path


def test_every_flipped_byte_is_found(stored: Path) -> None:
    data = stored.read_bytes()
    for place in range(0, len(data), 3):
        stored.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(CheckpointError):
            load_checkpoint(stored)


def test_truncated_empty_and_foreign_files(stored: Path, tmp_path: Path) -> None:
    data = stored.read_bytes()
    for length in (0, 4, 8, 60, len(data) // 2, len(data) - 1):
        stored.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="not a whole checkpoint"):
            load_checkpoint(stored)
    stored.write_bytes(data + b"0")
    with pytest.raises(CheckpointError):
        load_checkpoint(stored)
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="another program"):
        load_checkpoint(tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="can't be read"):
        load_checkpoint(tmp_path / "absent.safetensors")


def test_newer_schema(stored: Path) -> None:
    data = stored.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"]["schema"] = "99"
    text = json.dumps(header).encode()
    stored.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    with pytest.raises(CheckpointError, match="schema 99"):
        load_checkpoint(stored)


def test_full_disk_leaves_the_old_file(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stored.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_checkpoint(stored, {"w": torch.zeros(3)})
    assert stored.read_bytes() == before
    assert list(stored.parent.iterdir()) == [stored]


def test_lightning_can_use_it(tmp_path: Path) -> None:
    from lightning.pytorch import LightningModule, Trainer

    from intertwine.training.checkpoint_io import SafeCheckpointIO

    class Line(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.nn.Linear(2, 1)

        def training_step(self, batch, index):
            return self.w(batch).square().mean()

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    options = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
    }
    data = torch.utils.data.DataLoader(torch.randn(8, 2), batch_size=4)
    trainer = Trainer(max_epochs=2, plugins=[SafeCheckpointIO()], **options)
    trainer.fit(Line(), data)
    trainer.save_checkpoint(tmp_path / "l.safetensors")
    again = Trainer(max_epochs=3, plugins=[SafeCheckpointIO()], **options)
    again.fit(Line(), data, ckpt_path=tmp_path / "l.safetensors")
    assert again.global_step == 6
