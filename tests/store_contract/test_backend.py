"""check-backend finds fit what is fit, unfit what is not, and leaves nothing behind."""

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from confstream import backend, check_backend
from confstream.backend import BackendReport, bench, fencing, place, timing
from confstream.backend.cutting import CuttingProxy as LibraryProxy
from confstream.check import Check, Level, worst
from confstream.clock import SystemClock
from confstream.errors import (
    AccessDeniedError,
    ConfstreamError,
    IntegrityError,
    NoExclusiveCreateError,
    PartialError,
    StaleError,
    UnavailableError,
    UsageError,
)
from confstream.store import Keys, open_store
from confstream.store.local import LocalStore
from confstream.store.memory import MemoryStore
from confstream.testing import FaultyStore, ManualClock, fail_on
from tests.proxy import CuttingProxy, error_body
from tests.servers import S3Server

QUICK: dict[str, Any] = {"rounds": 1, "racers": 5}


def level_of(report: BackendReport, name: str) -> Level:
    return next(check.level for check in report.checks if check.name == name)


def found(report: BackendReport, name: str) -> str:
    return next(check.found for check in report.checks if check.name == name)


def names_of(report: BackendReport, level: Level) -> list[str]:
    return [check.name for check in report.checks if check.level is level]


def test_memory_is_fit() -> None:
    report = check_backend("memory://fit/deep")

    assert report.fit
    assert report.error is None
    assert names_of(report, Level.SKIP) == ["lost answer", "clock"]
    assert MemoryStore("fit").objects == {}


@pytest.mark.parametrize("is_there", [True, False])
def test_a_local_directory_is_fit_and_looks_as_before(tmp_path: Path, is_there: bool) -> None:
    root = tmp_path / "above" / "replica"
    if is_there:
        root.mkdir(parents=True)
        (root / "log").mkdir()
        (root / "log" / "mine").write_bytes(b"kept")

    report = check_backend(str(root))

    assert report.fit, report.error
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == (["above", "above/replica", "above/replica/log", "above/replica/log/mine"] if is_there else [])


def test_p4_a_real_server_is_fit_and_what_we_made_is_gone(
    s3_server: S3Server, use_s3: Callable[[S3Server], str]
) -> None:
    url = use_s3(s3_server)
    told: list[Check] = []

    report = check_backend(url, storage_options=s3_server.quick_options, rounds=2, tell=told.append)

    assert report.fit, report.error
    assert names_of(report, Level.OK) == [check.name for check in report.checks] == [check.name for check in told]
    assert found(report, "race") == "2 rounds of 20 at once: each had one winner, whose bytes were read back"
    lost = found(report, "lost answer")
    assert lost.count("read back as ours") == 2
    assert lost.endswith("read back as not ours")
    assert found(report, "clock") == "the server's clock and ours agree to the second"
    assert all(value > 0 for value in report.figures.values())
    assert sorted(report.figures) == ["delete_seconds", "get_seconds", "list_seconds", "put_seconds"]
    assert open_store(url, storage_options=s3_server.quick_options).list() == []


def test_p5_a_server_that_ignores_the_condition_is_not_fit(
    rclone_s3: S3Server, use_s3: Callable[[S3Server], str]
) -> None:
    url = use_s3(rclone_s3)

    report = check_backend(url, storage_options=rclone_s3.quick_options, **QUICK)

    assert not report.fit
    assert isinstance(report.error, NoExclusiveCreateError)
    assert level_of(report, "create twice") is Level.FAIL
    assert level_of(report, "lost answer") is Level.FAIL
    assert "the same key was created twice" in found(report, "create twice")
    assert level_of(report, "clean up") is Level.OK
    assert open_store(url, storage_options=rclone_s3.quick_options).list() == []


def test_a_wrapper_that_drops_the_condition_is_not_fit() -> None:
    report = check_backend("simplecache::memory://dropped", **QUICK)

    assert isinstance(report.error, NoExclusiveCreateError)
    assert level_of(report, "create twice") is Level.FAIL


@pytest.mark.parametrize(
    ("endpoint", "secret", "says"),
    [("http://127.0.0.1:1", "testing-secret", "cannot reach"), ("", "forged-2718", "the secret key is wrong")],
)
def test_what_cannot_be_reached_is_one_failure(
    seaweed: S3Server, use_s3: Callable[[S3Server], str], endpoint: str, secret: str, says: str
) -> None:
    url = use_s3(seaweed)
    options = {**seaweed.storage_options, "secret": secret, "endpoint_url": endpoint or seaweed.endpoint}

    report = check_backend(url, storage_options=options, timeout_seconds=10)

    assert [check.name for check in report.checks] == ["reach", "clean up"]
    assert isinstance(report.error, UnavailableError)
    assert says in str(report.error)
    assert secret not in str(report.as_json())


def test_a_bucket_that_is_not_there_is_named(seaweed: S3Server, use_s3: Callable[[S3Server], str]) -> None:
    use_s3(seaweed)

    report = check_backend("s3://no-such-bucket-here/x", storage_options=seaweed.quick_options)

    assert isinstance(report.error, AccessDeniedError)
    assert "no such bucket: 'no-such-bucket-here'" in str(report.error)


@pytest.mark.parametrize(("rounds", "racers"), [(0, 20), (1, 1), (1, 1000)])
def test_a_race_that_is_none_is_refused(rounds: int, racers: int) -> None:
    with pytest.raises(UsageError, match=f"{rounds} rounds of {racers} racers"):
        check_backend("memory://x", rounds=rounds, racers=racers)


class _Lying(MemoryStore):
    """A backend with one fault, chosen by *lie*."""

    def __init__(self, name: str, lie: str) -> None:
        super().__init__(name)
        self._lie = lie
        self._listed: dict[str, Keys] = {}

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        if self._lie == "range" and first:
            return super().get(key)
        body = super().get(key, first, size)
        return body[: len(body) // 2] if self._lie == "large" and len(body) > 1 << 20 else body

    def list(self, prefix: str = "") -> Keys:
        keys = super().list(prefix)
        if self._lie == "late":
            return self._listed.setdefault(prefix, keys)
        return keys[::-1] if self._lie == "order" else keys

    def replace(self, key: str, body: bytes) -> None:
        if self._lie != "old":
            super().replace(key, body)

    def delete(self, keys: Keys) -> None:
        if self._lie != "kept":
            super().delete(keys)

    def put(self, key: str, body: bytes) -> None:
        super().put(key.lower() if self._lie == "case" and "/case/" in key else key, body)


@pytest.mark.parametrize(
    ("lie", "name", "level", "error"),
    [
        ("late", "list after write", Level.FAIL, NoExclusiveCreateError),
        ("order", "list after write", Level.FAIL, NoExclusiveCreateError),
        ("old", "read after write", Level.FAIL, ConfstreamError),
        ("kept", "list after write", Level.FAIL, IntegrityError),
        ("kept", "create again", Level.FAIL, IntegrityError),
        ("range", "ranges", Level.FAIL, IntegrityError),
        ("large", "large object", Level.FAIL, IntegrityError),
        ("case", "keys", Level.WARN, StaleError),
    ],
)
def test_every_lie_of_a_backend_is_found_out(
    monkeypatch: pytest.MonkeyPatch, lie: str, name: str, level: Level, error: type[ConfstreamError]
) -> None:
    monkeypatch.setattr("confstream.backend.open_store", lambda *_args, **_kwargs: _Lying("lying", lie))

    report = check_backend("memory://lying", **QUICK)

    check = next(check for check in report.checks if check.name == name)
    assert (check.level, check.error) == (level, error)
    assert check.found
    assert check.advice


def test_a_failing_request_fails_its_check_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    faulty = FaultyStore(MemoryStore("flaky"), [fail_on("get", times=1000, error=UnavailableError)])
    monkeypatch.setattr("confstream.backend.open_store", lambda *_args, **_kwargs: faulty)

    report = check_backend("memory://flaky", **QUICK)

    assert isinstance(report.error, UnavailableError)
    assert level_of(report, "keys") is Level.FAIL
    assert level_of(report, "clean up") is Level.OK


def test_what_cannot_be_removed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    faulty = FaultyStore(MemoryStore("append"), [fail_on("delete", times=1000, error=AccessDeniedError)])
    monkeypatch.setattr("confstream.backend.open_store", lambda *_args, **_kwargs: faulty)

    report = check_backend("memory://append", **QUICK)

    assert level_of(report, "create twice") is Level.OK
    assert level_of(report, "clean up") is Level.WARN
    assert "/check-" in found(report, "clean up")


def test_what_is_still_under_way_at_the_end_is_removed_too() -> None:
    slow, released = MemoryStore("slow"), threading.Event()

    def hold(operation: str, key: str) -> None:
        if operation == "put" and "/race" in key:
            released.wait(10)

    with place.Place(MemoryStore("slow", before=hold)) as made:
        straggler = threading.Thread(target=lambda: made.store.put("race", b"late"), daemon=True)
        straggler.start()
        made.store.put("early", b"x")
        threading.Timer(0.2, released.set).start()

    straggler.join(10)
    assert slow.objects == {}


def test_a_check_that_is_interrupted_cleans_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(bench: bench.Bench) -> Check:
        bench.store.put("half/done", b"x")
        raise KeyboardInterrupt

    monkeypatch.setattr(backend, "_LOOKS", (("race", interrupt),))

    with pytest.raises(KeyboardInterrupt):
        check_backend("memory://interrupted")

    assert MemoryStore("interrupted").objects == {}


def test_other_peoples_objects_are_left_alone(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "replica")
    store.put("log/00000000000000000001", b"theirs")

    check_backend(str(tmp_path / "replica"), **QUICK)

    assert store.list() == ["log/00000000000000000001"]
    assert store.get("log/00000000000000000001") == b"theirs"


@pytest.mark.parametrize(
    ("date", "before", "after", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:00:10 GMT", 10.2, 10.3, 0.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 10.9, 12.5, 0.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 8.0, 9.0, 1.0),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 3700.0, 3701.0, -3639.0),
    ],
)
def test_a_clock_is_off_only_by_what_the_request_does_not_explain(
    date: str, before: float, after: float, seconds: float
) -> None:
    assert timing.offset_seconds(date, int(before * 1e9), int(after * 1e9)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(5, Level.OK), (-120, Level.WARN), (120, Level.WARN), (3600, Level.FAIL), (-3600, Level.FAIL)],
)
def test_a_clock_that_is_off_is_told(
    moto_server: S3Server, use_s3: Callable[[S3Server], str], seconds: int, level: Level
) -> None:
    store = open_store(use_s3(moto_server), storage_options=moto_server.quick_options)
    store.list()
    check = timing.clock(store, ManualClock(SystemClock().now_ns() + seconds * 10**9))

    assert check.level is level
    assert ("behind" if seconds < 0 else "ahead of") in check.found


class _Refusing(http.server.BaseHTTPRequestHandler):
    """Refuses as S3 does whom it takes for coming from another time; its answers have the Date of this machine."""

    def do_GET(self) -> None:
        body = error_body("RequestTimeTooSkewed")
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def test_a_refusal_tells_the_time_too() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = {"key": "a", "secret": "b", "endpoint_url": f"http://127.0.0.1:{server.server_address[1]}"}

        check = timing.clock(
            open_store("s3://bucket/x", storage_options=options), ManualClock(SystemClock().now_ns() - 7200 * 10**9)
        )

        server.shutdown()
    assert (check.level, check.error) == (Level.FAIL, UnavailableError)
    assert "our clock is 7" in check.found
    assert "behind the server's" in check.found


def test_a_refusal_without_a_time_is_the_answer(
    moto_server: S3Server, use_s3: Callable[[S3Server], str], moto_proxy: CuttingProxy
) -> None:
    options = {**moto_server.quick_options, "endpoint_url": moto_proxy.endpoint}
    moto_proxy.fail("status", method="GET", status=403, body=error_body("AccessDenied"), times=10)

    with pytest.raises(AccessDeniedError):
        timing.clock(open_store(use_s3(moto_server), storage_options=options), ManualClock())


def test_the_worst_failure_is_the_one_to_mend_first() -> None:
    stale = Check("a", Level.FAIL, "x")
    partial = Check("b", Level.FAIL, "x", error=PartialError)
    away = Check("c", Level.FAIL, "x", error=AccessDeniedError)
    unfit = Check("d", Level.FAIL, "x", error=NoExclusiveCreateError)
    warned = Check("e", Level.WARN, "x", error=IntegrityError)

    assert worst([stale, partial, away, unfit, warned]) == unfit
    assert worst([stale, partial, away]) == away
    assert worst([stale, partial]) == partial
    assert worst([warned]) is None


@pytest.fixture
def echo() -> Iterator[str]:
    """Give the endpoint of a server that answers every connection with what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                while part := peer.recv(1 << 16):
                    peer.sendall(part)

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_the_proxy_cuts_answers_to_large_requests_only(echo: str) -> None:
    with LibraryProxy(echo) as proxy:
        address = ("127.0.0.1", int(proxy.url.rpartition(":")[2]))
        proxy.arm(100, 1)
        with socket.create_connection(address, 10) as client:
            client.sendall(b"small")
            assert client.recv(100) == b"small"
            client.sendall(b"x" * 100)
            assert client.recv(100) == b""
        with socket.create_connection(address, 10) as client:
            client.sendall(b"y" * 200)
            assert client.recv(200)
        assert proxy.cuts == 1


def test_a_tunnel_leads_nowhere_else(echo: str) -> None:
    with LibraryProxy(echo.replace("http:", "https:")) as proxy:
        address = ("127.0.0.1", int(proxy.url.rpartition(":")[2]))
        port = echo.rpartition(":")[2]
        with socket.create_connection(address, 10) as client:
            client.sendall(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
            client.sendall(b"through")
            assert client.recv(100) == b"through"
        for asked in ("CONNECT elsewhere.example:443", "GET http://127.0.0.1/"):
            with socket.create_connection(address, 10) as client:
                client.sendall(f"{asked} HTTP/1.1\r\n\r\n".encode())
                assert client.recv(100) == b""


def test_a_lost_answer_that_never_was_is_not_claimed(
    monkeypatch: pytest.MonkeyPatch, s3_server: S3Server, use_s3: Callable[[S3Server], str]
) -> None:
    class NeverCuts(LibraryProxy):
        def _cuts(self, pair: object) -> bool:
            del pair
            return False

    monkeypatch.setattr(fencing, "CuttingProxy", NeverCuts)

    report = check_backend(use_s3(s3_server), storage_options=s3_server.quick_options, **QUICK)

    assert level_of(report, "lost answer") is Level.SKIP
