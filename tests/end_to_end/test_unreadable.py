"""Files that the sidecar may not read: the gap that nobody sees until the day of the restore."""

import os
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Replicas
from tests.end_to_end.onlooker import Onlooker
from tests.endpoints import LISTEN, Endpoints
from tests.privileges import contained
from tests.processes import confstream, run_confstream

_OPTIONS = ("--profile", "none", "--settle", "0.2s", "--heartbeat", "0")
_SIDECAR = 4711
_PARTIAL = 3


@pytest.fixture
def shared(open_base: Path) -> Path:
    """Give a directory with a ``tree`` that belongs to the sidecar."""
    tree = open_base / "tree"
    tree.mkdir()
    os.chown(tree, _SIDECAR, _SIDECAR)
    (tree / "config.yml").write_text("a: 1\n")
    return open_base


@pytest.fixture
def onlooker(replicas: Replicas) -> Onlooker:
    """Give an onlooker of a replica on SeaweedFS, which is verified when the test is over."""
    return replicas.look_at(replicas.make("seaweed"))


def test_p6_a_file_of_root_is_named_with_what_to_do_and_exit_3_and_recovers_when_it_may_be_read(
    shared: Path, onlooker: Onlooker
) -> None:
    tree = shared / "tree"
    (tree / "acme.json").write_text('{"key": 1}\n')
    (tree / "acme.json").chmod(0o600)
    with confstream("replicate", tree, onlooker.url, *_OPTIONS, *LISTEN, within=contained(_SIDECAR)) as writer:
        seen = Endpoints(writer)
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        said = writer.wait_for_line("acme.json")
        assert "acme.json (Permission denied)" in seen.wait_for_reason("unreadable")["what"]
        assert (seen.health["code"], seen.metric("unreadable_files"), seen.metric("up_to_date")) == (503, 1, 0)
        assert f"ERROR   not protected, because uid {_SIDECAR} may not read it: acme.json (Permission denied)" in said
        assert "run confstream as the owner of the files" in said

        (tree / "acme.json").chmod(0o644)
        onlooker.wait_for_file("acme.json", b'{"key": 1}\n', writer)
        writer.wait_for_line("recovered: acme.json, which could not be read, can be read again")
        seen.wait_for_health()
        assert (seen.metric("unreadable_files"), seen.metric("skipped_files_total", reason="unreadable")) == (0, 1)

        (tree / "acme.json").chmod(0o600)
        (tree / "acme.json").write_text('{"key": 2}\n')
        (tree / "config.yml").write_text("a: 2\n")
        onlooker.wait_for_file("config.yml", b"a: 2\n", writer)
        writer.wait_until(lambda: writer.so_far.stderr.count("not protected") == 2, "the second gap to be said")
        ended = writer.stop()

    assert ended.code == _PARTIAL, ended
    assert onlooker.read("acme.json") == b'{"key": 1}\n', "an unreadable file is not a deleted one"


def test_p6_once_with_an_unreadable_file_is_exit_3_and_publishes_the_rest(shared: Path, onlooker: Onlooker) -> None:
    tree = shared / "tree"
    for number in range(5):
        (tree / f"secret-{number}.yml").write_text("a: 1\n")
        (tree / f"secret-{number}.yml").chmod(0o600)

    done = run_confstream("replicate", tree, onlooker.url, "--once", *_OPTIONS, within=contained(_SIDECAR))

    assert done.code == _PARTIAL, done
    assert "secret-2.yml (Permission denied) and 2 more" in done.stderr
    assert onlooker.read("config.yml") == b"a: 1\n"
    again = run_confstream("replicate", tree, onlooker.url, "--once", *_OPTIONS)
    assert again.code == 0, again
    assert onlooker.read("secret-4.yml") == b"a: 1\n"


def test_p6_a_directory_of_root_is_told_keeps_what_was_in_it_and_is_watched_once_it_may_be_read(
    shared: Path, onlooker: Onlooker
) -> None:
    tree = shared / "tree"
    (tree / "auth").mkdir()
    (tree / "auth" / "users.yml").write_text("users: 1\n")
    with confstream("replicate", tree, onlooker.url, *_OPTIONS, within=contained(_SIDECAR)) as writer:
        onlooker.wait_for_file("auth/users.yml", b"users: 1\n", writer)
        (tree / "auth").chmod(0o700)
        (tree / "config.yml").write_text("a: 2\n")
        onlooker.wait_for_file("config.yml", b"a: 2\n", writer)
        assert onlooker.read("auth/users.yml") == b"users: 1\n", "an unreadable directory is not a deleted one"
        (tree / "auth" / "users.yml").write_text("users: 2\n")
        ended = writer.stop()
    assert ended.code == _PARTIAL, ended
    assert "not protected" in ended.stderr
    assert "auth" in ended.stderr
    assert onlooker.read("auth/users.yml") == b"users: 1\n"

    with confstream("replicate", tree, onlooker.url, *_OPTIONS, within=contained(_SIDECAR)) as writer:
        writer.wait_for_line("auth")
        (tree / "auth").chmod(0o755)
        onlooker.wait_for_file("auth/users.yml", b"users: 2\n", writer)
        writer.wait_for_line("can be read again")
        (tree / "auth" / "users.yml").write_text("users: 3\n")
        onlooker.wait_for_file("auth/users.yml", b"users: 3\n", writer)
        assert writer.stop().code == 0


@pytest.fixture
def known(shared: Path, onlooker: Onlooker) -> Path:
    """Give the tree of a log that another journal wrote, of which the sidecar may not read all any more."""
    tree = shared / "tree"
    (tree / "auth" / "more").mkdir(parents=True)
    for name in ("acme.json", "auth/users.yml", "auth/more/tokens.yml", "old.yml"):
        (tree / name).write_text(f"name: {name}\n")
    done = run_confstream("replicate", tree, onlooker.url, "--once", *_OPTIONS, "--state-dir", shared / "first")
    assert done.code == 0, done
    (tree / "acme.json").chmod(0o600)
    (tree / "auth").chmod(0o700)
    (shared / "state").mkdir()
    os.chown(shared / "state", _SIDECAR, _SIDECAR)
    return tree


def test_p6_what_a_new_journal_may_not_read_was_recorded_as_deleted(known: Path, onlooker: Onlooker) -> None:
    options = ("--once", *_OPTIONS, "--state-dir", known.parent / "state")
    hidden = {"acme.json", "auth", "auth/users.yml", "auth/more", "auth/more/tokens.yml"}

    for number in (2, 3):
        (known / "config.yml").write_text(f"a: {number}\n")
        done = run_confstream("replicate", known, onlooker.url, *options, within=contained(_SIDECAR))
        assert done.code == _PARTIAL, done
        assert onlooker.read("config.yml") == f"a: {number}\n".encode()
        assert {os.fsdecode(path) for path in onlooker.tree()} == {"config.yml", "old.yml", *hidden}
    # What is gone is gone, now as ever; and what may be read again is looked at.
    (known / "old.yml").unlink()
    (known / "auth").chmod(0o755)
    (known / "auth" / "users.yml").unlink()
    done = run_confstream("replicate", known, onlooker.url, *options, within=contained(_SIDECAR))

    assert (done.code, onlooker.head) == (_PARTIAL, 4), done
    assert {os.fsdecode(path) for path in onlooker.tree()} == {"config.yml", *hidden} - {"auth/users.yml"}


def test_p6_a_new_journal_that_may_read_nothing_took_the_directory_for_empty(known: Path, onlooker: Onlooker) -> None:
    for name in ("config.yml", "old.yml"):
        (known / name).chmod(0o600)
    before = set(onlooker.tree())

    options = ("--once", *_OPTIONS, "--state-dir", known.parent / "state")
    done = run_confstream("replicate", known, onlooker.url, *options, within=contained(_SIDECAR))

    assert done.code == _PARTIAL, done
    assert "empty" not in done.stderr
    assert onlooker.head
    assert set(onlooker.tree()) == before
