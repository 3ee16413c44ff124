"""What paths and changes are called: by people, on one line, and by programs.

Pure.
"""

from collections import Counter
from collections.abc import Sequence

from confstream.tree import Change, Kind, Op

_QUOTED = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


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


def summary(changes: Sequence[Change]) -> str:
    """Return *changes* in a few words: ``config.yml``, or ``config.yml and 3 more``.

    When some paths were written and others deleted, both are counted, plus and
    minus. Directories count only if nothing else changed.
    """
    shown = [change for change in changes if change.entry is None or change.entry.kind is not Kind.DIRECTORY] or changes
    if not shown:
        return "nothing"
    count = Counter(change.op for change in shown)
    if count[Op.DELETE] and len(count) > 1:
        return f"+{len(shown) - count[Op.DELETE]} \N{MINUS SIGN}{count[Op.DELETE]} files"
    first = next((change for change in shown if change.op is not Op.META), shown[0])
    verb = {Op.PUT: "", Op.DELETE: "removed ", Op.META: "mode or owner of "}[first.op]
    more = f" and {len(shown) - 1} more" if len(shown) > 1 else ""
    return f"{verb}{quote_path(first.path)}{more}"


def _octal_or_plain(byte: int) -> str:
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"  # noqa: PLR2004 - printable ASCII
