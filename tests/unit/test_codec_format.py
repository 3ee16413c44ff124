"""FORMAT.md is true: its example decodes, its limits and tables are those of the code."""

import re
from pathlib import Path

import pytest

import confstream.codec.objects as objects_module
from confstream.codec import envelope, fields, frames
from confstream.codec.envelope import HEADER_SIZE, MAGIC, ObjectKind
from confstream.codec.objects import decode_revision
from confstream.revision import GENESIS, Authorship, Verdict
from confstream.tree import Change, Entry, Tree

FORMAT = (Path(objects_module.__file__).parent.parent / "FORMAT.md").read_text()
_ROW = re.compile(r"^([0-9a-f]{4})  ((?:[0-9a-f]{2} )*[0-9a-f]{2}) +(\S.*)$", re.MULTILINE)


def _section(title: str) -> str:
    return FORMAT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def _example() -> bytes:
    body = b""
    for offset, encoded, _ in _ROW.findall(_section("Example")):
        assert int(offset, 16) == len(body)
        body += bytes.fromhex(encoded)
    return body


def test_the_example_is_a_revision() -> None:
    made = decode_revision(_example(), "example")

    entry = Entry.file(b"c", b"fps: 5\n")
    assert made.hash.hex() in _section("Example")
    assert list(made.read(lambda _: b"", "example")) == [(entry.hash, b"fps: 5\n")]
    revision = made.revision
    assert (revision.number, revision.epoch, revision.epoch_high, revision.previous) == (1, 1, 1, GENESIS)
    assert (revision.writer, revision.host, revision.write_id) == ("w", "h", bytes(range(16)))
    assert (revision.time_ns, revision.authorship) == (10**18, Authorship("api", "", "hi"))
    assert (revision.changes, revision.verdict) == ((Change.put(entry),), Verdict())
    assert revision.tree_hash == Tree([entry]).digest
    assert made.record == fields.encode_record(revision)


def test_every_byte_of_the_example_has_a_note() -> None:
    lines = _section("Example").split("```")[1].strip().splitlines()

    assert len(lines) == len(_ROW.findall(_section("Example")))


LIMITS = {
    "metadata section, stored and decompressed": envelope.METADATA_SIZE_MAX,
    "contents section, stored": envelope.CONTENTS_SIZE_MAX,
    "one content": objects_module.CONTENT_SIZE_MAX,
    "a prefix": frames.PREFIX_SIZE_MAX,
    "entries of a tree; changes of a revision, and of all in a pack": fields.ENTRIES_MAX,
    "revisions in a pack": objects_module.PACK_REVISIONS_MAX,
    "path, symlink target": fields.PATH_SIZE_MAX,
    "a text": fields.TEXT_SIZE_MAX,
    "labels of a revision": fields.LABELS_MAX,
    "reasons of a verdict": fields.REASONS_MAX,
    "uid, gid": fields.OWNER_MAX,
    "any other number; mtime also below zero": fields.NUMBER_MAX,
}


def test_the_limits_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (.+?) \| (\d+)(?: \w+)? \|$", _section("Limits"), re.MULTILINE)

    assert {name: int(limit) for name, limit in rows} == LIMITS


def test_the_envelope_is_that_of_the_code() -> None:
    section = _section("Envelope")

    kinds = re.search(r"kind: (.+?) \|", section)
    assert kinds is not None
    assert kinds[1] == ", ".join(f"{int(kind)} {kind.name.lower()}" for kind in ObjectKind)
    assert f"magic `{MAGIC.hex(' ')}`" in section
    assert f"| {HEADER_SIZE} | m | metadata section" in section


@pytest.mark.parametrize("number", range(1, 8))
def test_every_invariant_that_code_may_cite_is_stated(number: int) -> None:
    assert f"- **I{number}** " in _section("Invariants")


def test_a_window_is_at_most_what_the_format_says() -> None:
    assert 1 << frames.WINDOW_LOG_MAX == 128 << 20
    assert "window at most 128 MiB" in " ".join(_section("Frames").split())
