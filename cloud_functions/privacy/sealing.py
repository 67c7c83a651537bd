"""Seals the data of ``anpr`` events: the whole event is encrypted, and a part of it stays readable too.

The readable part is an allow-list of fields that never contain a plate. All other fields (other candidates, fields of
a newer agent) exist only in the sealed part.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from pydantic_core import from_json, to_json

from cloud_functions.db.events.insert import EventRow
from cloud_functions.db.plates.conversion import FullEventRow
from cloud_functions.plates.normal_form import with_normal_form
from cloud_functions.plates.site_key import SiteKey, is_token
from shared.errors import ContractError, PermanentError
from shared.plates import normalize_plate

if TYPE_CHECKING:
    from cloud_functions.privacy.vault import PlateVault

_Row = TypeVar("_Row", EventRow, FullEventRow)

PROTECTED: Final = "plate_protected"
"""The field of ``event_data`` that marks a protected plate."""
_READABLE: Final = (
    "track_id",
    "track_uid",
    "direction",
    "reads",
    "quality_score",
    "latency_ms",
    "host",
    "roi",
    "plate_image_key",
    "vehicle_image_url",
    "frame_image_url",
)
_BOXES: Final = ("plate_box", "vehicle_box")
_OF_A_BOX: Final = ("x", "y", "width", "height")
_OF_A_VEHICLE: Final = ("type", "make", "model", "color")
_OF_A_RESULT: Final = ("confidence", "region")
_OF_A_SNAPSHOT: Final = ("key", "content_type", "bytes", "width", "height", "sha256")
_LETTER: Final = "dead letter"
_MIN_PLATE_CHARS: Final = 4
"""Shorter plates occur in other texts by chance and are not searched for."""


class SealedData(NamedTuple):
    """An event's data: the readable part, and all of it sealed."""

    token: str
    readable_json: str
    sealed: bytes


def seal_data(key: SiteKey, event_data_json: str, *, event_id: str) -> SealedData:
    """Seal the data of an ``anpr`` event."""
    data: dict[str, Any] = from_json(event_data_json)
    if (corrected := with_normal_form(data)) is not None:
        data, event_data_json = corrected, to_json(corrected).decode()
    token = key.token(data["plate_normalized"])
    readable = to_json(_readable(data, token)).decode()
    return SealedData(token, readable, key.seal(event_data_json, event_id=event_id, token=token))


def seal_row(row: _Row, key: SiteKey) -> tuple[_Row, str]:
    """Return the row of an ``anpr`` event, new or stored, in its sealed form, and the token of its plate."""
    data = seal_data(key, row.event_data_json, event_id=str(row.event_id))
    sealed = row._replace(
        snapshot_json=None if row.snapshot_json is None else readable_snapshot(row.snapshot_json),
        event_data_json=data.readable_json,
        plate_sealed=data.sealed,
    )
    return sealed, data.token


def seal_dead_letter(body: str, key: SiteKey) -> str:
    """Return the form in which a rejected message is stored: JSON with its site and its sealed body."""
    name = token_hex(16)
    sealed = key.seal(to_json(body).decode(), event_id=name, token=_LETTER)
    return to_json({"site_id": key.site_id, "letter": name, "sealed": b64encode(sealed).decode()}).decode()


def open_dead_letter(letter: str, vault: PlateVault) -> str:
    """Return the body of a dead letter that ``seal_dead_letter`` made.

    Raises:
        ContractError: the text is not a sealed dead letter.
        PermanentError: it was changed, or its key was destroyed.
    """
    try:
        document = from_json(letter)
        name, sealed = str(document["letter"]), b64decode(document["sealed"], validate=True)
    except (ValueError, KeyError, TypeError):
        raise ContractError("this is not a rejected message of a protected site") from None
    opened = vault.open(sealed, event_id=name, token=_LETTER)
    if opened is None:
        raise PermanentError("the key that sealed this message was destroyed")
    return from_json(opened)


def readable_snapshot(snapshot_json: str) -> str:
    """Return a snapshot's reference with only the fields of the contract."""
    snapshot: dict[str, Any] = from_json(snapshot_json)
    return to_json({name: snapshot[name] for name in _OF_A_SNAPSHOT if name in snapshot}).decode()


def token_in(event_data_json: str) -> str | None:
    """Return the token in an event's data if its plate is protected, else None."""
    if f'"{PROTECTED}"' not in event_data_json:
        return None
    token = from_json(event_data_json).get("plate_normalized")
    return token if isinstance(token, str) and is_token(token) else None


def _readable(data: Mapping[str, Any], token: str) -> dict[str, Any]:
    detector = _PlateTextDetector(data)
    readable: dict[str, Any] = {
        "anpr_result": {"license_plate": None} | _plain(data["anpr_result"], _OF_A_RESULT, detector),
        "plate_normalized": token,
        PROTECTED: True,
        "candidates": [],
    }
    for name in _BOXES:
        box = data.get(name)
        readable[name] = _numbers(box) if isinstance(box, dict) else None
    vehicle = data.get("vehicle")
    if isinstance(vehicle, dict):
        readable["vehicle"] = _plain(vehicle, _OF_A_VEHICLE, detector)
    return readable | _plain(data, _READABLE, detector)


class _PlateTextDetector:
    """Detects the plate, or one of its other readings, in another text of the event."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self._plates: set[str] | None = None

    def is_in(self, text: str) -> bool:
        if len(text) < _MIN_PLATE_CHARS:
            return False
        if self._plates is None:
            data = self._data
            texts = [data["plate_normalized"], data["anpr_result"]["license_plate"]]
            texts += [candidate["text"] for candidate in data.get("candidates") or ()]
            self._plates = {normal for normal in map(_normal, texts) if len(normal) >= _MIN_PLATE_CHARS}
        normal = _normal(text)
        return any(plate in normal for plate in self._plates)


def _normal(text: str) -> str:
    return text.upper() if text.isascii() and text.isalnum() else normalize_plate(text)


def _plain(data: Mapping[str, Any], names: Iterable[str], detector: _PlateTextDetector) -> dict[str, Any]:
    """Return those of the fields that are texts or numbers; a text that contains the plate becomes None."""
    plain: dict[str, Any] = {}
    for name in names:
        if name in data:
            value = data[name]
            if isinstance(value, str):
                plain[name] = None if detector.is_in(value) else value
            else:
                plain[name] = None if isinstance(value, dict | list) else value
    return plain


def _numbers(box: Mapping[str, Any]) -> dict[str, float]:
    return {name: box[name] for name in _OF_A_BOX if isinstance(box.get(name), int | float)}
