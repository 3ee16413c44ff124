"""Every kind of store, made empty, for the tests that hold for all of them."""

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from confstream.store import MeteredStore, RetryingStore, Store, open_store
from confstream.store.fsspec import FsspecStore
from confstream.store.local import LocalStore
from confstream.testing import FaultyStore, ManualClock, MemoryStore
from tests.proxy import CuttingProxy
from tests.servers import S3Server

KINDS = ["memory", "local", "faulty", "retrying", "metered", "fsspec-memory", "moto", "seaweed"]


@pytest.fixture
def make_store(
    tmp_path: Path, request: pytest.FixtureRequest, use_s3: Callable[[S3Server], str]
) -> Callable[[str], Store]:
    """Give a function that makes an empty store of a kind."""

    def make(kind: str) -> Store:
        simple: dict[str, Callable[[], Store]] = {
            "memory": MemoryStore,
            "local": lambda: LocalStore(tmp_path / "replica"),
            "faulty": lambda: FaultyStore(MemoryStore()),
            "retrying": lambda: RetryingStore(MemoryStore(), ManualClock()),
            "metered": lambda: MeteredStore(MemoryStore()),
        }
        if kind in simple:
            return simple[kind]()
        if kind == "fsspec-memory":
            fsspec = pytest.importorskip("fsspec")
            root = f"/{secrets.token_hex(8)}/replica"
            return FsspecStore(fsspec.filesystem("memory", skip_instance_cache=True), root, url=f"memory:/{root}")
        server = request.getfixturevalue("moto_server" if kind == "moto" else kind)
        return open_store(use_s3(server), storage_options=server.quick_options)

    return make


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    """Give an empty store of each kind."""
    return make_store(request.param)


@pytest.fixture(params=["memory", "local", "seaweed"])
def big_store(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    """Give an empty store of the kinds that can be filled quickly."""
    return make_store(request.param)


@pytest.fixture
def direct(moto_server: S3Server, use_s3: Callable[[S3Server], str]) -> Store:
    """Give a store that reaches moto without the proxy."""
    return open_store(use_s3(moto_server), storage_options=moto_server.quick_options)


@pytest.fixture
def proxied(direct: Store, moto_proxy: CuttingProxy, moto_server: S3Server) -> Store:
    """Give a store of the same replica through the proxy, connected, with nothing counted yet."""
    options = {**moto_server.quick_options, "endpoint_url": moto_proxy.endpoint}
    store = open_store(direct.url, storage_options=options, timeout_seconds=3.0)
    store.list("nothing/")
    moto_proxy.reset()
    return store
