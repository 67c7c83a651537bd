"""``/``: the dashboard for browsers, the name of the service for programs; and the dashboard's files.

The page needs no permission: it holds no data. The addresses of its files contain the digest of all of them, so that
browsers keep them without asking again, and modules import each other by relative paths without a build step.
"""

from __future__ import annotations

import hashlib
from html import escape
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from cloud_functions.api.dashboard.static_files import INDEX, StaticFiles
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.http.strict_route import StrictRoute
from shared import __version__

router = APIRouter(route_class=StrictRoute)

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "require-trusted-types-for 'script'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}
_IMMUTABLE: Final = "public, max-age=31536000, immutable"
_REVALIDATED: Final = "no-cache"
_ASSETS: Final = "@ASSETS@"
_ROOT: Final = "@ROOT@"
"""What stands in ``index.html`` for the address of the files, and for the path prefix that a gateway removes."""


@router.get("/", name="service")
async def get_service(request: Request) -> Response:
    """The dashboard for a client that accepts HTML; else the name and version of the service."""
    root = _root(request)
    if "text/html" in request.headers.get("accept", ""):
        return _page(_files(request), root)
    links = {"docs": f"{root}/docs", "health": f"{root}/health"}
    return JSONResponse({"service": "vedette", "version": __version__, **links}, headers={"Vary": "Accept"})


@router.get("/assets/{version}/{name:path}", name="dashboard_file")
async def get_file(request: Request, version: str, name: str) -> Response:
    """One file of the dashboard. With the digest of another release, it is the current file, and not kept."""
    files = _files(request)
    file = files.files.get(name)
    if file is None or name == INDEX:
        raise Problem(404, "not-found", "This file does not exist.")
    headers = {
        "Cache-Control": _IMMUTABLE if version == files.version else _REVALIDATED,
        "Cross-Origin-Resource-Policy": "same-origin",
        "ETag": file.etag,
    }
    return Response(file.content, media_type=file.media_type, headers=headers)


def _page(files: StaticFiles, root: str) -> Response:
    file = files.files[INDEX]
    assets = f"{root}/assets/{files.version}"
    text = file.content.decode().replace(_ASSETS, escape(assets)).replace(_ROOT, escape(root))
    etag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    headers = {**_PAGE_HEADERS, "Cache-Control": _REVALIDATED, "ETag": etag, "Vary": "Accept"}
    return Response(text, media_type=file.media_type, headers=headers)


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def _files(request: Request) -> StaticFiles:
    return request.app.state.static_files
