"""What a watcher tells, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from confstream.settle import Mark


class WatchLimitError(Exception):
    """Inotify cannot be used, or not any more, for the reason given. Internal: the watcher polls instead."""


@dataclass(frozen=True, slots=True)
class Events:
    """What happened since the last wait.

    *changed* has one mark for each path, the one that counts, in the order in
    which they changed first. *moved* has pairs of old and new name, both in
    *changed* too; a renamed directory stands for what it holds under its old
    name, and is followed by all of it under the new. *overflow*: events were
    lost, so scan everything, and trust no close. *rescan*: it is time for a
    scan. *root_lost*: the directory was moved, deleted or unmounted.
    """

    changed: Mapping[bytes, Mark] = field(default_factory=dict)
    moved: tuple[tuple[bytes, bytes], ...] = ()
    overflow: bool = False
    rescan: bool = False
    root_lost: bool = False

    def __bool__(self) -> bool:
        return bool(self.changed) or self.overflow or self.rescan or self.root_lost
