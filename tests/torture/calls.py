"""Every call by which this process changes files below a directory, shown to an observer that makes it.

``install`` replaces the functions of ``os``, ``io`` and ``ctypes`` that
change a file system, so it has to run before confstream is imported. Nothing
in the product knows of it: what tests kill and cut is what users run. That no
call gets by unseen is proven with strace.
"""

# What is wrapped are the calls of os themselves, on any path.
# ruff: noqa: PTH109

import builtins
import contextlib
import ctypes
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

_AT_FDCWD = -100
_EXCHANGE = 2
_DESCRIPTORS = b"/proc/self/fd/"
_WRITING = os.O_CREAT | os.O_TRUNC

_NAMES = (
    "open", "write", "pwrite", "ftruncate", "truncate", "fsync", "fdatasync", "rename", "replace", "link", "unlink",
    "remove", "mkdir", "rmdir", "symlink", "chmod", "lchmod", "fchmod", "chown", "lchown", "fchown", "utime", "stat",
    "lstat", "fstat", "scandir", "readlink", "lseek", "fdopen",
)  # fmt: skip
_UNKNOWN = ("writev", "pwritev", "sendfile", "copy_file_range", "splice", "posix_fallocate", "mkfifo", "mknod", "sync",
            "setxattr", "removexattr")  # fmt: skip

REAL: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in _NAMES if hasattr(os, name)}
"""The functions of ``os`` as they were."""
_REAL_OPEN, _REAL_CDLL = io.open, ctypes.CDLL


@dataclass(frozen=True, slots=True)
class Call:
    """One call: what kind, on which absolute *path* (and *other*), through which *descriptor* if any.

    *kind* is create, write, truncate, sync, rename, exchange, link, unlink,
    mkdir, rmdir, symlink, or attributes.
    """

    kind: str
    path: bytes
    other: bytes = b""
    descriptor: int = -1
    content: bytes = b""
    offset: int | None = None
    content_only: bool = False


class Observer(Protocol):
    """Is shown each call, makes it with *perform*, and returns what that did."""

    def around(self, call: Call, perform: Callable[[], Any]) -> Any:
        """Make the call, or end the process."""

    def acknowledge(self, what: str) -> None:
        """Take note that the program told its user: this is safe now."""


@dataclass(slots=True)
class _Watch:
    """Who watches what; nobody at first."""

    base: bytes = b""
    observer: Observer | None = None


_watch = _Watch()


def acknowledge(what: str) -> None:
    """Tell whoever watches that *what* is safe, as the program under test has been told."""
    if _watch.observer is not None:
        _watch.observer.acknowledge(what)


def watch(base: bytes, observer: Observer) -> None:
    """Show *observer* from now on every call that changes something below *base*."""
    _watch.base, _watch.observer = base.rstrip(b"/") + b"/", observer


@contextlib.contextmanager
def unwatched() -> Iterator[None]:
    """Show nobody what happens in the block."""
    observer, _watch.observer = _watch.observer, None
    try:
        yield
    finally:
        _watch.observer = observer


def install() -> None:
    """Replace the functions; once in a process."""
    for name, function in _REPLACED.items():
        if name in REAL:
            setattr(os, name, function)
    for name in _UNKNOWN:
        if hasattr(os, name):
            setattr(os, name, _refusing(name))
    io.open = builtins.open = _open_file
    ctypes.CDLL = _Library  # type: ignore[misc]


def path_of(descriptor: int) -> bytes:
    """Return the path that *descriptor* was opened by, which may have been removed since."""
    return os.fsencode(REAL["readlink"](f"/proc/self/fd/{descriptor}")).removesuffix(b" (deleted)")


def _absolute(path: Any, directory: int | None) -> bytes:
    name = os.fsencode(path)
    if name.startswith(_DESCRIPTORS):
        return path_of(int(name.removeprefix(_DESCRIPTORS)))
    if name.startswith(b"/"):
        return os.path.normpath(name)
    above = os.getcwdb() if directory in {None, _AT_FDCWD} else path_of(directory or 0)
    return os.path.normpath(above + b"/" + name)


def _shown(call: Call, perform: Callable[[], Any]) -> Any:
    observer = _watch.observer
    if observer is None or not (call.path + b"/").startswith(_watch.base):
        return perform()
    return observer.around(call, perform)


def _exists(path: bytes) -> bool:
    try:
        REAL["lstat"](path)
    except OSError:
        return False
    return True


def _open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    def perform() -> int:
        return int(REAL["open"](path, flags, mode, dir_fd=dir_fd))

    if _watch.observer is None or not flags & _WRITING:
        return perform()
    where = _absolute(path, dir_fd)
    there = _exists(where)
    if there and not flags & os.O_TRUNC:
        return perform()
    return int(_shown(Call("truncate", where, offset=0) if there else Call("create", where), perform))


def _write(descriptor: int, content: Any, *place: int) -> int:
    function = REAL["pwrite"] if place else REAL["write"]
    if _watch.observer is None or descriptor <= 2:
        return int(function(descriptor, content, *place))
    call = Call("write", path_of(descriptor), descriptor=descriptor, content=bytes(content), offset=(*place, None)[0])
    return int(_shown(call, lambda: function(descriptor, content, *place)))


def _ftruncate(descriptor: int, length: int) -> None:
    call = Call("truncate", path_of(descriptor), descriptor=descriptor, offset=length)
    _shown(call, lambda: REAL["ftruncate"](descriptor, length))


def _truncate(path: Any, length: int) -> None:
    if isinstance(path, int):
        _ftruncate(path, length)
        return
    _shown(Call("truncate", _absolute(path, None), offset=length), lambda: REAL["truncate"](path, length))


def _syncing(name: str) -> Callable[[int], None]:
    def call(descriptor: int) -> None:
        seen = Call("sync", path_of(descriptor), descriptor=descriptor, content_only=name == "fdatasync")
        _shown(seen, lambda: REAL[name](descriptor))

    return call


def _renaming(name: str) -> Callable[..., None]:
    def call(source: Any, target: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        seen = Call("rename", _absolute(target, dst_dir_fd), _absolute(source, src_dir_fd))
        _shown(seen, lambda: REAL[name](source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd))

    return call


def _link(source: Any, target: Any, **options: Any) -> None:
    seen = Call("link", _absolute(target, options.get("dst_dir_fd")), _absolute(source, options.get("src_dir_fd")))
    _shown(seen, lambda: REAL["link"](source, target, **options))


def _named(name: str, kind: str) -> Callable[..., None]:
    def call(path: Any, *arguments: Any, dir_fd: int | None = None, **options: Any) -> None:
        def perform() -> None:
            if dir_fd is not None:
                options["dir_fd"] = dir_fd
            REAL[name](path, *arguments, **options)

        if isinstance(path, int):
            _shown(Call(kind, path_of(path), descriptor=path), perform)
        else:
            _shown(Call(kind, _absolute(path, dir_fd)), perform)

    return call


def _symlink(target: Any, path: Any, target_is_directory: bool = False, **options: Any) -> None:
    del target_is_directory  # Means something on Windows only.
    seen = Call("symlink", _absolute(path, options.get("dir_fd")), content=os.fsencode(target))
    _shown(seen, lambda: REAL["symlink"](target, path, **options))


def _refusing(name: str) -> Callable[..., Any]:
    function = getattr(os, name)

    def call(*arguments: Any, **options: Any) -> Any:
        if _watch.observer is None:
            return function(*arguments, **options)
        raise AssertionError(f"os.{name} changes a file system in a way that {__name__} does not know: teach it")

    return call


class _Raw(io.FileIO):
    """A file whose writes are those of ``os``."""

    def write(self, content: Any) -> int:
        """Write through ``os.write``."""
        return _write(self.fileno(), content)

    def truncate(self, size: int | None = None) -> int:
        """Truncate through ``os.ftruncate``."""
        length = self.tell() if size is None else size
        _ftruncate(self.fileno(), length)
        return length


def _open_file(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
    if _watch.observer is None or not set(mode) & set("wax+"):
        return _REAL_OPEN(file, mode, *arguments, **options)
    descriptor = file
    if not isinstance(file, int):
        flags = os.O_RDWR if "+" in mode else os.O_WRONLY
        flags |= {"w": os.O_CREAT | os.O_TRUNC, "a": os.O_CREAT | os.O_APPEND, "x": os.O_CREAT | os.O_EXCL}.get(
            mode[0], 0
        )
        descriptor = _open(file, flags | os.O_CLOEXEC, 0o666)
    raw = _Raw(descriptor, mode.replace("t", ""), closefd=options.get("closefd", True))
    buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
    if "b" in mode:
        return buffered
    return io.TextIOWrapper(
        buffered, **{key: options[key] for key in ("encoding", "errors", "newline") if key in options}
    )


def _fdopen(descriptor: int, mode: str = "r", *arguments: Any, **options: Any) -> Any:
    return _open_file(descriptor, mode, *arguments, **options)


class _Library(_REAL_CDLL):  # type: ignore[valid-type,misc]
    """A C library whose ``renameat2`` is seen as well."""

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        return _renameat2(found) if name == "renameat2" else found


def _renameat2(function: Any) -> Callable[[int, bytes, int, bytes, int], int]:
    def call(one: int, source: bytes, other: int, target: bytes, flags: int) -> int:
        kind = "exchange" if flags & _EXCHANGE else "rename"
        seen = Call(kind, _absolute(target, other), _absolute(source, one))
        return int(_shown(seen, lambda: function(one, source, other, target, flags)))

    return call


_REPLACED: dict[str, Callable[..., Any]] = {
    "open": _open,
    "write": _write,
    "pwrite": _write,
    "ftruncate": _ftruncate,
    "truncate": _truncate,
    "fsync": _syncing("fsync"),
    "fdatasync": _syncing("fdatasync"),
    "rename": _renaming("rename"),
    "replace": _renaming("replace"),
    "link": _link,
    "unlink": _named("unlink", "unlink"),
    "remove": _named("remove", "unlink"),
    "mkdir": _named("mkdir", "mkdir"),
    "rmdir": _named("rmdir", "rmdir"),
    "symlink": _symlink,
    "chmod": _named("chmod", "attributes"),
    "lchmod": _named("lchmod", "attributes"),
    "fchmod": _named("fchmod", "attributes"),
    "chown": _named("chown", "attributes"),
    "lchown": _named("lchown", "attributes"),
    "fchown": _named("fchown", "attributes"),
    "utime": _named("utime", "attributes"),
    "fdopen": _fdopen,
}
