"""Reads, signs and deletes the snapshots of events in an S3 bucket. boto3 is imported on first use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cloud_functions.aws import AwsClients, aws_error
from shared.errors import PermanentError, TransientError

_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
MAX_KEYS_A_DELETE = 1000


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

    def check(self) -> None:
        """Raise an error if the bucket is not accessible."""
        ...


class S3SnapshotStore:
    """Snapshots in one S3 bucket, or in any store with the S3 API."""

    def __init__(self, *, bucket: str, aws: AwsClients) -> None:
        self._bucket = bucket
        self._aws = aws

    def read(self, key: str, *, limit_bytes: int) -> StoredImage | None:
        response = self._call("get_object", Key=key)
        if response is None:
            return None
        size_bytes: int = response["ContentLength"]
        body = response["Body"]
        try:
            content = body.read() if size_bytes <= limit_bytes else None
        except Exception as error:
            raise TransientError(f"the connection broke while the snapshot {key} was being read") from error
        finally:
            body.close()
        return StoredImage(content=content, size_bytes=size_bytes, etag=response["ETag"])

    def exists(self, key: str) -> bool:
        return self._call("head_object", Key=key) is not None

    def signed_url(self, key: str, *, filename: str, content_type: str, expires_s: int) -> str:
        parameters = {
            "Bucket": self._bucket,
            "Key": key,
            "ResponseContentDisposition": f'attachment; filename="{filename}"',
            "ResponseContentType": content_type,
        }
        try:
            return self._aws.client("s3").generate_presigned_url("get_object", Params=parameters, ExpiresIn=expires_s)
        except Exception as error:  # for example, missing credentials
            raise aws_error(error, doing=f"signing a URL for the bucket {self._bucket}") from error

    def delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), MAX_KEYS_A_DELETE):
            objects = [{"Key": key} for key in keys[start : start + MAX_KEYS_A_DELETE]]
            response = self._call("delete_objects", Delete={"Objects": objects, "Quiet": True})
            if failed := (response or {}).get("Errors"):
                codes = sorted({error.get("Code", "unknown") for error in failed})
                raise TransientError(f"{len(failed)} snapshots could not be deleted ({', '.join(codes)})")

    def folders(self, prefix: str) -> Iterator[str]:
        for page in self._pages(prefix, Delimiter="/"):
            yield from (str(entry["Prefix"]) for entry in page.get("CommonPrefixes", ()))

    def keys(self, prefix: str) -> Iterator[str]:
        for page in self._pages(prefix):
            yield from (str(entry["Key"]) for entry in page.get("Contents", ()))

    def _pages(self, prefix: str, **arguments: str) -> Iterator[Any]:
        token: dict[str, str] = {}
        while (page := self._call("list_objects_v2", Prefix=prefix, **arguments, **token)) is not None:
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def check(self) -> None:
        if self._call("head_bucket") is None:
            raise PermanentError(f"the bucket {self._bucket} does not exist")

    def _call(self, method: str, **arguments: Any) -> Any:
        """Call S3; return None if the object does not exist."""
        from botocore.exceptions import ClientError

        try:
            return getattr(self._aws.client("s3"), method)(Bucket=self._bucket, **arguments)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _MISSING:
                return None
            raise aws_error(error, doing=f"calling {method} on the bucket {self._bucket}") from error
        except Exception as error:
            raise aws_error(error, doing=f"calling {method} on the bucket {self._bucket}") from error
