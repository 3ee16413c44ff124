"""What tests of containers start from: podman with the image of this checkout, volumes, and a server on loopback."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.containers.engine import NOBODY, Engine, find_engine
from tests.servers import S3Server


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Give podman, and the image; skip where there is none."""
    with find_engine(tmp_path_factory.mktemp("podman")) as engine:
        yield engine


@pytest.fixture
def engine(podman: Engine) -> Iterator[Engine]:
    """Give podman; what the test leaves behind is removed."""
    yield podman
    podman.clean_up()


@pytest.fixture
def make_volume(tmp_path: Path) -> Callable[..., Path]:
    """Give a maker of volumes: directories that belong to a user."""

    def make(name: str = "volume", owner: int = NOBODY) -> Path:
        path = tmp_path / name
        path.mkdir()
        os.chown(path, owner, owner)
        return path

    return make


@pytest.fixture
def volume(make_volume: Callable[..., Path]) -> Path:
    """Give an empty volume of the image's own user."""
    return make_volume()


@pytest.fixture
def replica(seaweed: S3Server, use_s3: Callable[[S3Server], str]) -> str:
    """Give the URL of a replica that nobody has used, on a server that this process and every container reach."""
    return use_s3(seaweed)
