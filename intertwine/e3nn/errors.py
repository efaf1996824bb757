"""The one place where our errors become e3nn's."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from intertwine.numerics import InputError

F = TypeVar("F", bound=Callable[..., Any])


class BorderError(InputError, AssertionError, IndexError, RuntimeError):
    """An unacceptable argument, as whatever e3nn says of it: it asserts here, and raises a ValueError, IndexError or
    RuntimeError there.

    A program that catches e3nn's exception catches this one.
    """


def at_border(function: F) -> F:
    """Let a function raise :class:`BorderError` where it raises :class:`~intertwine.numerics.InputError`."""

    @wraps(function)
    def translated(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except InputError as error:
            raise BorderError(error.what, where=error.where, remedy=error.remedy) from error

    return translated  # type: ignore[return-value]
