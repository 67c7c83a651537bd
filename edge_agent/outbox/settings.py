"""How much the outbox may hold, and for how long."""

from __future__ import annotations

from pydantic import Field

from shared.settings import Settings

MIB = 1024 * 1024
DAY_S = 86_400.0


class OutboxSettings(Settings):
    """Bounds of the outbox; all sizes in bytes, all times in seconds."""

    max_bytes: int = Field(
        default=1024 * MIB,
        ge=16 * 1024,
        description="Events and images held together; above it the least important goes first.",
    )
    max_age_s: float = Field(default=7 * DAY_S, gt=0, description="What waits longer than this is given up.")
    keep_sent_bytes: int = Field(
        default=64 * MIB, ge=0, description="Sent events (without images) kept for the resend command."
    )
    keep_sent_s: float = Field(default=DAY_S, ge=0, description="How long a sent event is kept.")
    max_file_bytes: int | None = Field(
        default=None, ge=64 * 1024, description="Hard ceiling of the database file; None: as large as the disk allows."
    )
    min_free_bytes: int = Field(
        default=64 * MIB,
        ge=0,
        description="With less left on the disk the file grows no further (beyond 16 MiB), as if the outbox were full.",
    )
    reserve_bytes: int = Field(
        default=8 * MIB,
        ge=0,
        description="A file beside the database, given up when the disk is full so that there is room to delete.",
    )
    reported_ranges: int = Field(default=100, ge=1, le=1000, description="Dropped ranges named in a heartbeat.")
