"""Code as users run it, without the tests' check of annotations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from jaxtyping import config


@contextlib.contextmanager
def as_users_run_it() -> Iterator[None]:
    """Without the check of annotations, which dynamo can't trace and which comes before our own errors."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", before)
