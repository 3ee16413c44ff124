"""What is asked of a restore, and what it answers: values.

Light on purpose: with the configuration present, a restore imports nothing
but this and the predicate (P2).
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from confstream.errors import UsageError
from confstream.tree import check_path
from confstream.values import dataclass

if TYPE_CHECKING:
    from confstream.checkout import Action
    from confstream.selection import Selection

TIMEOUT_SECONDS = 60.0

Outcome = Literal["present", "nothing to do", "restored", "first start", "finished", "planned"]


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """What to restore, and what may be changed for it.

    *timestamp* and *revision* are as a person typed them, at most one of them;
    without, the newest revision that is neither invalid nor suspicious.
    *if_missing* does something only if the configuration is missing, by
    *guards* and *selection* (default: the profile ``generic``); a guard may
    have several names, of which the first that is there counts. *groups* are
    patterns of files that belong together: who restores some of one is warned.
    *if_replica_exists* makes "there is none" a success. *path* restricts
    everything to one file or subtree. *force* replaces what differs, after
    recording it; *fast_forward* updates an unmodified older tree; *delete*
    removes tracked files that the revision lacks, where files may be replaced.
    *owner* is ``recorded``, ``none`` or a uid and gid. *timeout_seconds* is
    how long a storage that does not answer is asked. *actor* is who restores.
    *state_dir* is where the journal lives if not in ``.confstream/``.
    """

    timestamp: str | None = None
    revision: str | None = None
    if_missing: bool = False
    if_replica_exists: bool = False
    guards: tuple[str | tuple[str, ...], ...] = ()
    selection: "Selection | None" = None
    groups: tuple[tuple[str, ...], ...] = ()
    path: str | bytes | None = None
    force: bool = False
    delete: bool = False
    fast_forward: bool = False
    dry_run: bool = False
    owner: Literal["recorded", "none"] | tuple[int, int] = "recorded"
    timeout_seconds: float = TIMEOUT_SECONDS
    actor: str = ""
    state_dir: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what contradicts itself; ``UsageError``, because a person typed it."""
        if self.timestamp is not None and self.revision is not None:
            raise UsageError("--timestamp and --revision both name what to restore; give one of them")
        if self.timeout_seconds <= 0:
            raise UsageError(f"a timeout of {self.timeout_seconds:g} seconds leaves no time; give more than 0")
        _ = self.scope

    @property
    def scope(self) -> bytes | None:
        """Return the path to be restored as a tree has it; None for everything."""
        if self.path is None:
            return None
        path = os.path.normpath(os.fsencode(self.path)) if self.path else b"."
        try:
            if path.partition(b"/")[0] == b".confstream":
                raise UsageError(f"{self.path!r} is confstream's own state, and part of no revision")
            return None if path == b"." else check_path(path)
        except ValueError as error:
            raise UsageError(f"--path {os.fsdecode(path)!r}: {error}; give a path relative to the tree") from error

    def guards_in(self, root: str | os.PathLike[str]) -> tuple[str, ...]:
        """Return the guards as they are called in *root*."""
        named = tuple((guard,) if isinstance(guard, str) else guard for guard in self.guards)
        if all(len(names) == 1 for names in named):
            return tuple(names[0] for names in named)
        from confstream.profiles import signs  # noqa: PLC0415 - only for guards with several names

        return signs.called_in(root, named)

    @property
    def request(self) -> list[Any]:
        """Return what was asked for: two equal requests mean the same restore."""
        return [self.timestamp, self.revision, self.scope, self.delete]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A newer revision that was not chosen, and why; *flag* would select it."""

    number: int
    time_ns: int
    status: str
    reasons: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """Return the option that restores it all the same."""
        return f"--revision {self.number}"

    def __str__(self) -> str:
        reasons = f" ({'; '.join(self.reasons)})" if self.reasons else ""
        return f"skipped revision {self.number}, {self.status}{reasons}; {self.flag} selects it"


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restore did, or with ``dry_run`` would do.

    *time_ns* (UTC) and *hash* are the revision's. *diff* has one unified diff
    for each file, secrets masked, and only for a dry run. *recorded* says where
    what was replaced is kept; *aside* is the directory to which blank files
    and things in the way were moved. *kept* counts the files that differ from
    the revision and were left as they are.
    """

    outcome: Outcome
    why: str
    replica: str = ""
    revision: int | None = None
    hash: bytes = b""
    time_ns: int = 0
    skipped: tuple[Skipped, ...] = ()
    actions: "tuple[Action, ...]" = ()
    diff: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    written: int = 0
    removed: int = 0
    kept: int = 0
    not_owned: int = 0
    recorded: str = ""
    aside: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the documented, stable form that ``restore --json`` prints."""
        from confstream.moments import format_utc  # noqa: PLC0415 - P2: a present tree has no time to show

        return {
            "outcome": self.outcome,
            "why": self.why,
            "replica": self.replica,
            "revision": self.revision,
            "hash": self.hash.hex(),
            "time": format_utc(self.time_ns) if self.revision is not None else None,
            "skipped": [
                {"revision": one.number, "status": one.status, "reasons": list(one.reasons), "flag": one.flag}
                for one in self.skipped
            ],
            "actions": [str(action) for action in self.actions],
            "warnings": list(self.warnings),
            "written": self.written,
            "removed": self.removed,
            "kept": self.kept,
            "not_owned": self.not_owned,
            "recorded": self.recorded,
            "aside": str(self.aside) if self.aside else None,
        }
