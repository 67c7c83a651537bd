"""The targets that events are delivered to.

``TARGETS`` is the only list of them. The queues of the one-machine stack are derived from it, and a test compares it
with ``template.yaml``. To add a target: a module here, a row in the table, and its resources in the template.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from cloud_functions.fanout.messages import Delivery
from cloud_functions.settings import FanoutSettings
from shared.errors import ConfigurationError


class Target(Protocol):
    """Delivers events at least once."""

    def deliver(self, deliveries: Sequence[Delivery]) -> set[str]:
        """Deliver; return the ids of the messages that failed and must be delivered again.

        An empty batch delivers what the target itself keeps for a retry, if it keeps anything.
        """
        ...


class TargetEntry(NamedTuple):
    """One row of the table of targets."""

    builder: str
    """``module:function``, which returns the target for its settings. Only the function of that target imports it."""
    variable: str
    """The environment variable that the target requires. The one-machine stack runs a target if it is set."""
    function: str = "fanout"
    """The function's row in the packaging table: its libraries."""
    repeats: bool = False
    """Whether a schedule also invokes the function with an empty batch (``REPEAT_EVENT``), for retries."""


TARGETS: Final[Mapping[str, TargetEntry]] = {
    "redis": TargetEntry("cloud_functions.fanout.targets.redis:build", variable="REDIS_URL"),
    "webhook": TargetEntry(
        "cloud_functions.fanout.targets.webhook:build", variable="PLATE_MASTER_KEY", function="webhooks", repeats=True
    ),
    "websocket": TargetEntry(
        "cloud_functions.fanout.targets.websocket:build",
        variable="WEBSOCKET_ENDPOINT",
        function="websocket",
        repeats=True,
    ),
}
"""By name, which is the value of ``FANOUT_TARGET``."""

REPEAT_EVENT: Final[Mapping[str, str]] = {"task": "repeat"}
"""What a schedule invokes the function of a target with that ``repeats``. The template has the same JSON."""

RECEIPTS_TARGET: Final = "webhook"
"""The target whose function also records the receipts of canaries. It has the database."""


def build_target(settings: FanoutSettings) -> Target:
    """Return the target that the settings name, without opening a connection."""
    entry = TARGETS.get(settings.target)
    if entry is None:
        raise ConfigurationError(f"FANOUT_TARGET is {settings.target!r}; known targets: {', '.join(sorted(TARGETS))}")
    module, name = entry.builder.split(":")
    target: Target = getattr(importlib.import_module(module), name)(settings)
    return target
