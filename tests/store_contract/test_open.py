"""From URLs and options to stores, and what of them may be shown."""

import os
import secrets
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confstream.errors import (
    NoExclusiveCreateError,
    ObjectExistsError,
    OutcomeUnknownError,
    UnavailableError,
    UsageError,
)
from confstream.store import MeteredStore, mask_url, open_store, parse_storage_options, prove_exclusive_create
from confstream.store.fsspec import FsspecStore
from confstream.store.local import LocalStore
from confstream.store.memory import MemoryStore
from confstream.store.s3 import S3Store
from tests.servers import free_port


def test_each_kind_of_url_opens_its_store(tmp_path: Path) -> None:
    assert isinstance(open_store(str(tmp_path)), LocalStore)
    assert isinstance(open_store(f"file://{tmp_path}"), LocalStore)
    assert isinstance(open_store(f"file://localhost{tmp_path}"), LocalStore)
    assert isinstance(open_store("relative/path"), LocalStore)
    assert isinstance(open_store("memory://name/prefix"), MemoryStore)
    assert isinstance(open_store("s3://bucket/prefix"), S3Store)
    assert isinstance(open_store("S3A://bucket"), S3Store)
    assert isinstance(open_store(f"dir::file://{tmp_path}", storage_options={"path": str(tmp_path)}), FsspecStore)


def test_what_a_store_calls_itself_opens_the_same_store(tmp_path: Path) -> None:
    for url in (str(tmp_path), "memory://name/prefix", "s3://bucket/pre/fix", "s3://bucket"):
        assert open_store(open_store(url).url).url == open_store(url).url == url


def test_an_access_point_is_a_bucket() -> None:
    arn = "arn:aws:s3:eu-central-1:123456789012:accesspoint/configs"

    assert open_store(f"s3://{arn}/frigate").url == f"s3://{arn}/frigate"
    assert open_store(f"s3://{arn}").url == f"s3://{arn}"


def test_two_stores_of_one_memory_url_see_the_same_objects() -> None:
    first, second, above = open_store("memory://a/b"), open_store("memory://a/b"), open_store("memory://a")

    first.put("log/1", b"x")

    with pytest.raises(ObjectExistsError):
        second.put("log/1", b"y")
    assert above.list() == ["b/log/1"]
    assert open_store("memory://other").list() == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "expected a directory or a URL"),
        ("  ", "expected a directory or a URL"),
        ("s3://bucket/prefix\n", "line break.*correct CONFSTREAM_REPLICA"),
        (" s3://id:hidden@bucket/prefix", r"\*\*\*@bucket/prefix' begins or ends"),
        ("/some/place ", "line break"),
        ("s3:backups/frigate", "write s3://backups/frigate, or begin the path of a directory with"),
        ("s3:/backups/frigate", "write s3://backups/frigate"),
        ("remote-2:id:hidden@host/p", r"write remote-2://\*\*\*@host/p"),
        ("nosuch://host/path", "knows no protocol 'nosuch'"),
        ("file://otherhost/path", "another host"),
        ("memory://", "needs a name"),
        ("s3://", "not a bucket"),
        ("s3:///key", "not a bucket"),
        ("s3://id:hidden@bucket/prefix", r"\*\*\*@bucket"),
        ("s3://id:hid/den@bucket/prefix", r"\*\*\*@bucket"),
        ("s3://bucket/prefix?versionId=1", "expected s3://bucket/prefix"),
        ("s3://bucket/a//b", "the prefix has the part ''"),
        ("s3://bucket/../b", r"the prefix has the part '\.\.'"),
    ],
)
def test_p13_a_url_that_cannot_be_meant_is_a_usage_error(url: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        open_store(url)

    assert "hid" not in str(caught.value)


def test_p13_a_missing_package_is_named_with_the_way_to_install_it() -> None:
    with pytest.raises(UsageError, match="gcsfs") as caught:
        open_store("gs://bucket/prefix")

    assert "nstall" in str(caught.value)


def test_p13_options_that_a_backend_does_not_take_are_a_usage_error(tmp_path: Path) -> None:
    for url in (str(tmp_path), "memory://name"):
        with pytest.raises(UsageError, match="takes no storage options; found endpoint_url"):
            open_store(url, storage_options={"endpoint_url": "http://127.0.0.1:1"})


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("/plain/path", "/plain/path"),
        ("s3://bucket/prefix@v1", "s3://bucket/prefix@v1"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("sftp://me@host/path", "sftp://***@host/path"),
        ("sftp://me:hidden@host:22/path", "sftp://***@host:22/path"),
        ("s3://id:hid/den@bucket/prefix", "s3://***@bucket/prefix"),
        ("simplecache::ftp://me:hidden@host/p", "simplecache::ftp://***@host/p"),
        ("https://host/p?X-Amz-Signature=hidden&page=2", "https://host/p?X-Amz-Signature=***&page=2"),
        ("https://host/p?user=me&access_token=hidden#top", "https://host/p?user=me&access_token=***#top"),
        ("az://c/p?sig=hidden;account_key=hidden", "az://c/p?sig=***;account_key=***"),
    ],
)
def test_p12_a_shown_url_has_no_secrets_and_all_the_rest(url: str, masked: str) -> None:
    assert mask_url(url) == masked


@given(password=st.text("abcXYZ019:@/!$%+=", min_size=1).map(lambda text: f"hidden{text}hidden"))
def test_p12_no_password_survives_masking(password: str) -> None:
    assert "hidden" not in mask_url(f"sftp://user:{password}@host/path")


def test_storage_options_are_json_where_they_can_be_and_nest_by_dots() -> None:
    assert parse_storage_options(
        ["anon=true", "key=007", "token=1e5", "port=9000", "tags=[1, 2]", "endpoint_url=http://h:1/?a=b", "empty=",
         "client_kwargs.region_name=eu-1", "client_kwargs.verify=false", 'config_kwargs={"x": 1}', 'text="12"']
    ) == {
        "anon": True,
        "key": "007",
        "token": "1e5",
        "port": 9000,
        "tags": [1, 2],
        "endpoint_url": "http://h:1/?a=b",
        "empty": "",
        "client_kwargs": {"region_name": "eu-1", "verify": False},
        "config_kwargs": {"x": 1},
        "text": "12",
    }  # fmt: skip


@pytest.mark.parametrize(
    "options", [["hidden"], ["=hidden"], ["a..b=hidden"], ["a b=hidden"], ["a=1", "a=hidden"], ["a=1", "a.b=hidden"]]
)
def test_p13_p12_a_storage_option_without_a_shape_is_refused_and_its_value_not_shown(options: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_storage_options(options)

    assert "hidden" not in str(caught.value) or options == ["hidden"]


def test_p2_opening_a_local_path_imports_no_storage_client(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from confstream.store import open_store\n"
        "store = open_store(sys.argv[1]); store.put('log/1', b'x'); store.list()\n"
        "heavy = {'fsspec', 's3fs', 'botocore', 'aiohttp', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "replica")],
        check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def fsspec_store(root: str, fs: Any = None, **options: Any) -> FsspecStore:
    import fsspec  # noqa: PLC0415

    return FsspecStore(fs or fsspec.filesystem("memory"), root, url="test://replica", **options)


def test_p5_a_backend_that_looks_before_it_writes_is_refused_without_a_race(tmp_path: Path) -> None:
    store = open_store(f"dir::file://{tmp_path}", storage_options={"path": str(tmp_path)})

    with pytest.raises(NoExclusiveCreateError, match="two writers can pass between"):
        prove_exclusive_create(MeteredStore(store))


def test_p5_a_wrapper_that_drops_the_condition_is_found_out(tmp_path: Path) -> None:
    import fsspec  # noqa: PLC0415

    memory = fsspec.filesystem("memory")
    cached = fsspec.filesystem("simplecache", fs=memory, cache_storage=str(tmp_path), skip_instance_cache=True)

    with pytest.raises(NoExclusiveCreateError):
        prove_exclusive_create(fsspec_store("/cached/replica", cached))


class Remembering:
    """A file system in memory that answers a listing from what it remembers, as most backends of fsspec can."""

    def __init__(self) -> None:
        import fsspec  # noqa: PLC0415

        self._inner = fsspec.filesystem("memory")
        self._remembered: dict[str, Any] = {}

    def invalidate_cache(self) -> None:
        self._remembered.clear()

    def ls(self, path: str, **options: Any) -> Any:
        if path not in self._remembered:
            self._remembered[path] = self._inner.ls(path, **options)
        return self._remembered[path]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_p5_what_a_file_system_remembers_of_a_listing_is_never_believed() -> None:
    root = f"/remembered-{secrets.token_hex(8)}"
    store, other = fsspec_store(root, Remembering()), fsspec_store(root, Remembering())
    other.put("log/1", b"x")
    assert store.list() == ["log/1"]

    other.put("log/2", b"x")
    assert store.list() == ["log/1", "log/2"]
    other.delete(["log/1"])
    assert store.list() == ["log/2"]


class Backend:
    """An fsspec file system of which every call raises."""

    protocol = "gs"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def invalidate_cache(self) -> None:
        return

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("async_impl", "asynchronous"):
            raise AttributeError(name)

        def call(*_args: object, **_kwargs: object) -> None:
            raise self.error

        return call


@pytest.mark.parametrize(
    ("error", "to_put", "to_get"),
    [
        (PermissionError("no"), "AccessDeniedError", "AccessDeniedError"),
        (ConnectionRefusedError("no"), "UnavailableError", "UnavailableError"),
        (TimeoutError(), "OutcomeUnknownError", "UnavailableError"),
        (OSError(22, "odd"), "OutcomeUnknownError", "UnavailableError"),
        (RuntimeError("odd"), "OutcomeUnknownError", "UnavailableError"),
        (NotImplementedError("no"), "NoExclusiveCreateError", "UnavailableError"),
        (FileExistsError(), "ObjectExistsError", "UnavailableError"),
    ],
)
def test_p7_whatever_a_backend_raises_becomes_one_of_ours(error: Exception, to_put: str, to_get: str) -> None:
    store = fsspec_store("/x", Backend(error), secrets=("hidden",))
    found = []

    for call in (lambda: store.put("log/1", b"x"), lambda: store.get("log/1"), store.list):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is what is tested.
            call()
        found.append(type(caught.value).__name__)

    assert found == [to_put, to_get, to_get]


def test_p8_a_missing_bucket_of_any_backend_is_not_an_empty_replica() -> None:
    store = fsspec_store("bucket/replica", Backend(FileNotFoundError("bucket")))

    with pytest.raises(UnavailableError, match="there is no bucket 'bucket'"):
        store.list()


def test_p12_what_a_backend_quotes_is_scrubbed_of_secrets() -> None:
    store = fsspec_store("/x", Backend(OSError("cannot log in as me:hidden@host")), secrets=("hidden",))

    with pytest.raises(UnavailableError, match=r"me:\*\*\*@host"):
        store.get("log/1")


def test_a_backend_that_hangs_is_given_up_at_the_deadline() -> None:
    release = threading.Event()

    class Hanging(Backend):
        def pipe_file(self, *_args: object, **_kwargs: object) -> None:
            release.wait(30)

    store = fsspec_store("/x", Hanging(OSError()), timeout_seconds=0.05)

    with pytest.raises(OutcomeUnknownError, match="no answer within"):
        store.put("log/1", b"x")
    release.set()


def test_a_file_system_that_cannot_connect_as_it_is_made_is_out_of_reach_and_no_mistake() -> None:
    with pytest.raises(UnavailableError, match=r"ftp://127.0.0.1:\d+/x: cannot be reached: Connection refused"):
        open_store(f"ftp://127.0.0.1:{free_port()}/x")


@pytest.mark.parametrize(
    "url", ["s3://bucket/x\n", " s3://bucket/x", "/backup\n", "s3://bucket/x\ny", "memory://x\r\n"]
)
def test_a_url_with_a_line_break_is_another_place_and_refused(url: str) -> None:
    with pytest.raises(UsageError, match="a blank or a line break"):
        open_store(url)
