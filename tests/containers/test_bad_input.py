"""What people get wrong: one line says what it is and what to do, the code is the right one, and nothing is lost."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.containers.engine import NOBODY, Engine
from tests.processes import Finished, run_confstream
from tests.servers import ACCESS_KEY, SECRET_KEY, S3Server, free_port

_USAGE, _REFUSED, _OUT_OF_REACH = 2, 4, 16
_FAKE_TIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
_CONTENT = "cameras: {front: {enabled: true}}\n"
_PATIENCE = "20s"


@dataclass(frozen=True)
class Mistake:
    """Variables as somebody set them by mistake, the code that tells it, and the words for cause and remedy."""

    variables: Mapping[str, str]
    code: int
    words: tuple[str, ...]


_MISTAKES = {
    "wrong bucket": Mistake(
        {"CONFSTREAM_REPLICA": "s3://no-such-bucket/config"}, _OUT_OF_REACH, ("no-such-bucket", "correct the URL")
    ),
    "wrong key": Mistake({"AWS_ACCESS_KEY_ID": "nobody"}, _OUT_OF_REACH, ("correct AWS_ACCESS_KEY_ID",)),
    "wrong secret": Mistake({"AWS_SECRET_ACCESS_KEY": "guessed"}, _OUT_OF_REACH, ("correct AWS_SECRET_ACCESS_KEY",)),
    "wrong endpoint": Mistake(
        {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}", "CONFSTREAM_TIMEOUT": "3s"},
        _OUT_OF_REACH,
        ("nothing listens there", "correct AWS_ENDPOINT_URL"),
    ),
    "endpoint without a scheme": Mistake({"AWS_ENDPOINT_URL": "127.0.0.1:8333"}, _USAGE, ("begin with https://",)),
    "line break in the key": Mistake(
        {"AWS_ACCESS_KEY_ID": f"{ACCESS_KEY}\n"}, _OUT_OF_REACH, ("AWS_ACCESS_KEY_ID", "line break", "printf %s")
    ),
    "line break in the secret": Mistake(
        {"AWS_SECRET_ACCESS_KEY": f"{SECRET_KEY}\n"}, _OUT_OF_REACH, ("AWS_SECRET_ACCESS_KEY", "line break")
    ),
    "line break in the endpoint": Mistake(
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:8333\n"}, _USAGE, ("AWS_ENDPOINT_URL", "line break", "printf %s")
    ),
    "line break in the address": Mistake(
        {"CONFSTREAM_REPLICA": "s3://bucket/config\n"}, _USAGE, ("CONFSTREAM_REPLICA", "line break")
    ),
}

Run = Callable[..., Finished]


@pytest.fixture
def variables(seaweed: S3Server, replica: str) -> dict[str, str]:
    """Give what is right."""
    return {**seaweed.env, "CONFSTREAM_REPLICA": replica, "CONFSTREAM_TIMEOUT": _PATIENCE}


@pytest.fixture
def restore(engine: Engine, variables: dict[str, str]) -> Run:
    """Give the init container."""

    def run(volume: Path, wrong: Mapping[str, str] = variables, mounted: Mapping[Path, str] | None = None) -> Finished:
        words = ("restore", "--if-missing", "--if-replica-exists", "/config")
        return engine.run(*words, volumes=mounted or {volume: "/config"}, variables={**variables, **wrong})

    return run


@pytest.fixture
def replicate(engine: Engine, variables: dict[str, str]) -> Run:
    """Give the sidecar, for once."""

    def run(volume: Path, wrong: Mapping[str, str] = variables, mounted: Mapping[Path, str] | None = None) -> Finished:
        words = ("replicate", "--once", "/config")
        return engine.run(*words, volumes=mounted or {volume: "/config"}, variables={**variables, **wrong})

    return run


@pytest.fixture
def published(variables: dict[str, str], tmp_path: Path) -> None:
    """Put a configuration onto the replica."""
    (tmp_path / "published").mkdir()
    _write(tmp_path / "published")
    done = run_confstream("replicate", "--once", tmp_path / "published", environment=variables)
    assert done.code == 0, done


def _write(volume: Path, owner: int = NOBODY, text: str = _CONTENT) -> Path:
    path = volume / "config.yml"
    path.write_text(text)
    os.chown(path, owner, owner)
    return path


def _told(done: Finished, code: int, words: tuple[str, ...]) -> None:
    """Look at how it ended: what it says last is all that anybody has to read."""
    assert done.code == code, done
    last = done.stderr.splitlines()[-1]
    assert [word for word in words if word not in last] == [], done
    assert SECRET_KEY not in done.stderr


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("name", _MISTAKES)
def test_an_init_container_tells_the_mistake_and_how_to_mend_it(name: str, restore: Run, volume: Path) -> None:
    mistake = _MISTAKES[name]

    _told(restore(volume, mistake.variables), mistake.code, mistake.words)

    assert list(volume.iterdir()) == []


@pytest.mark.parametrize("name", ["wrong secret", "line break in the secret", "line break in the address"])
def test_a_sidecar_tells_the_mistake_and_publishes_everything_once_it_is_mended(
    name: str, replicate: Run, volume: Path, variables: dict[str, str]
) -> None:
    mistake = _MISTAKES[name]
    _write(volume)

    _told(replicate(volume, mistake.variables), mistake.code, mistake.words)

    assert replicate(volume).code == 0
    assert run_confstream("cat", variables["CONFSTREAM_REPLICA"], "config.yml").stdout == _CONTENT


@pytest.mark.usefixtures("published")
def test_a_clock_that_is_off_by_an_hour_is_told_by_the_server_and_named(restore: Run, volume: Path) -> None:
    if not _FAKE_TIME.exists():
        pytest.skip("libfaketime is not installed: tests/containers/prepare.sh gets it")
    shift = {"LD_PRELOAD": "/faketime.so", "FAKETIME": "+1h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    done = restore(volume, shift, {volume: "/config", _FAKE_TIME: "/faketime.so"})

    _told(done, _OUT_OF_REACH, ("clock of this machine",))
    assert list(volume.iterdir()) == []


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("mounted", "told"),
    [
        ((":ro", NOBODY), Mistake({}, _OUT_OF_REACH, ("Read-only file system", "mount the volume writable"))),
        (("", 1000), Mistake({}, _REFUSED, ("uid 65532", "run as its owner"))),
    ],
    ids=["read-only", "another user's"],
)
def test_a_volume_that_cannot_be_written_is_named_with_the_remedy_and_left_as_it_is(
    mounted: tuple[str, int], told: Mistake, engine: Engine, variables: dict[str, str], make_volume: Callable[..., Path]
) -> None:
    mode, owner = mounted
    empty, full = make_volume("empty", owner), make_volume("full", owner)
    _write(full, owner, "newer: 1\n")

    restored = engine.run("restore", "--if-missing", "/config", volumes={empty: f"/config{mode}"}, variables=variables)
    written = engine.run("replicate", "--once", "/config", volumes={full: f"/config{mode}"}, variables=variables)

    _told(restored, told.code, told.words)
    _told(written, told.code, told.words)
    assert list(empty.iterdir()) == []
    assert [path.name for path in full.iterdir()] == ["config.yml"]
    assert (full / "config.yml").read_text() == "newer: 1\n"
