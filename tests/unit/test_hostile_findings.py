"""What fuzzing and forged replicas found, once each: what was given, and what has to come of it."""

import hashlib
import os
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgpack
import pytest

from confstream import checkout, durable
from confstream.codec.fields import pack
from confstream.doctor import surroundings
from confstream.errors import IntegrityError, UsageError
from confstream.history import History
from confstream.journal.contents import ContentCache
from confstream.journal.draft import State, decode_draft, decode_state, encode_state
from confstream.journal.judging import Doubts
from confstream.journal.leftovers import sweep
from confstream.journal.restored import restored_note
from confstream.log.reader import LogReader
from confstream.moments import parse_revision
from confstream.recount import gists
from confstream.restorer import RestoreOptions, restore
from confstream.selection import Selection
from confstream.settings import parse
from confstream.store.local import LocalStore
from confstream.store.memory import MemoryStore
from confstream.store.open import mask_url, open_store, parse_storage_options
from confstream.store.s3_client import endpoint_of
from confstream.testing import ManualClock
from confstream.tree import Tree, content_hash
from tests.checkout_trees import file, link, stage
from tests.hostile_replicas import Objects, base
from tests.hostile_replicas import file as put_file
from tests.hostile_replicas import link as put_link

_MAGIC = b"confstream restoring 1\n"


def _store(objects: Objects) -> MemoryStore:
    store = MemoryStore()
    for key, body in objects.items():
        store.put(key, body)
    return store


def _peak(work: Any) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_p14_a_small_marker_was_read_into_a_buffer_of_256_mib(tmp_path: Path) -> None:
    stage(tmp_path, Tree([file("a")]))

    assert _peak(lambda: checkout.unfinished(tmp_path)) < 1 << 20


def test_p14_a_small_content_was_read_into_a_buffer_of_256_mib(tmp_path: Path) -> None:
    held = ContentCache(tmp_path, memory_bytes_max=0)
    held.put(content_hash(b"x" * 100), b"x" * 100)

    assert _peak(lambda: held.get(content_hash(b"x" * 100))) < 1 << 20


def _remark(root: Path, change: Any) -> None:
    """Change the fields of the marker in *root*, and correct its checksum."""
    marker = root / ".confstream" / "restoring"
    fields = msgpack.unpackb(marker.read_bytes()[len(_MAGIC) + 32 :])
    change(fields)
    body = msgpack.packb(fields)
    marker.write_bytes(_MAGIC + hashlib.sha256(body).digest() + body)


def _set(fields: Any, place: Sequence[Any], value: Any) -> None:
    for step in place[:-1]:
        fields = fields[step]
    fields[place[-1]] = value


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("staged",), []),
        (("actions", 0, 3), None),
        (("actions", 0, 3, 1), "0644"),
        (("actions", 0, 3, 4), 2**63),
        (("actions", 0, 3, 6), [1]),
        (("actions", 0, 4), [0]),
        (("actions", 0, 4), [0, 2**40]),
        (("actions", 0, 1), ["a"]),
        (("actions", 0, 2), 7),
        (("actions", 1, 3, 7), ["target"]),
        (("aside",), {}),
        (("note",), [1]),
    ],
)
def test_p3_a_marker_that_nobody_could_obey_was_obeyed_until_it_crashed(
    tmp_path: Path, place: Sequence[Any], value: Any
) -> None:
    stage(tmp_path, Tree([file("a"), link("l", b"x")]))
    _remark(tmp_path, lambda fields: _set(fields, place, value))

    with pytest.raises(IntegrityError, match=r"restoring is damaged: .* Remove that file and restore again"):
        checkout.finish(tmp_path)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("name", "value"), [("revision", "7"), ("time_ns", "soon"), ("hash", 5), ("restored", "x")])
def test_p3_a_marker_with_an_impossible_note_crashed_the_restore_that_would_have_finished_it(
    tmp_path: Path, name: str, value: Any
) -> None:
    stage(tmp_path, Tree([file("a")]))
    _remark(tmp_path, lambda fields: fields["note"].update({name: value}))

    with pytest.raises(IntegrityError, match=f"restoring is damaged: its {name} is"):
        restore("memory://x", tmp_path, RestoreOptions())


def _state_with(position: int, value: Any) -> bytes:
    """Return a checkpoint whose field number *position* is *value*."""
    whole = encode_state(State("w", 1, 0, 5))
    fields = [1, "w", 1, 0, 5, None, (0, bytes(32), 0, 0), None, [], [], []]
    assert whole[8:-32] == b"".join(map(pack, fields))
    fields[position] = value
    body = whole[:8] + b"".join(map(pack, fields))
    return body + hashlib.sha256(body).digest()


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (1, 7), (2, "one"), (3, None), (3, -1), (4, "now"), (5, 9),
        (6, (0, "hash", 0, 0)), (6, (0, bytes(31), 0, 0)), (6, ("0", bytes(32), 0, 0)), (7, (1, 2)), (7, ("w", None)),
    ],
)  # fmt: skip
def test_a_checkpoint_with_a_field_of_another_type_was_believed(position: int, value: Any) -> None:
    with pytest.raises(IntegrityError, match="state: "):
        decode_state(_state_with(position, value), "state")


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, "x" * 16),
        (1, "now"),
        (2, 1),
        (3, ("api", "", 5)),
        (4, None),
        (4, {1: "a"}),
        (7, [["a"]]),
        (7, [[b"a", "x"]]),
    ],
)
def test_a_draft_with_a_field_of_another_type_was_believed(position: int, value: Any) -> None:
    fields: list[Any] = [bytes(16), 5, False, ("api", "", ""), {}, "ok", [], [], []]
    fields[8 if position == 7 else position] = value

    with pytest.raises(IntegrityError, match="draft: "):
        decode_draft(b"".join(map(pack, fields)), "draft")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"blank": 1}', '{"blank": {}, "broken": {"a": [1]}, "gutted": null}', "[" * 9999]
)
def test_a_note_of_doubts_that_cannot_be_understood_ended_the_start_with_a_key_error(text: str) -> None:
    with pytest.raises(IntegrityError, match="the journal's note 'doubts' cannot be understood"):
        Doubts.load(text)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[]", b"7", b'{"revision": 1, "path": {}}'])
def test_a_note_of_a_restore_that_is_none_ended_the_start_of_the_writer(tmp_path: Path, body: bytes) -> None:
    (tmp_path / ".confstream").mkdir()
    (tmp_path / ".confstream" / "restored").write_bytes(body)

    made = restored_note(tmp_path)

    assert made is not None
    assert made.source == "restore"


def test_p8_a_file_below_a_link_in_the_log_was_a_value_error_and_no_damage(tmp_path: Path) -> None:
    store = _store(base().add(put_link(b"l", b"..")).add(put_file(b"l/outside")).objects)

    with pytest.raises(IntegrityError, match=r"revision 3: what the log leads to is no tree: b'l/outside' is in b'l'"):
        LogReader(store).checkout(3)
    with pytest.raises(IntegrityError, match="is no tree"):
        History(store, ManualClock()).tree("latest")
    assert [number for number, _ in gists(LogReader(store), [3, 2, 1])] == [3, 2, 1]
    with pytest.raises(IntegrityError, match="is no tree"):
        restore("memory://x", tmp_path, RestoreOptions(revision="latest"), open_store=lambda *_args, **_options: store)


@pytest.mark.parametrize("url", ["s3://[", "s3://[::1/x", "s3://]/x", "s3://[x]/y"])
def test_p13_brackets_in_an_s3_url_were_called_a_fault_of_confstream(url: str) -> None:
    with pytest.raises(UsageError, match="no bucket has brackets in its name"):
        open_store(url)


@pytest.mark.parametrize("endpoint", ["http://[", "https://[::1", "http://[x]:9"])
def test_p13_brackets_in_an_endpoint_were_called_a_fault_of_confstream(endpoint: str) -> None:
    with pytest.raises(UsageError, match="the S3 endpoint is no URL"):
        endpoint_of({"endpoint_url": endpoint})
    assert any("is no URL" in check.found for check in surroundings.variables({"AWS_ENDPOINT_URL": endpoint}))


def test_p13_a_storage_option_of_many_brackets_is_text_and_no_recursion_error() -> None:
    deep = "[" * 100_000

    assert parse_storage_options([f"key={deep}"]) == {"key": deep}


@pytest.mark.parametrize("text", ["0" * 5000, "-" + "0" * 5000, "0" * 5000 + "1"])
def test_p13_a_revision_of_5000_zeros_was_a_value_error(text: str) -> None:
    if text.endswith("1"):
        assert parse_revision(text).number == 1
        return
    with pytest.raises(UsageError, match="is not a revision"):
        parse_revision(text)


def test_a_url_of_many_colons_took_time_in_the_square_of_its_length() -> None:
    # Of this size it took a minute.
    assert mask_url("://" * 100_000) == "://" * 100_000
    assert mask_url("s3://a:b@c/" + "://" * 100_000).startswith("s3://***@c/")


@pytest.mark.parametrize("pattern", [" /a/**/b", "a /b", "/x  /y/*.yml"])
def test_p13_a_name_that_ends_with_a_blank_in_an_included_path_ended_the_scan(pattern: str) -> None:
    found = Selection((pattern,))
    folder = os.fsencode(pattern.removeprefix("/").partition("/")[0])

    assert found.tracks(folder, True)
    assert not found.tracks(folder.rstrip() or b"other", True)


def _deep(root: Path, depth: int) -> None:
    """Make *depth* directories, each in the one before, and leave a file of a killed process in the last."""
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a", dir_fd=descriptor)
        below = os.open("a", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open(".confstream-0123456789abcdef.tmp", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)


def _remove_deep(root: Path, depth: int) -> None:
    """Remove what ``_deep`` made; what tests are usually tidied up with calls itself for each directory."""
    with durable.opened_root(root) as top:
        for count in range(depth, 0, -1):
            with durable.opened_parent(top, b"/".join([b"a"] * count)) as (parent, name):
                os.rmdir(name, dir_fd=parent)


@pytest.mark.exhaustive
def test_p6_a_thousand_directories_in_one_another_ended_the_start_with_a_recursion_error(tmp_path: Path) -> None:
    depth = 1050
    path = b"/".join([b"a"] * depth)
    _deep(tmp_path, depth)

    sweep(tmp_path, "", 2**63)

    assert Selection(exclude=("*.tmp",)).tracks(path + b"/b", False)
    with durable.opened_root(tmp_path) as top, durable.opened(top, path) as last:
        assert not list(os.scandir(last))
    _remove_deep(tmp_path, depth)


def test_a_local_replica_with_endless_foreign_directories_was_a_recursion_error(tmp_path: Path) -> None:
    depth = 1050
    _deep(tmp_path, depth)

    assert LocalStore(tmp_path).list() == []

    with durable.opened_root(tmp_path) as top, durable.opened(top, b"/".join([b"a"] * depth)) as last:
        os.unlink(".confstream-0123456789abcdef.tmp", dir_fd=last)
    _remove_deep(tmp_path, depth)


def test_p13_settings_that_are_no_unicode_were_called_a_fault_of_confstream() -> None:
    with pytest.raises(UsageError, match="has a character that YAML does not allow"):
        parse("streams: \udcff", {})
