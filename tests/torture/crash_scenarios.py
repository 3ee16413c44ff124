"""Everything that writes, each as a scenario: what is there before, what is done, what must be true after a crash.

``compact`` is called as the library has it, with packs so small that a few
revisions make some; the command packs from a hundred on, and does the same.
"""

import contextlib
from pathlib import Path

from confstream import (
    FencedError,
    Journal,
    RestoreOptions,
    SystemClock,
    compact,
    is_missing,
    open_store,
    recording,
    restore,
)
from tests.restoring import Files
from tests.torture.calls import acknowledge, unwatched
from tests.torture.crash_place import COMMON, PATIENCE_SECONDS, REPLICATING, Place

DONE = "done"
OLD: Files = {
    "config.yml": b"a: 1\n",
    "same.yml": b"same: 1\n",
    "gone.yml": b"gone: 1\n",
    "sub/b.yml": b"b: 1\n" * 200,
    "sub/link": "b.yml",
    "was-folder/x": b"x: 1\n",
}
NEW: Files = {
    "config.yml": b"a: 2\n",
    "same.yml": b"same: 1\n",
    "sub/b.yml": b"b: 2\n" * 300,
    "sub/link": "../config.yml",
    "sub/deep/new.yml": b"new: 1\n",
    "empty": None,
    "was-folder": b"now a file\n",
}
BLANK: Files = {"config.yml": b"", "same.yml": b"same: mine\n"}
EDITED: Files = {"config.yml": b"mine: 1\n", "mine.yml": b"mine: 2\n"}
MINE: Files = {**OLD, "config.yml": b"mine: 1\n", "extra.yml": b"extra: 1\n"}


class Scenario:
    """One thing that is done. ``prepare``, ``act``, ``again`` and the checks run in processes of their own."""

    is_cuttable = True
    """Whether a power cut tells something: another process's writes are not recorded, and a proof keeps nothing."""

    def prepare(self, place: Place) -> None:
        """Make what is there before."""
        place.tree.mkdir()

    def act(self, place: Place) -> None:
        """Do it, and acknowledge what its user is told; the kill comes in here."""
        raise NotImplementedError

    def again(self, place: Place) -> None:
        """Do what a person or a supervisor does after a crash: the same again."""
        self.act(place)

    def check_crashed(self, place: Place, said: list[str]) -> None:
        """Assert what must be true as soon as it crashed, with *said* acknowledged."""
        del said
        place.check_history()

    def check_ended(self, place: Place, said: list[str]) -> None:
        """Assert what must be true after ``again``; and before, if ``act`` had told that it was done."""
        del said
        place.check_history()
        place.check_published()
        place.check_swept()


class _StopError(BaseException):
    """Stands for the end of the process."""


class FirstReplicate(Scenario):
    """The very first ``replicate --once``: replica, journal and all are made."""

    def prepare(self, place: Place) -> None:
        """Make a tree."""
        place.fill(OLD)

    def act(self, place: Place) -> None:
        """Publish it."""
        place.replicate()
        acknowledge(DONE)

    def check_crashed(self, place: Place, said: list[str]) -> None:
        """P1: nobody but the user changes the tree."""
        assert place.contents == place.noted["before"], "replicate changed the tree"
        super().check_crashed(place, said)


class LaterReplicate(FirstReplicate):
    """``replicate --once`` after edits of every kind."""

    def prepare(self, place: Place) -> None:
        """Publish a tree and edit it."""
        place.fill(OLD)
        place.publish()
        _edit(place)


class LiveReplicate(Scenario):
    """``replicate`` that sees edits as they come, with heartbeats, until its child ends."""

    is_cuttable = False

    def prepare(self, place: Place) -> None:
        """Publish a tree."""
        place.fill(OLD)
        place.publish()

    def act(self, place: Place) -> None:
        """Protect it while a program edits it, waits until that is published, and edits again."""
        script = place.base.parent / "edit.sh"
        script.write_text(_SCRIPT)
        options = ["60s" if option == "0" else option for option in REPLICATING]
        program = f"sh {script} {place.tree} {place.replica}"
        place.must(*self.command(place), *options, "--exec", program)
        acknowledge(DONE)

    def command(self, place: Place) -> list[str | Path]:
        """Return the beginning of the command line."""
        return ["replicate", place.tree, place.replica]

    def check_ended(self, place: Place, said: list[str]) -> None:
        """What the program wrote last is what is there."""
        super().check_ended(place, said)
        assert place.contents["config.yml"] == b"third\n"


class Run(LiveReplicate):
    """``run``: the tree is missing, restored, and then protected while a command runs."""

    def prepare(self, place: Place) -> None:
        """Publish a tree and lose it."""
        super().prepare(place)
        place.tree.rename(place.base.parent / "lost")

    def command(self, place: Place) -> list[str | Path]:
        """Return the beginning of the command line."""
        return ["run", place.tree, place.replica]


class Restore(Scenario):
    """``restore`` of the second of two revisions; *before* is what is on the disk."""

    options: tuple[str, ...] = ()
    before: Files | None = None
    wanted: Files = NEW
    journal = False

    def prepare(self, place: Place) -> None:
        """Publish two revisions, and make the tree what it is to be."""
        place.fill(OLD)
        place.publish()
        _edit(place)
        place.publish()
        place.tree.rename(place.base.parent / "lost")
        if self.before is not None:
            place.fill(self.before)

    def act(self, place: Place) -> None:
        """Restore."""
        place.must("restore", place.replica, place.tree, *COMMON, *self.options)
        acknowledge(DONE)

    def check_crashed(self, place: Place, said: list[str]) -> None:
        """P3: all, nothing, or it counts as missing."""
        super().check_crashed(place, said)
        found = place.contents
        whole = found in (place.noted["before"], self.expected(place))
        assert whole or is_missing(place.tree).missing, f"a mixture counts as present: {sorted(found)}"

    def expected(self, place: Place) -> dict[str, bytes | str | None]:
        """Return what the tree is to hold in the end."""
        kept = {} if "--delete" in self.options else place.noted["before"]
        wanted = _with_folders(self.wanted)
        return {**{name: value for name, value in kept.items() if not _hidden(name, wanted)}, **wanted}

    def check_ended(self, place: Place, said: list[str]) -> None:
        """It is restored; a forced one can be undone (P1)."""
        del said
        assert place.contents == self.expected(place)
        place.check_metadata("2" if self.wanted is NEW else "1")
        place.check_history()
        place.check_swept()
        if self.before is not None:
            self._check_undoable(place)

    def _check_undoable(self, place: Place) -> None:
        """What was replaced is on the replica, or on its way there, or set aside."""
        lost = {
            name: value
            for name, value in (self.before or {}).items()
            if isinstance(value, bytes) and value.strip() and place.contents.get(name) != value
        }
        with unwatched():
            place.replicate()
        assert [name for name, value in lost.items() if not place.ever_held(value)] == [], "replaced without a record"


class RestoreMissing(Restore):
    """Nothing is there, not even the directory."""

    options = ("--if-missing",)


class RestoreBlank(Restore):
    """The guard is blank, another file is there: what is missing is filled in (P2)."""

    options = ("--if-missing", "--guard", "config.yml")
    before: Files = BLANK

    def check_crashed(self, place: Place, said: list[str]) -> None:
        """The guard decides what is missing."""
        Scenario.check_crashed(self, place, said)
        found = place.contents
        whole = found in (place.noted["before"], self.expected(place))
        assert whole or is_missing(place.tree, ["config.yml"]).missing, f"a mixture is present: {sorted(found)}"

    def expected(self, place: Place) -> dict[str, bytes | str | None]:
        """What was present and not blank stays (P1)."""
        del place
        return {**_with_folders(NEW), "same.yml": b"same: mine\n"}


class RestoreForce(Restore):
    """Something else is there, and is replaced after it was recorded."""

    options: tuple[str, ...] = ("--force", "--revision", "2")
    before = MINE


class RestoreDelete(RestoreForce):
    """Likewise, and what the revision lacks goes."""

    options = ("--force", "--delete", "--revision", "2")


class RestoreOlder(RestoreDelete):
    """A rollback in a tree that has a journal."""

    options = ("--force", "--delete", "--revision", "1")
    wanted = OLD

    def prepare(self, place: Place) -> None:
        """Publish two revisions, and edit."""
        place.fill(OLD)
        place.publish()
        _edit(place)
        place.publish()
        place.fill(EDITED)

    before: Files = EDITED


class RestoreUnfinished(RestoreDelete):
    """An unfinished one is finished."""

    def prepare(self, place: Place) -> None:
        """Stop a restore in the middle of its switch."""
        super().prepare(place)
        self.note_before(place)
        steps: list[str] = []

        def stop(step: str) -> None:
            steps.append(step)
            if steps.count("staged") and len(steps) - steps.index("staged") > self.STEPS:
                raise _StopError

        options = RestoreOptions(force=True, delete=True, revision="2")
        with contextlib.suppress(_StopError):
            restore(str(place.replica), place.tree, options, record_before=recording(), checkpoint=stop)
        assert (place.tree / ".confstream" / "restoring").exists()

    STEPS = 14

    def note_before(self, place: Place) -> None:
        """Write down what was there before the first restore began."""
        place.note(before=place.contents)


class RestoreForward(Restore):
    """The tree is an unmodified older revision."""

    options = ("--fast-forward",)
    before = OLD

    def expected(self, place: Place) -> dict[str, bytes | str | None]:
        """An update takes away what the newer revision lacks, too."""
        del place
        return _with_folders(NEW)


class RestorePath(Restore):
    """Only one subtree."""

    options = ("--force", "--path", "sub")
    before = MINE

    def expected(self, place: Place) -> dict[str, bytes | str | None]:
        """Everything else stays."""
        part = {name: value for name, value in _with_folders(NEW).items() if name.startswith("sub")}
        return {**place.noted["before"], **part}


class Rollback(Scenario):
    """A restore of an older revision is published as one, by the next writer."""

    def prepare(self, place: Place) -> None:
        """Publish two revisions and restore the first one."""
        place.fill(OLD)
        place.publish()
        _edit(place)
        place.publish()
        place.must("restore", place.replica, place.tree, *COMMON, "--force", "--delete", "--revision", "1")

    def act(self, place: Place) -> None:
        """Publish."""
        place.replicate()
        acknowledge(DONE)

    def check_ended(self, place: Place, said: list[str]) -> None:
        """It is there once, and says what it is."""
        super().check_ended(place, said)
        sources = place.ask(lambda history: [entry.authorship.source for entry in history.log(newest_first=False)])
        assert sources.count("restore") == 1, sources
        assert sources[-1] == "restore", sources


class JournalWrites(Scenario):
    """The library: writes, a delete, a transaction, a sync. Each one that returned is there, none is half there."""

    def prepare(self, place: Place) -> None:
        """Publish a tree."""
        place.fill({"a.yml": b"a: 0\n", "b.yml": b"b: 0\n"})
        with Journal.open(place.tree, str(place.replica), heartbeat_seconds=0) as journal:
            journal.sync(PATIENCE_SECONDS)

    STATES: tuple[dict[str, bytes | None], ...] = (
        {"a.yml": b"a: 0\n", "b.yml": b"b: 0\n"},
        {"a.yml": b"a: 1\n", "b.yml": b"b: 0\n"},
        {"a.yml": b"a: 1\n", "b.yml": b"b: 0\n", "sub": None, "sub/c.yml": b"c: 2\n"},
        {"a.yml": b"a: 1\n", "sub": None, "sub/c.yml": b"c: 2\n"},
        {"a.yml": b"a: 4\n" * 50, "d.yml": b"d: 4\n", "sub": None, "sub/c.yml": b"c: 4\n"},
        {"a.yml": b"a: 5\n", "d.yml": b"d: 4\n", "sub": None, "sub/c.yml": b"c: 4\n"},
    )

    def act(self, place: Place) -> None:
        """Write."""
        with Journal.open(place.tree, str(place.replica), heartbeat_seconds=0) as journal:
            journal.write("a.yml", b"a: 1\n")
            acknowledge("written 1")
            journal.write("sub/c.yml", b"c: 2\n")
            acknowledge("written 2")
            journal.delete("b.yml")
            acknowledge("written 3")
            journal.sync(PATIENCE_SECONDS)
            acknowledge("synced 3")
            with journal.transaction() as transaction:
                transaction.write("a.yml", b"a: 4\n" * 50)
                transaction.write("d.yml", b"d: 4\n")
                transaction.write("sub/c.yml", b"c: 4\n")
            acknowledge("written 4")
            journal.write("a.yml", b"a: 5\n")
            acknowledge("written 5")
        acknowledge("synced 5")

    def again(self, place: Place) -> None:
        """Open the journal, which completes what was begun."""
        with Journal.open(place.tree, str(place.replica), heartbeat_seconds=0) as journal:
            journal.sync(PATIENCE_SECONDS)

    def check_crashed(self, place: Place, said: list[str]) -> None:
        """P4: what ``sync`` told is on the replica."""
        super().check_crashed(place, said)
        synced = _last(said, "synced")
        trees = place.ask(lambda history: [history.tree(entry.number) for entry in history.log()])
        states = [self._state_of(tree) for tree in trees]
        assert max(states) >= synced, f"synced {synced}, but the replica has only {sorted(states)}"

    def check_ended(self, place: Place, said: list[str]) -> None:
        """P4: what ``write`` told is in the tree, and no transaction is half there."""
        super().check_ended(place, said)
        found = {name: value for name, value in place.contents.items() if isinstance(value, bytes)}
        states = [{name: value for name, value in state.items() if value is not None} for state in self.STATES]
        assert found in states, f"no state that ever was: {found}"
        assert states.index(found) >= _last(said, "written"), f"{said}, but {found}"
        left = {name for name, value in place.contents.items() if value is None}
        assert left <= {"sub"}, f"directories that nobody wanted: {left}"

    def _state_of(self, tree: object) -> int:
        from confstream.tree import Tree, content_hash  # noqa: PLC0415 - only here.

        assert isinstance(tree, Tree)
        found = {entry.path.decode(): entry.hash for entry in tree.files}
        wanted = [{name: content_hash(value) for name, value in state.items() if value} for state in self.STATES]
        assert found in wanted, f"the replica has a state that never was: {sorted(found)}"
        return wanted.index(found)


class Fork(Scenario):
    """A writer is fenced while it has something to publish, and keeps that as a fork (P5)."""

    def prepare(self, place: Place) -> None:
        """Publish a tree."""
        place.fill({"a.yml": b"a: 0\n"})
        place.publish()

    def act(self, place: Place) -> None:
        """Let another writer come while this one is away from the replica."""
        other = place.base / "other"
        other.mkdir(exist_ok=True)
        with Journal.open(place.tree, str(place.replica), heartbeat_seconds=0) as journal:
            journal.write("a.yml", b"a: 1\n")
            journal.sync(PATIENCE_SECONDS)
            acknowledge("written 1")
            with Journal.open(other, str(place.replica), heartbeat_seconds=0, guards=False) as second:
                second.write("a.yml", b"a: other\n")
                second.sync(PATIENCE_SECONDS)
                acknowledge("other")
            journal.write("a.yml", b"a: 2\n")
            acknowledge("written 2")
            try:
                journal.close(PATIENCE_SECONDS)
            except FencedError:
                acknowledge("fenced")

    def again(self, place: Place) -> None:
        """Start again; a fenced one stands by and says so, one that was not fenced yet takes over."""
        code = place.command("replicate", place.tree, place.replica, "--once", *REPLICATING)
        assert code in {0, 11}, f"exit {code}"

    def check_ended(self, place: Place, said: list[str]) -> None:
        """What either writer was told is kept, in the log or in a fork."""
        place.check_history()
        place.check_swept()
        contents = {"written 1": b"a: 1\n", "written 2": b"a: 2\n", "other": b"a: other\n"}
        assert [what for what in said if what in contents and not place.ever_held(contents[what])] == []


class Compact(Scenario):
    """Packing, and deleting what the packs cover."""

    def prepare(self, place: Place) -> None:
        """Publish a dozen revisions."""
        place.tree.mkdir()
        with Journal.open(place.tree, str(place.replica), heartbeat_seconds=0) as journal:
            for number in range(12):
                journal.write(f"file-{number % 5}.yml", b"n: %d\n" % number)
                journal.sync(PATIENCE_SECONDS)

    def act(self, place: Place) -> None:
        """Pack four by four, and then delete."""
        for _ in range(2):
            store = open_store(str(place.replica), clock=SystemClock())
            compact(store, clock=SystemClock(), pack_size=4, minimum=2, tail=2, grace_seconds=0)
            store.close()
        acknowledge(DONE)

    def check_crashed(self, place: Place, said: list[str]) -> None:
        """Every revision reads as before, at any time."""
        super().check_crashed(place, said)
        trees = {
            str(n): t.hex() for n, t in place.ask(lambda h: [(e.number, h.tree(e.number).digest) for e in h.log()])
        }
        assert trees == place.noted["trees"], "a revision reads otherwise"

    def check_ended(self, place: Place, said: list[str]) -> None:
        """And it is packed."""
        self.check_crashed(place, said)
        assert len(list((place.replica / "pack").iterdir())) >= 2, "not packed"
        assert len(list((place.replica / "log").iterdir())) < 5, "not deleted"


class Tag(Scenario):
    """A name for a revision, given, and then given to another one as well."""

    def prepare(self, place: Place) -> None:
        """Publish two revisions."""
        place.fill(OLD)
        place.publish()
        _edit(place)
        place.publish()

    def act(self, place: Place) -> None:
        """Tag."""
        place.must("tag", place.replica, "before", "--revision", "1")
        acknowledge("1")
        place.must("tag", place.replica, "after", "--revision", "2")
        acknowledge(DONE)

    def check_crashed(self, place: Place, said: list[str]) -> None:
        """A tag that was told is there."""
        super().check_crashed(place, said)
        if "1" in said:
            assert place.ask(lambda history: history.resolve("before").number) == 1

    def check_ended(self, place: Place, said: list[str]) -> None:
        """Both are."""
        super().check_ended(place, said)
        assert place.ask(lambda h: (h.resolve("before").number, h.resolve("after").number)) == (1, 2)


class CheckBackend(Scenario):
    """``check-backend`` of a place that holds a replica, which it must not touch."""

    is_cuttable = False

    def prepare(self, place: Place) -> None:
        """Publish a tree."""
        place.fill(OLD)
        place.publish()

    def act(self, place: Place) -> None:
        """Prove it."""
        place.must("check-backend", place.replica, "--rounds", "1", "--racers", "3")
        acknowledge(DONE)


SCENARIOS: dict[str, Scenario] = {
    "first-replicate": FirstReplicate(),
    "later-replicate": LaterReplicate(),
    "live-replicate": LiveReplicate(),
    "run": Run(),
    "restore-missing": RestoreMissing(),
    "restore-blank": RestoreBlank(),
    "restore-force": RestoreForce(),
    "restore-delete": RestoreDelete(),
    "restore-older": RestoreOlder(),
    "restore-unfinished": RestoreUnfinished(),
    "restore-forward": RestoreForward(),
    "restore-path": RestorePath(),
    "rollback": Rollback(),
    "journal": JournalWrites(),
    "fork": Fork(),
    "compact": Compact(),
    "tag": Tag(),
    "check-backend": CheckBackend(),
}

_SCRIPT = """\
newest=$(ls "$2/log" | tail -n 1)
next="$2/log/$(printf %020d "$(expr "$newest" + 1)")"
printf 'first %s\\n' "$$" > "$1/config.yml"
for _ in $(seq 400); do [ -e "$next" ] && break; sleep 0.05; done
[ -e "$next" ] || exit 3
printf 'second\\n' > "$1/config.new"
mv "$1/config.new" "$1/config.yml"
printf 'third\\n' > "$1/config.yml"
"""


def _edit(place: Place) -> None:
    """Make the tree of *place* hold ``NEW`` instead of ``OLD``."""
    (place.tree / "was-folder" / "x").unlink()
    (place.tree / "was-folder").rmdir()
    (place.tree / "gone.yml").unlink()
    (place.tree / "sub" / "link").unlink()
    place.fill(NEW)


def _with_folders(files: Files) -> dict[str, bytes | str | None]:
    parents = {str(parent): None for name in files for parent in list(Path(name).parents)[:-1]}
    return {**parents, **files}


def _hidden(name: str, wanted: dict[str, bytes | str | None]) -> bool:
    """Return whether *name* cannot stay: what is to be at a place above it is no directory."""
    return any(wanted.get(str(parent)) is not None for parent in Path(name).parents)


def _last(said: list[str], what: str) -> int:
    return max([int(one.split()[1]) for one in said if one.startswith(what)], default=0)
