"""An OpenID Connect issuer on this machine: discovery document, keys that can be replaced, and tokens."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "vedette-api"


class OidcIssuer:
    """The issuer. ``documents`` can be changed by a test; ``requests`` lists the paths that were asked for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[str] = []
        self.keys: dict[str, Any] = {}
        self.documents: dict[str, Any] = {
            "/.well-known/openid-configuration": {"issuer": url, "jwks_uri": f"{url}/keys"},
            "/keys": {"keys": []},
        }
        self.rotate("first")

    def rotate(self, kid: str, *, algorithm: str = "ES256", keep: bool = False) -> None:
        """Replace the keys by a new one, or add it with ``keep``."""
        private: Any = ec.generate_private_key(ec.SECP256R1())
        if algorithm.startswith(("RS", "PS")):
            private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if not keep:
            self.keys.clear()
        self.keys[kid] = (algorithm, private)
        self.documents["/keys"] = {"keys": [_public(name, *pair) for name, pair in self.keys.items()]}

    def token(
        self,
        kid: str = "first",
        *,
        headers: dict[str, Any] | None = None,
        claims: dict[str, Any] | None = None,
        **more: Any,
    ) -> str:
        """Return a token that is valid unless its claims make it invalid; None leaves a claim out."""
        algorithm, private = self.keys[kid]
        return jwt.encode(
            self.claims(**(claims or {}), **more), private, algorithm=algorithm, headers={"kid": kid, **(headers or {})}
        )

    def claims(self, **claims: Any) -> dict[str, Any]:
        now = int(time.time())
        given = {"iss": self.url, "aud": AUDIENCE, "sub": "00u1", "iat": now, "exp": now + 300} | claims
        return {name: value for name, value in given.items() if value is not None}

    def public_pem(self, kid: str = "first") -> bytes:
        """Return a public key as text, as an attacker knows it."""
        return self.keys[kid][1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _public(kid: str, algorithm: str, private: Any) -> dict[str, Any]:
    kind = RSAAlgorithm if algorithm.startswith(("RS", "PS")) else ECAlgorithm
    return json.loads(kind.to_jwk(private.public_key())) | {"kid": kid, "alg": algorithm, "use": "sig"}


@contextmanager
def oidc_issuer() -> Generator[OidcIssuer]:
    """Yield a running issuer."""
    issuer: OidcIssuer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.requests.append(self.path)
            document = issuer.documents.get(self.path)
            body = json.dumps(document).encode()
            self.send_response(200 if document is not None else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = OidcIssuer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
