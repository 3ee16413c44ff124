"""Which paths of a directory belong to its tree.

Pure. Patterns are gitignore's: the last one that matches decides, and nothing
below an excluded directory comes back. Two calls with the same path always
agree. ``.confstream`` at the root is never tracked, whatever a pattern says.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import field
from functools import cached_property, lru_cache

from confstream.errors import UsageError
from confstream.values import dataclass

STATE_DIRECTORY = b".confstream"
_SQLITE_MAGIC = b"SQLite format 3\0"
_COMPANIONS = (b"-wal", b"-shm", b"-journal")
_CACHED_DIRECTORIES_MAX = 50_000
_SHOWN_MAX = 200
_CACHED_ANSWERS_MAX = 1 << 15
_GLOB_CHARACTERS = frozenset("*?[\\")
_UNGLOBBED = re.compile(r"[*?\[\]\\]")

# ``core.*`` would lose Home Assistant's ``.storage/core.config_entries`` and a
# ``core.yaml``: only ``core.<pid>`` is a crash dump. ``*.lock`` would lose
# ``yarn.lock``, ``flake.lock`` and the like, which people edit and want back: a
# program's lock is named after the file it guards (``config.yml.lock``) or
# hidden (``.ha_run.lock``), so it has another dot. What is kept too much costs
# a few bytes, what is dropped too much is gone.
_GENERIC = (
    "lost+found/",
    ".*-litestream/",
    "__pycache__/",
    ".DS_Store",
    "*.tmp",
    "*.swp",
    "*~",
    ".#*",
    "*.*.lock",
    "*.log",
    "*.log.*",
    "*.pid",
    *("core." + "[0-9]" * digits for digits in range(1, 11)),
)
PROFILES: dict[str, tuple[str, ...]] = {"generic": _GENERIC, "none": ()}


def is_sqlite(first_bytes: bytes) -> bool:
    """Return whether a file that starts with *first_bytes* (16 are enough) is a SQLite database.

    Such files are told by content, never by name: Zigbee2MQTT's ``database.db``
    is text that must be kept.
    """
    return first_bytes.startswith(_SQLITE_MAGIC)


def database_of(path: bytes) -> bytes | None:
    """Return the path of the SQLite database that *path* goes with, judged by its name; ``None`` for any other."""
    if path.endswith(_COMPANIONS):
        return path[: path.rindex(b"-")] or None
    return None


@dataclass(frozen=True)
class Selection:
    """What is tracked: all that *include* names (everything without), less *exclude* and the *profile*'s excludes.

    A pattern that starts with ``!`` takes back what an earlier one of the same
    list named; *exclude* comes after the profile's, so it can take those back.
    A directory that is not included itself is tracked as long as an included
    path could be below it. Whether SQLite databases are tracked says *sqlite*,
    by default only with the profile ``none``; no pattern knows of them. Raise
    ``UsageError`` for a pattern or profile that cannot be meant. Safe to share
    between threads.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    profile: str = "generic"
    sqlite: bool | None = None
    _excluded: "_PatternList" = field(init=False, repr=False, compare=False)
    _included: "_PatternList" = field(init=False, repr=False, compare=False)
    _walked: "_PatternList" = field(init=False, repr=False, compare=False)
    _directories: dict[bytes, tuple[bool, bool]] = field(init=False, repr=False, compare=False)
    _answers: Callable[[bytes, bool], bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what no pattern can mean."""
        if self.profile not in PROFILES:
            import difflib  # noqa: PLC0415 - only for a mistake

            near = difflib.get_close_matches(self.profile, PROFILES, 1, 0)
            raise UsageError(
                f"there is no profile {self.profile!r}, expected one of {', '.join(PROFILES)}; nearest is {near[0]}"
            )
        include = [_Pattern.parse(text) for text in self.include]
        exclude = [_Pattern.parse(text) for text in self.exclude]
        profile = [_Pattern.parse(text, checked=True) for text in PROFILES[self.profile]]
        if include and all(pattern.negated for pattern in include):
            raise UsageError(f"include has only {', '.join(self.include)}, so nothing would be tracked; name what is")
        walked = [walk for pattern in include if not pattern.negated for walk in pattern.above()]
        if self.sqlite is None:
            object.__setattr__(self, "sqlite", self.profile == "none")
        object.__setattr__(self, "_excluded", _PatternList([*profile, *exclude]))
        object.__setattr__(self, "_included", _PatternList(include))
        object.__setattr__(self, "_walked", _PatternList(walked))
        object.__setattr__(self, "_directories", {})
        # Every survey asks the same of the same paths: an answer that is known costs a tenth.
        object.__setattr__(self, "_answers", lru_cache(_CACHED_ANSWERS_MAX)(self._decide))

    def tracks(self, path: bytes, is_dir: bool) -> bool:
        """Return whether *path*, relative to the root and joined by ``/``, belongs to the tree."""
        return self._answers(path, is_dir)

    def _decide(self, path: bytes, is_dir: bool) -> bool:
        parent, _, name = path.rpartition(b"/")
        known = self._directories.get(parent) or self._remember(parent)
        if not known[0] or path == STATE_DIRECTORY:
            return False
        if (self._excluded.name_directory if is_dir else self._excluded.name_file)(path, name):
            return False
        if not self.include:
            return True
        verdict = (self._included.name_directory if is_dir else self._included.name_file)(path, name)
        if known[1] if verdict is None else verdict:
            return True
        return is_dir and bool(self._walked.name_directory(path, name))

    def _remember(self, path: bytes) -> tuple[bool, bool]:
        """Return whether *path* is not excluded, and whether what is below it is included unless a pattern says no."""
        known = True, not self.include
        if path:
            parent, _, name = path.rpartition(b"/")
            # From the top: directories may be deeper than functions may call one another.
            above, unknown = parent, []
            while above and above not in self._directories:
                unknown.append(above)
                above = above.rpartition(b"/")[0]
            for each in reversed(unknown):
                self._remember(each)
            kept, included = self._directories.get(parent) or self._remember(parent)
            kept = kept and path != STATE_DIRECTORY and not self._excluded.name_directory(path, name)
            verdict = self._included.name_directory(path, name)
            known = kept, included if verdict is None else verdict
        if len(self._directories) >= _CACHED_DIRECTORIES_MAX:
            # P14: whatever a directory does over the months, the cache stays bounded.
            self._directories.clear()
        self._directories[path] = known
        return known


@dataclass(frozen=True)
class _Pattern:
    """One pattern, asked about one path itself: never about what is above or below it."""

    text: str
    body: str
    negated: bool
    only_directories: bool
    by_name: bool

    @classmethod
    def parse(cls, text: str, *, checked: bool = False) -> "_Pattern":
        stripped = text if text.endswith("\\ ") else text.rstrip()
        body = stripped.removeprefix("!")
        only_directories = body.endswith("/")
        body = body.removesuffix("/")
        if body.startswith("**/") and body.count("/") == 1:
            body = body.removeprefix("**/")
        if stripped.startswith("#") or not body:
            raise _bad(text, "is blank or a comment, so it would name nothing; a name with # begins with \\#")
        if any(part in {"", ".", ".."} for part in body.removeprefix("/").split("/")):
            raise _bad(text, "has an empty part, . or .., which no path inside the tree has")
        if "\n" in body or "\0" in body:
            raise _bad(text, "has a newline or NUL in it; name such a file with ?")
        if "[[:" in body:
            raise _bad(text, "has a named character class; write it out, as in [0-9]")
        pattern = cls(text, body, stripped.startswith("!"), only_directories, "/" not in body)
        if not checked and pattern.literal is None:
            pattern.compile()
        return pattern

    @cached_property
    def literal(self) -> tuple[str, bytes, bytes] | None:
        """Return how plain string tests on the name do the same, if they do."""
        if not self.by_name:
            return None
        parts = self.body.split("*")
        if any(_GLOB_CHARACTERS.intersection(part) for part in parts):
            return None
        filled = tuple(map(bool, parts))
        how = {
            (True,): "whole",
            (False, True): "end",
            (True, False): "start",
            (True, True): "around",
            (False, True, False): "middle",
        }.get(filled)
        if how is None:
            return None
        encoded = [part.encode("utf-8", "surrogateescape") for part in parts]
        return (how, encoded[1], b"") if how == "middle" else (how, encoded[0], encoded[-1])

    @property
    def ends(self) -> tuple[bytes, bytes]:
        """Return what every name that matches starts with, and what it ends with."""
        if not self.by_name:
            return b"", b""
        plain = _UNGLOBBED.split(self.body)
        return plain[0].encode("utf-8", "surrogateescape"), plain[-1].encode("utf-8", "surrogateescape")

    def compile(self) -> re.Pattern[str]:
        from pathspec import GitIgnoreSpec  # noqa: PLC0415 - costs 20 ms that most runs need not pay

        try:
            with warnings.catch_warnings():
                # "[[]" is a set of one bracket here; Python warns that it may not always be.
                warnings.simplefilter("ignore", FutureWarning)
                line = f"\\{self.body}" if self.body[0] in "!#" else self.body
                if line.endswith(" ") and not line.endswith("\\ "):
                    # The end of a part that is a name by itself here, and no blank that git would drop.
                    line = f"{line[:-1]}\\ "
                regex = GitIgnoreSpec.from_lines([line]).patterns[0].regex
        except (ValueError, re.error, RecursionError) as error:
            raise _bad(self.text[:_SHOWN_MAX], f"cannot be parsed: {error}") from error
        if not isinstance(regex, re.Pattern):
            raise _bad(self.text, "cannot be parsed, git would ignore it; is a bracket not closed?")
        return regex

    def above(self) -> list["_Pattern"]:
        """Return what names the directories below which this pattern may name something."""
        if self.by_name:
            return [_Pattern.parse("*/", checked=True)]
        parts = self.body.removeprefix("/").split("/")
        found = []
        for i, part in enumerate(parts[:-1]):
            if part == "**":
                found.append(_Pattern.parse("/".join(["", *parts[:i], "**"]), checked=True))
                break
            found.append(_Pattern.parse("/".join(["", *parts[: i + 1], ""]), checked=True))
        return found


class _Glob:
    """A pattern that needs a regular expression, built when first asked."""

    def __init__(self, pattern: _Pattern) -> None:
        self._pattern = pattern
        self._anywhere = pattern.by_name or pattern.body.endswith("/**")
        self._regex: re.Pattern[str] | None = None
        self.first_bytes, self.last_bytes = pattern.ends

    def names(self, path: bytes, name: bytes) -> bool:
        if not (name.startswith(self.first_bytes) and name.endswith(self.last_bytes)):
            return False
        if self._regex is None:
            self._regex = self._pattern.compile()
        asked = name if self._pattern.by_name else path
        # The library's "." and "$" take a newline for an end; no pattern can hold one, so another letter does as well.
        text = asked.decode("utf-8", "surrogateescape").replace("\n", "\1")
        match = self._regex.search(text)
        # It also matches what is below a directory that matches: then it ends early.
        return match is not None and (self._anywhere or match.end() == len(text))


class _Literal:
    """A pattern that plain string tests on the name decide."""

    def __init__(self, how: str, first_bytes: bytes, last_bytes: bytes) -> None:
        self.how, self.first_bytes, self.last_bytes = how, first_bytes, last_bytes

    def names(self, path: bytes, name: bytes) -> bool:
        del path
        match self.how:
            case "whole":
                return name == self.first_bytes
            case "middle":
                return self.first_bytes in name
        long_enough = len(name) >= len(self.first_bytes) + len(self.last_bytes)
        return long_enough and name.startswith(self.first_bytes) and name.endswith(self.last_bytes)


class _PatternList:
    """Patterns in order; the last that names a path decides.

    ``name_file`` and ``name_directory`` return True if a path is named, False if
    it is taken back with ``!``, None if no pattern speaks of it.
    """

    def __init__(self, patterns: Sequence[_Pattern]) -> None:
        ordered = [
            (_Literal(*pattern.literal) if pattern.literal else _Glob(pattern), pattern)
            for pattern in reversed(patterns)
        ]
        # Without "!" the order does not matter, and a few tests in C do for most patterns.
        group = _InOrder if any(pattern.negated for pattern in patterns) else _Group
        self.name_file = group([pair for pair in ordered if not pair[1].only_directories]).names
        self.name_directory = group(ordered).names


class _InOrder:
    """Patterns of which some have ``!``, the last first."""

    def __init__(self, pairs: Sequence[tuple[_Literal | _Glob, _Pattern]]) -> None:
        self._pairs = [(matcher.names, not pattern.negated) for matcher, pattern in pairs]

    def names(self, path: bytes, name: bytes) -> bool | None:
        for names, verdict in self._pairs:
            if names(path, name):
                return verdict
        return None


class _Group:
    """Patterns without ``!``, asked all at once."""

    def __init__(self, pairs: Sequence[tuple[_Literal | _Glob, _Pattern]]) -> None:
        matchers = [matcher for matcher, _ in pairs]
        literals = [matcher for matcher in matchers if isinstance(matcher, _Literal)]
        self._whole = frozenset(literal.first_bytes for literal in literals if literal.how == "whole")
        self._starts = tuple(literal.first_bytes for literal in literals if literal.how == "start")
        self._ends = tuple(literal.last_bytes for literal in literals if literal.how == "end")
        self._middles = tuple(literal.first_bytes for literal in literals if literal.how == "middle")
        self._rest = [matcher for matcher in matchers if not isinstance(matcher, _Literal) or matcher.how == "around"]
        # A name that begins and ends otherwise than all of the rest need not be asked about.
        self._rest_starts = tuple(matcher.first_bytes for matcher in self._rest if matcher.first_bytes)
        self._rest_ends = tuple(matcher.last_bytes for matcher in self._rest if not matcher.first_bytes)

    def names(self, path: bytes, name: bytes) -> bool | None:
        if name in self._whole or name.endswith(self._ends) or name.startswith(self._starts):
            return True
        for middle in self._middles:
            if middle in name:
                return True
        if name.startswith(self._rest_starts) or name.endswith(self._rest_ends):
            return any(matcher.names(path, name) for matcher in self._rest) or None
        return None


def _bad(text: str, why: str) -> UsageError:
    return UsageError(f"the pattern {text!r} {why}")


GENERIC = Selection()
