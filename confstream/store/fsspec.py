"""Any fsspec file system as a store, as far as it can be trusted.

Objects are created with ``pipe_file(mode="create")`` only, and whether that is
exclusive is for the proof to find out. Answers never come from a cache, and
every call ends by a deadline.
"""

import concurrent.futures
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from confstream.errors import (
    AccessDeniedError,
    NoExclusiveCreateError,
    ObjectExistsError,
    ObjectMissingError,
    OutcomeUnknownError,
    UnavailableError,
    UsageError,
)
from confstream.store.keys import Keys, check_body, check_key, check_prefix, check_range, is_key

_Entries = list[tuple[str, str]]

# Where the first part of a path is a bucket, which must exist before it can be called empty.
_BUCKETS = frozenset({"gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "r2", "s3", "s3a"})


class FsspecStore:
    """The directory *root* of the fsspec file system *fs*, shown to people as *url*.

    *secrets* never appear in messages, wherever the backend quotes them.
    """

    def __init__(
        self,
        fs: Any,  # noqa: ANN401 - any file system.
        root: str,
        *,
        url: str,
        timeout_seconds: float = 30.0,
        secrets: tuple[str, ...] = (),
    ) -> None:
        self._fs = fs
        self._root = root.rstrip("/")
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._secrets = tuple(secret for secret in secrets if secret)

    @property
    def url(self) -> str:
        """Return the URL, masked."""
        return self._url

    @property
    def flaw(self) -> str | None:
        """Return why the backend cannot create exclusively, if its code shows that it cannot."""
        from fsspec import AbstractFileSystem  # noqa: PLC0415

        fs = self._fs
        while getattr(fs, "protocol", None) == "dir" and hasattr(fs, "fs"):
            fs = fs.fs
        name = type(fs).__name__
        if not _is_async(fs) and type(fs).pipe_file is AbstractFileSystem.pipe_file:
            return f"{name} looks whether a key is taken before it writes, and two writers can pass between the two"
        return None

    def put(self, key: str, body: bytes) -> None:
        """Create *key* with *body*, as exclusively as the backend can."""
        check_key(key)
        check_body(key, body)
        path = self._path(key)
        try:
            try:
                self._call("pipe_file", path, body, mode="create")
            except FileNotFoundError:
                # Real directories have to be made; object stores never get here.
                self._call("makedirs", path.rpartition("/")[0], exist_ok=True)
                self._call("pipe_file", path, body, mode="create")
        except FileExistsError as error:
            raise ObjectExistsError(f"{self._url}: {key} exists already") from error
        except (NotImplementedError, TypeError, ValueError) as error:
            raise NoExclusiveCreateError(
                f"{self._url}: {type(self._fs).__name__} cannot create exclusively: {self._quote(error)}; use another "
                "backend, or, if never more than one writer runs, --unsafe-single-writer"
            ) from error
        except Exception as error:  # noqa: BLE001 - backends raise what they like.
            self._fail(f"cannot create {key}", error, sent=True)

    def replace(self, key: str, body: bytes) -> None:
        """Set *key* to *body*."""
        check_key(key)
        check_body(key, body)
        path = self._path(key)
        try:
            try:
                self._call("pipe_file", path, body)
            except FileNotFoundError:
                self._call("makedirs", path.rpartition("/")[0], exist_ok=True)
                self._call("pipe_file", path, body)
        except Exception as error:  # noqa: BLE001
            self._fail(f"cannot replace {key}", error)

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        """Return a range of *key*."""
        check_key(key)
        check_range(key, first, size)
        path = self._path(key)
        try:
            self._fs.invalidate_cache()
            if first == 0 and size is None:
                return bytes(self._call("cat_file", path))
            return bytes(self._call("cat_file", path, start=first, end=None if size is None else first + size))
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ObjectMissingError(f"{self._url}: {key} does not exist") from error
        except Exception as error:  # noqa: BLE001
            if first and self._ends_before(path, first):
                return b""
            self._fail(f"cannot read {key}", error)

    def list(self, prefix: str = "") -> Keys:
        """Return the keys that start with *prefix*, directory by directory.

        ``find`` would be shorter, but leaves out what it may not read, and an
        empty answer means that there is no replica.
        """
        check_prefix(prefix)
        folder = prefix.rpartition("/")[0]
        found: Keys = []
        try:
            self._fs.invalidate_cache()
            folders = [self._path(folder) if folder else self._root]
            while folders:
                for name, kind in self._entries(folders.pop()):
                    key = name[len(self._root) :].lstrip("/")
                    if kind == "directory":
                        folders.append(name)
                    elif key.startswith(prefix) and is_key(key):
                        found.append(key)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001
            self._fail(f"cannot list {prefix or 'the replica'}", error)
        return sorted(set(found))

    def delete(self, keys: Keys) -> None:
        """Remove *keys*, one after the other: bulk deletes of backends pass over errors."""
        for key in keys:
            check_key(key)
        for key in keys:
            try:
                self._call("rm_file", self._path(key))
            except FileNotFoundError:
                continue
            except Exception as error:  # noqa: BLE001
                self._fail(f"cannot delete {key}", error)

    def close(self) -> None:
        """Forget the file system, which closes its own connections."""
        self._fs.invalidate_cache()

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _entries(self, path: str) -> _Entries:
        """Return name and type of everything directly in *path*: nothing if it is not there."""
        try:
            entries = self._call("ls", path or "/", detail=True)
        except FileNotFoundError:
            self._require_bucket()
            return []
        names = [(str(entry["name"]).rstrip("/"), entry["type"]) for entry in entries]
        # Some backends list the directory itself, or answer for a file as if it were one.
        return [(name, kind) for name, kind in names if name.startswith(f"{path}/")]

    def _require_bucket(self) -> None:
        protocol = self._fs.protocol if isinstance(self._fs.protocol, str) else self._fs.protocol[0]
        bucket = self._root.split("/")[0]
        if protocol not in _BUCKETS or not bucket:
            return
        try:
            self._call("ls", bucket, detail=True)
        except FileNotFoundError as error:
            raise AccessDeniedError(
                f"{self._url}: there is no bucket {bucket!r}: create it, or correct the URL"
            ) from error

    def _ends_before(self, path: str, first: int) -> bool:
        with suppress(Exception):
            return int(self._call("info", path)["size"]) <= first
        return False

    def _call(self, method: str, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        """Call *method* of the file system, and give up on it at the deadline."""
        fs = self._fs
        if _is_async(fs) and hasattr(fs, f"_{method}"):
            from fsspec.asyn import sync  # noqa: PLC0415

            return sync(fs.loop, getattr(fs, f"_{method}"), *args, timeout=self._timeout_seconds, **kwargs)
        return _in_thread(lambda: getattr(fs, method)(*args, **kwargs), self._timeout_seconds)

    def _fail(self, what: str, error: Exception, *, sent: bool = False) -> NoReturn:
        message = f"{self._url}: {what}: {self._quote(error)}"
        if isinstance(error, UsageError):
            raise error
        if isinstance(error, PermissionError):
            raise AccessDeniedError(f"{message}: correct the credentials or the permissions") from error
        if isinstance(error, FileNotFoundError):
            raise AccessDeniedError(f"{message}: create the bucket or directory, or correct the URL") from error
        if isinstance(error, (TimeoutError, concurrent.futures.TimeoutError)):
            message = f"{self._url}: {what}: no answer within {self._timeout_seconds:g} s"
        if sent and not isinstance(error, ConnectionRefusedError):
            raise OutcomeUnknownError(message) from error
        raise UnavailableError(message) from error

    def _quote(self, error: Exception) -> str:
        text = " ".join(str(error).split())[:300] or type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _is_async(fs: Any) -> bool:  # noqa: ANN401
    return bool(getattr(fs, "async_impl", False)) and not getattr(fs, "asynchronous", False)


def _in_thread(call: Callable[[], Any], timeout_seconds: float) -> Any:  # noqa: ANN401
    # A daemon of its own for each call: one that hangs must hold up neither the next one nor the exit.
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is raised again where it was asked for.
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="confstream-fsspec").start()
    return future.result(timeout_seconds)
