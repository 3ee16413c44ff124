"""One hardened s3fs instance: a request is one HTTP request, and ends by a deadline.

s3fs by itself repeats, caches, waits for ``100 Continue`` without end, and
never looks at rotated credentials again; here it does none of that.
"""

import io
import threading
from typing import Any
from urllib.parse import urlsplit

from confstream.errors import AccessDeniedError, UsageError
from confstream.store.keys import check_size
from confstream.store.s3_errors import LINE_BREAK, response_of
from confstream.store.s3_models import small_session

_CONNECT_SECONDS_MAX = 4.0
_READ_SECONDS_MAX = 15.0


class Outgoing(io.BytesIO):
    """A body that knows how often it was handed to the network.

    Exceptions cannot tell: the HTTP client sends a request again by itself, and
    then reports how the second attempt failed. A body of which nothing was read
    was not applied, whatever was raised.
    """

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._lock = threading.Lock()
        self._is_watched = False
        self._is_abandoned = False
        self._sendings = 0

    def watch(self) -> None:
        """Start counting: signing has read the body before, that was no sending."""
        self._is_watched = True

    def abandon(self) -> int | None:
        """Let nothing be read any more; return how often sending has begun, if that is known."""
        with self._lock:
            self._is_abandoned = True
            return self._sendings if self._is_watched else None

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next *size* bytes, unless nobody waits for the outcome any more."""
        with self._lock:
            if self._is_abandoned:
                raise OSError("the put was given up before it was sent")
            if self._is_watched and self.tell() == 0:
                self._sendings += 1
            return super().read(size)


class S3Client:
    """The connection behind an ``S3Store``; connects when first used, and again when told to."""

    def __init__(self, storage_options: dict[str, Any], timeout_seconds: float) -> None:
        self._options = _harden(storage_options, timeout_seconds)
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._fs: Any = None
        self._endpoint = endpoint_of(storage_options)
        self.server_date = ""
        """The ``Date`` of the last answer."""

    @property
    def endpoint(self) -> str:
        """Return the endpoint in use, as far as it is known: scheme, host and port."""
        return self._endpoint

    @property
    def connection(self) -> object:
        """Return a token of the present connection, for ``renew``."""
        return self._fs

    def renew(self, connection: object) -> None:
        """Connect anew, with credentials read anew, unless another thread has since *connection*."""
        with self._lock:
            if self._fs is connection:
                # Calls under way keep the old instance alive; it closes when the last one ends.
                self._fs = None

    def request(self, operation: str, **parameters: object) -> dict[str, Any]:
        """Send one request; the answer's ``Body``, if it has one, is its bytes."""
        from fsspec.asyn import sync  # noqa: PLC0415

        fs = self._connected()

        async def send() -> dict[str, Any]:
            try:
                answer: dict[str, Any] = await fs._call_s3(operation, **parameters)  # noqa: SLF001 - the public one cannot read.
            except Exception as error:
                self._note_date(response_of(error))
                raise
            self._note_date(answer)
            if "Body" in answer:
                stream = answer["Body"]
                try:
                    check_size(str(parameters.get("Key")), answer.get("ContentLength") or 0)
                    answer["Body"] = await stream.read()
                finally:
                    stream.close()
            return answer

        result: dict[str, Any] = sync(fs.loop, send, timeout=self._timeout_seconds)
        return result

    def close(self) -> None:
        """Drop the connection."""
        with self._lock:
            self._fs = None

    def _note_date(self, response: dict[str, Any]) -> None:
        headers = (response.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}
        self.server_date = str(headers.get("date") or self.server_date)

    def _connected(self) -> Any:  # noqa: ANN401
        with self._lock:
            if self._fs is None:
                self._fs = self._connect()
            return self._fs

    def _connect(self) -> Any:  # noqa: ANN401
        from botocore.handlers import add_expect_header  # noqa: PLC0415
        from fsspec.asyn import sync  # noqa: PLC0415
        from s3fs import S3FileSystem  # noqa: PLC0415

        fs = S3FileSystem(**self._options)
        fs.retries = 1
        if fs.session is None:
            fs.session = small_session(fs.kwargs)
        sync(fs.loop, fs.set_session, timeout=self._timeout_seconds)
        _check_values(fs.s3)
        meta = fs.s3.meta
        # A PUT that waits for "100 Continue" is not covered by any timeout of the client.
        meta.events.unregister("before-call.s3", add_expect_header)
        meta.events.register("before-send.s3.PutObject", _watch)
        # s3fs drops parameters that its botocore does not know: the put would be unconditional (P5).
        if "IfNoneMatch" not in meta.service_model.operation_model("PutObject").input_shape.members:
            raise UsageError("the installed botocore does not know If-None-Match: install botocore 1.35.20 or newer")
        self._endpoint = _public(meta.endpoint_url)
        return fs


def _check_values(client: Any) -> None:  # noqa: ANN401 - botocore's client.
    """Refuse credentials and a region that nobody typed so: of those a server only says that the signature is wrong."""
    credentials = getattr(getattr(client, "_request_signer", None), "_credentials", None)
    # Those that renew themselves are asked for when they are needed, and come from a service that does better.
    held = vars(credentials) if hasattr(credentials, "__dict__") else {}
    values = {
        "AWS_ACCESS_KEY_ID": held.get("access_key"),
        "AWS_SECRET_ACCESS_KEY": held.get("secret_key"),
        "AWS_SESSION_TOKEN": held.get("token"),
        "AWS_DEFAULT_REGION": client.meta.region_name,
    }
    for name, value in values.items():
        if isinstance(value, str) and value != value.strip():
            raise AccessDeniedError(f"{name} {LINE_BREAK}")


def endpoint_of(storage_options: dict[str, Any]) -> str:
    """Return the endpoint that *storage_options* name, without user info; refuse one that has any."""
    client_kwargs = storage_options.get("client_kwargs") or {}
    endpoint = storage_options.get("endpoint_url") or client_kwargs.get("endpoint_url")
    return _public(str(endpoint)) if endpoint else "the default endpoint"


def _public(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
    except ValueError as error:
        raise UsageError(
            "the S3 endpoint is no URL (its brackets are not those of an address); write it as https://host:port"
        ) from error
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            f"the S3 endpoint {parts.scheme}://***@{parts.hostname} carries user info, which S3 does not use: put the "
            "key into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else endpoint


def _harden(storage_options: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
    """Return *storage_options* with what a log needs beneath and above them."""
    config = {
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "connect_timeout": min(_CONNECT_SECONDS_MAX, timeout_seconds),
        "read_timeout": min(_READ_SECONDS_MAX, timeout_seconds),
        "max_pool_connections": 16,
        # Checksums that only AWS understands break uploads to many other servers; Content-MD5 is sent instead.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    given = storage_options.get("config_kwargs") or {}
    return {
        **storage_options,
        "config_kwargs": {**config, **given},
        "skip_instance_cache": True,
        "use_listings_cache": False,
        "max_concurrency": 1,
        "asynchronous": False,
    }


def _watch(request: Any, **_kwargs: object) -> None:  # noqa: ANN401
    if isinstance(request.body, Outgoing):
        request.body.watch()
