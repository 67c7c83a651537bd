"""Builders of plate reads as ALPR storage services exchange them: one flat object with a key for each column."""

from __future__ import annotations

from typing import Any
from uuid import uuid4


def plate_dict(plate: str = "ABC 123", **columns: Any) -> dict[str, Any]:
    """Return a read with all columns and a new ``event_id`` (UUIDv4); ``columns`` override the defaults."""
    return {
        "event_id": str(uuid4()),
        "captured_at": "2026-11-20T12:00:00.250000+00:00",
        "camera_id": "camera-01",
        "track_id": "track-42",
        "plate_text": plate,
        "plate_normalized_text": plate.replace(" ", ""),
        "plate_confidence": 0.94,
        "plate_region": "US-FL",
        "vehicle_type": "car",
        "vehicle_make": "Toyota",
        "vehicle_model": "Camry",
        "vehicle_color": "silver",
        "plate_image_url": "https://images.example/plate.jpg",
        "vehicle_image_url": "https://images.example/vehicle.jpg",
        "frame_image_url": "http://images.example/frame.jpg",
        "latency_ms": 45,
        "quality_score": 0.8,
        "frame_number": 1200,
        "site_id": "dock-1",
        "host_id": "edge-host.local",
        "roi": "lane-1",
        "direction": "inbound",
    } | columns


def without(read: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the read without some of its columns."""
    return {name: value for name, value in read.items() if name not in names}
