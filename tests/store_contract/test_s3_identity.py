"""S3 credentials, endpoints and options: where they come from, what is said when they are wrong, and what is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confstream.errors import AccessDeniedError, UsageError
from confstream.store import Store, open_store
from tests.proxy import CuttingProxy, error_body
from tests.servers import ACCESS_KEY, SECRET_KEY, S3Server, environment


def test_credentials_that_were_rotated_are_read_again_once(
    direct: Store, moto_proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shared = tmp_path / "credentials"
    shared.write_text("[default]\naws_access_key_id = old\naws_secret_access_key = old\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    store = open_store(direct.url, storage_options={"endpoint_url": moto_proxy.endpoint})
    store.put("log/1", b"x")
    shared.write_text("[default]\naws_access_key_id = new\naws_secret_access_key = new\n")
    moto_proxy.reset()
    moto_proxy.fail("status", method="PUT", status=400, body=error_body("ExpiredToken"))

    store.put("log/2", b"x")

    keys = [seen.headers["authorization"].split("Credential=")[1].split("/")[0] for seen in moto_proxy.seen]
    assert keys == ["old", "new"]
    assert direct.list() == ["log/1", "log/2"]


def test_missing_credentials_are_an_error_that_says_where_they_are_looked_for(
    moto_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server.endpoint)
    store = open_store("s3://bucket/replica")

    for call in (lambda: store.put("log/1", b"x"), store.list):
        with pytest.raises(AccessDeniedError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
            call()


def test_a_wrong_secret_is_access_denied_and_never_shown(
    seaweed: S3Server, use_s3: Callable[[S3Server], str], client: str
) -> None:
    wrong = "wrong-secret-of-the-test"
    store = open_store(use_s3(seaweed), storage_options={"key": ACCESS_KEY, "secret": wrong, "s3_client": client})

    with pytest.raises(AccessDeniedError, match="AWS_SECRET_ACCESS_KEY") as caught:
        store.put("log/1", b"x")

    assert wrong not in f"{caught.value!r} {store!r} {store.url}"


@pytest.mark.parametrize(
    "options",
    [
        {"no_such_option": 1},
        {"config_kwargs": {"no_such_option": 1}},
        {"client_kwargs": {"no_such_option": 1}},
        {"profile": "nobody"},
        {"endpoint_url": "not a url"},
    ],
)
def test_p13_options_that_s3fs_does_not_know_are_a_usage_error(options: dict[str, Any]) -> None:
    store = open_store("s3://bucket/replica", storage_options={"key": "k", "secret": SECRET_KEY, **options})

    with pytest.raises(UsageError) as caught:
        store.list()

    assert SECRET_KEY not in str(caught.value)


def test_p12_an_endpoint_with_user_info_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="user info") as caught:
        open_store("s3://bucket/r", storage_options={"endpoint_url": "http://user:hidden@127.0.0.1:1"})
    assert "hidden" not in str(caught.value)

    for name, value in environment("http://user:hidden@127.0.0.1:1").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="user info") as caught:
        open_store("s3://bucket/r").list()
    assert "hidden" not in str(caught.value)
