"""What a command printed, read back."""

from __future__ import annotations

import json


def document(result) -> object:
    """What a command printed as JSON, and nothing else beside it."""
    assert result.exit_code in (0, 1), result.output
    return json.loads(result.stdout)
