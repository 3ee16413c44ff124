"""What every test starts from: a scrubbed environment, and servers or a small disk for those that ask."""

import compileall
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from confstream.store.memory import MemoryStore
from tests.proxy import CuttingProxy
from tests.servers import S3Server, run_moto, run_rclone, run_seaweed

settings.register_profile(
    "ci", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
# For whoever runs the tests once more, on other versions of what they are made of.
settings.register_profile("brief", settings.get_profile("ci"), max_examples=10)
settings.register_profile("nightly", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

_COMPLETE = (
    "explore the protocol's longer histories, replay every git history completely, and do in full number what is done "
    "in part without: some tests take longer than a hang then, so add -o faulthandler_timeout=0"
)
_TORTURE = Path(__file__).with_name("torture")
_MEASURING = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
_measuring: dict[str, str] = {}
_SCRUBBED = ("AWS_", "CONFSTREAM_", "FSSPEC_", "S3FS_")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--complete", action="store_true", help=_COMPLETE)


def pytest_configure(config: pytest.Config) -> None:
    """Measure coverage where tests run, not in the processes that they start.

    Tracing them takes half of all the time, and what they execute is executed
    in the tests' own processes as well. A test of what only a process does is
    marked ``measured_processes``.
    """
    # A shell lets what it runs in the background ignore it, and a child would go on ignoring it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Every process that a test starts would compile all that it imports again: a second or two each. And those that
    # another user runs, or that are killed within the first second, leave the next ones nothing.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if not hasattr(config, "workerinput"):
        for package in ("confstream", "cli/confstream_cli"):
            compileall.compile_dir(config.rootpath / package, quiet=2)
    config.addinivalue_line("markers", "measured_processes: the processes that this test starts count for coverage")
    config.addinivalue_line("markers", "exhaustive: long, of confstream's own code, and the same whatever it is run on")
    # The controller hands the variables to its workers, which have begun to measure when they come here.
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", default=None):
        for name in _MEASURING:
            if name in os.environ:
                _measuring[name] = os.environ.pop(name)


@pytest.fixture(autouse=True)
def scrubbed_environment(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Let no credential, proxy or setting of this machine reach a test, and no test reach the next."""
    if request.node.get_closest_marker("measured_processes") is not None:
        for name, value in _measuring.items():
            monkeypatch.setenv(name, value)
    for name in [*os.environ]:
        if name.startswith(_SCRUBBED) or name in _PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    yield
    MemoryStore.forget_all()


@pytest.fixture(autouse=True)
def unmeasured(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave coverage out of what would take as long again: other tests execute the same."""
    long = request.node.get_closest_marker("exhaustive") is not None or request.path.is_relative_to(_TORTURE)
    measuring = _coverage() if long else None
    if measuring is not None:
        measuring.stop()
    yield
    if measuring is not None:
        measuring.start()


def _coverage() -> Any:
    """Return what measures this process, None if nothing does."""
    try:
        from coverage import Coverage  # noqa: PLC0415 - not every environment has it.
    except ImportError:
        return None
    return Coverage.current()


@pytest.fixture
def amount(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """Give a function that returns how many: the first number with ``--complete``, without it the second."""
    is_complete = bool(request.config.getoption("--complete", default=False))
    return lambda complete, bounded: complete if is_complete else bounded


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Give a real S3 server that checks secrets, checksums and conditions."""
    with run_seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Give moto as a process behind a socket."""
    with run_moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Give a server that overwrites where it should refuse."""
    with run_rclone(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture
def use_s3(monkeypatch: pytest.MonkeyPatch) -> Callable[[S3Server], str]:
    """Give a function that points this process and its children at a server, and returns a fresh replica's URL."""

    def use(server: S3Server) -> str:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        return server.make_replica()

    return use


@pytest.fixture(params=["moto", "seaweed"])
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    """Give each of the servers that create exclusively."""
    server = request.getfixturevalue("moto_server" if request.param == "moto" else "seaweed")
    assert isinstance(server, S3Server)
    return server


@pytest.fixture
def moto_proxy(moto_server: S3Server) -> Iterator[CuttingProxy]:
    """Give a proxy in front of moto that counts requests and can be told to fail."""
    with CuttingProxy("127.0.0.1", moto_server.port) as proxy:
        yield proxy


@pytest.fixture
def open_base() -> Iterator[Path]:
    """Give a directory that everybody can reach."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 512 KiB."""
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("a small tmpfs needs root and mount")
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=512k", "tmpfs", place], check=False).returncode:
        pytest.skip("this container may not mount a tmpfs")
    yield place
    subprocess.run(["umount", place], check=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded as ``measured``, in whichever process they ran."""
    measured = [
        str(text)
        for report in terminalreporter.stats.get("passed", [])
        for name, text in getattr(report, "user_properties", [])
        if name == "measured"
    ]
    if measured:
        terminalreporter.section("measured")
        for text in dict.fromkeys(measured):
            terminalreporter.write_line(text)
