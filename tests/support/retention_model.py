"""A model of retention in memory: which of some events a run of the task keeps, by the rules of the guide."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

GROUPS: Final = {"gate": "entrances", "door": "entrances", "yard": None, "attic": None}
"""The group of each camera."""
SITES: Final = {"gate": "hq", "door": "hq", "yard": "depot", "attic": "hq"}
TYPES: Final = ("motion", "anpr", "tracking")
PLATE_DAYS: Final = 60
"""Retention of plates at the site ``depot``."""


@dataclass(frozen=True)
class ModelEvent:
    event_id: UUID
    number: int
    camera_id: str
    event_type: str
    timestamp: datetime
    bytes: int


@dataclass(frozen=True)
class ModelPolicy:
    camera_id: str | None = None
    group: str | None = None
    site_id: str | None = None
    event_type: str | None = None
    max_age_days: int | None = None
    max_bytes: int | None = None

    def concerns(self, event: ModelEvent) -> bool:
        return (
            self.camera_id in (None, event.camera_id)
            and self.group in (None, GROUPS[event.camera_id])
            and self.site_id in (None, SITES[event.camera_id])
            and self.event_type in (None, event.event_type)
        )

    @property
    def specificity(self) -> tuple[bool, ...]:
        return (
            self.event_type is not None,
            self.camera_id is not None,
            self.group is not None,
            self.site_id is not None,
        )


@dataclass(frozen=True)
class ModelHold:
    event_ids: tuple[UUID, ...] = ()
    cameras: tuple[str, ...] = ()
    """Empty: every camera, if there is a time."""
    start: datetime | None = None
    end: datetime | None = None

    def protects(self, event: ModelEvent) -> bool:
        if event.event_id in self.event_ids:
            return True
        if not self.cameras and self.start is None and self.end is None:
            return False
        return (
            (not self.cameras or event.camera_id in self.cameras)
            and (self.start is None or event.timestamp >= self.start)
            and (self.end is None or event.timestamp <= self.end)
        )


def random_policies(rng: random.Random) -> list[ModelPolicy]:
    """Return policies for different targets, each with an age, a size or both."""
    targets = [{}, {"group": "entrances"}, {"site_id": "depot"}, *({"camera_id": camera} for camera in GROUPS)]
    chosen = rng.sample([(target, kind) for target in targets for kind in (None, *TYPES)], rng.randint(1, 6))
    policies: list[ModelPolicy] = []
    for target, kind in chosen:
        age = rng.choice([None, rng.randint(1, 140)])
        size = rng.randint(1_000, 400_000) if age is None or rng.random() < 0.3 else None
        policies.append(ModelPolicy(**target, event_type=kind, max_age_days=age, max_bytes=size))
    return policies


def random_holds(rng: random.Random, events: Sequence[ModelEvent], now: datetime) -> list[ModelHold]:
    """Return up to three holds: of single events, of cameras and a time, and of a short time of every camera."""
    start = now - timedelta(days=rng.randint(1, 150))
    possible = [
        ModelHold(event_ids=tuple(event.event_id for event in rng.sample(list(events), 3))),
        ModelHold(cameras=(rng.choice(list(GROUPS)),), start=start, end=start + timedelta(days=rng.randint(1, 60))),
        ModelHold(start=start, end=start + timedelta(days=2)),
    ]
    return rng.sample(possible, rng.randint(0, 3))


def kept_events(
    events: Sequence[ModelEvent],
    policies: Sequence[ModelPolicy],
    holds: Sequence[ModelHold],
    *,
    now: datetime,
    retention_days: int | None,
) -> set[UUID]:
    """Return the ids of the events that a run at ``now`` keeps."""

    def is_held(event: ModelEvent) -> bool:
        return any(hold.protects(event) for hold in holds)

    left = [event for event in events if is_held(event) or not _too_old(event, policies, now, retention_days)]
    cutoffs = dict(_cutoffs(left, policies))
    kept: set[UUID] = set()
    for event in left:
        cutoff = cutoffs.get(_applying(event, policies, "max_bytes"))
        if is_held(event) or cutoff is None or event.timestamp > cutoff:
            kept.add(event.event_id)
    return kept


def _too_old(event: ModelEvent, policies: Sequence[ModelPolicy], now: datetime, retention_days: int | None) -> bool:
    is_plate_of_depot = SITES[event.camera_id] == "depot" and event.event_type == "anpr"
    if is_plate_of_depot and event.timestamp < now - timedelta(days=PLATE_DAYS):
        return True
    policy = _applying(event, policies, "max_age_days")
    if policy is not None and policy.max_age_days is not None:
        return event.timestamp < now - timedelta(days=policy.max_age_days)
    if retention_days is None:
        return False
    limit = now - timedelta(days=retention_days)
    return (event.timestamp.year, event.timestamp.month) < (limit.year, limit.month)


def _cutoffs(
    events: Sequence[ModelEvent], policies: Sequence[ModelPolicy]
) -> Iterator[tuple[ModelPolicy | None, datetime]]:
    """Yield the time of the newest event that does not fit, of each policy that limits a size."""
    for policy in policies:
        running = 0
        own = [event for event in events if _applying(event, policies, "max_bytes") == policy]
        for event in sorted(own, key=lambda event: (event.timestamp, event.number), reverse=True):
            running += event.bytes
            if policy.max_bytes is not None and running > policy.max_bytes:
                yield policy, event.timestamp
                break


def _applying(event: ModelEvent, policies: Sequence[ModelPolicy], limit: str) -> ModelPolicy | None:
    found = [policy for policy in policies if policy.concerns(event) and getattr(policy, limit) is not None]
    return max(found, key=lambda policy: policy.specificity, default=None)
