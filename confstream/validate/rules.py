"""Which validator judges which path, and whether it can be trusted to.

Every validator proves itself on a good and a bad sample before its first
verdict. One that fails has no say until it passes: its files are "not checked",
never "invalid", and it is said once, loudly (P6, P7).
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from confstream.errors import UsageError
from confstream.events import about
from confstream.selection import Selection
from confstream.validate.finding import Finding, NotCheckedError, Validator
from confstream.validate.syntax import IniSyntax, JsonLinesSyntax, JsonSyntax, TomlSyntax, XmlSyntax
from confstream.validate.yaml import YamlSyntax

logger = logging.getLogger("confstream.validate")

SIZE_BYTES_MAX = 1 << 23
"""Larger files are not checked: a validator must not hold up what it judges (P14)."""

NONE = "none"
"""The name that takes a path away from the validators that its suffix would choose."""

_SUFFIXES = {
    b"yaml": "yaml",
    b"yml": "yaml",
    b"json": "json",
    b"jsonl": "jsonl",
    b"ndjson": "jsonl",
    b"toml": "toml",
    b"xml": "xml",
    b"ini": "ini",
}
# Their programs read JSON with comments, under the suffix of JSON without.
_JSON_WITH_COMMENTS = (b"tsconfig.json", b"jsconfig.json", b"devcontainer.json")
_DIRECTORIES_OF_COMMENTS = (b".vscode/", b".devcontainer/")


@dataclass(frozen=True)
class Rule:
    """The paths that *patterns* name (gitignore's) are for *validator* besides what their suffix says, or for none.

    With ``none`` neither the suffix counts nor any other rule.
    """

    patterns: tuple[str, ...]
    validator: str
    _selection: Selection = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse patterns that cannot be meant."""
        if not self.patterns:
            raise UsageError(f"a rule for the validator {self.validator} names no path; give it a pattern")
        object.__setattr__(self, "_selection", Selection(include=self.patterns, profile="none"))

    def names(self, path: bytes) -> bool:
        """Return whether the rule is about the file at *path*."""
        return self._selection.tracks(path, is_dir=False)


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Whether a validator told its good sample from its bad one, and if not, *why*."""

    ok: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known about a file: *findings* make it invalid; *unchecked* says by validator why it had no say.

    Neither findings nor ``unchecked`` nor ``checked_by`` means that no validator is for this path. *failed_by* are
    those of ``checked_by`` that found something.
    """

    findings: tuple[Finding, ...] = ()
    checked_by: tuple[str, ...] = ()
    unchecked: Mapping[str, str] = field(default_factory=dict)
    failed_by: tuple[str, ...] = ()


class Validators:
    """A set of validators with the rules which of them judges which path. Safe to share between threads.

    A path is judged by the validator of its suffix (unless *by_suffix* is
    off) and by those of all rules that name it. Raise ``UsageError`` for a
    rule whose validator is not among *validators* and for a name used twice.
    """

    def __init__(
        self,
        validators: Iterable[Validator] = (),
        rules: Iterable[Rule] = (),
        *,
        by_suffix: bool = True,
        size_bytes_max: int = SIZE_BYTES_MAX,
    ) -> None:
        self._validators: dict[str, Validator] = {one.name: one for one in _built_in()}
        for validator in validators:
            if validator.name in self._validators or validator.name == NONE:
                raise UsageError(f"there are two validators called {validator.name}; call one of them otherwise")
            self._validators[validator.name] = validator
        self._rules = tuple(rules)
        for rule in self._rules:
            if rule.validator not in self._validators and rule.validator != NONE:
                known = ", ".join([*self._validators, NONE])
                raise UsageError(f"there is no validator {rule.validator!r}, expected one of {known}")
        self._by_suffix = by_suffix
        self._size_bytes_max = size_bytes_max
        self._tests: dict[str, SelfTest] = {}
        self._lock = threading.RLock()

    @classmethod
    def default(cls) -> "Validators":
        """Return YAML, JSON, JSON lines, TOML, XML and INI by suffix, and JSON in Home Assistant's ``.storage``."""
        return cls()

    def for_path(self, path: bytes, content: bytes = b"") -> tuple[str, ...]:
        """Return the names of the validators for *path*, whose *content* may decide where the name does not."""
        named = [rule.validator for rule in self._rules if rule.names(path)]
        if NONE in named:
            return ()
        chosen = _by_name(path, content) if self._by_suffix else None
        return tuple(dict.fromkeys(named if chosen is None else [chosen, *named]))

    def check(self, path: bytes, content: bytes) -> Outcome:
        """Return what the validators of *path* say about *content*; whatever happens in them, this does not raise."""
        names = self.for_path(path, content)
        if len(content) > self._size_bytes_max:
            why = f"has {len(content)} bytes, more than the {self._size_bytes_max} that are checked"
            return Outcome(unchecked=dict.fromkeys(names, why))
        findings: dict[Finding, None] = {}
        checked: list[str] = []
        failed: list[str] = []
        unchecked: dict[str, str] = {}
        for name in names:
            test = self._test(name)
            if not test.ok:
                unchecked[name] = test.why
                continue
            try:
                found = self._validators[name].check(path, content)
            except Exception as error:  # noqa: BLE001 - P6: a validator that fails says nothing about the file
                unchecked[name] = _why(error)
            else:
                findings.update(dict.fromkeys(found))
                checked.append(name)
                failed += [name] if found else []
        return Outcome(tuple(findings), tuple(checked), unchecked, tuple(failed))

    def self_test(self) -> dict[str, SelfTest]:
        """Test every validator that a path can be given to, anew, and return by name whether it can be trusted."""
        used = {*(_SUFFIXES.values() if self._by_suffix else ()), *(rule.validator for rule in self._rules)} - {NONE}
        with self._lock:
            return {name: self._test(name, anew=True) for name in self._validators if name in used}

    @property
    def tested(self) -> dict[str, SelfTest]:
        """Return by name what the last self-test of each validator said that had one."""
        with self._lock:
            return dict(self._tests)

    def _test(self, name: str, *, anew: bool = False) -> SelfTest:
        known = self._tests.get(name)
        if known is not None and not anew:
            return known
        with self._lock:
            known = self._tests.get(name)
            if known is None or anew:
                self._tests[name] = test = prove(self._validators[name])
                _say(name, known, test)
                return test
            return known


def prove(validator: Validator) -> SelfTest:
    """Return whether *validator* tells its own good sample from its bad one; whatever happens in it, do not raise."""
    try:
        samples = validator.samples
        wrong = validator.check(samples.path, samples.good)
        if wrong:
            return SelfTest(ok=False, why=f"rejects its good sample: {wrong[0].message}")
        if not validator.check(samples.path, samples.bad):
            return SelfTest(ok=False, why="accepts its bad sample")
    except Exception as error:  # noqa: BLE001 - P6: it is broken, and everything else goes on
        return SelfTest(ok=False, why=_why(error))
    return SelfTest(ok=True)


def _say(name: str, before: SelfTest | None, test: SelfTest) -> None:
    if not test.ok and test != before:
        said = about("validator_broken", validator=name, error=test.why)
        logger.error("the validator %s is broken, its files are not checked: %s", name, test.why, extra=said)
    elif test.ok and before is not None and not before.ok:
        logger.info("recovered: the validator %s works again", name, extra=about("validator_recovered", validator=name))


def _why(error: Exception) -> str:
    if isinstance(error, NotCheckedError):
        return str(error)
    if isinstance(error, ImportError):
        return f"the module {error.name or 'it needs'} cannot be imported"
    # The message of any other error may quote the file (P12); its name does not.
    return f"failed with {type(error).__name__}"


def _built_in() -> list[Validator]:
    return [YamlSyntax(), JsonSyntax(), JsonLinesSyntax(), TomlSyntax(), XmlSyntax(), IniSyntax()]


def _by_name(path: bytes, content: bytes) -> str | None:
    directory, _, name = path.rpartition(b"/")
    _, dot, suffix = name.rpartition(b".")
    chosen = _SUFFIXES.get(suffix.lower()) if dot else None
    if chosen == "json" and (
        name.lower() in _JSON_WITH_COMMENTS or (directory + b"/").endswith(_DIRECTORIES_OF_COMMENTS)
    ):
        return None
    if chosen is None and (directory == b".storage" or directory.endswith(b"/.storage")):
        # Home Assistant's own files are JSON objects without a suffix; what add-ons keep there can be anything.
        return "json" if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else None
    return chosen
