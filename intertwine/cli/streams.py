"""The two output streams of a command: what happens where nobody can, or wants to, read them."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any


class Channel(io.TextIOBase):
    """A stream that never raises: the first failure is kept, and what is printed after it is dropped.

    Args:
        stream: to write to; None where the process was started without it.

    Attributes:
        failure: the first error; None for none.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        if self.failure is None:
            try:
                if self.stream is None:
                    raise OSError(errno.EBADF, os.strerror(errno.EBADF))
                self.stream.write(text)
                self.stream.flush()
            except OSError as error:
                self.failure = error
            except ValueError as error:  # closed meanwhile
                self.failure = OSError(errno.EBADF, str(error))
        return len(text)

    def flush(self) -> None:
        """Every write is flushed."""

    def lost(self) -> OSError | None:
        """The failure, unless the reader has only had enough, as `head` has."""
        return None if self.failure is None or isinstance(self.failure, BrokenPipeError) else self.failure

    def isatty(self) -> bool:
        return self.stream is not None and self.stream.isatty()

    def fileno(self) -> int:
        if self.stream is None:
            raise io.UnsupportedOperation("fileno")
        return self.stream.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self.stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return getattr(self.stream, "errors", None) or "strict"

    @property
    def buffer(self) -> Any:
        """For programs that write bytes."""
        return getattr(self.stream, "buffer", io.BytesIO())


class Aside(io.TextIOBase):
    """In the place of standard output: what is printed goes to standard error, and only :meth:`emit` reaches the real
    one.
    """

    def __init__(self, real: Any, descriptor: int | None) -> None:
        self.real, self.descriptor = real, descriptor

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def emit(self, text: str) -> None:
        """Print on the real standard output."""
        with _pointing(self.descriptor):
            self.real.write(text)
            self.real.flush()


@contextlib.contextmanager
def channels() -> Iterator[tuple[Channel, Channel]]:
    """Standard output and error are :class:`Channel` inside the ``with`` block; names that are not text in their
    encoding are escaped.

    Descriptors 0, 1 and 2 that are closed lead nowhere: the next file that is opened would get their number, and be
    printed into.
    """
    for number in range(3):
        if not _open(number):
            os.open(os.devnull, os.O_RDWR)
    former = sys.stdout, sys.stderr
    texts = [(stream, stream.errors) for stream in former if isinstance(stream, io.TextIOWrapper)]
    for stream, _ in texts:
        stream.reconfigure(errors="backslashreplace")
    out, err = Channel(former[0]), Channel(former[1])
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    try:
        yield out, err
    finally:
        sys.stdout, sys.stderr = former
        for number, channel in ((1, out), (2, err)):
            if channel.failure is not None:
                _discard(channel, number)
        with contextlib.suppress(OSError, ValueError):
            for stream, errors in texts:
                stream.reconfigure(errors=errors)


def _discard(channel: Channel, number: int) -> None:
    """What is still in the buffer of a stream that failed has nowhere to go when Python ends."""
    with contextlib.suppress(OSError, ValueError):
        if channel.fileno() == number:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Whatever is printed, by Python, C or other processes, goes to standard error inside the ``with`` block, except by
    :meth:`Aside.emit`."""
    real, kept = sys.stdout, None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        real.flush()
        if real.fileno() == 1:
            kept = os.dup(1)
            os.dup2(2, 1)
    sys.stdout = Aside(real, kept)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout = real
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


@contextlib.contextmanager
def _pointing(descriptor: int | None) -> Iterator[None]:
    """Descriptor 1 is this one inside the ``with`` block."""
    if descriptor is None:
        yield
        return
    now = os.dup(1) if _open(1) else None  # a user's code may have closed it
    os.dup2(descriptor, 1)
    try:
        yield
    finally:
        os.dup2(2 if now is None else now, 1)
        if now is not None:
            os.close(now)


def shut() -> None:
    """What is printed from now on, by threads and functions that run when Python ends, goes to standard error: all has
    been said.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    if _open(1) and _open(2):
        os.dup2(2, 1)


def _open(number: int) -> bool:
    """Whether a descriptor leads anywhere."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
