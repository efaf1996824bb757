"""The `intertwine` command, also as ``python -m intertwine``."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Entry point of the command. An interrupt is answered while its modules are still being imported, too.

    The modules that a command imports make a million objects, which all stay. Python's defaults walk through them
    again and again, a sixth of the time of the imports; the collector of garbage runs less often here.
    """
    gc.set_threshold(10_000, 50, 50)
    try:
        from intertwine.cli import main as command
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    command()


if __name__ == "__main__":
    main()
