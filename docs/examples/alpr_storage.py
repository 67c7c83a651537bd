"""Stores plate reads and finds them again.

The database is the one that PGHOST, PGPORT, PGDATABASE, PGUSER and PGPASSWORD name. It must be migrated.
"""

import os
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from cloud_functions.alpr_storage import StorageService

storage = StorageService(
    host=os.environ.get("PGHOST", "localhost"),
    port=int(os.environ.get("PGPORT", "5432")),
    database=os.environ.get("PGDATABASE", "alpr_db"),
    user=os.environ.get("PGUSER", "alpr"),
    password=os.environ.get("PGPASSWORD"),
    min_conn=1,
    max_conn=5,
)

now = datetime.now(UTC)
event = {
    "event_id": str(uuid4()),
    "captured_at": now.isoformat(),
    "camera_id": "camera-01",
    "track_id": "track-42",
    "plate_text": "ABC 123",
    "plate_normalized_text": "ABC123",
    "plate_confidence": 0.94,
    "plate_region": "US-FL",
    "vehicle_type": "car",
    "plate_image_url": "https://images.example/plate.jpg",
    "latency_ms": 45,
    "site_id": "dock-1",
    "host_id": "edge-host",
}

# True if the read is stored, also if it was stored before; False if it is invalid (the log says why).
print("stored:", storage.insert_event(event))
print("stored again:", storage.insert_event(event))

# Several reads in one transaction; the result is the number of stored ones.
others = [
    event | {"event_id": str(uuid4()), "captured_at": (now - timedelta(seconds=number)).isoformat()}
    for number in range(1, 10)
]
print("stored in a batch:", storage.insert_batch(others))

if found := storage.get_event_by_id(event["event_id"]):
    print("by id:", found["plate_text"], found["plate_region"], found["plate_image_url"])
print("by plate:", len(storage.get_events_by_plate("abc-123", limit=50)))
print("second page:", len(storage.get_events_by_plate("ABC123", limit=6, offset=6)))
last_five_s = storage.get_events_by_camera(
    camera_id="camera-01", start_time=now - timedelta(seconds=5), end_time=now, limit=100
)
print("by camera and time:", len(last_five_s))
print("newest:", storage.get_recent_events(limit=1)[0]["event_id"] == event["event_id"])

stats = storage.get_stats()
print("statistics:", stats["is_connected"], stats["total_events"], stats["unique_plates"], stats["active_cameras"])

storage.close()
