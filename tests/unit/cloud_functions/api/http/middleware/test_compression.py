"""Large JSON responses are compressed for clients that accept it; nothing else is."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response, StreamingResponse

from cloud_functions.api.handler import ApiHandler
from cloud_functions.api.http.middleware.compression import MIN_BYTES, accepts_gzip
from tests.support.api_calls import http_api_event, lambda_api

LARGE = {"events": [{"id": number, "camera_id": "front-door"} for number in range(300)]}


@pytest.fixture
def app() -> FastAPI:
    """The application, with routes that return one kind of response each."""
    from cloud_functions.api.app import create_app

    handler, dependencies = lambda_api()
    handler.close()
    app = create_app(dependencies=dependencies)

    async def stream() -> Any:
        async def parts() -> AsyncGenerator[bytes]:
            for _ in range(3):
                yield b'"' + b"x" * MIN_BYTES + b'"\n'

        return StreamingResponse(parts(), media_type="application/json")

    async def large(no_store: bool = False, tag: bool = False) -> Any:
        headers = {"Cache-Control": "no-store"} if no_store else {}
        return JSONResponse(LARGE, headers=headers | ({"ETag": '"1-abc"'} if tag else {}))

    async def small() -> Any:
        return JSONResponse({"a": 1})

    async def image() -> Any:
        return Response(b"x" * 10_000, media_type="image/jpeg")

    for path, route in {"/stream": stream, "/large": large, "/small": small, "/image": image}.items():
        app.add_api_route(path, route)
    return app


def _get(app: FastAPI, path: str, method: str = "GET", **headers: str) -> dict[str, Any]:
    handler = ApiHandler(make_app=lambda: app)
    path, _, query = path.partition("?")
    event = http_api_event(method, path, query=query, headers={"accept-encoding": "gzip", **headers})
    try:
        return handler(event, None)
    finally:
        handler.close()


def test_a_large_json_response_is_compressed(app: FastAPI) -> None:
    """The client gets the same JSON in a fraction of the bytes, and caches know what it depends on."""
    import base64

    answer = _get(app, "/large")
    body = base64.b64decode(answer["body"])
    assert answer["headers"]["content-encoding"] == "gzip"
    assert answer["headers"]["content-length"] == str(len(body))
    assert json.loads(gzip.decompress(body)) == LARGE
    assert len(body) < len(json.dumps(LARGE)) / 4
    assert "Accept-Encoding" in answer["headers"]["vary"]


@pytest.mark.parametrize("path", ["/small", "/image", "/stream", "/large?no_store=true"])
def test_other_responses_are_not_compressed(app: FastAPI, path: str) -> None:
    """Small ones, images, streams, and those that may hold a secret."""
    assert "content-encoding" not in _get(app, path)["headers"]


def test_a_client_that_does_not_accept_gzip_gets_plain_json(app: FastAPI) -> None:
    """A cache must not give it the compressed response, so ``Vary`` is there too."""
    answer = _get(app, "/large", **{"accept-encoding": "br, gzip;q=0"})
    assert json.loads(answer["body"]) == LARGE
    assert "Accept-Encoding" in answer["headers"]["vary"]


def test_the_tag_of_a_compressed_response_still_matches(app: FastAPI) -> None:
    """It is a weak one, because the bytes differ, and ``If-None-Match`` gets a 304 for it."""
    tag = _get(app, "/large?tag=true")["headers"]["etag"]
    assert tag == 'W/"1-abc"'
    again = _get(app, "/large?tag=true", **{"if-none-match": tag})
    assert (again["statusCode"], again["body"]) == (304, "")


def test_head_has_the_headers_of_get(app: FastAPI) -> None:
    """Without a body."""
    answer = _get(app, "/large", "HEAD")
    assert (answer["headers"]["content-encoding"], answer["body"]) == ("gzip", "")


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("GZIP;q=0.5", True),
        ("br, gzip", True),
        ("*", True),
        ("*;q=0, gzip", True),
        ("gzip;q=0, *", False),
        ("gzip; q=0.0", False),
        ("gzip;q=x", False),
        ("br", False),
        ("", False),
    ],
)
def test_accept_encoding(header: str, accepted: bool) -> None:
    """RFC 9110: a weight of 0 excludes, and the name of a coding comes before ``*``."""
    assert accepts_gzip(Headers({"accept-encoding": header})) is accepted
