"""What a request may raise, by what the caller does about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

_TYPE_PREFIX: Final = "urn:vedette:problem:"


class VedetteClientError(Exception):
    """Any failure of a request."""


class ConnectionFailedError(VedetteClientError):
    """The server cannot be reached, or did not answer in time."""


class ApiError(VedetteClientError):
    """The server answered with an error; the attributes are those of its problem document or envelope."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}" + (f" (request {request_id})" if request_id else ""))
        self.status = status
        self.code = code
        """The problem's type without its prefix, for example ``event-not-found``. Stable: programs can compare it."""
        self.detail = detail
        self.errors = tuple(errors)
        """Invalid parameters: ``parameter``, ``location`` and ``message`` of each."""
        self.request_id = request_id
        """Also in the server's log."""
        self.retry_after_s = retry_after_s


class AuthenticationError(ApiError):
    """401: log in, or send another API key."""


class PermissionDeniedError(ApiError):
    """403: the caller may not do this."""


class NotFoundError(ApiError):
    """404: the resource does not exist."""


class ConflictError(ApiError):
    """409 or 412: the resource is in another state, or was changed meanwhile. Get it again."""


class InvalidRequestError(ApiError):
    """400, 413 or 422: the request is wrong; ``errors`` names the parameters."""


class TooManyRequestsError(ApiError):
    """429: wait for ``retry_after_s``."""


class UnavailableError(ApiError):
    """5xx: a later attempt may succeed."""


_CLASSES: Final[Mapping[int, type[ApiError]]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    412: ConflictError,
    413: InvalidRequestError,
    422: InvalidRequestError,
    429: TooManyRequestsError,
}


def error_of(status: int, body: Any, headers: Mapping[str, str]) -> ApiError:
    """Return the error in a response: of a problem document, of an envelope, or of a proxy in between."""
    content = cast("Mapping[str, Any]", body) if isinstance(body, dict) else {}
    enveloped = content.get("error")
    retry_after = headers.get("retry-after", "")
    retry_after_s = float(retry_after) if retry_after.isdecimal() else None
    request_id = headers.get("x-request-id")
    kind = _CLASSES.get(status, UnavailableError if status >= 500 else ApiError)
    if isinstance(enveloped, dict):
        error = cast("Mapping[str, Any]", enveloped)
        code, detail, errors = error.get("code"), error.get("message"), error.get("details")
    else:
        code = str(content.get("type", "")).removeprefix(_TYPE_PREFIX)
        detail, errors = content.get("detail"), content.get("errors")
    return kind(
        status,
        str(code or "http-error"),
        str(detail or "the response is not one of this API"),
        errors=cast("Sequence[Mapping[str, str]]", errors) if isinstance(errors, list) else (),
        request_id=request_id,
        retry_after_s=retry_after_s,
    )
