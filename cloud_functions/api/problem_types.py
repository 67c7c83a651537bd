"""The table of all problem types that the API returns. The API reference and a test are derived from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One problem type: the status of its responses and when the API returns it."""

    status: int
    description: str


PROBLEM_TYPES: Final[Mapping[str, ProblemType]] = MappingProxyType(
    {
        "unreadable-body": ProblemType(400, "The body is not valid JSON."),
        "not-authenticated": ProblemType(401, "The request has no credentials. Log in, or send an API key."),
        "invalid-token": ProblemType(
            401, "The access token, the API key or the session is invalid, has expired or was revoked."
        ),
        "invalid-credentials": ProblemType(401, "The user does not exist, is disabled, or the password is wrong."),
        "invalid-reset-token": ProblemType(
            401, "The reset token is invalid, has expired or was used. Ask for another one."
        ),
        "invalid-refresh-token": ProblemType(
            401, "The refresh token is invalid, has expired, was used before or was revoked. Log in again."
        ),
        "forbidden": ProblemType(403, "The caller does not have the permission that the request needs."),
        "limited-to-groups": ProblemType(
            403, "The caller is limited to camera groups, and the route concerns more than their cameras."
        ),
        "outside-groups": ProblemType(
            403, "The request would put a camera outside of the camera groups that the caller is limited to."
        ),
        "not-a-user": ProblemType(403, "Only a user has a password: the caller is an API key, or anonymous."),
        "exceeds-own-permissions": ProblemType(
            403, "The request would grant, or concerns a user with, a permission that the caller does not have."
        ),
        "foreign-origin": ProblemType(
            403,
            "A server rejected the `Host` or `Origin` header (see `ALLOWED_HOSTS`), or a page of another site sent the"
            " request.",
        ),
        "https-required": ProblemType(403, "Logging in to the dashboard needs https. See `SESSION_OVER_HTTP`."),
        "plates-protected": ProblemType(403, "The plates of the site are protected, and the caller may not read them."),
        "not-found": ProblemType(404, "The path does not exist."),
        "users-not-enabled": ProblemType(404, "The gateway authorizes callers, so there are no log-ins."),
        "event-not-found": ProblemType(404, "The event does not exist."),
        "no-snapshot": ProblemType(404, "The event or the camera has no snapshot, or the snapshot no such image."),
        "snapshot-pending": ProblemType(
            404, "The device has not uploaded the snapshot yet. Retry after `Retry-After`."
        ),
        "snapshot-gone": ProblemType(404, "The snapshot was deleted, or the device never uploaded it."),
        "snapshot-not-found": ProblemType(404, "The requested snapshot does not exist."),
        "plate-not-found": ProblemType(404, "The plate has no reads."),
        "watchlist-not-found": ProblemType(404, "The watch-list does not exist."),
        "pattern-not-found": ProblemType(404, "The watch-list has no pattern with this id."),
        "camera-not-found": ProblemType(404, "The camera does not exist."),
        "device-not-found": ProblemType(404, "The device does not exist."),
        "report-not-found": ProblemType(404, "No health report was stored on the day."),
        "command-not-found": ProblemType(404, "The command to a device does not exist."),
        "group-not-found": ProblemType(404, "The camera group does not exist."),
        "user-not-found": ProblemType(404, "The user does not exist."),
        "key-not-found": ProblemType(404, "The API key does not exist."),
        "webhook-not-found": ProblemType(404, "The webhook does not exist."),
        "policy-not-found": ProblemType(404, "The retention policy does not exist."),
        "hold-not-found": ProblemType(404, "The legal hold does not exist."),
        "delivery-not-found": ProblemType(404, "The webhook has no delivery with this id."),
        "replay-not-found": ProblemType(404, "The replay does not exist."),
        "method-not-allowed": ProblemType(405, "The path does not support the method. See `Allow`."),
        "name-taken": ProblemType(409, "Another watch-list, camera group, user, API key or webhook has this name."),
        "last-admin": ProblemType(409, "The change would leave no active admin who is not limited to camera groups."),
        "on-hold": ProblemType(409, "A legal hold protects the event or the snapshot; `detail` names it."),
        "hold-released": ProblemType(409, "The legal hold was released before."),
        "policy-exists": ProblemType(409, "Another retention policy has the same target."),
        "slug-taken": ProblemType(409, "Another camera has this slug."),
        "camera-without-device": ProblemType(409, "No device runs the camera: its `device_id` is not set."),
        "device-offline": ProblemType(409, "The device has sent no heartbeat for 90 seconds, or never."),
        "no-password-key": ProblemType(
            409, "A camera password cannot be stored, because `PLATE_MASTER_KEY` is not set on the API."
        ),
        "no-webhook-key": ProblemType(
            409, "The secret of a webhook cannot be stored, because `PLATE_MASTER_KEY` is not set on the API."
        ),
        "too-many-webhooks": ProblemType(409, "The deployment has as many webhooks as it may have."),
        "webhook-disabled": ProblemType(409, "The webhook is disabled, so nothing is delivered to it."),
        "too-many-replays": ProblemType(409, "As many replays are open as may be. Wait for one to end, or cancel one."),
        "replay-ended": ProblemType(409, "The replay has ended, so it cannot be cancelled."),
        "camera-inactive": ProblemType(409, "The camera is switched off."),
        "several-cameras": ProblemType(409, "The path names a device with several cameras. Name the camera."),
        "changed-meanwhile": ProblemType(
            412, "`If-Match` does not name the current version. Get the resource again, and repeat the change."
        ),
        "body-too-large": ProblemType(413, "The body is larger than 6 MiB."),
        "invalid-parameter": ProblemType(422, "Parameters or body fields are invalid. `errors` lists them."),
        "answer-too-large": ProblemType(422, "The response is too large for Lambda. Request fewer items."),
        "replay-too-large": ProblemType(422, "More than 100,000 events match a replay. Narrow its span or its filter."),
        "group-too-large": ProblemType(422, "The group has too many active cameras for one capture."),
        "import-rejected": ProblemType(
            422, "Rows of an import are invalid, and it asked for all or nothing. `details` lists them."
        ),
        "too-many-protected": ProblemType(422, "A search would decrypt too many protected plates. Narrow it."),
        "too-many-attempts": ProblemType(429, "Too many log-in attempts. Retry after `Retry-After`."),
        "too-many-connections": ProblemType(429, "The caller has too many WebSocket connections. Close one first."),
        "too-many-requests": ProblemType(429, "The caller sends too many requests. Retry after `Retry-After`."),
        "internal-error": ProblemType(500, "The request failed because of an internal error."),
        "snapshot-failed": ProblemType(502, "The device could not take the snapshot; `detail` has its reason."),
        "too-slow": ProblemType(503, "The query took longer than the statement timeout. Narrow it."),
        "unavailable": ProblemType(503, "A service is temporarily unavailable. Retry after `Retry-After`."),
        "plate-keys-away": ProblemType(503, "The keys of protected plates are unavailable."),
        "camera-keys-away": ProblemType(503, "The key of camera passwords is unavailable."),
        "device-silent": ProblemType(
            504, "The device did not answer in time. The command has the reply, once it comes."
        ),
    }
)
