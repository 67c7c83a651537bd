"""When a certificate expires, as a finding of ``doctor``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from shared.diagnosis import Finding

WARN_BEFORE: Final = timedelta(days=30)


def expiry_finding(name: str, what: str, end: datetime, *, now: datetime) -> Finding:
    """Return a fault for an expired certificate, and a warning for one that expires within 30 days."""
    left, day = end - now, f"{end:%Y-%m-%d}"
    if left <= timedelta():
        return Finding(name, "fault", f"{what} expired on {day}", "renew it, and check this machine's clock")
    if left <= WARN_BEFORE:
        return Finding(name, "warning", f"{what} expires on {day}, in {left.days} days", "renew it before that")
    return Finding(name, "ok", f"{what} is valid until {day}")
