"""Counts what a tree does not hold: each path once, when it begins to be left out, by why."""

from collections.abc import Collection, Mapping

from confstream.meter import Meter
from confstream.scan import read

REASONS = ("special", "database", "excluded", "too_large", "unreadable", "unstable")
"""Why a path is left out; the last one only for now, and so every time."""

_DATABASES = {read.DATABASE, read.COMPANION}


class LeftOut:
    """Feeds ``skipped_files_total``."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._known: dict[str, set[bytes]] = {}
        self._excluded = 0

    def note(
        self,
        *,
        unreadable: Mapping[bytes, str],
        too_large: Collection[bytes],
        skipped: Mapping[bytes, str],
        excluded: int,
        unstable: Collection[bytes] = (),
    ) -> None:
        """Take note of what a look at the directory left out."""
        databases = {path for path, why in skipped.items() if why in _DATABASES}
        now = {
            "special": skipped.keys() - databases,
            "database": databases,
            "too_large": set(too_large),
            "unreadable": unreadable.keys() - set(too_large),
        }
        for reason, paths in now.items():
            self._count(reason, len(paths - self._known.get(reason, set())))
            self._known[reason] = paths
        self._count("excluded", excluded - self._excluded)
        self._excluded = excluded
        self._count("unstable", len(unstable))

    def _count(self, reason: str, more: int) -> None:
        if more > 0:
            self._meter.count("skipped_files_total", more, reason=reason)
