"""The pictures behind events: read, signed and deleted in the bucket. boto3 is imported on first use."""

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
    """One object; ``content`` is None where it is larger than was asked for."""

    content: bytes | None
    size_bytes: int
    etag: str


class SnapshotStore(Protocol):
    """A bucket of pictures. Every method may raise TransientError, or PermanentError where access is denied."""

    def read(self, key: str, *, limit_bytes: int) -> StoredImage | None:
        """Return the object, without its bytes where there are more than ``limit_bytes``; None where it is absent."""
        ...

    def exists(self, key: str) -> bool:
        """Tell whether the object is there."""
        ...

    def signed_url(self, key: str, *, filename: str, content_type: str, expires_s: int) -> str:
        """Return a URL that anybody can get the object from, as a download called ``filename``."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Delete the objects; an absent one is no error."""
        ...

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield the prefixes one level below ``prefix``, each ending in a slash."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with ``prefix``."""
        ...

    def check(self) -> None:
        """Return if the bucket can be reached."""
        ...


class S3SnapshotStore:
    """Pictures in one S3 bucket (or anything that speaks S3)."""

    def __init__(self, *, bucket: str, aws: AwsClients) -> None:
        self._bucket = bucket
        self._aws = aws

    def read(self, key: str, *, limit_bytes: int) -> StoredImage | None:
        answer = self._call("get_object", Key=key)
        if answer is None:
            return None
        size_bytes: int = answer["ContentLength"]
        body = answer["Body"]
        try:
            content = body.read() if size_bytes <= limit_bytes else None
        except Exception as error:
            raise TransientError(f"the picture {key} broke off while it was read") from error
        finally:
            body.close()
        return StoredImage(content=content, size_bytes=size_bytes, etag=answer["ETag"])

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
        except Exception as error:  # no credentials, for one
            raise aws_error(error, doing=f"signing an address in the bucket {self._bucket}") from error

    def delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), MAX_KEYS_A_DELETE):
            objects = [{"Key": key} for key in keys[start : start + MAX_KEYS_A_DELETE]]
            answer = self._call("delete_objects", Delete={"Objects": objects, "Quiet": True})
            if failed := (answer or {}).get("Errors"):
                codes = sorted({error.get("Code", "unknown") for error in failed})
                raise TransientError(f"{len(failed)} pictures could not be deleted ({', '.join(codes)})")

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
            raise PermanentError(f"there is no bucket called {self._bucket}")

    def _call(self, method: str, **arguments: Any) -> Any:
        """Call S3; None where the object is absent."""
        from botocore.exceptions import ClientError

        try:
            return getattr(self._aws.client("s3"), method)(Bucket=self._bucket, **arguments)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _MISSING:
                return None
            raise aws_error(error, doing=f"asking for {method} in the bucket {self._bucket}") from error
        except Exception as error:
            raise aws_error(error, doing=f"asking for {method} in the bucket {self._bucket}") from error
