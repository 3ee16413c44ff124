"""What an exception out of the lean S3 client means: what the server said, or how far the request got.

The client's exceptions tell neither by their types, only in their words; what
these words do not say for certain counts as unknown.
"""

import re

from confstream.errors import AccessDeniedError, ConfstreamError, UnavailableError
from confstream.pattern import pattern
from confstream.store.s3_errors import NO_TLS, Answer, Circumstances, explain_answer, not_s3, with_remedy

_STATUS = pattern(r" - Server returned non-2xx status code: (\d{3})[^:]*: ?(.*)", re.DOTALL)
_DETAILS = "\n\nDebug source:\n"
_REDIRECT = " - Received redirect without LOCATION"
_KIND = pattern(r"HttpError \{\s*kind: (\w+)")
_REASON = pattern(r'(?:message|error): "([^"\n]{1,200})"')
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&#34;": '"', "&#39;": "'", "&amp;": "&"}
_MOVED = 301
_TLS_REMEDIES = {
    "InvalidCertificate(": "its certificate is not trusted: name the file of the CA in AWS_CA_BUNDLE, or use a host "
    "name that the certificate has",
    "InvalidMessage(": NO_TLS,
}

_ELSEWHERE = frozenset({"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed"})
_INVALID = frozenset({"InvalidRequest", "MissingContentMD5", "BadDigest"})


def answer_of(error: BaseException) -> Answer:
    """Return what the server said, as far as the words of *error* repeat it; an empty answer if none came."""
    said = str(error).partition(_DETAILS)[0]
    if _REDIRECT in said:
        return Answer(_MOVED, "PermanentRedirect", "the server sends elsewhere")
    found = _STATUS.search(said)
    if found is None:
        return Answer()
    body = found.group(2)
    code, message, ours, theirs = (_element(body, name) for name in ("Code", "Message", "RequestTime", "ServerTime"))
    return Answer(int(found.group(1)), code, " ".join(message.split())[:200], ours, theirs)


def is_elsewhere(answer: Answer) -> bool:
    """Return whether s3fs would do better: it finds the region of a bucket, and sends ``Content-MD5``."""
    is_incomplete = answer.code in _INVALID and "md5" in f"{answer.code} {answer.message}".lower()
    return answer.code in _ELSEWHERE or is_incomplete


def was_sent(error: BaseException) -> bool:
    """Return whether the request may have reached the server: only a connection that was never made says no."""
    return answer_of(error).status is not None or _kind(error) != "Connect"


def says(error: BaseException, words: str) -> bool:
    """Return whether the client itself, no server, says *words*."""
    said = str(error)
    return _STATUS.search(said) is None and words in said


def explain(what: str, error: BaseException, where: Circumstances) -> ConfstreamError:
    """Return the error that tells a caller of a failed *what*: try again, or mend something first."""
    if isinstance(error, ConfstreamError):
        return error
    answer = answer_of(error)
    if answer.status is not None:
        return explain_answer(what, answer, where)
    return _explain_silence(what, error, where)


def _explain_silence(what: str, error: BaseException, where: Circumstances) -> ConfstreamError:
    """Return the error of a request that no answer came to, or none of S3."""
    details, endpoint, kind = str(error).partition(_DETAILS)[2], where.endpoint, _kind(error)
    if says(error, "invalid list response") or says(error, "ETag Header missing"):
        return not_s3(what, endpoint)
    if kind == "Timeout" or "TimedOut" in details:
        said = f"{endpoint} gave no answer within {where.timeout_seconds:g} s"
    elif kind == "Connect":
        to_mend = next((remedy for sign, remedy in _TLS_REMEDIES.items() if sign in details), None)
        if to_mend is not None:
            return AccessDeniedError(f"{what}: cannot reach {endpoint}: TLS failed: {to_mend}")
        said = f"cannot reach {endpoint}: {with_remedy(_reason(details) or 'no connection')}"
    elif "IncompleteMessage" in details or "IncompleteBody" in details:
        said = f"{endpoint} closed the connection"
    else:
        said = f"{endpoint}: {_reason(details) or _first_line(error)}"
    return UnavailableError(f"{what}: {said}")


def _reason(details: str) -> str:
    """Return the system's own words, which stand last."""
    return next(reversed(_REASON.findall(details)), "")


def _kind(error: BaseException) -> str:
    found = _KIND.search(str(error).partition(_DETAILS)[2])
    return found.group(1) if found else ""


def _element(body: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", body)
    text = found.group(1) if found else ""
    for entity, sign in _ENTITIES.items():
        text = text.replace(entity, sign)
    return text


def _first_line(error: BaseException) -> str:
    line = str(error).partition("\n")[0].strip()
    return f"{type(error).__name__}: {line[:200]}"
