"""Make the golden replica of format 1: ``python -m tests.golden.make_format_1 DIRECTORY``.

The codec writes the objects. ``expected.json`` is written from the plain
values below with hashlib and msgpack alone, by FORMAT.md, so that codec and
specification check one another. Run only to make a replica of a new format:
what is committed is read for ever.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import msgpack

from confstream import layout
from confstream.codec.notes import Descriptor, encode_descriptor, encode_heartbeat, encode_tag
from confstream.codec.objects import (
    RevisionObject,
    decode_revision,
    encode_blob,
    encode_pack,
    encode_revision,
    encode_snapshot,
)
from confstream.revision import Authorship, Heartbeat, Revision, Snapshot, Status, Tag, Verdict
from confstream.tree import Change, Entry, Meta, Op, Tree, apply

# path -> ("file", mode, uid, gid, mtime_ns, content) | ("symlink", uid, gid, target) | ("directory", mode, uid, gid)
Plain = dict[bytes, tuple[Any, ...]]

CONFIG_1 = b"mqtt:\n  host: broker\n  user: frigate\ncameras:\n  porch:\n    fps: 5\n" * 4
CONFIG_2 = CONFIG_1.replace(b"fps: 5", b"fps: 7", 1)
LARGE = b"a model that counts as large here " * 40
START_NS = 1_772_184_600_000_000_000

TREE_1: Plain = {
    b"config.yml": ("file", 0o644, 1000, 1000, START_NS - 5, CONFIG_1),
    b"empty": ("directory", 0o755, 0, 0),
    b"link": ("symlink", 0, 0, b"config.yml"),
    b"name\nwith newline": ("file", 0o644, 0, 0, -1, b""),
    b"old": ("file", 0o640, 0, 0, START_NS, b"will become a directory\n"),
    b"secrets": ("directory", 0o700, 1000, 1000),
    b"secrets/password": ("file", 0o600, 1000, 1000, START_NS, b"not a real one\n"),
    b"\xff\xfe not utf-8": ("file", 0o4755, 0, 0, START_NS, b"\x00\xff"),
}
TREE_2 = TREE_1 | {b"config.yml": ("file", 0o644, 1000, 1000, START_NS + 5, CONFIG_2)}
TREE_3 = {path: entry for path, entry in TREE_2.items() if path != b"name\nwith newline"} | {
    b"secrets": ("directory", 0o750, 1000, 100),
    b"secrets/password": ("file", 0o400, 0, 0, START_NS, b"not a real one\n"),
}
TREE_4 = TREE_3 | {
    b"link": ("symlink", 0, 0, b"/no/such/\xfftarget"),
    b"old": ("directory", 0o755, 0, 0),
    b"old/deep": ("directory", 0o755, 0, 0),
    b"old/deep/broken.json": ("file", 0o644, 0, 0, START_NS, b"{"),
}
TREE_5 = TREE_4 | {
    b"config copy.yml": ("file", 0o644, 0, 0, START_NS, CONFIG_2),
    b"model.bin": ("file", 0o644, 0, 0, START_NS, LARGE),
}
TREE_6 = TREE_5 | {b"config.yml": ("file", 0o644, 1000, 1000, START_NS + 9, b"\n")}
TREE_7 = TREE_6 | {b"config.yml": ("file", 0o644, 1000, 1000, START_NS + 5, CONFIG_1)}
FORKED = TREE_5 | {b"config.yml": ("file", 0o644, 1000, 1000, START_NS + 7, CONFIG_2 + b"# written while fenced\n")}

FIRST, SECOND = ("firstwriter", "pod-a"), ("secondwriter", "pod-b")
STEPS: list[dict[str, Any]] = [
    {"tree": TREE_1, "writer": FIRST, "epoch": 1, "source": "import", "message": "first"},
    {"tree": TREE_2, "writer": FIRST, "epoch": 1, "author": "ünïcode", "labels": {"b": "2", "a": "1"}},
    {"tree": TREE_3, "writer": FIRST, "epoch": 1, "source": "replicate"},
    {"tree": TREE_4, "writer": FIRST, "epoch": 1, "verdict": ("invalid", ["old/deep/broken.json: ends early"])},
    {"tree": TREE_5, "writer": FIRST, "epoch": 1},
    {
        "tree": TREE_6,
        "writer": SECOND,
        "epoch": 2,
        "supersedes": [5, 5],
        "verdict": ("suspicious", ["blank", "shrunk"]),
    },
    {"tree": TREE_7, "writer": SECOND, "epoch": 2, "source": "restore", "message": "back to revision 1"},
]
FORK_STEP: dict[str, Any] = {"tree": FORKED, "writer": FIRST, "epoch": 1, "message": "never published"}


def make(directory: Path) -> None:
    """Write the replica and its ``expected.json`` into *directory*."""
    log: list[RevisionObject] = []
    bodies: list[bytes] = []
    for step in STEPS:
        body = _object(step, log, STEPS[len(log) - 1]["tree"] if log else {})
        log.append(decode_revision(body, "made"))
        bodies.append(body)
    fork = _object(FORK_STEP, log[:5], TREE_5, number=6)
    held = {hashlib.sha256(entry[5]).digest(): entry[5] for step in STEPS for entry in _files(step["tree"]).values()}
    large = hashlib.sha256(LARGE).digest()
    snapshot = Snapshot(log[3].position, log[3].revision.verdict, _tree(TREE_4))
    beat = Heartbeat("secondwriter", "pod-b", 2, 7, log[6].revision.tree_hash, START_NS + 99, 300.0, 1.5, "0.1.0", True)
    objects = {
        layout.DESCRIPTOR: encode_descriptor(
            Descriptor("0123456789abcdef" * 2, START_NS, "0.1.0", exclusive_create=True)
        ),
        layout.pack_key(1, 4): encode_pack(log[:4], held.__getitem__, START_NS + 50),
        layout.snapshot_key(4): encode_snapshot(snapshot, held.__getitem__),
        **{layout.log_key(number): bodies[number - 1] for number in (4, 5, 6, 7)},
        layout.blob_key(large): encode_blob(LARGE),
        layout.tag_key("before-upgrade"): encode_tag(Tag("before-upgrade", 2, log[1].hash, START_NS + 60)),
        layout.heartbeat_key("secondwriter"): encode_heartbeat(beat),
        layout.Fork("firstwriter", 1).prefix + layout.log_key(6): fork,
    }
    for key, body in objects.items():
        (directory / key).parent.mkdir(parents=True, exist_ok=True)
        (directory / key).write_bytes(body)
    (directory / "expected.json").write_text(json.dumps(_expected(sorted(objects)), indent=1) + "\n")


def text(encoded: bytes) -> str:
    """Return *encoded* as JSON can hold it, backslashes for what is not UTF-8."""
    return encoded.decode("utf-8", "backslashreplace")


def _object(step: dict[str, Any], log: list[RevisionObject], before: Plain, number: int | None = None) -> bytes:
    old, new = _tree(before), _tree(step["tree"])
    status, reasons = step.get("verdict", ("ok", []))
    number = number or len(log) + 1
    revision = Revision(
        number=number,
        epoch=step["epoch"],
        epoch_high=step["epoch"],
        writer=step["writer"][0],
        host=step["writer"][1],
        write_id=_write_id(number, step),
        previous=log[-1].hash if log else bytes(32),
        time_ns=START_NS + number,
        authorship=Authorship(
            step.get("source", "api"), step.get("author", ""), step.get("message", ""), step.get("labels", {})
        ),
        changes=tuple(_change(path, before, step["tree"]) for path in _changed(before, step["tree"])),
        verdict=Verdict(Status(status), tuple(reasons)),
        tree_hash=new.digest,
        supersedes=tuple(step["supersedes"]) if "supersedes" in step else None,
    )
    if apply(old, revision.changes).digest != new.digest:
        raise AssertionError(f"the changes of revision {number} do not lead to its tree")
    known = {entry.hash for entry in old.files}
    contents = {hashlib.sha256(entry[5]).digest(): entry[5] for entry in _files(step["tree"]).values()}
    large = hashlib.sha256(LARGE).digest()
    inline = {digest: content for digest, content in contents.items() if digest not in known and digest != large}
    previous = {path: entry[5] for path, entry in _files(before).items() if entry[5] != LARGE}
    return encode_revision(revision, inline, previous, {large} - known)


def _write_id(number: int, step: dict[str, Any]) -> bytes:
    return bytes([number]) * 15 + bytes([step["epoch"]])


def _files(plain: Plain) -> Plain:
    return {path: entry for path, entry in plain.items() if entry[0] == "file"}


def _tree(plain: Plain) -> Tree:
    return Tree(_entry(path, entry) for path, entry in plain.items())


def _entry(path: bytes, entry: tuple[Any, ...]) -> Entry:
    if entry[0] == "file":
        _, mode, uid, gid, mtime_ns, content = entry
        return Entry.file(path, content, mode, uid=uid, gid=gid, mtime_ns=mtime_ns)
    if entry[0] == "symlink":
        return Entry.symlink(path, entry[3], uid=entry[1], gid=entry[2])
    return Entry.directory(path, entry[1], uid=entry[2], gid=entry[3])


def _changed(before: Plain, after: Plain) -> list[bytes]:
    return [path for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path)]


def _only_meta(path: bytes, before: Plain, after: Plain) -> bool:
    one, other = before.get(path), after[path]
    same_file = one is not None and one[0] == other[0] == "file" and one[5] == other[5]
    return same_file or (one is not None and one[0] == other[0] == "directory")


def _change(path: bytes, before: Plain, after: Plain) -> Change:
    if path not in after:
        return Change(Op.DELETE, path)
    if _only_meta(path, before, after):
        return Change(Op.META, path, meta=Meta(*after[path][1:4]))
    return Change.put(_entry(path, after[path]))


# From here on FORMAT.md by hand: nothing of confstream is used to say what is expected.


def _expected(keys: list[str]) -> dict[str, Any]:
    previous: bytes = bytes(32)
    before: Plain = {}
    revisions: list[dict[str, Any]] = []
    for number, step in enumerate(STEPS, 1):
        revisions.append(_expected_revision(number, step, previous, before))
        previous, before = bytes.fromhex(revisions[-1]["hash"]), step["tree"]
    fork = _expected_revision(6, FORK_STEP, bytes.fromhex(revisions[4]["hash"]), TREE_5)
    return {
        "keys": keys,
        "revisions": revisions,
        "fork": fork,
        "packed": [1, 4],
        "snapshot": 4,
        "blob": hashlib.sha256(LARGE).hexdigest(),
        "descriptor": {
            "stream": "0123456789abcdef" * 2,
            "created_ns": START_NS,
            "version": "0.1.0",
            "exclusive_create": True,
        },
        "tag": {
            "name": "before-upgrade",
            "number": 2,
            "revision_hash": revisions[1]["hash"],
            "time_ns": START_NS + 60,
        },
        "heartbeat": {
            "writer": "secondwriter",
            "host": "pod-b",
            "epoch": 2,
            "number": 7,
            "tree_hash": revisions[6]["tree_hash"],
            "time_ns": START_NS + 99,
            "interval_seconds": 300.0,
            "lag_seconds": 1.5,
            "version": "0.1.0",
            "released": True,
        },
    }


def _expected_revision(number: int, step: dict[str, Any], previous: bytes, before: Plain) -> dict[str, Any]:
    tree_hash = _tree_hash(step["tree"])
    status, reasons = step.get("verdict", ("ok", []))
    values = [
        number,
        [step["epoch"], step["epoch"]],
        [*step["writer"], _write_id(number, step)],
        previous,
        START_NS + number,
        [step.get("source", "api"), step.get("author", ""), step.get("message", "")],
        dict(sorted(step.get("labels", {}).items())),
        step.get("supersedes", []),
        status,
        reasons,
        tree_hash,
        [_change_fields(path, before, step["tree"]) for path in _changed(before, step["tree"])],
    ]
    record = b"".join(msgpack.packb(value) for value in values)
    return {
        "number": number,
        "hash": hashlib.sha256(record).hexdigest(),
        "record": record.hex(),
        "previous": previous.hex(),
        "tree_hash": tree_hash.hex(),
        "writer": step["writer"][0],
        "epoch": step["epoch"],
        "verdict": [status, reasons],
        "changes": [text(path) for path in _changed(before, step["tree"])],
        "tree": {text(path): _described(step["tree"][path]) for path in sorted(step["tree"])},
    }


def _described(entry: tuple[Any, ...]) -> dict[str, Any]:
    if entry[0] == "file":
        _, mode, uid, gid, mtime_ns, content = entry
        found = {"mode": f"{mode:04o}", "owner": [uid, gid], "mtime_ns": mtime_ns, "content": content.hex()}
    elif entry[0] == "symlink":
        found = {"owner": [entry[1], entry[2]], "target": entry[3].hex()}
    else:
        found = {"mode": f"{entry[1]:04o}", "owner": [entry[2], entry[3]]}
    return {"kind": entry[0], **found}


def _tree_hash(plain: Plain) -> bytes:
    hashed = b"confstream tree 1\n"
    for path in sorted(plain):
        kind, *rest = plain[path]
        mode = 0o777 if kind == "symlink" else rest[0]
        content = {"file": rest[-1], "symlink": rest[-1], "directory": None}[kind]
        digest = bytes(32) if content is None else hashlib.sha256(content).digest()
        hashed += len(path).to_bytes(4, "little") + path + kind[0].encode() + b"%04o" % mode + digest
    return hashlib.sha256(hashed).digest()


def _change_fields(path: bytes, before: Plain, after: Plain) -> list[Any]:
    if path not in after:
        return [1, path]
    if _only_meta(path, before, after):
        return [2, path, *after[path][1:4]]
    kind, *rest = after[path]
    if kind == "file":
        mode, uid, gid, mtime_ns, content = rest
        return [0, path, 0, mode, uid, gid, mtime_ns, len(content), hashlib.sha256(content).digest()]
    return [0, path, {"symlink": 1, "directory": 2}[kind], *rest]


if __name__ == "__main__":
    make(Path(sys.argv[1]))
