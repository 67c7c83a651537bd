"""Uploads images to an S3 bucket. Imports boto3 only when the first image is uploaded."""

from __future__ import annotations

import base64
import hashlib
import threading
from typing import Any

from edge_agent.transport.credentials import IotCredentialsProvider
from edge_agent.transport.settings import S3Settings
from shared.errors import PermanentError, TransientError, VedetteError
from shared.tls_errors import explain_tls_error

_REFUSALS = {
    "AccessDenied": "access is denied: the role may write only below this device's prefix",
    "AllAccessDisabled": "access is denied",
    "NoSuchBucket": "there is no such bucket",
    "InvalidBucketName": "the bucket name is invalid",
    "PermanentRedirect": "the bucket is in another region: set s3.region",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set s3.region",
    "InvalidAccessKeyId": "the access key is unknown",
    "SignatureDoesNotMatch": "the secret key does not match the access key",
    "EntityTooLarge": "the image is too large",
    "KeyTooLongError": "the key is too long",
}
_TRANSIENT = {
    "ExpiredToken": "the credentials have expired",
    "ExpiredTokenException": "the credentials have expired",
    "TokenRefreshRequired": "the credentials have expired",
    "InvalidToken": "the credentials are no longer valid",
    "RequestTimeTooSkewed": "this device's clock is wrong",
    "SlowDown": "the store limits the request rate",
}
_EXPIRED_CREDENTIALS = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken"}


class S3Store:
    """Stores images in one bucket. Implements ``ImageStore``; thread-safe.

    The constructor raises ConfigurationError if the device's certificate cannot be used.
    """

    def __init__(self, *, settings: S3Settings, device_id: str) -> None:
        self._settings = settings
        self._provider = (
            None
            if settings.iot_credentials is None
            else IotCredentialsProvider(settings=settings.iot_credentials, thing_name=device_id)
        )
        self._lock = threading.Lock()
        self._client: Any = None

    def put(self, object_key: str, body: bytes, *, content_type: str) -> None:
        digest = hashlib.sha256(body).digest()
        try:
            self._connected_client().put_object(
                Bucket=self._settings.bucket,
                Key=object_key,
                Body=body,
                ContentType=content_type,
                ChecksumSHA256=base64.b64encode(digest).decode("ascii"),
                Metadata={"sha256": digest.hex()},
            )
        except VedetteError:
            raise
        except Exception as error:
            raise self._classify(error, object_key) from error

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _connected_client(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._new_client()
            return self._client

    def _new_client(self) -> Any:
        import boto3
        from botocore.config import Config

        settings = self._settings
        session = (
            boto3.Session(region_name=settings.region)
            if self._provider is None
            else self._provider.session(settings.region)
        )
        config = Config(
            connect_timeout=settings.connect_timeout_s,
            read_timeout=settings.read_timeout_s,
            retries={"mode": "standard", "total_max_attempts": 1},  # the outbox retries
            s3={"addressing_style": "path"} if settings.endpoint_url else {},
        )
        return session.client("s3", endpoint_url=settings.endpoint_url, config=config)

    def _classify(self, error: Exception, object_key: str) -> VedetteError:
        """Return the error to raise: TransientError if a retry may help, else PermanentError."""
        from botocore.exceptions import ClientError, NoCredentialsError, PartialCredentialsError

        where = f"s3://{self._settings.bucket}/{object_key}"
        if isinstance(error, ClientError):
            response = error.response
            code = str(response.get("Error", {}).get("Code", ""))
            status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if code in _EXPIRED_CREDENTIALS:
                self.close()  # the next client fetches new credentials
            if code in _REFUSALS:
                return PermanentError(f"cannot store {where}: {_REFUSALS[code]}")
            if code in _TRANSIENT or status >= 500 or status in {0, 408, 429}:
                return TransientError(f"cannot store {where} now: {_TRANSIENT.get(code, code or status)}")
            return PermanentError(f"cannot store {where}: {code or status}")
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return TransientError(
                f"cannot store {where} now: there are no AWS credentials; set s3.iot_credentials, or "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
            )
        why = explain_tls_error(error) or f"{type(error).__name__}: {error}"
        return TransientError(f"cannot store {where} now: {why}")
