"""Requests of a CloudFormation custom resource, and the answers to them.

CloudFormation waits for the answer at a signed address, which is as good as a password: it is never logged.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

from shared.errors import ConfigurationError, TransientError
from shared.redact import redact

PHYSICAL_ID: Final = "vedette-schema"
"""Always the same, so that CloudFormation never replaces the resource and then deletes the old one."""
_MAX_REASON: Final = 1000
"""Characters; the whole answer may have 4,096 bytes."""
_ATTEMPTS: Final = 5
_TIMEOUT_S: Final = 10.0
_OK: Final = 200


class CustomResource(NamedTuple):
    """One request. No repr of it is logged, because of ``response_url``."""

    request_type: str
    response_url: str
    stack_id: str
    request_id: str
    logical_id: str
    revision: str | None

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Self | None:
        """Return the request of CloudFormation; None for an event that has none.

        Raises ConfigurationError for an incomplete one.
        """
        if "ResponseURL" not in event:
            return None
        try:
            return cls(
                request_type=event["RequestType"],
                response_url=event["ResponseURL"],
                stack_id=event["StackId"],
                request_id=event["RequestId"],
                logical_id=event["LogicalResourceId"],
                revision=event.get("ResourceProperties", {}).get("Revision"),
            )
        except KeyError as error:
            raise ConfigurationError(f"a request of CloudFormation lacks {error.args[0]}") from None


def send_response(
    request: CustomResource,
    *,
    data: Mapping[str, Any] | None = None,
    failure: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Report to CloudFormation that the request succeeded, or with ``failure`` why it did not.

    Raises TransientError if the address cannot be reached or refuses the answer.
    """
    answer = {
        "Status": "SUCCESS" if failure is None else "FAILED",
        "Reason": redact(failure or "done").encode("ascii", "replace").decode("ascii")[:_MAX_REASON],
        "PhysicalResourceId": PHYSICAL_ID,
        "StackId": request.stack_id,
        "RequestId": request.request_id,
        "LogicalResourceId": request.logical_id,
        "Data": dict(data or {}),
    }
    body = json.dumps(answer).encode()
    attempt = 1
    while (reason := _put(request.response_url, body)) is not None:
        if attempt == _ATTEMPTS:
            raise TransientError(f"the result of the migration could not be reported to CloudFormation: {reason}")
        sleep(2.0**attempt)
        attempt += 1


def _put(url: str, body: bytes) -> str | None:
    """Send the answer; return why it was not accepted. The signature covers an empty content type."""
    address = urlsplit(url)
    kind = http.client.HTTPConnection if address.scheme == "http" else http.client.HTTPSConnection
    connection = kind(address.netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("PUT", f"{address.path}?{address.query}", body=body, headers={"Content-Type": ""})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()
    return None if status == _OK else f"HTTP {status}"
