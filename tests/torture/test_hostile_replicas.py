"""Replicas made to do harm, restored: nothing outside of the tree changes, and nothing but our errors is raised."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from confstream.errors import ConfstreamError, ObjectExistsError, ObjectMissingError
from confstream.restorer import RestoreOptions, restore
from confstream.store.memory import MemoryStore
from confstream.testing import ManualClock
from tests import hostile_replicas
from tests.hostile_replicas import Objects
from tests.torture.sentinel import Sentinel

EVERY = hostile_replicas.every()
WAYS = (
    {"force": True, "delete": True, "revision": "latest"},
    {"if_missing": True},
    {"revision": "1", "force": True},
    {"dry_run": True, "revision": "latest"},
    {"revision": "v1", "force": True},
    {"path": "l", "revision": "latest", "force": True},
)


@pytest.fixture
def around(tmp_path: Path) -> Sentinel:
    return Sentinel(tmp_path)


def _store(objects: Objects) -> MemoryStore:
    store = MemoryStore()
    for key, body in objects.items():
        store.put(key, body)
    return store


def _restore(objects: Objects, tree: Path, **options: object) -> str:
    """Return how it ended: the outcome, or the error."""
    asked = RestoreOptions(**options)  # type: ignore[arg-type]
    try:
        made = restore(
            "memory://hostile",
            tree,
            asked,
            clock=ManualClock(),
            open_store=lambda _url, **_options: _store(objects),
            record_before=lambda _root, _url, _message: "recorded",
            report=lambda _line: None,
        )
    except ConfstreamError as error:
        assert not isinstance(error, ObjectMissingError | ObjectExistsError), repr(error)  # noqa: PT017 - either is fine.
        return type(error).__name__
    return made.outcome


def _plain(tree: Path) -> None:
    (tree / "config.yml").write_bytes(b"mine\n")


def _full_of_links(tree: Path) -> None:
    """Let every name that a replica uses lead out of the tree, by every kind of link."""
    for name in ("d", "e", "l"):
        (tree / name).symlink_to("../etc")
    (tree / "f").symlink_to("../passwd")
    os.link(tree.parent / "outside", tree / "config.yml")
    os.link(tree.parent / "x", tree / "g")


def _full_of_specials(tree: Path) -> None:
    os.mkfifo(tree / "config.yml")
    os.mkfifo(tree / "d")
    here = Path.cwd()
    os.chdir(tree)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("f")
    finally:
        os.chdir(here)
    if os.geteuid() == 0:
        try:
            os.mknod(tree / "l", 0o600 | 0o020000, os.makedev(1, 3))
        except PermissionError:
            return


def _unlink_the_hard_ones(tree: Path) -> None:
    """Remove the other names of what lies outside, wherever they are by now: only its bytes have to be the same."""
    outside = {(tree.parent / name).stat().st_ino for name in ("outside", "x")}
    for path in [*tree.rglob("*")]:
        if path.is_file() and not path.is_symlink() and path.stat().st_ino in outside:
            path.unlink()


_ENDING_BADLY = [
    name for name in hostile_replicas.escaping() if name.startswith(("file at", "link at", "directory at", "below"))
]

GROUNDS: dict[str, Callable[[Path], None]] = {
    "empty": lambda _tree: None,
    "plain": _plain,
    "links": _full_of_links,
    "specials": _full_of_specials,
}


@pytest.mark.parametrize("name", EVERY)
def test_p8_a_hostile_replica_changes_nothing_outside_of_the_tree(
    around: Sentinel, request: pytest.FixtureRequest, name: str
) -> None:
    for number, (ground, prepare) in enumerate(GROUNDS.items(), [*EVERY].index(name)):
        # Every replica on every ground; in every way as well where there is time.
        ways = WAYS if request.config.getoption("--complete") else (WAYS[0], WAYS[1 + number % (len(WAYS) - 1)])
        for options in ways:
            around.clear()
            prepare(around.tree)

            outcome = _restore(EVERY[name], around.tree, **options)

            print(ground, options, outcome)  # noqa: T201 - shown where the test fails.
            if ground == "links":
                _unlink_the_hard_ones(around.tree)
            around.check()


@pytest.mark.parametrize("name", sorted({*hostile_replicas.of_state(), *_ENDING_BADLY}))
def test_p8_what_leads_out_of_the_tree_or_into_its_state_is_refused_and_the_tree_stays(
    around: Sentinel, name: str
) -> None:
    _plain(around.tree)

    assert _restore(EVERY[name], around.tree, force=True, delete=True, revision="latest") == "IntegrityError"

    assert [path.name for path in around.tree.iterdir()] == ["config.yml"]
    assert (around.tree / "config.yml").read_bytes() == b"mine\n"


def test_a_link_out_of_the_tree_is_restored_as_a_link_and_its_target_left_alone(around: Sentinel) -> None:
    name = "mode through a link to ../etc"

    assert _restore(EVERY[name], around.tree, revision="latest") == "restored"

    assert (around.tree / "l").is_symlink()
    around.check()
