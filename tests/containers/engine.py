"""Real containers: podman, the image of this checkout, and pods as Kubernetes would run them.

Everything that is started here is ended here, by its name. What podman lacks
of a kubelet is done in its place: probes are asked from outside, and a pod is
ended in the order that native sidecars are promised.
"""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT, Finished
from tests.programs import CACHE
from tests.servers import wait_until

BASE = "localhost/confstream-base:bookworm"
NOBODY = 65532
UNPRIVILEGED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
_HOW = "tests/containers/prepare.sh gets what is needed"
_BUILT_FROM = ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE")
_BUILT_FROM_FOLDERS = ("confstream", "cli", "requirements", "deploy/image")
_IMAGES_KEPT = 3
_PATIENCE_SECONDS = 60
_BUILD_SECONDS_MAX = 600


@dataclass(frozen=True)
class Container:
    """One container by its name, until ``remove``."""

    engine: "Engine"
    name: str

    @property
    def logs(self) -> str:
        """Return all that it has said."""
        said = self.engine.podman("logs", self.name)
        return said.stdout + said.stderr

    @property
    def is_running(self) -> bool:
        """Return whether it runs."""
        return self._state("Running") == "true"

    @property
    def code(self) -> int:
        """Return the exit code of a container that has ended."""
        return int(self._state("ExitCode"))

    @property
    def was_out_of_memory(self) -> bool:
        """Return whether the kernel killed it for its limit."""
        return self._state("OOMKilled") == "true"

    @property
    def pid(self) -> int:
        """Return the id that its first process has outside."""
        return int(self._state("Pid"))

    def wait_for_line(self, text: str, seconds: float = _PATIENCE_SECONDS) -> str:
        """Return the first line that holds *text*; fail if it does not come."""
        found: list[str] = []

        def has_come() -> bool:
            found[:] = [line for line in self.logs.splitlines() if text in line]
            return bool(found) or not self.is_running

        wait_until(has_come, seconds, f"{text!r} of {self.name}: {self.logs}")
        assert found, f"{self.name} ended without saying {text!r}: {self.logs}"
        return found[0]

    def signal(self, name: str) -> None:
        """Send a signal to its first process."""
        self.engine.podman("kill", "--signal", name, self.name, check=True)

    def execute(self, *command: str) -> Finished:
        """Run a command in it, as an exec probe does."""
        return self.engine.podman("exec", self.name, *command)

    def stop(self, grace_seconds: int = 30) -> int:
        """Ask it to end, kill it after the grace period, and return its exit code."""
        self.engine.podman("stop", "--time", str(grace_seconds), self.name, check=True, seconds=grace_seconds + 60)
        return self.code

    def wait(self, seconds: float = _PATIENCE_SECONDS) -> int:
        """Wait for its end, and return its exit code."""
        wait_until(lambda: not self.is_running, seconds, f"the end of {self.name}: {self.logs}")
        return self.code

    def remove(self) -> None:
        """Remove it, running or not."""
        self.engine.podman("rm", "--force", "--time", "0", self.name)

    def _state(self, name: str) -> str:
        asked: list[Finished] = []

        def is_told() -> bool:
            # podman reads /proc, and does not allow for a process that ends meanwhile.
            asked[:] = [self.engine.podman("inspect", "--format", f"{{{{.State.{name}}}}}", self.name)]
            return asked[0].code == 0 or "no such process" not in asked[0].stderr

        wait_until(is_told, _PATIENCE_SECONDS, f"the state of {self.name}")
        assert asked[0].code == 0, f"podman inspect {self.name}: {asked[0]}"
        return asked[0].stdout.strip()


class Pod:
    """A pod made from a manifest: its init containers have ended, well or not."""

    def __init__(self, engine: "Engine", name: str, specification: Mapping[str, Any], played: Finished) -> None:
        self.engine = engine
        self.name = name
        self.grace_seconds = int(specification.get("terminationGracePeriodSeconds", 30))
        self.played = played
        self.containers = {
            one["name"]: Container(engine, f"{name}-{one['name']}")
            for one in [*specification.get("initContainers", []), *specification["containers"]]
        }

    def __getitem__(self, name: str) -> Container:
        return self.containers[name]

    @property
    def has_started(self) -> bool:
        """Return whether every init container succeeded."""
        return self.played.code == 0

    def end(self, *first: str) -> dict[str, int]:
        """End the containers called *first*, then the rest, within the grace period; return the exit codes.

        That is the order in which a kubelet ends a pod with native sidecars.
        """
        running = [name for name, container in self.containers.items() if container.is_running]
        order = [*first, *(name for name in running if name not in first)]
        return {name: self.containers[name].stop(self.grace_seconds) for name in order}

    def remove(self) -> None:
        """Remove it, as if its node had gone."""
        self.engine.podman("pod", "rm", "--force", "--time", "0", self.name)


class Engine:
    """podman with the image of this checkout."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._made: list[str] = []
        self._pods: list[str] = []
        self.environment = {**os.environ, "CONTAINERS_CONF": str(CACHE / "containers.conf")}
        self.image = ""
        self.build_log = ""

    def podman(
        self, *arguments: str, check: bool = False, seconds: float = _PATIENCE_SECONDS, text: str | None = None
    ) -> Finished:
        """Run podman to its end."""
        done = self._run(["podman", *arguments], seconds, text)
        assert not check or done.code == 0, f"podman {' '.join(arguments)}: {done}"
        return done

    def build(self) -> None:
        """Build the image, unless there is one of exactly these files."""
        self.image = f"localhost/confstream:{_digest()}"
        with (CACHE / "lock").open("w") as lock:
            # Two workers build it once.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.podman("image", "exists", self.image).code:
                self.build_log = str(self.build_as(self.image))
                self._forget_old_images()

    def build_as(self, image: str, *options: str) -> Finished:
        """Build the Dockerfile under a name, with more options; fail if that fails."""
        done = self._run(
            [
                "buildah", "bud", "--format", "docker", "--isolation", "chroot", "--ulimit", "nofile=1024:1024",
                "--layers", "--build-arg", f"BASE_IMAGE={BASE}", "--tag", image, *options, str(ROOT),
            ],
            _BUILD_SECONDS_MAX,
        )  # fmt: skip
        assert done.code == 0, done
        return done

    def run(self, *arguments: str, image: str = "", seconds: float = _PATIENCE_SECONDS, **settings: Any) -> Finished:
        """Run a container to its end, with the least rights unless told otherwise."""
        container = self.start(*arguments, image=image, **settings)
        code = container.wait(seconds)
        done = self.podman("logs", container.name)
        container.remove()
        return Finished(code, done.stdout, done.stderr)

    def start(
        self,
        *arguments: str,
        image: str = "",
        volumes: Mapping[Path, str] | None = None,
        variables: Mapping[str, str] | None = None,
        user: int | None = None,
        options: Sequence[str] = (),
        rights: Sequence[str] = UNPRIVILEGED,
        network: str = "host",
    ) -> Container:
        """Start a container, with the least rights unless told otherwise."""
        name = f"confstream-test-{secrets.token_hex(4)}"
        self._made.append(name)
        command = ["run", "--detach", "--name", name, *rights, *options]
        command += [f"--network={network}"] if network else []
        command += [f"--volume={source}:{target}" for source, target in (volumes or {}).items()]
        command += [f"--env={key}={value}" for key, value in (variables or {}).items()]
        command += [] if user is None else [f"--user={user}:{user}"]
        self.podman(*command, image or self.image, *arguments, check=True)
        return Container(self, name)

    def play(self, specification: Mapping[str, Any]) -> Pod:
        """Run a pod: its init containers one after the other, and if they succeed its containers."""
        name = f"confstream-test-{secrets.token_hex(4)}"
        self._pods.append(name)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            # Without, podman removes an init container with all that it said.
            "metadata": {"name": name, "annotations": {"io.podman.annotations.init.container.type": "always"}},
            "spec": {"restartPolicy": "Never", "hostNetwork": True, **specification},
        }
        played = self.podman("play", "kube", "-", text=json.dumps(pod))
        return Pod(self, name, specification, played)

    def make_pod(self) -> str:
        """Make an empty pod whose containers share a loopback and nothing else, and return its name."""
        name = f"confstream-test-{secrets.token_hex(4)}"
        self._pods.append(name)
        self.podman("pod", "create", "--name", name, "--network", "none", check=True)
        return name

    def clean_up(self) -> None:
        """Remove what was made."""
        for name in self._made:
            self.podman("rm", "--force", "--time", "0", "--ignore", name)
        for name in self._pods:
            self.podman("pod", "rm", "--force", "--time", "0", "--ignore", name)
        self._made, self._pods = [], []

    def labels(self, image: str) -> dict[str, str]:
        """Return the labels of an image."""
        found = json.loads(self.podman("image", "inspect", image, check=True).stdout)[0]["Labels"]
        return {str(name): str(value) for name, value in found.items()}

    def layers(self) -> list[tuple[int, str]]:
        """Return the layers of the image, newest first: bytes, and what made them."""
        history = json.loads(self.podman("history", "--format", "json", "--human=false", self.image, check=True).stdout)
        return [(int(one["size"]), str(one["CreatedBy"])) for one in history]

    def _forget_old_images(self) -> None:
        """Remove the images of older checkouts, except for a few that somebody may work with."""
        listing = ("images", "--filter", "reference=localhost/confstream", "--sort", "created", "--format")
        names = self.podman(*listing, "{{.Repository}}:{{.Tag}}", check=True).stdout.split()
        for name in names[_IMAGES_KEPT:]:
            # One that is in use stays.
            self.podman("rmi", name)
        self.podman("image", "prune", "--force", "--filter", "until=24h")

    def _run(self, command: Sequence[str], seconds: float, text: str | None = None) -> Finished:
        # The runtime leaves notes where it was started.
        done = subprocess.run(
            command,
            cwd=self._scratch,
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)


@contextmanager
def find_engine(scratch: Path) -> Iterator[Engine]:
    """Give podman with the image of this checkout; skip with the reason where there is none."""
    if os.geteuid() != 0:
        pytest.skip("containers need root here")
    for program in ("podman", "buildah", "runc"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: {_HOW}")
    if not (CACHE / "containers.conf").exists():
        pytest.skip(f"no settings for podman in {CACHE}: {_HOW}")
    engine = Engine(scratch)
    if engine.podman("image", "exists", BASE).code:
        pytest.skip(f"no image {BASE}: {_HOW}")
    tried = engine.podman("run", "--rm", "--network=none", BASE, "true")
    if tried.code:
        pytest.skip(f"podman cannot run a container here: {tried.stderr}")
    engine.build()
    try:
        yield engine
    finally:
        engine.clean_up()


def health(port: int, path: str = "/healthz") -> tuple[int, Any]:
    """Return what a sidecar that listens on *port* answers, 0 while nobody does."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, _parsed(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _parsed(error.read())
    except OSError:
        return 0, {}


def _parsed(body: bytes) -> Any:
    return json.loads(body) if body.startswith(b"{") else body.decode()


def _digest() -> str:
    digest = hashlib.sha256()
    paths = [ROOT / name for name in _BUILT_FROM]
    for folder in _BUILT_FROM_FOLDERS:
        paths += [path for path in sorted((ROOT / folder).rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    for path in paths:
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
