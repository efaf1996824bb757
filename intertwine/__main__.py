"""The `intertwine` command, also as ``python -m intertwine``."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the command. An interrupt is answered while its modules are still being imported, too."""
    try:
        from intertwine.cli import main as command
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    command()


if __name__ == "__main__":
    main()
