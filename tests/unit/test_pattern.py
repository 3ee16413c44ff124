"""A regular expression that is compiled when it is first asked does what any other does."""

import re

from confstream.pattern import pattern


def test_it_finds_what_the_same_expression_finds() -> None:
    found = pattern(r"([a-z]+)=(\d)", re.IGNORECASE)

    assert [match[1] for match in found.finditer("A=1 b=2")] == ["A", "b"]
    assert found.sub(r"\2", "A=1 b=2") == "1 2"
    assert found.fullmatch("A=1 ") is None


def test_it_is_not_compiled_before() -> None:
    broken = pattern("(")

    try:
        broken.match("x")
    except re.error:
        return
    raise AssertionError("an expression that cannot be compiled matched")
