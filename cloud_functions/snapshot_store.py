"""Reads, signs and deletes the snapshots of events in an S3 bucket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from cloud_functions.aws import AwsClients
from cloud_functions.object_storage.bucket import Bucket, ObjectInfo
from shared.errors import PermanentError


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One object; ``content`` is None if the object exceeds the requested size limit."""

    content: bytes | None
    size_bytes: int
    etag: str


class SnapshotStore(Protocol):
    """A bucket of snapshots. Every method may raise TransientError, or PermanentError if access is denied."""

    def read(self, key: str, *, limit_bytes: int) -> StoredImage | None:
        """Return the object, without content if it exceeds ``limit_bytes``; None if it does not exist."""
        ...

    def exists(self, key: str) -> bool:
        """Return whether the object exists."""
        ...

    def signed_url(self, key: str, *, filename: str, content_type: str, expires_s: int) -> str:
        """Return a presigned URL that downloads the object as ``filename`` without credentials."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Delete the objects; missing ones are ignored."""
        ...

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield the prefixes one level below ``prefix``, each with a trailing slash."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with ``prefix``."""
        ...

    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects whose keys begin with ``prefix`` and follow ``after``, in the order of their keys."""
        ...

    def check(self) -> None:
        """Raise an error if the bucket is not accessible."""
        ...


class S3SnapshotStore:
    """Snapshots in one S3 bucket, or in any store with the S3 API."""

    def __init__(self, *, bucket: str, aws: AwsClients) -> None:
        self._bucket = Bucket(name=bucket, aws=aws)

    def read(self, key: str, *, limit_bytes: int) -> StoredImage | None:
        body = self._bucket.open(key)
        if body is None:
            return None
        with closing(body):
            size_bytes = body.info.size_bytes
            content = b"".join(body.chunks()) if size_bytes <= limit_bytes else None
        return StoredImage(content=content, size_bytes=size_bytes, etag=body.info.etag)

    def exists(self, key: str) -> bool:
        return self._bucket.info(key) is not None

    def signed_url(self, key: str, *, filename: str, content_type: str, expires_s: int) -> str:
        return self._bucket.signed_url(
            "get",
            key,
            expires_s=expires_s,
            ResponseContentDisposition=f'attachment; filename="{filename}"',
            ResponseContentType=content_type,
        )

    def delete(self, keys: Sequence[str]) -> None:
        self._bucket.delete(keys)

    def folders(self, prefix: str) -> Iterator[str]:
        return self._bucket.folders(prefix)

    def keys(self, prefix: str) -> Iterator[str]:
        return (entry.key for entry in self._bucket.objects(prefix))

    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        return self._bucket.objects(prefix, after=after)

    def check(self) -> None:
        if not self._bucket.exists():
            raise PermanentError(f"the bucket {self._bucket.name} does not exist")
