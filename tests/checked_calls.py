"""Annotations are checked in the first calls of each function in each test: a check takes longer than most functions.

A lie shows in the first call that it is about. What a test calls hundreds of times, it calls with shapes of one kind.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jaxtyping
from jaxtyping import config

CALLS = 5  # of each function in each test; with 40 the tests take a fifth longer
_test = [0]  # the number of the test that runs


def begin_test() -> None:
    """From now on calls are those of another test."""
    _test[0] += 1


def check_first_calls() -> None:
    """Lets the import hook of jaxtyping make functions whose later calls are not checked; before the package is
    imported.
    """
    whole = jaxtyping.jaxtyped
    if getattr(whole, "first_calls", False):
        return

    def jaxtyped(*arguments: Any, **options: Any) -> Any:
        made = whole(*arguments, **options)
        if arguments:  # a decorator without options, or a class
            return made
        return lambda subject: first_calls(subject, made)

    jaxtyped.first_calls = True
    jaxtyping.jaxtyped = jaxtyped


def first_calls(function: Any, check: Callable[[Any], Callable[..., Any]]) -> Any:
    """A function that is ``check(function)`` in the first :data:`CALLS` calls of a test, and then ``function`` itself.

    The check is made in the first call: to make those of all functions takes longer than many a test. One inside
    another function is made at once, where its annotations may name what is local.
    """
    if not inspect.isfunction(function):
        return check(function)
    made = [check(function)] if "<locals>" in function.__qualname__ else []
    seen = [0, 0]  # the test, and how many calls there were in it

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        if config.jaxtyping_disable:
            return function(*arguments, **options)
        if seen[0] != _test[0]:
            seen[:] = _test[0], 0
        if seen[1] >= CALLS:
            return function(*arguments, **options)
        seen[1] += 1
        if not made:
            made.append(check(function))
        return made[0](*arguments, **options)

    # errors in what a user wrote say the innermost line that is not ours, which this one is
    call.__code__ = call.__code__.replace(co_filename="<checked calls>")
    return call
