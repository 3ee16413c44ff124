"""The checker of orders is right about histories of which one knows whether they have an order."""

import itertools
import random
from collections.abc import Callable

import pytest

from tests.torture.linear import CREATED, EXISTS, MISSING, Operation, complaint, log, order, slot, wrong_slots


def put(actor: str, begin: float, end: float | None, answer: str | None) -> Operation:
    return Operation(actor, begin, end, "put", actor, answer, "log/1")


def get(begin: float, end: float, answer: str) -> Operation:
    return Operation("reader", begin, end, "get", None, answer, "log/1")


def listing(begin: float, end: float, *keys: str) -> Operation:
    return Operation("reader", begin, end, "list", None, keys)


def append(actor: str, begin: float, end: float | None, answer: int | None) -> Operation:
    return Operation(actor, begin, end, "append", actor, answer)


def read(begin: float, end: float, *names: str) -> Operation:
    return Operation("reader", begin, end, "read", None, names)


GOOD_SLOTS = {
    "nothing": [],
    "one winner, one loser": [put("a", 0, 2, CREATED), put("b", 1, 3, EXISTS)],
    "the loser was told first": [put("a", 0, 3, CREATED), put("b", 1, 2, EXISTS)],
    "a read before the winner is told": [put("a", 0, 3, CREATED), get(1, 2, "a")],
    "a read that misses while it is created": [put("a", 0, 3, CREATED), get(1, 2, MISSING)],
    "a lost answer that took effect": [put("a", 0, None, None), put("b", 1, 2, EXISTS), get(3, 4, "a")],
    "a lost answer that took effect late": [put("a", 0, None, None), get(1, 2, MISSING), get(3, 4, "a")],
    "a lost answer that never took effect": [put("a", 0, None, None), put("b", 1, 2, CREATED), get(3, 4, "b")],
    "the same bytes again": [put("a", 0, None, None), put("a", 1, 2, EXISTS), get(3, 4, "a")],
    "listed once it is there": [listing(0, 1), put("a", 2, 3, CREATED), listing(4, 5, "log/1")],
    "listed while it is created": [put("a", 0, 9, CREATED), listing(1, 2, "log/1"), get(3, 4, "a")],
}
BAD_SLOTS = {
    "two winners": [put("a", 0, 2, CREATED), put("b", 1, 3, CREATED)],
    "two winners, one after the other": [put("a", 0, 1, CREATED), put("b", 2, 3, CREATED)],
    "a loser without a winner": [put("a", 0, 1, EXISTS)],
    "a loser before there was a winner": [put("b", 0, 1, EXISTS), put("a", 2, 3, CREATED)],
    "a read of what lost": [put("a", 0, 1, CREATED), put("b", 0, 1, EXISTS), get(2, 3, "b")],
    "a read that misses what is there": [put("a", 0, 1, CREATED), get(2, 3, MISSING)],
    "there, and then gone": [put("a", 0, 9, CREATED), get(1, 2, "a"), get(3, 4, MISSING)],
    "overwritten": [put("a", 0, 1, CREATED), put("b", 0, None, None), get(2, 3, "a"), get(4, 5, "b")],
    "not listed though it is there": [put("a", 0, 1, CREATED), listing(2, 3)],
    "listed before it was asked for": [listing(0, 1, "log/1"), put("a", 2, 3, CREATED)],
    "listed, and read as missing afterwards": [put("a", 0, 9, CREATED), listing(1, 2, "log/1"), get(3, 4, MISSING)],
    "listed though nobody made it": [listing(0, 1, "log/7")],
    "an answer out of nothing": [put("a", 0, 1, CREATED), get(0, 1, "c")],
}
GOOD_LOGS = {
    "one after the other": [append("a", 0, 1, 1), append("b", 2, 3, 2), read(4, 5, "a", "b")],
    "at once, the other way round": [append("a", 0, 3, 2), append("b", 0, 3, 1), read(1, 2, "b")],
    "a lost answer": [append("a", 0, None, None), append("b", 1, 2, 2), read(3, 4, "a", "b")],
    "a lost answer without effect": [append("a", 0, None, None), append("b", 1, 2, 1), read(3, 4, "b")],
}
BAD_LOGS = {
    "one number twice": [append("a", 0, 3, 1), append("b", 0, 3, 1)],
    "a number left out": [append("a", 0, 1, 1), append("b", 2, 3, 3)],
    "against time": [append("a", 0, 1, 2), append("b", 2, 3, 1)],
    "acknowledged and lost": [append("a", 0, 1, 1), append("b", 2, 3, 1), read(4, 5, "b")],
    "a read of less than before": [append("a", 0, 9, 1), read(1, 2, "a"), read(3, 4)],
    "another history": [append("a", 0, 9, 1), append("b", 0, 9, 2), read(1, 2, "b")],
    "published twice": [append("a", 0, None, None), read(1, 2, "a", "a")],
}


@pytest.mark.parametrize("known", GOOD_SLOTS.values(), ids=GOOD_SLOTS)
def test_a_history_of_slots_that_has_an_order_is_believed(known: list[Operation]) -> None:
    assert wrong_slots(known) == []


@pytest.mark.parametrize("known", BAD_SLOTS.values(), ids=BAD_SLOTS)
def test_a_history_of_slots_that_has_no_order_is_found_out(known: list[Operation]) -> None:
    (words,) = wrong_slots(known)
    assert "no order explains" in words


@pytest.mark.parametrize("known", GOOD_LOGS.values(), ids=GOOD_LOGS)
def test_a_history_of_a_log_that_has_an_order_is_believed(known: list[Operation]) -> None:
    assert complaint(known, (), log) == ""


@pytest.mark.parametrize("known", BAD_LOGS.values(), ids=BAD_LOGS)
def test_a_history_of_a_log_that_has_no_order_is_found_out(known: list[Operation]) -> None:
    assert "no order explains" in complaint(known, (), log)


@pytest.mark.parametrize("make", ["slot", "log"])
def test_the_search_agrees_with_trying_every_order(make: str) -> None:
    draw, verdicts = random.Random(20261126), []  # noqa: S311 - a seed, not a secret.
    initial: tuple[()] | None = None if make == "slot" else ()
    step = slot if make == "slot" else log
    for _ in range(600):
        known = [_any_operation(make, draw, number) for number in range(draw.randint(1, 5))]

        found = order(known, initial, step) is not None

        assert found == _has_order(known, initial, step), "\n".join(map(str, known))
        verdicts.append(found)
    assert 100 < sum(verdicts) < 500


def _any_operation(make: str, draw: random.Random, number: int) -> Operation:
    begin = draw.uniform(0, 4)
    end = begin + draw.uniform(0, 3)
    if make == "log":
        if draw.random() < 2 / 3:
            known = draw.random() < 3 / 4
            return append(str(number), begin, end if known else None, draw.randint(1, 3) if known else None)
        return read(begin, end, *map(str, draw.sample(range(5), draw.randint(0, 2))))
    if draw.random() < 2 / 3:
        known = draw.random() < 3 / 4
        answer = draw.choice([CREATED, EXISTS])
        return put(str(number), begin, end if known else None, answer if known else None)
    return get(begin, end, draw.choice([MISSING, *map(str, range(5))]))


def _has_order(known: list[Operation], initial: object, step: Callable[..., object]) -> bool:
    """Try every order of everything that was answered and of every choice of what was not."""
    answered = [one for one in known if one.end is not None]
    lost = [one for one in known if one.end is None]
    for count in range(len(lost) + 1):
        for some in itertools.combinations(lost, count):
            for way in itertools.permutations([*answered, *some]):
                if _respects_time(way) and _is_possible(way, initial, step):
                    return True
    return False


def _respects_time(way: tuple[Operation, ...]) -> bool:
    return not any(
        later.end is not None and later.end < earlier.begin for earlier, later in itertools.combinations(way, 2)
    )


def _is_possible(way: tuple[Operation, ...], state: object, step: Callable[..., object]) -> bool:
    for one in way:
        after = list(step(state, one))  # type: ignore[call-overload]
        if not after:
            return False
        (state,) = after
    return True
