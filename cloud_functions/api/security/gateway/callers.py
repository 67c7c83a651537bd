"""The groups, roles, scopes and IAM roles of a caller whom API Gateway has authorized."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import Request

_ROLE_CLAIMS: Final = ("cognito:groups", "groups", "roles", "role", "scope")
_NAME_SEPARATORS: Final = re.compile(r"[\s,\[\]\"]+", re.ASCII)
_IAM_ROLE_ARN: Final = re.compile(
    r"arn:[^:]+:(?:sts::\d*:assumed-role/(?P<assumed>[^/]+)/[^/]+|iam::\d*:role/(?:[^/]+/)*(?P<role>[^/]+))",
    re.ASCII,
)


def caller_roles(request: Request) -> set[str]:
    """Return the groups, roles and scopes in the token that API Gateway verified, or the name of the IAM role.

    Only the gateway's request context is read, never a header that a client can set.
    """
    event: Mapping[str, Any] = request.scope.get("aws.event") or {}
    context: Mapping[str, Any] = event.get("requestContext") or {}
    return {*_claimed_roles(context.get("authorizer") or {}), *_iam_roles(context)}


def _claimed_roles(authorizer: Mapping[str, Any]) -> Iterator[str]:
    jwt: Mapping[str, Any] = authorizer.get("jwt") or {}
    for claims in (jwt.get("claims"), authorizer.get("claims"), authorizer.get("lambda"), authorizer):
        if isinstance(claims, Mapping):
            for name in _ROLE_CLAIMS:
                yield from _claim_names(claims.get(name))


def _claim_names(claim: object) -> list[str]:
    """Return the names in a claim: a list, or a string in one of the gateway's list formats (``[a b]``, ``a,b``)."""
    if isinstance(claim, list):
        return [str(name) for name in claim]
    return _NAME_SEPARATORS.split(claim) if isinstance(claim, str) else []


def _iam_roles(context: Mapping[str, Any]) -> Iterator[str]:
    authorizer: Mapping[str, Any] = context.get("authorizer") or {}
    iam: Mapping[str, Any] = authorizer.get("iam") or {}
    identity: Mapping[str, Any] = context.get("identity") or {}
    for arn in (iam.get("userArn"), identity.get("userArn")):
        match = _IAM_ROLE_ARN.fullmatch(arn) if isinstance(arn, str) else None
        if match is not None:
            yield match["assumed"] or match["role"]
