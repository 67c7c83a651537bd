"""TLS client contexts: always verify the server, and present the device's certificate if it has one."""

from __future__ import annotations

import ssl
from pathlib import Path

from shared.errors import ConfigurationError


def client_context(
    *, ca_file: Path | None, certificate_file: Path | None, private_key_file: Path | None
) -> ssl.SSLContext:
    """Return a TLS 1.2+ context. Raises ConfigurationError that names an unusable file."""
    context = _context_with_ca(ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate_file is not None:
        for path in (certificate_file, private_key_file):
            if path is not None and not path.is_file():
                raise ConfigurationError(f"no such certificate or key file: {path}")
        try:
            # For an encrypted key, OpenSSL would prompt on the terminal. An empty password makes it fail instead.
            context.load_cert_chain(certificate_file, private_key_file, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"{certificate_file} and {private_key_file} are not a matching certificate and unencrypted key (PEM):"
                f" {error}"
            ) from error
    return context


def _context_with_ca(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is not None and not ca_file.is_file():
        raise ConfigurationError(f"no such CA file: {ca_file}")
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"{ca_file} contains no CA certificate (PEM): {error}") from error
