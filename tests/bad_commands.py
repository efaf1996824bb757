"""Command lines that must be refused, and what the message must say. Run by tests/test_bad_input.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input import UNLABELLED, Kit, bad_files, flip

COMMANDS: dict[str, tuple[Callable[[Kit], list[Any]], tuple[str, ...]]] = {
    "train on nothing": (lambda k: ["train", k.folder / "gone.xyz"], ("gone.xyz", "no such file")),
    "train with a misspelt model": (lambda k: ["train", k.data, "--model", "pain"], ("did you mean 'painn'",)),
    "train with a misspelt key": (lambda k: ["train", k.data, "--set", "model.widht=3"], ("did you mean 'width'",)),
    "train with a setting of no section": (lambda k: ["train", k.data, "--set", "width=3"], ("section.key=value",)),
    "train with a bad pair": (lambda k: ["train", k.data, "--key", "energy"], ("--key", "name=value")),
    "train into a taken folder": (lambda k: ["train", k.data, "--run", k.run], ("not empty", "--resume")),
    "train for a negative time": (lambda k: ["train", k.data, "--minutes", -1], ("training.minutes",)),
    "train dynamics on molecules": (
        lambda k: ["train", k.data, "--model", "schnet", "--task", "dynamics"],
        ("later positions", "nbody"),
    ),
    "train to an unknown target": (lambda k: ["train", k.data, "--target", "homoo"], ("homoo",)),
    "train with absent indices": (lambda k: ["train", k.data, "--indices", "gone.json"], ("gone.json",)),
    "resume of no run": (lambda k: ["train", "--resume", k.folder / "none"], ("no such run folder",)),
    "resume of an empty folder": (lambda k: ["train", "--resume", _empty(k)], ("half-written",)),
    "evaluate no run": (lambda k: ["evaluate", k.folder / "none"], ("no such run folder",)),
    "evaluate on unlabelled data": (
        lambda k: ["evaluate", k.run, k.file(UNLABELLED)],
        ("none of the labels energy, forces",),
    ),
    "evaluate damaged weights": (lambda k: ["evaluate", k.damage(flip(-3))], ("damaged", "best or last")),
    "predict to a banana": (lambda k: ["predict", k.run, k.data, "-o", "a.banana"], (".banana", ".npz")),
    "predict into no folder": (lambda k: ["predict", k.run, k.data, "-o", "no/a.xyz"], ("no folder",)),
    "predict an unknown species": (
        lambda k: ["predict", k.run, k.file(UNLABELLED.replace("O ", "Au "))],
        ("frame 0", "unknown species", "[79]", "Au", "atom 0"),
    ),
    "encode by a run without codes": (
        lambda k: ["encode", k.run, k.data, "-o", "a.npz"],
        ("force_field, has no codes", "--task point_autoencoder"),
    ),
    "align by a run without codes": (lambda k: ["align", k.run, k.data, k.data], ("has no codes",)),
    "certify nothing": (lambda k: ["certify"], ("nothing, or two things",)),
    "certify two things": (lambda k: ["certify", k.run, "--model", "painn"], ("nothing, or two things",)),
    "certify an absent module": (lambda k: ["certify", "no_such_module:Net"], ("no_such_module", "can't import")),
    "certify an absent class": (lambda k: ["certify", "math:Net"], ("has no 'Net'",)),
    "certify a class that raises": (lambda k: ["certify", _module(k, "raises") + ":Net"], ("Net() failed", "boom")),
    "certify a module that raises": (
        lambda k: ["certify", _module(k, "broken") + ":Net"],
        ("can't import", "ZeroDivisionError"),
    ),
    "certify a class of no irreps": (lambda k: ["certify", _module(k, "silent") + ":Net"], ("irreps_out",)),
    "certify under an unknown group": (lambda k: ["certify", "--model", "schnet", "--symmetry", "G2"], ("G2",)),
    "md of an unknown species": (
        lambda k: ["md", k.run, k.file(UNLABELLED.replace("O ", "Au ")), "--steps", 3],
        ("frame 11", "unknown species", "Au", "atom 0"),
    ),
    "md of no steps": (lambda k: ["md", k.run, k.data, "--steps", 0], ("steps is 0",)),
    "md in an unknown ensemble": (lambda k: ["md", k.run, k.data, "--ensemble", "nph"], ("unknown ensemble", "npt")),
    "md of a molecule under pressure": (
        lambda k: ["md", k.run, k.data, "--ensemble", "npt"],
        ("not periodic in three directions", "nvt"),
    ),
    "md with friction and no thermostat": (
        lambda k: ["md", k.run, k.data, "--friction", "0.1"],
        ("nve uses no friction", "langevin"),
    ),
    "md with a log of another kind": (lambda k: ["md", k.run, k.data, "--log", "a.txt"], ("a.txt", ".csv")),
    "md that goes on from no trajectory": (
        lambda k: ["md", k.run, k.data, "--resume"],
        ("no trajectory that can be read", "--resume"),
    ),
    "relax under pressure without a cell": (
        lambda k: ["relax", k.run, k.data, "--pressure", "1"],
        ("a cell that is not relaxed", "--cell"),
    ),
    "relax with steps into an xyz": (
        lambda k: ["relax", k.run, k.data, "--trajectory", "a.xyz"],
        ("a.xyz", ".traj"),
    ),
    "md in half precision": (lambda k: ["md", k.run, k.data, "--precision", "float16"], ("float16", "float32")),
    "md into an xyz": (lambda k: ["md", k.run, k.data, "-o", "a.xyz"], (".traj",)),
    "relax the cell of a molecule": (lambda k: ["relax", k.run, k.data, "--cell"], ("no cell to relax",)),
    "relax an absent structure": (lambda k: ["relax", k.run, "gone.xyz"], ("gone.xyz", "no such file")),
    "relax into a banana": (lambda k: ["relax", k.run, k.data, "-o", "a.banana"], (".banana",)),
}
for _, _words in COMMANDS.values():
    bad_files.check_words(_words)

MODULES = {
    "raises": 'class Net:\n    irreps_out = "0e"\n    def __init__(self):\n        raise RuntimeError("boom")\n',
    "broken": "1 / 0\n",
    "silent": "class Net:\n    def __call__(self, graph):\n        return graph.pos\n",
}


def _empty(kit: Kit) -> Path:
    (kit.folder / "empty").mkdir()
    return kit.folder / "empty"


def _module(kit: Kit, kind: str) -> str:
    kit.file(MODULES[kind], f"bad_input_{kind}.py")
    return f"bad_input_{kind}"
