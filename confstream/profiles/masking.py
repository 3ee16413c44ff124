"""Mask what only an application's profile knows to be secret: an ESPHome key is called ``key``, a pan id is a number.

Which application wrote a file need not be known: a value too many that is
masked costs a look with ``--show-secrets``, one too few cannot be taken back (P12).
"""

import re
from functools import lru_cache

from confstream.profiles.profile import secrets_in
from confstream.secrecy import MASK, is_secret_path


def mask_known(text: str, path: bytes) -> str:
    """Return *text*, the content of *path*, with ``***`` for the values that profiles call secret, line for line.

    A key counts wherever it stands in the file; what is indented deeper below it belongs to its value.
    """
    names = frozenset() if is_secret_path(path) else _names(path)
    if "**" not in names and not any(name in text for name in names):
        # Most files have none of these keys; of one that is secret by its name, the rest is masked already.
        return text
    masked, below = [], -1
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip(" \t"))
        if "**" in names or (below >= 0 and line.strip() and indent > below):
            masked.append(line[:indent] + MASK if line.strip() else line)
            continue
        key = _KEY.match(line)
        below = -1
        if key is None or key[2].strip("\"'") not in names:
            masked.append(line)
            continue
        below = len(key[1])
        masked.append(line[: key.end()] + (MASK if line[key.end() :].strip() else ""))
    return "\n".join(masked)


_KEY = re.compile(r"([ \t]*(?:- )*)([\w.\"'$-]{1,128})[ \t]*[:=](?:[ \t]+|$)")


@lru_cache(maxsize=256)
def _names(path: bytes) -> frozenset[str]:
    # What a path of keys ends with; where any key may come last, the one above it has to do.
    found = set()
    for key in secrets_in(path):
        parts = [part for part in key.split(".") if part != "*"]
        found.add("**" if key == "**" else parts[-1])
    return frozenset(found)
