"""The dead man's switch: what it is told, when, in which form, and that it cannot disturb anything."""

import logging
import socket
import threading
import urllib.error
from email.message import Message
from typing import Any

import pytest

from confstream.errors import FencedError, UsageError
from confstream.journal.vitals import Vitals
from confstream.meter import Meter
from confstream.observe.observer import observing
from confstream.observe.ping import INTERVAL_SECONDS, Ping, Pinger, PingUrl, Request, Send, Switch
from confstream.store.contact import Answers
from confstream.testing import ManualClock
from tests.endpoints import run_switch
from tests.servers import wait_until
from tests.vitals import NOW_NS, SECOND_NS, status, vitals

CHECK = "https://hc-ping.com/canary-7261"
KUMA = "https://kuma.example/api/push/canary-7261"
FAILING = vitals(unrecorded="no space left on device")


def _confirmed(seconds: float) -> Vitals:
    return vitals(status(confirmed_ns=NOW_NS + int(seconds * SECOND_NS)), replica=Answers(took_seconds=0.25))


@pytest.mark.parametrize(
    ("url", "ping", "asked", "body"),
    [
        (CHECK, Ping("start"), f"{CHECK}/start", None),
        (CHECK, Ping("up"), CHECK, None),
        (CHECK, Ping("down", "full"), f"{CHECK}/fail", b"full"),
        (f"{CHECK}/?rid=1", Ping("down"), f"{CHECK}/fail?rid=1", None),
        (KUMA, Ping("up", took_seconds=0.25), f"{KUMA}?status=up&msg=OK&ping=250", None),
        (f"{KUMA}?status=up&msg=OK&ping=", Ping("down", "disk full"), f"{KUMA}?status=down&msg=disk+full&ping=0", None),
    ],
)
def test_a_ping_has_the_form_that_the_switch_understands(url: str, ping: Ping, asked: str, body: bytes | None) -> None:
    assert PingUrl(url).request(ping) == Request(asked, body)


def test_kuma_has_no_word_for_a_start() -> None:
    assert PingUrl(KUMA).request(Ping("start")) is None


def test_a_long_reason_is_cut() -> None:
    request = PingUrl(CHECK).request(Ping("down", "x" * 200_000))

    assert request is not None
    assert request.body == b"x" * 1000


def test_a_user_in_the_url_becomes_a_header() -> None:
    request = PingUrl("https://me:pass%40word@host:8443/x").request(Ping("up"))

    assert request == Request("https://host:8443/x", authorization="Basic bWU6cGFzc0B3b3Jk")
    assert "bWU6" not in repr(request)


@pytest.mark.parametrize("url", [CHECK, KUMA, "https://me:canary-7261@host:8443/api/push/canary-7261?t=canary-7261"])
def test_p12_the_url_is_never_shown(url: str) -> None:
    assert "canary-7261" not in str(PingUrl(url))


@pytest.mark.parametrize(
    "url",
    ["canary-7261", "ftp://host/canary-7261", "https:///canary-7261", "https://h/a canary-7261", "http://[canary-7261"],
)
def test_p12_what_is_no_ping_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError, match="the ping URL is none") as refused:
        PingUrl(url)

    assert "canary-7261" not in str(refused.value)


def test_up_is_told_only_after_a_round_trip_that_is_news() -> None:
    switch = Switch()

    first = switch.next([_confirmed(0)], 0.0)
    assert first == Ping("up", took_seconds=0.25)
    switch.tried(first, [_confirmed(0)], 0.0, told=True)

    assert switch.next([_confirmed(0)], 1000.0) is None, "nothing happened since"
    assert switch.next([_confirmed(1)], 1000.0) == first


@pytest.mark.parametrize(
    "waiting", [status(pending=1), status(connected=False, confirmed_ns=0)], ids=["pending", "never"]
)
def test_nothing_is_told_before_everything_is_confirmed(waiting: Any) -> None:
    assert Switch().next([vitals(), vitals(waiting)], 0.0) is None


def test_no_more_than_one_ping_a_minute_whatever_happens() -> None:
    switch = Switch()
    switch.tried(Ping("start"), (), 0.0, told=True)

    assert switch.next([FAILING], INTERVAL_SECONDS - 0.1) is None
    assert switch.next([FAILING], INTERVAL_SECONDS) is not None


def test_down_is_told_once_with_the_reasons_and_up_again_after_recovery() -> None:
    switch = Switch()
    down = switch.next([FAILING], 0.0)
    assert down == Ping("down", "config: changes cannot be recorded: no space left on device")
    switch.tried(down, [FAILING], 0.0, told=True)

    assert switch.next([FAILING], 500.0) is None
    assert switch.next([_confirmed(0)], 500.0) == Ping("up", took_seconds=0.25)


def test_what_could_not_be_told_is_told_later() -> None:
    switch = Switch()
    switch.tried(Ping("down"), [FAILING], 0.0, told=False)

    assert switch.next([FAILING], INTERVAL_SECONDS) is not None


class Stream:
    """A stream with the vitals that a test sets."""

    def __init__(self, found: Vitals) -> None:
        self.meter = Meter()
        self.now = found

    def vitals(self) -> Vitals:
        return self.now


class Told:
    """A switch that notes what it is told, and fails as a test says."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes | None]] = []
        self.error: Exception | None = None

    def send(self, request: Request) -> None:
        self.requests.append((request.url, request.body))
        if self.error is not None:
            raise self.error


def _pinger(stream: Stream, send: Send, clock: ManualClock, process: Meter | None = None) -> Pinger:
    return Pinger(PingUrl(CHECK), lambda: [stream], process or Meter(), clock, send=send)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (urllib.error.HTTPError(CHECK, 404, CHECK, Message(), None), "HTTP 404"),
        (urllib.error.URLError(ConnectionRefusedError(111, "Connection refused")), "Connection refused"),
        (TimeoutError("timed out"), "no answer in time"),
        (urllib.error.URLError(CHECK), "str"),
        (ValueError(CHECK), "ValueError"),
    ],
)
def test_p12_a_ping_that_fails_is_one_warning_without_the_url_a_count_and_nothing_else(
    error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    told, clock, process, stream = Told(), ManualClock(), Meter(), Stream(_confirmed(0))
    pinger = _pinger(stream, told.send, clock, process)
    told.error = error
    for _ in range(3):
        pinger.look()
        clock.advance(INTERVAL_SECONDS)
    told.error = None
    pinger.look()

    assert process.read().count("pings_total", outcome="failed") == 3
    assert process.read().count("pings_total", outcome="ok") == 1
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert f"failed, replication goes on: {said}" in caplog.records[0].getMessage()
    assert "recovered" in caplog.records[1].getMessage()
    assert "canary-7261" not in caplog.text


def test_one_short_job_tells_its_start_and_how_it_ended() -> None:
    told, stream = Told(), Stream(vitals(ended="stopped"))

    with _pinger(stream, told.send, ManualClock()).running(once=True):
        pass
    stream.now = vitals(status(pending=2), ended="stopped")
    with _pinger(stream, told.send, ManualClock()).running(once=True):
        pass
    with pytest.raises(FencedError), _pinger(stream, told.send, ManualClock()).running(once=True):
        raise FencedError("x")

    assert told.requests == [
        (f"{CHECK}/start", None), (CHECK, None),
        (f"{CHECK}/start", None), (f"{CHECK}/fail", b"not on the replica: config"),
        (f"{CHECK}/start", None), (f"{CHECK}/fail", b"FencedError"),
    ]  # fmt: skip


def test_a_real_switch_is_told_by_a_thread_while_the_block_runs() -> None:
    with run_switch() as switch, observing([Stream(_confirmed(0))], ping_url=f"{switch.url}/x"):
        wait_until(lambda: switch.seen == [("/x/start", b"")], 20, "the first ping")


def test_a_switch_that_never_answers_does_not_hold_up_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with observing([Stream(_confirmed(0))], ping_url=f"http://127.0.0.1:{silent.getsockname()[1]}/x"):
            accepted, _ = silent.accept()
        # The block is over although the ping still waits.
        accepted.close()


def test_a_stream_that_cannot_be_asked_ends_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    clock, told, stream = ManualClock(auto=False), Told(), Stream(vitals())
    asked = threading.Event()

    def ask() -> Vitals:
        asked.set()
        raise ZeroDivisionError

    stream.vitals = ask  # type: ignore[method-assign]
    with _pinger(stream, told.send, clock).running():
        for _ in range(2):
            wait_until(lambda: clock.sleepers == 1, 20, "the thread to wait")
            asked.clear()
            clock.advance(10)
            wait_until(asked.is_set, 20, "a look")

    assert "bug in confstream" in caplog.text
