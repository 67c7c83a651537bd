"""Targets of events. To add one: a module here, a row in ``TARGETS``, and a queue in ``template.yaml``."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final, Protocol

from cloud_functions.fanout.messages import Delivery
from cloud_functions.settings import FanoutSettings
from shared.errors import ConfigurationError


class Target(Protocol):
    """Delivers events at least once."""

    def deliver(self, deliveries: Sequence[Delivery]) -> set[str]:
        """Deliver; return the ids of the messages that failed and must be delivered again."""
        ...


TARGETS: Final = {
    "redis": "cloud_functions.fanout.targets.redis:build",
}
"""The builder of each target, as ``module:function``; only the function of that target imports it."""


def build_target(settings: FanoutSettings) -> Target:
    """Return the target that the settings name, without opening a connection."""
    builder = TARGETS.get(settings.target)
    if builder is None:
        raise ConfigurationError(f"FANOUT_TARGET is {settings.target!r}; known targets: {', '.join(sorted(TARGETS))}")
    module, name = builder.split(":")
    target: Target = getattr(importlib.import_module(module), name)(settings)
    return target
