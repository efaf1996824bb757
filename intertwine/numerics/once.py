"""Attributes that are computed when they are first asked for, without a lock."""

from __future__ import annotations

import sys
from functools import cached_property
from typing import Any, TypeVar

T = TypeVar("T")


class once(cached_property[T]):  # noqa: N801 - a decorator
    """:class:`functools.cached_property` without the lock that it has in Python 3.11.

    That lock is one for all instances of a class, and it is held while the attribute is computed. A process that is
    forked meanwhile by another thread (the workers of a data loader) has the lock and no thread that lets go of it: it
    waits for ever. Without it two threads may compute the attribute at once, and both get the one that was stored
    first.

    >>> class Square:
    ...     def __init__(self, side: float) -> None:
    ...         self.side = side
    ...
    ...     @once
    ...     def area(self) -> float:
    ...         return self.side**2
    >>> square = Square(3.0)
    >>> square.area
    9.0
    >>> "area" in vars(square)
    True
    """

    if sys.version_info < (3, 12):

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            name, kept = self.attrname, vars(instance)
            assert name is not None
            return kept[name] if name in kept else kept.setdefault(name, self.func(instance))
