"""One S3 bucket: the only wrapper of boto3's S3 client and the only place that maps its errors.

Memory does not grow with an object's size or with the number of objects: bodies are streamed in chunks, and lists are
iterators over pages of 1,000 keys. boto3 is imported on first use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any, Final, Literal, Protocol

from cloud_functions.aws import AwsClients, aws_error
from shared.errors import PermanentError, TransientError, VedetteError

MAX_KEYS_A_DELETE: Final = 1000
"""Keys that S3's DeleteObjects accepts in one request."""
CHUNK_BYTES: Final = 1024 * 1024
"""Size of the chunks in which an object is read."""
PART_BYTES: Final = 8 * 1024 * 1024
"""Uploads from this size on are sent as a multipart upload with parts of this size, one part in memory at a time."""
MAX_COPY_BYTES: Final = 5 * 1024**3
"""Size limit of S3's CopyObject."""
MAX_URL_S: Final = 7 * 24 * 3600
"""Longest validity of a presigned URL (Signature Version 4)."""

UrlMethod = Literal["get", "put"]

_MISSING: Final = frozenset({"404", "NoSuchKey", "NotFound"})


class Readable(Protocol):
    """What an upload reads from: a binary file, or anything with this method."""

    def read(self, size: int = -1, /) -> bytes:
        """Return ``size`` bytes, or all that are left; fewer only at the end."""
        ...


class ObjectMissingError(PermanentError):
    """The object does not exist."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """The metadata of one object. Lists do not contain ``content_type`` and ``metadata``."""

    key: str
    size_bytes: int
    modified_at: datetime
    etag: str = ""
    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


class ObjectBody:
    """An open object. ``close`` it, or use it in a ``with`` block through ``contextlib.closing``."""

    def __init__(self, response: Mapping[str, Any], *, key: str) -> None:
        self.info = _info(key, response)
        self._body: Any = response["Body"]

    def chunks(self, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """Yield the content. Raise TransientError if the connection breaks or the content is incomplete."""
        try:
            yield from self._body.iter_chunks(chunk_bytes)
        except Exception as error:
            raise TransientError(f"the connection broke while the object {self.info.key} was being read") from error

    def close(self) -> None:
        """Release the connection."""
        self._body.close()


class Bucket:
    """One bucket. Every method may raise TransientError, or PermanentError if access is denied. Thread-safe."""

    def __init__(self, *, name: str, aws: AwsClients) -> None:
        self.name = name
        self._aws = aws

    def open(self, key: str) -> ObjectBody | None:
        """Open an object for reading; None if it does not exist."""
        response = self._call("get_object", Key=key)
        return None if response is None else ObjectBody(response, key=key)

    def read(self, key: str, *, limit_bytes: int) -> bytes:
        """Return the content. Raise ObjectMissingError, or PermanentError if it is larger than ``limit_bytes``."""
        body = self.open(key)
        if body is None:
            raise self.missing(key)
        with closing(body):
            if body.info.size_bytes > limit_bytes:
                raise PermanentError(
                    f"the object {key} has {body.info.size_bytes} bytes, more than the limit of {limit_bytes}"
                )
            return b"".join(body.chunks())

    def download(self, key: str, file: IO[bytes]) -> int:
        """Write the content to ``file`` in chunks; return its size in bytes. Raise ObjectMissingError."""
        body = self.open(key)
        if body is None:
            raise self.missing(key)
        with closing(body):
            return sum(file.write(chunk) for chunk in body.chunks())

    def info(self, key: str) -> ObjectInfo | None:
        """Return the object's metadata; None if it does not exist."""
        response = self._call("head_object", Key=key)
        return None if response is None else _info(key, response)

    def upload(self, key: str, file: Readable, *, content_type: str, metadata: Mapping[str, str]) -> None:
        """Store what ``file`` contains from its current position, in parts of PART_BYTES.

        A failed multipart upload is aborted. Errors that ``file.read`` raises are passed on.
        """
        from boto3.s3.transfer import TransferConfig

        self._do(
            "upload_fileobj",
            file,
            self.name,
            key,
            ExtraArgs={"ContentType": content_type, "Metadata": dict(metadata)},
            Config=TransferConfig(
                multipart_threshold=PART_BYTES,
                multipart_chunksize=PART_BYTES,
                use_threads=False,  # one part in memory
                preferred_transfer_client="classic",
            ),
        )

    def copy(self, source: str, destination: str) -> None:
        """Copy an object of at most MAX_COPY_BYTES in the bucket, without transferring it. Raise ObjectMissingError."""
        where = {"Bucket": self.name, "Key": source}
        if self._call("copy_object", Key=destination, CopySource=where) is None:
            raise self.missing(source)

    def delete(self, keys: Iterable[str]) -> int:
        """Delete the objects, 1,000 in a request; missing ones are ignored. Return the number of keys."""
        count = 0
        batch: list[str] = []
        for key in keys:
            batch.append(key)
            if len(batch) == MAX_KEYS_A_DELETE:
                count += self._delete(batch)
                batch = []
        return count + (self._delete(batch) if batch else 0)

    def objects(self, prefix: str = "", *, after: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects whose keys begin with ``prefix`` and follow ``after``, in the order of their keys."""
        arguments = {"StartAfter": after} if after else {}
        for page in self._pages(prefix, **arguments):
            for entry in page.get("Contents", ()):
                yield ObjectInfo(str(entry["Key"]), int(entry["Size"]), entry["LastModified"], entry.get("ETag", ""))

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield the prefixes one level below ``prefix``, each with a trailing slash."""
        for page in self._pages(prefix, Delimiter="/"):
            yield from (str(entry["Prefix"]) for entry in page.get("CommonPrefixes", ()))

    def signed_url(self, method: UrlMethod, key: str, *, expires_s: int, **parameters: str) -> str:
        """Return a presigned URL that downloads (``get``) or uploads (``put``) one object without credentials.

        ``parameters`` are those of S3's GetObject or PutObject, for example ``ContentType``. The URL is computed
        locally; the object need not exist.
        """
        try:
            url: str = self._aws.client("s3").generate_presigned_url(
                f"{method}_object", Params={"Bucket": self.name, "Key": key, **parameters}, ExpiresIn=expires_s
            )
        except Exception as error:  # for example, missing credentials
            raise aws_error(error, doing=f"signing a URL for the bucket {self.name}") from error
        return url

    def exists(self) -> bool:
        """Return whether the bucket exists."""
        return self._call("head_bucket") is not None

    def create(self) -> None:
        """Create the bucket in the client's region; one that this account already owns is left as it is."""
        from botocore.exceptions import ClientError

        client = self._aws.client("s3")
        region = client.meta.region_name
        location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            client.create_bucket(Bucket=self.name, **location)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "BucketAlreadyOwnedByYou":
                raise aws_error(error, doing=f"creating the bucket {self.name}") from error
        except Exception as error:
            raise aws_error(error, doing=f"creating the bucket {self.name}") from error

    def missing(self, key: str) -> ObjectMissingError:
        """Return the error for an object that does not exist."""
        return ObjectMissingError(f"the object {key} does not exist in the bucket {self.name}")

    def _delete(self, keys: Sequence[str]) -> int:
        objects = [{"Key": key} for key in keys]
        response = self._call("delete_objects", Delete={"Objects": objects, "Quiet": True})
        if failed := (response or {}).get("Errors"):
            codes = sorted({error.get("Code", "unknown") for error in failed})
            raise TransientError(f"{len(failed)} objects could not be deleted ({', '.join(codes)})")
        return len(keys)

    def _pages(self, prefix: str, **arguments: str) -> Iterator[Any]:
        token: dict[str, str] = {}
        while (page := self._call("list_objects_v2", Prefix=prefix, **arguments, **token)) is not None:
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _call(self, method: str, **arguments: Any) -> Any:
        """Call S3; return None if the object does not exist."""
        return self._do(method, Bucket=self.name, **arguments)

    def _do(self, method: str, *arguments: Any, **named: Any) -> Any:
        from botocore.exceptions import ClientError

        try:
            return getattr(self._aws.client("s3"), method)(*arguments, **named)
        except VedetteError:  # of a file that is being uploaded
            raise
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _MISSING:
                return None
            raise aws_error(error, doing=f"calling {method} on the bucket {self.name}") from error
        except Exception as error:
            raise aws_error(error, doing=f"calling {method} on the bucket {self.name}") from error


def _info(key: str, response: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size_bytes=int(response["ContentLength"]),
        modified_at=response["LastModified"],
        etag=str(response.get("ETag", "")),
        content_type=str(response.get("ContentType", "")),
        metadata={str(name).lower(): str(value) for name, value in response.get("Metadata", {}).items()},
    )
