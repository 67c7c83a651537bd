"""What would delay the first requests is prepared ahead of them: when a server starts, or by the Lambda handler."""

from __future__ import annotations

import threading
from dataclasses import replace

import httpx

from cloud_functions.api.app import create_app
from cloud_functions.api.handler import ApiHandler
from tests.support.api_calls import http_api_event, lambda_api
from tests.support.served_app import served_app


def test_a_server_prepares_in_the_background() -> None:
    """It answers while the preparation still runs."""
    begun, may_end = threading.Event(), threading.Event()
    handler, dependencies = lambda_api()

    def prepare() -> None:
        begun.set()
        may_end.wait(20)

    try:
        with served_app(create_app(dependencies=replace(dependencies, prepare=prepare))) as address:
            assert begun.wait(20)
            assert httpx.get(f"{address}/api/nothing").status_code == 404
    finally:
        may_end.set()
        handler.close()


def test_the_lambda_handler_prepares_on_request_only() -> None:
    """Neither its creation nor a call prepares anything: an ordinary cold start would take longer."""
    prepared: list[str] = []
    made, dependencies = lambda_api()
    app = create_app(dependencies=replace(dependencies, prepare=lambda: prepared.append("client")))
    handler = ApiHandler(make_app=lambda: app)
    try:
        assert handler(http_api_event("GET", "/api/nothing"), None)["statusCode"] == 404
        assert prepared == []
        handler.prepare()
        assert prepared == ["client"]
    finally:
        handler.close()
        made.close()
