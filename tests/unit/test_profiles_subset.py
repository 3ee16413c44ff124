"""Profiles read the same without PyYAML; whatever else YAML can do is refused there."""

import sys
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confstream import UsageError
from confstream.profiles import names, subset
from confstream.profiles.profile import load
from confstream.settings_document import read

TEXTS = st.text("abz01/*.-_!$ ", min_size=1, max_size=12).map(str.strip).filter(bool)
DOCUMENTS = st.dictionaries(
    st.from_regex(r"[a-z/][a-z_./]{0,8}", fullmatch=True),
    TEXTS
    | st.lists(TEXTS, min_size=1, max_size=4)
    | st.dictionaries(TEXTS, st.lists(TEXTS, min_size=1, max_size=3), min_size=1),
    min_size=1,
    max_size=4,
)


def quoted(text: str) -> str:
    return f'"{text}"'


def written(document: dict[str, object]) -> str:
    lines = []
    for key, value in document.items():
        if isinstance(value, str):
            lines.append(f"{quoted(key)}: {quoted(value)}")
            continue
        lines.append(f"{quoted(key)}:")
        if isinstance(value, list):
            lines += [f"  - {quoted(item)}" for item in value]
        elif isinstance(value, dict):
            lines += [f"  {quoted(name)}: [{', '.join(map(quoted, items))}]" for name, items in value.items()]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", names())
def test_a_profile_reads_the_same_without_pyyaml(name: str) -> None:
    text = (resources.files("confstream.profiles") / f"{name}.yml").read_text(encoding="utf-8")

    assert subset.read(text, "x") == read(text, "x")


@pytest.mark.parametrize("name", names())
def test_p6_a_profile_is_there_without_pyyaml(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load(name)
    load.cache_clear()
    monkeypatch.setitem(sys.modules, "yaml", None)
    try:
        found = load(name)
    finally:
        load.cache_clear()

    assert found == expected


@given(DOCUMENTS)
def test_what_is_read_without_pyyaml_is_what_it_reads(document: dict[str, object]) -> None:
    text = written(document)

    assert subset.read(text, "x") == read(text, "x")


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\n",
        "a: *x\n",
        "a: !tag x\n",
        "a: |\n  text\n",
        "a: {b: c}\n",
        "a: b # comment\n",
        "a: b: c\n",
        "a:\nb: 1\n",
        "a:\n    b: 1\n  c: 2\n",
        "- a\nb: 1\n",
        "  a: 1\nb: 2\n",
        "a: [b, [c]]\n",
        "a: [b\n",
        "just a text\n",
    ],
)
def test_anything_else_is_refused_and_never_misread(text: str) -> None:
    with pytest.raises(UsageError, match="without PyYAML"):
        subset.read(text, "x")
