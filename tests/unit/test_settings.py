"""``confstream.yml``: strict, with the place of every mistake, and never a secret in what is said about it."""

import json
import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confstream import profiles
from confstream.errors import UsageError
from confstream.replicator import ReplicateOptions
from confstream.settings import check_environment, parse, schema
from confstream.settings_checks import Check
from confstream.settings_document import DEPTH_MAX, SIZE_MAX
from confstream.settings_file import load_settings
from confstream.stream import Settings, Stream
from tests.streams import CANARY, FULL, one


def test_a_full_file_becomes_values() -> None:
    settings = parse(FULL, {})

    assert list(settings.streams) == ["frigate", "traefik"]
    assert settings.stream("frigate") == Stream(
        "frigate",
        "/config",
        "s3://bucket/frigate",
        "frigate",
        ("*.yml",),
        ("*.bak", "!keep.bak"),
        ("config.yml",),
        (
            Check("json", ("*.conf",)),
            Check(
                "checker",
                ("config.yml",),
                ("check", "{file}"),
                "",
                "a: 1",
                "a: x",
                "config.yml",
                5.0,
                (0, 3),
                {"LANG": "C"},
                shows_output=True,
            ),
        ),
        {"config.yml": ("cameras", "mqtt.host")},
        {"site": "home"},
        settle_seconds=2.0,
        heartbeat_seconds=300.0,
        fail_after_seconds=3600.0,
        spool_bytes_max=64 << 20,
        scan_seconds=90.0,
        shutdown_seconds=20.0,
        timeout_seconds=0.5,
        state_dir="/state",
        unsafe_single_writer=True,
        s3_client="lean",
        storage_options={"client_kwargs": {"region_name": "eu-1"}, "use_ssl": False, "key": "007", "retries": 3},
    )
    assert settings.stream("traefik") == Stream("traefik", "/traefik", "/backups/traefik")


def test_what_is_for_the_whole_process_stands_beside_the_streams() -> None:
    text = "listen: :9099\nlog_format: json\nping_url: https://hc.example/${WHICH}\n"

    settings = parse(f"{text}streams: {{a: {{tree: /a, replica: /b}}}}", {"WHICH": CANARY})

    assert settings.of_process() == {
        "listen": ":9099",
        "log_format": "json",
        "ping_url": f"https://hc.example/{CANARY}",
    }
    assert CANARY not in settings.show() + repr(settings) + json.dumps(settings.as_json())
    assert 'ping_url: "***"' in settings.show()
    with pytest.raises(UsageError, match="unknown log format 'jsn'; did you mean 'json'"):
        parse("log_format: jsn\nstreams: {a: {tree: /a, replica: /b}}", {})


def test_what_the_file_leaves_out_is_left_to_the_command() -> None:
    stream = one("")

    assert stream.profile == "auto"
    assert stream.guard is None
    assert stream.options() == {}


def test_values_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        one("").tree = "/other"  # type: ignore[misc]


def test_no_option_is_inert() -> None:
    known = {field.name for field in fields(ReplicateOptions)}

    assert set(parse(FULL, {}).stream("frigate").options()) <= known


def test_every_key_of_the_schema_is_one_that_the_reader_takes() -> None:
    properties = schema()["properties"]["streams"]["additionalProperties"]["properties"]

    assert set(properties) == set(re.findall(r"^    (\w+):", FULL, re.MULTILINE))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tree: /x", r"^c\.yml:1:1: the key 'tree' belongs to a stream, below streams\nc\.yml:1:1: has no"),
        ("stream: {}", r"^c\.yml:1:1: unknown key 'stream'; did you mean 'streams'"),
        ("", r"^c\.yml:1:1: expected a mapping with listen, log_format, ping_url, streams, found"),
        ("streams: {}", r"^c\.yml:1:10: streams: has no stream"),
        ("streams: [a]", r"^c\.yml:1:10: streams: expected a mapping, found a list"),
        ("streams:\n  a:\n    tree: /x\n", r"^c\.yml:3:5: streams\.a: has no 'replica'"),
        ("streams:\n  A b: {}\n", r"^c\.yml:2:3: streams: a stream's name"),
        ("streams:\n  a: {}\n  a: {}\n", r"^c\.yml:3:3: streams: this key stands here for the second time"),
        ("streams: {}\n---\nstreams: {}", r"^c\.yml:2:1: a second document"),
        ("streams: [", r"^c\.yml:\d+:\d+: not YAML"),
        ("streams: &x {}", r"^c\.yml:1:10: .* anchor"),
        ("streams: *x", r"^c\.yml:1:10: .* alias"),
        ("streams: !x {}", r"^c\.yml:1:10: .* tag"),
        ("? [a]\n: b", r"^c\.yml:1:3: expected a key, found a list"),
        ("a: \x01", r"^c\.yml: has a character that YAML does not allow"),
        ("a: " + "[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1), r"^c\.yml:1:24: is nested deeper than 20 levels"),
        ("#" * (SIZE_MAX + 1), "is it the right file"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(text, {}, "c.yml")


def test_every_mistake_is_told_at_once() -> None:
    text = """\
listn: :9099
log_format: jsn
streams:
  A:
    tree: /a
    settle: 2
    exclude: [ok, b//c, d//e]
    heartbeat: ${UNSET}
    listen: :1
  b:
    replica: /r
    validators:
      yml: a
      checker: {patterns: p, command: [c], good: g, timeout: 3}
"""

    with pytest.raises(UsageError) as caught:
        parse(text, {}, "c.yml")

    told = [re.match(r"c\.yml:(\d+):\d+: (.*)", line) for line in str(caught.value).splitlines()]
    assert [(int(one[1]), one[2].partition("; ")[0]) for one in told if one] == [
        (1, "unknown key 'listn'"),
        (2, "log_format: unknown log format 'jsn'"),
        (4, "streams: a stream's name has small letters, digits, '.', '_', '-', at most 63, a letter first"),
        (5, "streams.A: has no 'replica', which it needs"),
        (6, "streams.A.settle: '2' is not a length of time"),
        (7, "streams.A.exclude[1]: the pattern 'b//c' has an empty part, . or .., which no path inside the tree has"),
        (7, "streams.A.exclude[2]: the pattern 'd//e' has an empty part, . or .., which no path inside the tree has"),
        (8, "streams.A.heartbeat: the variable UNSET is not set"),
        (9, "streams.A: the key 'listen' belongs to the whole process, at the top of the file"),
        (11, "streams.b: has no 'tree', which it needs"),
        (
            13,
            (
                "streams.b.validators: there is no validator 'yml' built in, "
                "those are ini, json, jsonl, none, toml, xml, yaml"
            ),
        ),
        (14, "streams.b.validators.checker: has no 'bad', which it needs"),
        (14, "streams.b.validators.checker.timeout: '3' is not a length of time"),
    ], str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("log_format: json", r":5:5: streams\.a: the key 'log_format' belongs to the whole process, at the top of"),
        ("exlude: [a]", r":5:5: streams\.a: unknown key 'exlude'; did you mean 'exclude'\?"),
        ("retention: 90d", "unknown key 'retention'"),
        ("tree:", r":4:10: streams\.a\.tree: has no value"),
        ("tree: ~", "has no value"),
        ("tree: ''", r"streams\.a\.tree: is blank"),
        ("tree: [/a]", "expected one value, found a list"),
        ('tree: "a\\0b"', "has a NUL"),
        ("profile: frigat", r":5:14: streams\.a\.profile: unknown profile 'frigat'; did you mean 'frigate'"),
        ("settle: 2", "'2' is not a length of time"),
        ("settle: 1ms", "1ms is out of bounds; expected 0.02 s"),
        ("heartbeat: 400d", "out of bounds"),
        ("exclude: [a, b//c]", r":5:18: streams\.a\.exclude\[1\]: the pattern 'b//c'"),
        ("exclude: {a: b}", "expected a list, found a mapping"),
        ("include: ['!a']", "nothing would be tracked"),
        ("guard: /etc/passwd", r"the guard '/etc/passwd' is not the path of a file"),
        ("guard: [a/../../b]", "is not the path of a file"),
        ("unsafe_single_writer: yes", "expected true or false"),
        ("validators: [yaml]", "expected a mapping, found a list"),
        (
            "validators: {yml: a}",
            r":5:18: streams\.a\.validators: there is no validator 'yml' built in, those are ini, ",
        ),
        ("validators: {yaml: [a//b]}", "the pattern 'a//b'"),
        ("validators: {x: {patterns: a, good: b, bad: c}}", "needs a command or the file of a schema"),
        ("validators: {x: {command: a, schema: b, patterns: a, good: b, bad: c}}", "one of them"),
        ("validators: {x: {command: a, patterns: a, good: b}}", "has no 'bad'"),
        ("validators: {x: {comand: a, patterns: a, good: b, bad: c}}", "did you mean 'command'"),
        ("validators: {x: {schema: a, patterns: a, good: b, bad: c, accepts: 1}}", "this is a schema"),
        ("validators: {x: {command: a, patterns: a, good: b, bad: c, accepts: 256}}", "'256' is no exit code"),
        ("validators: {x: {command: a, patterns: a, good: b, bad: c, timeout: 0}}", "out of bounds"),
        ("required: {config.yml: mqtt..host}", r"streams\.a\.required\.config\.yml: 'mqtt\.\.host' is no key"),
        ("required: {a//b: c}", "the pattern 'a//b'"),
        ("labels: [a]", "expected a mapping"),
        ("storage_options: [a=b]", "expected a mapping, found a list"),
        ("storage_options: {a: 1, a: 2}", "this key stands here for the second time"),
    ],
)
def test_a_stream_that_cannot_be_meant_is_refused_with_the_place(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        one(line)


@pytest.mark.parametrize(("key", "place"), [("tree", "/x/tree/"), ("replica", "/x/replica")])
def test_two_streams_cannot_share_a_tree_or_a_replica(key: str, place: str) -> None:
    other = {"tree": "/y", "replica": "/z", key: place}

    with pytest.raises(UsageError, match=rf":5:3: streams: the streams a and b have the same {key}"):
        parse(
            "streams:\n  a:\n    tree: /x/tree\n    replica: /x/replica\n"
            f"  b:\n    tree: {other['tree']}\n    replica: {other['replica']}\n",
            {},
        )


def test_a_variable_is_put_in_after_yaml_was_read() -> None:
    stream = one(
        'tree: ${BASE}/config\nreplica: "s3://${BUCKET}/$${x}/$HOME"\nsettle: ${SETTLE}\n'
        'storage_options: {a: ["${N}"]}',
        BASE="/a: {b",
        BUCKET="${BASE}",
        SETTLE="3s",
        N="007",
    )

    assert stream.tree == "/a: {b/config"
    assert stream.replica == "s3://${BASE}/${x}/$HOME"
    assert stream.settle_seconds == 3.0
    assert stream.storage_options == {"a": ["007"]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tree: ${BASE}", r":4:11: streams\.a\.tree: the variable BASE is not set; did you mean \$\{BASES\}\?"),
        ("tree: ${OTHER_THING}", "the variable OTHER_THING is not set; set it"),
        ("storage_options: {a: {b: ['${NOPE}']}}", r"streams\.a\.storage_options\.a\.b\[0\]: the variable NOPE is not"),
        ("tree: ${BASE:-/x}", r"expected \$\{NAME\}"),
        ("tree: a${", r"expected \$\{NAME\}"),
        ("tree: ${}", r"expected \$\{NAME\}"),
        ("tree: ${BLANK}", r"is blank: BLANK is set to nothing"),
    ],
)
def test_p13_a_variable_that_is_not_set_is_named_with_the_nearest(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        one(line, BASES="/x", BLANK=" ")


@given(st.text(max_size=200) | st.text("{}[]:,-*&!|>'\"%@`# \n\tab$", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for file in (text, f"streams: {{a: {{tree: {text}, replica: x}}}}", f"streams:\n  a:\n    tree: {text}\n"):
        try:
            found = parse(file, {})
        except UsageError:
            continue
        assert found.stream().tree


def test_one_stream_needs_no_name_and_several_do() -> None:
    settings = parse(FULL, {})

    with pytest.raises(UsageError, match="several streams; name one of frigate, traefik"):
        settings.stream()
    with pytest.raises(UsageError, match="unknown stream 'traefic'; did you mean 'traefik'"):
        settings.stream("traefic")
    assert one("").name == "a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ("", None),
        ("007", "007"),
        ("1e3", "1e3"),
        ("yes", "yes"),
    ],
)
def test_storage_options_are_of_the_type_that_json_would_give_them(text: str, expected: object) -> None:
    assert one(f"storage_options: {{a: {text}}}").storage_options["a"] == expected
    assert one(f"storage_options: {{a: '{text}'}}").storage_options["a"] == text


def test_p13_an_unknown_variable_of_ours_is_refused_with_the_nearest() -> None:
    known = {"CONFSTREAM_REPLICA", "CONFSTREAM_TREE"}

    check_environment({"CONFSTREAM_TREE": "x", "HOME": "y"}, known)
    check_environment({"CONFSTREAM_PORT": CANARY}, known, ignore=lambda name: name.endswith("_PORT"))
    with pytest.raises(UsageError, match=r"CONFSTREAM_REPLIKA; did you mean CONFSTREAM_REPLICA\?") as caught:
        check_environment({"CONFSTREAM_REPLIKA": CANARY}, known)

    assert CANARY not in str(caught.value)


def test_a_file_is_loaded_with_its_name_in_every_message(tmp_path: Path) -> None:
    file = tmp_path / "confstream.yml"
    file.write_bytes(b"\xef\xbb\xbf" + FULL.encode())

    assert load_settings(file, {}) == Settings(parse(FULL, {}).streams, str(file))
    file.write_text("streams: 1")
    with pytest.raises(UsageError, match=re.escape(f"{file}:1:10: streams")):
        load_settings(file, {})


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(CANARY.encode() + b"\xe9")

    with pytest.raises(UsageError, match=r"cannot read the configuration file .*: No such file"):
        load_settings(tmp_path / "absent", {})
    with pytest.raises(UsageError, match=r"cannot read the configuration file .*: Is a directory"):
        load_settings(tmp_path, {})
    with pytest.raises(UsageError, match="not UTF-8 at byte 10") as caught:
        load_settings(tmp_path / "latin", {})
    assert CANARY not in repr(caught.value.__cause__)


def test_the_schema_accepts_what_the_reader_accepts_and_refuses_what_it_refuses() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="compares with a validator of JSON Schema")
    yaml = pytest.importorskip("yaml")
    validator = jsonschema.Draft202012Validator(json.loads(json.dumps(schema())))
    jsonschema.Draft202012Validator.check_schema(schema())

    def accepts(text: str) -> bool:
        return bool(validator.is_valid(yaml.safe_load(text)))

    stream = "streams: {a: {tree: /x, replica: /y, %s}}"
    assert accepts(FULL)
    for line in ("settle: 1h30m", "heartbeat: 0", "profile: auto", "profile: '${P}'", "s3_client: s3fs",
                 "unsafe_single_writer: '${U}'",
                 "guard: []", "exclude: a", "settle: 'x${S}'"):  # fmt: skip
        assert accepts(stream % line), line
    for line in ("settle: 2", "settle: soon", "profile: frigat", "exlude: [a]", "unsafe_single_writer: 1",
                 "tree: ''", "guard: {a: b}", "storage_options: []", "profile: '$${P}'",
                 "s3_client: fast"):  # fmt: skip
        assert not accepts(stream % line), line
    assert not accepts("streams: {A: {tree: /x, replica: /y}}")
    assert not accepts("streams: {a: {tree: /x}}")
    assert not accepts("streams: {}")


def test_the_schema_offers_every_profile() -> None:
    properties = schema()["properties"]["streams"]["additionalProperties"]["properties"]

    assert properties["profile"]["anyOf"][0]["enum"] == ["auto", *profiles.names()]
