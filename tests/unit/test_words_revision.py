from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confstream.tree import Change, Entry, Kind, Tree, content_hash, diff
from confstream.words import revision_words
from confstream.words.revision import LENGTH_MAX
from tests.strategies import trees


def tree_of(files: Mapping[str, bytes | None], modes: Mapping[str, int] | None = None) -> Tree:
    found = []
    for name, content in files.items():
        mode = (modes or {}).get(name, 0o644)
        path = name.encode()
        found.append(Entry.directory(path) if content is None else Entry.file(path, content, mode))
    return Tree(found)


def words(old: Mapping[str, bytes | None], new: Mapping[str, bytes | None], **modes: Mapping[str, int]) -> str:
    contents = {
        content_hash(content): content for side in (old, new) for content in side.values() if content is not None
    }
    before = tree_of(old)
    return revision_words(diff(before, tree_of(new, modes.get("modes"))), before, contents.get)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"config.yml": b"a: 1\n"}, {"config.yml": b"a: 2\n"}, "config.yml: a 1 → 2"),
        ({}, {"config.yml": b"a: 1\n"}, "+ config.yml (5 B)"),
        ({"a.yml": b"a: 1\n"}, {}, "- a.yml"),
        ({"config.yml": b"a: 1\n"}, {"config.yaml": b"a: 1\n"}, "config.yml → config.yaml (renamed)"),
        ({"a": b"", "b": b""}, {"c": b""}, "+ c (0 B); - a, b"),
        ({"a": b"1", "b": b"1"}, {"c": b"1"}, "a → c (renamed); - b"),
        ({"d": None}, {"d": None, "e": None}, "1 directory"),
        ({"d": None, "d/a": b"1"}, {}, "- d/a"),
        ({"a.yml": b"x: 1\n", "b.yml": b"y: 1\n"}, {"a.yml": b"x: 2\n", "c.yml": b"z: 1\n"},
         "a.yml: x 1 → 2; + c.yml (5 B); - b.yml"),
        ({"secrets.yaml": b"x: 1\n", "b.yml": b"y: 1\n"}, {"secrets.yaml": b"x: 2\n", "b.yml": b"y: 2\n"},
         "b.yml: y 1 → 2; secrets.yaml changed (secret)"),
        ({}, {}, "nothing"),
    ],
)  # fmt: skip
def test_a_revision_is_said_by_its_files(
    old: Mapping[str, bytes | None], new: Mapping[str, bytes | None], said: str
) -> None:
    assert words(old, new) == said


def test_of_many_files_a_few_are_named_and_the_rest_is_counted() -> None:
    old: dict[str, bytes | None] = {f"old{number}.yml": b"a: %d\n" % number for number in range(10)}
    old |= {f"same{number}.yml": b"a: 1\n" for number in range(10)}
    new: dict[str, bytes | None] = {f"same{number}.yml": b"a: 2\n" for number in range(10)}
    new |= {f"new{number}.yml": b"b: %d\n" % number for number in range(4)}

    assert words(old, new) == (
        "same0.yml: a 1 → 2; same1.yml: a 1 → 2; same2.yml: a 1 → 2; 7 more files changed; "
        "+ new0.yml (5 B), new1.yml (5 B), new2.yml (5 B) and 1 more; - old0.yml, old1.yml, old2.yml and 7 more"
    )


def test_modes_and_owners_are_counted() -> None:
    files: dict[str, bytes | None] = {f"{number}.yml": b"a: 1\n" for number in range(5000)}

    assert words(files, files, modes=dict.fromkeys(files, 0o600)) == "mode or owner of 5000 files"
    assert words(files, files, modes={"7.yml": 0o600}) == "7.yml mode 0644 → 0600"


def test_a_content_that_is_not_at_hand_is_a_size_and_no_request() -> None:
    before = tree_of({"config.yml": b"a: 1\n"})

    said = revision_words(diff(before, tree_of({"config.yml": b"a: 12\n"})), before)

    assert said == "config.yml changed, 5 B → 6 B"


def test_a_file_that_became_a_link_is_said() -> None:
    before = tree_of({"config.yml": b"a: 1\n"})
    link = Entry.symlink(b"config.yml", b"/run/config")
    other = Entry.symlink(b"config.yml", b"/run/other")

    assert revision_words([Change.put(link)], before) == "config.yml is a symlink now"
    assert revision_words([Change.put(other)], {b"config.yml": link}) == "config.yml points elsewhere"


def test_contents_are_asked_for_of_few_files() -> None:
    old = tree_of({f"{number}.yml": b"a: %d\n" % number for number in range(100)})
    new = tree_of({f"{number}.yml": b"b: %d\n" % number for number in range(100)})
    asked: list[bytes] = []

    def contents(digest: bytes) -> None:
        asked.append(digest)

    revision_words(diff(old, new), old, contents)

    assert 0 < len(asked) <= 6


@given(trees(), trees())
def test_any_revision_is_one_line_of_bounded_length(old: Tree, new: Tree) -> None:
    said = revision_words(diff(old, new), old, lambda digest: digest)

    assert said.isprintable()
    assert 0 < len(said) <= LENGTH_MAX
    assert (said == "nothing") == (not diff(old, new))


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=30))
def test_a_path_is_never_more_than_a_line(names: list[bytes]) -> None:
    paths = {name.replace(b"/", b"_").replace(b"\0", b"_") for name in names} - {b".", b".."}
    changes = [Change.put(Entry.file(path, b"a")) for path in sorted(paths)]

    said = revision_words(changes, {path: Entry(path, Kind.FILE, 0o600) for path in list(paths)[::2]})

    assert said.isprintable()
    assert len(said) <= LENGTH_MAX
