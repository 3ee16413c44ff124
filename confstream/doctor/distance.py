"""The replica: whether it can be reached and trusted, whose signs of life are on it, how far it has got."""

from collections.abc import Mapping
from typing import Any

from confstream import layout
from confstream.backend.place import Place, core_of
from confstream.backend.timing import clock as server_clock
from confstream.check import Check
from confstream.clock import Clock
from confstream.doctor.looking import doubtful, fine, length, plural, skipped, wrong
from confstream.errors import AccessDeniedError, NoExclusiveCreateError
from confstream.journal.peek import Glance
from confstream.layout import Listing
from confstream.log.reader import LogReader
from confstream.moments import format_utc
from confstream.revision import Heartbeat, Status
from confstream.store import Store
from confstream.store.local import LocalStore
from confstream.store.prove import WAYS_OUT, prove_exclusive_create
from confstream.store.s3_choice import client_of

_UNPACKED_MAX = 1000
_LATE_INTERVALS = 3
_AHEAD_SECONDS = 30.0
_METHODS = {
    "env": "variables (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "the shared credentials file",
    "config-file": "the AWS config file",
    "assume-role-with-web-identity": "a web identity token (IRSA)",
    "container-role": "the container's role",
    "iam-role": "the machine's role",
    "sso": "single sign-on",
}


class Distance:
    """The replica in *store*, *seen* by the journal that is here, if there is one."""

    def __init__(self, store: Store, clock: Clock, storage_options: Mapping[str, Any]) -> None:
        self._store = store
        self._clock = clock
        self._options = storage_options
        self._reader = LogReader(store)
        self._listing: Listing | None = None

    def credentials(self) -> Check:
        """Return where the credentials come from, and nothing of what they are."""
        name = "credentials"
        if not self._store.url.startswith("s3://"):
            return skipped(name, "only S3 has some that we know of")
        if self._options.get("anon"):
            return fine(name, "none, as asked for (anon)")
        if self._options.get("key"):
            return fine(name, "from --storage-option key and secret")
        import botocore.session  # noqa: PLC0415 - only for S3, and it may be missing

        found = botocore.session.Session(profile=self._options.get("profile")).get_credentials()
        if found is None:
            return wrong(
                name,
                "none were found",
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the pod or machine a role",
                AccessDeniedError,
            )
        return fine(name, f"from {_METHODS.get(found.method, found.method)}")

    def replica(self) -> Check:
        """Return whether the replica answers, and what lies there."""
        self._listing = listing = layout.parse(self._store.list())
        url, endpoint = self._store.url, getattr(core_of(self._store), "endpoint", "")
        client = client_of(url, self._options)
        at = f"{f' at {endpoint}' if endpoint else ''}{f', by {client},' if client else ''}"
        if listing.empty:
            return doubtful(
                "replica", f"{url}{at} answers, and no replica is there yet", "the first replicate makes it"
            )
        return fine("replica", f"{url}{at} answers: {_held(listing)}")

    @property
    def is_reached(self) -> bool:
        """Return whether it answered."""
        return self._listing is not None

    @property
    def has_answered(self) -> bool:
        """Return whether the server said anything, be it no: then it told the time, too."""
        return self.is_reached or bool(getattr(core_of(self._store), "server_date", ""))

    @property
    def is_there(self) -> bool:
        """Return whether there is a log to look at."""
        return self._listing is not None and not self._listing.empty

    def fitness(self) -> Check:
        """Return whether the storage creates exclusively, by objects that are removed again."""
        name, core = "exclusive creation", core_of(self._store)
        if isinstance(core, LocalStore) and core.absent:
            return skipped(name, "the directory is not there yet; the first replicate proves it")
        if self.is_there and not self._reader.descriptor().exclusive_create:
            advice = "never run two writers; move to storage that can create exclusively"
            return doubtful(name, "this replica was set up for a single writer (--unsafe-single-writer)", advice)
        with Place(self._store) as place:
            try:
                prove_exclusive_create(place.store)
            except NoExclusiveCreateError as error:
                return wrong(name, str(error).removesuffix(f": {WAYS_OUT}"), WAYS_OUT, NoExclusiveCreateError)
        return (
            doubtful(name, place.left, "allow deletion")
            if place.left
            else fine(name, "proven: twice, and by a race of four")
        )

    def identity(self, journal: Glance | None) -> Check:
        """Return whose log it is, and whether the journal here belongs to it."""
        found = self._reader.descriptor()
        shown = f"stream {found.stream[:8]}, made {format_utc(found.created_ns)[:10]} by confstream {found.version}"
        if journal is not None and journal.stream not in (None, found.stream):
            return wrong(
                "identity",
                f"{shown}; the journal here belongs to stream {str(journal.stream)[:8]}",
                "give the replica that this tree was replicated to, or another --state-dir for this one",
            )
        return fine("identity", shown)

    def clock(self) -> Check:
        """Return how far the server's clock and ours are apart."""
        return server_clock(self._store, self._clock)

    def newest(self) -> list[Check]:
        """Return how old the newest revision is, whether anything speaks against it, and what is not packed."""
        listing = self._reader.listing
        if not listing.head:
            return [doubtful("newest revision", "there is none", "the first replicate publishes it")]
        made = self._reader.revision(listing.head).revision
        unpacked = listing.head - max((last for _, last in listing.packs), default=0)
        age = (self._clock.now_ns() - made.time_ns) / 1e9
        shown = f"revision {made.number} of {format_utc(made.time_ns)[:19]}Z"
        if age < -_AHEAD_SECONDS:
            advice = "set the clock here, or that of its writer: times in the history never go back"
            found = [doubtful("newest revision", f"{shown}, {length(-age)} in the future", advice)]
        else:
            found = [fine("newest revision", f"{shown}, {length(max(0.0, age))} old; {unpacked} not packed yet")]
        if made.verdict.status is not Status.OK:
            reasons = "; ".join(made.verdict.reasons[:2])
            advice = "restore takes the newest that nothing speaks against; log shows which"
            found.append(doubtful("verdict", f"the newest revision is {made.verdict.status.value}: {reasons}", advice))
        if unpacked > _UNPACKED_MAX:
            left = f"{unpacked} revisions are not packed"
            found.append(doubtful("packing", left, "confstream compact packs them; replicate should by itself"))
        return found

    def heartbeat(self) -> Check:
        """Return when a writer was seen last."""
        beats = self._reader.heartbeats()
        if not beats:
            advice = "start replicate; with --heartbeat 0 nobody outside can tell that it runs"
            return doubtful("heartbeat", "no writer ever showed itself", advice)
        return _judged(beats[0], (self._clock.now_ns() - beats[0].time_ns) / 1e9)

    def forks(self) -> Check:
        """Return what fenced writers left."""
        forks = self._reader.listing.forks
        if not forks:
            return fine("forks", "none")
        shown = ", ".join(
            f"{fork.writer[:8]}-{fork.epoch}: {plural(len(numbers), 'revision')}" for fork, numbers in forks.items()
        )
        advice = "another writer took over from them; see log, restore what counts, and let one writer run"
        return doubtful("forks", shown, advice)

    def agreement(self, journal: Glance | None) -> Check:
        """Return how the journal here stands to the log."""
        head = self._reader.listing.head
        if journal is None:
            return skipped("agreement", "there is no journal here to compare with")
        base = journal.base.number
        if base > head:
            advice = "the replica lost its end, or this is another one: run verify before anything else"
            return wrong("agreement", f"the journal confirmed revision {base}, the replica ends with {head}", advice)
        if base < head:
            advice = "fine if another writer published; if this one runs, look at its log"
            return doubtful("agreement", f"the journal knows revision {base}, the replica has {head}", advice)
        return fine("agreement", f"journal and replica both end with revision {head}")


def _held(listing: Listing) -> str:
    parts = [
        plural(listing.head, "revision"),
        plural(len(listing.packs), "pack"),
        plural(len(listing.snapshots), "snapshot"),
    ]
    if listing.strange:
        parts.append(f"{len(listing.strange)} objects that are not ours")
    return ", ".join(parts)


def _judged(beat: Heartbeat, age: float) -> Check:
    ago = length(max(0.0, age))
    seen = f"writer {beat.writer[:8]} on {beat.host or 'an unnamed host'} was seen {ago} ago at revision {beat.number}"
    behind = f", {length(beat.lag_seconds)} behind" if beat.lag_seconds else ""
    if beat.released:
        return doubtful("heartbeat", f"{seen}, when it stopped", "start replicate: nothing protects the tree")
    if age < -_AHEAD_SECONDS:
        return doubtful("heartbeat", f"{seen}, by a clock that is {length(-age)} ahead of ours", "set the clocks")
    if age > _LATE_INTERVALS * max(beat.interval_seconds, 1.0):
        every = f"; it shows itself every {length(beat.interval_seconds)}"
        return wrong("heartbeat", f"{seen}{behind}{every}", "the writer is dead or cut off: look at it, and at its log")
    return fine("heartbeat", f"{seen}{behind or ', nothing pending'}")
