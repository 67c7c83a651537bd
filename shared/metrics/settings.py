"""The settings of a metrics server."""

from __future__ import annotations

from pydantic import Field, field_validator

from shared.metrics.address import ListenAddress, parse_listen_address
from shared.settings import Settings


class MetricsSettings(Settings):
    """Metrics for Prometheus on `http://ADDRESS/metrics`, without a password. Off unless `listen` is set."""

    listen: str | None = Field(
        default=None,
        description="Address and port to serve metrics on. 127.0.0.1:9464 serves this machine only; 0.0.0.0:9464 or an "
        "address of this machine serves everyone who reaches it, and is reported as a warning. Default: not served.",
    )

    @field_validator("listen")
    @classmethod
    def _valid_address(cls, value: str | None) -> str | None:
        if value is not None:
            parse_listen_address(value)
        return value

    @property
    def address(self) -> ListenAddress | None:
        """Where to listen; None if metrics are not served."""
        return None if self.listen is None else parse_listen_address(self.listen)
