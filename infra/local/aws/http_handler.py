"""The request handler of the HTTP servers that only programs of the stack may use, not browsers."""

from __future__ import annotations

import logging
from http.server import BaseHTTPRequestHandler
from typing import Any

from cloud_functions.api.security.origin_check import refusal

log = logging.getLogger(__name__)


class ProgramHandler(BaseHTTPRequestHandler):
    """Answers 403 to requests from browsers, and to requests whose ``Host`` is not this machine.

    Browsers send ``Sec-Fetch-Site`` or ``Origin``; a web page cannot remove these headers.
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
        """Return the request's body; None if it is larger or has no length, in which case the connection is closed."""
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
