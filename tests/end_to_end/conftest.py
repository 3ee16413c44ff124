"""Replicas that are verified after every test that made one, and git histories to fill them with."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from confstream import NoReplicaError, SystemClock, open_store, verify
from tests.end_to_end.onlooker import Onlooker
from tests.histories import GitHistory, load
from tests.servers import S3Server

_IDLE = "how long a process has to be idle while it is watched; 600 is what is promised, with -o faulthandler_timeout=0"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--idle-seconds", type=float, default=12.0, help=_IDLE)


class Replicas:
    """Makes replicas, and verifies each at the end of the test, unless the test damaged it on purpose."""

    def __init__(self, directory: Path, use_s3: Callable[[S3Server], str], seaweed: Callable[[], S3Server]) -> None:
        self._directory = directory
        self._use_s3 = use_s3
        self._seaweed = seaweed
        self._onlookers: list[Onlooker] = []
        self._to_verify: list[str] = []

    def make(self, where: str = "local") -> str:
        """Return the URL of a replica that nobody has used, in a local directory or on SeaweedFS."""
        if where == "seaweed":
            return self.verify_at_the_end(self._use_s3(self._seaweed()))
        return self.verify_at_the_end(str(self._directory / f"replica-{len(self._to_verify)}"))

    def verify_at_the_end(self, url: str) -> str:
        """Let the replica at *url* be verified when the test is over."""
        self._to_verify.append(url)
        return url

    def damaged(self, url: str) -> None:
        """Spare the replica at *url* the verification: the test broke it on purpose."""
        self._to_verify.remove(url)

    def look_at(self, url: str) -> Onlooker:
        """Return an onlooker of the replica at *url*."""
        onlooker = Onlooker(url)
        self._onlookers.append(onlooker)
        return onlooker

    def finish(self) -> None:
        """Close what is open, and verify every replica that came to be."""
        for onlooker in self._onlookers:
            onlooker.close()
        for url in self._to_verify:
            store = open_store(url, clock=SystemClock())
            try:
                report = verify(store)
            except NoReplicaError:
                continue
            finally:
                store.close()
            assert report.ok, f"{url}: {report}"


@pytest.fixture
def replicas(tmp_path: Path, use_s3: Callable[[S3Server], str], request: pytest.FixtureRequest) -> Iterator[Replicas]:
    """Give a maker of replicas that are verified when the test is over."""
    made = Replicas(tmp_path, use_s3, lambda: request.getfixturevalue("seaweed"))
    yield made
    made.finish()


@pytest.fixture
def s3(moto_server: S3Server, replicas: Replicas, use_s3: Callable[[S3Server], str]) -> str:
    """Give the URL of a replica on moto, found without the proxy by this process."""
    return replicas.verify_at_the_end(use_s3(moto_server))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Give an empty directory to protect."""
    root = tmp_path / "tree"
    root.mkdir()
    return root


@pytest.fixture(scope="session")
def load_history(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], GitHistory]:
    """Give a function that returns a history by name, cloned once for the session."""
    clones: dict[str, GitHistory] = {}
    directory = tmp_path_factory.mktemp("histories")

    def find(name: str) -> GitHistory:
        if name not in clones:
            clones[name] = load(name, directory)
        return clones[name]

    return find
