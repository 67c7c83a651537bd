"""The Lambda function of the API. It accepts events of API Gateway: HTTP API payload 2.0, REST API payload 1.0, and
those of a WebSocket API.

The application is created during the first call, so that importing this module reads no settings and opens no
connection. Where Lambda imports it ahead of the requests (SnapStart, provisioned concurrency), the application and the
client that sends commands are created at import. Mangum's ``lifespan`` is off, because Mangum would run start-up and
shutdown for every request.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

from cloud_functions.api.http.envelope import error_envelope, is_enveloped
from cloud_functions.api.http.limits import LAMBDA_RESPONSE_BYTES
from cloud_functions.api.http.problems import PROBLEM_MEDIA_TYPE, TYPE_PREFIX
from cloud_functions.aws import starts_ahead_of_requests
from cloud_functions.observability import invocation_ids

if TYPE_CHECKING:
    from cloud_functions.api.websocket.handler import StreamHandler

log = logging.getLogger(__name__)

TEXT_TYPES = [*DEFAULT_TEXT_MIME_TYPES, PROBLEM_MEDIA_TYPE, "application/x-ndjson", "image/svg+xml"]
"""Media types sent as text. Mangum sends all others as base64, which the gateway decodes."""

LambdaEvent = dict[str, Any]
_LIMIT_BYTES = LAMBDA_RESPONSE_BYTES - 1024
_MAX_JSON_BYTES_PER_CHARACTER = 12
_HEADERS_BYTES = 64 * 1024


class ApiHandler:
    """The API of one execution environment: its application and event loop, created during the first call."""

    def __init__(self, *, make_app: Callable[[], FastAPI]) -> None:
        self._make_app = make_app
        self._app: FastAPI | None = None
        self._adapter: Mangum | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, event: LambdaEvent, context: Any) -> dict[str, Any]:
        invocation_ids().begin(context)
        adapter, loop = self._ready()
        if "connectionId" in event.get("requestContext", {}):
            return loop.run_until_complete(self._stream_handler().handle(event))
        asyncio.set_event_loop(loop)  # Mangum uses the current loop, which another handler may have replaced
        return within_limit(adapter(event, context), event)

    def _stream_handler(self) -> StreamHandler:
        """Return what handles the events of the WebSocket's gateway."""
        from cloud_functions.api.websocket.handler import StreamHandler

        assert self._app is not None  # noqa: S101 - ``_ready`` was called
        return StreamHandler(self._app.state.dependencies)

    def prepare(self) -> None:
        """Create the application and what would delay its first requests. Opens no connection."""
        self._ready()
        if self._app is not None and (prepare := self._app.state.dependencies.prepare) is not None:
            prepare()

    def _ready(self) -> tuple[Mangum, asyncio.AbstractEventLoop]:
        if self._adapter is None or self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
            self._app = self._make_app()
            self._adapter = Mangum(self._app, lifespan="off", text_mime_types=TEXT_TYPES)
        return self._adapter, self._loop

    def close(self) -> None:
        """Close connections and the event loop. Only tests call this: Lambda freezes the environment instead."""
        if self._app is not None and self._loop is not None:
            if hasattr(self._app.state, "dependencies"):
                self._app.state.dependencies.close()
            asyncio.set_event_loop(None)
            self._loop.close()
            self._loop = self._adapter = self._app = None


def within_limit(result: dict[str, Any], event: LambdaEvent) -> dict[str, Any]:
    """Return the response to ``event``, or a 422 problem in its place if Lambda would reject it as too large.

    The size is that of the runtime's JSON, which escapes quotes and characters outside ASCII in the body. Every
    response passes this check.
    """
    body: str = result.get("body") or ""
    max_size = len(body) * _MAX_JSON_BYTES_PER_CHARACTER + _HEADERS_BYTES
    if max_size <= LAMBDA_RESPONSE_BYTES or len(json.dumps(result)) <= _LIMIT_BYTES:
        return result
    log.error("response of %d characters exceeds Lambda's limit of %d bytes", len(body), LAMBDA_RESPONSE_BYTES)
    problem, media_type = _too_large(event, enveloped=is_enveloped(body))
    is_multi_value = "multiValueHeaders" in result
    headers = {"content-type": [media_type]} if is_multi_value else {"content-type": media_type}
    return result | {
        "statusCode": HTTPStatus.UNPROCESSABLE_ENTITY.value,
        "multiValueHeaders" if is_multi_value else "headers": headers,
        "body": json.dumps(problem),
        "isBase64Encoded": False,
    }


def _too_large(event: LambdaEvent, *, enveloped: bool) -> tuple[dict[str, Any], str]:
    """Return the error for a response that is too large, and its media type."""
    code, message = "answer-too-large", "The response is too large. Request fewer items at a time."
    request_id = str(event.get("requestContext", {}).get("requestId", ""))
    if enveloped:
        return error_envelope(code=code, message=message, details=(), request_id=request_id), "application/json"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    problem = {"type": TYPE_PREFIX + code, "title": status.phrase, "status": status.value, "detail": message}
    problem["request_id"] = request_id
    return problem, PROBLEM_MEDIA_TYPE


def lambda_app_from_environment() -> FastAPI:
    """Return the application with the settings of the environment. Imports it here, so that the module loads fast."""
    from cloud_functions.api.http.request_ids import RequestIdFilter
    from cloud_functions.api.settings import ApiSettings
    from cloud_functions.api.wiring import lambda_app
    from cloud_functions.observability import configure_logging
    from cloud_functions.settings import warn_of_obsolete_variables

    configure_logging(service="api", variables=os.environ, filters=[RequestIdFilter()])
    warn_of_obsolete_variables()
    return lambda_app(ApiSettings.from_environment())


handler = ApiHandler(make_app=lambda_app_from_environment)
if starts_ahead_of_requests(os.environ):
    handler.prepare()
