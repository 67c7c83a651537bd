"""Explains TLS errors and how to correct them."""

from __future__ import annotations

import ssl

# OpenSSL's verification results (x509_vfy.h). The ssl module has no names for them.
_NOT_YET_VALID = 9
_EXPIRED = 10
_SELF_SIGNED = 18
_SELF_SIGNED_IN_CHAIN = 19
_ISSUER_UNKNOWN = 20
_LEAF_UNVERIFIED = 21
_OTHER_HOST = 62
_OTHER_ADDRESS = 64
_NO_AUTHORITY_KEY_IDENTIFIER = 85
_NO_SUBJECT_KEY_IDENTIFIER = 86
_CA_NOT_CRITICAL = 89
_CA_WITHOUT_KEY_USAGE = 92
_STRICT = range(79, 94)
"""Results that occur only with VERIFY_X509_STRICT."""

_ISSUER_WORDS = "it is not signed by a trusted authority; set ca_file to the PEM file of the authority that signed it"
_NAME_WORDS = (
    "it is for another name; use a name or address that it contains, or issue it again with this one (subjectAltName)"
)
_WORDS: dict[int, str] = {
    _NOT_YET_VALID: "it is not valid yet; check this machine's clock",
    _EXPIRED: "it has expired; renew it, and check this machine's clock",
    _SELF_SIGNED: _ISSUER_WORDS,
    _SELF_SIGNED_IN_CHAIN: _ISSUER_WORDS,
    _ISSUER_UNKNOWN: _ISSUER_WORDS,
    _LEAF_UNVERIFIED: _ISSUER_WORDS,
    _OTHER_HOST: _NAME_WORDS,
    _OTHER_ADDRESS: _NAME_WORDS,
    _NO_AUTHORITY_KEY_IDENTIFIER: (
        "it has no authority key identifier, which Python 3.13 and later require; issue it again with that extension"
        " (OpenSSL: authorityKeyIdentifier = keyid)"
    ),
    _NO_SUBJECT_KEY_IDENTIFIER: (
        "its authority's certificate has no subject key identifier, which Python 3.13 and later require; issue the"
        " authority's certificate again with that extension (OpenSSL: subjectKeyIdentifier = hash)"
    ),
    _CA_NOT_CRITICAL: (
        "the basic constraints of its authority's certificate are not marked critical, which Python 3.13 and later"
        " require; issue the authority's certificate again (OpenSSL: basicConstraints = critical,CA:true)"
    ),
    _CA_WITHOUT_KEY_USAGE: (
        "its authority's certificate has no key usage, which Python 3.13 and later require; issue the authority's"
        " certificate again (OpenSSL: keyUsage = critical,keyCertSign,cRLSign)"
    ),
}
_STRICT_WORDS = (
    "it, or its authority's certificate, does not conform to RFC 5280 as Python 3.13 and later require; issue it again"
)
_MAX_CAUSES = 10


def explain_tls_error(error: BaseException) -> str | None:
    """Return the cause and the remedy, followed by OpenSSL's message in brackets; None if it is not a TLS error.

    Libraries wrap the exceptions of ``ssl``, so the causes of ``error`` are examined too.
    """
    cause = _tls_error(error)
    if cause is None:
        return None
    if isinstance(cause, ssl.SSLCertVerificationError):
        words = _WORDS.get(cause.verify_code)
        if words is None:
            words = _STRICT_WORDS if cause.verify_code in _STRICT else "it cannot be verified"
        return f"the certificate of the other side is rejected: {words} ({cause.reason}: {cause.verify_message})"
    reason: str = getattr(cause, "reason", None) or ""
    if reason == "WRONG_VERSION_NUMBER":
        return f"the other side does not speak TLS on this port; correct the port or disable TLS ({reason})"
    if "ALERT" in reason:
        return f"the other side rejects the connection; check this side's certificate and key ({reason})"
    return f"TLS error: {cause}"


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    link: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if link is None or isinstance(link, ssl.SSLError):
            return link
        link = link.__cause__ or link.__context__
    return None
