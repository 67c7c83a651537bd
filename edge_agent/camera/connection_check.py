"""Checks the connection to a camera, and finds out why it fails."""

from __future__ import annotations

from edge_agent.camera.probe import ProbeResult, probe
from edge_agent.camera.server_contact import PORTS, contact_server
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import scheme_of
from shared.clock import Clock, SystemClock
from shared.errors import VedetteError
from shared.stream_address import redact_source


def check_connection(
    text: str,
    settings: SourceSettings | None = None,
    *,
    timeout_s: float | None = None,
    check_credentials: bool = True,
    clock: Clock | None = None,
) -> ProbeResult:
    """Contact the source ``text``, read a frame, and return the stream's properties, or the error and its cause.

    Args:
        settings: How to connect.
        timeout_s: Limit of the whole check in seconds; None for that of ``probe``.
        check_credentials: If false, a network camera's server is contacted without logging in, and no frame is read.
        clock: Measures the time.
    """
    settings, clock = settings or SourceSettings(), clock or SystemClock()
    timeout_s = settings.open_timeout_s + settings.watchdog_s if timeout_s is None else timeout_s
    started_s = clock.monotonic()
    try:
        if scheme_of(text) not in PORTS:
            return probe(text, settings, clock=clock, timeout_s=timeout_s)
        contact_server(text, timeout_s=timeout_s, clock=clock, with_request=not check_credentials)
    except VedetteError as error:
        return ProbeResult(source=redact_source(text), error=str(error), cause=getattr(error, "cause", "failed"))
    elapsed_s = clock.monotonic() - started_s
    if not check_credentials:
        return ProbeResult(source=redact_source(text), latency_ms=elapsed_s * 1000)
    return probe(text, settings, clock=clock, timeout_s=max(timeout_s - elapsed_s, 0.1))
