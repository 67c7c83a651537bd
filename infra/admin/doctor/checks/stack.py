"""The parts of a one-machine stack, and the API's own view of its services."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from infra.admin.doctor.causes import network_cause
from infra.admin.doctor.context import CONNECT_TIMEOUT_S, DoctorContext
from infra.local.status import read_status
from shared.diagnosis import Finding

_LARGEST_ANSWER: Final = 65_536


def parts(context: DoctorContext) -> Iterator[Finding]:
    """Whether every part of the stack runs."""
    if context.state is None:
        yield Finding("parts", "skipped", "not a one-machine stack (--state DIR)")
        return
    status = read_status(context.state)
    down = [part.name for part in status.parts if part.pid is None]
    if status.phase != "ready":
        text = f"the stack is {status.phase}"
        yield Finding("parts", "fault", text, f"vedette-local up --state {context.state.path}")
    elif down:
        text = f"not running: {', '.join(down)}"
        yield Finding("parts", "fault", text, f"vedette-local logs {down[0]} --state {context.state.path}")
    else:
        yield Finding("parts", "ok", f"all {len(status.parts)} parts of the stack run")


def api(context: DoctorContext) -> Iterator[Finding]:
    """What the API answers to GET /health."""
    if context.api_url is None:
        yield Finding("api", "skipped", "name the API with --api URL to check it")
        return
    url = context.api_url.rstrip("/")
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    if parts.scheme not in {"http", "https"}:
        yield Finding("api", "fault", "--api is not an http:// or https:// address", "correct --api")
        return
    try:
        status, body = _get(f"{url}/health")
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        cause = network_cause(reason if isinstance(reason, BaseException) else error, where=where, setting="--api")
        yield Finding("api", "fault", *cause)
        return
    failed = _failed(body)
    if status == 200 and not failed:
        yield Finding("api", "ok", f"GET /health at {where} finds all services usable")
    elif failed:
        text = f"GET /health at {where} answers {status}: not usable for the API: {', '.join(failed)}"
        remedy = "see the lines about these services, and the API's log"
        yield Finding("api", "fault" if status != 200 else "warning", text, remedy)
    else:
        text = f"GET /health at {where} answers {status}"
        yield Finding("api", "fault", text, "is it the API's address? See the API's log")


def _get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=CONNECT_TIMEOUT_S) as answer:  # noqa: S310 - http(s) only, see above
            return answer.status, answer.read(_LARGEST_ANSWER)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(_LARGEST_ANSWER)


def _failed(body: bytes) -> list[str]:
    """Return the names of the services that the answer reports as unusable."""
    try:
        checks: Any = json.loads(body).get("checks", {})
        return [name for name, check in checks.items() if check.get("status") == "failed"]
    except (ValueError, AttributeError):
        return []
