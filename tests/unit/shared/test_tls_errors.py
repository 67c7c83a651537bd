"""Explanations of TLS errors, from real handshakes."""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.tls_errors import explain_tls_error

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Gate")])
ISSUER = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority")])
MOMENT = datetime.now(UTC)


class CertificatePair:
    """A CA and a server certificate, without the extension that a test names."""

    def __init__(
        self,
        folder: Path,
        *,
        without: str = "",
        address: str = "127.0.0.1",
        days: tuple[float, float] = (-1, 1),
    ) -> None:
        self._without = without
        self._ca_key = ec.generate_private_key(ec.SECP256R1())
        key = ec.generate_private_key(ec.SECP256R1())
        subject_alt = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        leaf = self._builder(NAME, key, days).add_extension(subject_alt, critical=False)
        self.certificate = self._write(folder / "leaf.pem", leaf, key)
        basic = x509.BasicConstraints(ca=True, path_length=None)
        ca = self._builder(ISSUER, self._ca_key, (-2, 2)).add_extension(basic, critical=without != "critical")
        if without != "usage":
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            ca = ca.add_extension(usage, critical=True)
        self.ca = self._write(folder / "ca.pem", ca, self._ca_key)

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: tuple[float, float]
    ) -> x509.CertificateBuilder:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ISSUER)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(MOMENT + timedelta(days=days[0]))
            .not_valid_after(MOMENT + timedelta(days=days[1]))
        )
        if self._without != "authority":
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca_key.public_key())
            builder = builder.add_extension(identifier, critical=False)
        if self._without != "subject":
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return builder

    def _write(self, path: Path, builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> Path:
        signed = builder.sign(self._ca_key, hashes.SHA256())
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.write_bytes(signed.public_bytes(pem) + private)
        return path


def receive(client: ssl.SSLContext, ours: socket.socket) -> None:
    ours.settimeout(30)
    with client.wrap_socket(ours, server_hostname="127.0.0.1") as conversation:
        conversation.recv(1)  # with TLS 1.3 the server rejects the client after the handshake


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> BaseException:
    """Return the exception that the client raises in a handshake over a socket pair."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as conversation:
                conversation.recv(1)
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        with pytest.raises(OSError) as raised:
            receive(client, ours)
    finally:
        ours.close()
        thread.join(10)
    return raised.value


def explained(pair: CertificatePair, *, trusted: Path | None = None) -> str | None:
    client = ssl.create_default_context(cafile=str(trusted or pair.ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair.certificate)
    return explain_tls_error(handshake(client, server))


@pytest.mark.parametrize(
    ("without", "words"),
    [
        ("authority", r"no authority key identifier, which Python 3\.13 .* authorityKeyIdentifier = keyid"),
        ("subject", r"no subject key identifier, which Python 3\.13 .* subjectKeyIdentifier = hash"),
        ("critical", r"not marked critical, which Python 3\.13 .* basicConstraints = critical"),
        ("usage", r"no key usage, which Python 3\.13 .* keyUsage = critical"),
    ],
)
def test_python_missing_certificate_extensions_are_named(without: str, words: str, tmp_path: Path) -> None:
    """Self-made CAs often lack these extensions; the error names the extension and how to add it."""
    text = explained(CertificatePair(tmp_path, without=without))
    assert text is not None
    assert re.search(words, text)
    assert "CERTIFICATE_VERIFY_FAILED" in text


@pytest.mark.parametrize(
    ("days", "address", "words"),
    [
        ((-2, -1), "127.0.0.1", "it has expired; renew it, and check this machine's clock"),
        ((1, 2), "127.0.0.1", "it is not valid yet; check this machine's clock"),
        ((-1, 1), "127.0.0.9", "it is for another name"),
    ],
)
def test_python_certificate_errors_contain_the_remedy(
    days: tuple[float, float], address: str, words: str, tmp_path: Path
) -> None:
    """A wrong clock and a wrong name each have their own remedy."""
    assert words in str(explained(CertificatePair(tmp_path, days=days, address=address)))


def test_python_an_unknown_authority_is_explained(tmp_path: Path) -> None:
    """The error names the setting for the CA file."""
    (tmp_path / "other").mkdir()
    other = CertificatePair(tmp_path / "other")
    assert "set ca_file to the PEM file of the authority that signed it" in str(
        explained(CertificatePair(tmp_path), trusted=other.ca)
    )


def test_python_a_port_without_tls_is_explained() -> None:
    """A plain port answers with data that is not TLS."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(ssl.SSLError) as raised:
            ssl.create_default_context().wrap_socket(ours, server_hostname="gate")
    assert "does not speak TLS on this port" in str(explain_tls_error(raised.value))


def test_python_a_rejected_client_certificate_is_explained(tmp_path: Path) -> None:
    """The TLS alert of a broker that requires a certificate is explained."""
    pair = CertificatePair(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair.certificate)
    server.load_verify_locations(pair.ca)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(pair.ca))
    assert "check this side's certificate and key" in str(explain_tls_error(handshake(client, server)))


def test_python_wrapped_tls_errors_are_explained_and_others_are_not() -> None:
    """boto3 and urllib wrap exceptions of the ssl module; a timeout is not a TLS error."""

    def fail() -> None:
        raise ssl.SSLError(1, "broken record")

    def upload() -> None:
        try:
            fail()
        except ssl.SSLError as error:
            raise RuntimeError("cannot upload") from error

    with pytest.raises(RuntimeError) as raised:
        upload()
    assert explain_tls_error(raised.value) == "TLS error: broken record"
    assert explain_tls_error(TimeoutError("no answer")) is None
