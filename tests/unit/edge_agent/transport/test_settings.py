"""Settings of the MQTT broker."""

from __future__ import annotations

import pytest

from edge_agent.transport.settings import MqttSettings
from shared.errors import ConfigurationError


def test_the_password_is_read_from_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for a missing variable contains its name."""
    settings = MqttSettings(host="h", username="gate", password_env="VEDETTE_TEST_PASSWORD")
    with pytest.raises(ConfigurationError, match="VEDETTE_TEST_PASSWORD"):
        settings.read_password()
    monkeypatch.setenv("VEDETTE_TEST_PASSWORD", "s3cret")
    password = settings.read_password()
    assert password is not None
    assert password.get_secret_value() == "s3cret"


@pytest.mark.parametrize(
    "wrong",
    [
        {"certificate_file": "/a"},
        {"username": "u", "password_file": "/a", "password_env": "B"},
        {"password_env": "B"},
        {"port": 0},
        {"host": ""},
        {"password": "plain"},
    ],
)
def test_contradictory_settings_are_rejected(wrong: dict[str, object]) -> None:
    """Half a certificate, two password sources, or a password in the settings raise an error."""
    with pytest.raises(ValueError, match=r".+"):
        MqttSettings.model_validate({"host": "h", **wrong})


def test_the_default_port_depends_on_tls() -> None:
    """8883 with TLS and 1883 without, unless a port is set."""
    assert MqttSettings(host="h").effective_port == 1883
    assert MqttSettings(host="h", tls=True).effective_port == 8883
    assert MqttSettings(host="h", port=443, tls=True).effective_port == 443
