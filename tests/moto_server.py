"""moto's server, which changes one thing at a time.

Left alone it looks whether a key is there, and writes afterwards: of two that
create it at once both may win, which no test of ours is about. Its arguments
are moto's own.
"""

import io
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto import server
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

_CHANGING = threading.Lock()


class OneChangeAtATime(DomainDispatcherApplication):
    """The whole of moto."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request; nobody waits for a body that is still on its way."""
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            answer: Iterable[bytes] = super().__call__(environ, start_response)
            return answer
        if length := int(environ.get("CONTENT_LENGTH") or 0):
            body = environ["wsgi.input"].read(length)
            if len(body) < length:
                # Whoever sent it is gone: half an object is none.
                start_response("400 Bad Request", [])
                return []
            environ["wsgi.input"] = io.BytesIO(body)
        with _CHANGING:
            return [*super().__call__(environ, start_response)]


if __name__ == "__main__":
    vars(server)["DomainDispatcherApplication"] = OneChangeAtATime
    server.main(sys.argv[1:])
