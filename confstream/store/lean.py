"""Objects in an S3 bucket, through obstore: a third of the memory of s3fs, a tenth of its work for a request.

It repeats nothing by itself, and every request ends by a deadline. A put and a
get are one HTTP request each (P11), and a put ends as done, exists, surely not
done, or unknown, and never as one of these by assumption (P4).
"""

import contextlib
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from confstream.clock import Clock, SystemClock
from confstream.errors import (
    ConfstreamError,
    NoExclusiveCreateError,
    ObjectExistsError,
    ObjectMissingError,
    OutcomeUnknownError,
    UnavailableError,
)
from confstream.store.fallback import CannotServeError
from confstream.store.keys import Keys, check_body, check_key, check_prefix, check_range, check_size, is_key
from confstream.store.lean_errors import answer_of, explain, is_elsewhere, says, was_sent
from confstream.store.s3_choice import LeanSettings
from confstream.store.s3_errors import STALE_CREDENTIALS, Circumstances, not_s3

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Store

_CONNECT_SECONDS_MAX = 4.0
# Shorter than servers keep a connection: a request on one that they close just then has an unknown outcome.
_IDLE_SECONDS = 15
_PAGE_KEYS = 1000
_CONFLICT = 409
_PRECONDITION_FAILED = 412
_RANGE_NOT_SATISFIABLE = 416
_NOT_IMPLEMENTED = 501

Result = TypeVar("Result")


class LeanStore:
    """The objects of *bucket* under *prefix*, reached as *settings* say.

    *find* reads the settings anew, once the server refuses those that were
    read before; it returns why this client cannot be used, if so. Raises
    ``CannotServeError`` where s3fs is known to do better.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        settings: LeanSettings,
        find: Callable[[], LeanSettings | str] | None = None,
        timeout_seconds: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._settings = settings
        self._find = find
        self._timeout_seconds = timeout_seconds
        self._clock = clock if clock is not None else SystemClock()
        self._lock = threading.Lock()
        self._store: S3Store | None = None

    @property
    def endpoint(self) -> str:
        """Return the endpoint in use: scheme, host and port."""
        return self._settings.endpoint

    @property
    def server_date(self) -> str:
        """Return the server's own ``Date``, asked for now; empty if it does not say."""
        return _run(lambda: _date(self.endpoint, min(_CONNECT_SECONDS_MAX, self._timeout_seconds)))

    @property
    def url(self) -> str:
        """Return ``s3://`` with bucket and prefix."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def put(self, key: str, body: bytes) -> None:
        """Create *key* with *body* by one PUT with ``If-None-Match: *``."""
        check_key(key)
        check_body(key, body)
        try:
            self._with_fresh_credentials(lambda store: self._send(store, key, body, "create"))
        except ConfstreamError:
            raise
        except Exception as error:
            raise self._judge_put(key, error) from error

    def replace(self, key: str, body: bytes) -> None:
        """Set *key* to *body* by one unconditional PUT."""
        check_key(key)
        check_body(key, body)
        self._ask(f"replace {key}", lambda store: self._send(store, key, body, "overwrite"))

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        """Return a range of *key* by one GET."""
        check_key(key)
        check_range(key, first, size)
        return self._ask(f"read {key}", lambda store: self._read(store, key, first, size))

    def list(self, prefix: str = "") -> Keys:
        """Return the keys that start with *prefix*; a request for every 1,000 of their directory, one more for none."""
        check_prefix(prefix)
        return self._ask(f"list {prefix or 'the replica'}", lambda store: self._listed(store, prefix))

    def delete(self, keys: Keys) -> None:
        """Remove *keys*, each by a request of its own, several at a time."""
        for key in keys:
            check_key(key)
        paths = [self._prefix + key for key in dict.fromkeys(keys)]
        if paths:
            what = f"delete {keys[0]}" if len(paths) == 1 else f"delete {len(paths)} objects"
            self._ask(what, lambda store: _remove(store, paths))

    def close(self) -> None:
        """Drop the connections."""
        with self._lock:
            self._store = None

    def _send(self, store: "S3Store", key: str, body: bytes, mode: Literal["create", "overwrite"]) -> None:
        import obstore  # noqa: PLC0415 - an extra, and only for S3

        obstore.put(store, self._prefix + key, body, mode=mode, use_multipart=False)

    def _read(self, store: "S3Store", key: str, first: int, size: int | None) -> bytes:
        path, is_part = self._prefix + key, bool(first) or size is not None
        wanted: Any = {"offset": first} if size is None else (first, first + size)
        try:
            body = self._fetch(store, path, wanted if is_part else None)
        except Exception as error:
            said = answer_of(error)
            if said.code == "NoSuchKey":
                raise ObjectMissingError(f"{self.url}: {key} does not exist") from error
            if said.status == _RANGE_NOT_SATISFIABLE:
                return b""
            if not (is_part and says(error, "non-partial response")):
                raise
            # The server paid no attention to the range.
            whole = self._fetch(store, path, None)
            return whole[first:] if size is None else whole[first : first + size]
        return body

    def _fetch(self, store: "S3Store", path: str, wanted: Any) -> bytes:  # noqa: ANN401 - a range
        import obstore  # noqa: PLC0415

        result = obstore.get(store, path, options=None if wanted is None else {"range": wanted})
        start, end = result.range
        check_size(path, end - start)
        body = bytes(result.bytes())
        if not result.meta["e_tag"] and body.lstrip()[:1] == b"<":
            raise not_s3(f"{self.url}: cannot read {path.removeprefix(self._prefix)}", self.endpoint)
        return body

    def _listed(self, store: "S3Store", prefix: str) -> Keys:
        import obstore  # noqa: PLC0415

        directory = (self._prefix + prefix).rpartition("/")[0]
        found: set[str] = set()
        count = 0
        for page in obstore.list(store, directory or None, chunk_size=_PAGE_KEYS):
            count += len(page)
            known = len(found)
            names = (entry["path"] for entry in page)
            found.update(name[len(self._prefix) :] for name in names if name.startswith(self._prefix))
            if len(found) == known:
                raise UnavailableError(f"{self.url}: cannot list it: the listing repeats itself")
        if not count:
            self._confirm_empty(store)
        return sorted(key for key in found if key.startswith(prefix) and is_key(key))

    def _confirm_empty(self, store: "S3Store") -> None:
        """Raise unless it is S3 that lists nothing: any page of a web server looks the same to the client (P8)."""
        try:
            self._fetch(store, f"{self._prefix}probe/nothing", None)
        except ConfstreamError:
            raise
        except Exception as error:
            answer = answer_of(error)
            if answer.status is None:
                raise
            if answer.is_foreign:
                raise not_s3(f"{self.url}: cannot list it", self.endpoint) from error

    def _ask(self, what: str, call: "Callable[[S3Store], Result]") -> Result:
        """Return what *call*, which may happen twice, returns; turn its errors into ours."""
        try:
            return self._with_fresh_credentials(call)
        except ConfstreamError:
            raise
        except Exception as error:
            raise self._explain(what, error) from error

    def _with_fresh_credentials(self, call: "Callable[[S3Store], Result]") -> Result:
        store = self._connected()
        try:
            return _run(lambda: call(store))
        except Exception as error:
            # Credentials are read once, when connecting; whoever runs us may set others later.
            if answer_of(error).code not in STALE_CREDENTIALS or not self._renew(store):
                raise
        store = self._connected()
        return _run(lambda: call(store))

    def _renew(self, store: "S3Store") -> bool:
        """Return whether there are other settings now than those that *store* was made with."""
        found = self._settings if self._find is None else self._find()
        if isinstance(found, str):
            raise CannotServeError(f"{self.url}: the credentials were refused, and are elsewhere now: {found}")
        with self._lock:
            if self._store is store and found != self._settings:
                self._settings, self._store = found, None
            return self._store is not store

    def _connected(self) -> "S3Store":
        with self._lock:
            if self._store is None:
                try:
                    self._store = _connect(self._bucket, self._settings, self._timeout_seconds)
                except Exception as error:
                    # obstore says what it misses, such as certificates or a symbol; no request was made.
                    line = str(error).partition("\n")[0][:200]
                    raise CannotServeError(f"{self.url}: the lean S3 client cannot be made: {line}") from error
            return self._store

    def _explain(self, what: str, error: Exception) -> ConfstreamError:
        said = f"{self.url}: cannot {what}"
        if says(error, "invalid path"):
            return CannotServeError(f"{said}: there is an object with a name that the lean client cannot read")
        answer, date = answer_of(error), ""
        if answer.code == "RequestTimeTooSkewed" and not answer.server_time:
            date = self.server_date
        where = Circumstances(self.endpoint, self._bucket, self._timeout_seconds, date, self._clock.now_ns())
        explained = explain(said, error, where)
        return CannotServeError(str(explained)) if is_elsewhere(answer) else explained

    def _judge_put(self, key: str, error: Exception) -> ConfstreamError:
        """Return what a put that raised *error* came to; the client sends once, so a refusal is one."""
        answer = answer_of(error)
        if answer.status == _PRECONDITION_FAILED:
            return ObjectExistsError(f"{self.url}: {key} exists already")
        explained = self._explain(f"create {key}", error)
        if answer.status == _NOT_IMPLEMENTED or answer.code == "NotImplemented":
            return NoExclusiveCreateError(
                f"{explained}: it does not know If-None-Match; use another backend, or, if never more than one writer "
                "runs, --unsafe-single-writer"
            )
        if answer.status == _CONFLICT:
            if self._is_there(key):
                return ObjectExistsError(f"{self.url}: {key} exists already")
            return UnavailableError(f"{self.url}: cannot create {key}: {answer}: another request was in the way")
        if answer.is_refusal or not was_sent(error):
            return explained
        return OutcomeUnknownError(f"{explained}; it may have been created all the same")

    def _is_there(self, key: str) -> bool:
        try:
            self.get(key, 0, 1)
        except (ObjectMissingError, UnavailableError):
            return False
        return True


def _connect(bucket: str, settings: LeanSettings, timeout_seconds: float) -> "S3Store":
    from obstore.store import S3Store  # noqa: PLC0415 - an extra, and only for S3

    config: S3Config = {
        "access_key_id": settings.key,
        "secret_access_key": settings.secret,
        "endpoint": settings.endpoint,
        "aws_endpoint_url_s3": settings.endpoint,
        "region": settings.region,
        "virtual_hosted_style_request": settings.is_virtual,
        "conditional_put": "etag",
        # One by one: the client hears nothing of a key that an answer to many passes over.
        "disable_bulk_delete": True,
    }
    if settings.token:
        config["session_token"] = settings.token
    client: ClientConfig = {
        "allow_http": settings.endpoint.startswith("http://"),
        "timeout": timedelta(seconds=timeout_seconds),
        "connect_timeout": timedelta(seconds=min(_CONNECT_SECONDS_MAX, timeout_seconds)),
        "pool_idle_timeout": timedelta(seconds=_IDLE_SECONDS),
        "user_agent": "confstream",
    }
    if settings.proxy:
        client["proxy_url"] = settings.proxy
    return S3Store(
        bucket, config=config, client_options=client, retry_config={"max_retries": 0, "retry_timeout": timedelta(0)}
    )


def _remove(store: "S3Store", paths: Keys) -> None:
    import obstore  # noqa: PLC0415

    try:
        obstore.delete(store, paths)
    except Exception as error:
        if answer_of(error).code != "NoSuchKey":
            raise
        if paths[1:]:
            # Some servers complain of what is not there, and the rest may still be.
            for path in paths:
                _remove(store, [path])


class _Process:
    """The one that first used the client: its threads, which do the work, are in no child that was forked off."""

    id = 0


def _run(call: Callable[[], Result]) -> Result:
    """Return what *call* does. In the main thread signals are heard meanwhile: the client itself would not let them."""
    _Process.id = _Process.id or os.getpid()
    if _Process.id != os.getpid():
        raise CannotServeError("the lean S3 client was used before this process was forked off: it cannot be used here")
    if threading.current_thread() is not threading.main_thread():
        return _guarded(call)
    ended = threading.Event()
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(_guarded(call))
        except BaseException as error:  # noqa: BLE001 - it is raised again where it was asked for.
            errors.append(error)
        ended.set()

    threading.Thread(target=work, daemon=True, name="confstream-s3").start()
    ended.wait()
    for error in errors:
        raise error
    return results[0]


def _guarded(call: Callable[[], Result]) -> Result:
    try:
        return call()
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise RuntimeError("the lean S3 client failed within itself") from None
        raise


def _date(endpoint: str, timeout_seconds: float) -> str:
    from http.client import HTTPConnection, HTTPException, HTTPSConnection  # noqa: PLC0415 - hardly ever needed

    scheme, _, host = endpoint.partition("://")
    connection = (HTTPSConnection if scheme == "https" else HTTPConnection)(host, timeout=timeout_seconds)
    with contextlib.suppress(OSError, HTTPException), contextlib.closing(connection):
        connection.request("HEAD", "/")
        return connection.getresponse().getheader("Date") or ""
    return ""
