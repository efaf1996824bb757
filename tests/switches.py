"""Switches of the whole process, turned for a while and turned back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NoReturn

import pytest
import torch
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


@contextlib.contextmanager
def default_precision(dtype: torch.dtype) -> Iterator[None]:
    """With another default precision: e3nn has no other way to be asked for one. Ours never reads it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def does_not_apply(why: str) -> NoReturn:
    """Ends a test of a family that says nothing about this member of it: nothing is absent, as with other skips."""
    pytest.skip(f"does not apply: {why}")
