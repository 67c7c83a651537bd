"""The documentation pages ``/docs`` and ``/redoc``, served without a CDN.

The scripts are files of the ``fastapi-offline`` wheel. If the wheel is not installed, the pages link to
``/openapi.json`` instead.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from base64 import b64encode
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import HTMLResponse, JSONResponse, Response

from cloud_functions.api.http.problems import Problem

OPENAPI_PATH = "/openapi.json"
ASSETS = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "redoc.standalone.js": "text/javascript; charset=utf-8",
    "favicon.png": "image/png",
}
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'none'"
)
"""Besides the packaged scripts, only the one that is in the page itself. No other site may show the page in a frame."""
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_WITHOUT_ASSETS = """<!doctype html><html lang="en"><title>Vedette API</title>
<p>The interactive documentation needs the Python package <code>fastapi-offline</code>, which is not installed.
<p>The OpenAPI document is at <a href="{openapi}">{openapi}</a>. Any OpenAPI viewer can open it."""


def packaged_assets() -> Path | None:
    """Return the folder of scripts in the ``fastapi-offline`` wheel, or None if it is not installed."""
    spec = importlib.util.find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "static"
    return folder if all((folder / name).is_file() for name in ASSETS) else None


def _protected(page: HTMLResponse) -> HTMLResponse:
    """Return the page with its content security policy."""
    scripts = (hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page.body))
    hashes = " ".join(f"'sha256-{b64encode(digest).decode()}'" for digest in scripts)
    page.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY.format(scripts=hashes)
    return page


def add_docs_pages(app: FastAPI, *, assets: Path | None) -> None:
    """Add ``/docs``, ``/redoc``, their assets and ``/openapi.json``."""

    def root(request: Request) -> str:
        return str(request.scope.get("root_path", "")).rstrip("/")

    def urls(request: Request) -> tuple[str, str]:
        return f"{root(request)}{OPENAPI_PATH}", f"{root(request)}/docs-assets"

    async def openapi_document() -> JSONResponse:
        return JSONResponse(app.openapi())

    async def swagger(request: Request) -> HTMLResponse:
        openapi, files = urls(request)
        if assets is None:
            return _protected(HTMLResponse(_WITHOUT_ASSETS.format(openapi=openapi)))
        page = get_swagger_ui_html(
            openapi_url=openapi,
            title=app.title,
            swagger_js_url=f"{files}/swagger-ui-bundle.js",
            swagger_css_url=f"{files}/swagger-ui.css",
            swagger_favicon_url=f"{files}/favicon.png",
            swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0},
        )
        return _protected(page)

    async def redoc(request: Request) -> HTMLResponse:
        openapi, files = urls(request)
        if assets is None:
            return _protected(HTMLResponse(_WITHOUT_ASSETS.format(openapi=openapi)))
        page = get_redoc_html(
            openapi_url=openapi,
            title=app.title,
            redoc_js_url=f"{files}/redoc.standalone.js",
            redoc_favicon_url=f"{files}/favicon.png",
            with_google_fonts=False,
        )
        return _protected(page)

    async def asset(name: str) -> Response:
        if assets is None or name not in ASSETS:
            raise Problem(404, "not-found", "This file does not exist.")
        headers = {"Cache-Control": "public, max-age=86400"}
        return Response((assets / name).read_bytes(), media_type=ASSETS[name], headers=headers)

    app.add_api_route(OPENAPI_PATH, openapi_document, include_in_schema=False)
    app.add_api_route("/docs", swagger, include_in_schema=False)
    app.add_api_route("/redoc", redoc, include_in_schema=False)
    app.add_api_route("/docs-assets/{name}", asset, include_in_schema=False)
