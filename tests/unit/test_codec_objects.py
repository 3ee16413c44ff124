"""Every object comes back from its bytes as it was, and one value has one form."""

import hashlib
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgpack import fallback

from confstream.codec import fields, frames, objects
from confstream.codec.fields import LABELS_MAX, PATH_SIZE_MAX, TEXT_SIZE_MAX, decode_record, encode_record
from confstream.codec.notes import (
    Descriptor,
    decode_descriptor,
    decode_heartbeat,
    decode_tag,
    encode_descriptor,
    encode_heartbeat,
    encode_tag,
)
from confstream.codec.objects import (
    decode_blob,
    decode_pack,
    decode_pack_index,
    decode_revision,
    decode_snapshot,
    decode_snapshot_index,
    encode_blob,
    encode_pack,
    encode_revision,
    encode_snapshot,
)
from confstream.errors import IntegrityError
from confstream.revision import Authorship, Heartbeat, Position, Revision, Snapshot, Tag, Verdict
from confstream.tree import Change, Entry, Op, Tree, content_hash
from tests.strategies import chain, contents, heartbeats, held_trees, law, revisions, snapshots, tags, texts, times_ns

Held = tuple[Tree, dict[bytes, bytes]]
histories = st.lists(held_trees(), min_size=1, max_size=5)


def _revision(*changes: Change, **other: object) -> Revision:
    made = Revision(1, 1, 1, "w", "h", bytes(16), bytes(32), 0, Authorship(), changes, Verdict(), bytes(32))
    return replace(made, **other)  # type: ignore[arg-type]


@law
@given(revisions())
def test_a_record_comes_back_as_the_revision_it_was(revision: Revision) -> None:
    assert decode_record(encode_record(revision), "k") == revision


@law
@given(revisions())
def test_a_record_has_one_form(revision: Revision) -> None:
    record = encode_record(revision)
    labels = dict(reversed(list(revision.authorship.labels.items())))

    assert encode_record(decode_record(record, "k")) == record
    assert encode_record(replace(revision, authorship=replace(revision.authorship, labels=labels))) == record


@law
@given(histories)
def test_every_content_of_a_log_comes_back_from_its_objects(history: list[Held]) -> None:
    held = {digest: content for _, found in history for digest, content in found.items()}
    log = chain([tree for tree, _ in history], held)

    before = Tree()
    for made, (tree, _) in zip(log, history, strict=True):
        found = dict(made.read(lambda path, before=before: held[before[path].hash], "k"))  # type: ignore[misc]
        known = {entry.hash for entry in before.files}
        assert found == {entry.hash: held[entry.hash] for entry in tree.files if entry.hash not in known}
        before = tree


@law
@given(histories, times_ns)
def test_a_pack_holds_the_same_records_hashes_and_contents_as_the_log(history: list[Held], created_ns: int) -> None:
    held = {digest: content for _, found in history for digest, content in found.items()}
    log = chain([tree for tree, _ in history], held)

    body = encode_pack(log, held.__getitem__, created_ns)
    pack = decode_pack(body, "k")

    assert (pack.first, pack.last, pack.created_ns) == (1, len(log), created_ns)
    assert [made.record for made in pack.revisions] == [made.record for made in log]
    assert [made.hash for made in pack.revisions] == [hashlib.sha256(made.record).digest() for made in log]
    assert [made.revision for made in pack.revisions] == [made.revision for made in log]
    expected = [(entry.hash, held[entry.hash]) for made in log for entry in made.contents.inline_entries]
    assert list(pack.read("k")) == expected
    assert decode_pack_index(body, "k").revisions == pack.revisions
    assert encode_pack(log, held.__getitem__, created_ns) == body


@law
@given(st.lists(held_trees(), min_size=3, max_size=3))
def test_a_pack_is_read_up_to_the_revision_that_is_wanted(history: list[Held]) -> None:
    held = {digest: content for _, found in history for digest, content in found.items()}
    log = chain([tree for tree, _ in history], held)
    pack = decode_pack(encode_pack(log, held.__getitem__, 0), "k")

    for last in (1, 2, 3):
        expected = [entry.hash for made in log[:last] for entry in made.contents.inline_entries]
        assert [digest for digest, _ in pack.read("k", last)] == expected


@law
@given(snapshots())
def test_a_snapshot_comes_back_with_every_content_once(pair: tuple[Snapshot, dict[bytes, bytes]]) -> None:
    snapshot, held = pair

    body = encode_snapshot(snapshot, held.__getitem__)
    found = decode_snapshot(body, "k")

    assert found.snapshot == snapshot
    assert found.snapshot.tree.digest == snapshot.tree.digest
    assert dict(found.read("k")) == held
    assert len(list(found.read("k"))) == len(held)
    assert decode_snapshot_index(body, "k").snapshot == snapshot
    assert encode_snapshot(snapshot, held.__getitem__) == body


@law
@given(contents())
def test_a_blob_comes_back(content: bytes) -> None:
    assert decode_blob(encode_blob(content), "k", content_hash(content)) == content


@law
@given(tags, heartbeats)
def test_tags_and_heartbeats_come_back(tag: Tag, beat: Heartbeat) -> None:
    assert decode_tag(encode_tag(tag), "k") == tag
    assert decode_heartbeat(encode_heartbeat(beat), "k") == beat


@law
@given(texts, times_ns, texts, st.booleans())
def test_a_descriptor_comes_back(stream: str, created_ns: int, version: str, exclusive: bool) -> None:
    descriptor = Descriptor(stream, created_ns, version, exclusive)

    assert decode_descriptor(encode_descriptor(descriptor), "k") == descriptor
    assert encode_descriptor(descriptor).endswith(b"}\n")


def test_contents_in_blobs_are_named_and_not_held() -> None:
    large, small = Entry.file(b"large", b"L" * 100), Entry.file(b"small", b"s")
    twin = replace(large, path=b"twin")
    tree = Tree([large, small, twin])
    held = {small.hash: b"s"}

    made = decode_revision(encode_revision(_revision(*map(Change.put, tree.values())), held, {}, {large.hash}), "k")
    snapshot = decode_snapshot(
        encode_snapshot(Snapshot(Position(1, bytes(32), 1, 0), Verdict(), tree), held.__getitem__, {large.hash}), "k"
    )

    for found in (made.contents, snapshot.contents):
        assert found.blob_hashes == {large.hash}
        assert (found.inline, found.blobs) == ((1,), (0,))
    assert list(snapshot.read("k")) == [(small.hash, b"s")]


def test_an_edited_file_costs_a_few_dozen_bytes() -> None:
    old = b"".join(b"camera_%d:\n  host: 10.0.0.%d\n" % (number * 7919, number) for number in range(700))
    new = old.replace(b"10.0.0.350", b"10.0.0.99")
    entry = Entry.file(b"config.yml", new)

    body = encode_revision(_revision(Change.put(entry)), {entry.hash: new}, {b"config.yml": old})

    assert len(old) > 20_000
    assert len(decode_revision(body, "k").frame) < 60
    assert list(decode_revision(body, "k").read(lambda _: old, "k")) == [(entry.hash, new)]


def test_a_long_prefix_is_used_to_its_beginning() -> None:
    old = hashlib.shake_256(b"seed").digest(1 << 20)
    new = old[:1000] + b"!" + old[1000:]
    entry = Entry.file(b"f", new)

    body = encode_revision(_revision(Change.put(entry)), {entry.hash: new}, {b"f": old})

    assert len(body) < 1000
    assert list(decode_revision(body, "k").read(lambda _: old, "k")) == [(entry.hash, new)]


def test_an_edit_of_files_of_megabytes_cost_as_much_as_they_did() -> None:
    old = [hashlib.shake_256(bytes([number])).digest(1 << 20) for number in range(4)]
    new = [content[:1000] + b"!" + content[1000:] for content in old]

    frame = frames.compress(new, sum(map(len, new)), prefix=old)

    assert len(frame) < 2000
    assert list(frames.split(frame, "k", [len(content) for content in new], prefix=old)) == new


@law
@given(contents(), contents(), contents())
def test_p9_the_wrong_prefix_gives_an_error_and_never_wrong_bytes(old: bytes, new: bytes, wrong: bytes) -> None:
    entry = Entry.file(b"f", new)
    made = decode_revision(encode_revision(_revision(Change.put(entry)), {entry.hash: new}, {b"f": old}), "k")

    try:
        found = list(made.read(lambda _: wrong, "k"))
    except IntegrityError:
        assert wrong != old
    else:
        assert found == [(entry.hash, new)]


def test_p9_a_prefix_of_the_right_length_with_other_bytes_is_found_by_the_hash() -> None:
    old, wrong = b"password: one\n" * 100, b"password: two\n" * 100
    entry = Entry.file(b"f", old + b"#")
    made = decode_revision(encode_revision(_revision(Change.put(entry)), {entry.hash: old + b"#"}, {b"f": old}), "k")

    with pytest.raises(IntegrityError, match="the content of b'f' does not match its hash"):
        list(made.read(lambda _: wrong, "k"))


def test_p14_a_prefix_that_a_reader_would_have_to_hold_too_much_of_is_refused() -> None:
    # A few hundred bytes name forty old contents, which other small objects may make as large as they like.
    changes = [Change.put(Entry.file(b"f%02d" % number, b"%d" % number)) for number in range(40)]
    contents = {change.entry.hash: b"%d" % number for number, change in enumerate(changes) if change.entry}
    body = encode_revision(_revision(*changes), contents, {change.path: b"old" for change in changes})
    asked: list[bytes] = []

    def previous(path: bytes) -> bytes:
        asked.append(path)
        return bytes(1 << 20)

    with pytest.raises(IntegrityError, match="k: a frame against a prefix of more than 16777216 bytes"):
        list(decode_revision(body, "k").read(previous, "k"))
    assert len(asked) == (frames.PREFIX_SIZE_MAX >> 20) + 1
    with pytest.raises(ValueError, match="a prefix of more than"):
        encode_revision(_revision(*changes), contents, {change.path: bytes(1 << 20) for change in changes})


def test_names_modes_owners_and_links_of_every_kind_come_back() -> None:
    tree = Tree(
        [
            Entry.directory(b"empty", 0o700, uid=1000, gid=1000),
            Entry.file(b"\xff\xfe\n", b"", 0o600, uid=65534, mtime_ns=-1),
            Entry.file(b"secret", b"\0\xff", 0o000),
            Entry.file(b"setuid", b"x", 0o4755, mtime_ns=2**62),
            Entry.symlink(b"dangling", b"/no/such\xff\n", uid=7, gid=8),
            Entry.symlink(b"loop", b"loop"),
        ]
    )
    held = {content_hash(content): content for content in (b"", b"\0\xff", b"x")}

    found = decode_snapshot(
        encode_snapshot(Snapshot(Position(1, bytes(32), 1, 0), Verdict(), tree), held.__getitem__), "k"
    )

    assert found.snapshot.tree == tree
    assert dict(found.read("k")) == held


def test_a_large_tree_comes_back_in_reasonable_time() -> None:
    tree = Tree([Entry.directory(b"d"), *(Entry.file(b"d/%06d" % number, b"", uid=number) for number in range(20_000))])
    snapshot = Snapshot(Position(1, bytes(32), 1, 0), Verdict(), tree)
    revision = _revision(*(Change(Op.DELETE, path) for path in tree))

    assert decode_snapshot(encode_snapshot(snapshot, lambda _: b""), "k").snapshot == snapshot
    assert decode_revision(encode_revision(revision, {}, {}), "k").revision == revision


def test_a_replica_is_read_without_the_c_extension_of_msgpack(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {content_hash(b"x"): b"x"}
    tree = Tree(Entry.file(b"%03d" % number, b"x") for number in range(100))
    body = encode_snapshot(Snapshot(Position(1, bytes(32), 1, 0), Verdict(), tree), held.__getitem__)
    monkeypatch.setattr(msgpack, "Unpacker", fallback.Unpacker)

    assert decode_snapshot(body, "k").snapshot.tree == tree
    for made in chain([tree], held):
        assert decode_record(made.record, "k") == made.revision


@pytest.mark.parametrize(
    "revision",
    [
        _revision(authorship=Authorship(message="x" * (TEXT_SIZE_MAX + 1))),
        _revision(authorship=Authorship(labels={str(number): "" for number in range(LABELS_MAX + 1)})),
        _revision(verdict=Verdict(reasons=("",) * (fields.REASONS_MAX + 1))),
        _revision(Change(Op.DELETE, b"a/" * (PATH_SIZE_MAX // 2) + b"b")),
        _revision(Change.put(Entry.symlink(b"l", b"t" * (PATH_SIZE_MAX + 1)))),
        _revision(Change.put(Entry.file(b"f", b"", uid=2**32 - 1))),
    ],
)
def test_what_a_reader_would_refuse_is_not_written(revision: Revision) -> None:
    with pytest.raises(ValueError, match="possible"):
        encode_record(revision)


def test_limits_of_counts_are_kept_by_writers(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {content_hash(b""): b""}
    tree = Tree(Entry.file(b"%d" % number, b"") for number in range(5))
    (made,) = chain([tree], held)
    monkeypatch.setattr(fields, "ENTRIES_MAX", 4)
    monkeypatch.setattr(objects, "ENTRIES_MAX", 4)

    with pytest.raises(ValueError, match="5 changes"):
        encode_record(made.revision)
    with pytest.raises(ValueError, match="5 changes"):
        encode_pack([made], held.__getitem__, 0)
    with pytest.raises(ValueError, match="5 entries"):
        encode_snapshot(Snapshot(made.position, Verdict(), tree), held.__getitem__)


def test_an_entry_whose_size_is_not_its_contents_is_not_written() -> None:
    entry = replace(Entry.file(b"f", b"four"), size=5)

    with pytest.raises(ValueError, match="has 4 bytes, expected 5"):
        encode_revision(_revision(Change.put(entry)), {entry.hash: b"four"}, {})


def test_changes_that_do_not_ascend_are_no_revision() -> None:
    one, other = Change(Op.DELETE, b"a"), Change(Op.DELETE, b"b")

    for changes in [(other, one), (one, one)]:
        with pytest.raises(ValueError, match="do not ascend"):
            _revision(*changes)


def test_a_time_past_2262_is_kept_as_near_as_possible_p6() -> None:
    entry = Entry.file(b"f", b"", mtime_ns=2**64)

    found = decode_record(encode_record(_revision(Change.put(entry))), "k")

    assert found.changes[0].entry == replace(entry, mtime_ns=2**63 - 1)


def test_frames_hold_nothing_for_nothing() -> None:
    assert frames.compress([], 0) == b""
    assert list(frames.split(b"", "k", [0, 0])) == [b"", b""]
    assert frames.decompress(b"", "k", 10) == b""
