"""``GET /audit``: the audit log, newest entries first."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from cloud_functions.api.audit.requests import AuditListParameters
from cloud_functions.api.audit.responses import AuditListEnvelope, entry_content
from cloud_functions.api.dependencies import Deps
from cloud_functions.api.http.envelope import page_response
from cloud_functions.api.http.responses import NO_STORE
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import require
from cloud_functions.db.audit.log import AuditFilter, StoredEntry, list_entries
from cloud_functions.db.types import Connection

router = APIRouter(prefix="/audit", tags=["Administration"], route_class=StrictRoute)


@router.get(
    "",
    name="list_audit_entries",
    response_model=AuditListEnvelope,
    dependencies=[Depends(require("audit:read"))],
    summary="List the audit log",
)
async def get_entries(deps: Deps, params: Annotated[AuditListParameters, Query()]) -> Response:
    """One page of the entries that meet every condition, newest first.

    Every log-in and every request of a known caller that changes data is an entry, with its outcome. So is every view
    of a picture, search of a plate and export.
    """

    def read(connection: Connection) -> tuple[list[StoredEntry], int]:
        plate = None
        if params.plate is not None:
            searched = deps.plate_access.search_record(connection, params.plate)
            plate = [params.plate, *searched.get("plate_tokens", ())]
        where = AuditFilter(
            actor=params.actor,
            action=params.action,
            outcome=params.outcome,
            target=params.target,
            plate=plate,
            start=params.start_time,
            end=params.exclusive_end,
        )
        return list_entries(connection, where, limit=params.page_size, offset=params.offset)

    entries, total = await deps.database.run(read)
    return page_response([entry_content(entry) for entry in entries], page=params, total=total, headers=NO_STORE)
