"""The system's allocator, told that this process had better be small for a long time than quick for a short one."""

import gc
import threading
from collections.abc import Callable, Mapping
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""What glibc calls them, in ``malloc.h``."""

_LARGE = 1 << 17
_BEGUN_SECONDS = 3.0
"""How long after the first look the connection stands, most likely."""


def be_small(environ: Mapping[str, str]) -> bool:
    """Have threads share one heap, and what is large or unused go back to the system: a tenth of a sidecar.

    Return False where it stays as it is: whoever set anything of the kind in *environ* has it so, and so does a system
    with another allocator.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in environ):
        return False
    tell = _of_system("mallopt")
    if tell is None:
        return False
    told = [
        tell(what, value) for what, value in ((_ARENA_MAX, 1), (_TRIM_THRESHOLD, _LARGE), (_MMAP_THRESHOLD, _LARGE))
    ]
    return all(told)


def tidy_soon() -> None:
    """Give back what only the start needed, once that is over: nothing else would look for it while all is quiet."""
    timer = threading.Timer(_BEGUN_SECONDS, tidy)
    timer.daemon = True
    timer.start()


def tidy() -> None:
    """Give back what nobody refers to any more."""
    gc.collect()
    if (trim := _of_system("malloc_trim")) is not None:
        trim(0)


def _of_system(name: str) -> Callable[..., Any] | None:
    """Return the function *name* of the system's library, None if it has none like it."""
    try:
        import ctypes  # noqa: PLC0415 - the journal needs it anyway

        return getattr(ctypes.CDLL(None), name, None)
    except (ImportError, OSError):
        return None
