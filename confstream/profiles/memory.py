"""What the last writer of a directory tracked, remembered beside its journal, so that the answer stays the same.

A profile is recognised by files, and the file that is lost may be the very one:
without this, ``restore --if-missing`` would forget which file it has to miss.
Imports nothing but ``os``, as ``signs`` does (P2).
"""

# pathlib takes longer to import than the answer takes to find.
# ruff: noqa: PTH118

import os

from confstream.profiles import signs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FILE = "tracked"
AS_BEFORE = "as before"
_HOW = ("recognised", "named", "open")
_SIZE_MAX = 1 << 20


class Memory:
    """The profile *name*, how it was come to, and the patterns that were given.

    *how* is ``recognised``, ``named`` by somebody, or ``open``: nothing was recognised, and may be next time.
    """

    __slots__ = ("exclude", "how", "include", "name")

    def __init__(self, name: str, how: str, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> None:
        self.name = name
        self.how = how
        self.include = include
        self.exclude = exclude

    def dump(self) -> bytes:
        """Return it as lines of a key and a value; no pattern has a newline in it."""
        lines = [f"{self.how} {self.name}"]
        lines += [f"include {pattern}" for pattern in self.include]
        lines += [f"exclude {pattern}" for pattern in self.exclude]
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def recall(state_dir: str | bytes | os.PathLike[str]) -> Memory | None:
    """Return what is remembered in *state_dir*; None if that is nothing, or nothing that can be understood."""
    try:
        descriptor = os.open(os.path.join(os.fsencode(state_dir), FILE.encode()), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        content = os.read(descriptor, _SIZE_MAX)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    first, *rest = content.decode("utf-8", "surrogateescape").split("\n")
    how, _, name = first.partition(" ")
    if how not in _HOW or not name:
        return None
    given: dict[str, list[str]] = {"include": [], "exclude": []}
    for line in rest:
        key, _, pattern = line.partition(" ")
        given.get(key, []).append(pattern)
    return Memory(name, how, tuple(given["include"]), tuple(given["exclude"]))


def choose(root: str | bytes | os.PathLike[str], memory: Memory | None, *, writes: bool = False) -> signs.Guess:
    """Return the profile for *root* where nobody names one: that of *memory*, else the one that fits.

    Who *writes* does not go by a name that somebody gave once and does not give any more.
    """
    if memory is not None and (memory.how == "recognised" or (memory.how == "named" and not writes)):
        return signs.Guess(memory.name, AS_BEFORE)
    return signs.guess(root)


def plain_guards(
    root: str | bytes | os.PathLike[str], profile: str | None, given: "Sequence[str]" = ()
) -> "Sequence[str] | None":
    """Return the guards with which ``is_missing`` can tell that *root* is present, without knowing what is tracked.

    *profile* is a name or ``auto``, the default; guards that were *given*
    replace its own. None if it takes more: then nothing can be said this way.
    """
    if profile in {None, "auto"}:
        known = recall(os.path.join(os.fsencode(root), b".confstream"))
        if known is not None and (known.include or known.exclude):
            return None
        profile = choose(root, known).name
    if profile == "generic":
        return given
    own = signs.GUARDS.get(profile or "", ())
    # Every guard of a profile is tracked by it: where all are there, its patterns do not matter.
    if not own or not {name for names in own for name in names}.issuperset(given):
        return None
    return given or signs.called_in(root, own)
