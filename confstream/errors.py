"""Every exception confstream raises, grouped by what a caller can do about it.

    ConfstreamError                    exit code 1
    ├── UsageError                     2   change the call or the configuration
    ├── PartialError                   3   some files could not be read or written: mend them, run again
    ├── RefusedError                   4   local data would be lost: look, then --force
    ├── NotFoundError                  5   pick another revision, time, tag or path
    ├── NoReplicaError                10   start empty, or correct the URL
    ├── FencedError                   11   stop: another writer owns the log
    ├── DivergedError                 12   tree and log went different ways: decide which one counts
    ├── NoExclusiveCreateError        13   use another backend, or accept a single writer
    ├── IntegrityError                14   restore an earlier point, then report
    ├── StaleError                    15   look at the writer: it is late or unhealthy
    └── UnavailableError              16   try again later
        ├── AccessDeniedError         16   correct the credentials, the bucket or its policy
        └── OutcomeUnknownError       16   read back before doing anything else

``ObjectExistsError`` and ``ObjectMissingError`` are answers of a store, and
never leave the library: the log turns them into one of the above.
"""


class ConfstreamError(Exception):
    """The base of every error that confstream raises on purpose."""


class UsageError(ConfstreamError):
    """A call, option, path, time or configuration that cannot be meant."""


class PartialError(ConfstreamError):
    """The work was done except for the files that the message names."""


class RefusedError(ConfstreamError):
    """Going on would change or delete local data that nobody asked to lose (P1)."""


class NotFoundError(ConfstreamError):
    """The replica is readable, but has no such revision, time, tag or path."""


class NoReplicaError(ConfstreamError):
    """The storage answered, and there is provably no replica under the prefix."""


class FencedError(ConfstreamError):
    """A writer with a higher epoch published: this one must stop (P5)."""


class DivergedError(ConfstreamError):
    """The tree and the log both changed since they last agreed."""


class NoExclusiveCreateError(ConfstreamError):
    """The backend overwrites where it should refuse, so writers cannot be fenced."""


class IntegrityError(ConfstreamError):
    """An object is missing, damaged, or not what the log says it is (P8, P9)."""


class StaleError(ConfstreamError):
    """The last sign of life of a writer is older than allowed (P7)."""


class UnavailableError(ConfstreamError):
    """The storage did not answer; whatever was asked has not happened, or is only a read."""


class AccessDeniedError(UnavailableError):
    """The storage refused: waiting will not help, other credentials or another bucket will."""


class OutcomeUnknownError(UnavailableError):
    """A write was sent and no answer came: it may have been applied, now or later."""


class ObjectExistsError(ConfstreamError):
    """A store's answer to an exclusive create of a key that is taken."""


class ObjectMissingError(ConfstreamError):
    """A store's answer to a read of a key that is not there."""
