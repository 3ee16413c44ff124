"""Whether a configuration is there or missing: the predicate of P2, alone.

Imports nothing but ``os``, so that an init container with its configuration
present is done at once. Any doubt (a path that cannot be looked at) is a
``RefusedError``: neither "present" nor "missing" is ever guessed.
"""

# pathlib takes longer to import than the answer takes to find.
# ruff: noqa: PTH114, PTH116, PTH118, PTH208

import os
import stat

from confstream.errors import RefusedError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from confstream.selection import Selection

_BLANK = b" \t\r\n\v\f\0"
_BLOCK_BYTES = 65536
_STATE_DIRECTORY = b".confstream"
_MARKER = b"restoring"
# As in ``selection``, which takes longer to import than the answer takes to find.
_SQLITE_MAGIC = b"SQLite format 3\0"
_COMPANIONS = (b"-wal", b"-shm", b"-journal")


class Presence:
    """The answer: *missing* or not, and *why* in one line for a person.

    A plain class: ``dataclasses`` takes longer to import than the answer takes to find.
    """

    __slots__ = ("missing", "why")

    def __init__(self, missing: bool, why: str) -> None:
        self.missing = missing
        self.why = why

    def __repr__(self) -> str:
        return f"Presence(missing={self.missing}, why={self.why!r})"


def is_missing(
    root: str | bytes | os.PathLike[str], guards: "Sequence[str]" = (), selection: "Selection | None" = None
) -> Presence:
    """Return whether the configuration in *root* is missing, by P2 and nothing else.

    Missing is: no tracked file with something in it; or one of *guards* (paths
    relative to *root*) absent or blank; or the marker of an unfinished restore.
    Blank is empty, or white space and NUL bytes only. A symbolic link counts
    as the file that it leads to; dangling, it counts as absent, and one that
    leads to a directory counts as no file. *selection* says what is tracked;
    without, the profile ``generic`` does. Stops at the first file that is not
    blank. SQLite databases count only if *selection* tracks them. Raise
    ``RefusedError`` if the answer depends on something that cannot be looked at.
    """
    top = os.fsencode(root)
    if not _is_directory(top):
        return Presence(True, "the directory does not exist")
    if _exists(os.path.join(top, _STATE_DIRECTORY, _MARKER)):
        return Presence(True, "an unfinished restore is there")
    present = None
    for guard in guards:
        path = _guard_path(guard)
        fault = _guard_fault(os.path.join(top, path))
        if fault:
            return Presence(True, f"{_shown(path)} {fault}")
        if present is None and _tracks(selection, path):
            present = path
    return _search(top, selection) if present is None else Presence(False, f"{_shown(present)} is present")


def may_be_excluded(name: bytes) -> bool:
    """Return whether the profile ``generic`` could exclude *name*; False is certain.

    Spares the import of the patterns for names that none of them speaks of.
    """
    return (
        name.endswith((b".tmp", b".swp", b"~", b".lock", b".log", b".pid", b"-litestream"))
        or name.startswith((b".#", b"core."))
        or b".log." in name
        or name in {b"lost+found", b"__pycache__", b".DS_Store"}
    )


def _search(top: bytes, selection: "Selection | None") -> Presence:
    blank: list[tuple[bytes, int]] = []
    doubts: list[OSError] = []
    for path in _files(top, selection, doubts):
        try:
            size = _size_unless_filled(os.path.join(top, path))
        except FileNotFoundError:
            continue
        except OSError as error:
            doubts.append(error)
            continue
        if size is None and not _is_left_out(top, path, selection):
            return Presence(False, f"{_shown(path)} is present")
        if size is not None and size >= 0:
            blank.append((path, size))
    if doubts:
        raise _refused(doubts[0]) from doubts[0]
    return Presence(True, _why_missing(top, blank))


def _why_missing(top: bytes, blank: list[tuple[bytes, int]]) -> str:
    if len(blank) == 1:
        return f"{_shown(blank[0][0])} is {_blank_words(blank[0][1])}"
    if blank:
        return f"all {len(blank)} tracked files are blank"
    return "no tracked file is there" if set(os.listdir(top)) - {_STATE_DIRECTORY} else "the directory is empty"


def _files(top: bytes, selection: "Selection | None", doubts: list[OSError]) -> "Iterator[bytes]":
    """Yield the tracked files and symbolic links, those of a directory before what is below it.

    Configurations lie near the top, so this order finds one soonest.
    """
    pending = [b""]
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(os.path.join(top, directory)) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        except OSError as error:
            doubts.append(error)
            continue
        below = []
        for entry in entries:
            path = os.path.join(directory, entry.name)
            try:
                is_dir = entry.is_dir(follow_symlinks=False)
                is_file = entry.is_symlink() or entry.is_file(follow_symlinks=False)
            except OSError as error:
                doubts.append(error)
                continue
            if path == _STATE_DIRECTORY or not _tracks(selection, path, is_dir=is_dir):
                continue
            if is_file:
                yield path
            elif is_dir:
                below.append(path)
        pending.extend(reversed(below))


def _tracks(selection: "Selection | None", path: bytes, *, is_dir: bool = False) -> bool:
    if selection is None:
        if not any(may_be_excluded(part) for part in path.split(b"/")):
            return not path.startswith(_STATE_DIRECTORY + b"/")
        from confstream.selection import GENERIC  # noqa: PLC0415 - P2: only for the few names that need it

        selection = GENERIC
    return selection.tracks(path, is_dir)


def _is_left_out(top: bytes, path: bytes, selection: "Selection | None") -> bool:
    """Return whether the file *path* is a SQLite database, or goes with one, and those are not tracked."""
    if selection is not None and getattr(selection, "sqlite", True):
        return False
    database = path[: path.rindex(b"-")] if path.endswith(_COMPANIONS) else b""
    return _is_database(os.path.join(top, path)) or (database != b"" and _is_database(os.path.join(top, database)))


def _is_database(path: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and os.read(descriptor, len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    finally:
        os.close(descriptor)


def _is_directory(top: bytes) -> bool:
    try:
        found = os.stat(top)
    except FileNotFoundError as error:
        if os.path.islink(top):
            raise RefusedError(
                f"{_shown(top)} is a symbolic link that leads nowhere; make what it should lead to, or remove it"
            ) from error
        return False
    except OSError as error:
        raise _refused(error) from error
    if not stat.S_ISDIR(found.st_mode):
        raise RefusedError(f"{_shown(top)} is not a directory; name the directory that holds the configuration")
    return True


def _exists(path: bytes) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _refused(error) from error
    return True


def _guard_path(guard: str) -> bytes:
    path = os.path.normpath(os.fsencode(guard)) if guard else b"."
    if path.startswith((b"/", b"../")) or path in {b".", b".."} or b"\0" in path:
        raise UsageError(f"the guard {guard!r} is not the path of a file, relative to the directory")
    return path


def _guard_fault(path: bytes) -> str:
    try:
        size = _size_unless_filled(path)
    except FileNotFoundError:
        return "is absent"
    except OSError as error:
        raise _refused(error) from error
    if size is None:
        return ""
    if size < 0:
        # Container runtimes create a directory where a file to mount is not there: restoring beside it would not help.
        raise RefusedError(f"{_shown(path)} is a guard and not a file; remove it, or name another guard")
    return f"is {_blank_words(size)}"


def _size_unless_filled(path: bytes) -> int | None:
    """Return None if the file at *path* has something in it, its size if it is blank, -1 if it is no regular file.

    Reads no further than to the first block with a byte that is not blank.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        return -1
    if found.st_size == 0:
        return 0
    # Should a FIFO have taken the place of the file meanwhile, opening must not wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        size = 0
        while block := os.read(descriptor, _BLOCK_BYTES):
            if block.strip(_BLANK):
                return None
            size += len(block)
        return size
    finally:
        os.close(descriptor)


def _blank_words(size: int) -> str:
    return f"blank ({size} bytes of white space or NUL)" if size else "0 bytes"


def _refused(error: OSError) -> RefusedError:
    path = _shown(os.fsencode(error.filename)) if error.filename is not None else "a file"
    reason = error.strerror or type(error).__name__
    return RefusedError(
        f"cannot tell whether the configuration is there: {path}: {reason}; correct the path, or let uid {os.geteuid()}"
        " read it (in a pod, by the securityContext)"
    )


def _shown(path: bytes) -> str:
    text = path.decode("utf-8", "surrogateescape")
    return text if text.isprintable() else ascii(text)
