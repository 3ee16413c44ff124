"""Who takes part in a history: writers, a packer, a reader, restores, and whoever spoils it for them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from confstream.compactor import compact
from confstream.errors import (
    ConfstreamError,
    FencedError,
    IntegrityError,
    NoReplicaError,
    NotFoundError,
    UnavailableError,
)
from confstream.journal.journal import Journal
from confstream.journal.phase import SPOOL_BYTES_MAX, Phase, UplinkSettings
from confstream.log.reader import LogReader
from confstream.presence import is_missing
from confstream.restorer import RestoreOptions, restore
from tests.histories import read_directory
from tests.torture.simulator.oracle import Content, Link, nodes
from tests.torture.simulator.scheduler import SECOND, Process
from tests.torture.simulator.world import GRACE_SECONDS, World

HOURS_NS = 3600 * SECOND
ENDS_SECONDS = 6 * 3600.0
"""By when everything is published once nothing goes wrong any more."""

_KILLED_WITHIN = 150
_SCARCE_BYTES = 4096


@dataclass
class Writer:
    """One tree with its journal, and what is known to be in it.

    *files* is what was acknowledged; it may also be as one of *begun* would
    have it, all of it or nothing: what is being written, and what was refused
    since the last write that was not. In *loose* is what was recorded and
    found no room in its place. What is *outdated* was
    replaced later: a journal that may not hold more merges it away.
    """

    world: World
    name: str
    tree: Path
    state: Path | None = None
    files: dict[str, bytes | None] = field(default_factory=dict)
    begun: list[dict[str, bytes | None]] = field(default_factory=list)
    loose: dict[str, bytes | None] = field(default_factory=dict)
    outdated: set[Content] = field(default_factory=set)
    acknowledged: list[Content] = field(default_factory=list)
    offset_ns: int = 0
    left: int = 0
    count: int = 0
    process: Process | None = None
    phase: Phase | None = None

    def live(self) -> None:
        """Run, be killed and be started again until everything is done that was to be."""
        world = self.world
        self.left = world.scenario.actions
        while self.left > 0:
            until_kill = world.draw.randrange(1, _KILLED_WITHIN) if self._is_mortal() else 0
            world.run_process(self.name, self._work, offset_ns=self.offset_ns, until_kill=until_kill)
            self.left -= 1
            world.scheduler.sleep(int(world.draw.random() * 10 * SECOND))

    def finish(self) -> None:
        """Run once more, with nothing going wrong, until all of it is published or forked."""
        assert self.world.run_process(self.name, self._publish_all, offset_ns=self.offset_ns)

    def _is_mortal(self) -> bool:
        return self.world.scenario.kills and self.world.draw.random() < 2 / 3

    def _open(self) -> Journal:
        world, scenario = self.world, self.world.scenario
        self.process = world.scheduler.current.process
        settings = UplinkSettings(
            heartbeat_seconds=scenario.heartbeat_seconds,
            snapshot_every=scenario.snapshot_every,
            pack_size=scenario.pack_size,
            grace_seconds=GRACE_SECONDS,
            spool_bytes_max=_SCARCE_BYTES if scenario.scarce else SPOOL_BYTES_MAX,
        )
        journal = Journal.open(
            self.tree, world.url, state_dir=self.state, author=self.name, clock=world.clock(), settings=settings
        )
        self._check(journal)
        return journal

    def _work(self) -> None:
        draw = self.world.draw
        try:
            journal = self._open()
        except ConfstreamError as error:
            self._tolerate(error)
            return
        actions = [self._write, self._write, self._write, self._several, self._edit, self._delete, self._sync]
        if self.world.scenario.shared:
            # Of one tree several journals may follow what others write, but only one may write it.
            actions = [self._edit, self._edit, self._edit, self._sync]
        elif self.world.scenario.batches:
            actions = [self._several]
        while self.left > 0:
            self.left -= 1
            chance = draw.random()
            if chance < 1 / 12:
                break
            if chance < 1 / 4:
                self.world.scheduler.sleep(int(draw.choice([1, 10, 300, 1800]) * draw.random() * SECOND))
            draw.choice(actions)(journal)
        try:
            if draw.random() < 1 / 4:
                journal.abort()
            else:
                journal.close(draw.random() * 60)
        except ConfstreamError as error:
            self._tolerate(error)

    def _publish_all(self) -> None:
        world, journal = self.world, self._open()
        self._edit(journal)
        deadline = world.scheduler.seconds + ENDS_SECONDS
        while True:
            try:
                journal.sync(600)
                break
            except (FencedError, UnavailableError, IntegrityError) as error:
                world.say(str(error))
            assert world.scheduler.seconds < deadline, f"{self.name} does not come to an end, though all is well"
            world.scheduler.sleep(60 * SECOND)
            if journal.status().phase is Phase.FENCED:
                journal.abort()
                journal = self._open()
        status = journal.status()
        self.phase = status.phase
        journal.close()
        lost = set(self.acknowledged) - self._merged() - world.oracle.kept - world.oracle.forked
        assert not lost, f"{self.name} acknowledged {min(lost)[0]!r}, which is in neither log nor fork"

    def _new(self) -> tuple[str, bytes]:
        self.count += 1
        name = f"{self.name}-{self.world.draw.randrange(5)}.txt"
        if self.world.draw.random() < 1 / 6:
            name = f"sub/{name}"
        line = f"{self.name} wrote this as number {self.count}\n".encode()
        return name, line * self.world.draw.choice([1, 1, 4, 40])

    def _write(self, journal: Journal) -> None:
        name, content = self._new()
        self._record(journal, {name: content})

    def _several(self, journal: Journal) -> None:
        self._record(journal, dict(self._new() for _ in range(3)))

    def _delete(self, journal: Journal) -> None:
        there = sorted(name for name, content in self.files.items() if content is not None)
        if len(there) > 1:
            self._record(journal, {self.world.draw.choice(there): None})

    def _record(self, journal: Journal, wanted: dict[str, bytes | None]) -> None:
        self.begun.append(wanted)
        try:
            with journal.transaction() as transaction:
                for name, content in wanted.items():
                    if content is None:
                        transaction.delete(name)
                    else:
                        transaction.write(name, content)
        except UnavailableError as error:
            self._refused(wanted, error)
        else:
            self._acknowledge(wanted)

    def _refused(self, wanted: dict[str, bytes | None], error: UnavailableError) -> None:
        """Hold what the disk has against what a write says that found no room."""
        self.world.say(f"{type(error).__name__}: {error}")
        if not self.world.scenario.full:
            raise error
        found = {name: self._read(name) for name in wanted}
        if "it is recorded" in str(error):
            for name, content in found.items():
                assert content in {self.files.get(name), wanted[name]}, f"{name} is neither what it was nor the new one"
            self.loose |= wanted
            self.files |= found
            self.begun.clear()
        else:
            # It did not happen; a crash before the next one may bring it back.
            old = {name: self.files.get(name) for name in wanted}
            assert found == old, f"a write was refused, and {self.name} has {_first_difference(found, old)}"

    def _edit(self, journal: Journal) -> None:
        """Write as another program does, and have it captured."""
        name, content = self._new()
        self.edit(name, content)
        self._outdate([name])
        self.files[name] = content
        self.loose.pop(name, None)
        for begun in self.begun:
            begun.pop(name, None)
        self.world.say(f"edits {name}")
        try:
            journal.capture()
        except UnavailableError as error:
            self._tolerate(error)
        else:
            self._acknowledge({name: content})

    def edit(self, name: str, content: bytes) -> None:
        """Replace a file, from outside."""
        path, disk = self.tree / name, self.world.disk
        if not path.parent.is_dir():
            disk.outside("mkdir", path.parent)
        # Beside the tree: it appears there whole.
        new = self.world.base / f"{self.name}.new"
        new.write_bytes(content)
        time_ns = self.world.scheduler.now_ns
        disk.outside("utime", new, (time_ns // SECOND, time_ns // SECOND))
        disk.outside("rename", new, path)

    def _acknowledge(self, written: dict[str, bytes | None]) -> None:
        self._outdate(written)
        self.files |= written
        self.begun.clear()
        for name in written:
            self.loose.pop(name, None)
        self.acknowledged += [
            (name.encode(), hashlib.sha256(content).digest())
            for name, content in written.items()
            if content is not None
        ]

    def _outdate(self, names: Iterable[str]) -> None:
        """Note that what *names* hold is about to be replaced."""
        for name in names:
            content = self.files.get(name)
            if content is not None:
                self.outdated.add((name.encode(), hashlib.sha256(content).digest()))

    def _merged(self) -> set[Content]:
        """Return what may be in no revision, for a journal that was not to hold more merged what waited."""
        return self.outdated if self.world.scenario.scarce else set()

    def _sync(self, journal: Journal) -> None:
        before = [*self.acknowledged]
        try:
            journal.sync(self.world.draw.choice([0.5, 20.0, 120.0]))
        except ConfstreamError as error:
            self._tolerate(error)
            return
        self.world.say("is in sync")
        if journal.status().phase not in {Phase.BEHIND, Phase.HELD}:
            contents = set(before) - self._merged() - self.world.oracle.forked
            self.world.oracle.check_kept(sorted(contents), self.name)

    def _tolerate(self, error: ConfstreamError) -> None:
        self.world.say(f"{type(error).__name__}: {error}")
        scenario = self.world.scenario
        is_due = scenario.stale or (scenario.spoils and isinstance(error, IntegrityError)) or self.world.is_full(error)
        if not is_due and not isinstance(error, (UnavailableError, FencedError)):
            raise error

    def _check(self, journal: Journal) -> None:
        """Hold the disk, and what the journal says of it, against what was acknowledged (P4)."""
        found = {name: self._read(name) for name in {*self.files, *self.loose}.union(*self.begun)}
        old = {name: self.files.get(name) for name in found}
        old |= {name: content for name, content in self.loose.items() if found[name] == content}
        allowed = [old, *(old | begun for begun in self.begun)]
        assert found in allowed, f"after a restart {self.name} has {_first_difference(found, allowed[-1])}"
        self._outdate(name for name, content in found.items() if content != self.files.get(name))
        self.files, self.begun, self.loose = found, [], {}
        for name, content in sorted(found.items()):
            try:
                recorded: bytes | None = journal.read(name)
            except NotFoundError:
                recorded = None
            assert recorded == content, f"after a restart {name} is not recorded as it is on the disk of {self.name}"

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.tree / name).read_bytes()
        except FileNotFoundError:
            return None


def _first_difference(found: dict[str, bytes | None], expected: dict[str, bytes | None]) -> str:
    name = next(name for name in sorted(found) if found[name] != expected[name])
    return f"{name} as {(found[name] or b'')[:60]!r}, expected {(expected[name] or b'')[:60]!r}"


@dataclass
class Packer:
    """Packs what there is, again and again."""

    world: World
    offset_ns: int = 0

    def live(self) -> None:
        world = self.world
        while not world.is_over:
            until_kill = world.draw.randrange(1, _KILLED_WITHIN) if world.scenario.kills else 0
            world.run_process("packer", self.pack, offset_ns=self.offset_ns, until_kill=until_kill)
            world.scheduler.sleep(int(world.draw.choice([20, 600, 1800]) * world.draw.random() * SECOND))

    def pack(self) -> None:
        world = self.world
        try:
            report = compact(
                world.open_store(), world.clock(), pack_size=world.scenario.pack_size, minimum=2, tail=1,
                grace_seconds=GRACE_SECONDS,
            )  # fmt: skip
            world.say(str(report))
        except (UnavailableError, NoReplicaError) as error:
            world.say(str(error))
        except IntegrityError as error:
            world.say(str(error))
            if not (world.scenario.spoils or world.scenario.stale):
                raise


@dataclass
class Reader:
    """Reads any revision, and compares it with what it was when it was made."""

    world: World
    compared: int = 0

    def live(self) -> None:
        world = self.world
        while not world.is_over:
            world.run_process("reader", self.read)
            world.scheduler.sleep(int(world.draw.random() * 120 * SECOND))

    def read(self) -> None:
        world, known = self.world, self.world.oracle.head
        reader = LogReader(world.open_store())
        try:
            head = reader.refresh().head
            assert head >= known or world.scenario.stale, f"a reader saw revision {head}, and {known} was there"
            if head:
                self.compare(reader, world.draw.randrange(1, head + 1))
        except (UnavailableError, NoReplicaError) as error:
            world.say(str(error))
        except (IntegrityError, NotFoundError) as error:
            world.say(str(error))
            if not (world.scenario.stale or (world.scenario.spoils and isinstance(error, IntegrityError))):
                raise

    def compare(self, reader: LogReader, number: int) -> None:
        """Raise unless revision *number* is what it was when it was made."""
        link = self.world.oracle.chain[number - 1]
        found = reader.checkout(number)
        try:
            assert found.position.hash == link.hash, f"revision {number} is another one than it was"
            assert nodes(found.tree) == link.tree, f"revision {number} reads as another tree than it was"
            for entry in found.tree.files:
                content = found.content(entry.hash)
                assert hashlib.sha256(content).digest() == entry.hash, f"revision {number}: {entry.path!r} is wrong"
        finally:
            found.close()
        self.compared += 1


@dataclass
class Restorer:
    """Restores into an empty directory, is killed at it, and tried again until it is whole (P3)."""

    world: World
    compared: int = 0
    count: int = 0

    def live(self) -> None:
        world = self.world
        while not world.is_over:
            world.scheduler.sleep(int(world.draw.random() * 900 * SECOND))
            if world.oracle.head:
                self.restore(world.base / f"restored-{self.count}")
                self.count += 1

    def restore(self, root: Path) -> None:
        """Restore until it is done, and compare."""
        world = self.world
        chosen = world.draw.choice(["latest", "latest-good", str(world.draw.randrange(1, world.oracle.head + 1))])
        done: list[int] = []
        for _ in range(30):
            until_kill = world.draw.randrange(1, _KILLED_WITHIN) if world.scenario.kills else 0
            world.run_process("restorer", lambda: self._attempt(root, chosen, done), until_kill=until_kill)
            if done or world.is_over:
                break
            if not is_missing(root).missing:
                self._compare(root, None)
            world.scheduler.sleep(int(world.draw.random() * 30 * SECOND))
        if done:
            self._compare(root, done[0])

    def _attempt(self, root: Path, chosen: str, done: list[int]) -> None:
        options = RestoreOptions(revision=chosen, if_missing=True, timeout_seconds=30)
        world = self.world
        try:
            report = restore(world.url, root, options, clock=world.clock(), open_store=world.open_store)
        except UnavailableError as error:
            world.say(str(error))
        except (IntegrityError, NotFoundError, NoReplicaError) as error:
            world.say(str(error))
            # What was merged into the first revision may be doubted as a whole.
            is_doubted = world.scenario.scarce and "without a doubt" in str(error)
            if not (world.scenario.spoils or world.scenario.stale or is_doubted):
                raise
        except ConfstreamError as error:
            world.say(str(error))
            if not world.is_full(error):
                raise
        else:
            world.say(f"restored: {report.outcome} {report.revision}")
            done.append(report.revision or 0)

    def _compare(self, root: Path, number: int | None) -> None:
        found = _files(root)
        chain = self.world.oracle.chain
        matching: Iterable[Link] = chain[number - 1 : number] if number else chain
        assert any(found == _wanted(link) for link in matching), f"{root.name} is no revision, or not {number}"
        self.compared += 1


def _files(root: Path) -> dict[bytes, bytes]:
    return {
        path: hashlib.sha256(node.content).digest()
        for path, node in read_directory(root).items()
        if node.mode & 0o170000 == 0o100000
    }


def _wanted(link: Link) -> dict[bytes, bytes]:
    return {path: node.hash for path, node in link.tree.items() if node.kind == "file"}


@dataclass
class Weathermaker:
    """Lets requests fail for a while, pauses processes, sets clocks wrong."""

    world: World
    writers: list[Writer]
    packer: Packer
    pauses: int = 0
    jumps: int = 0
    is_full: bool = False

    def live(self) -> None:
        world, draw = self.world, self.world.draw
        world.disk.full_for = self._is_full_for
        while not world.is_over:
            self._change()
            world.scheduler.sleep(int(draw.choice([5, 30, 600]) * draw.random() * SECOND))

    def calm(self) -> None:
        """Let everything be well from now on."""
        weather = self.world.weather
        weather.fault_rate = weather.spoiled_rate = weather.stale_seconds = 0.0
        self.is_full = False
        for process in self.world.processes:
            process.paused_until_ns = 0
            process.until_kill = 0

    def _is_full_for(self, process: Process) -> bool:
        return self.is_full and process.name not in {"reader", "packer"}

    def _change(self) -> None:
        world, draw = self.world, self.world.draw
        weather, scenario = world.weather, world.scenario
        if scenario.faults:
            weather.fault_rate = draw.choice([0.0, 0.02, 0.1, 0.1, 0.4, 1.0 if draw.random() < 1 / 4 else 0.0])
        if scenario.scarce and draw.random() < 1 / 3:
            weather.fault_rate = 1.0
        if scenario.full:
            self.is_full = draw.random() < 1 / 3
            world.say("the disk is full" if self.is_full else "the disk has room")
        weather.spoiled_rate = draw.choice([0.0, 0.02, 0.2]) if scenario.spoils else 0.0
        weather.stale_seconds = draw.choice([0.0, 5.0, 120.0]) if scenario.stale else 0.0
        weather.delay_seconds = draw.choice([0.002, 0.05, 0.05, 2.0])
        mortal = [one for one in world.processes if one.name not in {"reader", "restorer"}]
        if scenario.pauses and mortal and draw.random() < 1 / 4:
            delay_ns = int(draw.choice([10 * SECOND, 1200 * SECOND, 2 * HOURS_NS, 5 * HOURS_NS]))
            chosen = draw.choice(mortal)
            world.say(f"{chosen.name} is paused for {delay_ns // SECOND} s")
            self.pauses += 1
            world.scheduler.pause(chosen, delay_ns)
        if scenario.jumps and draw.random() < 1 / 4:
            self._jump(int(draw.choice([-30, -1, 1, 10]) * draw.random() * HOURS_NS))

    def _jump(self, by_ns: int) -> None:
        everybody: list[Writer | Packer] = [*self.writers, self.packer]
        chosen = self.world.draw.choice(everybody)
        chosen.offset_ns += by_ns
        self.jumps += 1
        name = chosen.name if isinstance(chosen, Writer) else "packer"
        self.world.say(f"the clock of {name} jumps by {by_ns // SECOND} s")
        for process in self.world.processes:
            if process.name == name:
                process.offset_ns = chosen.offset_ns


def make_writers(world: World) -> list[Writer]:
    """Return the writers, on trees of their own or on one."""
    writers = []
    for number in range(world.scenario.writers):
        name = f"w{number}"
        tree = world.base / ("shared" if world.scenario.shared else name)
        tree.mkdir(exist_ok=True)
        state = world.base / f"state-{name}" if world.scenario.shared else None
        writers.append(Writer(world, name, tree, state))
    return writers
