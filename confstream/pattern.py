"""Regular expressions that are compiled when they are first asked something.

A process that starts has dozens, and most are for what does not happen in it. Pure.
"""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from re import compile as pattern
else:

    class pattern:  # noqa: N801 - a function to whoever uses it
        """What ``re.compile`` returns, in time."""

        def __init__(self, text: str, flags: int = 0) -> None:
            self._asked = text, flags

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as ``re.Pattern`` has it
            found = getattr(re.compile(*self._asked), name)
            setattr(self, name, found)
            return found


__all__ = ["pattern"]
