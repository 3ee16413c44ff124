"""P12: secrets do not reach what is shown; what is no secret does."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from confstream import masking
from confstream.masking import mask_line, mask_text
from confstream.secrecy import is_secret_key, is_secret_path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("  password: hunter2  # was hunter1", "  password: ***"),
        ("- mqtt_password: 'hunter2'", "- mqtt_password: ***"),
        ('    "password": "hunter2",', '    "password": "***",'),
        ('{"user": "x", "apiKey": "hunter2", "n": 1}', '{"user": "x", "apiKey": "***", "n": 1}'),
        ('{"network_key": [1, 2, 3], "pan_id": 5}', '{"network_key": [***], "pan_id": 5}'),
        ("password = hunter2", "password = ***"),
        ("export API_TOKEN=hunter2", "export API_TOKEN=***"),
        ("#password: hunter2", "#password: ***"),
        ("my secret key: hunter2", "my secret key: ***"),
        ("password: $HUNTER", "password: ***"),
        ("password: !Hunter 2", "password: ***"),
        ("<ApiKey>hunter2</ApiKey><Port>80</Port>", "<ApiKey>***</ApiKey><Port>80</Port>"),
        ('<db password="hunter2" host="x"/>', '<db password="***" host="x"/>'),
        ("mqtt: {user: x, password: hunter2}", "mqtt: {user: x, password: ***"),
        ("Server=x;Password=hunter2;", "Server=x;Password=***"),
        ("cmd --password hunter2 --user x", "cmd --password *** --user x"),
        ("path: rtsp://admin:hunter2@10.0.0.1:554/live", "path: rtsp://***@10.0.0.1:554/live"),
        ("path: rtsp://admin:hu/nt@er2@10.0.0.1/live", "path: rtsp://***@10.0.0.1/live"),
        ("u: http://x/y?password=hunter2&channel=1", "u: http://x/y?password=***&channel=1"),
        ("http://x/y?channel=1&token=hunter2", "http://x/y?channel=1&token=***"),
        ("a https://hooks.slack.com/services/T0/B0/hunter2 b", "a https://hooks.slack.com/services/*** b"),
        ("curl -H Bearer hunter2hunter2", "curl -H Bearer ***"),
        ("    key: c29tZXRoaW5nIGxvbmdlciB0aGFuIHRoYXQ=", "    key: ***"),
    ],
)
def test_p12_a_secret_on_one_line_is_masked(line: str, expected: str) -> None:
    assert mask_line(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "", "host: broker", "author: someone", "key: short", "monkey: 5", "url: http://host:8080/a@b",
        "password: !secret mqtt_password", 'password: "{FRIGATE_MQTT_PASSWORD}"', "password: ${MQTT_PASSWORD}",
        "password: '!secret.yaml key'",
        '"require_password": true,', "password:", "token: null", "http://host/?page=2", "# the password is elsewhere",
        "time: 2026-02-27T09:30:00Z", "- platform: time", "a = b == c",
    ],
)  # fmt: skip
def test_what_is_no_secret_is_shown(line: str) -> None:
    assert mask_line(line) == line


@pytest.mark.parametrize(
    "text",
    [
        "secret: |\n  hunter2\n  foo: hunter2\n\n  hunter2\nuser: shown\n",
        "secret: >-\n  hunter2\nuser: shown\n",
        "- password: |\n    hunter2\n  user: shown\n",
        "network_key:\n  - hunter2\n  - hunter2\nuser: shown\n",
        "network_key:\n- hunter2\n- hunter2\nuser: shown\n",
        "token: [hunter2,\n  hunter2,\nhunter2]\nuser: shown\n",
        '{\n  "network_key": [\n    "hunter2",\n    "hunter2"\n  ],\n  "user": "shown"\n}\n',
        "password: abc\n  hunter2\nuser: shown\n",
        'password: "abc\n  hunter2"\nuser: shown\n',
        "env:\n  - name: DB_PASSWORD\n    value: hunter2\n  - name: X\n    value: shown\n",
        "cert: |\n  -----BEGIN PRIVATE KEY-----\n  hunter2\n  -----END PRIVATE KEY-----\nuser: shown\n",
        "-----BEGIN RSA PRIVATE KEY-----\r\nhunter2\r\n-----END RSA PRIVATE KEY-----\r\nshown\r\n",
        "<Password>\nhunter2\n</Password>\n<User>shown</User>\n",
        "credentials:\n  name: hunter2\nuser: shown\n",
    ],
)
def test_p12_what_a_secret_key_began_is_masked_on_the_lines_below_and_no_further(text: str) -> None:
    masked = mask_text(text, b"config.yml")

    assert "hunter2" not in masked
    assert "shown" in masked
    assert masked.count("\n") == text.count("\n")


def test_p12_of_a_secret_file_only_the_keys_of_yaml_are_shown() -> None:
    assert mask_text("mqtt: hunter2\n  hunter: 2\n\n", b"secrets.yaml") == "mqtt: ***\n***\n\n"
    assert mask_text('{"a": "hunter2"}\n', "acme.json") == "***\n"
    assert mask_text("hunter2", b"tls/site.key") == "***"


def test_p12_two_secrets_of_one_line_look_alike() -> None:
    assert mask_line("password: a") == mask_line("password: " + "b" * 30)


@pytest.mark.parametrize(
    "path",
    [
        "secrets.yaml", "a/secret.yaml", "x.pem", "tls/x.key", "acme.json", "flows_cred.json", ".storage/auth",
        "ha/.storage/auth_provider.homeassistant", ".storage/core.config_entries", "passwd", ".jwt_secret", "ID_RSA",
        "coordinator_backup.json",
    ],
)  # fmt: skip
def test_files_that_hold_nothing_but_secrets_are_known(path: str) -> None:
    assert is_secret_path(path)
    assert is_secret_path(path.encode())


@pytest.mark.parametrize(
    "path", ["config.yml", "keys.yaml", ".storage/core.area_registry", "authors.txt", "a/auth/x.yml", b"\xff\xfe"]
)
def test_other_files_are_shown(path: str | bytes) -> None:
    assert not is_secret_path(path)


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "mqttPassword",
        "API-Key",
        "api key",
        "x.auth_token",
        "PSK",
        "wifi_psk",
        "oauth",
        "authKey",
        "DB_PASS",
    ],
)
def test_secret_keys_are_known_however_they_are_written(key: str) -> None:
    assert is_secret_key(key)


@pytest.mark.parametrize("key", ["user", "author", "authors", "monkey", "compass", "passive", "pane", "x" * 300])
def test_other_keys_are_not_secret(key: str) -> None:
    assert not is_secret_key(key)


PIECES = st.sampled_from(
    ["password", "key", ":", "=", " ", "\n", "\r\n", '"', "'", "{", "}", "[", "]", "<", ">", "</", "://", "@", "?", "&",
     "-", "|", "#", "!", ",", "\\", "***", "-----BEGIN A-----", "-----END A-----",
     "name", "value", "x", "é", "\udcff", "\0", "\u2028"]
)  # fmt: skip


@given(
    st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=25).map("".join)),
    st.sampled_from([b"c.yml", b"secrets.yaml"]),
)
def test_masking_never_raises_and_keeps_the_lines(text: str, path: bytes) -> None:
    masked = mask_text(text, path)

    assert masked.count("\n") == text.count("\n")
    assert masked.endswith("\n") == text.endswith("\n")


@given(
    st.sampled_from(
        [
            "{}password: {}",
            "{}api_key={}",
            '{}"token": "{}"',
            "{}url: http://u:{}@host/",
            "{}<Secret>{}</Secret>",
            "{}x: {{secret: {}",
        ]
    ),
    st.sampled_from(["", "  ", "- ", "\t"]),
    st.text("ABCDEFGHJKMNPQRSTUVWXYZ0123456789%+_.;", min_size=6, max_size=30).filter(
        lambda text: any(map(str.isalpha, text))
    ),
)
def test_p12_a_secret_of_any_look_is_gone(form: str, indent: str, secret: str) -> None:
    assert secret not in mask_line(form.format(indent, secret))


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "password",
        "a://",
        "a://a:b@",
        '"',
        "password: ",
        " ",
        "k=v,",
        '{"a":',
        "<a",
        "?a=",
        "- ",
        "name: password ",
        "\\",
        "'",
        "-----BEGIN A-----",
        "password=[",
        "x\n",
    ],
)
def test_a_long_text_is_masked_in_linear_time(piece: str) -> None:
    long, short = piece * (320_000 // len(piece)), piece * (40_000 // len(piece))

    def seconds(text: str) -> float:
        start = time.process_time()
        mask_text(text)
        return time.process_time() - start

    # Eight times the text may take eight times as long, with room for noise; quadratic would be 64 times.
    assert seconds(long) < 24 * seconds(short) + 0.5


@pytest.mark.parametrize("line", ["secrets.yaml:12:3: could not find expected ':'", "x (auth.json:7: extra data)"])
def test_the_place_of_a_finding_is_no_secret(line: str) -> None:
    assert mask_line(line) == line


def test_a_line_of_a_megabyte_is_masked() -> None:
    line = '{"user": "x", "password": "hunter2", "on": [1, 2]}, ' * 20_000

    assert "hunter2" not in mask_line(line)
    assert mask_line(line).count("***") == 20_000


def test_p12_a_url_that_was_taken_for_a_path_showed_its_user_info() -> None:
    assert mask_line("/srv/s3:/me:hunter2@bucket/x does not exist") == "/srv/s3:/***@bucket/x does not exist"


_PIECES = [
    *("password", "Api-Key", "path", "name", "value", "key", "Basic", "Ba\u017fic", "Bas\u0131c", "a\u00e9uth", "p ss"),
    *("apiKey", "web_hook", "connection string", "myPat", "XPAT", "2pin", "inside", "oauth2", "totp", "\u212aey", "id"),
    *("- ", "  ", ": ", "= ", " ", '"', "'", "[", "]", "{", "}", "|", "<token>", "</token>", "<host>", "--pin ", "\r"),
    *("!secret x", "hunter2hunter2hunter2", "http://a:b@c/?token=d&e=f", "s3:/me:x@y/z", "hc-ping.com/x", "plain"),
    *("-----BEGIN A-----", "-----END A-----", "\n", "\n", "\n  ", "\n\n", "\u0130", "\u00df"),
]  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES), max_size=40).map("".join))
@settings(max_examples=300)
def test_p12_lines_that_are_passed_over_hold_nothing_that_a_closer_look_would_mask(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            masking, "_suspects", lambda text: {0, *(at + 1 for at, letter in enumerate(text) if letter == "\n")}
        )
        expected = mask_text(text, b"a.yml")

    assert mask_text(text, b"a.yml") == expected
