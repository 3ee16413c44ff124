"""What is in deploy/compose, run by podman-compose: the order of its containers, and what is left at the end.

Changed is only what belongs to a place: images, ports, the replica, and the
application, which is a program of a few lines here.
"""

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containers.engine import BASE, Container, Engine, health
from tests.end_to_end.onlooker import Onlooker
from tests.manifests import DEPLOY, documents
from tests.processes import Finished, run_confstream
from tests.servers import S3Server, find_program, free_port, wait_until

_OWNER = 1000
_HEALTHY = 200
_PATIENCE_SECONDS = 120
# It says what it finds, and has a last word.
_APPLICATION = """import pathlib, signal, sys
path = pathlib.Path("{path}")
def end(*_):
    path.write_text("last: words\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("found:", path.read_text() if path.exists() else "nothing", flush=True)
path.write_text("running: 1\\n")
while True:
    signal.pause()
"""


class Project:
    """A directory with a compose file, and its containers."""

    def __init__(self, engine: Engine, program: str, directory: Path, services: "Services") -> None:
        self._engine = engine
        self._program = program
        self._directory = directory
        self._name = f"confstream-test-{secrets.token_hex(4)}"
        (directory / "compose.yaml").write_text(json.dumps({"services": services}))

    def __getitem__(self, service: str) -> Container:
        return Container(self._engine, f"{self._name}_{service}_1")

    def up(self) -> Finished:
        """Start everything, in the order of the file."""
        return self._compose("up", "--detach")

    def down(self) -> None:
        """End and remove everything, in the opposite order."""
        assert self._compose("down").code == 0

    def stop(self) -> None:
        """End everything, in the opposite order."""
        assert self._compose("stop").code == 0

    def _compose(self, *arguments: str) -> Finished:
        done = subprocess.run(
            [self._program, "--project-name", self._name, *arguments],
            cwd=self._directory,
            env=self._engine.environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)


Services = dict[str, dict[str, Any]]
MakeProject = Callable[[str, Callable[[Services], None]], Project]


@pytest.fixture
def make_project(engine: Engine, seaweed: S3Server, replica: str, tmp_path: Path) -> Iterator[MakeProject]:
    """Give a maker of projects out of a file of deploy/compose; they are taken down in the end."""
    program = find_program("podman-compose", "podman-compose")
    made: list[Project] = []
    (tmp_path / "s3.env").write_text("".join(f"{key}={value}\n" for key, value in seaweed.env.items()))
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", _OWNER, _OWNER)

    def make(name: str, change: Callable[[Services], None]) -> Project:
        (document,) = documents(DEPLOY / "compose" / name)
        services: Services = document["services"]
        for service in services.values():
            service["network_mode"] = "host"
            if "environment" in service:
                service["environment"]["CONFSTREAM_REPLICA"] = replica
        change(services)
        made.append(Project(engine, program, tmp_path, services))
        return made[-1]

    yield make
    for project in made:
        project.down()


@pytest.fixture
def onlooker(replica: str) -> Iterator[Onlooker]:
    """Give somebody who looks at the replica."""
    looking = Onlooker(replica)
    yield looking
    looking.close()


def _listening(words: list[str], port: int) -> list[str]:
    """Return *words* of a command line that listens where nobody else does."""
    return [f"127.0.0.1:{port}" if word == ":9099" else word for word in words]


def _three(engine: Engine, port: int) -> Callable[[Services], None]:
    def change(services: Services) -> None:
        for name in ("restore", "confstream"):
            services[name] |= {"image": engine.image, "command": _listening(services[name]["command"], port)}
        program = _APPLICATION.format(path="/app/data/configuration.yaml")
        services["zigbee2mqtt"] |= {"image": BASE, "command": ["python", "-c", program]}

    return change


def _one(engine: Engine, port: int) -> Callable[[Services], None]:
    def change(services: Services) -> None:
        service = services["esphome"]
        words = _listening(service["entrypoint"], port)
        assert words[-1] == "/entrypoint.sh"
        program = _APPLICATION.format(path="/config/esphome.yaml")
        service |= {"image": engine.image, "entrypoint": [*words[:-1], "python", "-c", program], "command": []}
        service |= {"user": str(_OWNER), "volumes": ["./data:/config"]}
        del service["build"]

    return change


def test_three_containers_start_after_the_restore_and_leave_the_last_words_on_the_replica(
    engine: Engine, make_project: MakeProject, onlooker: Onlooker
) -> None:
    port = free_port()
    project = make_project("compose.yaml", _three(engine, port))

    first = project.up()
    project["zigbee2mqtt"].wait_for_line("found: nothing")
    wait_until(lambda: onlooker.versions("configuration.yaml") == [b"running: 1\n"], 60, "the first revision")
    assert health(port)[0] == _HEALTHY
    project.stop()

    assert "first start" in project["restore"].logs, first
    assert [project[name].code for name in ("restore", "confstream")] == [0, 0], project["confstream"].logs
    assert onlooker.versions("configuration.yaml") == [b"running: 1\n", b"last: words\n"]


def test_three_containers_restore_what_was_lost_before_the_application_looks(
    engine: Engine, make_project: MakeProject, replica: str, tmp_path: Path
) -> None:
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "configuration.yaml").write_text("kept: 1\n")
    os.chown(tmp_path / "published" / "configuration.yaml", _OWNER, _OWNER)
    done = run_confstream("replicate", "--once", tmp_path / "published", replica)
    assert done.code == 0, done
    project = make_project("compose.yaml", _three(engine, free_port()))

    project.up()

    assert project["zigbee2mqtt"].wait_for_line("found:") == "found: kept: 1"


def test_one_container_restores_runs_the_application_and_publishes_its_last_words(
    engine: Engine, make_project: MakeProject, onlooker: Onlooker
) -> None:
    project = make_project("one-container.yaml", _one(engine, free_port()))

    project.up()
    project["esphome"].wait_for_line("found: nothing")
    wait_until(lambda: onlooker.versions("esphome.yaml") == [b"running: 1\n"], 60, "the first revision")
    project.stop()

    assert project["esphome"].code == 0, project["esphome"].logs
    assert onlooker.versions("esphome.yaml") == [b"running: 1\n", b"last: words\n"]
