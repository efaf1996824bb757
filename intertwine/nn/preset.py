"""Named sets of constructor arguments that say where their numbers are from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from intertwine.numerics import InputError


class Preset(dict[str, Any]):
    """Constructor arguments of a model by name, with their source.

    It is a dictionary: ``Model(**Model.PRESETS["paper"])``, and ``Model.PRESETS["paper"] | {"layers": 2}`` is a plain
    one.

    Args:
        arguments: name of an argument -> its value.
        source: where the numbers stand: table, section or figure of a paper, or a file of the authors' code.

    Raises:
        InputError: no source.
    """

    source: str

    def __init__(self, arguments: Mapping[str, Any], *, source: str) -> None:
        super().__init__(arguments)
        if not source.strip():
            raise InputError(
                "a preset without a source", where="source", remedy="name the table, section or file of its numbers."
            )
        self.source = source


#: The source of presets that are no paper's.
OURS = "chosen here: small and fast on a processor"
