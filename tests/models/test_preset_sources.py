"""Every preset says where its numbers are from; every paper's preset names a place, builds, and certifies."""

from __future__ import annotations

import re
import sys

import pytest
import torch
from molecular import MODELS
from switches import as_users_run_it

from intertwine.certify import certify
from intertwine.geometry import Graph
from intertwine.groups import SO
from intertwine.nn import Backbone, Preset
from intertwine.nn.preset import OURS
from intertwine.numerics import InputError

ALL = [(name, preset) for name, kind in MODELS.items() for preset in kind.PRESETS]
#: A place that can be looked up: a table, section, figure or algorithm of a paper, or a file of code.
PLACE = re.compile(
    r"\b(table|section|appendix|figure|algorithms?) \w|\w\.(py|yaml|yml|sh|md|ipynb)\b|, (appendix|methods)\b"
)
WORK = re.compile(r"\b(arXiv:\d{4}\.\d{5}|authors' code|code of arXiv|Gilmer et al\.'s code|et al\. \d{4})")


def test_every_preset_names_its_source() -> None:
    assert len(ALL) > 2 * len(MODELS)
    for name, preset in ALL:
        entry = MODELS[name].PRESETS[preset]
        assert isinstance(entry, Preset), f"{name}.{preset} is a plain dictionary: it says no source"
        if preset == "small":
            assert entry.source == OURS, f"{name}.small"
        else:
            assert PLACE.search(entry.source), f"{name}.{preset} names no table, section or file: {entry.source}"
            assert WORK.search(entry.source), f"{name}.{preset} names no work: {entry.source}"


@pytest.mark.parametrize("name", MODELS)
def test_departures_stand_in_the_docstring(name: str) -> None:
    words = sys.modules[MODELS[name].__module__].__doc__ or ""
    assert re.search(r"\b[Dd]epart(ures?|s? from)\b", words), f"{name} does not say where it departs from its source"


@pytest.mark.parametrize("source", ["", " ", "\n\t"])
def test_a_source_is_needed(source: str) -> None:
    with pytest.raises(InputError, match="source"):
        Preset({"width": 8}, source=source)


def test_a_preset_is_a_dictionary() -> None:
    preset = Preset({"width": 8}, source="table 1")
    for other in ({"layers": 2}, {"width": 4}, {}):
        assert preset | other == {"width": 8} | other
        assert type(preset | other) is dict
    assert {**preset} == {"width": 8}
    assert preset.source == "table 1"


def molecule(model: Backbone) -> Graph:
    """Hydrogen peroxide with every field that a preset reads."""
    pos = torch.tensor([(0, 0.73, -0.05), (0, -0.73, -0.05), (0.84, 0.88, 0.42), (-0.84, -0.88, 0.42)]).double()
    generator = torch.Generator().manual_seed(0)
    vel = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    charge = torch.tensor([-1.0, 1.0, 1.0, -1.0], dtype=torch.float64)
    z = None if model.arguments["species"] == () else [8, 8, 1, 1]
    return Graph(pos, z=z, vel=vel, charge=charge, frame=SO(3).sample(4, generator))


@pytest.mark.parametrize(("name", "preset"), [pair for pair in ALL if pair[1] != "small"])
def test_papers_presets_certify(name: str, preset: str) -> None:
    """At full width, in double precision: the symmetry of its card. Of the layers a first and a last."""
    torch.manual_seed(0)
    whole = MODELS[name](**MODELS[name].PRESETS[preset])
    layers = {"layers": min(whole.arguments["layers"], 2)} if "layers" in whole.arguments else {}
    model = MODELS[name](**MODELS[name].PRESETS[preset] | layers).eval()
    with as_users_run_it():
        certificate = certify(
            model, [molecule(model)], symmetry=model.card.symmetry, dtypes=(torch.float64,), rotations=1, quick=True
        )
    assert certificate.passed, str(certificate)
