"""Reads ``multipart/form-data``: the form in which a browser, or ``curl -F``, uploads a file."""

from __future__ import annotations

from dataclasses import dataclass
from email.errors import MessageError
from email.parser import BytesParser
from email.policy import HTTP
from typing import Final

MEDIA_TYPE: Final = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class FormPart:
    """One field of a form. ``filename`` is None for a field that is not a file."""

    name: str
    filename: str | None
    content: bytes


def read_form(content_type: str, body: bytes) -> list[FormPart]:
    """Return the fields of a form in order; raise ValueError if ``body`` is not one."""
    try:
        head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
        message = BytesParser(policy=HTTP).parsebytes(head + body)
    except (MessageError, UnicodeEncodeError, ValueError):
        raise ValueError("is not a valid form") from None
    if not message.is_multipart() or message.defects:
        raise ValueError("is not a valid form")
    parts: list[FormPart] = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(content, bytes):
            raise ValueError("has a field without a name")  # noqa: TRY004
        parts.append(FormPart(name, part.get_filename(), content))
    return parts
