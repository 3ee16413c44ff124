"""The tree, where it lies, and what watches it: whether it can be read, has room, and tells of changes."""

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from confstream import durable
from confstream.check import Check
from confstream.doctor.looking import doubtful, fine, plural, size, wrong
from confstream.errors import PartialError, UsageError
from confstream.journal.surroundings import check_places
from confstream.naming import quote_path
from confstream.presence import is_missing
from confstream.profiles import signs
from confstream.scan import RootGoneError, Survey, survey
from confstream.selection import Selection
from confstream.tracking import Tracking, TrackOptions, track
from confstream.tree import Kind
from confstream.validate import Validators
from confstream.watch.filesystem import filesystem_type, polling_reason

_NAMED_MAX = 5
_INOTIFY = Path("/proc/sys/fs/inotify")
_QUEUE_MIN = 1024
_ROOM_BYTES = 64 << 20
_ROOM_BYTES_MIN = 4 << 20
_INODES = 1000
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Ground:
    """The directory *root*, looked at once; *tracked* is what was asked for, *state_dir* where its journal is."""

    def __init__(self, root: Path, tracked: TrackOptions | None, state_dir: Path | None) -> None:
        self.root = root
        self._tracked = tracked
        self._state_dir = state_dir
        self._tracking: Tracking | None = None
        self._survey: Survey | None = None

    @property
    def validators(self) -> Validators:
        """Return what judges the files here."""
        return self._tracking.validators() if self._tracking is not None else Validators.default()

    @property
    def _selection(self) -> Selection:
        return self._tracking.selection if self._tracking is not None else Selection()

    def profile(self) -> Check:
        """Return which profile holds, and why."""
        self._tracking = found = track(self.root, self._tracked, self._state_dir)
        if found.doubt:
            return doubtful("profile", f"{found.profile.name}, {found.why}; {found.doubt}", "name it with --profile")
        return fine("profile", f"{found.profile.name}: {found.why}")

    def tree(self) -> Check:
        """Return whether there is a directory that can be listed."""
        if not self.root.is_dir():
            what = "is no directory" if self.root.exists() else "does not exist"
            return wrong(
                "tree", f"{self.root} {what}", "give the directory to protect, or mount its volume", UsageError
            )
        try:
            self._survey = survey(self.root, self._selection)
        except RootGoneError as error:
            return wrong("tree", str(error), "give the directory to protect, or mount its volume", UsageError)
        except PermissionError:
            return _forbidden("tree", self.root, "listed", UsageError)
        status = self.root.stat()
        kinds = Counter(stamp.kind for stamp in self._survey.found.values())
        held = ", ".join(
            [
                plural(kinds[Kind.FILE], "file"),
                plural(kinds[Kind.DIRECTORY], "directory"),
                *([plural(kinds[Kind.SYMLINK], "symlink")] if kinds[Kind.SYMLINK] else []),
            ]
        )
        left = f"; {self._survey.excluded} left out by the profile" if self._survey.excluded else ""
        odd = f"; {len(self._survey.skipped)} sockets, FIFOs or devices" if self._survey.skipped else ""
        return fine("tree", f"{self.root}, of uid {status.st_uid}, mode {_mode(status.st_mode)}: {held}{left}{odd}")

    def files(self) -> list[Check]:
        """Return whether every tracked file can be read, and whose those are that cannot."""
        seen = self._looked()
        denied: dict[tuple[int, str], list[bytes]] = {}
        for path, why in _unreadable(self.root, seen):
            stamp = seen.found.get(path)
            owner = stamp.uid if stamp is not None else _owner(self.root, path)
            mode = f"{stamp.mode:04o}" if stamp is not None else "a directory"
            denied.setdefault((owner, f"mode {mode}, {why}" if stamp is not None else f"{mode}, {why}"), []).append(
                path
            )
        found = [_denied(uid, how, paths) for (uid, how), paths in sorted(denied.items())]
        if found:
            return found
        owners = Counter(stamp.uid for stamp in seen.found.values() if stamp.kind is Kind.FILE)
        whose = ", ".join(f"{count} of uid {uid}" for uid, count in sorted(owners.items()))
        return [fine("files", f"uid {os.geteuid()} can read all of them{f': {whose}' if whose else ''}")]

    def configuration(self) -> Check:
        """Return whether the configuration is there, as ``restore --if-missing`` judges it."""
        wanted = () if self._tracking is None else self._tracking.guards
        presence = is_missing(self.root, signs.called_in(self.root, wanted), self._selection)
        if not presence.missing:
            return fine("configuration", presence.why)
        advice = "restore --if-missing would fill it in; an empty directory is never published over a history"
        return doubtful("configuration", f"missing: {presence.why}", advice)

    def places(self, replica: str) -> list[Check]:
        """Return whether the *replica* lies in the tree, where it would be replicated itself."""
        check_places(self.root, replica)
        return []

    def restoring(self) -> Check:
        """Return whether a restore could write here as this user."""
        if may_write(self.root):
            return fine("writing", f"uid {os.geteuid()} can write into the tree, so it can restore")
        advice = "with --state-dir elsewhere, replicate needs only to read; restore needs a volume that it may write to"
        return doubtful("writing", f"uid {os.geteuid()} cannot write into {self.root}", advice)

    def watching(self) -> list[Check]:
        """Return how changes will be noticed, and whether the system's limits allow it."""
        reason = polling_reason(self.root)
        if reason is not None:
            return [
                doubtful("watching", f"the tree is polled: {reason}", "nothing has to be done; --poll says how often")
            ]
        directories = 1 + sum(stamp.kind is Kind.DIRECTORY for stamp in self._looked().found.values())
        limits = {name: _limit(name) for name in ("max_user_watches", "max_user_instances", "max_queued_events")}
        shown = ", ".join(f"{name} {value}" for name, value in limits.items() if value is not None)
        kind = filesystem_type(self.root)
        on = f", on {kind}" if kind else ""
        found = []
        watches, queue = limits["max_user_watches"], limits["max_queued_events"]
        if watches is not None and directories > watches * 0.8:
            found.append(
                doubtful(
                    "inotify watches",
                    f"{directories} directories, and all programs of this user together may watch {watches}",
                    f"sysctl fs.inotify.max_user_watches={max(8192, directories * 4)} on the node; until then it polls",
                )
            )
        if (why := _instance()) is not None:
            found.append(
                doubtful(
                    "inotify instances",
                    why,
                    "sysctl fs.inotify.max_user_instances=512 on the node; until then it polls",
                )
            )
        if queue is not None and queue < _QUEUE_MIN:
            found.append(
                doubtful(
                    "inotify queue",
                    f"it holds {queue} events",
                    f"sysctl fs.inotify.max_queued_events={_QUEUE_MIN * 16}",
                )
            )
        return found or [fine("watching", f"by events{on}: {plural(directories, 'directory')} to watch; {shown}")]

    def _looked(self) -> Survey:
        if self._survey is None:
            self._survey = survey(self.root, self._selection)
        return self._survey


def room(name: str, place: Path) -> Check:
    """Return whether there is room where *place* is, or will be."""
    above = next(path for path in (place, *place.parents) if path.is_dir())
    status = os.statvfs(above)
    free = status.f_bavail * status.f_frsize
    # Some file systems make inodes as they need them, and count none.
    inodes = status.f_favail if status.f_files else None
    shown = f"{size(free)} free{f', {inodes} inodes' if inodes is not None else ''} at {above}"
    advice = "free some space: changes are recorded on the disk first"
    if free < _ROOM_BYTES_MIN or inodes == 0:
        return wrong(f"room for the {name}", shown, advice)
    if free < _ROOM_BYTES or (inodes is not None and inodes < _INODES):
        return doubtful(f"room for the {name}", shown, advice)
    return fine(f"room for the {name}", shown)


def may_write(path: Path) -> bool:
    """Return whether this user may make files in the directory *path*."""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return False
    return os.access(path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def _unreadable(root: Path, seen: Survey) -> Iterable[tuple[bytes, str]]:
    """Yield what cannot be read, and why: found out by opening it, because modes do not tell all."""
    yield from seen.unreadable.items()
    with durable.opened_root(root) as descriptor:
        for path in [path for path, stamp in seen.found.items() if stamp.kind is Kind.FILE]:
            if why := _denial(descriptor, path):
                yield path, why


def _denial(root: int, path: bytes) -> str:
    try:
        with durable.opened_parent(root, path) as (parent, name):
            os.close(os.open(name, _READ, dir_fd=parent))
    except OSError as error:
        # What went away meanwhile is no file that cannot be read.
        return "" if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP) else error.strerror or "cannot be read"
    return ""


def _denied(uid: int, how: str, paths: list[bytes]) -> Check:
    named = ", ".join(quote_path(path) for path in sorted(paths)[:_NAMED_MAX])
    more = f" and {len(paths) - _NAMED_MAX} more" if len(paths) > _NAMED_MAX else ""
    return wrong(
        "files",
        f"{plural(len(paths), 'path')} of uid {uid} ({how}) cannot be read by uid {os.geteuid()}: {named}{more}",
        f"run as uid {uid} (runAsUser, user, PUID) or as root, or exclude them: what cannot be read is not protected",
        PartialError,
    )


def _owner(root: Path, path: bytes) -> int:
    try:
        return os.lstat(os.path.join(os.fsencode(root), path)).st_uid  # noqa: PTH118 - bytes
    except OSError:
        return -1


def _forbidden(name: str, path: Path, what: str, error: type[UsageError]) -> Check:
    status = path.stat()
    return wrong(
        name,
        f"{path} cannot be {what} by uid {os.geteuid()}: it is of uid {status.st_uid}, mode {_mode(status.st_mode)}",
        f"run as uid {status.st_uid}, or as root",
        error,
    )


def _mode(mode: int) -> str:
    return f"{stat.S_IMODE(mode):04o}"


def _limit(name: str) -> int | None:
    try:
        return int((_INOTIFY / name).read_text())
    except (OSError, ValueError):
        return None


def _instance() -> str | None:
    """Return why no inotify instance can be had, trying it."""
    try:
        from inotify_simple import INotify  # noqa: PLC0415 - it may be missing

        INotify().close()
    except ImportError as error:
        return f"the module {error.name} is missing, so the tree is polled"
    except OSError as error:
        if error.errno == errno.EMFILE:
            return "this user has as many as it may have (fs.inotify.max_user_instances)"
        return f"none can be had: {error.strerror}"
    return None
