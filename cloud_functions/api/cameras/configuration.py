"""Sends a device its configuration right after its cameras were changed."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.http.problems import Problem
from cloud_functions.device_configuration import record_outcomes
from shared.errors import VedetteError

logger = logging.getLogger(__name__)


async def send_configurations(deps: Dependencies, devices: Iterable[str | None]) -> None:
    """Send the devices that are online what they should run now. Call it after the change was committed.

    A failure is logged, and the change stands: ingest sends the configuration at the device's next heartbeat.
    """
    changed = {device for device in devices if device is not None}
    if not changed:
        return
    sender = deps.configurations
    try:
        outgoing = await deps.database.run(lambda connection: sender.prepare(connection, changed, online_only=True))
        if outgoing:
            published = await deps.thread_pool.run(lambda: sender.publish(outgoing))
            await deps.database.run(lambda connection: record_outcomes(connection, published))
    except (VedetteError, Problem) as error:
        logger.warning("the configuration is sent at the devices' next heartbeat: %s", error)
