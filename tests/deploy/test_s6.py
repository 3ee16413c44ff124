"""The services for s6-overlay, run by the supervisor that is in it.

s6-rc, which brings services up in their order, is no package of Debian; what
it does with these two is done in its place: ``up`` is a line of execline, and
a longrun is a directory that s6-supervise runs and brings down.
"""

import os
import re
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import confstream
from tests.manifests import DEPLOY
from tests.processes import ROOT, Finished, Process, run_confstream
from tests.programs import PACKAGES, find_packaged
from tests.servers import free_port

_SERVICES = DEPLOY / "s6-overlay" / "s6-rc.d"
_TOP = {"confstream", "confstream-restore"}
_UNREACHABLE = 16


def test_the_services_of_s6_are_complete_and_in_order() -> None:
    assert (_SERVICES / "confstream-restore" / "type").read_text() == "oneshot\n"
    assert (_SERVICES / "confstream" / "type").read_text() == "longrun\n"
    assert (_SERVICES / "confstream" / "dependencies.d" / "confstream-restore").exists()
    assert (_SERVICES / "confstream" / "run").stat().st_mode & 0o111
    assert {path.name for path in (_SERVICES / "user" / "contents.d").iterdir()} == _TOP
    # It is killed later than it gives up by itself.
    assert int((_SERVICES / "confstream" / "timeout-kill").read_text()) > _shutdown_seconds() * 1000


def test_the_page_sets_what_an_image_with_s6_overlay_must_not_leave_as_it_is() -> None:
    page = (DEPLOY / "s6-overlay" / "README.md").read_text(encoding="utf-8")

    set_there = dict(re.findall(r"\b(S6_[A-Z0-9_]+)=(\d+)", page))
    # A restore may take longer than five seconds; and if it fails, nothing may start on nothing.
    assert set_there == {"S6_CMD_WAIT_FOR_SERVICES_MAXTIME": "0", "S6_BEHAVIOUR_IF_STAGE2_FAILS": "2"}


def _shutdown_seconds() -> float:
    return confstream.ReplicateOptions().shutdown_seconds


@dataclass(frozen=True)
class Overlay:
    """A container with s6-overlay, in a directory: /command, /config, the services, and what they inherit."""

    root: Path

    @property
    def config(self) -> Path:
        """Return what is protected."""
        return self.root / "config"

    @property
    def service(self) -> Path:
        """Return the longrun while it is supervised."""
        return self.root / "service" / "confstream"

    def run(self, *command: str | Path) -> Finished:
        """Run a program of s6 or execline to its end."""
        with Process(command) as process:
            return process.finish()

    def bring_up_restore(self) -> Finished:
        """Do what s6-rc does with a oneshot."""
        return self.run("execlineb", "-P", self.root / "s6-rc.d" / "confstream-restore" / "up")

    def supervise(self) -> Process:
        """Do what s6-rc does with a longrun."""
        shutil.copytree(self.root / "s6-rc.d" / "confstream", self.service)
        return Process(["s6-supervise", self.service])

    def state(self) -> str:
        """Return what the supervisor says of the service."""
        return self.run("s6-svstat", self.service).stdout

    def set(self, name: str, value: str) -> None:
        """Set a variable of the container, as s6-overlay hands it on."""
        (self.root / "container_environment" / name).write_text(value)


@pytest.fixture
def overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Overlay:
    """Give a container with s6-overlay, whose services are those of deploy/ but for where things are."""
    execlineb = find_packaged("execlineb", "execline")
    found = [str(Path(program).parent) for program in (execlineb, find_packaged("s6-supervise", "s6"))]
    command = tmp_path / "command"
    monkeypatch.setenv("PATH", os.pathsep.join([str(command), *found, os.environ["PATH"]]))
    monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep.join(map(str, PACKAGES.glob("usr/lib/*-linux-gnu"))))
    for name in ("config", "command", "container_environment"):
        (tmp_path / name).mkdir()
    (command / "execlineb").symlink_to(execlineb)
    _write_program(command / "with-contenv", f'exec s6-envdir -Lf -- {tmp_path}/container_environment "$@"')
    _write_program(
        command / "confstream",
        f'PYTHONPATH={ROOT}:{ROOT}/cli exec "{sys.executable}" -m confstream_cli "$@"',
    )
    shutil.copytree(_SERVICES, tmp_path / "s6-rc.d")
    where = {"/command/": f"{command}/", " /config": f" {tmp_path}/config", ":9099": f"127.0.0.1:{free_port()}"}
    for path in (tmp_path / "s6-rc.d").rglob("*"):
        if path.name in {"up", "run"}:
            text = path.read_text(encoding="utf-8")
            for old, new in where.items():
                text = text.replace(old, new)
            path.write_text(text, encoding="utf-8")
    return Overlay(tmp_path)


def _write_program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)


def test_the_services_restore_then_protect_and_end_with_the_last_bytes(overlay: Overlay, tmp_path: Path) -> None:
    replica = tmp_path / "replica"
    overlay.set("CONFSTREAM_REPLICA", str(replica))
    (overlay.config / "config.yml").write_text("a: 1\n")
    assert run_confstream("replicate", "--once", overlay.config, replica).code == 0
    shutil.rmtree(overlay.config)
    overlay.config.mkdir()

    restored = overlay.bring_up_restore()
    with overlay.supervise() as supervisor:
        supervisor.wait_for_line("watching", on="stdout")
        (overlay.config / "config.yml").write_text("last: words\n")
        overlay.run("s6-svc", "-d", overlay.service)
        supervisor.wait_until(lambda: overlay.state().startswith("down"), "the end of the service")
        down = overlay.state()
        supervisor.signal(signal.SIGTERM)
        ended = supervisor.finish()

    assert restored.code == 0, restored
    assert "restored revision 1" in restored.stdout + restored.stderr
    assert down.startswith("down (exitcode 0)"), (down, ended)
    assert ended.code == 0, ended
    assert run_confstream("cat", replica, "config.yml").stdout == "last: words\n"


def test_a_restore_that_fails_is_a_oneshot_that_fails(overlay: Overlay) -> None:
    overlay.set("CONFSTREAM_REPLICA", "s3://bucket/app")
    overlay.set("CONFSTREAM_TIMEOUT", "1s")
    overlay.set("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    overlay.set("AWS_ACCESS_KEY_ID", "somebody")
    overlay.set("AWS_SECRET_ACCESS_KEY", "anything")

    failed = overlay.bring_up_restore()

    assert failed.code == _UNREACHABLE, failed
    assert list(overlay.config.iterdir()) == []


def test_a_service_that_dies_is_started_again(overlay: Overlay, tmp_path: Path) -> None:
    replica = tmp_path / "replica"
    overlay.set("CONFSTREAM_REPLICA", str(replica))
    (overlay.config / "config.yml").write_text("a: 1\n")

    with overlay.supervise() as supervisor:
        supervisor.wait_for_line("watching", on="stdout")
        overlay.run("s6-svc", "-k", overlay.service)
        supervisor.wait_until(lambda: supervisor.so_far.stdout.count("watching") > 1, "a second start")
        supervisor.signal(signal.SIGTERM)
        ended = supervisor.finish()

    assert ended.code == 0, ended
    assert run_confstream("cat", replica, "config.yml").stdout == "a: 1\n"
