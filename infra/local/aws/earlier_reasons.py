"""Keeps why a message was a dead letter before, while it goes through the broker.

On AWS a message that is sent to the ingest queue again reaches ingest with its envelope, which has the field
``earlier_reasons``. Here it goes through the broker, which carries the payload alone, so the field is added again where
ingest rejects the message once more. It is kept in memory: a restart in between loses the earlier reasons only.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import Any, Final

FIELD: Final = "earlier_reasons"
_MOST: Final = 10_000


class EarlierReasons:
    """The reasons by topic and payload. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], list[Any]] = OrderedDict()

    def remember(self, envelope: dict[str, Any]) -> None:
        """Keep the reasons of a message that is about to be published, if it has any."""
        reasons = envelope.get(FIELD)
        if isinstance(reasons, list):
            with self._lock:
                self._known[_identity(envelope)] = reasons
                while len(self._known) > _MOST:
                    self._known.popitem(last=False)

    def restored(self, body: str) -> str:
        """Return the body of a rejected message, with the reasons from before if it had any."""
        with self._lock:
            if not self._known:
                return body
        try:
            envelope = json.loads(body)
            with self._lock:
                reasons = self._known.pop(_identity(envelope), None)
        except (ValueError, TypeError, KeyError, AttributeError):
            return body
        return body if reasons is None else json.dumps(envelope | {FIELD: reasons}, separators=(",", ":"))


def _identity(envelope: dict[str, Any]) -> tuple[str, str]:
    return str(envelope["topic"]), str(envelope["payload_base64"])
