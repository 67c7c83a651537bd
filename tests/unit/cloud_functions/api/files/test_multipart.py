"""Forms with a file, as a browser and `curl -F` send them."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.api.files.multipart import FormPart, read_form


def _form(content: bytes, **fields: str) -> tuple[str, bytes]:
    request = httpx.Request("POST", "http://x", data=fields, files={"file": ("cameras.csv", content)})
    return request.headers["content-type"], request.read()


@given(st.binary(max_size=500), st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=30))
def test_a_file_comes_through_unchanged(content: bytes, value: str) -> None:
    """Any bytes, with fields beside it."""
    parts = read_form(*_form(content, group_id=value))
    assert parts == [FormPart("group_id", None, value.encode()), FormPart("file", "cameras.csv", content)]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--x\r\n\r\n--x--"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nvalue\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--y\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--y--\r\n"),
        ("multipart/form-data; boundary=\u20ac", b"--x--"),
    ],
)
def test_what_is_no_form_is_rejected(content_type: str, body: bytes) -> None:
    """No boundary, no parts, a part without a name."""
    with pytest.raises(ValueError, match=r"form|name"):
        read_form(content_type, body)


@given(st.text(max_size=60), st.binary(max_size=200))
def test_any_body_is_a_form_or_an_error(boundary: str, body: bytes) -> None:
    """There is no other outcome."""
    try:
        read_form(f"multipart/form-data; boundary={boundary}", body)
    except ValueError:
        return
