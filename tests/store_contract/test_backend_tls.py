"""check-backend cuts connections that it cannot look into: those of TLS."""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from confstream import check_backend
from confstream.check import Level
from tests.servers import S3Server

x509 = pytest.importorskip("cryptography.x509", reason="a certificate is made with cryptography, which moto brings")


def _certificate(directory: Path) -> tuple[Path, Path]:
    """Return a certificate for 127.0.0.1, signed by itself, and its key."""
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = directory / "certificate.pem", directory / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, secret


def _forward(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(1 << 16):
            target.sendall(part)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def tls(seaweed: S3Server, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Give an https endpoint in front of SeaweedFS, and the certificate to trust."""
    certificate, key = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            context.wrap_socket(client, server_side=True) as inside,
            socket.create_connection(("127.0.0.1", seaweed.port), 30) as server,
        ):
            threading.Thread(target=_forward, args=(server, inside), daemon=True).start()
            _forward(inside, server)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}", certificate
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_p4_answers_are_cut_through_tls_too(
    tls: tuple[str, Path], seaweed: S3Server, use_s3: Callable[[S3Server], str]
) -> None:
    endpoint, certificate = tls
    options = {**seaweed.storage_options, "endpoint_url": endpoint, "client_kwargs": {"verify": str(certificate)}}

    report = check_backend(use_s3(seaweed), storage_options=options, rounds=1, racers=4)

    lost = next(check for check in report.checks if check.name == "lost answer")
    assert report.fit, report.error
    assert lost.level is Level.OK
    assert "cut through TLS after" in lost.found
    assert lost.found.count("read back as ours") == 2
