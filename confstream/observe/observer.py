"""Everything that tells of streams from a running process, begun and ended together."""

import contextlib
from collections.abc import Iterator, Sequence

from confstream.meter import Meter
from confstream.observe.metrics import Observed


@contextlib.contextmanager
def observing(streams: Sequence[Observed], *, listen: str = "") -> Iterator[None]:
    """Tell how *streams* are, while the block runs: on the address *listen*, if one is given.

    Raise ``UsageError`` for an address that cannot be meant or is taken.
    """
    process = Meter()
    with contextlib.ExitStack() as stack:
        if listen:
            # Nobody pays for a server who does not listen.
            from confstream.observe.address import parse  # noqa: PLC0415
            from confstream.observe.server import HealthServer  # noqa: PLC0415

            stack.enter_context(HealthServer(parse(listen), lambda: streams, process))
        yield
