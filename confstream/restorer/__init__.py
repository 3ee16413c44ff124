"""The engine of ``confstream restore``: from a replica to a directory, all or nothing.

The disk wins (P1), a present configuration costs nothing (P2), a restore that
was interrupted is finished first (P3), and what was chosen is always said (P8).
"""

from confstream.restorer.options import RestoreOptions, RestoreReport, Skipped
from confstream.restorer.run import read_one, restore

__all__ = ["RestoreOptions", "RestoreReport", "Skipped", "read_one", "restore"]
