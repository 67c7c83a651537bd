"""Devices, the commands that were sent to them, and the health report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from typing import Final, Literal
from urllib.parse import quote

from vedette.client.paging import by_page
from vedette.client.session import Session
from vedette.client.types import CommandResponse, DeviceResponse, HealthReport

PATH: Final = "/api/v1/devices"
_COMMANDS: Final = "/api/v1/commands"
_REPORT: Final = "/api/v1/health/report"
_POLL_INTERVAL_S: Final = 0.5


class Devices:
    """``client.devices``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(
        self, *, status: Literal["online", "offline"] | None = None, page_size: int = 100
    ) -> Iterator[DeviceResponse]:
        """Yield devices by id, each with its heartbeat, outbox, gaps, configuration and cameras."""
        return by_page(self._session, PATH, {"status": status, "page_size": page_size})

    def get(self, device_id: str) -> DeviceResponse:
        """Return one device."""
        return self._session.json("GET", f"{PATH}/{quote(device_id, safe='')}")["data"]

    def health_report(self, day: date | str | None = None) -> HealthReport:
        """Return the health report of the present, or the one stored on a day (UTC).

        Raises NotFoundError if none was stored on that day.
        """
        return self._session.json("GET", _REPORT, {"day": day})["data"]


class Commands:
    """``client.commands``: what became of a command that was sent without waiting for its reply."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, command_id: str) -> CommandResponse:
        """Return one command, with the device's reply if it has arrived."""
        return self._session.json("GET", f"{_COMMANDS}/{quote(command_id, safe='')}")["data"]

    def wait(self, command_id: str, *, timeout_s: float = 30.0) -> CommandResponse:
        """Return the command once its reply has arrived; without one after ``timeout_s`` its status is ``sent``."""
        deadline_s = time.monotonic() + timeout_s
        while (command := self.get(command_id))["status"] == "sent":
            pause_s = min(_POLL_INTERVAL_S, deadline_s - time.monotonic())
            if pause_s <= 0:
                break
            time.sleep(pause_s)
        return command
