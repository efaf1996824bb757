"""Programs that are installed or not: every import of an optional package of this room."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

from intertwine.numerics import InputError

#: package -> the extra that brings it, and what for.
EXTRAS = {
    "pyscf": ("quantum", "labels by PySCF"),
    "tblite": ("quantum", "labels by GFN-xTB"),
    "h5py": ("hdf5", "files of labels"),
    "distributed": ("dask", "labels by many machines"),
}


def program(module: str) -> Any:
    """A module of an optional package.

    Args:
        module: its full name, such as "pyscf.gto".

    Raises:
        InputError: it is not installed, or can't be imported; pip's command is the remedy.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        extra, purpose = EXTRAS[package]
        what = f"{purpose} need the package {package}, which can't be imported ({error})"
        raise InputError(what, where="intertwine label", remedy=f'pip install "intertwine[{extra}]"') from error


def versions(name: str) -> dict[str, str]:
    """Versions of a program and of what its numbers depend on."""
    packages = {"pyscf": ("pyscf", "numpy", "scipy"), "tblite": ("tblite", "numpy")}[name]
    told = {package: metadata.version(package) for package in packages}
    if name == "pyscf":
        told["libxc"] = str(program("pyscf.dft.libxc").__version__)
    return told
