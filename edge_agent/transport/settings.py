"""Where the device sends to, and how it proves who it is. Secrets lie in files or the environment, never in here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from edge_agent.transport.endpoints import Host, HostAndPort, HttpUrl
from shared.errors import ConfigurationError
from shared.settings import Settings


class MqttSettings(Settings):
    """The MQTT broker. TLS is used as soon as any of its files is named, or ``tls`` is set."""

    host: Host = Field(description="Name or IP address of the broker, without scheme and port.")
    port: int | None = Field(default=None, ge=1, le=65535, description="Default: 8883 with TLS, 1883 without.")
    tls: bool = Field(default=False, description="Use TLS even without any of the files below.")
    ca_file: Path | None = Field(
        default=None,
        description="PEM of the authority that signed the broker's certificate; default: those the system trusts. "
        "Python 3.13 and later require key identifiers in both, which OpenSSL adds with "
        "authorityKeyIdentifier = keyid and subjectKeyIdentifier = hash.",
    )
    certificate_file: Path | None = Field(default=None, description="PEM of this device's certificate.")
    private_key_file: Path | None = Field(default=None, description="PEM of its private key.")
    alpn: str | None = Field(default=None, description="For AWS IoT Core on port 443: x-amzn-mqtt-ca.")
    username: str | None = Field(default=None, description="For brokers that ask for one; AWS IoT goes by certificate.")
    password_file: Path | None = Field(default=None, description="A file that holds the password and nothing else.")
    password_env: str | None = Field(default=None, description="Name of the environment variable with the password.")
    client_id: str | None = Field(default=None, min_length=1, max_length=128, description="Default: the device id.")
    protocol: Literal["3.1.1", "5"] = Field(
        default="3.1.1",
        description="Version of MQTT. With 5 the broker says why it refuses or ends something.",
    )
    keepalive_s: int = Field(
        default=30, ge=5, le=1200, description="A connection silent for one and a half times this is given up."
    )
    clean_session: bool = Field(
        default=False, description="False: the broker keeps commands for the device while it is away."
    )
    max_in_flight: int = Field(
        default=100, ge=1, le=10_000, description="Unacknowledged messages at a time; AWS IoT Core allows 100."
    )
    connect_timeout_s: float = Field(default=10.0, gt=0, description="How long the broker may take to answer.")
    ack_timeout_s: float = Field(
        default=20.0, gt=0, description="A broker that acknowledges nothing for so long is connected to anew."
    )
    reconnect_min_s: float = Field(default=0.5, gt=0, description="First wait before connecting again; it doubles.")
    reconnect_max_s: float = Field(default=60.0, gt=0, description="Longest wait before connecting again.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.certificate_file is None) != (self.private_key_file is None):
            raise ValueError("certificate_file and private_key_file belong together: name both or neither")
        if self.password_file is not None and self.password_env is not None:
            raise ValueError("name password_file or password_env, not both")
        if self.username is None and (self.password_file or self.password_env):
            raise ValueError("a password needs a username")
        return self

    @property
    def uses_tls(self) -> bool:
        return self.tls or self.ca_file is not None or self.certificate_file is not None

    @property
    def effective_port(self) -> int:
        return self.port or (8883 if self.uses_tls else 1883)

    def read_password(self) -> SecretStr | None:
        """Read the password from where it lies; raise ConfigurationError where it is not."""
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
                raise ConfigurationError(f"mqtt.password_env: the environment has no variable {self.password_env}")
            return SecretStr(value)
        return None


class IotCredentialsSettings(Settings):
    """AWS IoT's credentials provider: the device's certificate buys short-lived AWS credentials."""

    endpoint: HostAndPort = Field(
        description="Host of the credentials provider (aws iot describe-endpoint), or host:port."
    )
    role_alias: str = Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9_=,@-]+$",
        description="The role alias made for devices in AWS IoT.",
    )
    certificate_file: Path = Field(description="PEM of this device's certificate.")
    private_key_file: Path = Field(description="PEM of its private key.")
    ca_file: Path | None = Field(default=None, description="PEM; default: the certificates the system trusts.")
    timeout_s: float = Field(default=10.0, gt=0, description="How long the provider may take to answer.")


class S3Settings(Settings):
    """The snapshot bucket. Without ``iot_credentials``, boto3 looks where it always looks."""

    bucket: str = Field(
        min_length=3,
        max_length=63,
        pattern=r"^[a-z0-9][a-z0-9.-]+[a-z0-9]$",
        description="Where snapshots and thumbnails go: lower-case letters, digits, hyphens and dots.",
    )
    region: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9-]{2,64}$", description="The bucket's; left out, boto3's own default."
    )
    endpoint_url: HttpUrl | None = Field(
        default=None, description="`http://HOST:PORT` of MinIO or a local stack; left out: AWS."
    )
    iot_credentials: IotCredentialsSettings | None = None
    connect_timeout_s: float = Field(default=5.0, gt=0, description="How long a connection may take.")
    read_timeout_s: float = Field(default=15.0, gt=0, description="How long the store may stay silent.")
