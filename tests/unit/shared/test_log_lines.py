"""Log lines with hostile text."""

from __future__ import annotations

import io
import logging

import pytest

from shared.log_lines import LINE_FORMAT, in_one_line, line_handler


@pytest.mark.parametrize(
    "text",
    [
        "camera\n2026-12-01 00:00:00 INFO vedette log-in of admin",
        "camera\r\ndone",
        "camera\x1b[2Ja clean screen",
        "camera\x9b2J",
        "camera\x85next",
        "camera\u2028next\u2029paragraph",
        "camera\u202egnp.exe",
        "camera\x00 and half of \ud800",
    ],
)
def test_text_cannot_end_overwrite_or_reorder_a_line(text: str) -> None:
    """The escapes show what was there."""
    line = in_one_line(text)
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert line.encode("ascii").decode("unicode_escape") == text


def test_ordinary_text_of_any_script_stays() -> None:
    """Accents, other scripts and emoji are no control characters."""
    for text in ("Front Door", "Café Süd", "北门", "دوربین‌ها", "👨‍👩‍👧"):
        assert in_one_line(text) == text


def test_a_record_is_one_line_and_its_traceback_follows() -> None:
    """Text of a message cannot look like another record."""
    handler = line_handler(f"{LINE_FORMAT} (%(extra)s)", stream=io.StringIO(), defaults={"extra": "-"})
    values = {"name": "vedette", "levelname": "WARNING", "msg": "refused %s", "args": ("a\nb",)}
    assert handler.format(logging.makeLogRecord(values)).endswith(" WARNING vedette refused a\\nb (-)")
    error = ValueError("no number")
    line, *traceback = handler.format(logging.makeLogRecord(values | {"exc_info": (ValueError, error, None)})).split(
        "\n"
    )
    assert line.endswith("(-)")
    assert traceback == ["ValueError: no number"]
