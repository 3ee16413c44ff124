"""How a whole revision changed the tree, in words: a few files by their key paths, the rest counted."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from confstream.naming import quote_path
from confstream.tree import EMPTY_HASH, Change, Entry, Kind, Op
from confstream.words.file import file_words, is_secret
from confstream.words.values import size

LENGTH_MAX = 1000
FILES_MAX = 3
"""How many files of one kind of change are named."""

_CONTENT_SIZE_MAX = 2 << 20
_PATH_LENGTH_MAX = 100

Contents = Callable[[bytes], bytes | None]
Secrets = Callable[[bytes], Sequence[str]]


def revision_words(
    changes: Iterable[Change],
    before: Mapping[bytes, Entry],
    contents: Contents = lambda _: None,
    secrets: Secrets = lambda _: (),
) -> str:
    """Return what *changes* of the tree *before* are, on one line of at most ``LENGTH_MAX`` letters.

    *contents* gives a content by its hash, or None where it is not at hand: then a
    file is only named. It is asked for a few files only. *secrets* says of a path what
    ``Profile.secrets_in`` does. Directories count only if nothing else changed.
    """
    sorted_out = _SortedOut.of(changes, before)
    said: list[str] = []
    left = LENGTH_MAX - len("; and 1000000 more files")
    unsaid = 0
    for section in (
        _modified(sorted_out.modified, contents, secrets),
        _named(sorted_out.renamed),
        _named(sorted_out.added, "+ "),
        _named(sorted_out.removed, "- "),
        _counted(sorted_out),
    ):
        for text, count in section:
            if len(text) + 2 <= left:
                said.append(text)
                left -= len(text) + 2
            else:
                unsaid += count
    if unsaid:
        said.append(f"and {_files(unsaid, 'more ')}")
    return "; ".join(said) or "nothing"


@dataclass(slots=True)
class _SortedOut:
    """Changes by what they are to a person."""

    modified: list[tuple[Entry, Entry]] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    meta: list[str] = field(default_factory=list)
    directories: int = 0

    @classmethod
    def of(cls, changes: Iterable[Change], before: Mapping[bytes, Entry]) -> "_SortedOut":
        """Return *changes* of *before*, sorted out."""
        found = cls()
        put: list[Entry] = []
        gone: dict[bytes, bytes] = {}
        for change in changes:
            entry, was = change.entry, before.get(change.path)
            if Kind.DIRECTORY in {entry.kind if entry else None, was.kind if was and not entry else None}:
                found.directories += 1
            elif change.op is Op.META:
                found.meta.append(_meta(change, was))
            elif entry is None:
                # What has no content is not known again.
                token = was.hash if was is not None and was.hash != EMPTY_HASH else change.path
                if token in gone:
                    found.removed.append(_path(change.path))
                else:
                    gone[token] = change.path
            elif was is not None and was.kind is Kind.FILE and entry.kind is Kind.FILE:
                found.modified.append((was, entry))
            else:
                put.append(entry)
        for entry in put:
            found._add(entry, before.get(entry.path), gone)
        found.removed = sorted([*found.removed, *map(_path, gone.values())])
        return found

    def _add(self, entry: Entry, was: Entry | None, gone: dict[bytes, bytes]) -> None:
        former, path = gone.pop(entry.hash, None), _path(entry.path)
        if former is not None:
            self.renamed.append(f"{_path(former)} → {path} (renamed)")
        elif was is None:
            self.added.append(f"{path} ({'link' if entry.kind is Kind.SYMLINK else size(entry.size)})")
        elif was.kind is entry.kind:
            self.renamed.append(f"{path} points elsewhere")
        else:
            self.renamed.append(f"{path} is a {entry.kind.value} now")


def _modified(pairs: list[tuple[Entry, Entry]], contents: Contents, secrets: Secrets) -> Iterable[tuple[str, int]]:
    for was, entry in pairs[:FILES_MAX]:
        yield _one(was, entry, contents, secrets), 1
    if len(pairs) > FILES_MAX:
        yield f"{_files(len(pairs) - FILES_MAX, 'more ')} changed", len(pairs) - FILES_MAX


def _one(was: Entry, entry: Entry, contents: Contents, secrets: Secrets) -> str:
    path = _path(entry.path)
    if is_secret(entry.path):
        # Without a colon: behind one, masking would take the rest for the secret.
        return f"{path} changed (secret)"
    old = new = None
    if max(was.size, entry.size) <= _CONTENT_SIZE_MAX:
        old, new = contents(was.hash), contents(entry.hash)
    if old is None or new is None:
        return f"{path} changed, {size(was.size)} → {size(entry.size)}"
    words = file_words(entry.path, old, new, secrets(entry.path))
    return f"{path}: {words}" if words else path


def _named(names: list[str], sign: str = "") -> Iterable[tuple[str, int]]:
    if names:
        more = f" and {len(names) - FILES_MAX} more" if len(names) > FILES_MAX else ""
        yield f"{sign}{', '.join(names[:FILES_MAX])}{more}", len(names)


def _counted(found: _SortedOut) -> Iterable[tuple[str, int]]:
    if len(found.meta) == 1:
        yield found.meta[0], 1
    elif found.meta:
        yield f"mode or owner of {_files(len(found.meta))}", len(found.meta)
    others = (found.modified, found.renamed, found.added, found.removed, found.meta)
    if found.directories and not any(others):
        yield "1 directory" if found.directories == 1 else f"{found.directories} directories", 0


def _meta(change: Change, was: Entry | None) -> str:
    path, meta = _path(change.path), change.meta
    if was is None or meta is None:
        return f"mode or owner of {path}"
    mode = f"mode {was.mode:04o} → {meta.mode:04o}" if was.mode != meta.mode else ""
    is_other = (was.uid, was.gid) != (meta.uid, meta.gid)
    owner = f"owner {was.uid}:{was.gid} → {meta.uid}:{meta.gid}" if is_other else ""
    return f"{path} {' and '.join(filter(None, (mode, owner)))}"


def _files(count: int, more: str = "") -> str:
    return f"{count} {more}{'file' if count == 1 else 'files'}"


def _path(path: bytes) -> str:
    shown = quote_path(path)
    if len(shown) <= _PATH_LENGTH_MAX:
        return shown
    return f"{shown[: _PATH_LENGTH_MAX // 3]}…{shown[-_PATH_LENGTH_MAX * 2 // 3 :]}"
