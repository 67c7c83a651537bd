"""Size and age limits of the outbox."""

from __future__ import annotations

from pydantic import Field

from shared.settings import Settings

MIB = 1024 * 1024
DAY_S = 86_400.0


class OutboxSettings(Settings):
    """Size and age limits of the outbox. All sizes are in bytes, all times in seconds."""

    max_bytes: int = Field(
        default=1024 * MIB,
        ge=16 * 1024,
        description="Maximum total size of stored events and images. A higher value survives a longer outage; above "
        "the limit the least important data is dropped first.",
    )
    max_age_s: float = Field(
        default=7 * DAY_S,
        gt=0,
        description="Maximum age of a pending event or image. Older ones are dropped. A higher value delivers after "
        "longer outages.",
    )
    keep_sent_bytes: int = Field(
        default=64 * MIB,
        ge=0,
        description="Maximum size of sent events (without images) kept for the resend command. A higher value lets the "
        "cloud recover older gaps.",
    )
    keep_sent_s: float = Field(
        default=DAY_S,
        ge=0,
        description="How long a sent event is kept for the resend command. A higher value lets the cloud recover older "
        "gaps.",
    )
    max_file_bytes: int | None = Field(
        default=None,
        ge=64 * 1024,
        description="Hard limit of the database file's size. Unset: limited by the disk only.",
    )
    min_free_bytes: int = Field(
        default=64 * MIB,
        ge=0,
        description="Minimum free disk space. With less, the database file stops growing (once it has 16 MiB) and the "
        "outbox drops data as if it were full. A higher value leaves more space to other programs.",
    )
    reserve_bytes: int = Field(
        default=8 * MIB,
        ge=0,
        description="Size of a reserve file beside the database. It is deleted when the disk is full, to make space "
        "for dropping data. A higher value makes recovery from a full disk safer.",
    )
    reported_ranges: int = Field(
        default=100,
        ge=1,
        le=1000,
        description="Maximum number of dropped sequence ranges in a heartbeat. A higher value makes heartbeats larger.",
    )
