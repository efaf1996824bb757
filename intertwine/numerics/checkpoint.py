"""Checkpoints: one safetensors file with the rest as JSON in its header, written atomically and checked when read."""

from __future__ import annotations

import hashlib
import json
import struct
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from intertwine.numerics.codec import pack, unpack
from intertwine.numerics.errors import CheckpointError
from intertwine.numerics.files import write_atomically

#: Version of the layout. A reader refuses newer ones.
SCHEMA = 1


def save_checkpoint(path: Path | str, content: Any) -> None:
    """Write a nested value to a file that is either the old one or, whole, the new one.

    Args:
        path: the file; by custom it ends in ``.safetensors``.
        content: what :func:`intertwine.numerics.codec.pack` takes.

    Raises:
        CheckpointError: the disk is full or the folder not writable (the old file is intact), or a value can't be
            stored.
    """
    from safetensors.torch import save

    tensors, text = pack(content)
    header = {"schema": str(SCHEMA), "library": "intertwine", "version": version(), "content": text}
    header["checksum"] = checksum_of(tensors, header)
    write_atomically(Path(path), save(tensors, metadata=header))


def load_checkpoint(path: Path | str) -> Any:
    """Read what :func:`save_checkpoint` wrote.

    Raises:
        CheckpointError: the file is missing, truncated, changed since it was written, not ours, or of a newer schema.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"can't be read: {error.strerror}", where=str(path), remedy="check the path, or train again."
        ) from error
    remedy = "use the other checkpoint of the run (best or last), or resume or repeat the training."
    try:
        length = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + length])["__metadata__"]
        schema, text, checksum = int(header["schema"]), header["content"], header["checksum"]
        tensors = load(data) if schema <= SCHEMA else {}
    except (SafetensorError, ValueError, KeyError, TypeError, struct.error, OverflowError) as error:
        raise CheckpointError(
            "is not a whole checkpoint: truncated, damaged, or of another program", where=str(path), remedy=remedy
        ) from error
    if schema > SCHEMA:
        raise CheckpointError(
            f"has schema {schema}, this version reads up to {SCHEMA}",
            where=str(path),
            remedy=f"install intertwine {header.get('version', '')} or newer.",
        )
    if checksum != checksum_of(tensors, header):
        raise CheckpointError("is damaged: its content does not match its checksum", where=str(path), remedy=remedy)
    try:
        return unpack(tensors, text)
    except CheckpointError as error:
        raise CheckpointError(error.what, where=str(path), remedy=remedy) from error


def written_by(path: Path | str) -> str:
    """The version of intertwine that wrote a file; "unknown" if it does not say."""
    try:
        with Path(path).open("rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        return str(header["__metadata__"]["version"])
    except (OSError, ValueError, KeyError, TypeError, struct.error, OverflowError, MemoryError):
        return "unknown"


def checksum_of(tensors: dict[str, Tensor], header: dict[str, str]) -> str:
    """SHA-256 of the header and of every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(
        json.dumps({key: value for key, value in header.items() if key != "checksum"}, sort_keys=True).encode()
    )
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def version() -> str:
    try:
        return metadata.version("intertwine")
    except metadata.PackageNotFoundError:
        return "unknown"
