"""How one file changed, in words: by its key paths where it is structured, else by its lines or its size.

Whatever the contents are there is an answer, of at most ``LENGTH_MAX`` letters on one line.
"""

import re
from collections import Counter
from collections.abc import Sequence

from confstream.guards import is_blank
from confstream.secrecy import is_secret_key, is_secret_path
from confstream.validate.finding import Finding
from confstream.validate.text import decode
from confstream.words.document import has_comments, read
from confstream.words.keys import KeyChange, Step, changes
from confstream.words.values import both, shown, size, values

CHANGES_MAX = 6
"""How many changes of one file are named; the rest is counted."""

LENGTH_MAX = 400
_LABEL_LENGTH_MAX = 100
_TEXT_SIZE_MAX = 2 << 20
_COMMENT = re.compile(r"(?:^|\s)[#;].*$")


def file_words(path: bytes, old: bytes, new: bytes, secret_keys: Sequence[str] = ()) -> str:
    """Return how the file at *path* went from *old* to *new*; empty if it did not.

    *secret_keys* are the key paths whose values are secret besides those that
    look so, ``**`` for all of the file: what ``Profile.secrets_in`` says.
    """
    if old == new:
        return ""
    if is_blank(new):
        return "became blank" if not is_blank(old) else "is blank still"
    if is_secret(path) or "**" in secret_keys:
        return "changed (secret)"
    try:
        return _structured(path, old, new, secret_keys)
    except Exception:  # noqa: BLE001 - P6: a parser's opinion of a file is no reason to say nothing, or to stop
        return _lines(old, new)


def is_secret(path: bytes) -> bool:
    """Return whether nothing of the file at *path* may be shown, for its own name or that of a directory above."""
    parts = path.decode("utf-8", "replace").split("/")
    return is_secret_path(path) or any(is_secret_key(part) for part in parts)


def _structured(path: bytes, old: bytes, new: bytes, secret_keys: Sequence[str]) -> str:
    found, more = changes(read(path, old), read(path, new), secret_keys, CHANGES_MAX)
    if not found:
        return _unstructured(path, old, new)
    said: list[str] = []
    length = 0
    for number, change in enumerate(found):
        text = _change(change)
        length += len(text) + 2
        if length > LENGTH_MAX - len(" and 1000000 more"):
            more += len(found) - number
            break
        said.append(text)
    if not said:
        return values(more).replace("value", "change")
    return ", ".join(said) + (f" and {more} more" if more else "")


def _change(change: KeyChange) -> str:
    label, old, new = _shortened(change.label), change.old, change.new
    if change.step is Step.RENAMED:
        return f"{_shortened(change.former)} → {label} (renamed)"
    if change.step is Step.REORDERED:
        return f"{label} reordered".strip()
    if change.step is Step.RETAGGED:
        return f"{label} has another tag or anchor".strip()
    if old is None and new is not None:
        return f"+ {label} {shown(change.key, new, secret=change.secret)}"
    if new is None and old is not None:
        return f"- {label} {shown(change.key, old, secret=change.secret)}"
    assert old is not None  # noqa: S101 - a change has one side at least
    assert new is not None  # noqa: S101 - likewise
    before, after = both(change.key, old, new, secret=change.secret)
    return f"{label} {before} → {after}".strip()


def _unstructured(path: bytes, old: bytes, new: bytes) -> str:
    """Return what changed where every value is the same."""
    before, after = decode(old), decode(new)
    if isinstance(before, Finding) or isinstance(after, Finding):
        return "only formatting changed"
    ours, theirs = ([line.strip() for line in text.split("\n")] for text in (before, after))
    if has_comments(path):
        plain = [[line for line in map(_without_comment, lines) if line] for lines in (ours, theirs)]
        if plain[0] == plain[1] and [line for line in ours if line] != [line for line in theirs if line]:
            return "only comments changed"
    if ours != theirs and Counter(ours) == Counter(theirs):
        return "only the order changed"
    return "only formatting changed"


def _without_comment(line: str) -> str:
    return _COMMENT.sub("", line).strip()


def _lines(old: bytes, new: bytes) -> str:
    """Return how many lines changed; of what is no text, or too much of it, the sizes."""
    sizes = f"{size(len(old))} → {size(len(new))}" if len(old) != len(new) else size(len(new))
    if max(len(old), len(new)) > _TEXT_SIZE_MAX:
        return f"changed, {sizes}"
    before, after = decode(old), decode(new)
    if isinstance(before, Finding) or isinstance(after, Finding) or "\0" in before or "\0" in after:
        return f"binary, {sizes}"
    ours, theirs = Counter(before.split("\n")), Counter(after.split("\n"))
    added, removed = (theirs - ours).total(), (ours - theirs).total()
    if not added and not removed:
        return "only the order of lines changed"
    return f"changed (+{added} -{removed} lines)"


def _shortened(label: str) -> str:
    """Return *label* without its middle if it is long: the ends say more."""
    if len(label) <= _LABEL_LENGTH_MAX:
        return label
    return f"{label[: _LABEL_LENGTH_MAX // 3]}…{label[-_LABEL_LENGTH_MAX * 2 // 3 :]}"
