"""Can what many did at once have happened one after the other? The search of Wing and Gong, remembering as Lowe does.

An operation takes effect at one moment between its call and its answer. Where
no answer came, that is any moment after the call, or never. The object is a
model: which states it can have after an operation that was answered so.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Step = Callable[[Any, "Operation"], Iterable[Hashable]]
"""The states in which a state is left by an operation; none if the answer is impossible there."""

CREATED, EXISTS, MISSING = "created", "exists", "missing"
_SHOWN_MAX = 12


@dataclass(frozen=True, slots=True)
class Operation:
    """What *actor* asked at *begin*, and was answered at *end*; *end* is None where no answer came.

    Times are of one clock, in seconds.
    """

    actor: str
    begin: float
    end: float | None
    name: str
    argument: Any = None
    answer: Any = None
    key: str = ""

    def __str__(self) -> str:
        until = "?" if self.end is None else f"{self.end:.6f}"
        return f"{self.begin:.6f}-{until} {self.actor}: {self.name} {self.key}({self.argument!r}) -> {self.answer!r}"


def order(operations: Iterable[Operation], initial: Hashable, step: Step) -> list[Operation] | None:
    """Return an order in which *operations* can have taken effect on an object that began as *initial*, or None.

    Those without an answer are in it only if they took effect.
    """
    found = _search(sorted(operations, key=lambda one: one.begin), initial, step)
    return found if isinstance(found, list) else None


def complaint(operations: Iterable[Operation], initial: Hashable, step: Step) -> str:
    """Return nothing if *operations* have an order, else where every attempt at one ended."""
    found = _search(sorted(operations, key=lambda one: one.begin), initial, step)
    return "" if isinstance(found, list) else found


def _search(known: Sequence[Operation], initial: Hashable, step: Step) -> list[Operation] | str:
    answered = sum(1 << index for index, one in enumerate(known) if one.end is not None)
    chosen: list[int] = []
    stack = [_moves(known, 0, initial, step)]
    seen: set[tuple[int, Hashable]] = {(0, initial)}
    best, where = 0, (0, initial)
    if not answered:
        return []
    while stack:
        move = next(stack[-1], None)
        if move is None:
            stack.pop()
            if chosen:
                chosen.pop()
            continue
        index, done, state = move
        if (done, state) in seen:
            continue
        seen.add((done, state))
        chosen.append(index)
        if not answered & ~done:
            return [known[index] for index in chosen]
        if (reached := (done & answered).bit_count()) > best:
            best, where = reached, (done, state)
        stack.append(_moves(known, done, state, step))
    left = [known[index] for index in _candidates(known, where[0])]
    shown = "\n".join(f"  {one}" for one in left[:_SHOWN_MAX])
    return (
        f"no order explains {answered.bit_count()} answered operations: after {best} of them, in the state "
        f"{where[1]!r}, none of these can be next:\n{shown}"
    )


def _moves(known: Sequence[Operation], done: int, state: Hashable, step: Step) -> Iterator[tuple[int, int, Hashable]]:
    branches = []
    for index in _candidates(known, done):
        for after in step(state, known[index]):
            if after != state:
                branches.append((index, done | 1 << index, after))
            elif known[index].end is not None:
                # What is true now and changes nothing may as well take effect now: no other order has to be tried.
                yield index, done | 1 << index, after
                return
    yield from branches


def _candidates(known: Sequence[Operation], done: int) -> Iterator[int]:
    """Yield what may take effect next: whatever was called before any of the rest was answered."""
    end = float("inf")
    # What is done begins with a run of ones.
    start = (~done & (done + 1)).bit_length() - 1
    for index in range(start, len(known)):
        if done >> index & 1:
            continue
        one = known[index]
        if one.begin > end:
            return
        yield index
        if one.end is not None:
            end = min(end, one.end)


def slot(state: Hashable, one: Operation) -> Iterable[Hashable]:
    """A key that is created exclusively: ``put`` of a value, ``get`` of it, and ``is_listed``.

    A put is answered ``created`` or ``exists``, a get with the value or
    ``missing``, a look for it in a listing with true or false.
    """
    if one.name == "put":
        if one.end is None:
            return [state if state is not None else one.argument]
        if one.answer == CREATED:
            return [one.argument] if state is None else []
        return [state] if state is not None else []
    if one.name == "get":
        return [state] if one.answer == (MISSING if state is None else state) else []
    return [state] if one.answer == (state is not None) else []


def log(state: Any, one: Operation) -> Iterable[Hashable]:
    """A log, as a tuple of names: ``append`` of a name, answered with its number, and ``read``, answered with all."""
    if one.name == "append":
        if one.end is None or one.answer == len(state) + 1:
            return [(*state, one.argument)]
        return []
    return [state] if tuple(one.answer) == state else []


def wrong_slots(operations: Iterable[Operation]) -> list[str]:
    """Return what is wrong with *operations* on slots, key by key: an order of each is an order of all.

    A listing is a look for every key, each at its own moment: nobody is
    promised that a listing is one moment of all keys.
    """
    by_key: dict[str, list[Operation]] = defaultdict(list)
    listings = []
    for one in operations:
        if one.name == "list":
            listings.append(one)
        else:
            by_key[one.key].append(one)
    for one in listings:
        shown = set(one.answer)
        for key in by_key.keys() | shown:
            by_key[key].append(Operation(one.actor, one.begin, one.end, "is_listed", answer=key in shown, key=key))
    found = {key: complaint(known, None, slot) for key, known in sorted(by_key.items())}
    return [f"{key}: {words}" for key, words in found.items() if words]
