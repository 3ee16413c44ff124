"""Objects in an S3 bucket, through s3fs without its caches, retries and guesses.

A put and a get are one HTTP request each (P11). A put ends as done, exists,
surely not done, or unknown, and never as one of these by assumption (P4).
"""

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from confstream.clock import Clock, SystemClock
from confstream.errors import (
    AccessDeniedError,
    ConfstreamError,
    NoExclusiveCreateError,
    ObjectExistsError,
    ObjectMissingError,
    OutcomeUnknownError,
    UnavailableError,
    UsageError,
)
from confstream.store.keys import Keys, check_body, check_key, check_prefix, check_range, is_key
from confstream.store.s3_client import Outgoing, S3Client
from confstream.store.s3_errors import STALE_CREDENTIALS, Circumstances, answer_of, explain, not_s3

_BULK_KEYS_MAX = 1000
_PARTIAL_CONTENT = 206
_CONFLICT = 409
_PRECONDITION_FAILED = 412
_RANGE_NOT_SATISFIABLE = 416
_NOT_IMPLEMENTED = 501
_NO_BULK_STATUSES = frozenset({400, 404, 405, 411, 501})

Result = TypeVar("Result")


class S3Store:
    """The objects of *bucket* under *prefix*.

    Credentials, region and endpoint come from where every AWS program looks
    (``AWS_*``, profiles, roles); *storage_options* go to s3fs. Every request
    ends within *timeout_seconds*; a listing is one request for 1,000 keys.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        storage_options: dict[str, Any] | None = None,
        timeout_seconds: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        if not bucket or ("@" in bucket or (not bucket.startswith("arn:") and any(sign in bucket for sign in ":/?#"))):
            raise UsageError(f"not a bucket: {bucket!r}; expected s3://bucket/prefix, and credentials in AWS_* only")
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._timeout_seconds = timeout_seconds
        self._client = S3Client(storage_options or {}, timeout_seconds)
        self._clock = clock if clock is not None else SystemClock()
        self._has_bulk_delete = True
        self.page_keys: int | None = None
        """How many keys a page of a listing has; None leaves that to the server."""

    @property
    def endpoint(self) -> str:
        """Return the endpoint in use, as far as it is known: scheme, host and port."""
        return self._client.endpoint

    @property
    def server_date(self) -> str:
        """Return the ``Date`` of the server's last answer, a refusal's too; empty if there was none."""
        return self._client.server_date

    @property
    def url(self) -> str:
        """Return ``s3://`` with bucket and prefix."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def put(self, key: str, body: bytes) -> None:
        """Create *key* with *body* by one PUT with ``If-None-Match: *``."""
        check_key(key)
        check_body(key, body)
        outgoing = Outgoing(b"")

        def send() -> None:
            nonlocal outgoing
            outgoing = Outgoing(body)
            _check_stored(self._request("put_object", key, Body=outgoing, ContentMD5=_md5(body), IfNoneMatch="*"))

        try:
            self._with_fresh_credentials(send)
        except _NotStoredError as error:
            raise OutcomeUnknownError(str(self._explain(f"create {key}", error))) from error
        except Exception as error:
            raise self._judge_put(key, error, outgoing.abandon()) from error

    def replace(self, key: str, body: bytes) -> None:
        """Set *key* to *body* by one unconditional PUT."""
        check_key(key)
        check_body(key, body)
        self._ask(
            f"replace {key}",
            lambda: _check_stored(self._request("put_object", key, Body=Outgoing(body), ContentMD5=_md5(body))),
        )

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        """Return a range of *key* by one GET."""
        check_key(key)
        check_range(key, first, size)
        return self._ask(f"read {key}", lambda: self._read(key, first, size))

    def list(self, prefix: str = "") -> Keys:
        """Return the keys that start with *prefix*; one request for every 1,000 of them."""
        check_prefix(prefix)
        found: Keys = []
        for page in self._pages(prefix):
            names = [str(entry["Key"]) for entry in page.get("Contents") or []]
            keys = [name[len(self._prefix) :] for name in names if name.startswith(self._prefix + prefix)]
            found.extend(key for key in keys if is_key(key))
        return sorted(found)

    def delete(self, keys: Keys) -> None:
        """Remove *keys*, 1,000 by one request where the server can, looking at every single outcome."""
        for key in keys:
            check_key(key)
        keys = [*dict.fromkeys(keys)]
        for start in range(0, len(keys), _BULK_KEYS_MAX):
            batch = keys[start : start + _BULK_KEYS_MAX]
            if len(batch) > 1 and self._has_bulk_delete:
                batch = self._delete_together(batch)
            for key in batch:
                self._delete_one(key)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _request(self, operation: str, key: str, **parameters: object) -> dict[str, Any]:
        return self._client.request(operation, Bucket=self._bucket, Key=self._prefix + key, **parameters)

    def _ask(self, what: str, call: Callable[[], Result]) -> Result:
        """Return what *call*, which may happen twice, returns; turn its errors into ours."""
        try:
            return self._with_fresh_credentials(call)
        except ConfstreamError:
            raise
        except Exception as error:
            raise self._explain(what, error) from error

    def _with_fresh_credentials(self, call: Callable[[], Result]) -> Result:
        connection = self._client.connection
        try:
            return call()
        except Exception as error:
            # Credentials are read once, when connecting; a file or a pod's token changes later.
            if type(error).__name__ == "NoCredentialsError":
                self._client.renew(self._client.connection)
                raise
            if connection is None or answer_of(error).code not in STALE_CREDENTIALS:
                raise
            self._client.renew(connection)
            return call()

    def _explain(self, what: str, error: Exception) -> ConfstreamError:
        if isinstance(error, _NotStoredError):
            return not_s3(f"{self.url}: cannot {what}", self.endpoint)
        now_ns = self._clock.now_ns()
        where = Circumstances(self.endpoint, self._bucket, self._timeout_seconds, self.server_date, now_ns)
        return explain(f"{self.url}: cannot {what}", error, where)

    def _judge_put(self, key: str, error: Exception, sendings: int | None) -> ConfstreamError:
        """Return what a put that raised *error* came to, its body handed over *sendings* times."""
        answer = answer_of(error)
        explained = self._explain(f"create {key}", error)
        if answer.status == _PRECONDITION_FAILED:
            return ObjectExistsError(f"{self.url}: {key} exists already")
        if answer.status == _NOT_IMPLEMENTED or answer.code == "NotImplemented":
            return NoExclusiveCreateError(
                f"{explained}: it does not know If-None-Match; use another backend, or, if never more than one writer "
                "runs, --unsafe-single-writer"
            )
        if answer.status == _CONFLICT and self._is_there(key):
            return ObjectExistsError(f"{self.url}: {key} exists already")
        # The HTTP client may have sent twice: then a refusal of the second says nothing about the first.
        is_refused = answer.is_refusal and (sendings or 1) == 1
        is_before_sending = sendings is None and isinstance(explained, (AccessDeniedError, UsageError))
        if answer.status == _CONFLICT and is_refused:
            return UnavailableError(f"{self.url}: cannot create {key}: {answer}: another request was in the way")
        if sendings == 0 or is_refused or is_before_sending:
            return explained
        return OutcomeUnknownError(f"{explained}; it may have been created all the same")

    def _is_there(self, key: str) -> bool:
        try:
            self.get(key, 0, 1)
        except (ObjectMissingError, UnavailableError):
            return False
        return True

    def _read(self, key: str, first: int, size: int | None) -> bytes:
        wanted = {} if not first and size is None else {"Range": f"bytes={first}-{first + size - 1 if size else ''}"}
        try:
            answer = self._request("get_object", key, **wanted)
        except Exception as error:
            said = answer_of(error)
            if said.code == "NoSuchKey":
                raise ObjectMissingError(f"{self.url}: {key} does not exist") from error
            if said.status == _RANGE_NOT_SATISFIABLE:
                return b""
            raise
        body = bytes(answer["Body"])
        if not answer.get("ETag") and body.lstrip()[:1] == b"<":
            raise not_s3(f"{self.url}: cannot read {key}", self.endpoint)
        if wanted and answer["ResponseMetadata"]["HTTPStatusCode"] != _PARTIAL_CONTENT:
            # The server paid no attention to the range.
            return body[first:] if size is None else body[first : first + size]
        return body

    def _pages(self, prefix: str) -> Iterator[dict[str, Any]]:
        what = f"list {prefix or 'the replica'}"
        parameters: dict[str, object] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        if self.page_keys is not None:
            parameters["MaxKeys"] = self.page_keys
        while True:
            page = self._ask(what, lambda: self._client.request("list_objects_v2", **parameters))
            if page.get("Name") is None:
                # Some web server that answers everything: an empty list from it would mean "no replica".
                raise not_s3(f"{self.url}: cannot {what}", self.endpoint)
            yield page
            if not page.get("IsTruncated"):
                return
            token = page.get("NextContinuationToken")
            if not token or token == parameters.get("ContinuationToken"):
                raise UnavailableError(f"{self.url}: cannot {what}: a listing that says it goes on, and does not")
            parameters["ContinuationToken"] = token

    def _delete_one(self, key: str) -> None:
        def send() -> None:
            try:
                self._request("delete_object", key)
            except Exception as error:
                if answer_of(error).code != "NoSuchKey":
                    raise

        self._ask(f"delete {key}", send)

    def _delete_together(self, keys: Keys) -> Keys:
        """Remove *keys* by one request; return those that the answer passes over in silence."""
        wanted = {"Objects": [{"Key": self._prefix + key} for key in keys], "Quiet": False}
        try:
            answer = self._ask(
                f"delete {len(keys)} objects",
                lambda: self._client.request("delete_objects", Bucket=self._bucket, Delete=wanted),
            )
        except (UnavailableError, UsageError) as error:
            said = answer_of(error.__cause__ or error)
            if said.status in _NO_BULK_STATUSES and said.code != "NoSuchBucket":
                self._has_bulk_delete = False
                return keys
            raise
        for failure in answer.get("Errors") or []:
            if failure.get("Code") != "NoSuchKey":
                key = str(failure.get("Key", "")).removeprefix(self._prefix)
                kind = AccessDeniedError if failure.get("Code") == "AccessDenied" else UnavailableError
                raise kind(f"{self.url}: cannot delete {key}: {failure.get('Code')}: {failure.get('Message')}")
        seen = {entry.get("Key") for part in ("Deleted", "Errors") for entry in answer.get(part) or []}
        return [key for key in keys if self._prefix + key not in seen]


class _NotStoredError(Exception):
    """A put was answered with success by something that stored nothing."""


def _check_stored(answer: dict[str, Any]) -> None:
    """Raise unless *answer* names what was stored, as that of S3 does: a web server says "200 OK" to anything (P4)."""
    if not answer.get("ETag"):
        raise _NotStoredError


def _md5(body: bytes) -> str:
    # The one checksum that every S3 server knows; it guards the transport, nothing else.
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
