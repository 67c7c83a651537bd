"""The golden samples are the contract of both halves: parsing and dumping does not change them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.errors import ContractError
from shared.event_types import EVENT_TYPES
from shared.events import EVENT_ADAPTER, dump_event, parse_event
from shared.schemas import main as export_schemas
from shared.storage_keys import snapshot_key

GOLDEN = Path(__file__).parent / "golden"
SAMPLES = sorted(GOLDEN.glob("event_*.json"))
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_sample_survives_the_round_trip(path: Path) -> None:
    """Parsing and dumping a sample keeps all fields, known or not, unchanged."""
    said = json.loads(path.read_text(encoding="utf-8"))
    kept = json.loads(dump_event(parse_event(path.read_bytes())))
    assert _without_nulls(kept) == _without_nulls(said)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_sample_dumps_to_a_fixed_point(path: Path) -> None:
    """Dumping twice gives the same bytes, so the outbox can store the bytes that it will send."""
    once = dump_event(parse_event(path.read_bytes()))
    assert dump_event(parse_event(once)) == once


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_snapshot_key_follows_from_the_event(path: Path) -> None:
    """The snapshot's key follows from the event."""
    event = parse_event(path.read_bytes())
    if event.snapshot is not None:
        expected = snapshot_key(
            camera_id=event.camera_id, event_type=event.event_type, timestamp=event.timestamp, extension="jpg"
        )
        assert event.snapshot.key == expected


def test_every_event_type_has_a_sample() -> None:
    """Every event type has a golden sample."""
    assert {parse_event(path.read_bytes()).event_type for path in SAMPLES} == set(EVENT_TYPES)


def test_exported_schemas_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/reference/*.schema.json equal the schemas of the code."""
    assert export_schemas([str(ROOT / "docs" / "reference"), "--check"]) == 0, capsys.readouterr().err


def test_an_outdated_schema_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The check reports an outdated file by name."""
    assert export_schemas([str(tmp_path)]) == 0
    (tmp_path / "event.schema.json").write_text("{}")
    assert export_schemas([str(tmp_path), "--check"]) == 1
    assert "event.schema.json" in capsys.readouterr().err


def _sample(**changes: object) -> bytes:
    message = json.loads((GOLDEN / "event_tracking_entered.json").read_text(encoding="utf-8"))
    return json.dumps(message | changes).encode()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[]", "invalid"),
        (b"null", "invalid"),
        (b"[" * 100_000, "not_json"),
        (b" " * 200_000, "too_large"),
        (_sample(schema_version=2), "unknown_schema_version"),
        (_sample(event_type="earthquake"), "unknown_event_type"),
        (_sample(camera_id="../../etc/passwd"), "invalid"),
        (_sample(camera_id="camera/+"), "invalid"),
        (_sample(site_id="a" * 101), "invalid"),
        (_sample(timestamp="2026-11-20T10:30:45"), "invalid"),
        (_sample(sequence=-1), "invalid"),
        (_sample(frame_number=2**80), "invalid"),
        (_sample(note="\x00"), "nul_character"),
        (_sample(event_id="1; DROP TABLE events"), "invalid"),
    ],
)
def test_bad_messages_are_rejected_with_a_reason(payload: bytes, reason: str) -> None:
    """Each kind of invalid message has its own stable reason."""
    with pytest.raises(ContractError) as caught:
        parse_event(payload)
    assert caught.value.reason == reason


def test_a_rejection_names_the_field_and_quotes_nothing() -> None:
    """The rejection names the invalid field but not its value, which may be a secret."""
    with pytest.raises(ContractError, match="camera_id") as caught:
        parse_event(_sample(camera_id="rtsp://user:hunter2@camera"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_nan_and_infinity_are_rejected(number: str) -> None:
    """NaN in a typed field would make every average in the database NaN."""
    payload = _sample().replace(b"0.8712", number.encode())
    with pytest.raises(ContractError):
        parse_event(payload)


def test_union_and_type_list_agree() -> None:
    """EVENT_TYPES lists exactly the union's members."""
    mapping = EVENT_ADAPTER.json_schema()["discriminator"]["mapping"]
    assert set(mapping) == set(EVENT_TYPES)


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
