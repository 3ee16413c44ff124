"""What a restore may do: DESIGN's table as a function of what was found and what was asked for.

Pure. The disk wins (P1): only ``FILL`` happens without being asked for, and
it changes nothing that holds something.
"""

from enum import StrEnum


class Standing(StrEnum):
    """What the tree is, beside the target and the history."""

    UNFINISHED = "the restore before this one did not end"
    MISSING = "no tracked file holds anything"
    GUTTED = "a guard is missing, other files are present"
    EQUAL = "equals the target"
    OLDER = "an unmodified revision older than the target"
    NEWER = "an unmodified revision newer than the target"
    UNKNOWN = "not in the history"


class Replica(StrEnum):
    """What can be said about the replica."""

    REVISIONS = "has revisions"
    ABSENT = "provably not there, or without a revision"
    UNREACHABLE = "unreachable or denied"


class Step(StrEnum):
    """What is to be done."""

    FINISH = "finish"
    PRESENT = "leave, it is present"
    NOTHING = "nothing to do"
    FILL = "fill in what is absent or blank"
    UPDATE = "update the unmodified tree"
    OVERWRITE = "record, then replace"
    REFUSE = "refuse"
    FIRST_START = "begin without a replica"
    NO_REPLICA = "fail: there is no replica"
    UNAVAILABLE = "fail: the replica cannot be asked"


_GONE = {Standing.MISSING, Standing.GUTTED}


def decide(  # noqa: PLR0911 - one for each row of the table
    standing: Standing,
    replica: Replica,
    *,
    if_missing: bool = False,
    if_replica_exists: bool = False,
    force: bool = False,
    fast_forward: bool = False,
) -> Step:
    """Return what to do with a tree of *standing*, given what the *replica* has and which options were given.

    With *if_missing*, a tree that is present never fails a start, whatever the
    replica does.
    """
    if standing is Standing.UNFINISHED:
        return Step.FINISH
    if if_missing and standing not in _GONE:
        updates = fast_forward and standing is Standing.OLDER and replica is Replica.REVISIONS
        return Step.UPDATE if updates else Step.PRESENT
    if replica is Replica.UNREACHABLE:
        return Step.UNAVAILABLE
    if replica is Replica.ABSENT:
        return Step.FIRST_START if if_replica_exists else Step.NO_REPLICA
    if standing is Standing.EQUAL:
        return Step.NOTHING
    if standing is Standing.MISSING:
        return Step.FILL
    if force:
        return Step.OVERWRITE
    if standing is Standing.GUTTED and if_missing:
        return Step.FILL
    if standing is Standing.OLDER and fast_forward:
        return Step.UPDATE
    return Step.REFUSE
