"""Twenty processes that want the same: each does its part of a race and writes down what it asked and was told.

One argument: a file with the race as JSON. Everything is imported once, then
the process forks, so that a racer costs what it does and not what it imports.
All wait for one moment to begin.
"""

import json
import os
import random
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from confstream import Authorship, ConfstreamError, FencedError, Journal, Publisher, SystemClock, Writer, open_store
from confstream.errors import ObjectExistsError, ObjectMissingError, OutcomeUnknownError
from confstream.layout import Fork
from confstream.log.identity import find_or_create
from confstream.log.intent import Intent
from confstream.log.reader import LogReader
from confstream.store import Store
from tests.restoring import tree_of
from tests.torture.linear import CREATED, EXISTS, MISSING

PATIENCE_SECONDS = 120.0
_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Race:
    """What is raced for: *kind* of race, at the replica *url*, by *racers*, *rounds* things each.

    *readers* more only read. *lives* is how often a fenced publisher begins again.
    """

    kind: str
    url: str
    directory: str
    seed: int
    racers: int = 20
    rounds: int = 4
    readers: int = 2
    lives: int = 3
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def records(self) -> list[Path]:
        """Return where each of them writes down what happened."""
        return [Path(self.directory) / f"racer-{number}.jsonl" for number in range(self.racers + self.readers)]


class Recorder:
    """What one racer asked and was told, line by line."""

    def __init__(self, path: Path, actor: str) -> None:
        self._file = path.open("w", encoding="utf-8")
        self.actor = actor

    def note(self, name: str, begin: float, end: float | None, **more: Any) -> None:
        """Write one operation down."""
        line = {"actor": self.actor, "name": name, "begin": begin, "end": end, **more}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def asked(self, name: str, call: Callable[[], Any], **more: Any) -> Any:
        """Do *call*, write it down with its answer, and return that."""
        begin = _CLOCK.elapsed_seconds()
        answer = call()
        self.note(name, begin, _CLOCK.elapsed_seconds(), answer=answer, **more)
        return answer


def race_for_slots(race: Race, number: int, store: Store, recorder: Recorder) -> None:
    """Create the same keys as everybody else, and look at them."""
    draw = random.Random(race.seed * 1000 + number)  # noqa: S311 - a seed, not a secret.
    for round_number in range(1, race.rounds + 1):
        key = f"log/{round_number:020d}"
        if number < race.racers:
            _create(store, key, recorder)
        if number >= race.racers or draw.random() < 1 / 4:
            recorder.asked("get", partial(_read, store, key), key=key)
        if number >= race.racers or draw.random() < 1 / 8:
            recorder.asked("list", lambda: store.list("log/"))


def _create(store: Store, key: str, recorder: Recorder) -> None:
    begin = _CLOCK.elapsed_seconds()
    try:
        store.put(key, recorder.actor.encode())
    except ObjectExistsError:
        recorder.note("put", begin, _CLOCK.elapsed_seconds(), key=key, argument=recorder.actor, answer=EXISTS)
    except OutcomeUnknownError:
        recorder.note("put", begin, None, key=key, argument=recorder.actor)
    else:
        recorder.note("put", begin, _CLOCK.elapsed_seconds(), key=key, argument=recorder.actor, answer=CREATED)


def _read(store: Store, key: str) -> str:
    try:
        return store.get(key).decode()
    except ObjectMissingError:
        return MISSING


def race_to_publish(race: Race, number: int, store: Store, recorder: Recorder) -> None:
    """Publish trees that nobody else has, as one writer after another once fenced, and fork what was not taken."""
    if number >= race.racers:
        return read_log(race, store, recorder)
    is_equal = race.kind == "equal trees"
    known: dict[bytes, bytes] = {}
    publisher: Publisher | None = None
    life = 0
    for turn in range(1, race.rounds + 1):
        if publisher is None:
            life += 1
            publisher = _writer(number, life, store)
        name = f"{number}:{turn}"
        tree, contents = tree_of({"config.yml": f"turn: {turn if is_equal else name}\n".encode()})
        known |= contents
        intent = Intent(_write_id(name), _CLOCK.now_ns(), tree, Authorship("api", message=name))
        begin = _CLOCK.elapsed_seconds()
        try:
            made = publisher.publish(intent, known.__getitem__, known.get)
        except FencedError:
            fork = Fork(publisher.writer.id, publisher.epoch)
            publisher.publish_fork(fork, publisher.head, [intent], known.__getitem__, known.get)
            recorder.note("forked", begin, _CLOCK.elapsed_seconds(), argument=name)
            publisher = None
            if life == race.lives:
                return None
        else:
            answer = made.position.number if made.revision is not None else None
            recorder.note(
                "append" if answer else "equal", begin, _CLOCK.elapsed_seconds(), argument=name, answer=answer
            )
    return None


def _write_id(name: str) -> bytes:
    return name.encode().ljust(16, b".")


def _writer(number: int, life: int, store: Store) -> Publisher:
    find_or_create(
        store, _CLOCK, version="0", new_id=lambda: secrets.token_hex(16), proven=True, unsafe_single_writer=False
    )
    writer = Writer(f"writer{number}life{life}", "host")
    return Publisher.start(LogReader(store, workers=2), writer, _CLOCK)


def read_log(race: Race, store: Store, recorder: Recorder) -> None:
    """Read the whole log, again and again."""

    def messages() -> list[str]:
        reader = LogReader(store, workers=2)
        if reader.refresh().empty:
            return []
        return [made.revision.authorship.message for made in reader.revisions()]

    for _ in range(race.rounds * 4):
        recorder.asked("read", messages)


def race_with_journals(race: Race, number: int, store: Store, recorder: Recorder) -> None:
    """Write through a journal and wait for the replica, until fenced."""
    if number >= race.racers:
        return read_log(race, store, recorder)
    tree = Path(race.directory) / f"tree-{number}"
    tree.mkdir()
    is_equal = race.kind == "equal journals"
    if is_equal:
        (tree / "config.yml").write_text("a: 1\n")
    options = dict(race.options)
    journal = Journal.open(tree, race.url, storage_options=options, heartbeat_seconds=300, author=recorder.actor)
    try:
        with journal:
            if is_equal:
                recorder.asked("sync", lambda: journal.sync(PATIENCE_SECONDS))
            for turn in range(1, 1 if is_equal else race.rounds + 1):
                name = f"{number}:{turn}"
                begin = _CLOCK.elapsed_seconds()
                journal.write(f"own-{number}.yml", f"turn: {turn}\n", message=name)
                recorder.note("written", begin, _CLOCK.elapsed_seconds(), argument=name)
                journal.sync(PATIENCE_SECONDS)
                recorder.note("synced", begin, _CLOCK.elapsed_seconds(), argument=name)
    except FencedError:
        recorder.note("fenced", 0, 0)
    return None


KINDS: dict[str, Callable[[Race, int, Store, Recorder], None]] = {
    "slots": race_for_slots,
    "trees": race_to_publish,
    "equal trees": race_to_publish,
    "journals": race_with_journals,
    "equal journals": race_with_journals,
}


def main(plan: str) -> int:
    """Fork the racers, let them go at once, and return how many ended with an error."""
    race = _warmed(Race(**json.loads(Path(plan).read_text(encoding="utf-8"))))
    waiting, starter = os.pipe()
    children = []
    for number, record in enumerate(race.records):
        child = os.fork()
        if child == 0:
            os.close(starter)
            os.read(waiting, 1)
            os._exit(_run(race, number, record))
        children.append(child)
    os.close(starter)
    return sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children)


def _warmed(race: Race) -> Race:
    """Return *race* with storage options that have what every racer would find out for itself."""
    if race.options.get("s3_client") != "s3fs":
        return race
    import s3fs  # noqa: F401, PLC0415 - for the racers
    from aiobotocore.session import AioSession  # noqa: PLC0415

    session = AioSession()
    session.get_service_model("s3")
    loader = session.get_component("data_loader")
    for name in ("endpoint-rule-set-1", "service-2"):
        loader.load_service_model("s3", name)
    return replace(race, options={**race.options, "session": session})


def _run(race: Race, number: int, record: Path) -> int:
    recorder = Recorder(record, f"racer-{number}")
    store = open_store(race.url, storage_options=dict(race.options), timeout_seconds=PATIENCE_SECONDS)
    try:
        KINDS[race.kind](race, number, store, recorder)
    except ConfstreamError as error:
        print(f"racer {number}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201 - for who reads the failure.
        return 1
    except Exception as error:  # noqa: BLE001 - likewise; a forked child must not run what its parent would.
        import traceback  # noqa: PLC0415

        traceback.print_exception(error)
        return 1
    finally:
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
