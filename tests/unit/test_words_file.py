import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from confstream.words import file_words
from confstream.words.file import LENGTH_MAX

FRIGATE = b"""\
mqtt:
  host: broker
  password: hunter2
go2rtc:
  streams:
    door: rtsp://admin:hunter2@10.0.0.5/s1
cameras:
  # The one at the door.
  door:
    ffmpeg:
      inputs:
        - path: rtsp://admin:hunter2@10.0.0.5:554/s1
          roles: [detect, record]
    detect: {fps: 5, width: 1280}
  garden:
    detect: {fps: 5, width: 640}
"""
AUTOMATIONS = b"""\
- id: '1671'
  alias: Kitchen light
  trigger: [{platform: sun, event: sunset}]
- id: '1672'
  alias: Hall light
  mode: single
"""


def frigate(old: str, new: str) -> str:
    assert old.encode() in FRIGATE
    return file_words(b"config.yml", FRIGATE, FRIGATE.replace(old.encode(), new.encode()))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("fps: 5, width: 1280", "fps: 10, width: 1280", "cameras.door.detect.fps 5 → 10"),
        ("host: broker", "host: front door", 'mqtt.host broker → "front door"'),
        ("host: broker", "host: '5'", 'mqtt.host broker → "5"'),
        ("host: broker", "host: !secret mqtt_host", "mqtt.host broker → !secret mqtt_host"),
        ("host: broker", "host: &b broker", "mqtt.host has another tag or anchor"),
        ("host: broker", "host: broker\n  port: 1883", "+ mqtt.port 1883"),
        ("  host: broker\n", "", "- mqtt.host broker"),
        ("  garden:", "  yard:", "cameras.garden → cameras.yard (renamed)"),
        (", width: 640", ", width: 640, {a: 1}: 2", '+ cameras.garden.detect."?" 2'),
        ("[detect, record]", "[detect, audio, record]", "+ cameras.door.ffmpeg.inputs[0].roles[1] audio"),
        ("{fps: 5, width: 640}", "{fps: 6, width: 641}",
         "cameras.garden.detect.fps 5 → 6, cameras.garden.detect.width 640 → 641"),
        ("cameras:\n", "cameras:\n  hall: {a: 1, b: [2, 3]}\n", "+ cameras.hall (3 values)"),
        ("{fps: 5, width: 640}", "[5]", "cameras.garden.detect (2 values) → [5]"),
        ("cameras:\n", "cameras:\n  hall: {detect: {fps: 5}}\n", "+ cameras.hall.detect.fps 5"),
        ("host: broker", "host: broker\n  tls: {key: {password: hunter3}}", "+ mqtt.tls.key.password ***"),
        ("{fps: 5, width: 640}", "5", "cameras.garden.detect (2 values) → 5"),
        ("{fps: 5, width: 640}", "{}", "- cameras.garden.detect.fps 5, - cameras.garden.detect.width 640"),
        ("The one at the door.", "At the door, secret: hunter3", "only comments changed"),
        ("{fps: 5, width: 640}", "{fps:  5, width: 640}", "only formatting changed"),
        ("  host: broker\n  password: hunter2\n", "  password: hunter2\n  host: broker\n", "only the order changed"),
        ("hunter2\ngo2rtc", "hunter3\ngo2rtc", "mqtt.password *** → ***"),
        ("hunter2\ngo2rtc", "!secret mqtt\ngo2rtc", "mqtt.password *** → !secret mqtt"),
        ("hunter2\ngo2rtc", "\ngo2rtc", 'mqtt.password *** → ""'),
        ("hunter2@10.0.0.5:554/s1", "hunter2@10.0.0.5:554/s2", "cameras.door.ffmpeg.inputs[0].path *** → ***"),
        ("host: broker", "host: broker: 1", "changed (+1 -1 lines)"),
    ],
)  # fmt: skip
def test_a_change_is_said_by_its_key_path(old: str, new: str, words: str) -> None:
    assert frigate(old, new) == words


def test_an_element_that_came_first_is_one_addition() -> None:
    inserted = b"- id: '1673'\n  alias: Garage\n  mode: single\n" + AUTOMATIONS.replace(
        b"mode: single", b"mode: queued"
    )

    assert (
        file_words(b"automations.yaml", AUTOMATIONS, inserted)
        == "+ [Garage] (3 values), [Hall light].mode single → queued"
    )


def test_elements_that_changed_places_were_reordered() -> None:
    one, two = AUTOMATIONS.split(b"- id: '1672'")

    assert file_words(b"automations.yaml", AUTOMATIONS, b"- id: '1672'" + two + one) == "reordered"


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        (b"deploy.yaml", b"a: 1\n---\nb: 2\n", b"a: 1\n---\nb: 3\n", "document[1].b 2 → 3"),
        (b"deploy.yaml", b"a: 1\n", b"a: 1\n---\nb: 3\n", "+ document[1].b 3"),
        (b"x.yaml", b"<<: !include a.yml\nk: *b\n", b"<<: !include c.yml\nk: *d\n",
         "<< !include a.yml → !include c.yml, k *b → *d"),
        (b"x.yaml", b"a: 1\na: 2\n", b"a: 1\na: 3\n", '"a (2)" 2 → 3'),
        (b".storage/input", b'{"data": {"items": [{"id": "a", "n": 1}]}}',
         b'{"data": {"items": [{"id": "b", "n": 3}, {"id": "a", "n": 2}]}}',
         "+ data.items[b] (2 values), data.items[a].n 1 → 2"),
        (b"database.db", b'{"id":1,"f":"a"}\n{"id":2}\n', b'{"id":1,"f":"b"}\n{"id":2}\n', "document[1].f a → b"),
        (b"x.json", b'{"a": 1.50, "b": null}', b'{"b": true, "a": 1.5}', "b null → true, a 1.50 → 1.5"),
        (b"x.ini", b"; c\n[a]\nx = 1\n", b"[a]\nx = 2\n[b]\npassword = 3\n", "a.x 1 → 2, + b.password ***"),
        (b"x.toml", b"[s]\na = 1.50\nd = 2020-01-01\n", b"[s]\na = 1.5\nd = 2020-01-02\n",
         "s.a 1.50 → 1.5, s.d 2020-01-01 → 2020-01-02"),
        (b"config.xml", b"<Config><Port>1</Port><ApiKey>a</ApiKey></Config>",
         b"<Config><Port>2</Port><ApiKey>b</ApiKey></Config>", "Config.Port 1 → 2, Config.ApiKey *** → ***"),
        (b"notes.txt", b"a\nb\n", b"a\nc\nd\n", "changed (+2 -1 lines)"),
        (b"notes.txt", b"a\nb\n", b"b\na\n", "only the order of lines changed"),
        (b"x.bin", b"\0\1" * 1500, b"\0\1" * 2000, "binary, 3 kB → 4 kB"),
        (b"x.yml", b"a: 1\n", b" \n", "became blank"),
        (b"secrets.yaml", b"wifi: a\n", b"wifi: b\n", "changed (secret)"),
        (b"auth/users.json", b'{"a": 1}', b'{"a": 2}', "changed (secret)"),
        (b"env.yml", b"- name: DB_PASSWORD\n  value: a\n", b"- name: DB_PASSWORD\n  value: b\n",
         "[DB_PASSWORD].value *** → ***"),
    ],
)  # fmt: skip
def test_every_format_has_its_words(path: bytes, old: bytes, new: bytes, words: str) -> None:
    assert file_words(path, old, new) == words


def test_key_paths_that_a_profile_calls_secret_are() -> None:
    changed = FRIGATE.replace(b"host: broker", b"host: other").replace(b"detect, record", b"detect")

    assert file_words(b"config.yml", FRIGATE, changed, ("mqtt.host", "cameras.*.ffmpeg.inputs.*.roles")) == (
        "mqtt.host *** → ***, cameras.door.ffmpeg.inputs[0].roles *** → ***"
    )
    assert file_words(b"config.yml", FRIGATE, changed, ("**",)) == "changed (secret)"


def test_long_values_are_shown_where_they_differ() -> None:
    mask = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.0,1.1,1.2"

    words = file_words(b"x.yml", f"mask: {mask},1\n".encode(), f"mask: {mask},2\n".encode())

    assert words == 'mask "…,1.0,1.1,1.2,1" → "…,1.0,1.1,1.2,2"'


def test_what_is_more_is_counted() -> None:
    old = "".join(f"key{number}: {number}\n" for number in range(40)).encode()
    new = old.replace(b": ", b": 1")

    assert file_words(b"x.yml", old, new).endswith("key5 5 → 15 and 34 more")


@pytest.mark.parametrize(
    "value",
    [
        "$2y$10$abcdefghijklmnopqrstuv",
        "$apr1$xyz$abc",
        "https://user:canary@host/",
        "https://canary@host/",
        "admin:canary@10.0.0.5/s1",
        "admin:can/ary@10.0.0.5",
        "user:realm:5f4dcc3b5aa765d61d8327deb882cf99",
        "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11",
        "mosquitto_pub -u me -P canary",
        "eyJhbGciOiJIUzI1NiJ9",
        "ghp_canary",
        "0123456789abcdef",
        "curl -u admin:canary http://x",
        "https://hooks.slack.com/services/T0/B0/canary",
        "DB_PASSWORD=canary",
        '{"token": "canary"}',
        "Bearer canary-canary",
        "-----BEGIN PRIVATE KEY-----canary",
        "7f9c24e5-1b2d-4c3e-8f4a-5b6c7d8e9f0a",
    ],
)
def test_p12_what_looks_like_a_secret_is_not_shown_whatever_its_key(value: str) -> None:
    old, new = (json.dumps({"comment": text}).encode() for text in (value, "plain"))

    assert file_words(b"x.json", old, new) == "comment *** → plain"
    # Nor where it is a key, or what identifies an element.
    assert value not in file_words(b"x.json", json.dumps({value: 1}).encode(), b'{"a": 2}')
    assert value not in file_words(b"x.json", json.dumps([{"id": value, "n": 1}]).encode(), b'[{"id": "a", "n": 1}]')


SECRET = "canary7261"  # noqa: S105 - a bird
_NAMES = st.sampled_from(["host", "port", "name", "id", "value", "path", "a b", "é", "detect", "x.y", "", "<<"])
_SECRET_NAMES = st.sampled_from(["password", "api_key", "Token", "clientSecret", "psk", "auth", "network_key"])
_OPEN = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text("ab :#\n-é'\"", max_size=6))
_HIDDEN = st.sampled_from(
    [
        f"rtsp://admin:{SECRET}@10.0.0.5/1",
        f"https://example.org/?token={SECRET}",
        f"--password {SECRET}",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n",
        f"$2y$10${SECRET}",
        f"PASSWORD={SECRET}",
    ]
)


def _below_secret(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    hidden = st.just(SECRET)
    return st.dictionaries(_NAMES, values, max_size=4).flatmap(
        lambda table: st.dictionaries(
            _SECRET_NAMES,
            st.one_of(hidden, st.lists(hidden, max_size=2), st.dictionaries(_NAMES, hidden, max_size=2)),
            max_size=2,
        ).map(lambda secrets: {**table, **secrets})
    )


_DOCUMENTS = st.recursive(
    st.one_of(_OPEN, _HIDDEN),
    lambda values: st.one_of(st.lists(values, max_size=4), _below_secret(values)),
    max_leaves=20,
)


def _is_one_line(words: str) -> bool:
    return words.isprintable() and len(words) <= LENGTH_MAX


@given(_DOCUMENTS, _DOCUMENTS, st.booleans())
def test_p12_a_planted_secret_is_never_shown(old: Any, new: Any, as_json: bool) -> None:
    path = b"x.json" if as_json else b"x.yaml"
    before, after = (
        (json.dumps(side) if as_json else yaml.safe_dump(side, allow_unicode=True)).encode() for side in (old, new)
    )

    words = file_words(path, before, after)

    assert SECRET not in words
    assert _is_one_line(words)
    assert bool(words) == (before != after)


_PIECES = st.sampled_from(
    [
        *(b"a: ", b"- ", b"{", b"[", b"]", b"}", b'"', b"\n", b"  ", b"&a ", b"*a", b"!t ", b"<a>", b"</a>", b"\0"),
        *(b"\xff", b"=", b"[s]\n", b"---\n", b"#", b"1"),
    ]
)


@given(
    st.sampled_from([b"x.yaml", b"x.json", b"x.toml", b"x.ini", b"x.xml", b"x.jsonl", b"x", b"\xff.yml"]),
    st.one_of(st.binary(max_size=40), st.lists(_PIECES, max_size=30).map(b"".join)),
    st.one_of(st.binary(max_size=40), st.lists(_PIECES, max_size=30).map(b"".join)),
)
def test_any_input_has_an_answer(path: bytes, old: bytes, new: bytes) -> None:
    words = file_words(path, old, new)

    assert _is_one_line(words)
    assert bool(words) == (old != new)


@pytest.mark.parametrize(
    ("path", "part"),
    [
        (b"x.yaml", b"["),
        (b"x.yaml", b"a:\n"),
        (b"x.yaml", b"- "),
        (b"x.json", b"["),
        (b"x.json", b'{"a":'),
        (b"x.xml", b"<a>"),
        (b"x.toml", b"a."),
        (b"x.toml", b"["),
        (b"x.ini", b"a = b\n"),
        (b"x.yaml", b"k: v\n"),
        (b"x.json", b'[{"id": 1}, '),
    ],
)
def test_hostile_contents_take_neither_the_stack_nor_the_day(path: bytes, part: bytes) -> None:
    # What is not linear here takes minutes, and the test's own deadline ends it.
    words = file_words(path, part * (100_000 // len(part)), part * (120_000 // len(part)) + b"]")

    assert _is_one_line(words)
