"""Who may read protected plates: asked apart from permissions, because the answer is no until somebody says yes.

Whoever may not gets the reads all the same, with a token in the plate's place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Protocol

from fastapi import Depends, Request

from cloud_functions.settings import PlateSettings

_ROLE_CLAIMS: Final = ("cognito:groups", "groups", "roles", "role", "scope")
_BETWEEN_NAMES: Final = re.compile(r"[\s,\[\]\"]+", re.ASCII)
_IAM_ROLE: Final = re.compile(
    r"arn:[^:]+:(?:sts::\d*:assumed-role/(?P<assumed>[^/]+)/[^/]+|iam::\d*:role/(?:[^/]+/)*(?P<role>[^/]+))",
    re.ASCII,
)


class PlateReaders(Protocol):
    """Decides who may read protected plates."""

    def may_read(self, request: Request) -> bool:
        """Return whether whoever is asking may."""
        ...


class NobodyReads:
    """Nobody may."""

    def may_read(self, request: Request) -> bool:
        del request
        return False


class EverybodyReads:
    """Whoever reaches the API may: for a machine of your own."""

    def may_read(self, request: Request) -> bool:
        del request
        return True


class RoleReads:
    """Who has a role may: a group, role or scope in the token that API Gateway has checked, or the caller's IAM role.

    Only what the gateway says counts; nothing that a client could send is looked at.
    """

    def __init__(self, role: str) -> None:
        self._role = role

    def may_read(self, request: Request) -> bool:
        event: Mapping[str, Any] = request.scope.get("aws.event") or {}
        context: Mapping[str, Any] = event.get("requestContext") or {}
        return self._role in {*_claimed(context.get("authorizer") or {}), *_iam_roles(context)}


def plate_readers(settings: PlateSettings) -> PlateReaders:
    """Return what the settings say; nobody, unless they say otherwise."""
    if settings.everybody_reads:
        return EverybodyReads()
    return NobodyReads() if settings.readers_role is None else RoleReads(settings.readers_role)


def _claimed(authorizer: Mapping[str, Any]) -> Iterator[str]:
    jwt: Mapping[str, Any] = authorizer.get("jwt") or {}
    for claims in (jwt.get("claims"), authorizer.get("claims"), authorizer.get("lambda"), authorizer):
        if isinstance(claims, Mapping):
            for name in _ROLE_CLAIMS:
                yield from _names(claims.get(name))


def _names(claim: object) -> list[str]:
    """Return the names in a claim: a list, or text as the gateway writes lists (``[a b]``, ``a,b``)."""
    if isinstance(claim, list):
        return [str(name) for name in claim]
    return _BETWEEN_NAMES.split(claim) if isinstance(claim, str) else []


def _iam_roles(context: Mapping[str, Any]) -> Iterator[str]:
    authorizer: Mapping[str, Any] = context.get("authorizer") or {}
    iam: Mapping[str, Any] = authorizer.get("iam") or {}
    identity: Mapping[str, Any] = context.get("identity") or {}
    for arn in (iam.get("userArn"), identity.get("userArn")):
        found = _IAM_ROLE.fullmatch(arn) if isinstance(arn, str) else None
        if found is not None:
            yield found["assumed"] or found["role"]


async def _may_read_plates(request: Request) -> bool:
    readers: PlateReaders = request.app.state.resources.plates.readers
    return readers.may_read(request)


MayReadPlates = Annotated[bool, Depends(_may_read_plates)]
"""Dependency: whether whoever is asking may read protected plates."""
