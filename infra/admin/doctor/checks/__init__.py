"""The checks, one subject a file. Each is a function of the context that yields findings; ``CHECKS`` lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from infra.admin.doctor.checks.certificates import certificates
from infra.admin.doctor.checks.clock import database_clock, device_clocks, store_clock
from infra.admin.doctor.checks.configuration import key_files, sealed_rows, variables
from infra.admin.doctor.checks.database import database, database_writes, maintenance, partitions, schema
from infra.admin.doctor.checks.devices import cameras, devices, outboxes
from infra.admin.doctor.checks.disk import disk
from infra.admin.doctor.checks.messaging import broker, redis
from infra.admin.doctor.checks.queues import queues, topic
from infra.admin.doctor.checks.stack import api, parts
from infra.admin.doctor.checks.storage import bucket
from infra.admin.doctor.checks.versions import agents, packages, python
from infra.admin.doctor.checks.webhooks import webhooks
from infra.admin.doctor.context import DoctorContext
from shared.diagnosis import Finding

CHECKS: Final[Mapping[str, Callable[[DoctorContext], Iterator[Finding]]]] = {
    "parts": parts,
    "api": api,
    "database": database,
    "writes": database_writes,
    "schema": schema,
    "partitions": partitions,
    "maintenance": maintenance,
    "broker": broker,
    "redis": redis,
    "bucket": bucket,
    "topic": topic,
    "queues": queues,
    "webhooks": webhooks,
    "clock-database": database_clock,
    "clock-store": store_clock,
    "clock-devices": device_clocks,
    "disk": disk,
    "certificates": certificates,
    "variables": variables,
    "key-files": key_files,
    "master-key": sealed_rows,
    "python": python,
    "packages": packages,
    "agents": agents,
    "devices": devices,
    "cameras": cameras,
    "outboxes": outboxes,
}
"""By name, in the order of the report. To add a check, write a function and add a row."""
