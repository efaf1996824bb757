"""From the text of a kernel to a function in memory, by way of a cache on disk.

LLVM comes with llvmlite: no compiler is needed on the machine. An object file is kept under ``kernels/`` in the cache
folder by a name that depends on everything it was made from: this package's sources, the version of LLVM, the
processor, and what the kernel was asked for. So an upgrade finds nothing old, and processes that write the same file
write the same bytes. The file's own digest is over all that and the object: what stands under another kernel's name, or
was made by another version, is not run. Nor is what another user may have written.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import stat
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from intertwine.kernels.shared.processes import preparing
from intertwine.numerics import InputError, IntertwineError, cache_folder, replacing

Function = Callable[[int, int, int], None]  # address of the words, lo, hi

_BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)

#: The first bytes of a file; the number is that of the schema.
_MAGIC = b"intertwine kernel 2\n"
_SEAL_BYTES = len(_MAGIC) + 32
_MOST_FILE_BYTES = 1 << 28  # bytes of a file: an object has some hundred thousand

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
    function = _functions.get(described)
    if function is None:
        with preparing:
            function = _functions.get(described)
            if function is None:
                loaded = _BODY(_jit().load(_object(name, described, write, long)))
                function = _functions[described] = loaded  # type: ignore[assignment]
    return function


def _object(name: str, described: str, write: Callable[[], str], long: bool) -> bytes:
    """The object file, from the disk if it is there, whole, and of this very kernel."""
    identity = "\n".join((_origin(), described)).encode()
    folder = _folder()
    path = None if folder is None else folder / f"{hashlib.sha256(identity).hexdigest()}.o"
    if path is not None:
        stored = _stored(path, identity)
        if stored is not None:
            return stored
    if long:
        print(
            f"intertwine: compiling {name} for this processor; once, then it comes from the cache",
            file=sys.stderr,
            flush=True,
        )
    binary = _jit().compile(write())
    if path is not None:
        # a full disk costs the next process a second, not this one its work
        with contextlib.suppress(OSError, IntertwineError):
            # what is there is no object: a link must not be followed, nor a pipe written into
            path.unlink(missing_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(_seal(identity, binary) + binary)
                temporary.chmod(0o600)
    return binary


def _stored(path: Path, identity: bytes) -> bytes | None:
    """The object in a file, if that is a regular file that only this user can write, sealed for this identity."""
    try:
        with open(path, "rb", opener=_opened) as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_size > _MOST_FILE_BYTES or not _own(about):
                return None
            data = file.read()
    except OSError:  # there is none, or it is a link or a folder
        return None
    seal, binary = data[:_SEAL_BYTES], data[_SEAL_BYTES:]
    return binary if binary and seal == _seal(identity, binary) else None


def _opened(path: str, flags: int) -> int:
    """A file, without following a link or waiting for a pipe."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _seal(identity: bytes, binary: bytes) -> bytes:
    """What stands before an object: a name, the number of the schema, and a digest over what it is for and what it is.

    A digest of the bytes alone would hold for a whole object under the name of another kernel, which takes other
    arguments.
    """
    digest = hashlib.sha256(_MAGIC + len(identity).to_bytes(8, "little") + identity + binary)
    return _MAGIC + digest.digest()


class _Jit:
    """LLVM for this processor. Functions live as long as the process."""

    def __init__(self) -> None:
        import llvmlite.binding as llvm

        self.llvm = llvm
        try:
            llvm.initialize_native_target()
            llvm.initialize_native_asmprinter()
            self.machine = llvm.Target.from_default_triple().create_target_machine(
                cpu=llvm.get_host_cpu_name(),
                features=llvm.get_host_cpu_features().flatten(),
                opt=3,
                jit=True,
                codemodel="jitdefault",
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
    """What all kernels are made from and for: our sources, LLVM, the processor, and how ``body`` is called."""
    import llvmlite
    import llvmlite.binding as llvm

    sources = hashlib.sha256()
    for file in sorted(Path(__file__).parent.parent.rglob("*.py")):
        sources.update(file.read_bytes())
    processor = (llvm.get_default_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    return repr((sources.hexdigest(), llvmlite.__version__, llvm.llvm_version_info, *processor, "body(words, lo, hi)"))


@cache
def register_bytes() -> int:
    """Bytes of a vector register."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx") else 16


def _folder() -> Path | None:
    """Where object files are kept: a folder that only this user can write, since they are run; or None."""
    try:
        folder = cache_folder() / "kernels"
        folder.mkdir(mode=0o700, exist_ok=True)
        stats = [place.stat() for place in (folder, folder.parent)]
    except (OSError, IntertwineError):
        return None
    if not all(map(_own, stats)):
        return None
    return folder if os.access(folder, os.W_OK) else None


def _own(about: os.stat_result) -> bool:
    """Whether a file or folder is this user's, and nobody else can write it."""
    return not hasattr(os, "getuid") or (about.st_uid == os.getuid() and not about.st_mode & 0o022)
