"""Texts and flags that Typer takes as they are: for these it need not import pydantic, a fifth of a sidecar's memory.

Typer asks pydantic about every value, also those that have their type already.
Whatever is not plain, and any Typer that works otherwise, is left as it is.
"""

import importlib
from typing import Any


def keep_plain() -> None:
    """Let Typer take a plain value without pydantic; without effect where it cannot be told to."""
    try:
        core = importlib.import_module("typer.core")
        ordinary = importlib.import_module("typer._coercion").build_runtime_param
        if core.build_runtime_param is not ordinary:
            return
    except (ImportError, AttributeError):
        return
    core.build_runtime_param = lambda descriptor: _Plain(descriptor, ordinary)  # type: ignore[attr-defined]


class _Plain:
    """What Typer makes a value of a parameter with, made by *ordinary* where a value is not plain."""

    def __init__(self, descriptor: Any, ordinary: Any) -> None:  # noqa: ANN401 - Typer's own
        self._descriptor = descriptor
        self._ordinary = ordinary

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401 - whatever a parameter holds
        """Return *value* as the type of its parameter."""
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        if _has_kind(value, self._descriptor, several=several):
            return list(value) if isinstance(value, tuple) else value
        return self._ordinary(self._descriptor).coerce(value, param=param, ctx=ctx)


def _has_kind(value: object, descriptor: Any, *, several: bool) -> bool:  # noqa: ANN401 - Typer's own
    """Return whether *value* has the type that *descriptor* asks for, which asks for nothing else."""
    info, kind = descriptor.parameter_info, descriptor.annotation
    if any(getattr(info, name, None) is not None for name in ("parser", "click_type", "min", "max")):
        return False
    if kind == list[str]:
        return several and isinstance(value, (list, tuple)) and all(type(each) is str for each in value)
    return not several and type(value) is kind and kind in (str, bool, int, float)
