"""Short-lived AWS credentials for a device that owns nothing but its certificate (boto3 only here and in ``s3.py``).

AWS IoT's credentials provider answers ``GET /role-aliases/{alias}/credentials`` over mutual TLS. botocore asks again
by itself some minutes before they expire.
"""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

from edge_agent.transport.settings import IotCredentialsSettings
from edge_agent.transport.tls import client_context
from shared.errors import PermanentError, TransientError
from shared.tls_errors import explain_tls_error

if TYPE_CHECKING:
    import boto3

_MAX_ANSWER_BYTES = 64 * 1024


class IotCredentialsProvider:
    """Fetches credentials from one endpoint for one device."""

    def __init__(self, *, settings: IotCredentialsSettings, thing_name: str) -> None:
        self._settings = settings
        self._thing_name = thing_name
        self._tls = client_context(
            ca_file=settings.ca_file,
            certificate_file=settings.certificate_file,
            private_key_file=settings.private_key_file,
        )

    def fetch(self) -> dict[str, str]:
        """Return the four values botocore refreshes by.

        Raises TransientError where the endpoint is away, PermanentError where it refuses this certificate or alias.
        """
        status, body = self._get()
        if status in {400, 401, 403, 404}:
            raise PermanentError(
                f"the AWS IoT credentials provider {self._settings.endpoint} refused ({status}): check that the"
                f" certificate is active, attached to {self._thing_name}, and may use the role alias"
                f" {self._settings.role_alias}"
            )
        if status != 200:
            raise TransientError(f"the AWS IoT credentials provider {self._settings.endpoint} answered {status}")
        try:
            answer = json.loads(body)["credentials"]
            return {
                "access_key": str(answer["accessKeyId"]),
                "secret_key": str(answer["secretAccessKey"]),
                "token": str(answer["sessionToken"]),
                "expiry_time": str(answer["expiration"]),
            }
        except (ValueError, KeyError, TypeError):
            # Not chained: the answer may hold half of a secret.
            raise TransientError(
                f"the AWS IoT credentials provider {self._settings.endpoint} gave an answer of another shape"
            ) from None

    def session(self, region: str | None) -> boto3.Session:
        """Return a boto3 session that fetches on first use and refreshes in time."""
        import boto3
        import botocore.session

        inner = botocore.session.get_session()
        inner.get_component("credential_provider").insert_before("env", self._as_botocore_provider())
        return boto3.Session(botocore_session=inner, region_name=region)

    def _as_botocore_provider(self) -> Any:
        from botocore.credentials import CredentialProvider, DeferredRefreshableCredentials

        fetch = self.fetch

        class Provider(CredentialProvider):
            METHOD = CANONICAL_NAME = "aws-iot-certificate"

            def load(self) -> Any:
                return DeferredRefreshableCredentials(refresh_using=fetch, method=self.METHOD)

        return Provider()

    def _get(self) -> tuple[int, bytes]:
        settings = self._settings
        try:
            connection = http.client.HTTPSConnection(settings.endpoint, timeout=settings.timeout_s, context=self._tls)
        except (http.client.InvalidURL, ValueError) as error:
            raise PermanentError(
                f"s3.iot_credentials.endpoint: {settings.endpoint} is neither a host nor host:port ({error})"
            ) from error
        try:
            connection.request(
                "GET",
                f"/role-aliases/{settings.role_alias}/credentials",
                headers={"x-amzn-iot-thingname": self._thing_name},
            )
            response = connection.getresponse()
            return response.status, response.read(_MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise TransientError(
                f"the AWS IoT credentials provider {settings.endpoint} cannot be reached:"
                f" {explain_tls_error(error) or error}"
            ) from error
        finally:
            connection.close()
