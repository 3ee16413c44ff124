"""The thread between journal and replica: connects, publishes, and says how it is.

Whatever the storage does, drafts wait in the ledger and nothing is assumed
(P4, P7). A fenced writer keeps what it had as a fork and stands by (P5).
"""

import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from confstream.clock import Clock
from confstream.errors import (
    AccessDeniedError,
    ConfstreamError,
    FencedError,
    IntegrityError,
    NoExclusiveCreateError,
    UnavailableError,
    UsageError,
)
from confstream.events import about, carrying
from confstream.journal.draft import FencedBy
from confstream.journal.fork import complete
from confstream.journal.grace import Grace
from confstream.journal.lag import Lag
from confstream.journal.ledger import Ledger
from confstream.journal.origin import Origin
from confstream.journal.outage import Outage, Stage
from confstream.journal.packer import Packer
from confstream.journal.phase import Phase, UplinkSettings, UplinkState
from confstream.journal.session import Session
from confstream.journal.sources import Sources
from confstream.journal.standby import Standby
from confstream.journal.vitals import Pulse
from confstream.log.identity import find_or_create
from confstream.log.intent import Published
from confstream.log.reader import LogReader
from confstream.log.recent import Keeping
from confstream.meter import Meter
from confstream.revision import Position
from confstream.store import Store
from confstream.tree import EMPTY

logger = logging.getLogger("confstream.uplink")

TURN_SECONDS_MAX = 900.0
"""How long a turn may take in which no revision arrives and no request is answered; each has a deadline of its own."""

_ABORT_SECONDS = 2.0
_PHASES = {Origin.BEHIND: Phase.BEHIND, Origin.HELD: Phase.HELD}
_FINAL = (FencedError, NoExclusiveCreateError, UsageError, AccessDeniedError, IntegrityError)
"""What waiting longer does not mend."""


class Uplink:
    """Publishes a ledger's drafts, one after the other, from a thread of its own.

    *new_id* returns as many random bytes as it is asked for.
    """

    def __init__(
        self,
        ledger: Ledger,
        sources: Sources,
        open_store: Callable[[], Store],
        *,
        clock: Clock,
        settings: UplinkSettings,
        new_id: Callable[[int], bytes],
        meter: Meter | None = None,
        unreadable: Callable[[], Collection[bytes]] = tuple,
    ) -> None:
        self._ledger = ledger
        self._unreadable = unreadable
        self._sources = sources
        self._open_store = open_store
        self._clock = clock
        self._settings = settings
        self._new_id = new_id
        self._meter = meter or Meter()
        self.pulse, self._lag = Pulse(clock), Lag(ledger, clock)
        self._grace = Grace(ledger, clock)
        self._packer = Packer(self._grace, clock, settings)
        self._outage = Outage(logger, clock, settings.fail_after_seconds)
        self._stage, self._failures = Stage.CONNECT, 0
        self._standby = Standby(clock, takeover=settings.takeover, heartbeat_seconds=settings.heartbeat_seconds)
        self._state = UplinkState()
        self._changed = threading.Condition()
        self._waited_for: list[set[bytes]] = []
        self._given_up = False
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._stop = threading.Event()
        self._session: Session | None = None
        self._waiting: Store | None = None
        self.on_end: Callable[[], None] = lambda: None
        """Called from the thread when it ends."""
        self.thread = threading.Thread(target=carrying(self._run_to_the_end), name="confstream-uplink", daemon=True)

    @property
    def state(self) -> UplinkState:
        """Return how the uplink is now."""
        return self._state

    @property
    def lag_seconds(self) -> float:
        """Return the age of the oldest change that the replica does not hold; 0 if it holds all."""
        return self._lag.seconds

    def start(self) -> None:
        """Begin to connect and to publish."""
        self.thread.start()

    def wake(self) -> None:
        """Say that there is something to publish; an attempt that failed is not repeated any sooner for it."""
        _ = self._lag.seconds
        self._wake.set()

    def coalesce(self, keep_newest: int) -> int:
        """Merge old drafts in the ledger; return how many fewer there are (P14)."""
        with self._changed:
            before = self._pending_ids()
            session = self._session
            fewer = session.coalesce(keep_newest) if session is not None else self._ledger.coalesce(keep_newest)
            after = self._pending_ids()
            self._lag.merged()
            # Who waits for a draft that was merged waits for what it was merged into (P4).
            for wanted in self._waited_for:
                if wanted & (before - after):
                    wanted.update(after - before)
            return fewer

    def wait(self, timeout_seconds: float | None) -> None:
        """Return once the replica holds every draft there was when this was called (P4).

        Raise what waiting cannot mend as soon as one more attempt has shown it,
        and ``UnavailableError`` with the last error when *timeout_seconds* are over.
        """
        with self._changed:
            wanted, seen, failures = self._pending_ids(), self._session, self._failures

            def done() -> bool:
                nonlocal seen
                state, session = self._state, self._session
                if session is not None and session is not seen:
                    # How the tree stands to the log is only known now, and may be a draft of its own.
                    wanted.update(self._pending_ids())
                    seen = session
                is_final = isinstance(state.error, _FINAL) and self._failures > failures
                if is_final or state.phase in {Phase.FENCED, Phase.STANDBY, Phase.STOPPED}:
                    return True
                held = session.held if session is not None else frozenset()
                return state.connected and wanted.isdisjoint(self._pending_ids() - held)

            self._wake.set()
            self._hurry.set()
            self._waited_for.append(wanted)
            try:
                finished = self._changed.wait_for(lambda: self._given_up or done(), timeout_seconds) and done()
            finally:
                self._waited_for = [one for one in self._waited_for if one is not wanted]
        state = self._state
        if state.error is not None and (
            not finished or isinstance(state.error, _FINAL) or state.phase is Phase.STOPPED
        ):
            self._raise(state.error, finished=finished)
        if not finished:
            self._raise(UnavailableError("no answer yet"), finished=False)

    def give_up(self) -> None:
        """Have every ``wait`` end now, those to come included; may be called from a signal handler."""
        self._given_up = True
        with self._changed:
            self._changed.notify_all()

    def stop(self, timeout_seconds: float) -> None:
        """Publish what is left, within *timeout_seconds*, release the heartbeat, and end the thread.

        Raise what ``wait`` raises if something is left; the thread ends in any case.
        """
        try:
            if self.thread.is_alive() or self._state.phase in {Phase.FENCED, Phase.STOPPED}:
                self.wait(timeout_seconds)
        finally:
            self._end(_ABORT_SECONDS)
            self._release()

    def abort(self) -> None:
        """End without publishing anything more; a request that is under way is left to its own deadline."""
        self._end(_ABORT_SECONDS)

    def _pending_ids(self) -> set[bytes]:
        return {draft.write_id for draft in self._ledger.pending}

    def _end(self, timeout_seconds: float) -> None:
        self._stop.set()
        self._hurry.set()
        self._wake.set()
        if self.thread.is_alive():
            self.thread.join(timeout_seconds)

    def _raise(self, error: ConfstreamError, *, finished: bool) -> None:
        left = len(self._ledger.pending)
        if not left or isinstance(error, FencedError):
            raise error
        kind = type(error) if finished or isinstance(error, _FINAL) else UnavailableError
        raise kind(f"{left} revision(s) are not on the replica: {error}; they are safe in the journal") from error

    def _release(self) -> None:
        session, phase = self._session, self._state.phase
        if self._waiting is not None and not self.thread.is_alive():
            self._waiting.close()
        if session is None or self.thread.is_alive():
            return
        try:
            if phase is not Phase.FENCED:
                session.release(self.lag_seconds)
        except ConfstreamError as error:
            said = about("heartbeat_not_released", error=error)
            logger.warning(
                "the heartbeat could not be released, others will wait until it is old: %s", error, extra=said
            )
        finally:
            session.close()
            self._session = None

    def _set(self, **changes: Any) -> None:  # noqa: ANN401 - fields of the state
        with self._changed:
            self._state = replace(self._state, **changes)
            self._changed.notify_all()

    def _run_to_the_end(self) -> None:
        try:
            self._run()
        except Exception as error:
            # A bug in here must not look like a quiet day (P7).
            logger.exception("the uplink failed; this is a bug in confstream", extra=about("bug", error=error))
            self._set(phase=Phase.STOPPED, error=ConfstreamError(f"the uplink failed: {error!r}"))
        finally:
            self.on_end()

    def _run(self) -> None:
        while True:
            # Cleared before looking whether to stop: what is set in between is not lost.
            self._wake.clear()
            self._hurry.clear()
            self._grace.turn()
            self.pulse.turn(TURN_SECONDS_MAX)
            if self._stop.is_set():
                return
            try:
                idle_seconds = self._turn()
            except FencedError as error:
                self._fenced(error)
                return
            except ConfstreamError as error:
                self._failed(error)
                if self._state.phase is Phase.STOPPED:
                    return
                self._outage.pause(self._stop, self._hurry)
                continue
            self._outage.finished()
            self.pulse.turn(idle_seconds + TURN_SECONDS_MAX)
            # Standing by, only the time to look again counts, however much is captured meanwhile.
            self._clock.wait(self._stop if self._state.phase is Phase.STANDBY else self._wake, idle_seconds)

    def _turn(self) -> float:
        """Do what there is to do; return for how many seconds there will be nothing."""
        self._stage = Stage.CONNECT
        if self._session is None:
            self._session = self._connect()
        if self._session is None:
            return self._standby.look_seconds
        self._stage = Stage.PUBLISH
        self._session.publish(self._published, self._changed)
        # What is held back is nothing to wait for.
        self._set()
        self._stage = Stage.UPKEEP
        self._took(Stage.UPKEEP, asked=self._session.upkeep(self.lag_seconds))
        return self._session.idle_seconds

    def _connect(self) -> Session | None:
        """Return a session; None while another writer owns the log."""
        ledger, fenced, store = self._ledger, self._ledger.fenced, self._waiting or self._open_store()
        is_known, self._waiting, session = store is self._waiting, None, None
        try:
            if not is_known:
                self._attach(store)
            reader = LogReader(store)
            if fenced is not None and not self._standby.may_go_on(reader, fenced):
                self._stand_by(fenced)
                complete(ledger, reader, self._sources, clock=self._clock, settings=self._settings, stop=self._stop)
                # Kept open: to look again is one request then.
                self._waiting = store
                return None
            if fenced is not None:
                ledger.fence(None)
            session = Session(
                store,
                LogReader(Keeping(store, self._sources.recent)),
                ledger,
                self._sources,
                clock=self._clock,
                packer=self._packer,
                settings=self._settings,
                stop=self._stop,
                new_id=self._new_id,
                meter=self._meter,
                unreadable=self._unreadable,
            )
        finally:
            if session is None and self._waiting is None:
                store.close()
        head = session.publisher.head.position
        phase = _PHASES.get(session.origin.relation, Phase.PUBLISHING)
        self._session = session
        if isinstance(self._state.error, FencedError):
            self._set(error=None, failing_ns=0)
        self._set(phase=phase, epoch=session.publisher.epoch, position=head, detail=session.origin.note)
        self._took(Stage.CONNECT)
        return session

    def _attach(self, store: Store) -> None:
        """See that *store* holds this journal's replica, or create it there."""
        ledger, settings = self._ledger, self._settings
        descriptor = find_or_create(
            store,
            self._clock,
            version=settings.version,
            new_id=lambda: self._new_id(16).hex(),
            proven=ledger.notes.get("proven") == store.url,
            unsafe_single_writer=settings.unsafe_single_writer,
        )
        if ledger.stream not in {None, descriptor.stream}:
            said = about("journal_moved")
            logger.warning("the journal belonged to another replica; its tree now follows %s", store.url, extra=said)
            ledger.rebase(Position(), EMPTY)
        ledger.attach(descriptor.stream)
        ledger.note("proven", store.url)

    def _published(self, published: Published) -> None:
        assert self._session is not None  # noqa: S101 - only a session publishes
        self.pulse.turn(TURN_SECONDS_MAX)
        epoch = self._session.publisher.epoch
        self._set(phase=Phase.PUBLISHING, epoch=epoch, position=published.position, detail="")
        self._took(Stage.PUBLISH)

    def _stand_by(self, owner: FencedBy) -> None:
        said = f"writer {owner.writer} owns the log (epoch {owner.epoch}); standing by until it is gone, or --takeover"
        if self._state.phase is not Phase.STANDBY:
            logger.error("%s", said, extra=about("standby", writer=owner.writer, epoch=owner.epoch))
        self._outage.took(Stage.CONNECT, len(self._ledger.pending))
        now_ns = self._clock.now_ns()
        times = {"failing_ns": self._state.failing_ns or now_ns, "confirmed_ns": now_ns}
        self._set(phase=Phase.STANDBY, error=FencedError(said), connected=True, **times)

    def _fenced(self, error: FencedError) -> None:
        """Remember who fenced this writer, and keep its drafts as a fork (P5)."""
        session, said = self._session, str(error)
        if session is not None and session.publisher.fenced_by is not None:
            left = len(self._ledger.pending)
            try:
                fork = session.fork()
            except ConfstreamError as failure:
                said += f"; {left} revision(s) of this writer stay in the journal, for the fork failed: {failure}"
            else:
                said += f"; {left} revision(s) are kept as the fork {fork.writer}-{fork.epoch}" if fork else ""
        logger.error("fenced: %s", said, extra=about("fenced", error=error))
        self._set(phase=Phase.FENCED, error=FencedError(said), failing_ns=self._clock.now_ns())

    def _took(self, stage: Stage, *, asked: bool = True) -> None:
        """Note that the replica answered what *stage* asked, if it *asked* anything."""
        changes: dict[str, Any] = {"confirmed_ns": self._clock.now_ns()} if asked else {}
        if self._outage.took(stage, len(self._ledger.pending)):
            changes |= {"error": None, "failing_ns": 0}
        self._set(connected=True, **changes)

    def _failed(self, error: ConfstreamError) -> None:
        self._failures += 1
        pending = len(self._ledger.pending)
        self._outage.failed(error, self._stage, pending)
        if isinstance(error, AccessDeniedError | IntegrityError) and self._session:
            # Other credentials need another connection, and another history another look. An outcome that is unknown
            # is found out as after a restart: what the log holds of it has its write id (P4).
            self._session.close()
            self._session = None
        phase, failing_ns = self._state.phase, self._state.failing_ns or self._clock.now_ns()
        if self._outage.is_exhausted:
            phase, error = Phase.STOPPED, self._outage.give_up(error, pending)
        elif isinstance(error, NoExclusiveCreateError | UsageError):
            phase = Phase.STOPPED
        elif phase is Phase.STANDBY:
            # Who waits for the replica must hear that nothing of this will be on the log for now (P4).
            error = FencedError(f"another writer owns the log, and standing by for it does not work for now: {error}")
        self._set(phase=phase, error=error, failing_ns=failing_ns)
