"""What paths and changes are called: by people, on one line, and by programs.

Pure.
"""

from collections.abc import Iterable, Sequence

from confstream.tree import Change, Kind, Op

_QUOTED = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
_VERBS = {Op.PUT: "", Op.DELETE: "removed ", Op.META: "mode or owner of "}

Mention = tuple[Op, bytes, bool]
"""What is said of a change in a few words: its op, its path, and whether that is a directory afterwards."""


def quote_path(path: bytes) -> str:
    """Return *path* as it can be printed on one line, quoted the way git does where that is needed."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and text and '"' not in text and "\\" not in text:
        return text
    return '"' + "".join(_QUOTED.get(byte) or _octal_or_plain(byte) for byte in path) + '"'


def path_fields(path: bytes, name: str = "path") -> dict[str, str]:
    """Return *path* as the fields of a JSON document: *name*, readable, and if that is not exact ``<name>_hex``.

    A byte that is no UTF-8 reads like the escape that shows it, as that of a file whose name has a backslash might.
    """
    shown = path.decode("utf-8", "backslashreplace")
    return {name: shown} if shown.encode() == path else {name: shown, f"{name}_hex": path.hex()}


def mentions(changes: Iterable[Change]) -> list[Mention]:
    """Return what is to be said of each of *changes*."""
    directory = Kind.DIRECTORY
    return [(change.op, change.path, change.entry is not None and change.entry.kind is directory) for change in changes]


def summary(changes: Iterable[Change]) -> str:
    """Return *changes* in a few words: ``config.yml``, or ``config.yml and 3 more``.

    When some paths were written and others deleted, both are counted, plus and
    minus. Directories count only if nothing else changed.
    """
    return summary_of(mentions(changes))


def summary_of(mentioned: Sequence[Mention]) -> str:
    """Return what is *mentioned* in a few words, as ``summary`` does."""
    shown = [(op, path) for op, path, is_directory in mentioned if not is_directory]
    shown = shown or [(op, path) for op, path, _ in mentioned]
    if not shown:
        return "nothing"
    removed = [op for op, _ in shown].count(Op.DELETE)
    if 0 < removed < len(shown):
        return f"+{len(shown) - removed} \N{MINUS SIGN}{removed} files"
    meta = Op.META
    op, path = next((one for one in shown if one[0] is not meta), shown[0])
    more = f" and {len(shown) - 1} more" if len(shown) > 1 else ""
    return f"{_VERBS[op]}{quote_path(path)}{more}"


def _octal_or_plain(byte: int) -> str:
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"  # noqa: PLR2004 - printable ASCII
