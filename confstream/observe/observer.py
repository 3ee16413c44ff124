"""Everything that tells of streams from a running process, begun and ended together."""

import contextlib
from collections.abc import Iterator, Sequence

from confstream.clock import Clock, SystemClock
from confstream.meter import Meter
from confstream.observe.metrics import Observed


@contextlib.contextmanager
def observing(
    streams: Sequence[Observed],
    *,
    listen: str = "",
    ping_url: str = "",
    once: bool = False,
    clock: Clock | None = None,
) -> Iterator[None]:
    """Tell how *streams* are, while the block runs: on the address *listen*, and to the switch at *ping_url*.

    With *once* the block is one short job: nobody listens, and the switch is
    told how it ended. Raise ``UsageError`` for an address or URL that cannot be
    meant, and for an address that is taken.
    """
    process = Meter()
    with contextlib.ExitStack() as stack:
        # Nobody pays for a server or a client who has neither.
        if listen and not once:
            from confstream.observe.address import parse  # noqa: PLC0415
            from confstream.observe.server import HealthServer  # noqa: PLC0415

            stack.enter_context(HealthServer(parse(listen), lambda: streams, process))
        if ping_url:
            from confstream.observe.ping import Pinger, PingUrl  # noqa: PLC0415

            pinger = Pinger(PingUrl(ping_url), lambda: streams, process, clock or SystemClock())
            stack.enter_context(pinger.running(once=once))
        yield
