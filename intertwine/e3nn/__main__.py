"""``python -m intertwine.e3nn SCRIPT [arguments]`` or ``-m MODULE [arguments]``: run a program of e3nn's on ours."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import TracebackType

from intertwine.e3nn.replacement import install

USAGE = "usage: python -m intertwine.e3nn SCRIPT [arguments]\n       python -m intertwine.e3nn -m MODULE [arguments]"


def main(arguments: list[str]) -> None:
    """Run a script or module as ``python`` would: its arguments, exit code and traceback are its own."""
    module = arguments[:1] == ["-m"]
    rest = arguments[1:] if module else arguments
    if not rest or (not module and rest[0] in ("-h", "--help")):
        print(USAGE, file=sys.stdout if rest else sys.stderr)
        raise SystemExit(0 if rest else 2)
    install(children=True)
    sys.argv = rest
    try:
        if module:
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            if not Path(rest[0]).exists():
                raise SystemExit(f"python -m intertwine.e3nn: can't open file {rest[0]!r}: no such file")
            sys.path[0] = str(Path(rest[0]).resolve().parent)
            runpy.run_path(rest[0], run_name="__main__")
    except Exception as error:
        sys.excepthook(type(error), error.with_traceback(_program(error.__traceback__)), error.__traceback__)
        raise SystemExit(1) from None


def _program(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the program's own first line on."""
    inner = trace
    while inner is not None and (
        inner.tb_frame.f_code.co_filename == __file__ or "runpy" in inner.tb_frame.f_code.co_filename
    ):
        inner = inner.tb_next
    return inner or trace


if __name__ == "__main__":
    main(sys.argv[1:])
