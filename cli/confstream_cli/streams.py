"""From arguments, options and the configuration file to streams: directories with their replicas."""

from __future__ import annotations  # The library's types are named here, and imported where they are used.

from pathlib import Path

import confstream
from confstream_cli import options


def chosen(
    arguments: list[str], config: str | None, stream: str | None, *, last: bool = False
) -> tuple[list[confstream.Stream], confstream.Settings | None]:
    """Return the streams that are meant, and the file that names them.

    They are all of the file's, or the one called *stream*; without a file the
    one that *arguments* make: a tree and its replica, which stands behind with *last*.
    """
    settings = options.load(config, stream)
    if settings is None:
        replica, (tree,) = options.replica_and_rest(arguments, "TREE", required=1, last=last)
        return [confstream.Stream(Path(tree).absolute().name, tree, replica)], None
    if arguments:
        raise confstream.UsageError(
            f"{arguments[0]!r} is one argument too many: tree and replica are those of the configuration file {config}"
        )
    return ([settings.stream(stream)] if stream is not None else list(settings.streams.values())), settings


def address(stream: confstream.Stream) -> options.Address:
    """Return where the replica of *stream* is."""
    return options.Address(stream.replica, stream.backend_options())


def only(streams: list[confstream.Stream], what: str) -> confstream.Stream:
    """Return the only one of *streams*; ``UsageError`` says that *what* is for one."""
    if len(streams) != 1:
        names = ", ".join(stream.name for stream in streams)
        raise confstream.UsageError(f"{what} is for one stream; name it with --stream: {names}")
    return streams[0]
