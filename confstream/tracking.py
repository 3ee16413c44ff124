"""What of one directory is tracked, how it is judged, and which files must be there: the profile put to work.

A profile that was recognised once stays, until somebody names another: a file
that is absent for a moment must not change what is protected.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from confstream import durable, profiles
from confstream.events import about
from confstream.profiles import memory, signs
from confstream.profiles.profile import AUTO, Profile
from confstream.selection import Selection
from confstream.values import dataclass

if TYPE_CHECKING:
    from confstream.settings_checks import Check
    from confstream.validate import Validators


logger = logging.getLogger("confstream.tracking")

_STATE = ".confstream"


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """What was asked for: a *profile* or ``auto``, and what comes to it.

    *include* replaces the profile's, *exclude* is added; *guard*, if given,
    replaces the profile's guards. *checks* and *required* (keys by pattern)
    judge files besides what the profile says.
    """

    profile: str = AUTO
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    guard: tuple[str, ...] | None = None
    checks: "tuple[Check, ...]" = ()
    required: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Tracking:
    """What holds for one directory; *why* it is this profile, in one line for a person.

    *guards* are the files without which the configuration is missing, each
    with its other names. *doubt* says what speaks against the profile.
    """

    profile: Profile
    why: str
    selection: Selection
    guards: tuple[tuple[str, ...], ...]
    options: TrackOptions
    recognised: bool = False
    doubt: str = ""

    @property
    def is_open(self) -> bool:
        """Return whether the directory may still turn out to be that of an application."""
        return self.options.profile == AUTO and not self.recognised

    def is_outdated(self, root: str | Path) -> bool:
        """Return whether *root*, which looked like no application's directory, looks like one's by now."""
        return self.is_open and signs.guess(root).name != self.profile.name

    def validators(self) -> "Validators":
        """Return what judges the files, by the profile and by what was asked for; none is proven yet."""
        # A restore judges nothing.
        from confstream.validate import RequiredKeys, Rule, Validators  # noqa: PLC0415
        from confstream.validate.configured import configured  # noqa: PLC0415

        made, rules = configured(self.options.checks)
        rules += [Rule(patterns, name) for name, patterns in self.profile.validators.items()]
        keys: dict[tuple[str, ...], list[str]] = {}
        for pattern, wanted in (*self.profile.required.items(), *self.options.required.items()):
            keys.setdefault(wanted, []).append(pattern)
        for wanted, patterns in keys.items():
            required = RequiredKeys(wanted)
            made.append(required)
            rules.append(Rule(tuple(patterns), required.name))
        return Validators(made, rules)

    def remember(self, state_dir: Path, owner: tuple[int, int] | None = None) -> None:
        """Keep in *state_dir*, if it is there, what is tracked: the next restore goes by it.

        It belongs to *owner*, without one to the directory's when run as root.
        A disk that does not take it is no reason to stop: it is said, and tried again at the next start.
        """
        asked = self.options
        how = "named" if asked.profile != AUTO else "recognised" if self.recognised else "open"
        kept = memory.Memory(self.profile.name, how, asked.include, asked.exclude)
        content, known = kept.dump(), memory.recall(state_dir)
        if known is not None and known.dump() == content:
            return
        try:
            with durable.opened_root(state_dir) as descriptor:
                if os.geteuid() == 0 and owner is None:
                    status = os.fstat(descriptor)
                    owner = (status.st_uid, status.st_gid)
                durable.replace(descriptor, memory.FILE.encode(), content, owner=owner)
        except FileNotFoundError:
            return
        except OSError as error:
            text, why = "%s: what is tracked cannot be remembered: %s", error.strerror
            logger.warning(text, state_dir, why, extra=about("profile_forgotten", error=why))


def track(
    root: str | Path, options: TrackOptions | None = None, state_dir: Path | None = None, *, writes: bool = False
) -> Tracking:
    """Return what holds for the directory *root*, whose state is in *state_dir* if not in ``.confstream/``.

    ``auto`` is what the last writer tracked, else the profile that fits. Who
    asks for nothing at all goes by the patterns of the last writer, too.
    *writes* says that a writer asks: it recognises anew what was only named
    before, and its own patterns count alone. Raise ``UsageError`` for a
    profile or pattern that there is not.
    """
    options = options or TrackOptions()
    known = memory.recall(state_dir if state_dir is not None else os.fspath(root) + f"/{_STATE}")
    if known is not None and known.name not in profiles.names():
        known = None
    if not writes and known is not None and (options.profile, options.include, options.exclude) == (AUTO, (), ()):
        options = replace(options, include=known.include, exclude=known.exclude)
    if options.profile != AUTO:
        return _tracking(profiles.load(options.profile), "as named", options)
    guess = memory.choose(root, known, writes=writes)
    profile, doubt = profiles.load(guess.name), ""
    if known is not None and guess.why == memory.AS_BEFORE:
        seen = signs.guess(root)
        if seen.name not in {guess.name, "generic"}:
            doubt = f"it looks like {seen.name} now ({seen.why}); name the profile that is meant"
    return _tracking(profile, guess.why, options, recognised=bool(profile.signs), doubt=doubt)


def _tracking(
    profile: Profile, why: str, options: TrackOptions, *, recognised: bool = False, doubt: str = ""
) -> Tracking:
    selection = profile.selection(options.include, options.exclude)
    if options.guard is None:
        # What is not tracked is on no replica: to miss it would be in vain.
        guards = tuple(
            names for names in profile.guards if any(selection.tracks(name.encode(), False) for name in names)
        )
    else:
        guards = tuple((path,) for path in options.guard)
    return Tracking(profile, why, selection, guards, options, recognised, doubt)
