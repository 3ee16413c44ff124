"""Ways to break confstream on purpose, each of which a crash or a power cut has to bring to light.

Each function changes the running process for good; ``VARIANTS`` says where it is found.
"""

# The calls of os themselves, on paths of bytes.
# ruff: noqa: PTH115, PTH118, PTH120, PTH123

import importlib
import os
import stat
from collections.abc import Callable, Sequence
from typing import Any

from confstream import durable, layout
from confstream.checkout.state import MARKER
from confstream.compactor import packing
from confstream.store import Store

VARIANTS = {
    "no_directory_sync": ("power", "tag", 0),
    "no_content_sync": ("power", "tag", 0),
    "rename_before_sync": ("power", "restore-missing", 120),
    "journal_not_synced": ("power", "journal", 200),
    "time_after_sync": ("power", "journal", 500),
    "marker_removed_first": ("crashes", "restore-older", 60),
    "restore_not_staged": ("crashes", "restore-missing", 60),
    "delete_before_pack": ("crashes", "compact", 0),
}
"""For each: the part and scenario that find it, and in how many points at most."""


def no_directory_sync() -> None:
    """Never sync the names in a directory."""
    durable.sync_directory = lambda descriptor: None  # noqa: ARG005


def no_content_sync() -> None:
    """Never sync the content of a file."""
    durable.sync = _skipping(lambda descriptor, _: stat.S_ISREG(os.fstat(descriptor).st_mode))


def journal_not_synced() -> None:
    """Never sync the journal's log."""
    durable.sync = _skipping(lambda _, content_only: content_only)


def rename_before_sync() -> None:
    """Give a new file its name first, and sync it then."""

    def replace(directory: int, name: bytes, content: bytes, *arguments: Any, maker: str = "", **options: Any) -> None:
        temporary, sync = durable.temporary_name(maker), durable.sync
        durable.sync = lambda _descriptor, **_: None
        durable.create(directory, temporary, content, *arguments, **options)
        durable.sync = sync
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        durable.sync_directory(directory)
        descriptor = os.open(name, os.O_RDONLY, dir_fd=directory)
        durable.sync(descriptor)
        os.close(descriptor)

    durable.replace = replace


def time_after_sync() -> None:
    """Set the time of a new file after it was synced."""
    create = durable.create

    def creating(directory: int, name: bytes, *arguments: Any, mtime_ns: int | None = None, **options: Any) -> None:
        create(directory, name, *arguments, **options)
        if mtime_ns is not None:
            os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=directory)

    durable.create = creating


def marker_removed_first() -> None:
    """Call a restore finished before it has switched anything."""
    switch = importlib.import_module("confstream.checkout.finish")._Switch
    begin, end = switch._open_directories, switch._close_directories

    def beginning(self: Any, *arguments: Any) -> None:
        os.unlink(MARKER, dir_fd=self._state)
        begin(self, *arguments)

    def ending(self: Any, *arguments: Any) -> None:
        end(self, *arguments)
        # There is one more removal to come.
        os.close(os.open(MARKER, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=self._state))

    switch._open_directories, switch._close_directories = beginning, ending


def restore_not_staged() -> None:
    """Write contents straight to their places while they come."""
    stage: Any = importlib.import_module("confstream.checkout.stage")
    fill = stage._fill

    def filling(staging: int, actions: Sequence[Any], content: Callable[[bytes], bytes], *rest: Any) -> Any:
        root = os.path.dirname(os.path.dirname(os.readlink(f"/proc/self/fd/{staging}")))
        for action in actions:
            if action.verb in stage._FILLED and b"/" not in action.path:
                with open(os.path.join(os.fsencode(root), action.path), "wb") as file:
                    file.write(content(action.entry.hash))
        return fill(staging, actions, content, *rest)

    stage._fill = filling
    stage._check_again = lambda *_: None


def delete_before_pack() -> None:
    """Delete what a pack is to cover before the pack is there."""
    create = packing._create

    def creating(store: Store, key: str, body: bytes) -> bool:
        if key.startswith("pack/"):
            first, last = (int(number) for number in key.removeprefix("pack/").split("-"))
            store.delete([layout.log_key(number) for number in range(first, last + 1)])
        return create(store, key, body)

    packing._create = creating


def _skipping(skip: Callable[[int, bool], bool]) -> Callable[..., None]:
    sync = durable.sync

    def syncing(descriptor: int, *, content_only: bool = False) -> None:
        if not skip(descriptor, content_only):
            sync(descriptor, content_only=content_only)

    return syncing
