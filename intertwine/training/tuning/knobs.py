"""What a search varies: settings of a configuration, and the values that each may take around its default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from intertwine.training.config import Config

RATE_FACTOR, WEIGHT_FACTOR = 5.0, 10.0  # largest factor between a value and the default
BATCH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
WIDTH_FACTORS = (0.5, 1.0, 1.5, 2.0)
MORE_LAYERS = (-1, 0, 1)
DIGITS = 3  # that a value of a range has
#: The weight that others are relative to: Adam's steps don't change where all weights have a common factor.
FIXED_WEIGHTS = ("force_weight",)


class Knob(NamedTuple):
    """A setting that is searched.

    ``name``: as ``training.learning_rate``. ``default``: what a training without a search takes. ``values``: those that
    it may take, in order; empty for a range. ``low``, ``high``: the ends of a range, which is searched by its
    logarithm.
    """

    name: str
    default: Any
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0

    def facts(self) -> dict[str, Any]:
        """Plain values."""
        told = {"values": list(self.values)} if self.values else {"low": self.low, "high": self.high}
        return {"default": self.default, **told}


def rounded(value: float | int) -> float:
    """With the digits that a value of a range has.

    >>> rounded(0.00123456)
    0.00123
    """
    return float(f"{value:.{DIGITS}g}")


def knobs_of(
    config: Config, fixed: Mapping[str, Mapping[str, Any]], structures: int, *, weights: bool = True
) -> list[Knob]:
    """The settings that a search varies: learning rate, batch size, width and layers of the model, weights of the
    loss; those that were given are fixed.

    Args:
        config: the defaults, settled.
        fixed: sections of the settings that are given.
        structures: of the training set; at least two batches make it up.
        weights: whether weights of the loss may vary.
    """
    o = config.training
    rate = o.learning_rate
    knobs = [Knob("training.learning_rate", rate, (), rounded(rate / RATE_FACTOR), rounded(rate * RATE_FACTOR))]
    knobs.append(_ladder("training.batch_size", o.batch_size, BATCH_FACTORS, max(o.batch_size, structures // 2)))
    preset = "preset" in fixed.get("model", {})
    if config.start.run is None:  # trained weights have the sizes that they have
        model = config.model.arguments
        if isinstance(width := model.get("width"), int) and not preset:
            knobs.append(_ladder("model.width", width, WIDTH_FACTORS))
        if isinstance(layers := model.get("layers"), int) and not preset:
            values = tuple(layers + more for more in MORE_LAYERS if layers + more >= 1)
            knobs.append(Knob("model.layers", layers, values))
    for name, weight in config.task.arguments.items() if weights else ():
        if name.endswith("_weight") and name not in FIXED_WEIGHTS and isinstance(weight, int | float) and weight > 0:
            ends = rounded(weight / WEIGHT_FACTOR), rounded(weight * WEIGHT_FACTOR)
            knobs.append(Knob(f"task.{name}", float(weight), (), *ends))
    told = {f"{section}.{name}" for section, content in fixed.items() for name in content}
    return [knob for knob in knobs if knob.name not in told and len(knob.values) != 1]


def _ladder(name: str, default: int, factors: tuple[float, ...], most: int | None = None) -> Knob:
    values = {max(1, round(default * factor)) for factor in factors}
    return Knob(name, default, tuple(sorted(v for v in values if most is None or v <= most)))


def as_sections(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings by their full names as sections.

    >>> as_sections({"model.width": 64, "model.layers": 2})
    {'model': {'width': 64, 'layers': 2}}
    """
    sections: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = value
    return sections
