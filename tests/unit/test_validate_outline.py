"""Outlines of YAML texts: the same one only if a parser makes no difference, and seldom another one."""

import random
import re

import pytest
import yaml

from confstream.validate.outline import Outlines, outline

_WORD = re.compile("[0-9A-Z_a-z]+")
_WORDS = ["a", "7", "x9", "10", "abc", "0", "YAML", "TAG", "longer_word", "_", "2", "n", "1e5"]
_PIECES = [
    "a", "1", "a: ", "- ", "? ", ": ", ":", "\n", "\n  ", "\n    ", "[", "]", "{", "}", ", ", "'", '"', "# ", "#", "|",
    "|-", "|2", "> ", "&a ", "*a ", "!x ", "!!s ", "!a!b ", "!a%20 ", "%", "---\n", "\n...\n", "\t", " ", "é", "~", "-",
    "<<: ", "%YAML 1.1\n", "|\n  x\n", "- a: b\n  c: d\n", "&b k: v", "'x' : y", "\r", "\\x", "\u2028",
]  # fmt: skip


def _is_yaml(text: str) -> bool:
    try:
        yaml.CSafeLoader(text).raw_parse()
    except yaml.YAMLError:
        return False
    return True


@pytest.mark.parametrize("seed", range(4))
def test_texts_with_the_same_outline_are_yaml_together_or_not_at_all(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311, a test's input.
    outcomes = []
    for _ in range(3000):
        text = "".join(chance.choices(_PIECES, k=chance.randrange(1, 14)))
        other = _WORD.sub(lambda _: chance.choice(_WORDS), text)
        digest = outline(text)
        if digest is not None and outline(other) == digest:
            outcomes.append(_is_yaml(text))
            assert _is_yaml(other) is outcomes[-1], (text, other)
    assert outcomes.count(True) > 300
    assert outcomes.count(False) > 300


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("fps: 5\nhost: 10.0.0.1\n", "fps: 12\nhost: 192.168.100.7\n"),
        ("mode: on\n", "mode: disabled\n"),
        ("name: Tür\n", "label: Xür9\n"),
        ("a: !secret one\nb: &b {c: d}\n", "a: !include two\nb: &it {x: y7}\n"),
        ("a: |\n  text\n", "a: |\n  other\n"),
    ],
)
def test_a_changed_word_leaves_the_outline_as_it_is(text: str, other: str) -> None:
    assert outline(text) is not None
    assert outline(text) == outline(other)


@pytest.mark.parametrize(
    "other", ["a: b c\n", "a:b\n", "a: b", "a: \n", "a: ~\n", "a: ö\n", " a: b\n", "a: \x01\n", "a: b-\n"]
)
def test_whatever_is_no_word_is_part_of_the_outline(other: str) -> None:
    assert outline("a: b\n") != outline(other)


@pytest.mark.parametrize(
    "text",
    [
        "%YAML 1.1\n---\na: b\n",
        "a: b\n...\n%YAML 1.1\n---\n",
        "a: |2\n   b\n",
        "a: >-1\n  b\n",
        'a: "\\x41"\n',
        "a: !b%20 c\n",
        "a: b\r%YAML 1\n",
        "a" * 1025 + ": b\n",
    ],
)
def test_where_words_matter_there_is_no_outline(text: str) -> None:
    assert outline(text) is None


def test_p14_only_the_last_outlines_are_kept() -> None:
    digests = [number.to_bytes(4, "big") for number in range(1000)]
    known = Outlines()

    for digest in digests:
        known.add(digest)

    assert not known.knows(digests[0])
    assert sum(map(known.knows, digests)) == sum(map(known.knows, digests[-300:])) == 256
