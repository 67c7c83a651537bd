"""What the device connects to: broker, image store and cameras, and the clock of the store."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from edge_agent.camera.probe import probe
from edge_agent.cli.doctor.device import Device
from edge_agent.config import CameraSettings, source_text
from edge_agent.device.broker_probe import broker_problem
from shared.diagnosis import Finding

CONNECT_TIMEOUT_S: Final = 5.0
_EXCLUSIVE: Final = ("usb:", "gst:", "/dev/")
"""Sources that only one process can open at a time."""
_OFF_WARN_S: Final = 5.0
_OFF_FAULT_S: Final = 300.0
_OLDEST_YEAR: Final = 2025


def check_clock(device: Device) -> Iterator[Finding]:
    """Whether the clock is set, and agrees with the image store's."""
    now = device.clock.now()
    remedy = "does the device reach a time server (timedatectl; chrony or systemd-timesyncd)?"
    if now.year < _OLDEST_YEAR:
        yield Finding("clock", "fault", f"the clock is not set: it shows {now:%Y-%m-%d}", remedy)
        return
    theirs = _store_time(device)
    if theirs is None:
        yield Finding("clock", "skipped", f"it shows {now:%Y-%m-%d %H:%M:%S} UTC; no image store to compare it with")
        return
    off_s = (device.clock.now() - theirs).total_seconds()
    words = f"{timedelta(seconds=round(abs(off_s)))} {'ahead' if off_s > 0 else 'behind'}"
    if abs(off_s) < _OFF_WARN_S:
        yield Finding("clock", "ok", "it agrees with the image store's")
    else:
        status = "fault" if abs(off_s) >= _OFF_FAULT_S else "warning"
        yield Finding("clock", status, f"the clock is {words} of the image store's", remedy)


def check_broker(device: Device) -> Iterator[Finding]:
    """Whether the broker can be reached, and accepts the device's certificate."""
    mqtt = device.config.mqtt
    where = f"{mqtt.host}:{mqtt.effective_port}"
    problem = broker_problem(mqtt, device_id=device.config.device_id, timeout_s=CONNECT_TIMEOUT_S)
    if problem is not None:
        yield Finding("broker", "fault", f"{where}: {problem}", "correct [mqtt], or the network")
        return
    how = "accepts the certificate" if mqtt.certificate_file else "accepts connections"
    hint = "" if device.is_running() else "; the log of the agent shows whether it accepts the client"
    yield Finding("broker", "ok", f"{where} {how}{' over TLS' if mqtt.uses_tls else ''}{hint}")


def check_store(device: Device) -> Iterator[Finding]:
    """Whether the image store answers, with any status."""
    url = _store_url(device)
    if url is None:
        yield Finding("store", "skipped", "[s3] is not configured: events are sent without pictures")
        return
    try:
        _date_of(url)
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        text = f"the image store {url} cannot be reached: {reason}"
        yield Finding("store", "fault", text, "correct [s3], or the network; pictures wait in the outbox")
        return
    yield Finding("store", "ok", f"the image store {url} answers")


def check_camera(device: Device, camera: CameraSettings, timeout_s: float) -> Iterator[Finding]:
    """Whether the camera gives a picture."""
    name, text = f"camera {camera.id}", source_text(camera)
    if text.startswith(_EXCLUSIVE) and device.is_running():
        yield Finding(name, "skipped", "the running agent has this source open")
        return
    result = probe(text, settings=camera.stream, frames=2, timeout_s=timeout_s)
    if result.error is not None:
        remedy = "power and network of the camera; address and password in its source"
        yield Finding(name, "fault", f"{result.source}: {result.error}", remedy)
    else:
        yield Finding(
            name, "ok", f"{result.source}: {result.resolution}, first picture after {result.latency_ms:.0f} ms"
        )


def _store_url(device: Device) -> str | None:
    s3 = device.config.s3
    if s3 is None:
        return None
    return s3.endpoint_url or f"https://s3.{s3.region or 'us-east-1'}.amazonaws.com"


def _store_time(device: Device) -> datetime | None:
    url = _store_url(device)
    try:
        return None if url is None else _date_of(url)
    except OSError:
        return None  # the check of the store reports it


def _date_of(url: str) -> datetime | None:
    """Return the Date of an answer of any status. Raises OSError."""
    try:
        with urllib.request.urlopen(url, timeout=CONNECT_TIMEOUT_S) as answer:  # noqa: S310 - settings accept http(s) only
            date = answer.headers.get("Date")
    except urllib.error.HTTPError as error:
        with error:
            date = error.headers.get("Date")
    return None if date is None else parsedate_to_datetime(date)
