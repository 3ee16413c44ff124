"""Whatever people, files and servers say in text: configuration, times, patterns, documents, answers of S3."""

import contextlib
import json
from collections.abc import Callable
from datetime import UTC
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

from confstream import moments, settings
from confstream.errors import ConfstreamError, UsageError
from confstream.layout import parse
from confstream.masking import mask_line, mask_text
from confstream.naming import quote_path
from confstream.observe.address import parse as parse_address
from confstream.profiles.subset import read as read_subset
from confstream.selection import Selection
from confstream.settings_document import read as read_document
from confstream.sizes import parse_size
from confstream.store import s3_errors
from confstream.store.keys import check_key, check_prefix, is_key
from confstream.store.open import mask_url, open_store, parse_storage_options
from confstream.textdiff import Side, unified
from confstream.tree import Kind, check_path
from confstream.validate import Validators, findings_to_reasons
from confstream.words import file_words
from confstream_cli import environment, options, output
from tests.torture.fuzz_opened import joined, parted
from tests.torture.fuzz_target import Target

_NOW_NS = 1_772_000_000 * 10**9
_ENVIRON = {"BROKER": "mqtt.example", "EMPTY": "", "SECRET": "canary-9124"}
_SUFFIXES = ("yml", "json", "jsonl", "toml", "xml", "ini", "conf", "")
_WORDS_MAX = 1000

_SETTINGS = """\
listen: ':9099'
ping-url: https://hc.example/ping/${SECRET}
streams:
  frigate:
    tree: /config
    replica: s3://bucket/${BROKER}/frigate
    profile: frigate
    include: ['*.yml', '!x/**']
    guard: [config.yml]
    labels: {site: home}
    settle: 400ms
    spool-max: 64MiB
    storage-options: {key: "${SECRET}", client_kwargs: {region_name: eu-1}}
    required: {config.yml: [mqtt.host]}
"""
_DOCUMENTS = {
    "yml": b"mqtt:\n  host: &h broker\n  password: 'x'\n  tags: !include x.yml\nlist: [1, 2, *h]\n---\nb: |\n  text\n",
    "json": b'{"a": [1, 2.5, null, {"b": "\\u00e9"}], "password": "x"}',
    "jsonl": b'{"a": 1}\n{"a": 2}\n',
    "toml": b'[a.b]\nc = 1979-05-27T07:32:00Z\nd = [1, "x"]\n',
    "xml": b'<?xml version="1.0"?><a b="c"><Password>x</Password><!-- d --></a>',
    "ini": b"[a]\nb = c\n; d\ne: f\n",
    "conf": b"a = b\n",
    "": b"plain\n\x1b[31m",
}


def targets() -> list[Target]:
    """Return all of them."""
    return [
        Target("settings", lambda: [_SETTINGS.encode(), b"streams: {a: {tree: x, replica: y}}"], _read_settings),
        Target(
            "environment",
            lambda: [b"CONFSTREAM_REPLICA\0CONFSTREAM_TRE\0CONFSTREAM_PORT_80_TCP"],
            _read_environment,
            size_max=256,
        ),
        Target("options", lambda: [b'key=v\0a.b={"c": [1]}\0n=007', b"1h30m\x001.5GiB\x00[::1]:9099"], _read_options),
        Target("urls", _urls, _read_url, size_max=1 << 12),
        Target("moments", _moments, _read_moment, size_max=1 << 12),
        Target(
            "patterns",
            lambda: [joined(b"*.yml\n!/a/**/b\n[a-z]?", b"a/b.yml"), joined(b"**", b"x")],
            _match,
            size_max=1 << 11,
        ),
        Target("keys", _keys, _read_keys),
        Target("documents", _documents, _judge),
        Target("masking", lambda: [*_DOCUMENTS.values(), b"u: http://a:b@c/?token=d\nkey: |\n  x\n"], _mask),
        Target("changes", _changes, _compare),
        Target("answers", _answers, _explain),
        Target("profiles", lambda: [b"about: a\nsigns:\n  - 'x'\nguards: [a, b]\n"], _read_profile),
    ]


def _text(given: bytes) -> str:
    return given.decode("utf-8", "surrogateescape")


def _shows_no_secret(text: str) -> None:
    assert _ENVIRON["SECRET"] not in text, "a value of a variable is shown"


def _read_settings(given: bytes) -> None:
    try:
        found = settings.parse(_text(given), _ENVIRON)
    except UsageError as error:
        _shows_no_secret(str(error))
        return
    shown = f"{found.show()}{found!r}{json.dumps(found.as_json())}"
    if b"${SECRET}" in given:
        _shows_no_secret(shown)
    for stream in found.streams.values():
        stream.options()


def _read_environment(given: bytes) -> None:
    names = _text(given).split("\0")
    for name in environment.unknown(names):
        assert environment.nearest(name)
    with contextlib.suppress(UsageError):
        settings.check_environment(names, environment.OF_RESTORE, ignore=environment.is_service_link)


def _read_options(given: bytes) -> None:
    found = _text(given).split("\0")
    with contextlib.suppress(UsageError):
        json.dumps(parse_storage_options(found))
    for text in found[:8]:
        readers: tuple[Callable[[str], object], ...] = (
            moments.parse_duration,
            parse_size,
            parse_address,
            moments.check_tag,
            lambda text: options.seconds("--settle", text),
            lambda text: options.size("--spool-max", text),
        )
        for read in readers:
            with contextlib.suppress(UsageError):
                read(text)


def _urls() -> list[bytes]:
    texts = (
        "s3://bucket/prefix", "s3://key:secret@bucket/p?x=y", "file:///tmp/x", "/srv/replica", "memory://name",
        "sftp://user:pass@host:22/p", "s3://[::1]/x", "simplecache::s3://b/p", "s3://arn:aws:s3:eu:1:accesspoint/ap/p",
    )  # fmt: skip
    return [text.encode() for text in texts]


def _read_url(given: bytes) -> None:
    url = _text(given)
    assert "\n" in url or "\n" not in mask_url(url)
    protocol = url.partition("://")[0].lower().partition("::")[0]
    if protocol in {"s3", "s3a", "file", "memory"} or ":" not in url:
        # Others would be opened by whatever package is installed for them.
        with contextlib.suppress(UsageError):
            open_store(url).close()


def _moments() -> list[bytes]:
    texts = (
        "2026-02-27T09:30:00Z", "2026-02-27 09:30", "2026-02", "1h30m", "2h ago", "yesterday", "now", "-3",
        "latest-good",
        "09:30:01.123456789", "w1-3/4",
        "v1.0", "2026-02-27T09:30:00+25:00",
    )  # fmt: skip
    return [text.encode() for text in texts]


def _read_moment(given: bytes) -> None:
    text = _text(given)
    for zone in (UTC, None):
        with contextlib.suppress(UsageError):
            found = moments.parse_time(text, _NOW_NS, zone)
            assert moments.parse_time(str(found), _NOW_NS, zone).time_ns == found.time_ns
            assert found.time_ns >= 0
            assert found.describe()
    with contextlib.suppress(UsageError):
        spec = moments.parse_revision(text)
        assert moments.parse_revision(str(spec)) == spec


def _match(given: bytes) -> None:
    first, second = parted(given)
    patterns = _text(first).split("\n")[:20]
    for include, exclude in ((patterns, ()), ((), patterns)):
        try:
            found = Selection(tuple(include), tuple(exclude))
        except UsageError:
            continue
        for path in second.split(b"\n")[:8]:
            with contextlib.suppress(ValueError):
                found.tracks(check_path(path), False)
                found.tracks(path, True)


def _keys() -> list[bytes]:
    names = ("log/00000000000000000001", "pack/00000000000000000001-00000000000000000009", "tag/v1", "heartbeat/w1")
    return ["\n".join((*names, "fork/w-1/log/00000000000000000003", "blob/" + "0" * 64, "confstream.json")).encode()]


def _read_keys(given: bytes) -> None:
    keys = _text(given).split("\n")
    listing = parse(keys)
    assert listing.head >= 0
    for key in keys:
        for check in (check_key, check_prefix):
            with contextlib.suppress(UsageError):
                check(key)
        if is_key(key):
            check_key(key)
            assert not key.startswith("/")
            assert ".." not in key.split("/")
    with contextlib.suppress(ValueError):
        check_path(given)


def _documents() -> list[bytes]:
    return [bytes([number]) + _DOCUMENTS[suffix] for number, suffix in enumerate(_SUFFIXES)]


@cache
def _validators() -> Validators:
    return Validators.default()


def _judge(given: bytes) -> None:
    suffix = _SUFFIXES[given[0] % len(_SUFFIXES)] if given else ""
    path, content = b"config." + suffix.encode(), given[1:]
    found = _validators().check(path, content)
    for reason in findings_to_reasons(path, found.findings):
        assert reason.isprintable(), reason
    for why in found.unchecked.values():
        # That a parser gives up is no finding; that it raised anything but that is one here.
        assert "Error" not in why or "Recursion" in why or "Memory" in why, why


def _mask(given: bytes) -> None:
    text = _text(given)
    for path in (b"", b"config.yml", b"secrets.yaml", b"x.pem"):
        masked = mask_text(text, path)
        assert masked.count("\n") == text.count("\n")
    for line in text.split("\n"):
        mask_line(line)
    assert output.clean(text).isprintable()


def _changes() -> list[bytes]:
    return [bytes([n]) + joined(_DOCUMENTS[s], _DOCUMENTS[s].replace(b"x", b"y")) for n, s in enumerate(_SUFFIXES)]


def _compare(given: bytes) -> None:
    suffix = _SUFFIXES[given[0] % len(_SUFFIXES)] if given else ""
    path = b"config." + suffix.encode()
    old, new = parted(given[1:])
    said = file_words(path, old, new)
    assert len(said) < _WORDS_MAX
    assert said.isprintable(), said
    assert bool(said) == (old != new)
    shown = unified(path, old, new)
    assert all(sign.isprintable() or sign in "\n\t" for sign in shown), shown
    unified(path, Side(old, kind=Kind.SYMLINK), Side(new, 0o600))
    assert quote_path(old or b"a").isprintable()
    output.path(new or b"a")


def _answers() -> list[bytes]:
    rows: list[dict[str, Any]] = [
        {"Error": {"Code": "AccessDenied", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 403}},
        {
            "Error": {
                "Code": "RequestTimeTooSkewed",
                "RequestTime": "20260227T093000Z",
                "ServerTime": "2026-02-27T09:30:00Z",
            },
            "ResponseMetadata": {"HTTPStatusCode": 403},
        },
        {"Error": {"Code": "404"}, "ResponseMetadata": {"HTTPStatusCode": 404}},
        {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}},
        {},
    ]
    return [json.dumps(row).encode() for row in rows]


def _explain(given: bytes) -> None:
    where = s3_errors.Circumstances("http://127.0.0.1:9", "bucket", 3.0, _text(given[-40:]), _NOW_NS)
    errors: list[Exception] = [
        OSError(22, _text(given[:200])),
        ValueError(_text(given[:200])),
        TimeoutError(_text(given[:99])),
    ]
    with contextlib.suppress(ValueError, RecursionError):
        response = json.loads(given)
        if isinstance(response, dict):
            caused = OSError(5, "Input/output error")
            caused.__cause__ = _client_error(response)
            errors.append(caused)
    for error in errors:
        said = s3_errors.explain("reading x", error, where)
        assert isinstance(said, ConfstreamError)
        assert len(str(said)) < _WORDS_MAX


def _client_error(response: dict[str, Any]) -> Exception:
    made: Exception = ClientError({"Error": {}}, "GetObject")
    made.response = response  # type: ignore[attr-defined]
    return made


def _read_profile(given: bytes) -> None:
    text = _text(given)
    for read in (read_subset, read_document):
        with contextlib.suppress(UsageError):
            read(text, "profile")
