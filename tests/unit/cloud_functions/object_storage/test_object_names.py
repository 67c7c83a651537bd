"""Checks of object keys, prefixes and metadata."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.object_storage.object_names import (
    check_key,
    check_metadata,
    content_type_of,
    directory_prefix,
)
from shared.errors import ContractError


@pytest.mark.parametrize("key", ["a", "snapshots/gate-01/a b.jpg", "é/ü.png", "a" * 1024, "..a/b.."])
def test_a_key_is_returned_unchanged(key: str) -> None:
    """Spaces and other scripts are allowed, up to 1,024 bytes."""
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", ".", "a/../b", "a/./b", "a\nb", "a\x7f", "\ud800", "a" * 1025, "é" * 513]
)
def test_an_invalid_key_is_rejected(key: str) -> None:
    """A key that stores, proxies or folders would treat differently is a contract error."""
    with pytest.raises(ContractError) as error:
        check_key(key)
    assert error.value.reason == "bad_key"


@given(st.text(max_size=40))
def test_an_accepted_key_cannot_leave_a_folder(key: str) -> None:
    """Whatever is accepted is a relative path without empty or dotted parts."""
    try:
        check_key(key)
    except ContractError:
        return
    assert all(part not in {"", ".", ".."} for part in key.split("/"))
    assert key.isprintable() or not any(ord(character) < 32 for character in key)


@pytest.mark.parametrize(("directory", "prefix"), [("", ""), ("a", "a/"), ("a/b/", "a/b/")])
def test_a_directory_becomes_a_prefix(directory: str, prefix: str) -> None:
    """It ends in one slash, so that ``a`` does not contain ``ab``."""
    assert directory_prefix(directory) == prefix


@pytest.mark.parametrize("directory", ["/", "a//", "../a", "/a"])
def test_an_invalid_directory_is_rejected(directory: str) -> None:
    """No key can be in it."""
    with pytest.raises(ContractError):
        directory_prefix(directory)


@pytest.mark.parametrize(
    ("key", "content_type"),
    [
        ("a/b.jpg", "image/jpeg"),
        ("a/b.PNG", "image/png"),
        ("b.webp", "image/webp"),
        ("jpg", "application/octet-stream"),
        ("a.jpg/b", "application/octet-stream"),
        ("clip.mp4", "application/octet-stream"),
    ],
)
def test_the_content_type_follows_from_the_suffix(key: str, content_type: str) -> None:
    """Only image formats of snapshots are known."""
    assert content_type_of(key) == content_type


@pytest.mark.parametrize(
    "metadata",
    [
        {"Camera": "1"},
        {"": "1"},
        {"a_b": "1"},
        {"a": "é"},
        {"a": "b\r\nx: y"},
        {"a": " b"},
        {"a": ""},
        {"a": "b" * 2048},
    ],
)
def test_invalid_metadata_is_rejected(metadata: dict[str, str]) -> None:
    """Names and values become HTTP headers."""
    with pytest.raises(ContractError) as error:
        check_metadata(metadata)
    assert error.value.reason == "bad_metadata"


def test_metadata_is_returned_unchanged() -> None:
    """Up to 2,048 bytes."""
    metadata = {"camera-id": "gate 1", "n": "b" * 2032}
    assert check_metadata(metadata) == metadata
