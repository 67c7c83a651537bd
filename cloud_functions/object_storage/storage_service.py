"""``StorageService``: the ten methods of the camera management document, on one bucket of any S3-compatible store.

The methods are coroutines, as in the document; each runs its S3 calls on a thread, so the event loop is not blocked.
Code that is not asynchronous uses ``Bucket``.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import IO, Final

from cloud_functions.aws import AwsClients
from cloud_functions.object_storage.bucket import MAX_URL_S, Bucket, ObjectInfo, UrlMethod
from cloud_functions.object_storage.object_names import check_key, check_metadata, content_type_of, directory_prefix
from shared.errors import ContractError

DEFAULT_MAX_FILE_BYTES: Final = 100 * 1024 * 1024
MAX_LISTED: Final = 10_000
"""Largest ``limit`` of ``list_files``."""


@dataclass(frozen=True, slots=True)
class BucketStats:
    """The totals of a bucket at the time of the request."""

    bucket: str
    file_count: int
    total_size_bytes: int


class StorageService:
    """Files in one bucket. A ``path`` is an object key.

    Every method raises ContractError for an invalid argument, TransientError if the store does not respond (retry),
    and PermanentError if it denies access. ObjectMissingError, a PermanentError, means that a file does not exist.
    """

    def __init__(
        self,
        *,
        bucket: str,
        aws: AwsClients,
        max_file_bytes: int = DEFAULT_MAX_FILE_BYTES,
        create_bucket: bool = False,
    ) -> None:
        """Use ``bucket`` of the store that ``AWS_ENDPOINT_URL`` names, or of AWS.

        ``max_file_bytes`` limits uploads, and downloads into memory; raising it raises the memory that
        ``download_file`` may use. With ``create_bucket``, the first upload creates the bucket if it does not exist.
        """
        self.bucket = Bucket(name=bucket, aws=aws)
        self._max_file_bytes = max_file_bytes
        self._must_exist = not create_bucket

    async def upload_file(
        self,
        path: str,
        data: bytes | IO[bytes],
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Store ``data`` at ``path``, replacing an earlier file, and return the stored file's metadata.

        ``data`` may be a binary file: it is read from its current position in parts of 8 MiB. ``content_type``
        defaults to the image type of the path's suffix, else ``application/octet-stream``. Raise ContractError if
        ``data`` exceeds the size limit; nothing is stored then.
        """
        limit = self._max_file_bytes
        file = io.BytesIO(data) if isinstance(data, bytes) else data
        if isinstance(data, bytes) and len(data) > limit:
            raise _too_large(path, limit)
        limited = _LimitedReader(file, limit_bytes=limit, path=check_key(path))
        return await asyncio.to_thread(
            self._upload, path, limited, content_type or content_type_of(path), check_metadata(metadata or {})
        )

    async def download_file(self, path: str) -> bytes:
        """Return the content. Raise ObjectMissingError, or PermanentError if it exceeds the size limit."""
        return await asyncio.to_thread(self.bucket.read, check_key(path), limit_bytes=self._max_file_bytes)

    async def download_to(self, path: str, file: IO[bytes]) -> int:
        """Write a file of any size to ``file`` in chunks of 1 MiB; return its size. Raise ObjectMissingError."""
        return await asyncio.to_thread(self.bucket.download, check_key(path), file)

    async def generate_signed_url(
        self, path: str, expires_in_hours: float = 1.0, *, method: UrlMethod = "get", content_type: str | None = None
    ) -> str:
        """Return a URL that downloads (``get``) or uploads (``put``) the file without credentials.

        ``expires_in_hours`` is at most 168 (seven days). With ``put`` the request must have the header
        ``Content-Type`` with exactly ``content_type``, which defaults as in ``upload_file``; such an upload is not
        subject to the size limit. With ``get``, ``content_type`` replaces the stored one in the response. The URL
        does not require that the file exists.
        """
        expires_s = round(expires_in_hours * 3600)
        if not 1 <= expires_s <= MAX_URL_S:
            raise ContractError(f"expires_in_hours must be more than 0 and at most {MAX_URL_S // 3600}")
        if method == "put":
            parameters = {"ContentType": content_type or content_type_of(path)}
        else:
            parameters = {"ResponseContentType": content_type} if content_type else {}
        return await asyncio.to_thread(
            self.bucket.signed_url, method, check_key(path), expires_s=expires_s, **parameters
        )

    async def delete_file(self, path: str) -> None:
        """Delete a file; one that does not exist is ignored."""
        await asyncio.to_thread(self.bucket.delete, [check_key(path)])

    async def delete_directory(self, path: str) -> int:
        """Delete all files below ``path`` and return their number. Raise ContractError for an empty path.

        Files are deleted in batches of 1,000; after an error the remaining ones are still there, and the call can be
        repeated.
        """
        if not path:
            raise ContractError("an empty path would delete the whole bucket", reason="bad_key")
        prefix = directory_prefix(path)
        return await asyncio.to_thread(lambda: self.bucket.delete(each.key for each in self.bucket.objects(prefix)))

    async def file_exists(self, path: str) -> bool:
        """Return whether the file exists."""
        return await asyncio.to_thread(self.bucket.info, check_key(path)) is not None

    async def get_file_size(self, path: str) -> int:
        """Return the size in bytes. Raise ObjectMissingError."""
        return (await asyncio.to_thread(self._info, check_key(path))).size_bytes

    async def list_files(self, directory: str = "", *, limit: int = 1000, after: str = "") -> list[ObjectInfo]:
        """Return the files below ``directory``, also those in its folders, in the order of their paths.

        At most ``limit`` (1 to 10,000) are returned. To get the following ones, pass the last path as ``after``.
        """
        if not 1 <= limit <= MAX_LISTED:
            raise ContractError(f"limit must be 1 to {MAX_LISTED}")
        found = self.bucket.objects(directory_prefix(directory), after=after)
        return await asyncio.to_thread(lambda: list(islice(found, limit)))

    async def copy_file(self, source: str, dest: str) -> None:
        """Copy a file of at most 5 GiB inside the store, with its content type and metadata.

        An earlier file at ``dest`` is replaced. Raise ObjectMissingError if ``source`` does not exist.
        """
        if check_key(source) == check_key(dest):
            raise ContractError("a file cannot be copied to its own path", reason="bad_key")
        await asyncio.to_thread(self.bucket.copy, source, dest)

    async def get_bucket_stats(self) -> BucketStats:
        """Return the number of files and their total size. This lists the whole bucket, 1,000 files in a request."""
        return await asyncio.to_thread(self._stats)

    def _upload(self, path: str, file: _LimitedReader, content_type: str, metadata: Mapping[str, str]) -> ObjectInfo:
        if not self._must_exist and not self.bucket.exists():
            self.bucket.create()
        self._must_exist = True
        self.bucket.upload(path, file, content_type=content_type, metadata=metadata)
        return self._info(path)

    def _info(self, path: str) -> ObjectInfo:
        found = self.bucket.info(path)
        if found is None:
            raise self.bucket.missing(path)
        return found

    def _stats(self) -> BucketStats:
        count = size_bytes = 0
        for each in self.bucket.objects():
            count += 1
            size_bytes += each.size_bytes
        return BucketStats(bucket=self.bucket.name, file_count=count, total_size_bytes=size_bytes)


class _LimitedReader:
    """A binary file for boto3, read once from start to end; it raises ContractError when it exceeds its limit."""

    def __init__(self, file: IO[bytes], *, limit_bytes: int, path: str) -> None:
        self._file = file
        self._left_bytes = limit_bytes
        self._limit_bytes = limit_bytes
        self._path = path

    def read(self, size: int = -1, /) -> bytes:
        """Return ``size`` bytes, fewer only at the end: S3 rejects short parts, and a pipe reads as much as it has."""
        wanted = self._left_bytes + 1  # one more than is allowed, so that an excess is noticed
        if size >= 0:
            wanted = min(wanted, size)
        pieces: list[bytes] = []
        while wanted and (piece := self._file.read(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
            self._left_bytes -= len(piece)
        if self._left_bytes < 0:
            raise _too_large(self._path, self._limit_bytes)
        return b"".join(pieces)


def _too_large(path: str, limit_bytes: int) -> ContractError:
    return ContractError(f"the file {path[:200]} exceeds the limit of {limit_bytes} bytes", reason="too_large")
