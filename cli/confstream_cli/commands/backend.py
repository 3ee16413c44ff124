"""``confstream check-backend``: whether this storage can hold a log, and how that is known."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

from typing import Annotated

import confstream
from confstream_cli import findings, options, output

_WIDTH = len("list after write")

_Rounds = Annotated[int, options.option("--rounds", "How many races; on some servers each takes seconds.", "N")]
_Racers = Annotated[int, options.option("--racers", "How many create one key at once in a race.", "N")]


def check_backend(
    arguments: Annotated[list[str] | None, options.arguments("[REPLICA]")] = None,
    *,
    rounds: _Rounds = 3,
    racers: _Racers = 20,
    json: options.Json = False,
    storage_option: options.StorageOption = None,
    s3_client: options.S3Client = None,
    config: options.Config = None,
    stream: options.Stream = None,
    timeout: options.Timeout = options.TIMEOUT,
) -> None:
    """Prove that storage can hold a replica.

    Creates, races, breaks connections, reads back, under a fresh prefix that is removed again. Ends with 0 if the
    storage is fit, 13 if it cannot keep two writers apart, 16 if it cannot be reached or refuses.
    """
    replica, _ = options.replica_and_rest(arguments, config=config, stream=stream)
    page = output.Page()

    def tell(check: confstream.Check) -> None:
        if not json:
            findings.show(page, check, _WIDTH)

    with findings.interruptible():
        report = confstream.check_backend(
            replica,
            storage_options=options.storage_of(replica, storage_option, s3_client),
            timeout_seconds=options.seconds("--timeout", timeout),
            rounds=rounds,
            racers=racers,
            tell=tell,
        )
    if json:
        page.json(report.as_json())
    elif report.fit:
        page.line(page.paint(f"{output.clean(report.url)} is fit to hold a replica", "green"))
    if report.error is not None:
        raise report.error
