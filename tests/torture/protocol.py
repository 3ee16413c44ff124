"""The protocol of DESIGN section 4.1 as a model: every state that two writers, a packer and a reader can get into.

Breadth first over explicit states. The actions are called like the functions
of ``confstream.log.publisher``, ``confstream.journal`` and
``confstream.compactor`` that they stand for, to be read side by side.

What the model leaves out, its bounds:

- A draft is a tree of its own that differs from every other. Adopting ends in a revision, never in "no difference
  left", and nothing is held back.
- A sleep lasts longer than the grace period: it makes every listing old and every pack due. What lies between a
  quarter of that period and the whole of it is not told apart.
- ``may_go_on`` may say yes at any time: what silence looks like is a matter of clocks, and safety must not depend
  on it. So to release a heartbeat changes nothing here.
- Listing and reading what was listed is one step for writers and the packer. A reader goes object by object, and
  takes less than the grace period from its listing to its last object: ``quick_reader`` shows what happens otherwise.
- One packer, without a tail, whose PUT of a pack arrives within the grace period. Blobs, tags, retention and
  coalescing are left out, and so are snapshots inside of packs.
- The numbers in ``Bounds``: drafts, requests that go wrong, crashes, and sleeps in one history.

The two writers are alike, so of two states that differ by their names only one
is explored. That is sound: they begin alike, and no rule asks for a name.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

NAMES = "AB"
ROOT = 0
"""What comes before revision 1; also "nothing" wherever a revision may be."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules as they are; one switched off is a protocol that must be found out."""

    exclusive_create: bool = True
    fence: bool = True
    raise_equal_epoch: bool = True
    hold_slot: bool = True
    resolve_unknown: bool = True
    same_bytes: bool = True
    look_after_restart: bool = True
    relist_before_put: bool = True
    relist_when_created: bool = True
    relist_when_taken: bool = True
    keep_fork: bool = True
    complete_fork: bool = True
    pack_before_delete: bool = True
    snapshot_before_delete: bool = True
    grace_period: bool = True
    trust_packs: bool = True
    quick_reader: bool = True
    age_from_storing: bool = True
    count_what_passed: bool = True


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may happen in one history."""

    drafts: tuple[int, int] = (1, 1)
    unknowns: int = 1
    crashes: int = 0
    sleeps: int = 1
    reader: bool = False
    beats: bool = False


class Writer(NamedTuple):
    """One journal with its session: *captured* and *settled* survive a crash, and so do *fork* and being fenced."""

    phase: str = "off"  # off, live, fenced, standby
    step: str = "ready"  # ready, sent, created, exists, unknown
    head: int = ROOT
    listing: int = ROOT
    old: bool = False
    epoch: int = 0
    in_doubt: int = ROOT
    captured: int = 1
    settled: int = 0
    attempt: int = 0
    fork: tuple[int, int] = (0, 0)  # epoch, head


class Packer(NamedTuple):
    """A pack in the making: read, its snapshot stored."""

    first: int = 0
    last: int = ROOT
    due: bool = False
    stored: bool = False


class State(NamedTuple):
    """The replica, the requests under way, and everybody's memory."""

    log: tuple[int, ...]
    packs: tuple[tuple[int, int, bool], ...] = ()  # first number, last revision, whether the grace period is over
    snapshots: tuple[int, ...] = ()
    forks: tuple[tuple[int, int, int, int], ...] = ()  # writer, epoch, head, draft
    beats: tuple[int, int] = (0, 0)
    late: tuple[int, ...] = ()  # PUTs whose clients gave up, and that may still arrive
    acknowledged: tuple[int, ...] = ()
    writers: tuple[Writer, Writer] = (Writer(), Writer())
    packer: Packer = Packer()
    reader: tuple[tuple[int, ...], int] = ((), ROOT)  # units to read, the last revision that was read
    left: tuple[int, int, int] = (0, 0, 0)  # unknowns, crashes, sleeps


class Step(NamedTuple):
    """What one action leads to; *wrong* says what nobody may ever see."""

    name: str
    who: int
    detail: str
    state: State
    fault: bool = False
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was explored, and the shortest way to the first violation if there is one."""

    states: int
    wrong: str = ""
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the history for a person to read."""
        if not self.wrong:
            return f"{self.states} states, no violation"
        lines = [f"{number:3}. {line}" for number, line in enumerate(self.trace, 1)]
        return "\n".join([f"violated: {self.wrong}", *lines])


class Revisions:
    """All revisions that were ever made, as numbers: equal ones are the same, and a predecessor comes with each."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int]] = [(ROOT, -1, -1, 0)]  # previous, writer, write id, epoch
        self.number = [0]
        self._found: dict[tuple[int, int, int, int], int] = {}
        self._mirrored = {ROOT: ROOT}

    def make(self, previous: int, writer: int, write_id: int, epoch: int) -> int:
        row = (previous, writer, write_id, epoch)
        if row not in self._found:
            self._found[row] = len(self.rows)
            self.rows.append(row)
            self.number.append(self.number[previous] + 1)
        return self._found[row]

    def mirrored(self, one: int) -> int:
        """Return the revision with the writers' names exchanged."""
        if one not in self._mirrored:
            previous, writer, write_id, epoch = self.rows[one]
            self._mirrored[one] = self.make(self.mirrored(previous), 1 - writer, write_id, epoch)
        return self._mirrored[one]

    def at(self, head: int, number: int) -> int:
        """Return revision *number* of the chain that ends with *head*."""
        while self.number[head] > number:
            head = self.rows[head][0]
        return head

    def leads_to(self, one: int, other: int) -> bool:
        return self.at(other, self.number[one]) == one

    def chain(self, head: int) -> list[int]:
        found = []
        while head != ROOT:
            found.append(head)
            head = self.rows[head][0]
        return found[::-1]

    def same(self, one: int, other: int) -> bool:
        return self.rows[one][1:3] == self.rows[other][1:3]

    def epoch_high(self, head: int) -> int:
        return max((self.rows[one][3] for one in self.chain(head)), default=0)

    def text(self, one: int) -> str:
        if one == ROOT:
            return "nothing"
        _, writer, write_id, epoch = self.rows[one]
        return f"{self.number[one]}({NAMES[writer]}{write_id % 10 + 1} epoch {epoch})"


@dataclass
class Protocol:
    """The rules, applied to states within bounds."""

    rules: Rules = field(default_factory=Rules)
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        """Begin with no revision."""
        self.revisions = Revisions()
        self._believed: dict[tuple[object, ...], tuple[int, str]] = {}

    def first(self) -> State:
        """Return the empty replica, and writers that each recorded one draft."""
        bounds = self.bounds
        slots = 2 * sum(bounds.drafts)
        return State(log=(ROOT,) * slots, left=(bounds.unknowns, bounds.crashes, bounds.sleeps))

    # What readers believe.

    def units(self, state: State) -> tuple[int, ...]:
        """Return what a listing has readers read, in order: slots, and packs as negative numbers (``plan.units``)."""
        units, wanted, end = [], 1, self._end(state)
        while wanted <= end:
            packs = [
                at for at, (first, last, _) in enumerate(state.packs) if first <= wanted <= self.revisions.number[last]
            ]
            single = state.log[wanted - 1] != ROOT
            if packs and (self.rules.trust_packs or not single):
                units.append(-1 - packs[-1])
                wanted = self.revisions.number[state.packs[packs[-1]][1]] + 1
            elif single:
                units.append(wanted)
                wanted += 1
            else:
                return (0,)
        return tuple(units)

    def follow(self, state: State, unit: int, before: int) -> int | None:
        """Return the last revision of *unit*; None if it does not follow *before*, 0 if it is not there."""
        revisions = self.revisions
        if unit > 0:
            found = state.log[unit - 1]
            return found if found == ROOT or revisions.rows[found][0] == before else None
        last = state.packs[-1 - unit][1]
        return last if revisions.leads_to(before, last) else None

    def believed(self, state: State) -> tuple[int, str]:
        """Return the end of the log as a reader sees it, and what is wrong with the log."""
        key = (state.log, state.packs)
        if key not in self._believed:
            head, wrong = ROOT, ""
            for unit in self.units(state):
                found = self.follow(state, unit, head) if unit else ROOT
                if not found:
                    wrong = f"the chain breaks after revision {self.revisions.number[head]}"
                    break
                head = found
            self._believed[key] = head, wrong
        return self._believed[key]

    def _end(self, state: State) -> int:
        singles = [at for at, one in enumerate(state.log, 1) if one != ROOT]
        return max([0, *singles, *(self.revisions.number[last] for _, last, _ in state.packs)])

    # What must always be so.

    def check(self, state: State) -> str:
        """Return which promise *state* breaks, if it breaks one."""
        head, wrong = self.believed(state)
        chain = self.revisions.chain(head)
        return (
            wrong
            or self._check_acknowledged(state, chain)
            or self._check_epochs(chain)
            or self._check_drafts(state, chain)
            or self._check_deleted(state, head)
        )

    def _check_acknowledged(self, state: State, chain: list[int]) -> str:
        lost = [one for one in state.acknowledged if one not in chain]
        return f"{self.revisions.text(lost[0])} was acknowledged and is not in the log" if lost else ""

    def _check_epochs(self, chain: list[int]) -> str:
        for one, other in pairwise(self.revisions.rows[one] for one in chain):
            if other[3] < one[3] or (other[3] == one[3] and other[1] != one[1]):
                return f"{NAMES[other[1]]} in epoch {other[3]} wrote after {NAMES[one[1]]} in epoch {one[3]}"
        return ""

    def _check_drafts(self, state: State, chain: list[int]) -> str:
        published = [(writer, write_id % 10) for _, writer, write_id, _ in (self.revisions.rows[one] for one in chain)]
        if len(published) != len(set(published)):
            return "a draft was published twice"
        kept = {*published, *((who, draft) for who, _, _, draft in state.forks)}
        for who, journal in enumerate(state.writers):
            for draft in range(journal.settled):
                if (who, draft) not in kept:
                    return f"draft {NAMES[who]}{draft + 1} left the journal and is in neither log nor fork"
        if any(fork_head and fork_head not in chain for _, _, fork_head, _ in state.forks):
            return "a fork leaves the log at a revision that the log does not have"
        return ""

    def _check_deleted(self, state: State, head: int) -> str:
        number_of = self.revisions.number
        for number in range(1, number_of[head] + 1):
            packs = [last for first, last, _ in state.packs if first <= number <= number_of[last]]
            if state.log[number - 1] == ROOT and not any(last in state.snapshots for last in packs):
                return f"slot {number} was deleted before the snapshot at the end of its pack was durable (I4)"
        return ""

    def check_step(self, before: State, after: State) -> str:
        """Return which promise the way from *before* to *after* breaks: what is believed never changes."""
        old, new = self.believed(before)[0], self.believed(after)[0]
        if not self.revisions.leads_to(old, new):
            return f"what readers believed changed: {self.revisions.text(old)} is not what the log has there any more"
        return ""

    def is_over(self, state: State) -> bool:
        """Return whether every draft is published or forked."""
        return all(writer.settled == most for writer, most in zip(state.writers, self.bounds.drafts, strict=True))

    # What can happen.

    def steps(self, state: State) -> Iterator[Step]:
        """Yield whatever can happen next."""
        for who in range(2):
            yield from self._journal(state, who)
            if state.writers[who].phase == "live":
                yield from self._publish(state, who)
                yield from self._answered(state, who)
            yield from self._network(state, who)
        for at, one in enumerate(state.late):
            rest = state.late[:at] + state.late[at + 1 :]
            if at == 0 or state.late[at - 1] != one:
                after = self._apply(state._replace(late=rest), one)[0]
                yield Step("late PUT arrives", -1, self.revisions.text(one), after, fault=True)
        yield from self._compact(state)
        yield from self._read(state)
        if state.left[2]:
            yield Step("sleep", -1, "for longer than the grace period", self._sleep(state), fault=True)
            yield from self._jump(state)

    def _sleep(self, state: State) -> State:
        writers = [one._replace(old=one.phase == "live") for one in state.writers]
        unknowns, crashes, sleeps = state.left
        return state._replace(
            writers=(writers[0], writers[1]),
            packs=tuple((first, last, True) for first, last, _ in state.packs),
            packer=state.packer._replace(due=bool(state.packer.first) and not self.rules.age_from_storing),
            reader=((), ROOT) if self.rules.quick_reader else state.reader,
            left=(unknowns, crashes, sleeps - 1),
        )

    def _jump(self, state: State) -> Iterator[Step]:
        """The clock of who packs, and all that it wrote down, say that the grace period is over; no time passed.

        ``known_seconds`` counts time that passed, so to nobody a jump makes a difference.
        """
        if not self.rules.count_what_passed:
            packs = tuple((first, last, True) for first, last, _ in state.packs)
            left = (*state.left[:2], state.left[2] - 1)
            yield Step("jump", -1, "by more than the grace period", state._replace(packs=packs, left=left), fault=True)

    def _journal(self, state: State, who: int) -> Iterator[Step]:
        """Record, start, crash, fork, stand by and go on."""
        writer = state.writers[who]
        if writer.captured < self.bounds.drafts[who]:
            yield self._to("record", state, who, writer._replace(captured=writer.captured + 1))
        pending = writer.settled < writer.captured
        if writer.phase == "off":
            yield self._start("start", state, who)
        if writer.phase == "standby" and pending:
            yield self._start("may_go_on", state, who)
        if writer.phase == "fenced" or (writer.phase == "standby" and writer.fork[0]):
            yield self._publish_fork(state, who)
        if writer.phase == "live" and self.bounds.beats and state.beats[who] != writer.epoch:
            beats = (writer.epoch, state.beats[1]) if who == 0 else (state.beats[0], writer.epoch)
            yield Step("beat", who, f"epoch {writer.epoch}", state._replace(beats=beats))
        if writer.phase in {"live", "fenced"} and state.left[1]:
            unknowns, crashes, sleeps = state.left
            after = state._replace(left=(unknowns, crashes - 1, sleeps))
            if writer.step == "sent":
                after = after._replace(late=tuple(sorted((*after.late, writer.in_doubt))))
            phase = "standby" if writer.phase == "fenced" else "off"
            fork = writer.fork if self.rules.complete_fork else (0, 0)
            stopped = Writer(phase, captured=writer.captured, settled=writer.settled, fork=fork)
            if not self.rules.complete_fork and phase == "standby":
                stopped = stopped._replace(settled=writer.captured)
            yield self._to("crash", after, who, stopped, fault=True)

    def _start(self, name: str, state: State, who: int) -> Step:
        """``Session``: catch up, take an epoch, and look for what was published before a crash."""
        writer, head = state.writers[who], self.believed(state)[0]
        epoch = max(self.revisions.epoch_high(head), *state.beats) + 1
        settled, acknowledged = writer.settled, state.acknowledged
        if self.rules.look_after_restart:
            for one in self.revisions.chain(head):
                if self.revisions.rows[one][1:3] == (who, settled) and settled < writer.captured:
                    settled, acknowledged = settled + 1, (*acknowledged, one)
        live = Writer("live", head=head, listing=head, epoch=epoch, captured=writer.captured, settled=settled)
        after = state._replace(acknowledged=tuple(sorted(acknowledged)))
        return self._to(name, after, who, live, f"epoch {epoch} after {self.revisions.text(head)}")

    def _publish_fork(self, state: State, who: int) -> Step:
        """``fork.keep`` and ``complete``: one draft after the other, then the ledger lets go of them."""
        writer = state.writers[who]
        done = writer._replace(phase="standby", step="ready", settled=writer.captured, fork=(0, 0), in_doubt=ROOT)
        if not self.rules.keep_fork:
            return self._to("forget", state, who, done)
        for draft in range(writer.settled, writer.captured):
            row = (who, *writer.fork, draft)
            if row not in state.forks:
                after = state._replace(forks=tuple(sorted((*state.forks, row))))
                return Step("publish_fork", who, f"draft {draft + 1}", after)
        return self._to("forked", state, who, Writer(done.phase, captured=done.captured, settled=done.settled))

    def _publish(self, state: State, who: int) -> Iterator[Step]:
        """``publish``: look (``_already``), then the PUT (``_create``)."""
        writer = state.writers[who]
        if writer.step == "unknown":
            yield from self._retry(state, who)
            if not (self.rules.resolve_unknown and self.rules.hold_slot):
                return
        if writer.step not in {"ready", "unknown"} or writer.settled >= writer.captured:
            return
        if writer.old and self.rules.relist_before_put:
            writer = self._relist(state, writer)
        number = self.revisions.number[writer.head] + 1
        if self.revisions.number[writer.listing] >= number:
            yield self._yield_to("_already", state, who, writer, self.revisions.at(writer.listing, number))
            return
        write_id = writer.settled + 10 * writer.attempt
        made = writer.in_doubt or self.revisions.make(writer.head, who, write_id, writer.epoch)
        sent = writer._replace(step="sent", in_doubt=made)
        yield self._to("publish", state, who, sent, f"PUT {self.revisions.text(made)}")

    def _retry(self, state: State, who: int) -> Iterator[Step]:
        """The loop of ``_create``: the same bytes to the same slot, without another look."""
        writer = state.writers[who]
        if not self.rules.resolve_unknown:
            yield self._confirmed("success assumed", state, who, writer, writer.in_doubt)
        elif not self.rules.hold_slot:
            skipped = writer._replace(step="ready", head=writer.in_doubt, in_doubt=ROOT)
            yield self._to("slot skipped", state, who, skipped)
        elif not self.rules.same_bytes:
            made = self.revisions.make(writer.head, who, writer.settled + 10 * (writer.attempt + 1), writer.epoch)
            again = writer._replace(step="sent", in_doubt=made, attempt=writer.attempt + 1)
            yield self._to("_create", state, who, again, f"PUT other bytes for {self.revisions.text(made)}")
        else:
            yield self._to(
                "_create", state, who, writer._replace(step="sent"), f"PUT {self.revisions.text(writer.in_doubt)} again"
            )

    def _network(self, state: State, who: int) -> Iterator[Step]:
        """What becomes of a PUT that is under way."""
        writer = state.writers[who]
        if writer.step != "sent":
            return
        text = self.revisions.text(writer.in_doubt)
        after, created = self._apply(state, writer.in_doubt)
        answered = writer._replace(step="created" if created else "exists")
        yield self._to("PUT answered", after, who, answered, f"{text} {answered.step}")
        if not state.left[0]:
            return
        unknowns, crashes, sleeps = state.left
        left, unknown = (unknowns - 1, crashes, sleeps), writer._replace(step="unknown")
        applied, untouched = after._replace(left=left), state._replace(left=left)
        yield self._to("PUT fails", untouched, who, unknown, f"{text} never arrived", fault=True)
        yield self._to("PUT times out", applied, who, unknown, f"{text} arrived, the answer is lost", fault=True)
        late = untouched._replace(late=tuple(sorted((*state.late, writer.in_doubt))))
        yield self._to("PUT times out", late, who, unknown, f"{text} is under way still", fault=True)

    def _apply(self, state: State, one: int) -> tuple[State, bool]:
        at = self.revisions.number[one] - 1
        if state.log[at] != ROOT and self.rules.exclusive_create:
            return state, False
        return state._replace(log=(*state.log[:at], one, *state.log[at + 1 :])), True

    def _answered(self, state: State, who: int) -> Iterator[Step]:
        """``_created`` and ``_taken``: what a writer makes of an answer."""
        writer, revisions, rules = state.writers[who], self.revisions, self.rules
        sent = writer.in_doubt
        number = revisions.number[sent]
        if writer.step == "created":
            if not (writer.old and rules.relist_when_created):
                yield self._confirmed("_created", state, who, writer, sent)
                return
            if state.left[0]:
                left = (state.left[0] - 1, *state.left[1:])
                failed = writer._replace(step="ready")
                yield self._to("_relist", state._replace(left=left), who, failed, "fails", fault=True)
            writer = self._relist(state, writer)
            found = revisions.at(writer.listing, number)
            if not revisions.same(found, sent):
                log = (*state.log[: number - 1], ROOT, *state.log[number:])
                state = state._replace(log=log)
            yield self._yield_to("_created", state, who, writer, found)
        elif writer.step == "exists":
            found = state.log[number - 1]
            if found == ROOT or (writer.old and rules.relist_when_taken):
                writer = self._relist(state, writer)
                if revisions.same(found, sent) and revisions.at(writer.listing, number) != found:
                    state = state._replace(log=(*state.log[: number - 1], ROOT, *state.log[number:]))
                found = revisions.at(writer.listing, number)
            yield self._yield_to("_taken", state, who, writer, found)

    def _relist(self, state: State, writer: Writer) -> Writer:
        return writer._replace(listing=self.believed(state)[0], old=False)

    def _yield_to(self, name: str, state: State, who: int, writer: Writer, taken: int) -> Step:
        """Go on after *taken*, which holds the next slot: ours, to be adopted, or a reason to stop."""
        revisions, text = self.revisions, self.revisions.text(taken)
        previous, owner, write_id, epoch = revisions.rows[taken]
        is_own = (owner, write_id) == (who, writer.settled + 10 * writer.attempt)
        if not is_own and epoch > writer.epoch and self.rules.fence:
            fenced = writer._replace(phase="fenced", step="ready", in_doubt=ROOT, fork=(writer.epoch, writer.head))
            return self._to(name, state, who, fenced, f"finds {text}: fenced")
        if previous != writer.head:
            stopped = Writer(captured=writer.captured, settled=writer.settled)
            return self._to(name, state, who, stopped, f"finds {text}, which does not follow: connects anew")
        if is_own:
            return self._confirmed(name, state, who, writer, taken)
        mine = writer.epoch
        if epoch == mine and self.rules.raise_equal_epoch:
            mine = max(revisions.epoch_high(taken), mine) + 1
        adopted = writer._replace(step="ready", head=taken, epoch=mine, in_doubt=ROOT)
        return self._to("_yield_to", state, who, adopted, f"adopts {text}, goes on in epoch {mine}")

    def _confirmed(self, name: str, state: State, who: int, writer: Writer, one: int) -> Step:
        done = writer._replace(step="ready", head=one, settled=writer.settled + 1, in_doubt=ROOT, attempt=0)
        after = state._replace(acknowledged=tuple(sorted((*state.acknowledged, one))))
        return self._to(name, after, who, done, f"reports {self.revisions.text(one)} as published")

    def _compact(self, state: State) -> Iterator[Step]:
        """``pack_range``, ``_store_snapshot``, ``_store_pack``, ``_delete``; it may end after every one."""
        revisions, packer, rules = self.revisions, state.packer, self.rules
        packed = max((revisions.number[last] for _, last, _ in state.packs), default=0)
        head = self.believed(state)[0]
        if not packer.first and self.bounds.sleeps and revisions.number[head] > packed:
            made = Packer(packed + 1, head)
            yield Step("pack_range", -1, f"{packed + 1}-{revisions.number[head]}", state._replace(packer=made))
        if packer.first:
            name, last = f"{packer.first}-{revisions.number[packer.last]}", packer.last
            if not packer.stored and rules.snapshot_before_delete:
                kept = tuple(sorted((*state.snapshots, last)))
                after = state._replace(snapshots=kept, packer=packer._replace(stored=True))
                yield Step("_store_snapshot", -1, str(revisions.number[last]), after)
            else:
                after = state._replace(packs=(*state.packs, (packer.first, last, packer.due)), packer=Packer())
                yield Step("_store_pack", -1, name, after)
            if not rules.pack_before_delete:
                yield from self._delete(state, packer.first, last)
        for first, last, due in state.packs:
            if (due or not rules.grace_period) and (last in state.snapshots or not rules.snapshot_before_delete):
                yield from self._delete(state, first, last)

    def _delete(self, state: State, first: int, last: int) -> Iterator[Step]:
        for number in range(first, self.revisions.number[last] + 1):
            # What is no stray goes, one by one: it may be cut short anywhere.
            if state.log[number - 1] == self.revisions.at(last, number):
                log = (*state.log[: number - 1], ROOT, *state.log[number:])
                yield Step("_delete", -1, f"slot {number}", state._replace(log=log))

    def _read(self, state: State) -> Iterator[Step]:
        """``checkout`` of the head: list, then object by object; one that vanished has it list again."""
        if not self.bounds.reader:
            return
        todo, before = state.reader
        if not todo:
            units = self.units(state)
            if units:
                yield Step("checkout", -1, "the reader lists", state._replace(reader=(units, ROOT)))
            return
        found = self.follow(state, todo[0], before)
        text, wrong = "finds an object gone, lists again", ""
        after = state._replace(reader=((), ROOT))
        if found is None:
            text = wrong = "a reader met a break in the chain"
        elif found != ROOT:
            text = f"the reader reads {self.revisions.text(found)}"
            if todo[1:]:
                after = state._replace(reader=(todo[1:], found))
            elif not self.revisions.leads_to(found, self.believed(state)[0]):
                wrong = f"a reader was given {self.revisions.text(found)}, which is not the log's"
        yield Step("checkout", -1, text, after, wrong=wrong)

    def _to(self, name: str, state: State, who: int, writer: Writer, detail: str = "", *, fault: bool = False) -> Step:
        writers = (writer, state.writers[1]) if who == 0 else (state.writers[0], writer)
        return Step(name, who, detail, state._replace(writers=writers), fault)


class Explorer:
    """Visits every state once, and remembers how it got there."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self._is_symmetric = len(set(protocol.bounds.drafts)) == 1
        self._from: dict[State, State | None] = {}

    def explore(self) -> Finding:
        """Return the shortest way to a violation, or how many states there are without one."""
        protocol, first = self.protocol, self.protocol.first()
        self._from, todo = {first: None}, deque([first])
        while todo:
            state = todo.popleft()
            for step in protocol.steps(state):
                after = self._canonical(step.state)
                if after in self._from and not step.wrong:
                    continue
                wrong = step.wrong or protocol.check_step(state, step.state) or protocol.check(step.state)
                if wrong:
                    return Finding(len(self._from), wrong, (*self._trace(state, after),))
                self._from[after] = state
                todo.append(after)
        return Finding(len(self._from))

    def stuck(self) -> State | None:
        """Return a visited state where, without another fault, all ways end too early; None if there is none.

        The way from each state is the one that its first step leads to, and so on: that it ends well is a proof.
        """
        good: set[State] = set()
        for begin in self._from:
            path, state = set[State](), begin
            while state not in good and not self.protocol.is_over(state):
                path.add(state)
                ways = (self._canonical(step.state) for step in self.protocol.steps(state) if _is_progress(step))
                found = next((one for one in ways if one not in path), None)
                if found is None:
                    return state
                state = found
            good |= path
        return None

    def way_to(self, state: State) -> Finding:
        """Return how a state that was visited came about."""
        return Finding(len(self._from), "no way on", tuple(self._trace(self._from[state] or state, state)))

    def _canonical(self, state: State) -> State:
        if not self._is_symmetric:
            return state
        return min(state, self._mirrored(state))

    def _mirrored(self, state: State) -> State:
        mirrored = self.protocol.revisions.mirrored
        one, other = (
            writer._replace(
                head=mirrored(writer.head),
                listing=mirrored(writer.listing),
                in_doubt=mirrored(writer.in_doubt),
                fork=(writer.fork[0], mirrored(writer.fork[1])),
            )
            for writer in state.writers
        )
        return state._replace(
            log=tuple(map(mirrored, state.log)),
            packs=tuple((first, mirrored(last), due) for first, last, due in state.packs),
            snapshots=tuple(sorted(map(mirrored, state.snapshots))),
            forks=tuple(sorted((1 - who, epoch, mirrored(head), draft) for who, epoch, head, draft in state.forks)),
            beats=(state.beats[1], state.beats[0]),
            late=tuple(sorted(map(mirrored, state.late))),
            acknowledged=tuple(sorted(map(mirrored, state.acknowledged))),
            writers=(other, one),
            packer=state.packer._replace(last=mirrored(state.packer.last)),
            reader=(state.reader[0], mirrored(state.reader[1])),
        )

    def _trace(self, last: State, end: State) -> Iterator[str]:
        """Yield the steps that lead to *last* and on to *end*, with the same names all the way."""
        path: list[State] = [end]
        at: State | None = last
        while at is not None:
            path.append(at)
            at = self._from[at]
        path.reverse()
        state = path[0]
        for wanted in path[1:]:
            step = next(one for one in self.protocol.steps(state) if self._canonical(one.state) == wanted)
            yield f"{NAMES[step.who] if step.who >= 0 else '-'} {step.name}: {step.detail}".removesuffix(": ")
            state = step.state


def _is_progress(step: Step) -> bool:
    """Return whether a writer takes *step* by itself, with nothing going wrong."""
    return not step.fault and step.who >= 0 and step.name != "beat"


def explore(rules: Rules, bounds: Bounds) -> Finding:
    """Return what there is to find in a protocol of *rules*, within *bounds*."""
    return Explorer(Protocol(rules, bounds)).explore()
