"""Where events are passed on to. To add a target: one file here, one row in ``TARGETS``, a queue in the template."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final, Protocol

from cloud_functions.fanout.messages import Delivery
from cloud_functions.settings import FanoutSettings
from shared.errors import ConfigurationError


class Target(Protocol):
    """Takes events to their receivers, at least once."""

    def deliver(self, deliveries: Sequence[Delivery]) -> set[str]:
        """Deliver; return the ids of the messages for which it did not work and that must come again."""
        ...


TARGETS: Final = {
    "redis": "cloud_functions.fanout.targets.redis:build",
}
"""What builds each target from settings, imported only by the function that feeds it."""


def build_target(settings: FanoutSettings) -> Target:
    """Return the target that the settings name; opens nothing yet."""
    where = TARGETS.get(settings.target)
    if where is None:
        raise ConfigurationError(f"FANOUT_TARGET is {settings.target!r}; there are: {', '.join(sorted(TARGETS))}")
    module, name = where.split(":")
    target: Target = getattr(importlib.import_module(module), name)(settings)
    return target
