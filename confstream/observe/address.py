"""Where to listen and where to ask: ``HOST:PORT``, ``:PORT``, ``[::1]:PORT``. Pure."""

from dataclasses import dataclass

from confstream.errors import UsageError

PORT = 9099
_PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port; without a *host*, every address of this machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def asked(self) -> "Address":
        """Return where a process on this machine is asked that listens here."""
        return Address({"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host), self.port)  # noqa: S104 - no binding


def parse(text: str) -> Address:
    """Return the address that *text* means; ``UsageError`` if it cannot be meant."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdecimal() or not port.isascii() or int(port) > _PORT_MAX:
        raise UsageError(f"{text!r} is no address to listen on; expected HOST:PORT, or :{PORT} for every interface")
    if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
        raise UsageError(f"{text!r} is no address to listen on; an IPv6 one is written [::1]:{PORT}")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))
