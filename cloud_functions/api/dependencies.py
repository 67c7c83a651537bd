"""What the routes work with; made once a process by its composition root, found on the app by the dependencies here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from fastapi import Depends, Request

from cloud_functions.api.backends.database import ApiDatabase
from cloud_functions.api.backends.health_probes import HealthProbe
from cloud_functions.api.backends.thread_pool import Workers
from cloud_functions.api.security.permissions import Authorizer
from cloud_functions.api.security.plate_access import PlateAccess
from cloud_functions.snapshot_store import SnapshotStore
from shared.clock import Clock

LAMBDA_RESPONSE_BYTES = 6 * 1024 * 1024
"""Lambda's limit for one response, the JSON around it and base64 included."""
LAMBDA_IMAGE_BYTES = LAMBDA_RESPONSE_BYTES // 4 * 3 - 64 * 1024
LAMBDA_EXPORT_BYTES = LAMBDA_RESPONSE_BYTES - 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one response may hold; None is no limit, for a server that can stream."""

    image_bytes: int
    export_bytes: int | None
    signed_url_s: int = 900
    in_json: bool = True
    """Whether an answer travels as a text inside JSON, as Lambda's does: quotes and other characters grow there."""

    @property
    def answer_bytes(self) -> int:
        """The most that one answer other than a picture may take, as it is sent."""
        return _SERVER_ANSWER_BYTES if self.export_bytes is None else self.export_bytes

    def sent_bytes(self, text: str) -> int:
        """Return how many bytes ``text`` takes as it is sent; Lambda's runtime may escape what is no ASCII."""
        return len(json.dumps(text)) - 2 if self.in_json else len(text.encode())

    def surely_fits(self, characters: int) -> bool:
        """Return whether an answer of so many characters fits whatever they are."""
        return characters * (_MOST_BYTES_A_CHARACTER if self.in_json else 4) < self.answer_bytes // 2


_SERVER_ANSWER_BYTES = 64 * 1024 * 1024
_MOST_BYTES_A_CHARACTER = 12
"""A character beyond the basic plane is two escapes of six bytes."""
LAMBDA_LIMITS = Limits(image_bytes=LAMBDA_IMAGE_BYTES, export_bytes=LAMBDA_EXPORT_BYTES)
SERVER_LIMITS = Limits(image_bytes=64 * 1024 * 1024, export_bytes=None, in_json=False)


class Closes(Protocol):
    """Something to let go of."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Resources:
    """One process's collaborators."""

    database: ApiDatabase
    snapshots: SnapshotStore
    authorizer: Authorizer
    probes: tuple[HealthProbe, ...]
    workers: Workers
    clock: Clock
    limits: Limits
    plates: PlateAccess = field(default_factory=PlateAccess)
    of_health: tuple[Closes, ...] = ()
    """Threads and connections for health alone, in the order in which they are closed."""

    def close(self) -> None:
        """Let go of threads and connections."""
        for one in self.of_health:
            one.close()
        self.workers.close()
        self.database.close()


async def resources_of(request: Request) -> Resources:
    """Dependency: this app's resources."""
    return request.app.state.resources


Here = Annotated[Resources, Depends(resources_of)]
