"""A replica of format 1 as it was written when the format was made: read for ever, byte by byte."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from confstream import layout, plan
from confstream.codec.fields import encode_record
from confstream.codec.notes import decode_descriptor, decode_heartbeat, decode_tag
from confstream.codec.objects import RevisionObject, decode_blob, decode_pack, decode_revision, decode_snapshot
from confstream.tree import Entry, Kind, Tree, apply, content_hash
from tests.golden.make_format_1 import make, text

COMMITTED = Path(__file__).parent / "format-1"


@pytest.fixture(params=["committed", "made now"])
def replica(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "committed":
        return COMMITTED
    make(tmp_path)
    return tmp_path


@pytest.fixture
def expected(replica: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((replica / "expected.json").read_text())
    return found


def _keys(replica: Path) -> list[str]:
    found = (str(path.relative_to(replica)) for path in replica.rglob("*") if path.is_file())
    return sorted(key for key in found if key != "expected.json")


def _log_object(replica: Path, number: int) -> RevisionObject:
    key = layout.log_key(number)
    return decode_revision((replica / key).read_bytes(), key)


def _described(entry: Entry, contents: dict[bytes, bytes]) -> dict[str, Any]:
    owner, mode = [entry.uid, entry.gid], f"{entry.mode:04o}"
    if entry.kind is Kind.FILE:
        content = contents[entry.hash]
        assert len(content) == entry.size
        found = {"mode": mode, "owner": owner, "mtime_ns": entry.mtime_ns, "content": content.hex()}
    elif entry.kind is Kind.SYMLINK:
        found = {"owner": owner, "target": entry.target.hex()}
    else:
        found = {"mode": mode, "owner": owner}
    return {"kind": str(entry.kind), **found}


def _check(made: RevisionObject, wanted: dict[str, Any], tree: Tree, contents: dict[bytes, bytes]) -> Tree:
    revision = made.revision
    assert made.record.hex() == wanted["record"]
    assert made.hash.hex() == wanted["hash"] == hashlib.sha256(encode_record(revision)).hexdigest()
    assert (revision.number, revision.previous.hex()) == (wanted["number"], wanted["previous"])
    assert (revision.writer, revision.epoch) == (wanted["writer"], wanted["epoch"])
    assert [revision.verdict.status, list(revision.verdict.reasons)] == wanted["verdict"]
    assert [text(change.path) for change in revision.changes] == wanted["changes"]
    after = apply(tree, revision.changes)
    assert after.digest.hex() == revision.tree_hash.hex() == wanted["tree_hash"]
    assert {text(path): _described(after[path], contents) for path in after} == wanted["tree"]
    return after


def _blobs(replica: Path, made: RevisionObject) -> dict[bytes, bytes]:
    keys = {digest: layout.blob_key(digest) for digest in made.contents.blob_hashes}
    return {digest: decode_blob((replica / key).read_bytes(), key, digest) for digest, key in keys.items()}


def _read(replica: Path, made: RevisionObject, tree: Tree, contents: dict[bytes, bytes]) -> None:
    contents.update(made.read(lambda path: contents[tree[path].hash], "log"))
    contents.update(_blobs(replica, made))


def test_the_keys_are_those_of_a_replica(replica: Path, expected: dict[str, Any]) -> None:
    listing = layout.parse(_keys(replica))

    assert _keys(replica) == expected["keys"]
    assert listing.strange == ()
    assert (listing.described, listing.log, listing.packs, listing.snapshots) == (True, (4, 5, 6, 7), ((1, 4),), (4,))
    assert listing.forks == {layout.Fork("firstwriter", 1): (6,)}
    assert listing.head == 7
    assert plan.reachable(listing) == [(1, 7)]


def test_every_revision_is_read_from_pack_and_log(replica: Path, expected: dict[str, Any]) -> None:
    key = layout.pack_key(1, 4)
    pack = decode_pack((replica / key).read_bytes(), key)
    contents = dict(pack.read(key))
    tree, trees = Tree(), []

    for made in pack.revisions:
        tree = _check(made, expected["revisions"][made.revision.number - 1], tree, contents)
        trees.append(tree)
    assert _log_object(replica, 4).record == pack.revisions[3].record
    for number in (5, 6, 7):
        made = _log_object(replica, number)
        _read(replica, made, tree, contents)
        tree = _check(made, expected["revisions"][number - 1], tree, contents)
        trees.append(tree)

    assert [found.digest.hex() for found in trees] == [wanted["tree_hash"] for wanted in expected["revisions"]]


def test_the_log_is_read_from_the_snapshot_on(replica: Path, expected: dict[str, Any]) -> None:
    key = layout.snapshot_key(4)
    found = decode_snapshot((replica / key).read_bytes(), key)
    contents, tree, wanted = dict(found.read(key)), found.snapshot.tree, expected["revisions"][3]

    assert (found.snapshot.position.number, found.snapshot.position.hash.hex()) == (4, wanted["hash"])
    assert {text(path): _described(tree[path], contents) for path in tree} == wanted["tree"]
    for number in (5, 6):
        made = _log_object(replica, number)
        _read(replica, made, tree, contents)
        tree = _check(made, expected["revisions"][number - 1], tree, contents)
    # Revision 7 brings back what revision 2 replaced: nothing of it is in the snapshot, so it is stored again.
    made = _log_object(replica, 7)
    _read(replica, made, tree, contents)
    _check(made, expected["revisions"][6], tree, contents)


def test_the_fork_is_read(replica: Path, expected: dict[str, Any]) -> None:
    found = decode_snapshot((replica / layout.snapshot_key(4)).read_bytes(), "snapshot")
    contents, tree = dict(found.read("snapshot")), found.snapshot.tree
    made = _log_object(replica, 5)
    _read(replica, made, tree, contents)
    tree = apply(tree, made.revision.changes)
    key = layout.Fork("firstwriter", 1).prefix + layout.log_key(6)

    forked = decode_revision((replica / key).read_bytes(), key)
    _read(replica, forked, tree, contents)

    assert forked.revision.previous == made.hash
    _check(forked, expected["fork"], tree, contents)


def test_the_notes_are_read(replica: Path, expected: dict[str, Any]) -> None:
    tag = asdict(decode_tag((replica / "tag/before-upgrade").read_bytes(), "tag"))
    beat = asdict(decode_heartbeat((replica / "heartbeat/secondwriter").read_bytes(), "beat"))
    descriptor = asdict(decode_descriptor((replica / layout.DESCRIPTOR).read_bytes(), "descriptor"))

    assert tag | {"revision_hash": tag["revision_hash"].hex()} == expected["tag"]
    assert beat | {"tree_hash": beat["tree_hash"].hex()} == expected["heartbeat"]
    assert descriptor == expected["descriptor"]


def test_the_blob_is_read(replica: Path, expected: dict[str, Any]) -> None:
    digest = bytes.fromhex(expected["blob"])

    content = decode_blob((replica / layout.blob_key(digest)).read_bytes(), "blob", digest)

    assert content_hash(content) == digest
    assert expected["revisions"][4]["tree"]["model.bin"]["content"] == content.hex()


def test_what_is_made_now_is_what_was_made_then(tmp_path: Path) -> None:
    make(tmp_path)

    assert (tmp_path / "expected.json").read_text() == (COMMITTED / "expected.json").read_text()
