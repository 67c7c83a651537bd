"""Settings of delivery: the broker, the image store, and the sender. Secrets stay in files or environment variables."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from edge_agent.transport.endpoints import Host, HostAndPort, HttpUrl
from edge_agent.transport.tls import client_context
from shared.errors import ConfigurationError
from shared.settings import Settings


class MqttSettings(Settings):
    """The MQTT broker. TLS is used if ``tls`` is set, or if a CA or certificate file is configured."""

    host: Host = Field(description="Host name or IP address of the broker, without scheme and port.")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="Port of the broker. Default: 8883 with TLS, 1883 without."
    )
    tls: bool = Field(default=False, description="Use TLS even if none of the files below is configured.")
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of the certificate authority (CA) that signed the broker's certificate. Default: the "
        "system's CAs. Python 3.13 and later require key identifiers in both certificates, which OpenSSL adds with "
        "authorityKeyIdentifier = keyid and subjectKeyIdentifier = hash.",
    )
    certificate_file: Path | None = Field(default=None, description="PEM file of the device's certificate.")
    private_key_file: Path | None = Field(default=None, description="PEM file of the certificate's private key.")
    alpn: str | None = Field(
        default=None, description="ALPN protocol name. For AWS IoT Core on port 443: x-amzn-mqtt-ca."
    )
    username: str | None = Field(
        default=None, description="User name, for brokers that require one. AWS IoT Core authenticates by certificate."
    )
    password_file: Path | None = Field(default=None, description="File that contains only the password.")
    password_env: str | None = Field(
        default=None, description="Name of the environment variable that contains the password."
    )
    client_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="MQTT client id, unique on the broker. Default: the device id.",
    )
    protocol: Literal["3.1.1", "5"] = Field(
        default="3.1.1",
        description="MQTT version. With 5, the broker reports why it refuses or closes a connection.",
    )
    keepalive_s: int = Field(
        default=30,
        ge=5,
        le=1200,
        description="Keep-alive interval. The connection is closed after 1.5 intervals of silence. A higher value "
        "sends less traffic and detects a lost connection later.",
    )
    clean_session: bool = Field(
        default=False,
        description="Whether to start a new session with each connection. False: the broker queues commands while the "
        "device is offline.",
    )
    max_in_flight: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Maximum number of unacknowledged messages. A higher value raises throughput on slow links; AWS "
        "IoT Core allows 100.",
    )
    connect_timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="Time limit for connecting to the broker. A higher value tolerates slower networks.",
    )
    ack_timeout_s: float = Field(
        default=20.0,
        gt=0,
        description="The device reconnects if the broker acknowledges nothing for this long. A higher value tolerates "
        "slower brokers.",
    )
    reconnect_min_s: float = Field(
        default=0.5, gt=0, description="Wait before the first reconnect attempt. It doubles with each further attempt."
    )
    reconnect_max_s: float = Field(
        default=60.0,
        gt=0,
        description="Maximum wait between reconnect attempts. A higher value sends fewer attempts during an outage.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.certificate_file is None) != (self.private_key_file is None):
            raise ValueError("set both certificate_file and private_key_file, or neither")
        if self.password_file is not None and self.password_env is not None:
            raise ValueError("set password_file or password_env, not both")
        if self.username is None and (self.password_file or self.password_env):
            raise ValueError("a password requires username")
        return self

    @property
    def uses_tls(self) -> bool:
        return self.tls or self.ca_file is not None or self.certificate_file is not None

    @property
    def effective_port(self) -> int:
        return self.port or (8883 if self.uses_tls else 1883)

    def tls_context(self) -> ssl.SSLContext | None:
        """Load the TLS files; return None without TLS. Raises ConfigurationError that names an unusable file."""
        if not self.uses_tls:
            return None
        context = client_context(
            ca_file=self.ca_file, certificate_file=self.certificate_file, private_key_file=self.private_key_file
        )
        if self.alpn is not None:
            context.set_alpn_protocols([self.alpn])
        return context

    def read_password(self) -> SecretStr | None:
        """Read the password from its file or environment variable. Raises ConfigurationError if it is missing."""
        if self.password_file is not None:
            try:
                return SecretStr(self.password_file.read_text(encoding="utf-8-sig").strip())
            except OSError as error:
                raise ConfigurationError(
                    f"mqtt.password_file: cannot read {self.password_file}: {error.strerror}"
                ) from error
        if self.password_env is not None:
            value = os.environ.get(self.password_env)
            if value is None:
                raise ConfigurationError(f"mqtt.password_env: the environment variable {self.password_env} is not set")
            return SecretStr(value)
        return None


class IotCredentialsSettings(Settings):
    """AWS IoT credentials provider, which exchanges the device's certificate for short-lived AWS credentials."""

    endpoint: HostAndPort = Field(
        description="Host of the credentials provider (see aws iot describe-endpoint), or host:port."
    )
    role_alias: str = Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9_=,@-]+$",
        description="Name of the role alias in AWS IoT.",
    )
    certificate_file: Path = Field(description="PEM file of the device's certificate.")
    private_key_file: Path = Field(description="PEM file of the certificate's private key.")
    ca_file: Path | None = Field(
        default=None, description="PEM file of the certificate authority. Default: the system's CAs."
    )
    timeout_s: float = Field(
        default=10.0, gt=0, description="Time limit for one request. A higher value tolerates slower networks."
    )


class S3Settings(Settings):
    """The snapshot bucket. Without ``iot_credentials``, boto3 uses its default credential chain."""

    bucket: str = Field(
        min_length=3,
        max_length=63,
        pattern=r"^[a-z0-9][a-z0-9.-]+[a-z0-9]$",
        description="Bucket for snapshots and thumbnails: lower-case letters, digits, hyphens and dots.",
    )
    region: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9-]{2,64}$",
        description="AWS region of the bucket. Default: boto3's default region.",
    )
    endpoint_url: HttpUrl | None = Field(
        default=None, description="Endpoint of an S3-compatible store such as MinIO: `http://HOST:PORT`. Default: AWS."
    )
    iot_credentials: IotCredentialsSettings | None = None
    connect_timeout_s: float = Field(
        default=5.0,
        gt=0,
        description="Time limit for connecting to the store. A higher value tolerates slower networks.",
    )
    read_timeout_s: float = Field(
        default=15.0, gt=0, description="Time limit for a response. A higher value tolerates a slower store."
    )


class SenderSettings(Settings):
    """Parallelism and retry intervals of delivery."""

    upload_threads: int = Field(
        default=2,
        ge=1,
        le=16,
        description="Number of parallel image uploads. A higher value uses more bandwidth and memory.",
    )
    retry_min_s: float = Field(
        default=1.0, gt=0, description="Wait before the first retry. It doubles with each further failure."
    )
    retry_max_s: float = Field(
        default=60.0,
        gt=0,
        description="Maximum wait between retries. A higher value sends fewer requests during an outage.",
    )
    clock_wait_s: float = Field(
        default=120.0,
        ge=0,
        le=86_400,
        description="How long delivery waits after the start for the device's clock to be set, while it shows a year "
        "before 2025. Events then carry the correct time. Raise it if network time arrives late. 0: no wait.",
    )
