"""The tree drawn in the docstring of confstream.errors is the tree of the code."""

import inspect
import re

from confstream import errors
from confstream.errors import ConfstreamError

# Answers of a store, which the drawing leaves out and the text below it names.
ANSWERS = {"ObjectExistsError", "ObjectMissingError"}
EXIT_CODES = {1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 16}


def _drawn() -> list[tuple[int, str, int]]:
    """Return depth, name and exit code of every line of the drawing."""
    lines = re.findall(
        r"^( *[│├└─ ]*)([A-Z]\w+Error) +(?:exit code )?(\d+)(?: |$)", inspect.getdoc(errors) or "", re.MULTILINE
    )
    indent = len(lines[0][0])
    return [((len(lead) - indent) // 4, name, int(code)) for lead, name, code in lines]


def _drawn_parents() -> dict[str, str]:
    """Return, for every class drawn below another, the name of that other."""
    path: list[str] = []
    parents = {}
    for depth, name, _ in _drawn():
        path[depth:] = [name]
        if depth:
            parents[name] = path[depth - 1]
    return parents


def _defined() -> dict[str, type[BaseException]]:
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == errors.__name__
    }


def test_the_tree_that_is_drawn_is_the_tree_that_is_defined() -> None:
    defined = {
        name: value.__bases__[0].__name__
        for name, value in _defined().items()
        if value is not ConfstreamError and name not in ANSWERS
    }

    assert _drawn_parents() == defined


def test_every_error_has_one_base_and_descends_from_the_one_at_the_root() -> None:
    for value in _defined().values():
        assert issubclass(value, ConfstreamError)
        assert len(value.__bases__) == 1


def test_the_answers_of_a_store_are_errors_of_their_own_and_named_below_the_drawing() -> None:
    assert set(_defined()) - {name for _, name, _ in _drawn()} == ANSWERS
    assert all(f"``{name}``" in (errors.__doc__ or "") for name in ANSWERS)


def test_every_exit_code_of_the_contract_is_drawn_and_no_other() -> None:
    assert {code for _, _, code in _drawn()} == EXIT_CODES


def test_an_error_exits_like_its_parent_or_with_a_code_of_its_own() -> None:
    codes = {name: code for _, name, code in _drawn()}
    parents = _drawn_parents()

    own = [code for name, code in codes.items() if codes.get(parents.get(name, "")) != code]

    assert len(own) == len(set(own))
