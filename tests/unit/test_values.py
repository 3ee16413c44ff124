"""What our decorator makes behaves as what the standard library's makes, but that nobody refuses to set a field."""

import dataclasses
from dataclasses import field, replace
from typing import Any

import pytest

from confstream.values import dataclass


def _pair(**asked: bool) -> tuple[Any, Any]:
    """Return the same class, made by the standard library and by ours."""
    made = []
    for decorator in (dataclasses.dataclass, dataclass):

        class Value:
            number: int
            names: tuple[str, ...] = ()
            hidden: str = field(default="", repr=False)
            seen: list[int] = field(default_factory=list, compare=False)

        Value.__qualname__ = "Value"
        made.append(decorator(**asked)(Value))
    return made[0], made[1]


@pytest.mark.parametrize("slots", [True, False])
def test_values_are_equal_hashed_and_shown_as_those_of_the_standard_library(slots: bool) -> None:
    theirs, ours = _pair(frozen=True, slots=slots)

    for kind in (theirs, ours):
        one, other = kind(1, ("a",), "hidden", [1]), kind(1, ("a",), "hidden")
        assert one == other
        assert hash(one) == hash(other) == hash((1, ("a",), "hidden"))
        assert one != replace(other, hidden="shown")
        assert replace(one, number=2) == kind(2, ("a",), "hidden")
        assert one != (1, ("a",), "hidden")
        assert [each.name for each in dataclasses.fields(one)] == ["number", "names", "hidden", "seen"]
    assert repr(ours(1, seen=[2])) == repr(theirs(1, seen=[2]))
    assert "a secret" not in repr(ours(1, ("a",), "a secret"))
    assert ours(1) != theirs(1)
    assert not slots or not hasattr(ours(1), "__dict__")


def test_only_what_is_frozen_has_a_hash_and_what_asks_for_no_comparison_is_only_itself() -> None:
    for kind in _pair():
        with pytest.raises(TypeError, match="unhashable"):
            hash(kind(1))
    for kind in _pair(eq=False):
        assert kind(1) != kind(1)
        assert hash(kind(1)) is not None


def test_order_is_that_of_the_fields() -> None:
    for kind in _pair(frozen=True, order=True):
        assert sorted([kind(2), kind(1, ("b",)), kind(1, ("a",))]) == [kind(1, ("a",)), kind(1, ("b",)), kind(2)]
        assert kind(1) <= kind(1)
        with pytest.raises(TypeError):
            kind(1) < 2  # noqa: B015


def test_a_text_of_its_own_is_kept() -> None:
    @dataclass(frozen=True)
    class Named:
        name: str

        def __repr__(self) -> str:
            return self.name

    assert repr(Named("a name")) == "a name"
