"""Deployed files: a trained force field in one safetensors file, with all that is known of it as JSON in its header.

Tensors are the weights (``weights.NAME``), the test vectors (``test.NUMBER.NAME``) and the reach of the training data
(``domain.NAME``). The header has the format, the number of its schema, the JSON, and a SHA-256 of all of it. There is
no pickle in it, and no code.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from intertwine.data.suspicion.domain import Domain
from intertwine.numerics import CheckpointError, write_atomically
from intertwine.numerics.checkpoint import checksum_of

#: The ending of a deployed file.
SUFFIX = ".iw"
FORMAT, SCHEMA = "intertwine deployed model", 1
SPLINES, PLAIN = "splines", "plain"
_REMEDY = "copy the file again, or make it again: intertwine deploy RUN -o model.iw"
_NEEDED = ("configuration", "species", "epoch", "which", "form", "knots", "weights_sha256", "precision")


@dataclass(frozen=True)
class Deployed:
    """What a deployed file holds.

    Attributes:
        about: the header's JSON.
        tensors: by name.
    """

    about: dict[str, Any]
    tensors: dict[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors whose names begin with ``name.``, without it."""
        return {key[len(name) + 1 :]: value for key, value in self.tensors.items() if key.startswith(name + ".")}

    @property
    def domain(self) -> Domain | None:
        """The reach of the training data; None where the run did not tell."""
        return Domain.from_arrays({f"domain_{name}": value.numpy() for name, value in self.part("domain").items()})


def is_deployed(path: Path | str) -> bool:
    """Whether a path is that of a deployed file, by its ending."""
    return Path(path).suffix == SUFFIX


def hash_of(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of the weights: names, precisions, shapes and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_deployed(path: Path | str, content: Deployed) -> None:
    """Write a deployed file, whole or not at all.

    Raises:
        CheckpointError: it can't be written.
    """
    from safetensors.torch import save

    header = {"format": FORMAT, "schema": str(SCHEMA), "about": json.dumps(content.about, separators=(",", ":"))}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in content.tensors.items()}
    header["checksum"] = checksum_of(tensors, header)
    write_atomically(Path(path), save(tensors, metadata=header))


def read_deployed(path: Path | str) -> Deployed:
    """Read what :func:`write_deployed` wrote.

    Raises:
        CheckpointError: the file is missing, truncated or damaged, not a deployed one, of another schema, or its
            weights are not those that the file names.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        remedy = f"check the path; intertwine deploy RUN -o {path.name} makes such a file."
        raise CheckpointError(f"can't be read: {error.strerror}", where=str(path), remedy=remedy) from error
    header = _header(data, path)
    if header.get("format") != FORMAT:
        remedy = f"give a run folder, or a file that intertwine deploy RUN -o model{SUFFIX} wrote."
        raise CheckpointError("is not a deployed model", where=str(path), remedy=remedy)
    schema = str(header.get("schema"))
    if schema != str(SCHEMA):
        newer = schema.isdigit() and int(schema) > SCHEMA
        remedy = "install a newer version of intertwine, or " if newer else ""
        remedy += "deploy the run again with this version: intertwine deploy RUN -o model.iw"
        raise CheckpointError(f"has schema {schema}, this version reads {SCHEMA}", where=str(path), remedy=remedy)
    tensors = _tensors(data, path)
    if header.get("checksum") != checksum_of(tensors, header):
        what = "is damaged: its content does not match its checksum"
        raise CheckpointError(what, where=str(path), remedy=_REMEDY)
    try:
        about = json.loads(header["about"])
        missing = [name for name in _NEEDED if name not in about]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"its description can't be read: {error}", where=str(path), remedy=_REMEDY) from error
    if missing:
        raise CheckpointError(f"its description lacks {', '.join(missing)}", where=str(path), remedy=_REMEDY)
    content = Deployed(about, tensors)
    if hash_of(content.part("weights")) != about["weights_sha256"]:
        what = "its weights are not those that it names: their SHA-256 is another one"
        raise CheckpointError(what, where=str(path), remedy=_REMEDY)
    return content


def _header(data: bytes, path: Path) -> dict[str, str]:
    """The metadata of a safetensors file.

    Raises:
        CheckpointError: it is none, or not whole.
    """
    what, remedy = "is not a deployed model", f"give a file that intertwine deploy RUN -o model{SUFFIX} wrote."
    try:
        length = struct.unpack("<Q", data[:8])[0]
        text = data[8 : 8 + length]
        if len(text) < length and text[:1] == b"{":
            raise CheckpointError("is truncated: its header is not whole", where=str(path), remedy=_REMEDY)
        header = json.loads(text)
    except (ValueError, struct.error, OverflowError, RecursionError) as error:
        raise CheckpointError(what, where=str(path), remedy=remedy) from error
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _tensors(data: bytes, path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError, OverflowError) as error:
        raise CheckpointError("is truncated or damaged", where=str(path), remedy=_REMEDY) from error
