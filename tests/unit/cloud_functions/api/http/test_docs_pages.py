"""The documentation pages without a CDN."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from cloud_functions.api.http.docs_pages import ASSETS, packaged_assets
from tests.support.api_calls import Answer, ApiCalls, lambda_api

_ENVELOPED_PATHS = tuple(
    f"/api{path}"
    for path in (
        *("/api-keys", "/audit", "/cameras", "/commands", "/replay", "/retention", "/users", "/v1/devices"),
        *("/webhooks", "/websocket"),
    )
)


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    """A folder with a file for each asset."""
    for name in ASSETS:
        (tmp_path / name).write_text(f"content of {name}", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("not for everybody", encoding="utf-8")
    return tmp_path


def _get(path: str, assets: Path | None, *, accept: str = "*/*") -> Answer:
    handler, _ = lambda_api(docs_assets=assets)
    try:
        return ApiCalls(handler).call("GET", path, headers={"Accept": accept})
    finally:
        handler.close()


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_pages_load_only_local_files(page: str, assets: Path) -> None:
    """Every script, style sheet and icon of a page is served by the API."""
    answer = _get(page, assets)
    assert answer.status == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', answer.body.decode())
    assert loaded
    for address in loaded:
        assert address.startswith("/docs-assets/"), address
        assert _get(address, assets).status == 200


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
@pytest.mark.parametrize("is_installed", [True, False])
def test_the_pages_run_only_their_own_scripts_and_are_in_no_frame(
    page: str, assets: Path, *, is_installed: bool
) -> None:
    """A page of another site cannot put them under its own buttons, and no text in them can become a script."""
    answer = _get(page, assets if is_installed else None)
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert (policy["frame-ancestors"], policy["base-uri"], policy["default-src"]) == ("'none'", "'none'", "'none'")
    inline = re.findall(r"<script>(.*?)</script>", answer.body.decode(), re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline]
    assert policy["script-src"].split() == ["'self'", *(f"'sha256-{digest}'" for digest in hashes)]
    assert bool(hashes) == (is_installed and page == "/docs")


def test_only_the_listed_assets_are_served(assets: Path) -> None:
    """Other files in the folder, and files outside it, are a 404."""
    assert _get("/docs-assets/swagger-ui.css", assets).body == b"content of swagger-ui.css"
    for name in ("secret.txt", "..%2f..%2fetc%2fpasswd", "nothing.js"):
        assert _get(f"/docs-assets/{name}", assets).status == 404


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_without_the_package_the_pages_name_it(page: str) -> None:
    """The pages name the missing package and link to the OpenAPI document."""
    text = _get(page, None).body.decode()
    assert "fastapi-offline" in text
    assert 'href="/openapi.json"' in text
    assert "cdn" not in text.lower()


def test_an_installed_package_has_all_assets() -> None:
    """The folder has all assets, or it is None."""
    folder = packaged_assets()
    assert folder is None or all((folder / name).is_file() for name in ASSETS)


def test_the_openapi_document_is_complete() -> None:
    """Every operation has a summary, a description and problems; every parameter has a description; FastAPI's error
    models are gone."""
    description = _get("/openapi.json", None).json()
    text = str(description)
    assert "HTTPValidationError" not in text
    names = [operation["operationId"] for path in description["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(names)
    assert {"list_events", "get_event", "delete_events", "event_snapshot"} < set(names)
    assert "#/components/schemas/ProblemDocument" in text
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert len(operation["description"]) > 20, (method, path)
            is_enveloped = path.startswith(_ENVELOPED_PATHS) or path == "/api/auth/login"
            errors = "application/json" if is_enveloped else "application/problem+json"
            assert "health" in path or errors in operation["responses"]["422"]["content"]
            for parameter in operation.get("parameters", []):
                assert parameter.get("description"), (method, path, parameter["name"])
                assert "null" not in str(parameter["schema"]), (method, path, parameter["name"])
