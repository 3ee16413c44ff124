"""A dead man's switch: somebody outside hears from us while all is well, and notices when we fall silent.

Only what really happened is told: "up" after a round trip to the replica that
is newer than the last one told, "down" when health fails (P7). The URL is a
secret (P12). A switch that does not answer never disturbs anything.
"""

import contextlib
import http.client
import logging
import re
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote_to_bytes, urlencode, urlsplit, urlunsplit

from confstream.clock import Clock
from confstream.complaint import Complaint
from confstream.errors import UsageError
from confstream.events import about, carrying
from confstream.journal.vitals import Vitals
from confstream.meter import Meter
from confstream.observe.health import Level, health_of, up_to_date
from confstream.observe.metrics import Observed

logger = logging.getLogger("confstream.observe")

INTERVAL_SECONDS = 60.0
"""No more than one ping in this time."""

TIMEOUT_SECONDS = 10.0
_LOOK_SECONDS = 5.0
_BODY_LENGTH_MAX = 1000
_KUMA = re.compile(r"/api/push/[^/]+/?$")


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask for, what to post, if anything, and as whom (an Authorization header)."""

    url: str = field(repr=False)
    body: bytes | None = None
    authorization: str = field(default="", repr=False)


Send = Callable[[Request], None]


@dataclass(frozen=True, slots=True)
class Ping:
    """What to tell: ``start``, ``up`` or ``down``, why, and how long the last round trip took."""

    kind: str
    text: str = ""
    took_seconds: float = 0.0


class PingUrl:
    """Where to tell it: the URL of an Uptime Kuma push monitor (``…/api/push/TOKEN``), or of a healthchecks.io check.

    Raise ``UsageError``, which does not repeat it, for what is no such URL.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url.strip())
            is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            is_url, parts = False, SplitResult("", "", "", "", "")
        if not is_url or any(letter.isspace() or not letter.isprintable() for letter in url.strip()):
            raise UsageError(
                "the ping URL is none; expected https://hc-ping.com/… or https://HOST/api/push/… (not shown)"
            )
        self._parts = parts
        self._is_kuma = _KUMA.search(parts.path) is not None

    def __str__(self) -> str:
        """Return it as it may be shown: the path is the secret."""
        port = f":{self._parts.port}" if self._parts.port else ""
        return f"{self._parts.scheme}://{self._parts.hostname}{port}/***"

    def request(self, ping: Ping) -> Request | None:
        """Return how *ping* is told; None if there is no way to."""
        parts, text = self._parts, ping.text[:_BODY_LENGTH_MAX]
        user, at, place = parts.netloc.rpartition("@")
        authorization = f"Basic {b64encode(unquote_to_bytes(user)).decode()}" if at else ""
        if self._is_kuma:
            if ping.kind == "start":
                return None
            took = round(ping.took_seconds * 1000)
            query = urlencode({"status": ping.kind, "msg": text or "OK", "ping": took}, errors="replace")
            url = urlunsplit((parts.scheme, place, parts.path, query, ""))
            return Request(url, authorization=authorization)
        ending = {"start": "/start", "up": "", "down": "/fail"}[ping.kind]
        url = urlunsplit((parts.scheme, place, parts.path.rstrip("/") + ending, parts.query, ""))
        return Request(url, text.encode("utf-8", "replace") if text else None, authorization)


class Switch:
    """Decides what is to be told, and when. No I/O."""

    def __init__(self) -> None:
        self._told = ""
        self._tried_at: float | None = None
        self._confirmed_ns = 0

    def next(self, streams: Sequence[Vitals], now_seconds: float) -> Ping | None:
        """Return what is to be told at *now_seconds* of how *streams* are; None if nothing is."""
        if self._tried_at is not None and now_seconds < self._tried_at + INTERVAL_SECONDS:
            return None
        ping = self.verdict(streams)
        if ping is None or (ping.kind == "down" == self._told):
            return None
        return ping

    def verdict(self, streams: Sequence[Vitals]) -> Ping | None:
        """Return what can be told of *streams* with good reason: None where no round trip is news."""
        health = health_of(streams)
        if health.status is Level.FAILING:
            why = [f"{each.vitals.name}: {one.what}" for each in health.streams for one in each.reasons]
            return Ping("down", "\n".join(why))
        confirmed_ns = _confirmed_ns(streams)
        if confirmed_ns <= self._confirmed_ns:
            return None
        return Ping("up", took_seconds=max(each.replica.took_seconds for each in streams))

    def tried(self, ping: Ping, streams: Sequence[Vitals], now_seconds: float, *, told: bool) -> None:
        """Note that *ping* was sent at *now_seconds*, and whether it was *told*."""
        self._tried_at = now_seconds
        if told:
            self._told = ping.kind
            if ping.kind == "up":
                self._confirmed_ns = _confirmed_ns(streams)


class Pinger:
    """Tells the switch at *url* how *streams* are, from a thread of its own."""

    def __init__(
        self,
        url: PingUrl,
        streams: Callable[[], Sequence[Observed]],
        process: Meter,
        clock: Clock,
        *,
        send: Send | None = None,
    ) -> None:
        self._url = url
        self._streams = streams
        self._process = process
        self._clock = clock
        self._send = send or _send
        self._switch = Switch()
        self._complaint = Complaint(logger, clock)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=carrying(self._run), name="confstream-ping", daemon=True)

    @contextlib.contextmanager
    def running(self, *, once: bool = False) -> Iterator[None]:
        """Tell how it is while the block runs; with *once*, only how it was in the end."""
        logger.info("%s is told how it is", self._url, extra=about("pinging"))
        if not once:
            self._thread.start()
            try:
                yield
            finally:
                # Not waited for: it may be in the middle of a request.
                self._stop.set()
            return
        self._tell(Ping("start"), ())
        try:
            yield
        except BaseException as error:
            self._tell(Ping("down", type(error).__name__), ())
            raise
        streams = [stream.vitals() for stream in self._streams()]
        # It is over, and on purpose: only what is left counts.
        left = [each.name for each in streams if each.status is None or each.status.pending or each.status.error]
        self._tell(Ping("down", f"not on the replica: {', '.join(left)}") if left else Ping("up"), streams)

    def look(self) -> None:
        """Tell what is to be told now, if anything."""
        streams = [stream.vitals() for stream in self._streams()]
        ping = self._switch.next(streams, self._clock.elapsed_seconds())
        if ping is not None:
            self._tell(ping, streams)

    def _run(self) -> None:
        self._tell(Ping("start"), ())
        while not self._clock.wait(self._stop, _LOOK_SECONDS):
            try:
                self.look()
            except Exception:
                logger.exception("no ping could be made; this is a bug in confstream", extra=about("bug"))

    def _tell(self, ping: Ping, streams: Sequence[Vitals]) -> None:
        request = self._url.request(ping)
        if request is None:
            return
        why = ""
        try:
            self._send(request)
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = _why(error)
        self._switch.tried(ping, streams, self._clock.elapsed_seconds(), told=not why)
        self._process.count("pings_total", outcome="failed" if why else "ok")
        if why:
            said = f"the ping to {self._url} failed, replication goes on: {why}"
            self._complaint.say(said, level=logging.WARNING, extra=about("ping_failed", error=why))
        else:
            self._complaint.over(f"recovered: {self._url} takes pings again", extra=about("recovered", what="ping"))


def _confirmed_ns(streams: Sequence[Vitals]) -> int:
    """Return when the last of *streams* had its last round trip with nothing left to publish; 0 if one never had."""
    if not all(up_to_date(each) for each in streams):
        return 0
    return min((each.status.confirmed_ns for each in streams if each.status is not None), default=0)


def _send(asked: Request) -> None:
    headers = {"User-Agent": "confstream"}
    if asked.authorization:
        headers["Authorization"] = asked.authorization
    request = urllib.request.Request(asked.url, data=asked.body, headers=headers)  # noqa: S310 - PingUrl lets only HTTP through
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - likewise
        answer.read(_BODY_LENGTH_MAX)


def _why(error: Exception) -> str:
    """Return what went wrong, in words that cannot repeat the URL (P12)."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return getattr(reason, "strerror", None) or type(reason).__name__
