"""The request handler behind the small HTTP servers that programs of the stack talk to, and no browser ever should."""

from __future__ import annotations

import logging
from http.server import BaseHTTPRequestHandler
from typing import Any

from cloud_functions.api.security.origin_check import refusal

log = logging.getLogger(__name__)


class ProgramHandler(BaseHTTPRequestHandler):
    """Answers 403 to every request that a browser sends, and to a ``Host`` that is not this machine's.

    A browser is recognised by ``Sec-Fetch-Site`` and ``Origin``, which no page can take away.
    """

    protocol_version = "HTTP/1.1"

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        reason = self._refusal()
        if reason is None:
            return True
        self.close_connection = True  # its body is not read
        self.send_error(403, explain=f"Refused: {reason}.")
        return False

    def body(self, *, largest_bytes: int) -> bytes | None:
        """Return the request's body; None where it is larger, or its length not said. The connection then ends."""
        try:
            size = int(self.headers.get("Content-Length", ""))
        except ValueError:
            size = -1
        if 0 <= size <= largest_bytes:
            return self.rfile.read(size)
        self.close_connection = True
        return None

    def _refusal(self) -> str | None:
        if "Sec-Fetch-Site" in self.headers or "Origin" in self.headers:
            return "this address is for programs of the local stack, not for browsers"
        return refusal(hosts=self.headers.get_all("Host", []), origins=[])

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)
