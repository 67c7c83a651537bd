"""``ETag`` and ``If-Match``: a change names the version that it changes, against lost updates.

A tag is ``"VERSION-DIGEST"``. ``If-None-Match`` compares all of it, because a response also has state that no client
edits, such as a camera's status. ``If-Match`` compares the version alone.
"""

from __future__ import annotations

import json
import re
import zlib
from typing import Annotated, Any, Final

from fastapi import Depends, Header

from cloud_functions.api.http.problems import Problem, invalid_parameter

_TAG: Final = re.compile(r'\s*(?:W/)?"([^"]*)"\s*', re.ASCII)
_VERSION: Final = re.compile(r"(\d{1,18})-[0-9a-f]{8}", re.ASCII)
_MAX_HEADER: Final = 1000


class IfMatch:
    """The versions in ``If-Match``. ``*``, or no header, matches every version."""

    def __init__(self, header: str | None) -> None:
        self._versions: frozenset[int] | None = None
        if header is not None and header.strip() != "*":
            self._versions = frozenset(_versions(header))

    def require(self, version: int) -> None:
        """Raise the 412 Problem if ``version`` is not in the header."""
        if self._versions is not None and version not in self._versions:
            detail = "It was changed in the meantime. Get it again, and repeat your change on the new version."
            raise Problem(412, "changed-meanwhile", detail)


def entity_tag(version: int, content: Any) -> str:
    """Return the ``ETag`` of a resource in this version with this JSON content."""
    return f'"{version}-{zlib.crc32(json.dumps(content).encode()):08x}"'


def _if_match(
    if_match: Annotated[
        str | None,
        Header(description="`ETag` of the version to change. If it is not the current one, the response is a 412."),
    ] = None,
) -> IfMatch:
    return IfMatch(if_match)


IfMatchHeader = Annotated[IfMatch, Depends(_if_match)]


def _versions(header: str) -> list[int]:
    tags = [_TAG.fullmatch(part) for part in header[:_MAX_HEADER].split(",")]
    if not all(tags):
        raise invalid_parameter("If-Match", 'must be * or one or more of "ETAG"', location="header")
    found = [_VERSION.fullmatch(tag[1]) for tag in tags if tag is not None]
    return [int(version[1]) for version in found if version is not None]
