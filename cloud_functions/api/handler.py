"""The Lambda function: API Gateway (HTTP API payload 2.0, REST 1.0) in, the application's answer out.

The application is built on the first call, so importing this module reads no environment and opens nothing. Mangum's
``lifespan`` is off: left to itself it would run start-up and shut-down around every single request.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

from cloud_functions.api.dependencies import LAMBDA_RESPONSE_BYTES
from cloud_functions.api.http.problems import PROBLEM_MEDIA_TYPE

log = logging.getLogger(__name__)

TEXT_TYPES = [*DEFAULT_TEXT_MIME_TYPES, PROBLEM_MEDIA_TYPE, "application/x-ndjson"]
"""Sent as text; everything else is base64, which the gateway turns back into bytes."""

LambdaEvent = dict[str, Any]
_LIMIT_BYTES = LAMBDA_RESPONSE_BYTES - 1024
_MOST_GROWTH = 12
_HEADERS_BYTES = 64 * 1024


class ApiHandler:
    """One execution environment's API: its application and its event loop, made on the first call."""

    def __init__(self, *, make_app: Callable[[], FastAPI]) -> None:
        self._make_app = make_app
        self._app: FastAPI | None = None
        self._adapter: Mangum | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, event: LambdaEvent, context: Any) -> dict[str, Any]:
        if self._adapter is None or self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
            self._app = self._make_app()
            self._adapter = Mangum(self._app, lifespan="off", text_mime_types=TEXT_TYPES)
        asyncio.set_event_loop(self._loop)  # Mangum runs on the current one, and another handler may have been here
        return within_limit(self._adapter(event, context))

    def close(self) -> None:
        """Let go of connections and event loop; tests do, Lambda freezes the environment instead."""
        if self._app is not None and self._loop is not None:
            if hasattr(self._app.state, "resources"):
                self._app.state.resources.close()
            asyncio.set_event_loop(None)
            self._loop.close()
            self._loop = self._adapter = self._app = None


def within_limit(result: dict[str, Any]) -> dict[str, Any]:
    """Return the answer, or a problem in its place where Lambda would refuse it: the one check that meets all answers.

    Counted is what leaves: the body inside the runtime's JSON, which escapes quotes and whatever is no ASCII.
    """
    body: str = result.get("body") or ""
    if len(body) * _MOST_GROWTH + _HEADERS_BYTES <= LAMBDA_RESPONSE_BYTES or len(json.dumps(result)) <= _LIMIT_BYTES:
        return result
    log.error("an answer of %d characters is more than Lambda sends", len(body))
    problem = {
        "type": "urn:vedette:problem:answer-too-large",
        "title": HTTPStatus.UNPROCESSABLE_ENTITY.phrase,
        "status": HTTPStatus.UNPROCESSABLE_ENTITY.value,
        "detail": "This is too large for one answer; ask for fewer at a time.",
    }
    several = "multiValueHeaders" in result
    headers = {"content-type": [PROBLEM_MEDIA_TYPE]} if several else {"content-type": PROBLEM_MEDIA_TYPE}
    return result | {
        "statusCode": HTTPStatus.UNPROCESSABLE_ENTITY.value,
        "multiValueHeaders" if several else "headers": headers,
        "body": json.dumps(problem),
        "isBase64Encoded": False,
    }


def app_from_lambda_environment() -> FastAPI:
    """Build the application as Lambda runs it: one request at a time, answers that fit Lambda's limit."""
    from cloud_functions.api.backends.thread_pool import InlineWorkers
    from cloud_functions.api.dependencies import LAMBDA_LIMITS
    from cloud_functions.api.wiring import ApiSettings, build_app
    from cloud_functions.observability import configure_logging

    configure_logging(service="api", variables=os.environ)
    return build_app(ApiSettings.from_environment(), workers=InlineWorkers(), limits=LAMBDA_LIMITS)


handler = ApiHandler(make_app=app_from_lambda_environment)
