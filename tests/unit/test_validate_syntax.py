"""What each format's validator calls invalid, where, and what it leaves alone."""

import subprocess
import sys

import pytest

from confstream.validate import (
    Finding,
    IniSyntax,
    JsonLinesSyntax,
    JsonSyntax,
    NotCheckedError,
    RequiredKeys,
    TomlSyntax,
    Validator,
    Validators,
    XmlSyntax,
    YamlSyntax,
    findings_to_reasons,
    prove,
)
from confstream.validate import yaml as yaml_module
from confstream.validate.yaml import NESTING_MAX

SYNTAXES: list[Validator] = [YamlSyntax(), JsonSyntax(), JsonLinesSyntax(), TomlSyntax(), XmlSyntax(), IniSyntax()]
CANARY = "c4n4ry-hunter2"


def _name(validator: Validator) -> str:
    return validator.name


@pytest.mark.parametrize(
    "content",
    [
        b"host: !secret host\nparts: !include_dir_merge_list parts/\ncode: !lambda |-\n  return 1;\n",
        b"<<: !include base.yml\na: 1\n",
        b"a: &x 1\nb: &x 2\n",
        b"a: *of_another_file\n",
        b"a: 1\na: 2\n",
        b"---\na: 1\n---\nb: 2\n...\n---\n",
        b"? [1, 2]\n: {a: b}\n",
        b"a bare word",
        b"# only a comment\n",
        b"%YAML 1.2\n---\na: 1\n",
        b"a: 1\r\nb: 2\r\n",
        b"\xef\xbb\xbfa: 1\n",
        "\ufeffa: ü\n".encode("utf-16-le"),
        "\ufeffa: ü\n".encode("utf-16-be"),
        "a: \N{GRINNING FACE}\n".encode(),
    ],
)
def test_yaml_that_some_application_may_read_is_valid(content: bytes) -> None:
    assert YamlSyntax().check(b"a.yml", content) == []


_SAMPLE = (
    b"%YAML 1.1\n---\ncameras: &c\n  front: {fps: 5, zones: [a, 'b', \"c\"]}\n  ? key\n  : - - deep\n    - |\n      x\n"
    b"<<: *c\ntag: !secret x\n...\n---\nlast: [1, {a: *c}]\n"
)


def test_the_short_way_through_yaml_gives_the_answers_of_the_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = [_SAMPLE[:end] for end in range(1, len(_SAMPLE))]
    without = [_SAMPLE[:at] + _SAMPLE[at + 1 :] for at in range(len(_SAMPLE))]
    spoiled = [_SAMPLE[:at] + b"\x07" + _SAMPLE[at:] for at in range(0, len(_SAMPLE), 7)]
    deep = [b"- " * 300 + b"a", b"? " * 300 + b"a", b"[" * 150 + b"]" * 150, b"a: " + b"[" * 300 + b"]" * 300]
    hidden = [
        b"[ !x] ",
        b"[ 'x] ' ",
        b'[ "x] " ',
        b"[ # x]\n",
        b"{a: [1]}\n",
        b"- {a: 1}\n",
        b"[a]: {b: [1, {c: d}]}\n",
    ]
    contents = [_SAMPLE, *cut, *without, *spoiled, *deep, *(300 * piece for piece in hidden)]
    answers = [_answer(content) for content in contents]

    monkeypatch.setattr(yaml_module, "_is_read_through", lambda _text, _known: False)

    assert answers == [_answer(content) for content in contents]
    assert answers[0] == []
    assert "is nested too deeply" in answers


@pytest.mark.parametrize("content", [_SAMPLE, b"".join(b"camera_%d: {fps: 5, zones: [a]}\n" % n for n in range(500))])
def test_valid_yaml_is_read_without_an_object_for_each_event(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.delattr(yaml_module, "events")

    assert YamlSyntax().check(b"a.yml", content) == []


def test_yaml_in_which_only_words_changed_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    syntax = YamlSyntax()
    assert syntax.check(b"a.yml", b"camera: {fps: 5}\n") == []

    monkeypatch.delattr("yaml.CSafeLoader")
    monkeypatch.delattr(yaml_module, "events")

    assert syntax.check(b"a.yml", b"front_door: {width: 1920}\n") == []


def _answer(content: bytes) -> list[Finding] | str:
    try:
        return YamlSyntax().check(b"a.yml", content)
    except NotCheckedError as error:
        return str(error)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a:\n  b: 1\n c: 2\n", Finding(3, 2, "did not find expected key")),
        (b"a: b: c\n", Finding(1, 5, "mapping values are not allowed in this context")),
        (b"a:\n\tb: 1\n", Finding(2, 1, "found character that cannot start any token")),
        (b"a: 1\nb: \xe9\n", Finding(2, 4, "is not UTF-8 from here on")),
        (b"a: 1\nb: x\x01\n", Finding(2, 5, "control characters are not allowed")),
        (
            b"<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> other\n",
            Finding(2, 2, "mapping values are not allowed in this context"),
        ),
    ],
)
def test_broken_yaml_is_invalid_with_line_and_column(content: bytes, expected: Finding) -> None:
    assert YamlSyntax().check(b"a.yml", content) == [expected]


@pytest.mark.parametrize(
    ("validator", "content", "line", "column"),
    [
        (JsonSyntax(), b'{\n "a": 1,\n "b" 2}', 3, 6),
        (JsonSyntax(), b'{"a": [1, 2', 1, 12),
        (JsonSyntax(), b"{} {}", 1, 4),
        (JsonLinesSyntax(), b'{"a": 1}\n\n{"a"\n', 3, 5),
        (TomlSyntax(), b"[a]\nb = \n", 2, 5),
        (TomlSyntax(), b"[a]\n[a]\n", 2, 3),
        (XmlSyntax(), b"<a>\n  <b>\n</a>", 3, 3),
        (XmlSyntax(), b"<Config>\0\0\0", 1, 9),
        (IniSyntax(), b"a = 1\n[server\nport = 2\n", 2, 1),
        (IniSyntax(), b"a = 1\nb\0", 2, 2),
    ],
)
def test_a_broken_file_is_invalid_with_line_and_column(
    validator: Validator, content: bytes, line: int, column: int
) -> None:
    found = validator.check(b"a", content)

    assert [(one.line, one.column) for one in found] == [(line, column)]


@pytest.mark.parametrize(
    ("validator", "content"),
    [
        (JsonSyntax(), b"\xef\xbb\xbf[]"),
        (JsonSyntax(), '\ufeff{"a": 1}'.encode("utf-16-le")),
        (JsonSyntax(), b'{"a": ' + b"1" * 5000 + b"}"),
        (JsonSyntax(), b'{"a": NaN}'),
        (JsonLinesSyntax(), b'{"id":1}\r\n{"id":2}\r\n'),
        (TomlSyntax(), b"\xef\xbb\xbfa = 1e999\r\n"),
        (XmlSyntax(), b'<?xml version="1.0" encoding="ISO-8859-1"?><a>\xe9</a>'),
        (XmlSyntax(), "\ufeff<a>ü</a>".encode("utf-16-le")),
        (IniSyntax(), b"app_mode = production\n[server]\nflag\n  indented\nflag\nk = [1,\n 2]\n; [x\n"),
        (IniSyntax(), b"name = caf\xe9\n"),
        (IniSyntax(), b'[a]\nb = """\n[not a section\n"""\n'),
    ],
)
def test_a_legal_file_is_valid(validator: Validator, content: bytes) -> None:
    assert validator.check(b"a", content) == []


@pytest.mark.parametrize("validator", SYNTAXES, ids=_name)
@pytest.mark.parametrize("content", [b"", b" \r\n", b"\0" * 4096])
def test_a_blank_file_is_for_the_guards_to_judge(validator: Validator, content: bytes) -> None:
    assert validator.check(b"a", content) == []


def test_an_entity_is_never_expanded_and_makes_nothing_invalid() -> None:
    laughs = b"".join(b'<!ENTITY l%d "%s">' % (n + 1, b"&l%d;" % n * 10) for n in range(9))
    bomb = b'<!DOCTYPE a [<!ENTITY l0 "ha">' + laughs + b"]><a b='&l9;'>&l9;</a>"

    with pytest.raises(NotCheckedError, match="entities"):
        XmlSyntax().check(b"a.xml", bomb)


def test_the_root_of_an_xml_file_may_be_required() -> None:
    validator = XmlSyntax("Config")

    assert prove(validator).ok
    assert validator.check(b"config.xml", b"<Config/>") == []
    assert validator.check(b"config.xml", b"<html/>") == [Finding(0, 0, "the root element is not Config")]


@pytest.mark.parametrize(
    "content",
    [
        b"mqtt: {enabled: false}\ncameras:\n  front: {}\n",
        b"cameras: !include cameras.yml\n",
        b"{mqtt: [{cameras: 1}], ? [cameras]\n: 2, 'cameras': null}",
        b"<<: *base\nmqtt: 1\n",
        b"<<: !include base.yml\n",
        b"!include all.yml\n",
        b"a: 1\n---\ncameras: 1\n",
        b'{"cameras": {}}',
        b"",
    ],
)
def test_a_required_key_that_may_be_there_is_not_missing_nor_in_a_blank_file(
    content: bytes,
) -> None:
    assert RequiredKeys(("cameras",)).check(b"config.yml", content) == []


@pytest.mark.parametrize(
    "content",
    [
        b"- cameras\n",
        b"mqtt:\n  cameras: 1\n",
        b"x: !t\n  cameras: 1\n",
        b"? {cameras: 1}\n: 2\n",
        b"[{cameras: 1}]",
        b"a: cameras",
    ],
)
def test_a_required_key_elsewhere_in_the_file_is_missing(content: bytes) -> None:
    expected = [Finding(0, 0, "the required key cameras is missing")]

    assert RequiredKeys(("cameras",)).check(b"config.yml", content) == expected


def test_a_required_key_may_be_inside_of_a_mapping() -> None:
    validator = RequiredKeys(("mqtt.host", "cameras"))

    assert prove(validator).ok
    assert validator.check(b"c.yml", b"cameras: 1\nmqtt:\n  port: {a: 2}\n  host: x\n") == []
    assert validator.check(b"c.yml", b"cameras: 1\nmqtt: !include mqtt.yml\n") == []
    assert validator.check(b"c.yml", b"cameras: 1\nmqtt: {port: 1}\nhost: 1\n") == [
        Finding(0, 0, "the required key mqtt.host is missing")
    ]


def test_what_does_not_parse_has_no_keys_to_miss() -> None:
    with pytest.raises(NotCheckedError, match="not allowed"):
        RequiredKeys(("cameras",)).check(b"config.yml", b"a: b: c")


@pytest.mark.parametrize("keys", [(), ("",), ("a..b",)])
def test_keys_that_cannot_be_meant_are_refused(keys: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="cannot be meant"):
        RequiredKeys(keys)


# What each parser is most inclined to quote stands where it stumbles.
_LEAKING = [
    *(("a.yml", text) for text in ("a: !{0}!x b", "a: {0}: {0}", '"\\{0}"', "a: [{0}", "%TAG {0}\n---\n", "@{0}")),
    ("a.yml", "a: *{0}\n- &{0}"),
    *(("a.json", text) for text in ('{{"{0}" 1}}', '"\\{0}"', '"{0}', "{0}", '{{"a": {0}}}', '"{0}\x01"')),
    *(("a.jsonl", text) for text in ('{{"{0}" 1}}', "{0}")),
    *(("a.toml", text) for text in ("[{0}]\n[{0}]", "a={{'{0}'=1,'{0}'=2}}", "a='{0}", 'a="\\{0}"', "'{0}' 1")),
    *(("a.toml", text) for text in ("{0}={0}", "['{0}''\n", "'{0}'=1\n'{0}'.b=2", "a=1{0}", "a=2020-13-01{0}")),
    *(("a.xml", text) for text in ("<{0}>", "<a {0}>", "<a>&{0};</a>", '<?xml version="1.0" encoding="{0}"?><a/>')),
    *(("a.ini", text) for text in ("[{0}\n", "{0}\0")),
]  # fmt: skip


@pytest.mark.parametrize(("path", "template"), _LEAKING)
@pytest.mark.parametrize("libyaml", [True, False])
def test_p12_no_message_quotes_the_file(
    path: str, template: str, libyaml: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not libyaml:
        monkeypatch.delattr("yaml.CSafeLoader", raising=False)

    outcome = Validators.default().check(path.encode(), template.format(CANARY).encode())

    said = [*findings_to_reasons(path.encode(), outcome.findings), *outcome.unchecked.values()]
    assert said
    assert [one for one in said if "c4n4ry" in one or "hunter2" in one or "4n4" in one] == []


def test_yaml_is_judged_alike_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("yaml.CSafeLoader", raising=False)
    validator = YamlSyntax()

    assert prove(validator).ok
    assert validator.check(b"a.yml", b"a: 1\nb: c: d\n") == [Finding(2, 5, "mapping values are not allowed here")]
    with pytest.raises(NotCheckedError, match="libyaml"):
        validator.check(b"a.yml", b"a" * (1 << 20))


_BOMBS = {
    "a.yml": [b"[" * 100_000, b"{a: " * 100_000, b"- " * 100_000, b"? " * 100_000, b"[" * 100_000 + b"]" * 100_000],
    "a.json": [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000],
    "a.jsonl": [b"[" * 100_000 + b"]" * 100_000, b"1\n" * 3_000_000],
    "a.toml": [
        b"a=" + b"[" * 100_000,
        b"a=" + b"{a=" * 100_000,
        b"a." * 100_000 + b"a=1",
        b"[" + b"a." * 3000 + b"a]\n" + b"b=1\n" * 90_000,
    ],
    "a.xml": [b"<a>" * 100_000 + b"</a>" * 100_000],
    "a.ini": [b"[" * 100_000, b"[a\n" * 1_000_000],
}  # fmt: skip
_RUN = """
import sys, threading
from confstream.validate import RequiredKeys, Rule, Validators
path, content = sys.argv[1].encode(), sys.stdin.buffer.read()
validators = Validators([RequiredKeys(("a.b",))], [Rule(("*.yml",), "keys-a.b")])
def run():
    outcome = validators.check(path, content)
    print("said" if outcome.findings or outcome.unchecked else "ok")
run()
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


@pytest.mark.parametrize(("path", "bomb"), [(path, bomb) for path, bombs in _BOMBS.items() for bomb in bombs])
def test_p14_a_bomb_ends_soon_and_crashes_nothing(path: str, bomb: bytes) -> None:
    done = subprocess.run([sys.executable, "-c", _RUN, path], input=bomb, capture_output=True, timeout=30, check=True)

    valid = path == "a.xml"
    assert done.stdout.split() == [b"ok" if valid else b"said"] * 2


def test_yaml_nested_as_deeply_as_people_nest_is_checked() -> None:
    depth = NESTING_MAX - 1

    assert YamlSyntax().check(b"a.yml", b"[" * depth + b"]" * depth) == []


def test_importing_the_package_imports_no_parser() -> None:
    program = (
        # What measures the coverage of child processes reads its own settings before this begins.
        "import sys; before = set(sys.modules); import confstream.validate as v; v.Validators.default();"
        "print(sorted({'yaml', 'tomllib', 'pyexpat', 'jsonschema', 'pathspec'} & set(sys.modules) - before))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout == b"[]\n"
