"""Replicas made to do harm: every checksum and every link of the chain is right, what they say is not.

Each is a dict of objects by key. Changes are written as the fields of
FORMAT.md, so that what no encoder would write can be said.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from confstream.codec import frames
from confstream.codec.envelope import ObjectKind, seal
from confstream.codec.fields import pack
from confstream.codec.notes import Descriptor, encode_descriptor, encode_heartbeat, encode_tag
from confstream.codec.objects import encode_blob
from confstream.revision import Heartbeat, Tag
from confstream.tree import content_hash
from tests.forgery import compressed, positions_of, zstd_frame

Objects = dict[str, bytes]
TEXT = b"a: 1\n"
OTHER = b"b: 2\n"
LARGE = b"c: 3\n"
"""Of a blob: no other object holds it."""

NUMBER_MAX = 2**63 - 1
ESCAPES = "\x1b[2J\x1b]0;owned\x07\n\r\x9b31m\u202eforged: \x00\x7f\x08"
"""What would clear a terminal, name its window, begin a line of its own or turn its direction."""


def file(path: bytes, content: bytes = TEXT, mode: int = 0o644, **lies: Any) -> list[Any]:
    """Return the change that puts a file, with *lies* about its size, its hash or its time."""
    size, digest = lies.get("size", len(content)), lies.get("hash", content_hash(content))
    return [0, path, 0, mode, 0, 0, lies.get("mtime_ns", 0), size, digest]


def folder(path: bytes, mode: int = 0o755) -> list[Any]:
    """Return the change that puts a directory."""
    return [0, path, 2, mode, 0, 0]


def link(path: bytes, target: bytes) -> list[Any]:
    """Return the change that puts a symbolic link."""
    return [0, path, 1, 0, 0, target]


class Forger:
    """A log that is written by hand; *contents* are what its files may hold."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = {content_hash(content): content for content in (TEXT, OTHER, b"", *contents)}
        descriptor = Descriptor("0" * 32, 1, "0.1.0", exclusive_create=True)
        self.objects: Objects = {"confstream.json": encode_descriptor(descriptor)}
        self.records: list[bytes] = []
        self._entries: dict[bytes, bytes] = {}

    def add(self, *changes: list[Any], **more: Any) -> "Forger":
        """Add a revision with *changes*; *more* replaces what is right about it."""
        listed = sorted(changes, key=lambda change: change[1])
        number = more.get("number", len(self.records) + 1)
        record = self._record(number, listed, more)
        inline = [position for position, change in enumerate(listed) if self._is_held(change)]
        inline = more.get("inline", inline)
        parts = [self.contents[listed[position][8]] for position in inline if listed[position][8] in self.contents]
        frame = more.get("frame", frames.compress(parts, sum(map(len, parts))))
        prefix, blobs = positions_of(*more.get("prefix", ())), positions_of(*more.get("blobs", ()))
        metadata = pack(record, positions_of(*inline), prefix, blobs)
        key = more.get("key", f"log/{number:020d}")
        self.objects[key] = seal(ObjectKind.REVISION, compressed(metadata), frame)
        self.records.append(record)
        return self

    def pack(self, first: int, last: int, records: Sequence[bytes], key: str = "") -> "Forger":
        """Add a pack of *records*, whose contents lie elsewhere, that claims to be *first* to *last*."""
        rows = [[record, b"", b""] for record in records]
        metadata = pack((first, last, 1), rows)
        self.objects[key or f"pack/{first:020d}-{last:020d}"] = seal(ObjectKind.PACK, compressed(metadata))
        return self

    def put(self, key: str, body: bytes) -> "Forger":
        """Add any object."""
        self.objects[key] = body
        return self

    def _is_held(self, change: list[Any]) -> bool:
        return change[0] == 0 and len(change) == 9 and change[2] == 0 and change[8] in self.contents

    def _record(self, number: int, changes: list[list[Any]], more: Mapping[str, Any]) -> bytes:
        for change in changes:
            self._apply(change)
        hasher = hashlib.sha256(b"confstream tree 1\n")
        for path in sorted(self._entries):
            hasher.update(struct.pack("<I", len(path)) + path + self._entries[path])
        previous = content_hash(self.records[-1]) if self.records else bytes(32)
        fields = [
            number,
            more.get("epochs", (1, 1)),
            (more.get("writer", "w"), more.get("host", "h"), number.to_bytes(16, "big")),
            more.get("previous", previous),
            more.get("time_ns", 1_700_000_000 * 10**9),
            more.get("authorship", ("api", "", "")),
            more.get("labels", {}),
            (),
            more.get("status", "ok"),
            more.get("reasons", ()),
            more.get("tree_hash", hasher.digest()),
        ]
        count = more.get("count")
        listed = pack(changes) if count is None else b"\xdd" + struct.pack(">I", count) + pack(*changes)
        return pack(*fields) + listed

    def _apply(self, change: list[Any]) -> None:
        op, path, *rest = change
        if op == 1:
            self._entries.pop(path, None)
        elif op == 2 and path in self._entries:
            self._entries[path] = self._entries[path][:1] + b"%04o" % rest[0] + self._entries[path][5:]
        elif op == 0 and rest[0] == 0:
            self._entries[path] = b"f%04o" % rest[1] + rest[6]
        elif op == 0 and rest[0] == 1:
            self._entries[path] = b"s0777" + content_hash(rest[3])
        elif op == 0:
            self._entries[path] = b"d%04o" % rest[1] + bytes(32)


def base() -> Forger:
    """Return a log of one harmless revision."""
    return Forger().add(file(b"config.yml"), folder(b"d"), file(b"d/x", OTHER))


def escaping() -> dict[str, Objects]:
    """Return the replicas whose paths or links would lead out of the tree."""
    found: dict[str, Objects] = {}
    paths = {
        "absolute": b"/etc/passwd", "dotdot": b"../outside", "dotdot inside": b"d/../../outside", "nul": b"a\0b",
        "empty": b"", "dot": b"./a", "double slash": b"d//x", "trailing slash": b"d/", "just dots": b"..",
        "a part of 300 bytes": b"x" * 300, "10,000 deep": b"/".join([b"a"] * 10_000),
    }  # fmt: skip
    for name, path in paths.items():
        found[f"file at {name}"] = base().add(file(path)).objects
        found[f"link at {name}"] = base().add(link(path, b"../outside")).objects
        found[f"directory at {name}"] = base().add(folder(path)).objects
        found[f"delete of {name}"] = base().add([1, path]).objects
        found[f"mode of {name}"] = base().add([2, path, 0o777, 0, 0]).objects
    for target in (b"../etc", b"..", b"/", b"/etc", b".", b"l"):
        shown = target.decode()
        found[f"below a link to {shown}"] = base().add(link(b"l", target), file(b"l/outside")).objects
        found[f"below an older link to {shown}"] = base().add(link(b"l", target)).add(file(b"l/passwd")).objects
        found[f"mode through a link to {shown}"] = base().add(link(b"l", target)).add([2, b"l", 0o777, 0, 0]).objects
        found[f"a directory that becomes a link to {shown}"] = base().add(link(b"d", target)).objects
        found[f"a link to {shown} that becomes a directory"] = (
            base().add(link(b"l", target)).add([1, b"l"], folder(b"l"), file(b"l/passwd")).objects
        )
    return found


def of_state() -> dict[str, Objects]:
    """Return the replicas that hold what belongs into the state directory of a tree."""
    names = (b"restoring", b"state", b"lock", b"staging", b"staging/00000000", b"aside", b"restored", b"tracked")
    found = {"a state directory that is a link": base().add(link(b".confstream", b"../etc")).objects}
    found["a state directory that is a file"] = base().add(file(b".confstream")).objects
    for name in names:
        whole = b".confstream/" + name
        above = [folder(b"/".join(whole.split(b"/")[:count])) for count in range(1, whole.count(b"/") + 1)]
        found[f"state: {name.decode()}"] = base().add(*above, file(whole)).objects
        found[f"state: a link {name.decode()}"] = base().add(*above, link(whole, b"../../etc")).objects
    return found


def lying() -> dict[str, Objects]:
    """Return the replicas whose numbers, sizes, counts, times and references are not true."""
    runs = [1 << 17] * 512
    big = 2**62
    bomb = zstd_frame(len(TEXT), *runs)
    found = {
        "a size of 2^62": base().add(file(b"f", size=big)).objects,
        "a size too small": base().add(file(b"f", size=1)).objects,
        "a content that is a bomb": base().add(file(b"f"), frame=bomb).objects,
        "a content that announces 60 GiB": base().add(file(b"f"), frame=zstd_frame(60 << 30, *runs)).objects,
        "2^32-1 changes": base().add(file(b"f"), count=2**32 - 1).objects,
        "a content that is nowhere": base().add(file(b"f", hash=bytes(32))).objects,
        "a content that is not its hash": base().add(file(b"f", hash=content_hash(OTHER)), frame=_frame(TEXT)).objects,
        "a tree of another hash": base().add(file(b"f"), tree_hash=bytes(32)).objects,
        "a chain that loops": base().add(file(b"f"), previous=content_hash(base().records[0])[::-1]).objects,
        "a revision that is its own predecessor": _own_predecessor(),
        "slot 2 holds revision 1": base().put("log/" + "2".zfill(20), base().objects["log/" + "1".zfill(20)]).objects,
        "a number of 2^63": base().add(file(b"f"), number=2**63).objects,
        "a number of 2^64-1": base().add(file(b"f"), number=2**64 - 1).objects,
        "a slot past all numbers": base().put("log/" + "9" * 20, base().objects["log/" + "1".zfill(20)]).objects,
        "a snapshot past all numbers": base().put("snapshot/" + "9" * 20, b"x").objects,
        "a pack of all numbers": base().pack(1, 1, base().records, f"pack/{1:020d}-{'9' * 20}").objects,
        "epochs at 2^63-1": base().add(file(b"f"), epochs=(NUMBER_MAX, NUMBER_MAX)).objects,
        "epochs at 2^64-1": base().add(file(b"f"), epochs=(2**64 - 1, 2**64 - 1)).objects,
        "epochs the wrong way round": base().add(file(b"f"), epochs=(9, 1)).objects,
        "the end of time": base().add(file(b"f", mtime_ns=NUMBER_MAX), time_ns=NUMBER_MAX).objects,
        "before all time": base().add(file(b"f", mtime_ns=-NUMBER_MAX), time_ns=0).objects,
        "a time beyond the end": base().add(file(b"f"), time_ns=2**64 - 1).objects,
        "a blob that is nowhere": base().add(file(b"f", LARGE), inline=(), blobs=(0,)).objects,
        "a blob of another content": _blob(encode_blob(OTHER)),
        "a blob that is a revision": _blob(base().objects["log/" + "1".zfill(20)]),
        "a blob in itself": _blob(encode_blob(encode_blob(LARGE))),
        "a prefix of what was never there": base().add(file(b"f"), prefix=(0,)).objects,
        "a prefix of a directory": base().add(folder(b"config.yml"), file(b"d", b""), prefix=(1,)).objects,
        "a prefix that is itself": base().add(file(b"config.yml", TEXT), prefix=(0,)).objects,
        "a ring of prefixes": _ring(),
        "set-user-id for everybody": base().add(file(b"f", mode=0o6777), folder(b"e", 0o7777)).objects,
        "a mode beyond all": base().add(file(b"f", mode=0o100644)).objects,
    }
    return found | _packed() | _tagged()


def colliding() -> dict[str, Objects]:
    """Return the replicas with names that some file systems take for one."""
    pairs = {"case": (b"CONFIG.YML", b"Config.yml"), "unicode": ("é".encode(), "e\u0301".encode())}
    pairs |= {
        "compatibility": ("ﬁ".encode(), b"fi"),
        "a blank at the end": (b"x ", b"x"),
        "sharp s": ("ß".encode(), b"ss"),
    }
    return {
        f"names alike by {name}": base().add(file(one), file(two, OTHER)).objects for name, (one, two) in pairs.items()
    }


def speaking() -> Objects:
    """Return a replica in which every text that a person may see tries to drive the terminal."""
    said = ESCAPES
    name = said.replace("\x00", "").replace("/", "").encode()
    forger = base().add(
        file(name),
        file(b"d/" + name, OTHER),
        link(b"l", name),
        host=said,
        writer=said,
        authorship=("api" + said, "author" + said, "message" + said),
        labels={"label" + said: "value" + said},
        status="suspicious",
        reasons=("reason" + said, said),
    )
    beat = Heartbeat(said, said, 3, 2, bytes(32), 1_700_000_000 * 10**9, 300.0, 0.5, said, released=False)
    forger.put("heartbeat/w1", encode_heartbeat(beat))
    forger.put("tag/v1", encode_tag(Tag(said, 2, content_hash(forger.records[1]), 5)))
    forger.put("fork/w-1/log/" + "3".zfill(20), b"\x1b[2J not an object")
    return forger.objects


def every() -> dict[str, Objects]:
    """Return all of them by name."""
    return escaping() | of_state() | lying() | colliding() | {"a replica that speaks to the terminal": speaking()}


def _frame(content: bytes) -> bytes:
    return frames.compress([content], len(content))


def _own_predecessor() -> Objects:
    forger = base().add(file(b"f"))
    body = forger.objects["log/" + "2".zfill(20)]
    return forger.put("log/" + "3".zfill(20), body).put("log/" + "1".zfill(20), body).objects


def _blob(body: bytes) -> Objects:
    forger = base().add(file(b"f", LARGE), inline=(), blobs=(0,))
    return forger.put(f"blob/{content_hash(LARGE).hex()}", body).objects


def _ring() -> Objects:
    """Two files, each stored against what only the other holds."""
    one, two = b"one\n" * 5, b"two\n" * 5
    forger = Forger(one, two)
    forger.add(file(b"a", one), file(b"b", two), inline=())
    forger.add(file(b"a", two), frame=frames.compress([two], len(two), prefix=[one]), prefix=(0,))
    forger.add(file(b"b", one), frame=frames.compress([one], len(one), prefix=[two]), prefix=(0,))
    return forger.objects


def _packed() -> dict[str, Objects]:
    three = base().add(file(b"f")).add(file(b"g"))
    other = base().add(file(b"evil", OTHER)).add(file(b"evil2", OTHER))
    return {
        "packs that contradict one another": Forger()
        .pack(1, 2, three.records[:2])
        .pack(2, 3, other.records[1:])
        .objects,
        "packs that contradict the log": base().add(file(b"f")).pack(1, 2, other.records[:2]).objects,
        "packs that overlap": base()
        .add(file(b"f"))
        .pack(1, 2, three.records[:2])
        .pack(2, 3, three.records[1:])
        .objects,
        "a pack of other numbers than its name": base()
        .pack(1, 2, three.records[1:], f"pack/{1:020d}-{2:020d}")
        .objects,
        "a pack in the wrong order": base().pack(1, 2, three.records[1::-1]).objects,
        "a pack of nothing": base().pack(1, 1, []).objects,
        "a pack of one revision many times": base().pack(1, 900, three.records[:1] * 900).objects,
    }


def _tagged() -> dict[str, Objects]:
    digest = content_hash(base().records[0])
    tags = {
        "nowhere": Tag("v1", 99, bytes(32), 1),
        "past all": Tag("v1", NUMBER_MAX, digest, 1),
        "another": Tag("v1", 1, bytes(32), 1),
    }
    tags["another name"] = Tag("../../x", 1, digest, 1)
    return {f"a tag to {name}": base().put("tag/v1", encode_tag(tag)).objects for name, tag in tags.items()}
