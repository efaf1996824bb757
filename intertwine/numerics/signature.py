"""Arguments of a constructor as configuration: their names, types and defaults, read from its signature."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from intertwine.numerics.errors import InputError, nearest


class Argument(NamedTuple):
    """One argument: its type as annotated, and its default (``inspect.Parameter.empty`` if it must be given)."""

    hint: Any
    default: Any


def unpacked(function: Callable[..., Any]) -> dict[str, Any]:
    """The types of the keywords that ``**options: Unpack[SomeTypedDict]`` of a function or constructor stands for;
    empty if it has none.
    """
    target = function.__init__ if inspect.isclass(function) else function
    rest = [p.name for p in inspect.signature(target).parameters.values() if p.kind is p.VAR_KEYWORD]
    hint = typing.get_type_hints(target).get(rest[0]) if rest else None
    return typing.get_type_hints(typing.get_args(hint)[0]) if typing.get_origin(hint) is typing.Unpack else {}


def arguments(function: Callable[..., Any]) -> dict[str, Argument]:
    """The named arguments of a function or constructor that have a default, in order."""
    target = function.__init__ if inspect.isclass(function) else function
    hints = typing.get_type_hints(target) | unpacked(function)
    return {
        name: Argument(hints.get(name, Any), parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }


class Configured:
    """Base of what is made from configurations: remembers the arguments that its constructor was given, as
    :attr:`settings`.

    Those without a default, such as the backbone of a task, are objects of their own and no configuration.
    """

    settings: dict[str, Any]

    def __new__(cls, *args: Any, **named: Any):
        made, signature = super().__new__(cls), inspect.signature(cls)
        try:
            bound = signature.bind(*args, **named).arguments
        except TypeError:  # the constructor will say which; or a copy is being made, which gets its state afterwards
            bound = {}
        optional = {
            name for name, parameter in signature.parameters.items() if parameter.default is not inspect.Parameter.empty
        }
        object.__setattr__(made, "settings", {name: value for name, value in bound.items() if name in optional})
        return made


def bind(function: Callable[..., Any], values: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """All arguments of ``function``: those given, checked and converted to the annotated types, and the defaults of the
    rest.

    Args:
        function: whose signature decides.
        values: values by name, as read from TOML; the string "none" stands for None.
        where: the section, for messages.

    Raises:
        InputError: an unknown name (the nearest right one is named), or a value of the wrong type.
    """
    known = arguments(function)
    for name in values:
        if name not in known:
            raise InputError(f"unknown key {name!r}", where=f"[{where}]", remedy=nearest(name, known))
    return {
        name: convert(values[name], argument.hint, where=f"{where}.{name}") if name in values else argument.default
        for name, argument in known.items()
    }


def convert(value: Any, hint: Any, *, where: str) -> Any:
    """``value`` as the annotated type: integers become floats where these are wanted, lists become tuples, "none" None.

    Raises:
        InputError: the value does not fit.
    """
    options = _options(hint)
    if isinstance(value, float):  # where whole numbers and others are both taken, 1.0 (a share) is not 1 (a count)
        options = tuple(sorted(options, key=lambda option: option is not float))
    for option in options:
        fits, result = _fit(value, option)
        if fits:
            return result
    raise InputError(f"{value!r} is not {_describe(hint)}", where=where, remedy=f"give {_describe(hint)}.")


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _fit(value: Any, hint: Any) -> tuple[bool, Any]:
    origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if hint is Any:
        return True, value
    if hint is type(None):
        return value is None or (isinstance(value, str) and value.lower() == "none"), None
    if origin is Literal:
        return value in inner, value
    if hint is bool:
        return isinstance(value, bool), value
    if hint is int:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return whole and not isinstance(value, bool), int(value) if whole else value
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number, float(value) if number else value
    if hint is str:
        return isinstance(value, str), value
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        fits = isinstance(value, Mapping) and all(_fit(v, inner[1] if inner else Any)[0] for v in value.values())
        return fits, dict(value) if fits else value
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        if isinstance(value, str) or not isinstance(value, Sequence):
            return False, value
        parts = [_fit(v, inner[0] if inner else Any) for v in value]
        return all(fits for fits, _ in parts), tuple(v for _, v in parts)
    return inspect.isclass(origin) and isinstance(value, origin), value


NAMES = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    bool: "true or false",
    type(None): '"none"',
    Any: "anything",
}


def _describe(hint: Any) -> str:
    parts = []
    for option in _options(hint):
        origin, inner = typing.get_origin(option) or option, typing.get_args(option)
        if origin is Literal:
            parts.append("one of " + ", ".join(map(str, inner)))
        elif option in NAMES:
            parts.append(NAMES[option])
        elif inspect.isclass(origin) and issubclass(origin, Mapping):
            parts.append("a table")
        else:
            parts.append("a list" + (f" (each {_describe(inner[0])})" if inner else ""))
    return " or ".join(parts)
