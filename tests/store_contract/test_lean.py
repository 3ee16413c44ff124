"""The lean S3 client: what is its own, and when s3fs takes over from it."""

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from confstream.errors import AccessDeniedError, ObjectMissingError, OutcomeUnknownError, UnavailableError
from confstream.store import Store, open_store
from confstream.store.fallback import CannotServeError, FallbackStore
from confstream.store.lean import LeanStore
from confstream.store.s3 import S3Store
from tests.proxy import CuttingProxy, error_body
from tests.servers import ACCESS_KEY, SECRET_KEY, S3Server, environment, wait_until

pytest.importorskip("obstore", reason="obstore is not installed")
pytestmark = pytest.mark.parametrize("client", ["lean"], indirect=True)


def _automatic(direct: Store, proxy: CuttingProxy) -> FallbackStore:
    store = open_store(direct.url, storage_options={"endpoint_url": proxy.endpoint}, timeout_seconds=5.0)
    assert isinstance(store, FallbackStore)
    assert isinstance(store.inner, LeanStore)
    return store


def test_deletes_look_at_each_outcome(proxied: Store, direct: Store, moto_proxy: CuttingProxy) -> None:
    for number in range(3):
        direct.put(f"log/{number}", b"x")
    moto_proxy.fail("status", method="DELETE", path="log/1", status=403, body=error_body("AccessDenied"), times=9)

    with pytest.raises(AccessDeniedError, match="cannot delete 3 objects"):
        proxied.delete(["log/0", "log/1", "log/2"])

    assert "log/1" in direct.list()


def test_deleting_goes_on_where_a_server_complains_of_what_is_not_there(
    proxied: Store, direct: Store, moto_proxy: CuttingProxy
) -> None:
    for number in range(3):
        direct.put(f"log/{number}", b"x")
    moto_proxy.fail("status", method="DELETE", path="log/9", status=404, body=error_body("NoSuchKey"), times=9)

    proxied.delete(["log/9", "log/0", "log/1", "log/2"])

    assert direct.list() == []


@pytest.mark.parametrize("code", ["PermanentRedirect", "AuthorizationHeaderMalformed"])
def test_s3fs_takes_over_where_the_bucket_is_in_another_region(
    direct: Store, moto_proxy: CuttingProxy, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = _automatic(direct, moto_proxy)
    status = 301 if code == "PermanentRedirect" else 400
    moto_proxy.fail("status", method="PUT", status=status, body=error_body(code))

    with caplog.at_level(logging.WARNING):
        store.put("log/1", b"mine")

    assert isinstance(store.inner, S3Store)
    assert "s3fs goes on from here" in caplog.text
    assert direct.get("log/1") == b"mine"


def test_p8_a_strange_name_in_the_bucket_does_not_hide_the_rest(
    direct: Store, moto_proxy: CuttingProxy, moto_server: S3Server
) -> None:
    store = _automatic(direct, moto_proxy)
    direct.put("log/1", b"x")
    bucket, _, prefix = direct.url.removeprefix("s3://").partition("/")
    moto_server.client.put_object(Bucket=bucket, Key=f"{prefix}/a/../b", Body=b"x")

    assert store.list() == ["log/1"]
    with pytest.raises(CannotServeError, match="a name that the lean client cannot read"):
        direct.list()


def test_what_the_lean_client_was_told_to_do_alone_says_what_is_wrong(proxied: Store, moto_proxy: CuttingProxy) -> None:
    moto_proxy.fail("status", method="PUT", status=301, body=error_body("PermanentRedirect"))

    with pytest.raises(AccessDeniedError, match="the bucket is in another region: set AWS_DEFAULT_REGION"):
        proxied.put("log/1", b"x")


def test_credentials_that_changed_in_the_environment_are_read_again_once(
    direct: Store, moto_proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _automatic(direct, moto_proxy)
    store.put("log/1", b"x")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "new")
    moto_proxy.reset()
    moto_proxy.fail("status", method="PUT", status=400, body=error_body("ExpiredToken"))

    store.put("log/2", b"x")

    keys = [seen.headers["authorization"].split("Credential=")[1].split("/")[0] for seen in moto_proxy.seen]
    assert keys == [ACCESS_KEY, "new"]
    assert direct.list() == ["log/1", "log/2"]


def test_credentials_that_did_not_change_are_not_tried_twice(proxied: Store, moto_proxy: CuttingProxy) -> None:
    moto_proxy.fail("status", method="PUT", status=400, body=error_body("ExpiredToken"), times=9)

    with pytest.raises(AccessDeniedError, match="ExpiredToken"):
        proxied.put("log/1", b"x")

    assert moto_proxy.counts == {"PUT": 1}


def test_s3fs_takes_over_where_credentials_moved_to_a_place_that_only_it_knows(
    direct: Store, moto_proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    store = _automatic(direct, moto_proxy)
    shared = f"{tmp_path}/credentials"
    with open(shared, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write("[default]\naws_access_key_id = new\naws_secret_access_key = new\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", shared)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    moto_proxy.fail("status", method="PUT", status=400, body=error_body("ExpiredToken"))

    store.put("log/1", b"x")

    assert isinstance(store.inner, S3Store)
    assert "Credential=new/" in moto_proxy.seen[-1].headers["authorization"]


def test_p12_no_secret_is_in_what_is_shown(proxied: Store, moto_proxy: CuttingProxy) -> None:
    moto_proxy.fail("status", method="GET", status=403, body=error_body("SignatureDoesNotMatch"), times=9)

    with pytest.raises(AccessDeniedError) as caught:
        proxied.get("log/1")

    assert SECRET_KEY not in f"{caught.value!r} {caught.value.__cause__!r} {proxied!r} {proxied._settings!r}"  # type: ignore[attr-defined]


def test_a_clock_that_is_off_is_told_by_how_much(proxied: Store, moto_proxy: CuttingProxy) -> None:
    moto_proxy.fail("status", method="PUT", status=403, body=error_body("RequestTimeTooSkewed"))

    with pytest.raises(
        AccessDeniedError, match=r"the clock of this machine is (less than a second|\d+ s) .* the server's"
    ):
        proxied.put("log/1", b"x")


def test_an_interrupt_is_heard_while_a_server_does_not_answer(
    proxied: Store, moto_proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    class HeardError(BaseException):
        pass

    def hear(_number: int, _frame: object) -> None:
        raise HeardError

    before = signal.signal(signal.SIGUSR1, hear)
    monkeypatch.setattr(proxied, "_timeout_seconds", 3.0)
    moto_proxy.fail("blackhole", method="GET", times=9)
    main = threading.main_thread().ident

    def interrupt() -> None:
        wait_until(lambda: bool(moto_proxy.seen), 3, "the request")
        signal.pthread_kill(main or 0, signal.SIGUSR1)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(HeardError):
            proxied.get("log/1")
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_process_that_was_forked_off_goes_on_with_s3fs(direct: Store) -> None:
    script = (
        "import os, sys\n"
        "from confstream.store import open_store\n"
        "store = open_store(sys.argv[1])\n"
        "store.put('log/1', b'parent')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try:\n"
        "        store.put('log/2', b'child')\n"
        "        os._exit(0 if type(store.inner).__name__ == 'S3Store' else 1)\n"
        "    except BaseException as error:\n"
        "        print(repr(error), file=sys.stderr)\n"
        "        os._exit(2)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )

    ended = subprocess.run([sys.executable, "-c", script, direct.url], timeout=60, capture_output=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert direct.list() == ["log/1", "log/2"]


def test_neither_fsspec_nor_what_it_needs_is_imported(direct: Store) -> None:
    script = (
        "import sys\n"
        "from confstream.store import open_store\n"
        "store = open_store(sys.argv[1])\n"
        "store.put('log/1', b'x'); store.get('log/1'); store.list(); store.delete(['log/1'])\n"
        "print(sorted({'fsspec', 's3fs', 'aiobotocore', 'botocore', 'aiohttp', 'asyncio'} & set(sys.modules)))\n"
    )

    shown = subprocess.run([sys.executable, "-c", script, direct.url], timeout=60, capture_output=True, check=True)

    assert shown.stdout.strip() == b"[]"


def test_a_panic_of_the_client_is_an_unknown_outcome(proxied: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    def panic(*_arguments: object, **_options: object) -> None:
        raise PanicException

    import obstore  # noqa: PLC0415

    monkeypatch.setattr(obstore, "put", panic)
    monkeypatch.setattr(obstore, "get", panic)

    with pytest.raises(OutcomeUnknownError, match="failed within itself"):
        proxied.put("log/1", b"x")
    with pytest.raises(UnavailableError, match="failed within itself"):
        proxied.get("log/1")


def test_a_server_that_pays_no_attention_to_a_range_is_read_all_the_same(
    rclone_s3: S3Server, use_s3: Callable[[S3Server], str], client: str
) -> None:
    store = open_store(use_s3(rclone_s3), storage_options={"s3_client": client})
    store.put("pack/p", b"0123456789")

    assert store.get("pack/p", 3, 4) == b"3456"
    with pytest.raises(ObjectMissingError):
        store.get("pack/q")


def test_the_bucket_is_part_of_the_host_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch, client: str) -> None:
    for name, value in environment("http://localhost:1").items():
        monkeypatch.setenv(name, value)
    options = {"config_kwargs": {"s3": {"addressing_style": "virtual"}}, "s3_client": client}
    store = open_store("s3://bucket/replica", storage_options=options)

    assert isinstance(store, LeanStore)
    assert store.endpoint == "http://bucket.localhost:1"
