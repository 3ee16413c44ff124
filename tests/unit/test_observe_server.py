"""The HTTP server: what it answers, what it refuses, and that it cannot be held up."""

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from confstream.errors import UsageError
from confstream.journal.vitals import Vitals
from confstream.meter import Meter
from confstream.observe.address import Address, parse
from confstream.observe.listener import CONNECTIONS_MAX, Listener
from confstream.observe.server import HealthServer
from confstream.testing import ManualClock
from tests.servers import wait_until
from tests.vitals import NOW_NS, vitals


class Stream:
    """A stream whose vitals a test sets."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.now = vitals()

    def vitals(self) -> Vitals:
        return self.now


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def server(stream: Stream) -> Iterator[HealthServer]:
    with HealthServer(parse("127.0.0.1:0"), lambda: [stream], Meter()) as running:
        yield running


def _ask(server: HealthServer, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.address.host, server.address.port, timeout=20)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/livez", "/startz", "/readyz", "/livez?verbose"])
def test_a_probe_of_a_stream_that_is_well_is_ok(path: str, server: HealthServer) -> None:
    assert _ask(server, path) == (200, b"ok\n")


def test_health_is_json_and_the_status_code_says_whether_it_fails(server: HealthServer, stream: Stream) -> None:
    codes = {}
    for wanted, now in (
        ("ok", vitals()),
        ("degraded", vitals(validators={"yaml": "broken"})),
        ("failing", vitals(unrecorded="full")),
    ):
        stream.now = now
        code, body = _ask(server, "/healthz")
        assert json.loads(body)["status"] == wanted
        codes[wanted] = code

    assert codes == {"ok": 200, "degraded": 200, "failing": 503}


def test_before_the_first_look_neither_start_nor_readiness_is_reached(server: HealthServer, stream: Stream) -> None:
    stream.now = Vitals("config", NOW_NS, NOW_NS)

    assert _ask(server, "/startz") == (503, b"config: the journal is not open yet\n")
    assert _ask(server, "/readyz")[0] == 503
    assert _ask(server, "/livez")[0] == 200


def test_metrics_are_answered_as_text(server: HealthServer) -> None:
    code, body = _ask(server, "/metrics")

    assert code == 200
    assert b'confstream_up_to_date{stream="config"} 1.0\n' in body


def test_an_unknown_path_is_not_found_and_another_method_not_done(server: HealthServer) -> None:
    assert _ask(server, "/etc/passwd")[0] == 404
    assert _ask(server, "/healthz", "POST")[0] == 501
    assert _ask(server, "/healthz", "DELETE")[0] == 501


def test_head_has_no_body(server: HealthServer) -> None:
    assert _ask(server, "/healthz", "HEAD") == (200, b"")


def test_a_request_that_is_too_long_is_refused(server: HealthServer) -> None:
    assert _ask(server, "/" + "x" * 70_000)[0] == 414


def test_fields_that_are_too_long_are_refused(server: HealthServer) -> None:
    connection = http.client.HTTPConnection(server.address.host, server.address.port, timeout=20)
    connection.request("GET", "/livez", headers={f"X-{number}": "x" * 1000 for number in range(70)})

    assert connection.getresponse().status == 431
    connection.close()


@pytest.mark.parametrize("line", [b"GET", b"GET /livez", b"/livez HTTP/1.0", b"\x00\xff /livez HTTP"])
def test_what_is_no_http_is_refused(server: HealthServer, line: bytes) -> None:
    with socket.create_connection((server.address.host, server.address.port), timeout=20) as client:
        client.sendall(line + b"\r\n\r\n")

        assert client.makefile("rb").readline() == b"HTTP/1.1 400 Bad Request\r\n"


def test_p14_a_client_that_sends_a_byte_now_and_then_has_no_more_time_than_any_other() -> None:
    clock = ManualClock()
    listener = Listener(parse("127.0.0.1:0"), lambda _path: (200, "text/plain", b"ok\n"), clock)
    listener.start()
    with socket.create_connection((listener.address.host, listener.address.port), timeout=20) as client:
        client.sendall(b"GET /livez ")
        wait_until(lambda: listener._free._value < CONNECTIONS_MAX, 20, "the client to be heard")
        client.settimeout(0.2)

        def is_let_go() -> bool:
            # Its time may begin a little after it was accepted.
            clock.advance(10)
            try:
                client.sendall(b"H")
                return client.recv(100) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        wait_until(is_let_go, 4, "the client to be let go, before five seconds of real time are over")
    listener.close()


def test_who_only_probes_does_not_pay_for_scrapes() -> None:
    program = (
        "import sys, socket\n"
        "from confstream.meter import Meter; from confstream.observe.address import parse\n"
        "from confstream.observe.server import HealthServer\n"
        "with HealthServer(parse('127.0.0.1:0'), list, Meter()) as server:\n"
        "    with socket.create_connection((server.address.host, server.address.port)) as client:\n"
        "        client.sendall(b'GET /livez HTTP/1.0\\r\\n\\r\\n')\n"
        "        print(client.recv(12).decode())\n"
        "print(*sorted({'prometheus_client', 'http.server', 'email', 'ssl'} & set(sys.modules)))"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout == "HTTP/1.1 200\n\n"


def test_a_bug_in_an_answer_is_an_error_for_one_request_only(
    server: HealthServer, stream: Stream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(stream, "vitals", lambda: 1 // 0)
        assert _ask(server, "/healthz")[0] == 500

    assert "bug in confstream" in caplog.text
    assert _ask(server, "/healthz")[0] == 200


def test_p14_more_connections_than_are_served_are_closed_and_later_ones_are_served_again(server: HealthServer) -> None:
    silent = [socket.create_connection((server.address.host, server.address.port)) for _ in range(CONNECTIONS_MAX)]

    def refused() -> bool:
        try:
            _ask(server, "/livez")
        except (http.client.HTTPException, OSError):
            return True
        return False

    wait_until(refused, 20, "a connection too many to be closed")
    for one in silent:
        one.close()
    wait_until(lambda: not refused(), 20, "the server to serve again")


def test_a_port_in_use_is_a_usage_error_that_names_it(server: HealthServer) -> None:
    with pytest.raises(UsageError, match=f"cannot listen on {server.address}: Address already in use"):
        HealthServer(server.address, list, Meter())


def test_the_end_of_the_server_frees_its_port_though_a_client_hangs(stream: Stream) -> None:
    with HealthServer(parse("127.0.0.1:0"), lambda: [stream], Meter()) as first:
        hanging = socket.create_connection((first.address.host, first.address.port))

    with HealthServer(first.address, lambda: [stream], Meter()) as second:
        assert _ask(second, "/livez")[0] == 200
    hanging.close()


def test_without_a_host_every_interface_is_listened_on(stream: Stream) -> None:
    with HealthServer(parse(":0"), lambda: [stream], Meter()) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.address.port, timeout=20)
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200
        connection.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":9099", Address("", 9099)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("[::1]:9099", Address("::1", 9099)),
        ("localhost:80", Address("localhost", 80)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, expected: Address) -> None:
    assert parse(text) == expected
    assert parse(str(expected)) == expected


@pytest.mark.parametrize("text", ["", "9099", "host", "host:", "host:x", ":70000", "::1:9099", "[::1:9099", "host:-1"])
def test_an_address_that_cannot_be_meant_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="is no address to listen on"):
        parse(text)


@pytest.mark.parametrize(
    ("listened", "asked"), [(":9099", "127.0.0.1:9099"), ("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1")]
)
def test_who_listens_everywhere_is_asked_on_loopback(listened: str, asked: str) -> None:
    assert str(parse(listened).asked) == asked


@pytest.mark.parametrize("command", [["health", "--listen", "127.0.0.1:1"], ["replicate", "--once", "TREE", "REPLICA"]])
def test_who_neither_listens_nor_pings_pays_for_neither(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    places = {"TREE": str(tmp_path / "tree"), "REPLICA": str(tmp_path / "replica")}
    program = (
        "import sys; from confstream_cli.app import run\n"
        "try: run(sys.argv[1:])\n"
        "except SystemExit: print('loaded:', *sorted("
        "{'fsspec', 's3fs', 'prometheus_client', 'http.server', 'urllib.request'} & set(sys.modules)))"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program, *(places.get(word, word) for word in command)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.splitlines()[-1] == "loaded:"
