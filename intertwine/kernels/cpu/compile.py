"""From the text of a kernel to a function in memory, by way of a cache on disk.

LLVM comes with llvmlite: no compiler is needed on the machine. An object file is kept under ``kernels/`` in the cache folder by a name that
depends on everything it was made from: this package's sources, the version of LLVM, the processor, and what the kernel was asked for. So an
upgrade finds nothing old, and processes that write the same file write the same bytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from intertwine.kernels.processes import preparing
from intertwine.numerics import InputError, IntertwineError, cache_folder, write_atomically

Function = Callable[[int, int, int], None]  # address of the words, lo, hi

_BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)

_functions: dict[str, Function] = {}


def compiled(name: str, described: str, write: Callable[[], str], *, long: bool = False) -> Function:
    """The function ``body`` of a kernel: from this process, from the disk, or compiled now.

    Args:
        name: what it is, in a few words, for messages.
        described: everything that the text depends on beside this package.
        write: gives the text, if it is needed.
        long: whether that takes seconds, so that a line should say what is happening.

    Raises:
        InputError: LLVM can't compile for this machine.
    """
    found = _functions.get(described)
    if found is None:
        with preparing:
            found = _functions.get(described)
            if found is None:
                found = _functions[described] = _BODY(_jit().load(_object(name, described, write, long)))  # type: ignore[assignment]
    return found


def _object(name: str, described: str, write: Callable[[], str], long: bool) -> bytes:
    """The object file, from the disk if it is there and whole."""
    key = hashlib.sha256("\n".join((_origin(), described)).encode()).hexdigest()
    folder = _folder()
    if folder is not None:
        with contextlib.suppress(OSError):
            stored = (folder / f"{key}.o").read_bytes()
            if hashlib.sha256(stored[32:]).digest() == stored[:32]:
                return stored[32:]
    if long:
        print(f"intertwine: compiling {name} for this processor; once, then it comes from the cache", file=sys.stderr, flush=True)
    made = _jit().compile(write())
    if folder is not None:
        with contextlib.suppress(IntertwineError):  # a full disk costs the next process a second, not this one its work
            write_atomically(folder / f"{key}.o", hashlib.sha256(made).digest() + made)
    return made


class _Jit:
    """LLVM for this processor. Functions live as long as the process."""

    def __init__(self) -> None:
        import llvmlite.binding as llvm

        self.llvm = llvm
        try:
            llvm.initialize_native_target()
            llvm.initialize_native_asmprinter()
            self.machine = llvm.Target.from_default_triple().create_target_machine(
                cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True, codemodel="jitdefault"
            )
            self.jit = llvm.create_lljit_compiler(self.machine)
        except RuntimeError as error:
            remedy = "set INTERTWINE_KERNELS=reference to do without compiled kernels."
            raise InputError(f"LLVM can't compile for this machine: {error}", where="kernels", remedy=remedy) from error
        self.libraries: list[Any] = []

    def compile(self, text: str) -> bytes:
        """Object code."""
        module = self.llvm.parse_assembly(text)
        module.verify()
        return self.machine.emit_object(module)

    def load(self, code: bytes) -> int:
        """The address of ``body``."""
        builder = self.llvm.JITLibraryBuilder().add_object_img(code).export_symbol("body")
        self.libraries.append(builder.link(self.jit, f"kernel{len(self.libraries)}"))
        return self.libraries[-1]["body"]


@cache
def _jit() -> _Jit:
    return _Jit()


@cache
def _origin() -> str:
    """What all kernels are made from: our sources, LLVM, the processor."""
    import llvmlite
    import llvmlite.binding as llvm

    sources = hashlib.sha256()
    for file in sorted(Path(__file__).parent.parent.rglob("*.py")):
        sources.update(file.read_bytes())
    processor = (llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    return repr((sources.hexdigest(), llvmlite.__version__, llvm.llvm_version_info, *processor))


@cache
def register_bytes() -> int:
    """Bytes of a vector register."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx") else 16


def _folder() -> Path | None:
    """Where object files are kept: a folder that only this user can write, since they are run; None if there is none."""
    try:
        folder = cache_folder() / "kernels"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = [place.stat() for place in (folder, folder.parent)]
    except (OSError, IntertwineError):
        return None
    if hasattr(os, "getuid") and any(one.st_uid != os.getuid() or one.st_mode & 0o022 for one in found):
        return None
    return folder if os.access(folder, os.W_OK) else None
