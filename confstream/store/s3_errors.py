"""What an exception out of s3fs means: who said no, and whether anything may have happened.

s3fs raises the same ``OSError`` for very different answers, and for network
failures errors that are no ``OSError`` at all; the HTTP status decides here.
"""

import re
from datetime import UTC, datetime
from typing import Any

from confstream.errors import (
    AccessDeniedError,
    ConfstreamError,
    UnavailableError,
    UsageError,
)
from confstream.pattern import pattern
from confstream.values import dataclass

STALE_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
"""Codes of answers that fresh credentials may turn into others."""

LINE_BREAK = (
    "begins or ends with a blank or a line break, as what is made from a file often does; make it with printf %s, or "
    "with kubectl create secret --from-literal"
)
"""What to say of a value that nobody typed so."""

THROTTLED = frozenset({"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"})
"""Codes of a server that refuses before it does anything."""

_SERVER_ERRORS_FIRST = 500
_NOT_IMPLEMENTED = 501
_REQUEST_TIMEOUT = 408
_TOO_MANY_REQUESTS = 429
_REMEDIES = {
    "AccessDenied": "allow s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket on this prefix",
    "ExpiredToken": "the session has expired, and reading the credentials again did not help: renew them",
    "InvalidAccessKeyId": "the server does not know this key id: correct AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret key is wrong: correct AWS_SECRET_ACCESS_KEY",
    "PermanentRedirect": "the bucket is in another region: set AWS_DEFAULT_REGION or the endpoint",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_DEFAULT_REGION",
}
_NO_CREDENTIALS = (
    "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for temporary "
    "ones), or AWS_PROFILE for one of ~/.aws (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE), or "
    "AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN, or give the pod or machine a role"
)
_CREDENTIAL_ERRORS = frozenset(
    {
        "CredentialRetrievalError",
        "InvalidConfigError",
        "MetadataRetrievalError",
        "NoAuthTokenError",
        "PartialCredentialsError",
        "SSOError",
        "SSOTokenLoadError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
    }
)
NO_TLS = "it does not speak TLS: use http://, or correct the port in AWS_ENDPOINT_URL"
"""What to do about a server without TLS."""

_TLS_REMEDIES = {
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted: name the file of the CA in AWS_CA_BUNDLE, or use a "
    "host name that the certificate has",
    "WRONG_VERSION_NUMBER": NO_TLS,
    "HTTP_REQUEST": NO_TLS,
    "RECORD_LAYER_FAILURE": NO_TLS,
}
_NETWORK_REMEDIES = {
    "Name or service not known": "the name cannot be resolved: correct AWS_ENDPOINT_URL, or look after DNS",
    "No address associated": "the name cannot be resolved: correct AWS_ENDPOINT_URL, or look after DNS",
    "Temporary failure in name": "the name cannot be resolved: look after DNS, or correct AWS_ENDPOINT_URL",
    "Connection refused": "nothing listens there: start the server, or correct AWS_ENDPOINT_URL",
    "Connect call failed": "nothing listens there: start the server, or correct AWS_ENDPOINT_URL",
    "unreachable": "there is no way to it: look after the network",
    "No route to host": "there is no way to it: look after the network",
}
_USAGE_ERRORS = frozenset(
    {"ConfigNotFound", "ConfigParseError", "InvalidRegionError", "ParamValidationError", "ProfileNotFound"}
)
_QUOTED = pattern(r"""(?:\bb|(?<=Bad status line )|(?<=bytes when reading: ))\\*["'].*""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said, if it said anything: *status* is ``None`` where no answer came."""

    status: int | None = None
    code: str = ""
    message: str = ""
    request_time: str = ""
    server_time: str = ""

    @property
    def is_foreign(self) -> bool:
        """Return whether there is no word of S3 in it: it comes from a proxy or a web server."""
        return self.code in {"", str(self.status)}

    @property
    def is_refusal(self) -> bool:
        """Return whether it says for certain that the request was not carried out."""
        if self.status is None or self.status == _REQUEST_TIMEOUT or self.code == "RequestTimeout":
            return False
        return self.status < _SERVER_ERRORS_FIRST or self.status == _NOT_IMPLEMENTED or self.is_throttled

    @property
    def is_throttled(self) -> bool:
        """Return whether the server asks for fewer requests."""
        return self.code in THROTTLED or self.status == _TOO_MANY_REQUESTS

    def __str__(self) -> str:
        said = " ".join(part for part in (self.code if self.code != str(self.status) else "", self.message) if part)
        return f"HTTP {self.status}{': ' if said else ''}{said}"


def answer_of(error: BaseException) -> Answer:
    """Return the HTTP answer behind *error*: only botocore's own error, its cause, still has it."""
    response = response_of(error)
    said = response.get("Error") or {}
    status = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode")
    message = " ".join(str(said.get("Message") or "").split())[:200]
    times = str(said.get("RequestTime") or ""), str(said.get("ServerTime") or "")
    return Answer(int(status) if status else None, str(said.get("Code") or ""), message, *times)


def response_of(error: BaseException) -> dict[str, Any]:
    """Return botocore's parsed form of the answer behind *error*; empty if there was none."""
    for candidate in (error, error.__cause__):
        response: Any = getattr(candidate, "response", None)
        if isinstance(response, dict):
            return response
    return {}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where and when a request was made: *server_date* is the ``Date`` of the last answer, *now_ns* our own time."""

    endpoint: str
    bucket: str
    timeout_seconds: float
    server_date: str = ""
    now_ns: int = 0


def explain(what: str, error: Exception, where: Circumstances) -> ConfstreamError:
    """Return the error that tells a caller of a failed *what*: try again, or mend something first."""
    if isinstance(error, ConfstreamError):
        return error
    answer = answer_of(error)
    if answer.status is not None:
        return explain_answer(what, answer, where)
    name = type(error).__name__
    if name == "NoCredentialsError" or name in _CREDENTIAL_ERRORS:
        reason = f"the credentials cannot be had: {_one_line(error)}" if name in _CREDENTIAL_ERRORS else _NO_CREDENTIALS
        return AccessDeniedError(f"{what}: {reason}")
    if name in _USAGE_ERRORS or isinstance(error, (ImportError, TypeError, ValueError, KeyError)):
        return UsageError(f"{what}: {_not_meant(error)}")
    return _explain_silence(what, error, where)


def _not_meant(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"the module {error.name} cannot be imported: pip install s3fs"
    if "\n" in str(error):
        return f"AWS_ENDPOINT_URL or another setting {LINE_BREAK}"
    if "Invalid endpoint" in str(error):
        return f"{_one_line(error)}; AWS_ENDPOINT_URL has to begin with https:// or http://"
    return f"the options for s3fs cannot be meant: {_one_line(error)}"


def _explain_silence(what: str, error: Exception, where: Circumstances) -> ConfstreamError:
    """Return the error of a request that no answer came to."""
    name, endpoint = type(error).__name__, where.endpoint
    if isinstance(error, TimeoutError) or name in ("FSTimeoutError", "ReadTimeoutError"):
        return UnavailableError(f"{what}: {endpoint} gave no answer within {where.timeout_seconds:g} s")
    if (to_mend := _to_be_mended(name, error)) is not None:
        return AccessDeniedError(f"{what}: cannot reach {endpoint}: {to_mend}")
    reasons = {
        "ConnectTimeoutError": f"cannot reach {endpoint}: no connection in time",
        "EndpointConnectionError": f"cannot reach {endpoint}: {with_remedy(_deepest(error))}",
        "ConnectionClosedError": f"{endpoint} closed the connection",
        "ProxyConnectionError": f"cannot reach {endpoint}: the HTTP proxy refused",
        "SSLError": f"cannot reach {endpoint}: TLS failed: {_deepest(error)}",
    }
    return UnavailableError(f"{what}: {reasons.get(name) or f'{endpoint}: {name}: {_deepest(error)}'}")


def not_s3(what: str, endpoint: str) -> AccessDeniedError:
    """Return the error of a server that answers, and not as S3 does."""
    return AccessDeniedError(
        f"{what}: {endpoint} does not answer as S3 does, it may be a web server or a proxy: correct AWS_ENDPOINT_URL"
    )


def explain_answer(what: str, answer: Answer, where: Circumstances) -> ConfstreamError:
    """Return the error that an *answer* which is no success comes to."""
    endpoint, bucket = where.endpoint, where.bucket
    if answer.code == "NoSuchBucket":
        return AccessDeniedError(f"{what}: no such bucket: {bucket!r} at {endpoint}: create it, or correct the URL")
    if answer.code == "RequestTimeTooSkewed":
        return AccessDeniedError(f"{what}: {endpoint} refused: {_skew(answer, where)}: set the clock of this machine")
    if not answer.is_refusal or answer.is_throttled:
        return UnavailableError(f"{what}: {endpoint} answered {answer}")
    remedy = _REMEDIES.get(answer.code) or "correct the credentials, the bucket, its policy or the endpoint"
    if answer.is_foreign and answer.status != _NOT_IMPLEMENTED:
        remedy += "; it does not say why as S3 does, so it may be a web server or a proxy"
    return AccessDeniedError(f"{what}: {endpoint} refused with {answer}: {remedy}")


def _to_be_mended(name: str, error: Exception) -> str | None:
    """Return why no connection can be made until somebody mends something; None if waiting may help."""
    said = _deepest(error)
    if name == "SSLError":
        return next((f"TLS failed: {remedy}" for sign, remedy in _TLS_REMEDIES.items() if sign in said), None)
    if name == "HTTPClientError" and isinstance(_inner(error), (FileNotFoundError, PermissionError)):
        return f"AWS_CA_BUNDLE names a file that cannot be read ({said}): correct it"
    return None


def with_remedy(said: str) -> str:
    """Return what the system *said* of the network, and what to do about it where that is known."""
    return next((f"{said}: {remedy}" for sign, remedy in _NETWORK_REMEDIES.items() if sign in said), said)


def _skew(answer: Answer, where: Circumstances) -> str:
    """Return by how much the clock of this machine is off, as far as the answer lets that be known."""
    ours, theirs = _moment(answer.request_time), _moment(answer.server_time) or _moment(where.server_date)
    if ours is None and where.now_ns:
        ours = datetime.fromtimestamp(where.now_ns // 10**9, UTC)
    if ours is None or theirs is None:
        return "the clock of this machine is too far off"
    seconds = round((ours - theirs).total_seconds())
    direction = "ahead of" if seconds > 0 else "behind"
    return f"the clock of this machine is {_length(abs(seconds))} {direction} the server's"


def _moment(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - hardly ever needed, and large

    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = read(text)
        except (ValueError, TypeError):
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def _length(seconds: int) -> str:
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    counts = {"d": days, "h": hours % 24, "min": 0 if days else minutes % 60, "s": 0 if days else seconds % 60}
    # What is nothing is not told, and nothing finer than an hour of a clock that is off by days.
    return " ".join(f"{count} {unit}" for unit, count in counts.items() if count) or "less than a second"


def _inner(error: Exception) -> BaseException | None:
    kwargs = getattr(error, "kwargs", None)
    found = kwargs.get("error") if isinstance(kwargs, dict) else None
    return found if isinstance(found, BaseException) else None


def _deepest(error: Exception) -> str:
    """Return the system's own words for *error*, without the URL that botocore wraps around them."""
    inner = _inner(error)
    system = getattr(inner, "os_error", None) or inner
    return _one_line(system if isinstance(system, BaseException) else error)


def _one_line(error: BaseException) -> str:
    # P12: a parser quotes the bytes that it cannot read, and those may be anybody's content.
    said = _QUOTED.sub("…", str(error))
    return " ".join(said.split())[:300] or type(error).__name__
