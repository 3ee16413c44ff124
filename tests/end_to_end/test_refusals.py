"""What waiting does not mend is told at once by every command, on one line with the cause and the remedy (P7)."""

import os
import signal
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.disks import fill
from tests.end_to_end.conftest import Replicas
from tests.endpoints import LISTEN, Endpoints
from tests.processes import confstream, run_confstream
from tests.proxy import CuttingProxy, error_body
from tests.servers import ACCESS_KEY, SECRET_KEY, S3Server, free_port, run_seaweed, stop

_OPTIONS = ("--profile", "none", "--settle", "0.2s", "--heartbeat", "0")
_DENIED = 16
_CANARY = "canary-4417"


@dataclass(frozen=True)
class Refusal:
    """A way in which storage is out of reach for good: what the environment is like, and what has to be said of it."""

    environment: dict[str, str | None]
    words: tuple[str, ...]
    bucket: str | None = None


_REFUSALS = {
    "wrong_secret": Refusal(
        {"AWS_SECRET_ACCESS_KEY": _CANARY}, ("SignatureDoesNotMatch", "correct AWS_SECRET_ACCESS_KEY")
    ),
    "unknown_key": Refusal({"AWS_ACCESS_KEY_ID": "nobody"}, ("InvalidAccessKeyId", "correct AWS_ACCESS_KEY_ID")),
    "no_credentials": Refusal(
        {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, ("no credentials were found", "AWS_PROFILE")
    ),
    "no_bucket": Refusal({}, ("no such bucket: 'no-such-bucket'", "create it, or correct the URL"), "no-such-bucket"),
    "line_break_in_the_secret": Refusal(
        {"AWS_SECRET_ACCESS_KEY": f"{SECRET_KEY}\n"}, ("AWS_SECRET_ACCESS_KEY begins or ends with", "printf %s")
    ),
    "line_break_in_the_key": Refusal(
        {"AWS_ACCESS_KEY_ID": f"{ACCESS_KEY}\n"}, ("AWS_ACCESS_KEY_ID begins or ends with", "printf %s")
    ),
    "line_break_in_the_region": Refusal(
        {"AWS_DEFAULT_REGION": "us-east-1\n"}, ("AWS_DEFAULT_REGION begins or ends with", "printf %s")
    ),
    "no_such_host": Refusal(
        {"AWS_ENDPOINT_URL": "http://no-such-host.invalid:9000"},
        ("cannot reach http://no-such-host.invalid:9000", "DNS"),
    ),
    "nobody_listens": Refusal({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}, ("nothing listens there",)),
}


@pytest.fixture
def replica(seaweed: S3Server, use_s3: Callable[[S3Server], str]) -> str:
    """Give the URL of a replica on a server that checks secrets, found through the environment."""
    return use_s3(seaweed)


def _refused_everywhere(
    tree: Path, replica: str, words: tuple[str, ...], code: int = _DENIED, options: tuple[str, ...] = ()
) -> None:
    """Run each command that asks a replica, and look how it ends."""
    (tree / "config.yml").write_text("a: 1\n")
    missing = tree.parent / "missing"
    commands: tuple[tuple[str | Path, ...], ...] = (
        ("replicate", tree, replica, "--once", "--timeout", "8s", *_OPTIONS, *options),
        ("status", replica, "--timeout", "8s"),
        ("restore", replica, missing, "--if-missing", "--timeout", "8s"),
    )
    for command in commands:
        ended = run_confstream(*command)
        assert ended.code == code, ended
        told = [line for line in ended.stderr.splitlines() if line.startswith("confstream: ")]
        assert told, ended
        for word in words:
            assert word in told[-1], ended
        assert _CANARY not in ended.stderr
        assert "Traceback" not in ended.stderr
    assert not missing.exists() or not list(missing.iterdir()), "a pod must not start empty"


@pytest.mark.parametrize("name", _REFUSALS)
def test_p7_storage_that_refuses_is_exit_16_with_the_cause_and_the_remedy(
    name: str, replica: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = _REFUSALS[name]
    for variable, value in refusal.environment.items():
        if value is None:
            monkeypatch.delenv(variable)
        else:
            monkeypatch.setenv(variable, value)
    url = replica if refusal.bucket is None else f"s3://{refusal.bucket}/replica"

    _refused_everywhere(tree, url, refusal.words)


_ANSWERS = {
    "AccessDenied": (403, "", ("AccessDenied", "allow s3:GetObject, s3:PutObject")),
    "ExpiredToken": (400, "", ("ExpiredToken", "renew them")),
    "RequestTimeTooSkewed": (
        403,
        "<RequestTime>20260227T110500Z</RequestTime><ServerTime>2026-02-27T10:00:00Z</ServerTime>",
        ("the clock of this machine is 1 h 5 min ahead of the server's", "set the clock"),
    ),
}


@pytest.mark.parametrize("code", _ANSWERS)
def test_p7_an_answer_that_refuses_is_exit_16_with_the_remedy(
    code: str, seaweed: S3Server, replica: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, extra, words = _ANSWERS[code]
    with CuttingProxy("127.0.0.1", seaweed.port) as proxy:
        proxy.fail("status", method="*", times=1000, status=status, body=error_body(code, extra))
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)

        _refused_everywhere(tree, replica, words)


def test_p7_a_server_that_knows_no_exclusive_create_is_exit_13(
    seaweed: S3Server, replica: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "config.yml").write_text("a: 1\n")
    with CuttingProxy("127.0.0.1", seaweed.port) as proxy:
        proxy.fail("status", method="PUT", times=1000, status=501, body=error_body("NotImplemented"))
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)

        ended = run_confstream("replicate", tree, replica, "--once", *_OPTIONS)

    assert ended.code == 13, ended
    assert "it does not know If-None-Match" in ended.stderr
    assert "--unsafe-single-writer" in ended.stderr


class _WebServer(BaseHTTPRequestHandler):
    """Answers everything with "200 OK" and a page, as a portal or the wrong ingress does."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        page = b"<!DOCTYPE html><html><body>It works!</body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815 - names of http.server.

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def web_server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _WebServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_p7_a_web_server_in_the_place_of_s3_is_told_and_believed_nothing(
    web_server: ThreadingHTTPServer, replica: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{web_server.server_port}")

    _refused_everywhere(tree, replica, ("does not answer as S3 does", "correct AWS_ENDPOINT_URL"))


def test_p4_a_web_server_that_says_ok_to_a_put_in_between_loses_no_revision(
    web_server: ThreadingHTTPServer, seaweed: S3Server, replica: str, replicas: Replicas, tree: Path
) -> None:
    onlooker = replicas.look_at(replica)
    with CuttingProxy("127.0.0.1", seaweed.port) as proxy:
        through = {"AWS_ENDPOINT_URL": proxy.endpoint}
        (tree / "config.yml").write_text("a: 1\n")
        with confstream("replicate", tree, replica, *_OPTIONS, environment=through) as writer:
            onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
            page = b"<!DOCTYPE html><html><body>Sign in to the network</body></html>"
            proxy.fail("status", method="*", times=1000, status=200, body=page)
            (tree / "config.yml").write_text("a: 2\n")
            writer.wait_for_line("does not answer as S3 does")
            proxy.reset()
            onlooker.wait_for_file("config.yml", b"a: 2\n", writer)
            assert writer.stop().code == 0
    assert web_server.server_port


def test_p7_a_certificate_that_is_not_trusted_names_the_variable(
    tmp_path: Path, replica: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, *subject],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), _WebServer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{server.server_port}")
            _refused_everywhere(tree, replica, ("its certificate is not trusted", "AWS_CA_BUNDLE"))
            monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "no-such-file.pem"))
            _refused_everywhere(tree, replica, ("AWS_CA_BUNDLE names a file that cannot be read",))
            monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
            _refused_everywhere(tree, replica, ("does not answer as S3 does",))
        finally:
            server.shutdown()
            thread.join()


def test_p7_a_local_replica_on_a_read_only_file_system_is_exit_16(small_disk: Path, tree: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    (tree / "config.yml").write_text("a: 1\n")

    ended = run_confstream("replicate", tree, small_disk / "replica", "--once", *_OPTIONS)

    assert ended.code == _DENIED, ended
    assert "the file system is read-only: mount it writable" in ended.stderr.splitlines()[-1]


def test_p7_a_full_disk_under_a_local_replica_is_told_and_outlived(
    small_disk: Path, replicas: Replicas, tree: Path
) -> None:
    replica, filler = str(small_disk / "replica"), small_disk / "filler"
    onlooker = replicas.look_at(replica)
    (tree / "config.yml").write_text("a: 1\n")
    with confstream("replicate", tree, replica, *_OPTIONS, *LISTEN) as writer:
        seen = Endpoints(writer)
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        fill(filler)
        large = os.urandom(40_000).hex().encode()
        (tree / "config.yml").write_bytes(large)
        writer.wait_for_line("the disk is full: free some space")
        writer.wait_until(lambda: seen.health["code"] == 503, "health to be red")
        assert run_confstream("replicate", tree, replica, "--once", *_OPTIONS).code != 0
        filler.unlink()
        onlooker.wait_for_file("config.yml", large, writer)
        writer.wait_until(lambda: seen.status == "ok", "health to be ok again")
        writer.wait_for_line("recovered")
        ended = writer.stop()

    assert ended.code == 0, ended
    assert ended.stderr.count("the disk is full") == 1, ended


def test_p7_a_running_writer_with_a_wrong_secret_says_so_once_is_red_and_stays(replica: str, tree: Path) -> None:
    (tree / "config.yml").write_text("a: 1\n")
    wrong = {"AWS_SECRET_ACCESS_KEY": _CANARY}

    with confstream("replicate", tree, replica, *_OPTIONS, *LISTEN, environment=wrong) as writer:
        seen = Endpoints(writer)
        said = writer.wait_for_line("SignatureDoesNotMatch", seconds=10)
        writer.wait_until(lambda: "replica-denied" in seen.reasons(), "health to be red", seconds=10)
        for number in range(5):
            (tree / "config.yml").write_text(f"b: {number}\n")
            writer.wait_until(lambda number=number: seen.metric("pending_changes") == number + 2, "the edit")
        ended = writer.stop()

    assert " ERROR " in said
    assert ended.stderr.count("does not take revisions") == 1, ended
    assert ended.code == 128 + signal.SIGTERM, ended
    assert "are not on the replica" in ended.stderr.splitlines()[-1]
    assert _CANARY not in ended.stderr


def test_p7_patience_that_was_bounded_ends_with_the_code_of_the_last_error(tree: Path, replica: str) -> None:
    (tree / "config.yml").write_text("a: 1\n")
    nowhere = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}", "CONFSTREAM_FAIL_AFTER": "3s"}

    ended = run_confstream("replicate", tree, replica, *_OPTIONS, environment=nowhere)

    assert ended.code == _DENIED, ended
    assert "took nothing for 3 s (--fail-after)" in ended.stderr.splitlines()[-1]
    assert "1 revision(s) are not on the replica, they are safe in the journal" in ended.stderr.splitlines()[-1]


def test_p7_bounded_patience_is_not_spent_while_nothing_is_due_or_the_replica_answers(
    tree: Path, replica: str, replicas: Replicas
) -> None:
    onlooker = replicas.look_at(replica)
    (tree / "config.yml").write_text("a: 1\n")
    with confstream("replicate", tree, replica, "--fail-after", "1s", *_OPTIONS) as writer:
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        for number in range(2, 6):
            content = f"a: {number}\n".encode()
            (tree / "config.yml").write_bytes(content)
            onlooker.wait_for_file("config.yml", content, writer)
        assert writer.stop().code == 0


def test_credentials_that_are_rotated_while_it_runs_are_read_again(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, shared = tmp_path / "weed", tmp_path / "credentials"
    directory.mkdir()
    with run_seaweed(directory) as server:
        replica = server.make_replica()
        for name, value in server.env.items():
            if "KEY" not in name:
                monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
        _write_credentials(shared, ACCESS_KEY, SECRET_KEY)
        (tree / "config.yml").write_text("a: 1\n")
        with confstream("replicate", tree, replica, *_OPTIONS, *LISTEN) as writer:
            seen = Endpoints(writer)
            writer.wait_for_line("revision 1")
            # The server comes back with another key, and does not know the old one any more.
            arguments = server.process.args
            assert isinstance(arguments, list)
            stop(server.process)
            rotated = {**os.environ, "AWS_ACCESS_KEY_ID": "rotated", "AWS_SECRET_ACCESS_KEY": "rotated-secret"}
            with (directory / "log").open("ab") as log:
                revived = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=directory, env=rotated)
            try:
                (tree / "config.yml").write_text("a: 2\n")
                writer.wait_for_line("InvalidAccessKeyId")
                writer.wait_until(lambda: "replica-denied" in seen.reasons(), "health to be red")
                _write_credentials(shared, "rotated", "rotated-secret")
                writer.wait_for_line("revision 2")
                writer.wait_until(lambda: seen.status == "ok", "health to be ok again")
                writer.wait_for_line("recovered")
                ended = writer.stop()
            finally:
                stop(revived)

    assert ended.code == 0, ended
    assert "rotated-secret" not in ended.stderr


def _write_credentials(path: Path, key: str, secret: str) -> None:
    path.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
