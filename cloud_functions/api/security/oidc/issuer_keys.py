"""The public keys of an issuer: found through its discovery document, kept, and loaded again when it replaces them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, build_opener

from cloud_functions.api.security.oidc.settings import require_safe_url
from shared.clock import Clock
from shared.errors import ConfigurationError, TransientError

if TYPE_CHECKING:
    from jwt import PyJWK

logger = logging.getLogger(__name__)

FetchJson = Callable[[str], Any]
_DISCOVERY: Final = "/.well-known/openid-configuration"
_TIMEOUT_S: Final = 5.0
_MAX_BYTES: Final = 1024 * 1024
_RELOAD_AFTER_S: Final = 600.0
_RELOAD_PAUSE_S: Final = 10.0
"""Pause between two attempts, so that tokens with invented key ids do not send requests to the issuer."""
_PUBLIC_KEY_TYPES: Final = frozenset({"RSA", "EC", "OKP"})


class IssuerKeys:
    """The keys of one issuer. Safe to use from several threads."""

    def __init__(self, issuer: str, *, clock: Clock, fetch: FetchJson | None = None) -> None:
        self._issuer = issuer
        self._clock = clock
        self._fetch = fetch or fetch_json
        self._lock = threading.Lock()
        self._keys: dict[str, PyJWK] = {}
        self._loaded_s = float("-inf")
        self._tried_s = float("-inf")

    def must_load(self, kid: str) -> bool:
        """Return whether ``load`` must be called before ``get``: the key is unknown, or the keys are old."""
        now_s = self._clock.monotonic()
        is_current = kid in self._keys and now_s - self._loaded_s < _RELOAD_AFTER_S
        return not is_current and now_s - self._tried_s >= _RELOAD_PAUSE_S

    def load(self) -> None:
        """Load the keys. If that fails, the known ones stay.

        Raises:
            TransientError: it failed, and no key is known.
        """
        self._tried_s = self._clock.monotonic()
        try:
            keys = self._load()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigurationError) as error:
            logger.warning("the keys of the issuer %s cannot be loaded: %s", self._issuer, error)
            if not self._keys:
                raise TransientError("the keys of the OpenID Connect issuer cannot be loaded") from error
            return
        with self._lock:
            self._keys, self._loaded_s = keys, self._clock.monotonic()

    def get(self, kid: str) -> PyJWK | None:
        """Return the key with this id, or None."""
        return self._keys.get(kid)

    def _load(self) -> dict[str, PyJWK]:
        document: Mapping[str, Any] = self._fetch(self._issuer.rstrip("/") + _DISCOVERY)
        if document["issuer"] != self._issuer:
            raise ValueError(f"its discovery document is of the issuer {str(document['issuer'])[:200]!r}")
        url = str(document["jwks_uri"])
        require_safe_url("jwks_uri", url)
        return _public_keys(self._fetch(url)["keys"])


def fetch_json(url: str) -> Any:
    """Return the JSON document at the URL. Redirects are not followed. Raises OSError or ValueError."""
    try:
        with build_opener(_NoRedirects).open(url, timeout=_TIMEOUT_S) as response:
            content = response.read(_MAX_BYTES + 1)
    except HTTPError as error:
        error.close()
        raise OSError(f"{url}: status {error.code}") from None
    if len(content) > _MAX_BYTES:
        raise ValueError(f"{url} is larger than {_MAX_BYTES} bytes")
    return json.loads(content)


def _public_keys(documents: Any) -> dict[str, PyJWK]:
    """Return the keys that verify signatures, by their ids. A shared secret (``oct``) is never one."""
    from jwt import PyJWK
    from jwt.exceptions import PyJWKError

    keys: dict[str, PyJWK] = {}
    for document in documents:
        kid = document.get("kid")
        if not isinstance(kid, str) or document.get("kty") not in _PUBLIC_KEY_TYPES:
            continue
        if document.get("use", "sig") != "sig":
            continue
        try:
            keys[kid] = PyJWK.from_dict(document)
        except PyJWKError as error:  # for example an algorithm of the future
            logger.info("a key of the issuer is left out: %s", error)
    return keys


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None
