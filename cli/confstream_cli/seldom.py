"""Modules of the standard library that others import for what hardly ever happens: imported once it does.

A command that soon ends would take a tenth of its time for these, and for what they import in turn.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_NAMES = ("inspect", "ipaddress", "traceback")


def put_off() -> None:
    """Let whoever imports one of them go on without it until something is asked of it."""
    for name in _NAMES:
        sys.modules.setdefault(name, _Later(name))


class _Later(ModuleType):
    """Stands where a module will be."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module has
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)
