"""Routes of API keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query
from starlette.responses import Response

from cloud_functions.api.dependencies import Deps
from cloud_functions.api.http.envelope import envelope_response, error_description, page_response
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.http.responses import NO_STORE
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.api_keys import new_api_key
from cloud_functions.api.security.audit.request_audit import record_details
from cloud_functions.api.security.permissions import Principal, require
from cloud_functions.api.users.admin_requests import KeyListParameters, KeyRef, NewKeyRequest
from cloud_functions.api.users.admin_responses import CreatedKeyEnvelope, DeletedEnvelope, KeyListEnvelope, key_content
from cloud_functions.api.users.administration import existing_groups, granted, require_not_more
from cloud_functions.db.types import Connection
from cloud_functions.db.users.api_keys import (
    ApiKeyRow,
    KeyNameTakenError,
    ListedKey,
    create_api_key,
    find_listed_key,
    list_api_keys,
    revoke_key_by_id,
)
from shared.ids import Uuid7Generator

router = APIRouter(prefix="/api-keys", tags=["Administration"], route_class=StrictRoute)
_READ = Depends(require("users:read"))
Writer = Annotated[Principal, Depends(require("users:write"))]
_new_id = Uuid7Generator()
_REFUSED: dict[int | str, dict[str, Any]] = {
    403: error_description("The caller lacks a permission, or one of the scopes (`exceeds-own-permissions`)."),
    409: error_description("Another API key has this name (`name-taken`)."),
}


@router.get("", name="list_api_keys", response_model=KeyListEnvelope, dependencies=[_READ], summary="List API keys")
async def get_keys(deps: Deps, params: Annotated[KeyListParameters, Query()]) -> Response:
    """One page of the API keys, newest first, expired and revoked ones too."""
    keys, total = await deps.database.run(
        lambda connection: list_api_keys(connection, search=params.search, limit=params.page_size, offset=params.offset)
    )
    return page_response([key_content(key) for key in keys], page=params, total=total, headers=NO_STORE)


@router.post(
    "",
    name="create_api_key",
    status_code=201,
    response_model=CreatedKeyEnvelope,
    responses=_REFUSED,
    summary="Create an API key",
)
async def post_key(deps: Deps, principal: Writer, body: Annotated[NewKeyRequest, Body()]) -> Response:
    """Create an API key. The response shows it, once."""
    require_not_more(principal, granted(body.scopes))
    key = new_api_key()
    record_details(name=body.name, scopes=body.scopes, groups=body.groups)

    def write(connection: Connection) -> ListedKey | None:
        row = ApiKeyRow(
            id=_new_id(),
            prefix=key.prefix,
            key_hash=key.key_hash,
            name=body.name,
            scopes=body.scopes,
            groups=existing_groups(connection, body.groups),
            lifetime=None if body.expires_in_days is None else timedelta(days=body.expires_in_days),
        )
        try:
            create_api_key(connection, row)
        except KeyNameTakenError:
            raise Problem(409, "name-taken", "Another API key has this name. Choose another name.") from None
        return find_listed_key(connection, row.id)

    stored = _existing(await deps.database.run(write))
    return envelope_response(key_content(stored) | {"key": key.text}, status=201, headers=NO_STORE)


@router.delete(
    "/{key}", name="revoke_api_key", response_model=DeletedEnvelope, responses=_REFUSED, summary="Revoke an API key"
)
async def revoke_key(deps: Deps, principal: Writer, ref: KeyRef) -> Response:
    """Revoke the key at once. It stays in the list, and its name stays in use."""

    def write(connection: Connection) -> ListedKey:
        stored = _existing(find_listed_key(connection, ref))
        require_not_more(principal, granted(stored.scopes))
        revoke_key_by_id(connection, ref)
        return stored

    key = await deps.database.run(write)
    return envelope_response({"id": str(key.id), "message": f"API key {key.name} revoked."})


def _existing(key: ListedKey | None) -> ListedKey:
    if key is None:
        raise Problem(404, "key-not-found", "There is no API key with this id.")
    return key
