"""The engine behind ``replicate``: protect a directory that other programs write."""

from confstream.replicator.engine import Replicator
from confstream.replicator.options import SCAN_SECONDS, SHUTDOWN_SECONDS, ReplicateOptions, ReplicateReport

__all__ = ["SCAN_SECONDS", "SHUTDOWN_SECONDS", "ReplicateOptions", "ReplicateReport", "Replicator"]
