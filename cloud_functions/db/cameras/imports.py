"""What an import compares its rows with."""

from __future__ import annotations

from typing import Final, NamedTuple

from cloud_functions.db.cameras.changes import lock_for_import, reported_camera_ids
from cloud_functions.db.cameras.scope import CAMERA_IN_SCOPE, CameraScope
from cloud_functions.db.types import Connection

_ALL: Final = "SELECT slug, name, rtsp_url FROM cameras"
_IN_SCOPE: Final = _ALL + " WHERE " + CAMERA_IN_SCOPE
_SLUGS: Final = "SELECT lower(slug) FROM cameras"


class KnownCameras(NamedTuple):
    """Slugs and names (in folded case) and addresses of cameras. An import adds its own."""

    slugs: set[str]
    names: set[str]
    addresses: set[str]

    def has(self, *, slug: str | None, name: str, address: str) -> bool:
        """Return whether the row's camera exists, compared by slug or, without a slug, by name or address."""
        if slug is not None:
            return slug.casefold() in self.slugs
        return name.casefold() in self.names or address in self.addresses

    def add(self, *, slug: str, name: str, address: str) -> None:
        """Add a camera that was created."""
        self.slugs.add(slug.casefold())
        self.names.add(name.casefold())
        self.addresses.add(address)


def lock_and_load_cameras(connection: Connection, *, scope: CameraScope | None = None) -> KnownCameras:
    """Wait for other imports and changes of cameras to end, and return what is known of all cameras.

    With a scope: the names and addresses of its cameras only, but all slugs that a new camera cannot have.
    """
    lock_for_import(connection)
    known = KnownCameras(set(), set(), set())
    query, parameters = (_ALL, None) if scope is None else (_IN_SCOPE, scope.parameters)
    for slug, name, address in connection.execute(query, parameters):
        known.add(slug=slug, name=name, address=address)
    if scope is not None:
        known.slugs.update(row[0] for row in connection.execute(_SLUGS))
        known.slugs.update(reported_camera_ids(connection))
    return known
