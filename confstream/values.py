"""Dataclasses that are there at once: a process that starts makes a hundred of them before it does anything.

For the type checker this is the standard library's decorator, and nothing may be set on what is ``frozen``. When the
program runs, nobody is asked: comparison, hash and text are the same for all classes instead of code that is written
and compiled for each, which takes a quarter of the time, and a value is made in half of it.
"""

import dataclasses
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(
        made: type | None = None,
        /,
        *,
        frozen: bool = False,
        slots: bool = False,
        eq: bool = True,
        order: bool = False,
        kw_only: bool = False,
    ) -> Any:  # noqa: ANN401 - as there
        """Make a dataclass of the class *made*; the arguments mean what they do in the standard library."""

        def decorate(plain: type) -> type:
            # Of a class that says nothing of itself, the standard library would find out the signature.
            plain.__doc__ = plain.__doc__ or plain.__name__
            found = dataclasses.dataclass(repr=False, eq=False, slots=slots, kw_only=kw_only)(plain)
            _set(found, "__repr__", _shown)
            if not eq:
                return found
            compared = [field.name for field in dataclasses.fields(found) if field.compare]
            values = operator.attrgetter(*compared) if compared else lambda _one: ()
            found.__eq__ = _comparing(operator.eq, values)
            for name in _ORDER if order else ():
                setattr(found, name, _comparing(getattr(operator, name), values))
            found.__hash__ = (lambda one: hash(values(one))) if frozen else None
            return found

        return decorate if made is None else decorate(made)


__all__ = ["dataclass"]

_ORDER = ("__lt__", "__le__", "__gt__", "__ge__")


def _comparing(compare: Callable[[Any, Any], Any], values: Callable[[Any], Any]) -> Callable[[object, object], Any]:
    """Return the method that compares, by *compare*, what *values* takes from two of the same class."""

    def method(one: object, other: object) -> Any:  # noqa: ANN401 - as any comparison
        return compare(values(one), values(other)) if other.__class__ is one.__class__ else NotImplemented

    return method


def _set(made: type, name: str, method: Any) -> None:  # noqa: ANN401 - a function
    """Give *made* the *method* unless it has its own."""
    if name not in made.__dict__:
        setattr(made, name, method)


def _shown(one: Any) -> str:  # noqa: ANN401 - of any such class
    fields = (f"{field.name}={getattr(one, field.name)!r}" for field in dataclasses.fields(one) if field.repr)
    return f"{type(one).__qualname__}({', '.join(fields)})"
