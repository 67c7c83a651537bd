"""Parameter types that several resources share. Each validates its value before a route sees it."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path
from pydantic import AfterValidator, BeforeValidator, Field

from cloud_functions.api.http.problems import invalid_parameter
from cloud_functions.plates.site_key import is_token
from shared.ids import SEGMENT_PATTERN, is_uuid
from shared.log_lines import is_hidden_control
from shared.plates import require_plate

MAX_ROW_ID = 2**63 - 1
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2999, 1, 1, tzinfo=UTC)
_MAX_PLATE_TEXT = 100

_LABEL = re.compile(r"\w[\w .,:&+()#'’·-]*", re.UNICODE)  # classes and zones are named in every script
_NEVER_IN_A_LABEL = re.compile(r"--|\.\.|(?<!\w)['’]|['’](?!\w)", re.UNICODE)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)?)?", re.ASCII)
_PLUS_DECODED_AS_SPACE = re.compile(r" (\d\d:?\d\d)$", re.ASCII)


_INVISIBLE = frozenset("\u00ad\u180e\u200b\u2060\ufeff")
"""Characters without a shape, with which two names look the same. The joiners of emoji and of many scripts are none."""


def check_one_line(text: str) -> str:
    """Return the text; raise ValueError if it has control characters, surrounding spaces, or is empty.

    Control characters are also those that Unicode has for line ends and for the direction of text, and characters that
    nobody sees.
    """
    if any(_is_never_in_a_line(character) for character in text) or text != text.strip() or not text:
        raise ValueError("must be one line of text without control characters and without leading or trailing spaces")
    return text


def unique_name(text: str) -> str:
    """Return a name in the composed form of its letters (NFC), in which equal names are equal; raise as above."""
    return unicodedata.normalize("NFC", check_one_line(text))


def _is_never_in_a_line(character: str) -> bool:
    if " " <= character <= "~":
        return False
    return is_hidden_control(character) or character in _INVISIBLE or "\ud800" <= character <= "\udfff"


def _check_label(text: str) -> str:
    if not _LABEL.fullmatch(text) or _NEVER_IN_A_LABEL.search(text):
        raise ValueError(
            "must begin with a letter or digit and contain only letters, digits, spaces and . , : & + ( ) # ' -"
        )
    return text


def plate_parameter(text: str) -> str:
    """Return the plate in normal form, or the token of a protected plate; raise ValueError for any other text."""
    return text if is_token(text) else require_plate(text)


def plate_in_path(text: str) -> str:
    """Return the plate of the path parameter ``text``; raise the 422 Problem for any other text."""
    try:
        return plate_parameter(text[:_MAX_PLATE_TEXT])
    except ValueError as error:
        raise invalid_parameter("text", str(error), location="path") from None


def _repair_time(value: object) -> object:
    """Reject bare numbers, and restore the ``+`` of a UTC offset that URL decoding turned into a space."""
    if not isinstance(value, str):
        return value
    text = _PLUS_DECODED_AS_SPACE.sub(r"+\1", value) if len(value) > len("2026-11-20 10:30") else value
    if not _RFC3339.fullmatch(text):
        raise ValueError("must be an RFC 3339 time such as 2026-11-20T10:30:00Z, or a date")
    return text


def _check_time(moment: datetime) -> datetime:
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    if not EARLIEST + timedelta(days=1) <= aware <= LATEST:
        raise ValueError("must be between 1970 and 2999")
    return aware.astimezone(UTC)


Segment = Annotated[str, Field(pattern=SEGMENT_PATTERN)]
"""Identifier of a site, device or camera."""
Label = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_check_label)]
"""Name of a class or zone."""
Plate = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(plate_parameter)]
"""Number plate in normal form, or the token of a protected plate."""
Time = Annotated[datetime, BeforeValidator(_repair_time), AfterValidator(_check_time)]
"""Time, converted to UTC. Without a UTC offset it is UTC; a date without a time is its midnight."""
PlatePath = Annotated[
    str,
    Path(description="The complete plate. Spaces, separators and case are ignored.", examples=["AB-123-CD"]),
]


def parse_event_ref(text: str) -> int | UUID:
    """Return the ``id`` or ``event_id`` of an event; raise ValueError for any other text."""
    if text.isascii() and text.isdecimal() and len(text) <= 19:
        number = int(text)
        if 1 <= number <= MAX_ROW_ID:
            return number
    elif is_uuid(text):
        return UUID(text)
    raise ValueError("must be an event's id (a positive integer) or its event_id (a UUID)")


async def event_ref(
    event: Annotated[
        str,
        Path(
            description="An event's `id` or its `event_id`.",
            examples=["42", "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"],
            max_length=100,
        ),
    ],
) -> int | UUID:
    """FastAPI dependency: the event that the path names; raises the 422 Problem for an invalid name."""
    try:
        return parse_event_ref(event)
    except ValueError as error:
        raise invalid_parameter("event", str(error), location="path") from None


def row_id(text: str, name: str) -> int:
    """Return the positive integer in the path parameter ``name``; raise the 422 Problem for any other text."""
    if text.isascii() and text.isdecimal() and len(text) <= 18 and int(text) > 0:
        return int(text)
    raise invalid_parameter(name, "must be a positive integer", location="path")


def reject_boolean(value: Any) -> Any:
    """Validate the text or JSON of a number: JSON's true and false are none, though pydantic takes them for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic's
    return value
