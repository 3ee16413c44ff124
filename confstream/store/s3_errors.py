"""What an exception out of s3fs means: who said no, and whether anything may have happened.

s3fs raises the same ``OSError`` for very different answers, and for network
failures errors that are no ``OSError`` at all; the HTTP status decides here.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from confstream.errors import (
    AccessDeniedError,
    ConfstreamError,
    UnavailableError,
    UsageError,
)

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
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it",
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
_USAGE_ERRORS = frozenset(
    {"ConfigNotFound", "ConfigParseError", "InvalidRegionError", "ParamValidationError", "ProfileNotFound"}
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said, if it said anything: *status* is ``None`` where no answer came."""

    status: int | None = None
    code: str = ""
    message: str = ""

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
    return Answer(int(status) if status else None, str(said.get("Code") or ""), message)


def response_of(error: BaseException) -> dict[str, Any]:
    """Return botocore's parsed form of the answer behind *error*; empty if there was none."""
    for candidate in (error, error.__cause__):
        response: Any = getattr(candidate, "response", None)
        if isinstance(response, dict):
            return response
    return {}


def explain(what: str, error: Exception, *, endpoint: str, bucket: str, timeout_seconds: float) -> ConfstreamError:
    """Return the error that tells a caller of a failed *what*: try again, or mend something first."""
    if isinstance(error, ConfstreamError):
        return error
    answer = answer_of(error)
    if answer.status is not None:
        return _explain_answer(what, answer, endpoint, bucket)
    name = type(error).__name__
    if name == "NoCredentialsError" or name in _CREDENTIAL_ERRORS:
        reason = f"the credentials cannot be had: {_one_line(error)}" if name in _CREDENTIAL_ERRORS else _NO_CREDENTIALS
        return AccessDeniedError(f"{what}: {reason}")
    if name in _USAGE_ERRORS or isinstance(error, (ImportError, TypeError, ValueError, KeyError)):
        why = (
            f"the module {error.name} cannot be imported: pip install s3fs"
            if isinstance(error, ImportError)
            else (f"the options for s3fs cannot be meant: {_one_line(error)}")
        )
        return UsageError(f"{what}: {why}")
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)) or name in ("FSTimeoutError", "ReadTimeoutError"):
        return UnavailableError(f"{what}: {endpoint} gave no answer within {timeout_seconds:g} s")
    reasons = {
        "ConnectTimeoutError": f"cannot reach {endpoint}: no connection in time",
        "EndpointConnectionError": f"cannot reach {endpoint}: {_deepest(error)}",
        "ConnectionClosedError": f"{endpoint} closed the connection",
        "ProxyConnectionError": f"cannot reach {endpoint}: the HTTP proxy refused",
        "SSLError": f"cannot reach {endpoint}: TLS failed: {_deepest(error)}",
    }
    return UnavailableError(f"{what}: {reasons.get(name) or f'{endpoint}: {name}: {_deepest(error)}'}")


def _explain_answer(what: str, answer: Answer, endpoint: str, bucket: str) -> ConfstreamError:
    if answer.code == "NoSuchBucket":
        return AccessDeniedError(f"{what}: no such bucket: {bucket!r} at {endpoint}: create it, or correct the URL")
    if not answer.is_refusal or answer.is_throttled:
        return UnavailableError(f"{what}: {endpoint} answered {answer}")
    remedy = _REMEDIES.get(answer.code) or "correct the credentials, the bucket, its policy or the endpoint"
    return AccessDeniedError(f"{what}: {endpoint} refused with {answer}: {remedy}")


def _deepest(error: Exception) -> str:
    """Return the system's own words for *error*, without the URL that botocore wraps around them."""
    inner = getattr(error, "kwargs", {}).get("error") if isinstance(getattr(error, "kwargs", None), dict) else None
    system = getattr(inner, "os_error", None) or inner
    return _one_line(system if isinstance(system, BaseException) else error)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
