"""Objects in the cache of kernels that are exchanged, damaged, signed wrongly, or no files at all; a script, since
running one would crash.

For each case some of the stored objects are replaced, everything that this process knows is forgotten, and the kernels
run again: results must be right, just those objects must be compiled again, and the cache must be as it was. Arguments:
a cache folder, how many cases.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from random_plans import case_of, depthwise

from intertwine.kernels.convolution import cpu as backend
from intertwine.kernels.convolution.cpu_order import sort_edges
from intertwine.kernels.convolution.fused import Fused
from intertwine.kernels.harmonics import kernel as harmonics_room
from intertwine.kernels.harmonics.plan import Solid
from intertwine.kernels.llvm import compile

PLANS = [depthwise("3x0e", "0e", 0), depthwise("2x1o", "0e", 1)]
SOLID = Solid((1,), (1.0, 1.0, 1.0), False)
INDEX = torch.tensor([2, 0, 2, 1])


def job() -> list[torch.Tensor]:
    """Five kernels with three signatures."""
    found = [*sort_edges(INDEX, 3, "index")]
    for plan in PLANS:
        one = case_of(plan, 0, dtype=torch.float32)
        found.append(Fused(plan).convolve(one.x, one.y, one.w, *one.ends).detach())
    x = torch.arange(60.0).view(20, 3)
    return [
        *found,
        harmonics_room.harmonics(SOLID.text).values(x),
        harmonics_room.harmonics(SOLID.text).gradient(x, x + 1),
    ]


class Cache:
    """The objects of the job, and what was compiled since :meth:`forget`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.texts, self.elsewhere = folder / "kernels", [], folder / "elsewhere"
        real = compile._Jit.compile
        compile._Jit.compile = lambda jit, text: self.texts.append(text) or real(jit, text)
        self.right = self.run()
        self.whole = {path: path.read_bytes() for path in sorted(self.folder.iterdir())}
        self.elsewhere.mkdir()

    def run(self) -> list[torch.Tensor]:
        compile._functions.clear()
        backend._kernel.cache_clear()
        harmonics_room.harmonics.cache_clear()
        self.texts.clear()
        return job()

    def body(self, path: Path) -> bytes:
        return self.whole[path][compile._SEAL_BYTES :]


def sealed_by_another(data: bytes, origin: str) -> bytes:
    """An object as another processor, or another version of LLVM, would have sealed it."""
    return compile._seal(origin.encode(), data) + data


#: What becomes of the file of one kernel: (cache, its path, another kernel's path, random numbers) -> bytes.
CONTENTS: dict[str, Callable[[Cache, Path, Path, random.Random], bytes]] = {
    "another's file": lambda c, a, b, r: c.whole[b],
    "another's header": lambda c, a, b, r: c.whole[b][: compile._SEAL_BYTES] + c.body(a),
    "another's body": lambda c, a, b, r: c.whole[a][: compile._SEAL_BYTES] + c.body(b),
    "truncated": lambda c, a, b, r: c.whole[a][: r.randrange(len(c.whole[a]))],
    "a byte short": lambda c, a, b, r: c.whole[a][:-1],
    "extended": lambda c, a, b, r: c.whole[a] + r.randbytes(r.randint(1, 5000)),
    "extended by another": lambda c, a, b, r: c.whole[a] + c.body(b),
    "a flipped bit": lambda c, a, b, r: flipped(c.whole[a], r.randrange(8 * len(c.whole[a]))),
    "a flipped bit of the header": lambda c, a, b, r: flipped(c.whole[a], r.randrange(8 * compile._SEAL_BYTES)),
    "zeros within": lambda c, a, b, r: zeroed(c.whole[a], r),
    "all zeros": lambda c, a, b, r: b"\0" * len(c.whole[a]),
    "empty": lambda c, a, b, r: b"",
    "random": lambda c, a, b, r: r.randbytes(len(c.whole[a])),
    "body first": lambda c, a, b, r: c.body(a) + c.whole[a][: compile._SEAL_BYTES],
    "no header": lambda c, a, b, r: c.body(a),
    "old file": lambda c, a, b, r: hashlib.sha256(c.body(a)).digest() + c.body(a),
    "old file of another": lambda c, a, b, r: hashlib.sha256(c.body(b)).digest() + c.body(b),
    "signed by its bytes": lambda c, a, b, r: compile._MAGIC + hashlib.sha256(c.body(b)).digest() + c.body(b),
    "signed by its name": lambda c, a, b, r: (
        compile._MAGIC + hashlib.sha256(a.stem.encode() + c.body(b)).digest() + c.body(b)
    ),
    "another schema": lambda c, a, b, r: c.whole[a].replace(b"kernel 2\n", b"kernel 1\n", 1),
    "another processor": lambda c, a, b, r: sealed_by_another(c.body(a), repr(("another-processor", r.random()))),
    "no origin": lambda c, a, b, r: sealed_by_another(c.body(a), ""),
    "two files": lambda c, a, b, r: c.whole[b] + c.whole[a],
    "text": lambda c, a, b, r: b"define void @body() { ret void }\n",
}

#: What may stand in the place of a file: (cache, path, another's path).
THINGS: dict[str, Callable[[Cache, Path, Path], object]] = {
    "a pipe": lambda c, a, b: os.mkfifo(a, 0o600),
    "a link to a copy": lambda c, a, b: a.symlink_to(copied(c, a)),
    "a link to another": lambda c, a, b: a.symlink_to(b),
    "a link to nothing": lambda c, a, b: a.symlink_to(c.elsewhere / "nothing"),
    "a link to itself": lambda c, a, b: a.symlink_to(a),
    "another's by another name": lambda c, a, b: os.link(copied(c, b), a),
    "writable by all": lambda c, a, b: (a.write_bytes(c.whole[a]), a.chmod(0o666)),
    "writable by a group": lambda c, a, b: (a.write_bytes(c.whole[a]), a.chmod(0o620)),
    "a folder": lambda c, a, b: a.mkdir(),
    "a folder with something": lambda c, a, b: (a.mkdir(), (a / "body").write_bytes(c.whole[a])),
}


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def zeroed(data: bytes, r: random.Random) -> bytes:
    """Some bytes, of which one at least was no zero, become zeros."""
    at = r.choice([place for place, byte in enumerate(data) if byte])
    stop = min(len(data), at + r.randint(1, 300))
    return data[:at] + b"\0" * (stop - at) + data[stop:]


def copied(cache: Cache, path: Path) -> Path:
    copy = cache.elsewhere / path.name
    copy.unlink(missing_ok=True)
    copy.write_bytes(cache.whole[path])
    return copy


def damage(cache: Cache, kind: str, path: Path, other: Path, r: random.Random) -> None:
    path.unlink()
    if kind in CONTENTS:
        path.write_bytes(CONTENTS[kind](cache, path, other, r))
        path.chmod(0o600)
    else:
        THINGS[kind](cache, path, other)


def main(folder: Path, cases: int) -> None:
    cache, r, kinds = Cache(folder), random.Random(0), [*CONTENTS, *THINGS]
    assert len(cache.whole) == 5, list(cache.whole)
    for number in range(cases):
        kind = kinds[number % len(kinds)]
        paths = r.sample(list(cache.whole), r.choice((1, 1, 1, 2)))
        for path in paths:
            damage(cache, kind, path, r.choice([other for other in cache.whole if other not in paths]), r)
        found = cache.run()
        assert len(cache.texts) == len(paths), (kind, len(cache.texts))
        assert all(torch.equal(a, b) for a, b in zip(found, cache.right, strict=True)), kind
        for path in paths:
            if path.is_dir():  # it stays, and nothing is kept there
                shutil.rmtree(path)
                path.write_bytes(cache.whole[path])
                path.chmod(0o600)
        assert {path: path.read_bytes() for path in sorted(cache.folder.iterdir())} == cache.whole, kind
        assert not any(path.is_symlink() for path in cache.whole), kind
        assert all(copy.read_bytes() == cache.whole[cache.folder / copy.name] for copy in cache.elsewhere.iterdir()), (
            kind
        )
    cache.run()
    assert not cache.texts
    print(f"{cases} cases of {len(kinds)} kinds: none was run")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
