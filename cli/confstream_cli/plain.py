"""Command lines of the plain kind, read without Typer, which takes longer to import than most commands run.

Options by their whole names, each once, values that are no options: what else
there is, and every mistake, is left to Typer, which gives the same answer.
"""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from confstream_cli import options

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
_DEBUG = "CONFSTREAM_DEBUG"
_DIGITS_MAX = 9

Parameter = tuple[str, Any, options.Option | options.Arguments, Any]
"""A parameter of a command: its name, its type, what is given for it, and its default."""


def parameters(function: Callable[..., Any]) -> list[Parameter]:
    """Return the parameters of the command that *function* is."""
    listed = getattr(function, "parameters", None)
    if listed is None:
        defaults = dict.fromkeys(function.__code__.co_varnames[: function.__code__.co_argcount])
        defaults |= function.__kwdefaults__ or {}
        hints = get_type_hints(function, include_extras=True)
        listed = [(name, hints[name], default) for name, default in defaults.items()]
    return [(name, *get_args(kind)[:2], default) for name, kind, default in listed if get_origin(kind) is Annotated]


def takes_named(function: Callable[..., Any]) -> bool:
    """Return whether *function* wants to know which of its options were given."""
    return hasattr(function, "parameters")


def read(function: Callable[..., Any], arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what to call *function* with for *arguments*, or None if they are not of the plain kind."""
    if environ.get(_DEBUG, "0") not in _TRUE | _FALSE:
        return None
    known = parameters(function)
    split = _split(arguments, {about.name: kind for _, kind, about, _ in known if isinstance(about, options.Option)})
    if split is None:
        return None
    places, given = split
    result: dict[str, Any] = {}
    named = set()
    for name, kind, about, default in known:
        if isinstance(about, options.Arguments):
            result[name] = places or default
            places = []
            continue
        found = given.get(about.name, [])
        variable = environ.get(about.variable, "")
        if not found and variable:
            found = variable.split() if _takes_several(kind) else [variable]
        if not found:
            if variable:
                return None
            result[name] = default
            continue
        value = _value(kind, found, about)
        if value is None:
            return None
        result[name] = value
        named.add(name)
    if places:
        return None
    return result | ({"named": frozenset(named)} if takes_named(function) else {})


def _split(arguments: Sequence[str], kinds: Mapping[str, Any]) -> tuple[list[str], dict[str, list[str]]] | None:
    """Return the arguments that are no options, and the values of each option."""
    places: list[str] = []
    given: dict[str, list[str]] = {}
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-"):
            places.append(argument)
            continue
        name, equals, value = argument.partition("=")
        kind = kinds.get(name)
        if kind is None or (equals and kind is bool) or (name in given and not _takes_several(kind)):
            return None
        if kind is bool:
            value = "1"
        elif not equals:
            value = next(rest, "-")
            if value.startswith("-"):
                return None
        given.setdefault(name, []).append(value)
    return places, given


def _value(kind: Any, found: list[str], about: options.Option) -> Any:  # noqa: ANN401 - whatever an option holds
    """Return what *found* means for an option of *kind*; None if that is not plain."""
    if _takes_several(kind):
        return found
    (text,) = found
    plain = [each for each in _each(kind) if each is not types.NoneType]
    if plain == [str]:
        return text
    if plain == [bool]:
        return text in _TRUE if text in _TRUE | _FALSE else None
    if plain == [int] and text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX:
        number = int(text)
        return number if about.least is None or number >= about.least else None
    return None


def _takes_several(kind: Any) -> bool:  # noqa: ANN401 - a type
    return list[str] in _each(kind)


def _each(kind: Any) -> Iterator[Any]:  # noqa: ANN401 - a type
    yield from get_args(kind) if get_origin(kind) is types.UnionType else (kind,)
