"""Disk to tree: what is there, and what it holds.

Never follows a symlink, never ends over one bad file (P6): what cannot be
read is told, with its reason. A file counts as read only if nothing happened
to it between before and after. A mounted ConfigMap is what it is on the disk:
the links that an application reads through, ``..data``, and the directory of
the version that it leads to; each swap is one revision.
"""

from confstream.scan.read import (
    COMPANION,
    DATABASE,
    FILE_SIZE_MAX,
    DatabaseError,
    Loaded,
    TooLargeError,
    UnstableError,
    holds_database,
    load,
    read_entry,
)
from confstream.scan.survey import (
    STATE_NAME,
    RootGoneError,
    Selection,
    Survey,
    identity,
    stamp,
    stamp_of_root,
    stamps,
    survey,
    tracks_databases,
)
from confstream.stamp import Stamp

__all__ = [
    "COMPANION",
    "DATABASE",
    "FILE_SIZE_MAX",
    "STATE_NAME",
    "DatabaseError",
    "Loaded",
    "RootGoneError",
    "Selection",
    "Stamp",
    "Survey",
    "TooLargeError",
    "UnstableError",
    "holds_database",
    "identity",
    "load",
    "read_entry",
    "stamp",
    "stamp_of_root",
    "stamps",
    "survey",
    "tracks_databases",
]
