"""The checks of a device: those of its own files, and the list of all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

from edge_agent.cli.check import check_config
from edge_agent.cli.doctor.device import Device
from edge_agent.cli.doctor.services import check_broker, check_camera, check_clock, check_store
from shared.certificate_expiry import expiry_finding
from shared.diagnosis import Check, Finding
from shared.disk_space import disk_findings

_LATE: Final = timedelta(minutes=5)
_PENDING: Final = "SELECT count(*), (SELECT count(*) FROM images) FROM events WHERE sent_at_s IS NULL"
_OLDEST: Final = "SELECT payload FROM events WHERE sent_at_s IS NULL ORDER BY sequence LIMIT 1"


def device_checks(device: Device, *, probe_timeout_s: float) -> list[Check]:
    """Return the checks of a device, in the order of the report."""
    cameras = [camera for camera in device.config.cameras if camera.enabled]
    return [
        Check("agent", partial(_agent, device)),
        Check("configuration", partial(_configuration, device)),
        Check("clock", partial(check_clock, device)),
        Check("disk", partial(_disk, device)),
        Check("outbox", partial(_outbox, device)),
        Check("broker", partial(check_broker, device)),
        Check("store", partial(check_store, device)),
        Check("certificates", partial(_certificates, device)),
        *(Check(f"camera {one.id}", partial(check_camera, device, one, probe_timeout_s)) for one in cameras),
    ]


def _agent(device: Device) -> Iterator[Finding]:
    if device.is_running():
        yield Finding("agent", "ok", "the agent runs")
    else:
        yield Finding("agent", "warning", "no agent runs with this state_dir", "systemctl start edge-agent")


def _configuration(device: Device) -> Iterator[Finding]:
    for result in check_config(device.config_path, places=device.places):
        yield Finding("configuration", "ok" if result.ok else "fault", result.text, "correct it in the configuration")


def _disk(device: Device) -> Iterator[Finding]:
    yield from disk_findings({"outbox": device.config.state_dir})


def _outbox(device: Device) -> Iterator[Finding]:
    path = device.config.state_dir / "outbox.db"
    if not path.is_file():
        yield Finding("outbox", "skipped", f"there is no outbox in {device.config.state_dir} yet")
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2)) as database:
            events, images = database.execute(_PENDING).fetchone()
            oldest = database.execute(_OLDEST).fetchone()
    except sqlite3.Error as error:
        text = f"{path} cannot be read: {error}"
        yield Finding("outbox", "fault", text, "the agent puts a damaged file aside at its next start; check the disk")
        return
    text = f"{events} events and {images} pictures wait"
    age = None if oldest is None else device.clock.now() - _timestamp(oldest[0])
    if age is None or age < _LATE:
        yield Finding("outbox", "ok", text)
    else:
        late = timedelta(seconds=round(age.total_seconds()))
        remedy = "see the lines broker and store; a slow uplink needs smaller pictures"
        yield Finding("outbox", "warning", f"{text}, the oldest for {late}", remedy)


def _certificates(device: Device) -> Iterator[Finding]:
    mqtt, provider = device.config.mqtt, device.config.s3.iot_credentials if device.config.s3 else None
    files = [mqtt.certificate_file, mqtt.ca_file]
    files += [provider.certificate_file, provider.ca_file] if provider else []
    named = [file for file in dict.fromkeys(files) if file is not None]
    if not named:
        yield Finding("certificates", "skipped", "no certificate is configured")
        return
    if find_spec("cryptography") is None:
        yield Finding("certificates", "skipped", "needs the package cryptography to read when certificates expire")
        return
    from cryptography import x509

    for file in named:
        try:
            found = x509.load_pem_x509_certificates(file.read_bytes())
        except (OSError, ValueError):
            yield Finding("certificates", "fault", f"{file} contains no certificate (PEM)", "correct the configuration")
            continue
        end = min(one.not_valid_after_utc for one in found)
        yield expiry_finding("certificates", f"the certificate in {file}", end, now=device.clock.now())


def _timestamp(payload: bytes) -> datetime:
    event: dict[str, Any] = json.loads(payload)
    return datetime.fromisoformat(event["timestamp"])
