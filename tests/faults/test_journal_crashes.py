"""The ledger when its process is killed, and when its log is cut or damaged, at every place.

This file is also the program that gets killed: ``python <this file> record|step …``.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confstream.clock import SystemClock
from confstream.errors import IntegrityError
from confstream.journal.draft import Draft
from confstream.journal.ledger import Ledger
from confstream.revision import Authorship, Position
from confstream.tree import Change, Entry, Tree, content_hash

THREADS = 4
ROUNDS = 10
ROOT = Path(__file__).resolve().parents[2]


def _open(path: Path, **more: Any) -> Ledger:
    return Ledger.open(path, clock=SystemClock(), new_id=os.urandom, **more)


def _content(thread: int, number: int) -> bytes:
    return b"%d %d " % (thread, number) * 200


def _put(path: bytes, number: int, content: bytes, write_id: bytes, *, intent: bool = False) -> Draft:
    entry = Entry.file(path, content, mtime_ns=number)
    return Draft(write_id, number, Authorship(), (Change.put(entry),), intent=intent)


def _position(number: int) -> Position:
    return Position(number, number.to_bytes(32, "big"), 1, number)


def _spawn(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, __file__, *arguments], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


def record_until_killed(state_dir: Path, first: int) -> None:
    """Let threads write numbers, and say each one on stdout once it is committed, while another publishes."""
    ledger = _open(state_dir, log_size_max=60_000)

    def work(thread: int) -> None:
        number = first
        while True:
            number += 1
            content = _content(thread, number)
            draft = _put(b"t%d" % thread, number, content, os.urandom(16))
            ledger.commit(ledger.record(draft, [(content_hash(content), content)]))
            os.write(1, b"%d %d\n" % (thread, number))

    for thread in range(THREADS):
        threading.Thread(target=work, args=[thread], daemon=True).start()
    chosen = random.Random(first)  # noqa: S311 - chances, not secrets
    while True:
        if pending := ledger.pending:
            if chosen.random() < 0.05:
                ledger.coalesce(3)
            elif chosen.random() < 0.3:
                ledger.confirmed(pending[0].write_id, _position(ledger.base.number + 1))


def test_p4_nothing_committed_is_lost_and_nothing_torn_surfaces_when_the_process_is_killed(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    chosen = random.Random(seed)  # noqa: S311
    acknowledged = dict.fromkeys(range(THREADS), 0)

    for _ in range(ROUNDS):
        child = _spawn("record", str(tmp_path / "state"), str(max(acknowledged.values())))
        assert child.stdout is not None
        with child.stdout as lines:
            for _ in range(chosen.randrange(1, 300)):
                _acknowledge(lines.readline(), acknowledged)
            child.kill()
            for line in lines:
                _acknowledge(line, acknowledged)
        assert child.wait(30) == -signal.SIGKILL

        with _open(tmp_path / "state") as ledger:
            current = ledger.current
            for thread, number in acknowledged.items():
                entry = current.get(b"t%d" % thread)
                found = entry.mtime_ns if entry else 0
                assert found >= number, f"thread {thread}"
                assert entry is None or entry.hash == content_hash(_content(thread, found))
            for draft in ledger.pending:
                for digest in draft.hashes:
                    content = ledger.content(digest)
                    assert content is not None
                    assert content_hash(content) == digest


def _acknowledge(line: bytes, acknowledged: dict[int, int]) -> None:
    # The last line may be cut by the kill itself.
    if line.endswith(b"\n"):
        thread, number = map(int, line.split())
        acknowledged[thread] = number


def _prepare(state_dir: Path) -> None:
    """Leave a ledger as a killed process does, with a little of everything."""
    ledger = _open(state_dir, log_size_max=1 << 30)
    ledger.rebase(_position(1), Tree([Entry.file(b"theirs", b"x")]), captured=True)
    for number in range(1, 6):
        content = b"content %d" % number
        draft = _put(b"f%d" % (number % 2), number, content, number.to_bytes(16, "big"), intent=number % 2 == 0)
        ledger.commit(ledger.record(draft, [(content_hash(content), content)]))
    ledger.confirmed((2).to_bytes(16, "big"), _position(3))
    ledger.applied((4).to_bytes(16, "big"))
    ledger.rebase(_position(9), Tree([Entry.file(b"theirs", b"y")]))
    # Not in the checkpoint.
    draft = _put(b"last", 6, b"last", (6).to_bytes(16, "big"), intent=True)
    ledger.commit(ledger.record(draft, [(content_hash(b"last"), b"last")]))
    ledger.confirmed((3).to_bytes(16, "big"), _position(10))
    ledger._log.wal.close()
    ledger._directory.close()


def _add(ledger: Ledger) -> None:
    draft = _put(b"new", 7, b"new", (7).to_bytes(16, "big"))
    ledger.commit(ledger.record(draft, [(content_hash(b"new"), b"new")]))


STEPS: dict[str, Callable[[Ledger], object]] = {
    "open": lambda _: None,
    "record": _add,
    "checkpoint": lambda ledger: ledger.checkpoint(),
    "coalesce": lambda ledger: ledger.coalesce(1),
    "rebase": lambda ledger: ledger.rebase(_position(20), Tree([Entry.file(b"theirs", b"z")])),
    "confirm": lambda ledger: ledger.confirmed((4).to_bytes(16, "big"), _position(11)),
    "fork": lambda ledger: ledger.forked((5).to_bytes(16, "big")),
    "note": lambda ledger: ledger.note("held", "empty"),
    "close": lambda ledger: ledger.close(),
}


def _known(state_dir: Path) -> tuple[object, ...]:
    with _open(state_dir) as ledger:
        for draft in [*ledger.pending, *ledger.intents]:
            assert all(ledger.content(digest) is not None for digest in draft.hashes)
        # A merged draft has a new write id each time: what it does is what counts.
        pending = [(draft.time_ns, draft.changes, draft.intent) for draft in ledger.pending]
        trees = dict(ledger.base_tree), dict(ledger.settled), dict(ledger.current)
        return ledger.writer, ledger.base, trees, pending, ledger.intents, dict(ledger.notes)


def crash_at_every_call(step: str, folder: Path) -> None:
    """Do *step* in children that kill themselves before the first, second … call of the system; print how many.

    Whatever is left must be what was there before the step or after it.
    """
    _prepare(folder / "original")
    shutil.copytree(folder / "original", folder / "before")
    before = _known(folder / "before")
    shutil.copytree(folder / "original", folder / "after")
    ledger = _open(folder / "after")
    STEPS[step](ledger)
    ledger.close()
    after = _known(folder / "after")
    calls = 0
    while True:
        target = folder / str(calls)
        shutil.copytree(folder / "original", target)
        if (child := os.fork()) == 0:
            _die_before_call(calls)
            STEPS[step](_open(target))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found = _known(target)
        if found not in (before, after):
            sys.exit(f"killed before call {calls} of {step}: {found}, expected {before} or {after}")
        if status == 0:
            break
        shutil.rmtree(target)
        calls += 1
    if found != after:
        sys.exit(f"after {step}: {found}, expected {after}")
    print(calls)  # noqa: T201 - this is a program here


def _die_before_call(number: int) -> None:
    left = number

    def count(_: object, event: str, called: Any) -> None:
        nonlocal left
        if event == "c_call" and getattr(called, "__module__", None) in {"posix", "fcntl"}:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.setprofile(count)


@pytest.mark.parametrize("step", STEPS)
def test_p4_killed_before_any_call_of_the_system_a_step_was_done_or_not_begun(tmp_path: Path, step: str) -> None:
    child = _spawn("step", step, str(tmp_path))
    output, _ = child.communicate(timeout=120)

    assert child.returncode == 0, "what differed is on stderr"
    assert int(output) > 10


def _small_log(folder: Path) -> tuple[Path, list[Draft], dict[bytes, bytes]]:
    ledger = _open(folder)
    drafts, contents = [], {}
    for number in range(1, 5):
        content = b"content %d" % number
        contents[content_hash(content)] = content
        draft = _put(b"f", number, content, number.to_bytes(16, "big"))
        ledger.commit(ledger.record(draft, [(content_hash(content), content)]))
        drafts.append(draft)
    ledger._log.wal.close()
    ledger._directory.close()
    return next(folder.glob("wal-*")), drafts, contents


def _opened_after(folder: Path, copy: Path, log: bytes) -> list[Draft]:
    shutil.copytree(folder, copy)
    next(copy.glob("wal-*")).write_bytes(log)
    try:
        with _open(copy, sync=lambda _: None) as ledger:
            held = {digest: ledger.content(digest) for draft in ledger.pending for digest in draft.hashes}
            assert all(content is not None and content_hash(content) == digest for digest, content in held.items())
            return ledger.pending
    finally:
        shutil.rmtree(copy)


def test_p4_a_log_cut_at_any_byte_opens_with_a_prefix_of_the_drafts(tmp_path: Path) -> None:
    log, drafts, _ = _small_log(tmp_path / "state")
    whole = log.read_bytes()
    seen = set()

    for size in range(28, len(whole)):
        pending = _opened_after(tmp_path / "state", tmp_path / "copy", whole[:size])
        assert pending == drafts[: len(pending)], f"cut at {size}"
        seen.add(len(pending))

    assert seen == {0, 1, 2, 3}


def test_p9_a_log_with_any_byte_damaged_opens_with_a_prefix_or_says_so(tmp_path: Path) -> None:
    log, drafts, _ = _small_log(tmp_path / "state")
    whole = log.read_bytes()
    opened = refused = 0

    for place in range(len(whole)):
        spoiled = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        try:
            pending = _opened_after(tmp_path / "state", tmp_path / "copy", spoiled)
        except IntegrityError as error:
            refused += "copy/wal-" in str(error)
        else:
            assert pending == drafts[:3], f"byte {place}"
            opened += 1

    # Only the last record may look like the trace of a crash.
    assert opened < 250
    assert refused == len(whole) - opened


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        if sys.argv[1] == "record":
            record_until_killed(Path(sys.argv[2]), int(sys.argv[3]))
        else:
            crash_at_every_call(sys.argv[2], Path(sys.argv[3]))
