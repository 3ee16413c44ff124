"""The system's allocator, told that this process had better be small for a long time than quick for a short one."""

from collections.abc import Mapping

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""What glibc calls them, in ``malloc.h``."""

_LARGE = 1 << 17


def be_small(environ: Mapping[str, str]) -> bool:
    """Have threads share one heap, and what is large or unused go back to the system: a tenth of a sidecar.

    Return False where it stays as it is: whoever set anything of the kind in *environ* has it so, and so does a system
    with another allocator.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in environ):
        return False
    try:
        import ctypes  # noqa: PLC0415 - the journal needs it anyway

        tell = ctypes.CDLL(None).mallopt
    except (ImportError, OSError, AttributeError):
        return False
    told = [
        tell(what, value) for what, value in ((_ARENA_MAX, 1), (_TRIM_THRESHOLD, _LARGE), (_MMAP_THRESHOLD, _LARGE))
    ]
    return all(told)
