"""What tests of commands share: a shell in this process, a replica to look at, and a terminal."""

import json
import os
import pty
import secrets
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from confstream import Authorship, Status, SystemClock, Verdict
from confstream.layout import Fork
from confstream.log.intent import Intent
from confstream.store.local import LocalStore
from confstream_cli.app import run
from tests.processes import CONFSTREAM, ROOT
from tests.restoring import Replica, tree_of

CANARY = "canary-7261"
FIRST = f"mqtt:\n  host: broker\n  password: {CANARY}-a\n".encode()
SECOND = f"mqtt:\n  host: other\n  password: {CANARY}-b\n".encode()
REST: dict[str, Any] = {"www": None, "www/index.html": b"<p>hello</p>\n", "link": "www/index.html"}


class Shell:
    """Runs commands in this process, and sees what the shell sees."""

    def __init__(self, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        self._capture = capfdbinary
        self.code = 0
        self.out = ""
        self.err = ""
        self.raw = b""

    def __call__(self, *arguments: str | Path) -> str:
        with pytest.raises(SystemExit) as ended:
            run([str(argument) for argument in arguments])
        assert isinstance(ended.value.code, int)
        self.code = ended.value.code
        self.raw, err = self._capture.readouterr()
        self.out, self.err = self.raw.decode("utf-8", "surrogateescape"), err.decode()
        return self.out

    def json(self, *arguments: str | Path) -> Any:
        return json.loads(self(*arguments, "--json"))


def make_replica(place: Path) -> str:
    """Make a replica to be read only, and return its URL.

    Three revisions, the last suspicious; a fork, a tag, a heartbeat.
    """
    made = Replica(LocalStore(place))
    made.publish({"config.yml": FIRST, **REST}, modes={"config.yml": 0o600})
    tree, found = tree_of({"config.yml": SECOND, **REST}, {"config.yml": 0o600})
    known = {**made._contents, **found}
    why = Authorship("api", "alice", f"moved the broker, token: {CANARY}", {"ticket": "7", "token": CANARY})
    intent = Intent(secrets.token_bytes(16), SystemClock().now_ns(), tree, why)
    made.publisher.publish(intent, known.__getitem__, known.get)
    made.publisher.reader.refresh()
    made.publisher.tag("before-upgrade", made.publisher.reader.revision(1))
    doubt = Verdict(Status.SUSPICIOUS, ("config.yml became blank",))
    made.publish({"config.yml": b"", **REST}, doubt, modes={"config.yml": 0o600})
    made.publisher.beat(300.0, 0.0, "0.1")
    lost, more = tree_of({"config.yml": b"mine\n", **REST})
    intents = [Intent(secrets.token_bytes(16), SystemClock().now_ns(), lost, Authorship("replicate"))]
    every = {**known, **more}
    made.publisher.publish_fork(
        Fork("w1", made.publisher.epoch), made.publisher.head, intents, every.__getitem__, every.get
    )
    return str(place)


class ShiftedClock:
    """The system's clock, as a machine has it that is off by some seconds."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def elapsed_seconds(self) -> float:
        return SystemClock().elapsed_seconds()

    def boot(self) -> str:
        return SystemClock().boot()

    def wait(self, event: threading.Event, timeout_seconds: float) -> bool:
        return SystemClock().wait(event, timeout_seconds)

    def now_ns(self) -> int:
        return SystemClock().now_ns() + self._seconds * 10**9


def on_terminal(arguments: list[str], columns: int, **environment: str) -> str:
    """Return what a command prints on a terminal that is *columns* wide."""
    leading, following = pty.openpty()
    command = subprocess.Popen(
        [*CONFSTREAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=following,
        stderr=following,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}",
            "COLUMNS": str(columns),
            "TERM": "xterm",
            **environment,
        },
    )
    os.close(following)
    shown = b""
    try:
        while block := os.read(leading, 65536):
            shown += block
    except OSError:
        # What Linux says at the end of a terminal.
        pass
    finally:
        os.close(leading)
    assert command.wait(60) == 0, shown
    return shown.decode().replace("\r\n", "\n")
