"""Hypothesis strategies for the values of the log, shared by every test that states a law about them.

Names include what file systems really hold: newlines, bytes that are not
UTF-8, leading dashes. Trees are always whole: every parent is a directory.
"""

from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from confstream.codec import notes, objects
from confstream.codec.fields import NUMBER_MAX, OWNER_MAX
from confstream.revision import (
    GENESIS,
    WRITE_ID_SIZE,
    Authorship,
    Heartbeat,
    Position,
    Revision,
    Snapshot,
    Status,
    Tag,
    Verdict,
)
from confstream.tree import HASH_SIZE, Change, Entry, Kind, Meta, Op, Tree, content_hash, diff

law = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
"""How thoroughly a law is tried: without a deadline, because the machine may be busy."""

ODD_NAMES = [b"config.yml", b"a\nb", b"\xff\xfe", b"-rf", b" ", b"\xc3\xa9", b"..a", b".hidden", b"x" * 255]


def names() -> st.SearchStrategy[bytes]:
    """Return a strategy for one part of a path."""
    free = st.binary(min_size=1, max_size=8).filter(
        lambda name: not ({0, 0x2F} & set(name)) and name not in {b".", b".."}
    )
    return st.sampled_from([b"a", b"b", b"c"]) | st.sampled_from(ODD_NAMES) | free


def paths() -> st.SearchStrategy[bytes]:
    """Return a strategy for paths of one to three parts."""
    return st.lists(names(), min_size=1, max_size=3).map(b"/".join)


def contents() -> st.SearchStrategy[bytes]:
    """Return a strategy for contents: empty, text that repeats, arbitrary bytes."""
    text = st.lists(st.sampled_from([b"mqtt:\n", b"  host: broker\n", b"cameras: {}\n", b"#\n"]), max_size=30).map(
        b"".join
    )
    return st.just(b"") | text | st.binary(max_size=64)


modes = st.sampled_from([0o600, 0o644, 0o755, 0o4711, 0o000, 0o7777]) | st.integers(0, 0o7777)
owners = st.sampled_from([0, 1000, 65534, OWNER_MAX]) | st.integers(0, OWNER_MAX)
times_ns = st.integers(0, NUMBER_MAX)
mtimes_ns = st.integers(-NUMBER_MAX, NUMBER_MAX)
texts = st.text(max_size=30)
hashes = st.binary(min_size=HASH_SIZE, max_size=HASH_SIZE)
targets = st.binary(min_size=1, max_size=20).filter(lambda target: b"\0" not in target)


@st.composite
def entries_at(draw: st.DrawFn, path: bytes, kinds: tuple[Kind, ...] = tuple(Kind)) -> Entry:
    """Return the strategy's entry at *path*."""
    kind = draw(st.sampled_from(kinds))
    uid, gid = draw(owners), draw(owners)
    if kind is Kind.SYMLINK:
        return Entry.symlink(path, draw(targets), uid=uid, gid=gid)
    if kind is Kind.DIRECTORY:
        return Entry.directory(path, draw(modes), uid=uid, gid=gid)
    return Entry.file(path, draw(contents()), draw(modes), uid=uid, gid=gid, mtime_ns=draw(mtimes_ns))


def entries() -> st.SearchStrategy[Entry]:
    """Return a strategy for entries of every kind."""
    return paths().flatmap(entries_at)


_drafts = st.lists(st.tuples(paths(), st.integers(0, 5), contents(), targets, modes, owners, mtimes_ns), max_size=6)


def held_trees() -> st.SearchStrategy[tuple[Tree, dict[bytes, bytes]]]:
    """Return a strategy for a tree together with the contents of its files by hash."""
    return _drafts.map(_grown)


def _grown(drafts: list[tuple[bytes, int, bytes, bytes, int, int, int]]) -> tuple[Tree, dict[bytes, bytes]]:
    found: dict[bytes, Entry] = {}
    held: dict[bytes, bytes] = {}
    for path, kind, content, target, mode, uid, mtime_ns in drafts:
        parts = path.split(b"/")
        parents = [b"/".join(parts[:count]) for count in range(1, len(parts))]
        if path in found or any(parent in found and found[parent].kind is not Kind.DIRECTORY for parent in parents):
            continue
        for parent in parents:
            found.setdefault(parent, Entry.directory(parent, mode | 0o100, uid=uid))
        if kind == 0:
            found[path] = Entry.directory(path, mode, uid=uid)
        elif kind == 1:
            found[path] = Entry.symlink(path, target, gid=uid)
        else:
            found[path] = Entry.file(path, content, mode, uid=uid, mtime_ns=mtime_ns)
            held[content_hash(content)] = content
    return Tree(found.values()), held


def trees() -> st.SearchStrategy[Tree]:
    """Return a strategy for whole trees."""
    return held_trees().map(lambda pair: pair[0])


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """Return a change of any op."""
    op, path = draw(st.sampled_from(Op)), draw(paths())
    if op is Op.PUT:
        return Change.put(draw(entries_at(path)))
    if op is Op.META:
        return Change(op, path, meta=Meta(draw(modes), draw(owners), draw(owners)))
    return Change(op, path)


verdicts = st.builds(Verdict, st.sampled_from(Status), st.lists(texts, max_size=3).map(tuple))
authorships = st.builds(
    Authorship, source=texts, author=texts, message=texts, labels=st.dictionaries(texts, texts, max_size=4)
)


@st.composite
def revisions(draw: st.DrawFn) -> Revision:
    """Return a revision on its own: valid, but of no particular log."""
    epoch = draw(st.integers(1, NUMBER_MAX))
    listed = draw(st.lists(changes(), max_size=6, unique_by=lambda change: change.path))
    return Revision(
        number=draw(st.integers(1, NUMBER_MAX)),
        epoch=epoch,
        epoch_high=draw(st.integers(epoch, NUMBER_MAX)),
        writer=draw(texts),
        host=draw(texts),
        write_id=draw(st.binary(min_size=WRITE_ID_SIZE, max_size=WRITE_ID_SIZE)),
        previous=draw(hashes),
        time_ns=draw(times_ns),
        authorship=draw(authorships),
        changes=tuple(sorted(listed, key=lambda change: change.path)),
        verdict=draw(verdicts),
        tree_hash=draw(hashes),
        supersedes=draw(st.none() | st.tuples(st.integers(1, 9), st.integers(9, 99))),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> tuple[Snapshot, dict[bytes, bytes]]:
    """Return a snapshot and the contents of its files by hash."""
    tree, held = draw(held_trees())
    number, epoch = draw(st.integers(1, NUMBER_MAX)), draw(st.integers(1, NUMBER_MAX))
    return Snapshot(Position(number, draw(hashes), epoch, draw(times_ns)), draw(verdicts), tree), held


tags = st.builds(Tag, name=texts, number=st.integers(1, NUMBER_MAX), revision_hash=hashes, time_ns=times_ns)
heartbeats = st.builds(
    Heartbeat,
    writer=texts,
    host=texts,
    epoch=st.integers(0, NUMBER_MAX),
    number=st.integers(0, NUMBER_MAX),
    tree_hash=hashes,
    time_ns=times_ns,
    interval_seconds=st.integers(0, 10**9).map(lambda count: count / 1000),
    lag_seconds=st.integers(0, 10**9).map(lambda count: count / 1000),
    version=texts,
    released=st.booleans(),
)


def chain(steps: list[Tree], held: dict[bytes, bytes], *, prefixes: bool = True) -> list[objects.RevisionObject]:
    """Return the log, decoded from its objects, whose revisions lead to each of *steps* in turn.

    *held* are all contents by hash. New ones are stored, against the path's
    previous content with *prefixes*; the rest is referenced.
    """
    log: list[objects.RevisionObject] = []
    before = Tree()
    for number, tree in enumerate(steps, 1):
        listed = tuple(diff(before, tree))
        last = log[-1].position if log else Position(0, GENESIS)
        made = Revision(
            number=number,
            epoch=1,
            epoch_high=1,
            writer="w",
            host="h",
            write_id=number.to_bytes(WRITE_ID_SIZE, "big"),
            previous=last.hash,
            time_ns=number,
            authorship=Authorship(),
            changes=listed,
            verdict=Verdict(),
            tree_hash=tree.digest,
        )
        known = {entry.hash for entry in before.files}
        new = {entry.hash: held[entry.hash] for entry in tree.files if entry.hash not in known}
        previous = {entry.path: held[entry.hash] for entry in before.files} if prefixes else {}
        log.append(objects.decode_revision(objects.encode_revision(made, new, previous), f"log/{number}"))
        before = tree
    return log


Decoder = Callable[[bytes], object]


def decoders() -> dict[str, Decoder]:
    """Return by kind what reads an object whole: metadata and every content."""

    def revision(body: bytes) -> object:
        made = objects.decode_revision(body, "k")
        return made, list(made.read(lambda _: SAMPLE_PREVIOUS, "k"))

    def pack(body: bytes) -> object:
        made = objects.decode_pack(body, "k")
        return made, list(made.read("k"))

    def snapshot(body: bytes) -> object:
        made = objects.decode_snapshot(body, "k")
        return made, list(made.read("k"))

    return {
        "revision": revision,
        "pack": pack,
        "pack index": lambda body: objects.decode_pack_index(body, "k"),
        "snapshot": snapshot,
        "snapshot index": lambda body: objects.decode_snapshot_index(body, "k"),
        "blob": lambda body: objects.decode_blob(body, "k", content_hash(SAMPLE_CONTENT)),
        "tag": lambda body: notes.decode_tag(body, "k"),
        "heartbeat": lambda body: notes.decode_heartbeat(body, "k"),
        "descriptor": lambda body: notes.decode_descriptor(body, "k"),
    }


SAMPLE_PREVIOUS = b"mqtt:\n  host: broker\n"
SAMPLE_CONTENT = b"mqtt:\n  host: other\n"


def samples() -> dict[str, bytes]:
    """Return one small object of each kind; those of revision 2 need ``SAMPLE_PREVIOUS`` to be read."""
    held = {content_hash(content): content for content in (SAMPLE_PREVIOUS, SAMPLE_CONTENT)}
    first = Tree([Entry.file(b"config.yml", SAMPLE_PREVIOUS), Entry.symlink(b"link", b"config.yml")])
    second = Tree([Entry.directory(b"d"), Entry.file(b"config.yml", SAMPLE_CONTENT, 0o600)])
    log = chain([first, second], held)
    last = log[-1]
    previous = {entry.path: SAMPLE_PREVIOUS for entry in first.files}
    new = {content_hash(SAMPLE_CONTENT): SAMPLE_CONTENT}
    snapshot = Snapshot(last.position, Verdict(Status.SUSPICIOUS, ("blank",)), second)
    return {
        "revision": objects.encode_revision(last.revision, new, previous),
        "pack": objects.encode_pack(log, held.__getitem__, 7),
        "snapshot": objects.encode_snapshot(snapshot, held.__getitem__),
        "blob": objects.encode_blob(SAMPLE_CONTENT),
        "tag": notes.encode_tag(Tag("v1", 2, last.hash, 3)),
        "heartbeat": notes.encode_heartbeat(
            Heartbeat("w", "h", 1, 2, second.digest, 3, 300.0, 0.5, "0.1.0", released=False)
        ),
        "descriptor": notes.encode_descriptor(notes.Descriptor("0" * 32, 1, "0.1.0", exclusive_create=True)),
    }
