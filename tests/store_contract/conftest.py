"""Every kind of store, made empty, for the tests that hold for all of them."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confstream.store import MeteredStore, RetryingStore, Store, open_store
from confstream.store.fsspec import FsspecStore
from confstream.store.local import LocalStore
from confstream.testing import FaultyStore, ManualClock, MemoryStore
from tests.proxy import CuttingProxy
from tests.servers import S3Server

KINDS = [
    "memory",
    "local",
    "faulty",
    "retrying",
    "metered",
    "fsspec-memory",
    "moto",
    "seaweed",
    "lean-moto",
    "lean-seaweed",
]


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
        name = kind.removeprefix("lean-")
        server: S3Server = request.getfixturevalue("moto_server" if name == "moto" else name)
        return open_store(use_s3(server), storage_options=options_for(server, "s3fs" if kind == name else "lean"))

    return make


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    """Give an empty store of each kind."""
    return make_store(request.param)


@pytest.fixture(params=["memory", "local", "seaweed", "lean-seaweed"])
def big_store(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    """Give an empty store of the kinds that can be filled quickly."""
    return make_store(request.param)


@pytest.fixture(params=["s3fs", "lean"])
def client(request: pytest.FixtureRequest) -> str:
    """Give the name of each client of S3."""
    if request.param == "lean":
        pytest.importorskip("obstore", reason="obstore is not installed")
    return str(request.param)


@pytest.fixture
def direct(moto_server: S3Server, use_s3: Callable[[S3Server], str], client: str) -> Store:
    """Give a store that reaches moto without the proxy."""
    return open_store(use_s3(moto_server), storage_options=options_for(moto_server, client))


@pytest.fixture
def proxied(direct: Store, moto_proxy: CuttingProxy, moto_server: S3Server, client: str) -> Store:
    """Give a store of the same replica through the proxy, connected, with nothing counted yet."""
    options = {**options_for(moto_server, client), "endpoint_url": moto_proxy.endpoint}
    store = open_store(direct.url, storage_options=options, timeout_seconds=3.0)
    store.list("nothing/")
    moto_proxy.reset()
    return store


def options_for(server: S3Server, client: str) -> dict[str, Any]:
    """Return the options with which *client* reaches *server*."""
    options = server.storage_options if client == "lean" else server.quick_options
    return {**options, "s3_client": client}
