"""How much trouble to take over packs: what time and memory may be spent for the size. Pure."""

from confstream.codec.frames import WINDOW_LOG_MAX, Effort
from confstream.codec.objects import PACKING
from confstream.values import dataclass

TAIL = 50
"""The newest revisions, which always stay objects of their own."""

CONTENTS_SIZE_MAX = 1 << 26
"""A pack ends early before its contents outgrow what a small machine can hold of them."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How packs are made.

    No pack holds more than *contents_size_max* bytes, but for a single revision
    that does. The newest pack may end up to *slack* revisions earlier, or a fifth of that later, at a snapshot that is
    there: that saves another one.
    """

    effort: Effort = PACKING
    contents_size_max: int = CONTENTS_SIZE_MAX
    slack: int = 0


THOROUGHLY = Manner(Effort(16, WINDOW_LOG_MAX))
"""As somebody wants it who asks for a compaction: ten times the time for a few hundredths of the size."""

IN_PASSING = Manner(Effort(6, 23), contents_size_max=12 << 20, slack=TAIL)
"""As a writer does it beside its work, in a small container (P14)."""
