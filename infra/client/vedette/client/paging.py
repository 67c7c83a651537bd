"""Iterators over lists of all sizes: by cursor, by page of an envelope, or by offset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from vedette.client.session import Session


def by_cursor(session: Session, path: str, name: str, parameters: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the items under ``name`` of all pages. Items that arrive meanwhile neither repeat nor shift others."""
    cursor: str | None = None
    while True:
        page: dict[str, Any] = session.json("GET", path, {**parameters, "cursor": cursor})
        yield from page[name]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def by_page(session: Session, path: str, parameters: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the items of all pages of a list in the envelope."""
    for page in count(1):
        answer: dict[str, Any] = session.json("GET", path, {**parameters, "page": page})
        yield from answer["data"]
        if page >= answer["meta"]["totalPages"]:
            return


def by_offset(session: Session, path: str, name: str, *, limit: int) -> Iterator[Any]:
    """Yield the items under ``name`` of all parts of a list with ``limit`` and ``offset``."""
    offset = 0
    while True:
        answer: dict[str, Any] = session.json("GET", path, {"limit": limit, "offset": offset})
        yield from answer[name]
        offset += limit
        if offset >= answer["total"]:
            return


def by_number(session: Session, path: str, name: str, parameters: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the items under ``name`` of all pages of a list with ``page`` and ``has_more``."""
    for page in count(1):
        answer: dict[str, Any] = session.json("GET", path, {**parameters, "page": page})
        yield from answer[name]
        if not answer["has_more"]:
            return
