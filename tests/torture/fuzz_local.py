"""What lies in a state directory, fuzzed behind its checksums: logs, checkpoints, markers, notes.

A marker tells what to write where, so each is also obeyed, and what lies
around the tree must stay as it is.
"""

import atexit
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgpack

from confstream import checkout, peek
from confstream.checkout import Marker
from confstream.checkout.marker import encode as encode_marker
from confstream.checkout.plan import plan_checkout
from confstream.errors import ConfstreamError, IntegrityError, NotFoundError, PartialError, RefusedError, UsageError
from confstream.journal import stranger
from confstream.journal.directory import holder
from confstream.journal.draft import Draft, State, decode_state, encode_draft, encode_state
from confstream.journal.frames import encode_frame, encode_header, replay
from confstream.journal.judging import Judge
from confstream.journal.ledger import Ledger
from confstream.journal.restored import restored_note
from confstream.journal.spool import content_payload
from confstream.profiles.memory import recall
from confstream.revision import Authorship, Position
from confstream.testing import ManualClock
from confstream.tracking import track
from confstream.tree import Change, Entry, Kind, Tree, content_hash
from tests.torture.fuzz_opened import joined, parted, values_of
from tests.torture.fuzz_target import Target, in_memory
from tests.torture.sentinel import Sentinel

_MAGIC = b"confstream restoring 1\n"
_GENERATION = 3
_CONTENT = b"mqtt:\n  host: broker\n"
_DRAFT, _CONTENT_RECORD, _APPLIED, _CONFIRMED, _FORKED, _FENCED, _NOTE, _INTENT = 2, 1, 3, 4, 5, 6, 8, 9


def targets() -> list[Target]:
    """Return all of them."""
    return [
        Target("wal", _logs, _read_wal),
        Target("journal", _journals, _read_journal, by_fields=True),
        Target("marker", _markers, _obey_marker, by_fields=True),
        Target(
            "tracked", lambda: [b"recognised frigate\ninclude *.yml\nexclude !a/\n", b"named none\n"], _read_tracked
        ),
        Target("restored", _restored_notes, _read_restored),
    ]


@cache
def _ground() -> Path:
    """Return a directory of this process, in memory where there is one for that."""
    made = Path(tempfile.mkdtemp(prefix="confstream-fuzz-", dir=in_memory()))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def _logs() -> list[bytes]:
    rows = ((_CONTENT_RECORD, b"x" * 40), (_NOTE, msgpack.packb(["k", "v"])), (200, b""))
    offset, body = len(encode_header(_GENERATION)), encode_header(_GENERATION)
    for kind, payload in rows:
        frame = encode_frame(_GENERATION, offset, kind, payload, offset)
        body, offset = body + frame, offset + len(frame)
    return [body, body[:-3], encode_header(1)]


def _read_wal(given: bytes) -> None:
    descriptor = (
        os.memfd_create("log") if hasattr(os, "memfd_create") else os.open(_ground() / "log", os.O_RDWR | os.O_CREAT)
    )
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, given, 0)
        seen: list[int] = []
        with contextlib.suppress(IntegrityError):
            end = replay(descriptor, Path("log"), lambda frame: seen.append(frame.end))[1]
            assert end <= len(given)
            assert seen == sorted(seen)
            assert not seen or seen[-1] == end
    finally:
        os.close(descriptor)


@cache
def _state() -> tuple[bytes, tuple[bytes, ...]]:
    """Return a checkpoint and records that fit it, with every kind of record among them."""
    tree = Tree([Entry.file(b"config.yml", _CONTENT), Entry.directory(b"d"), Entry.symlink(b"l", b"config.yml")])
    doubts = json.dumps({"blank": {"a": "00"}, "broken": {"b": ["line 3"]}, "gutted": [4, 5]})
    notes = {"doubts": doubts, "stranger": json.dumps([5, ["why"]]), "fork": "2 7", "proven": "s3://b/p"}
    state = State("ab" * 8, _GENERATION, 0, 7, "0" * 32, Position(2, bytes(32), 1, 5), tree, tree, None, notes)
    new = Entry.file(b"config.yml", _CONTENT + b"  port: 1\n")
    drafts = [
        Draft(
            bytes([number]) * 16, 9, Authorship("api", "me", "why", {"k": "v"}), (Change.put(new),), intent=number == 2
        )
        for number in (1, 2, 3)
    ]
    return encode_state(state), tuple(map(encode_draft, drafts))


def _journals() -> list[bytes]:
    encoded, drafts = _state()
    body = encoded[8:-32]
    one, two = bytes([1]) * 16, bytes([2]) * 16
    position = msgpack.packb([one, 3, bytes(32), 1, 9])
    rows: list[tuple[int, bytes]] = [
        (_CONTENT_RECORD, content_payload(content_hash(_CONTENT), _CONTENT)),
        *((_DRAFT, draft) for draft in drafts),
        (_CONFIRMED, position),
        (_APPLIED, two),
        (_FORKED, two),
        (_FENCED, msgpack.packb(["w", 7])),
        (_NOTE, msgpack.packb(["stranger", None])),
        (_INTENT, drafts[1]),
    ]

    def packed(chosen: list[tuple[int, bytes]]) -> bytes:
        return b"".join(msgpack.packb([kind, payload], use_bin_type=True) for kind, payload in chosen)

    whole = packed(rows)
    fewer = packed(rows[:2])
    # Both parts have fields, and the mutator changes those of the first: so each is first once.
    return [joined(body, whole), joined(whole, body), joined(body, b""), joined(fewer, body)]


def _read_journal(given: bytes) -> None:
    first, second = parted(given)
    body, records = (second, first) if _is_rows(first) else (first, second)
    state = b"cfstrjnl" + body
    state += hashlib.sha256(state).digest()
    folder = _ground() / "journal"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    try:
        generation = decode_state(state, "state").generation
    except IntegrityError as error:
        assert str(error).startswith("state: "), error  # noqa: PT017 - either outcome is fine.
        return
    number = min(generation, 2**63)
    (folder / "state").write_bytes(state)
    log = encode_header(number)
    for row in values_of(records) or []:
        if isinstance(row, list) and len(row) == 2 and isinstance(row[1], bytes) and row[0] in range(256):
            log += encode_frame(number, len(log), int(row[0]), row[1], len(log))
    (folder / f"wal-{number}").write_bytes(log)
    with contextlib.suppress(IntegrityError, NotFoundError):
        seen = peek(folder)
        json.dumps([seen.writer, seen.stream, seen.notes, [draft.authorship.message for draft in seen.pending]])
        assert all(isinstance(entry, Entry) for entry in seen.current.values())
    clock = ManualClock()
    try:
        with Ledger.open(folder, clock=clock, new_id=bytes, sync=lambda _descriptor: None) as ledger:
            _use(ledger, clock)
    except ConfstreamError as error:
        assert type(error) in {IntegrityError, ConfstreamError}, repr(error)  # noqa: PT017 - likewise.


def _is_rows(encoded: bytes) -> bool:
    rows = values_of(encoded)
    return bool(rows) and isinstance(rows[0], list) and len(rows[0]) == 2  # type: ignore[index]


def _use(ledger: Ledger, clock: ManualClock) -> None:
    """Ask a ledger what a start asks of it."""
    stranger.still(ledger, clock.now_ns())
    json.dumps([[*reasons] for reasons in Judge(ledger, clock, None, believe_all=False).doubts.values()])
    for draft in ledger.pending:
        for digest in draft.hashes:
            ledger.content(digest)
    ledger.checkpoint()


def _marker(old: Sequence[Entry], new: Sequence[Entry]) -> bytes:
    """Return the body of the marker of a restore that leads from *old* to *new*."""
    plan = plan_checkout(Tree(old), Tree(new), delete=True)
    files = [entry.path for entry in new if entry.kind is Kind.FILE]
    staged = {path: checkout.marker.Staged(b"%08d" % number, number) for number, path in enumerate(files)}
    note = {
        "revision": 3,
        "hash": bytes(32),
        "replica": "s3://b",
        "restored": {"revision": 3},
        "time_ns": 5,
        "fork": None,
    }
    return encode_marker(Marker(tuple(plan), staged, b"20260227T093000Z", note))[len(_MAGIC) + 32 :]


@cache
def _markers() -> list[bytes]:
    own = {"uid": os.getuid(), "gid": os.getgid()}
    config, empty = Entry.file(b"config.yml", _CONTENT, 0o600, **own), Entry.file(b"d/e", b"", **own)
    folder, gone = Entry.directory(b"d", **own), Entry.file(b"gone", b"", **own)
    written = _marker(
        [Entry.file(b"config.yml", b"old", **own), gone], [config, folder, empty, Entry.symlink(b"l", b"d", **own)]
    )
    # Modes, other kinds in the same place, and what has to go with all that it holds.
    old = [
        replace(config, mode=0o644),
        replace(folder, mode=0o700),
        Entry.symlink(b"l", b"x", **own),
        Entry.directory(b"k", **own),
        Entry.file(b"k/a", b"", **own),
        Entry.directory(b"k/b", **own),
        gone,
    ]
    changed = _marker(old, [config, folder, Entry.symlink(b"l", b"d", **own), Entry.file(b"k", b"", **own)])
    return [joined(body, b"") for body in (written, changed)]


@cache
def _sentinel() -> Sentinel:
    ground = _ground() / "ground"
    ground.mkdir()
    return Sentinel(ground)


def _obey_marker(given: bytes) -> None:
    body = parted(given)[0]
    around = _sentinel()
    around.clear()
    tree = around.tree
    state = tree / ".confstream"
    staging = state / "staging"
    staging.mkdir(parents=True)
    for number, content in enumerate((_CONTENT, b"")):
        (staging / f"{number:08}").write_bytes(content)
    (tree / "config.yml").write_bytes(b"old")
    (tree / "gone").write_bytes(b"")
    (tree / "k" / "b").mkdir(parents=True)
    (tree / "k" / "a").write_bytes(b"")
    (tree / "out").symlink_to("../etc")
    (tree / "x").symlink_to("../x")
    (state / "restoring").write_bytes(_MAGIC + hashlib.sha256(body).digest() + body)
    try:
        marker = checkout.unfinished(tree)
        assert marker is not None
        json.dumps(str(marker.note))
        checkout.finish(tree)
    except (IntegrityError, RefusedError, PartialError):
        pass
    around.check()


def _read_tracked(given: bytes) -> None:
    folder = _ground() / "tracked" / ".confstream"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tracked").write_bytes(given)
    (folder / "lock").write_bytes(given)
    recall(folder)
    holder(folder)
    with contextlib.suppress(UsageError):
        track(folder.parent)


def _restored_notes() -> list[bytes]:
    note: dict[str, Any] = {
        "revision": 3,
        "fork": None,
        "hash": "00",
        "time": "2026",
        "time_ns": 1,
        "by": "me",
        "path": None,
    }
    return [json.dumps(note).encode(), json.dumps(note | {"fork": "w-1", "path": "a/b"}).encode()]


def _read_restored(given: bytes) -> None:
    folder = _ground() / "restored" / ".confstream"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "restored").write_bytes(given)
    made = restored_note(folder.parent)
    assert made is not None
    assert made.source == "restore"
