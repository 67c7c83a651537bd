"""Short-lived AWS credentials, obtained with the device's certificate.

The AWS IoT credentials provider serves ``GET /role-aliases/{alias}/credentials`` over mutual TLS. botocore refreshes
the credentials some minutes before they expire.
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

_MAX_RESPONSE_BYTES = 64 * 1024


class IotCredentialsProvider:
    """Fetches credentials for one device."""

    def __init__(self, *, settings: IotCredentialsSettings, thing_name: str) -> None:
        self._settings = settings
        self._thing_name = thing_name
        self._tls = client_context(
            ca_file=settings.ca_file,
            certificate_file=settings.certificate_file,
            private_key_file=settings.private_key_file,
        )

    def fetch(self) -> dict[str, str]:
        """Return the four values that botocore needs for a refresh.

        Raises TransientError if the endpoint is unavailable, PermanentError if it refuses the certificate or the alias.
        """
        status, body = self._get()
        if status in {400, 401, 403, 404}:
            raise PermanentError(
                f"the AWS IoT credentials provider {self._settings.endpoint} refused ({status}): check that the"
                f" certificate is active, attached to {self._thing_name}, and may use the role alias"
                f" {self._settings.role_alias}"
            )
        if status != 200:
            raise TransientError(f"the AWS IoT credentials provider {self._settings.endpoint} returned status {status}")
        try:
            credentials = json.loads(body)["credentials"]
            return {
                "access_key": str(credentials["accessKeyId"]),
                "secret_key": str(credentials["secretAccessKey"]),
                "token": str(credentials["sessionToken"]),
                "expiry_time": str(credentials["expiration"]),
            }
        except (ValueError, KeyError, TypeError):
            # Not chained: the response may contain part of a secret.
            raise TransientError(
                f"the AWS IoT credentials provider {self._settings.endpoint} returned an invalid response"
            ) from None

    def session(self, region: str | None) -> boto3.Session:
        """Return a boto3 session that fetches credentials on first use and refreshes them before they expire."""
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
                f"s3.iot_credentials.endpoint: {settings.endpoint} is not a host or host:port ({error})"
            ) from error
        try:
            connection.request(
                "GET",
                f"/role-aliases/{settings.role_alias}/credentials",
                headers={"x-amzn-iot-thingname": self._thing_name},
            )
            response = connection.getresponse()
            return response.status, response.read(_MAX_RESPONSE_BYTES)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise TransientError(
                f"the AWS IoT credentials provider {settings.endpoint} cannot be reached:"
                f" {explain_tls_error(error) or error}"
            ) from error
        finally:
            connection.close()
