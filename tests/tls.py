"""Servers that speak TLS, with a certificate of their own."""

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from speechmill.fetch import addresses


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate of its own for 127.0.0.1."""
    key, path = ec.generate_private_key(ec.SECP256R1()), tmp_path_factory.mktemp("tls") / "own.pem"
    name, now, day = x509.Name([]), datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    number = x509.random_serial_number()
    made = x509.CertificateBuilder(name, name, key.public_key(), number, now - day, now + day)
    signed = made.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext]:
    """Context of a server whose certificate this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    addresses.tls.cache_clear()
    addresses.pools.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    yield context
    addresses.tls.cache_clear()
    addresses.pools.cache_clear()


def over_tls(context: ssl.SSLContext, first: bytes, again: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Answer /a.mp3 with bytes as they are, `first`, then `again` without end; all else by 404."""

    def answer(connection: socket.socket, closing: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            while line := secure.recv(65_536):
                if b" /a.mp3" not in line or line.startswith(b"HEAD"):
                    secure.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
                    continue
                secure.sendall(first)
                while again and not closing.wait(0.02):
                    secure.sendall(again)

    return answer
