"""Cross-origin requests: none by default; preflight and headers for the origins in the configuration only."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from cloud_functions.api.http.middleware.cors import EXPOSED, HEADERS, METHODS
from cloud_functions.api.security.rate_limit.gcra import RateLimit, decide
from cloud_functions.api.settings import ApiSettings
from cloud_functions.api.wiring import lambda_app, server_app
from cloud_functions.settings import DatabaseSettings
from shared.errors import ConfigurationError

APP = "https://app.example"
PREFLIGHT = {"access-control-request-method": "DELETE", "access-control-request-headers": "x-api-key"}


def _settings(origins: str) -> ApiSettings:
    variables = {"DATABASE_URL": "postgresql://127.0.0.1:1/none", "SNAPSHOT_BUCKET": "b", "CORS_ORIGINS": origins}
    return ApiSettings.from_environment(variables)


def _ask(app: FastAPI, method: str, *, origin: str, **headers: str) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, "/api/nothing", headers={"origin": origin, **headers})

    return asyncio.run(send())


def _cors(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("make", [lambda_app, server_app])
def test_without_configuration_no_page_elsewhere_may_read(make: Any) -> None:
    """No header allows it; a server rejects the request."""
    app = make(_settings(""))
    for method, headers in (("GET", {}), ("OPTIONS", PREFLIGHT)):
        assert _cors(_ask(app, method, origin=APP, **headers)) == {}
    app.state.dependencies.close()


@pytest.mark.parametrize("make", [lambda_app, server_app])
def test_a_named_origin_may_read_with_credentials(make: Any) -> None:
    """Preflight names methods and headers; responses, errors too, name the origin and the headers that may be read."""
    app = make(_settings(f"{APP}, http://localhost:3000"))
    preflight = _ask(app, "OPTIONS", origin=APP, **PREFLIGHT)
    assert (preflight.status_code, preflight.content) == (204, b"")
    assert preflight.headers["access-control-allow-origin"] == APP
    assert preflight.headers["access-control-allow-credentials"] == "true"
    assert "DELETE" in preflight.headers["access-control-allow-methods"]
    assert "X-API-Key" in preflight.headers["access-control-allow-headers"]
    answer = _ask(app, "GET", origin=APP)
    assert answer.status_code == 404
    assert answer.headers["access-control-allow-origin"] == APP
    assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
    assert "Origin" in answer.headers["vary"]
    app.state.dependencies.close()


@pytest.mark.parametrize(
    "origin", ["https://app.example.evil", "http://app.example", "https://app.example:444", "null"]
)
def test_another_origin_may_not(origin: str) -> None:
    """The comparison is exact: scheme, host and port."""
    app = lambda_app(_settings(APP))
    for method, headers in (("GET", {}), ("OPTIONS", PREFLIGHT)):
        answer = _ask(app, method, origin=origin, **headers)
        assert _cors(answer) == {}
        assert answer.headers["vary"] == "Origin"
    app.state.dependencies.close()


@pytest.mark.parametrize("make", [lambda_app, server_app])
def test_a_star_allows_every_origin_without_credentials(make: Any) -> None:
    """A browser then sends no cookies, so no page can act as the user."""
    app = make(_settings("*"))
    for method, headers in (("GET", {}), ("OPTIONS", PREFLIGHT)):
        answer = _ask(app, method, origin="https://any.example", **headers)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
    app.state.dependencies.close()


def test_options_that_is_no_preflight_is_not_answered() -> None:
    """Without ``Access-Control-Request-Method`` the path decides."""
    app = lambda_app(_settings(APP))
    assert _ask(app, "OPTIONS", origin=APP).status_code == 404
    app.state.dependencies.close()


@pytest.mark.parametrize(
    "origins",
    [
        "app.example",
        "https://app.example/path",
        "https://*.example",
        "null",
        f"{APP} *",
        "ftp://a",
        "https://a:0",
        "//a",
    ],
)
def test_an_invalid_origin_is_reported(origins: str) -> None:
    """The error names the variable."""
    with pytest.raises(ConfigurationError, match="CORS_ORIGINS"):
        _settings(origins)


def test_the_settings_take_commas_and_spaces() -> None:
    """Case and a slash at the end do not matter."""
    settings = _settings("HTTPS://App.Example/ , http://[::1]:3000")
    assert settings.cors_origins == ("https://app.example", "http://[::1]:3000")
    assert ApiSettings(database=DatabaseSettings(), bucket="b").cors_origins == ()


def test_each_method_and_header_of_the_api_may_be_used() -> None:
    """The lists are compared with the document of the API, and with the headers of the rate limit."""
    app = lambda_app(_settings(APP))
    operations = [(method, each) for path in app.openapi()["paths"].values() for method, each in path.items()]
    app.state.dependencies.close()
    parameters = [parameter for _, operation in operations for parameter in operation.get("parameters", [])]
    responses = [response for _, operation in operations for response in operation["responses"].values()]
    readable = {name for response in responses for name in response.get("headers", {})}
    decision, _ = decide(RateLimit(60, 1), arrival_s=0.0, now_s=0.0)
    assert {method.upper() for method, _ in operations} <= set(METHODS.split(", "))
    assert {one["name"] for one in parameters if one["in"] == "header"} <= set(HEADERS.lower().split(", "))
    assert readable | set(decision.headers()) <= set(EXPOSED.split(", "))
