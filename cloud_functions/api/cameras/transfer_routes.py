"""``POST /cameras/import`` and ``GET /cameras/export``: many cameras in one CSV or JSON file."""

from __future__ import annotations

import logging
from base64 import b64encode
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.responses import Response

from cloud_functions.api.cameras.camera_file import COLUMNS, CREDENTIAL_COLUMNS, csv_file, read_rows
from cloud_functions.api.cameras.configuration import send_configurations
from cloud_functions.api.cameras.imports import import_rows
from cloud_functions.api.cameras.not_found import existing_group
from cloud_functions.api.cameras.requests import ExportParameters, ImportRequest
from cloud_functions.api.cameras.responses import ImportEnvelope
from cloud_functions.api.dependencies import Dependencies, Deps
from cloud_functions.api.files.multipart import MEDIA_TYPE, read_form
from cloud_functions.api.http.envelope import envelope_response
from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import Principal, require_if, require_in_scope
from cloud_functions.db.cameras.groups import find_group
from cloud_functions.db.cameras.queries import CameraFilter, list_cameras
from cloud_functions.db.cameras.record import Camera
from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.types import Connection
from shared.errors import ConfigurationError, PermanentError

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/cameras", tags=["Cameras"], route_class=StrictRoute)

_require_read = require_in_scope("cameras:read")
_IMPORT_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/ImportRequest"}},
            MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "format": {"type": "string", "enum": ["csv", "json"]},
                        "group_id": {"type": "string"},
                        "skip_duplicates": {"type": "boolean", "default": True},
                        "all_or_nothing": {"type": "boolean", "default": False},
                    },
                }
            },
        },
    }
}
_EXPORT_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The cameras, sorted by name.",
        "content": {"text/csv": {"schema": {"type": "string"}}, "application/json": {"schema": {"type": "object"}}},
    }
}


async def import_request(request: Request) -> ImportRequest:
    """FastAPI dependency: the import that the body describes, as JSON or as a form with a file."""
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() == MEDIA_TYPE:
        fields: Any = _form_fields(content_type, await request.body())
    else:
        try:
            fields = await request.json()
        except (ValueError, RecursionError):
            raise invalid_parameter("body", "is not valid JSON", location="body") from None
    try:
        return ImportRequest.model_validate(fields)
    except ValidationError as error:
        reports = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**report, "loc": ("body", *report["loc"])} for report in reports]) from None


@router.post(
    "/import",
    name="import_cameras",
    response_model=ImportEnvelope,
    summary="Import cameras",
    openapi_extra=_IMPORT_BODY,
)
async def post_import(
    caller: Annotated[Principal, Depends(require_in_scope("cameras:write"))],
    deps: Deps,
    body: Annotated[ImportRequest, Depends(import_request)],
) -> Response:
    """Create the cameras of a CSV or JSON file: base64 in a JSON body, or a form with a file. At most 5,000 rows.

    The report has one entry for each row. A camera exists already if it has the row's slug or, for a row without one,
    its name or its address. Read-only columns of an export are ignored; an unknown column is an error.
    """
    try:
        rows = await deps.thread_pool.run(lambda: read_rows(body.content(), body.format))
    except ValueError as error:
        raise invalid_parameter("data", str(error).removeprefix("data: "), location="body") from None
    reports = await deps.database.run(lambda connection: import_rows(deps, connection, rows, body, scope=caller.scope))
    await send_configurations(deps, [report.device_id for report in reports])
    counts = {status: sum(report.status == status for report in reports) for status in ("created", "skipped", "failed")}
    return envelope_response({"total": len(reports), **counts, "rows": [report.content() for report in reports]})


@router.get(
    "/export",
    name="export_cameras",
    dependencies=[
        Depends(_require_read),
        Depends(require_if("include_credentials", "export:credentials")),
    ],
    summary="Export cameras",
    responses=_EXPORT_RESPONSES,
    response_class=Response,
)
async def get_export(
    caller: Annotated[Principal, Depends(_require_read)], deps: Deps, params: Annotated[ExportParameters, Query()]
) -> Response:
    """All cameras, or those of one group, as CSV or JSON. The file can be imported again.

    In CSV, cells that a spreadsheet could interpret as a formula are prefixed with `'`; an import removes it.
    """
    rows = await deps.database.run(lambda connection: _exported(deps, connection, params, caller.scope))
    headers = {
        "Content-Disposition": f'attachment; filename="cameras.{params.format}"',
        "Cache-Control": "no-store" if params.include_credentials else "private, no-cache",
    }
    if params.format == "json":
        return envelope_response(rows, meta={"total": len(rows)}, headers=headers)
    columns = COLUMNS + (CREDENTIAL_COLUMNS if params.include_credentials else ())
    return Response(csv_file(rows, columns), headers=headers, media_type="text/csv; charset=utf-8")


def _form_fields(content_type: str, body: bytes) -> dict[str, str]:
    try:
        parts = read_form(content_type, body)
    except ValueError as error:
        raise invalid_parameter("body", str(error), location="body") from None
    fields: dict[str, str] = {}
    for part in parts:
        if part.name in fields or (part.name == "file" and "data" in fields):
            raise invalid_parameter(part.name[:100], "is given more than once", location="body")
        if part.name == "file":
            fields["data"] = b64encode(part.content).decode()
            extension = (part.filename or "").rpartition(".")[2].lower()
            if extension in ("csv", "json"):
                fields.setdefault("format", extension)
        else:
            fields[part.name] = part.content.decode("utf-8", "replace")
    return fields


def _exported(
    deps: Dependencies, connection: Connection, params: ExportParameters, scope: CameraScope | None
) -> list[dict[str, Any]]:
    if params.group_id is not None:
        existing_group(find_group(connection, params.group_id, scope=scope))
    cameras, _ = list_cameras(connection, CameraFilter(group=params.group_id, scope=scope))
    rows = [_row(camera) for camera in cameras]
    if params.include_credentials:
        for row, camera in zip(rows, cameras, strict=True):
            row["username"] = camera.fields.username
            row["password"] = _password(deps, connection, camera)
    return rows


def _row(camera: Camera) -> dict[str, Any]:
    fields = camera.fields
    values = {"slug": camera.slug, "group": camera.group_slug}
    return {name: values[name] if name in values else getattr(fields, name) for name in COLUMNS}


def _password(deps: Dependencies, connection: Connection, camera: Camera) -> str | None:
    if camera.fields.password_sealed is None:
        return None
    try:
        return deps.camera_passwords.open(connection, camera.fields.password_sealed, camera_id=camera.id)
    except (ConfigurationError, PermanentError) as error:
        logger.warning("the password of camera %s cannot be opened: %s", camera.slug, error)
        detail = f"The password of camera {camera.slug} cannot be opened. The server log says why."
        raise Problem(503, "camera-keys-away", detail) from error
