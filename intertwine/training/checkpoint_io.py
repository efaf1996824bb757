"""Lightning's checkpoints in our format, so that nothing in a run is pickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO

from intertwine.numerics.checkpoint import load_checkpoint, save_checkpoint


class SafeCheckpointIO(CheckpointIO):
    """A plugin for Lightning's trainer: ``trainer.save_checkpoint`` and ``ckpt_path`` use safetensors and JSON."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save_checkpoint(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: Any = None) -> dict[str, Any]:
        return load_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)
