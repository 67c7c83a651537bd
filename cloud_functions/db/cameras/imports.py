"""What an import compares its rows with."""

from __future__ import annotations

from typing import NamedTuple

from cloud_functions.db.cameras.changes import lock_for_import
from cloud_functions.db.types import Connection


class KnownCameras(NamedTuple):
    """Slugs and names (in folded case) and addresses of all cameras. An import adds its own."""

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


def lock_and_load_cameras(connection: Connection) -> KnownCameras:
    """Wait for other imports and changes of cameras to end, and return what is known of all cameras."""
    lock_for_import(connection)
    known = KnownCameras(set(), set(), set())
    for slug, name, address in connection.execute("SELECT slug, name, rtsp_url FROM cameras"):
        known.add(slug=slug, name=name, address=address)
    return known
