"""Which client of S3 is chosen, and that a doubt always speaks for s3fs."""

from pathlib import Path
from typing import Any

import pytest

from confstream import settings_kinds
from confstream.errors import UsageError
from confstream.store import open_store, s3_choice
from confstream.store.s3_choice import LeanSettings, choose, client_of

pytest.importorskip("obstore", reason="obstore is not installed")

KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "hidden"}
ENDPOINT = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"}
PLAIN = {**KEYS, **ENDPOINT}
AWS = {**KEYS, "AWS_DEFAULT_REGION": "eu-west-1"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home without settings, on a system with certificates."""
    certificates = tmp_path / "certificates.pem"
    certificates.write_text("some")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(s3_choice, "_CERTIFICATES", (str(certificates),))
    return tmp_path


def lean(options: dict[str, Any], environ: dict[str, str], bucket: str = "bucket") -> LeanSettings:
    found = choose(bucket, options, environ)
    assert isinstance(found, LeanSettings), found
    return found


def test_keys_and_an_endpoint_in_the_environment_are_enough() -> None:
    assert lean({}, PLAIN) == LeanSettings("http://127.0.0.1:9000", "us-east-1", "id", "hidden")


def test_options_count_more_than_the_environment_as_they_do_for_s3fs() -> None:
    options = {"key": "k", "secret": "s", "endpoint_url": "http://other:1/", "client_kwargs": {"region_name": "garage"}}

    assert lean(options, {**PLAIN, "AWS_DEFAULT_REGION": "x"}) == LeanSettings("http://other:1", "garage", "k", "s")


def test_the_endpoint_of_s3_counts_more_than_that_of_all_services() -> None:
    assert lean({}, {**PLAIN, "AWS_ENDPOINT_URL_S3": "http://s3:1"}).endpoint == "http://s3:1"


def test_the_region_is_read_from_where_s3fs_reads_it() -> None:
    assert lean({}, {**PLAIN, "AWS_REGION": "eu-north-1"}).region == "us-east-1"
    assert lean({}, {**PLAIN, "AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "auto"}).region == "auto"


def test_a_session_token_goes_with_the_keys_it_came_with() -> None:
    assert lean({}, {**PLAIN, "AWS_SESSION_TOKEN": "t"}).token == "t"  # noqa: S105
    assert lean({"key": "k", "secret": "s", "token": "o"}, {**PLAIN, "AWS_SESSION_TOKEN": "t"}).token == "o"  # noqa: S105


def test_aws_itself_is_addressed_by_region_and_bucket() -> None:
    assert lean({}, AWS).endpoint == "https://bucket.s3.eu-west-1.amazonaws.com"
    assert lean({}, AWS).is_virtual
    # A certificate covers no name with more dots.
    assert lean({}, AWS, "with.dots").endpoint == "https://s3.eu-west-1.amazonaws.com"
    assert not lean({}, AWS, "with.dots").is_virtual


def test_the_lean_client_takes_keys_before_roles_as_s3fs_does() -> None:
    role = {"AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token"}

    assert lean({}, {**PLAIN, **role}).key == "id"
    assert choose("bucket", {}, {**ENDPOINT, **role}) == "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_PROFILE", "work"),
        ("AWS_ENDPOINT", "http://elsewhere:1"),
        ("AWS_BUCKET", "elsewhere"),
        ("AWS_SKIP_SIGNATURE", "true"),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
        ("AWS_SESSION_TOKEN", ""),
        ("AWS_ANYTHING_NEW", "1"),
        ("FSSPEC_S3_ENDPOINT_URL", "http://elsewhere:1"),
        ("HTTPS_PROXY", "http://proxy:1"),
        ("http_proxy", "http://proxy:1"),
    ],
)
def test_a_variable_that_only_one_client_honours_decides_for_s3fs(name: str, value: str) -> None:
    assert choose("bucket", {}, {**PLAIN, name: value}) == f"{name} is {'set' if value else 'empty'}"


@pytest.mark.parametrize(
    "options",
    [
        {"profile": "work"},
        {"anon": True},
        {"requester_pays": True},
        {"s3_additional_kwargs": {"ServerSideEncryption": "AES256"}},
        {"config_kwargs": {"connect_timeout": 1}},
        {"config_kwargs": {"s3": {"use_accelerate_endpoint": True}}},
        {"config_kwargs": {"proxies": {"https": "http://user:hidden@proxy:1"}}},
        {"client_kwargs": {"verify": False}},
        {"client_kwargs": "text"},
        {"key": "k"},
        {"key": 7, "secret": "s"},
        {"endpoint_url": "http://a:1", "client_kwargs": {"endpoint_url": "http://b:1"}},
        {"endpoint_url": "http://a:1/path"},
        {"endpoint_url": "http://user:hidden@a:1"},
        {"endpoint_url": "not a url"},
    ],
)
def test_an_option_that_only_s3fs_knows_decides_for_it(options: dict[str, Any]) -> None:
    found = choose("bucket", options, PLAIN)

    assert isinstance(found, str)
    assert "hidden" not in found


@pytest.mark.parametrize("name", ["config", "credentials"])
def test_settings_in_the_home_decide_for_s3fs(home: Path, name: str) -> None:
    (home / ".aws").mkdir()
    (home / ".aws" / name).write_text("[default]\n")

    assert choose("bucket", {}, PLAIN) == f"{home}/.aws/{name} exists"


def test_settings_that_a_variable_names_decide_for_s3fs(tmp_path: Path) -> None:
    place = tmp_path / "shared"
    environ = {**PLAIN, "AWS_SHARED_CREDENTIALS_FILE": str(place)}
    assert isinstance(choose("bucket", {}, environ), LeanSettings)

    place.write_text("[default]\n")

    assert choose("bucket", {}, environ) == f"{place} exists"


def test_other_certificates_than_those_of_s3fs_decide_for_it() -> None:
    for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        assert choose("bucket", {}, {**AWS, name: "/some/file"}) == f"{name} is set"


def test_a_system_without_certificates_decides_for_s3fs_even_without_tls(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_choice, "_CERTIFICATES", (str(home / "none.pem"),))

    assert choose("bucket", {}, PLAIN) == "this system has no certificates of its own"
    assert isinstance(choose("bucket", {}, {**PLAIN, "SSL_CERT_FILE": str(home / "certificates.pem")}), LeanSettings)


def test_aws_without_a_region_is_left_to_s3fs_which_finds_it() -> None:
    assert choose("bucket", {}, KEYS) == "without a region or an endpoint it finds where the bucket is"
    assert isinstance(choose("bucket", {}, {**KEYS, "AWS_DEFAULT_REGION": "cn-north-1"}), str)


def test_credentials_with_a_line_break_are_left_to_s3fs_which_says_so() -> None:
    assert isinstance(choose("bucket", {}, {**PLAIN, "AWS_SECRET_ACCESS_KEY": "hidden\n"}), str)


def test_an_access_point_is_left_to_s3fs() -> None:
    assert isinstance(choose("arn:aws:s3:eu-west-1:1:accesspoint/x", {}, AWS), str)


def test_p13_the_lean_client_demanded_in_vain_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="cannot be used: AWS_PROFILE is set; use --s3-client auto or s3fs"):
        choose("bucket", {"s3_client": "lean"}, {**PLAIN, "AWS_PROFILE": "work"})
    with pytest.raises(UsageError, match="no such S3 client: 'fast'; expected one of auto, lean, s3fs"):
        open_store("s3://bucket/replica", storage_options={"s3_client": "fast"})


def test_s3fs_is_used_where_it_is_asked_for() -> None:
    assert choose("bucket", {"s3_client": "s3fs"}, PLAIN) == "as asked for"


def test_without_the_extra_it_is_s3fs_and_the_reason_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_choice, "find_spec", lambda _name: None)

    assert choose("bucket", {}, PLAIN) == "the lean client is not installed: pip install 'confstream[fast]'"


def test_the_choice_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PLAIN.items():
        monkeypatch.setenv(name, value)

    assert client_of("s3://bucket/prefix") == "lean"
    assert client_of("s3://bucket/prefix", {"s3_client": "s3fs"}) == "s3fs (as asked for)"
    assert client_of("/some/directory") == ""


def test_p12_settings_show_no_secret() -> None:
    shown = repr(lean({"key": "k", "secret": "hidden", "token": "hidden"}, PLAIN))

    assert "hidden" not in shown


def test_the_choice_is_without_effect_elsewhere(tmp_path: Path) -> None:
    open_store(str(tmp_path / "replica"), storage_options={"s3_client": "lean"}).put("log/1", b"x")


def test_the_configuration_file_knows_the_same_clients() -> None:
    assert settings_kinds.S3_CLIENTS == s3_choice.CLIENTS
