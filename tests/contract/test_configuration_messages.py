"""``configure``, its replies, and the heartbeat's fields for it: the golden samples are the contract of both halves."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import BaseModel, ValidationError

from cloud_functions.privacy.sealed_box import seal_password
from edge_agent.device.sealed_box import open_password
from shared.cameras import DeviceCamera
from shared.commands import MAX_COMMAND_BYTES, ConfigureCommand, Reply, parse_command
from shared.errors import ContractError, PermanentError
from shared.heartbeat import Heartbeat

GOLDEN = Path(__file__).parent / "golden"
SAMPLES: list[tuple[str, type[BaseModel]]] = [
    ("command_configure.json", ConfigureCommand),
    ("reply_configure_applied.json", Reply),
    ("reply_configure_rejected.json", Reply),
    ("heartbeat_managed.json", Heartbeat),
]


@pytest.mark.parametrize(("name", "model"), SAMPLES)
def test_sample_survives_the_round_trip(name: str, model: type[BaseModel]) -> None:
    """Parsing and dumping a sample keeps all its fields."""
    sample = json.loads((GOLDEN / name).read_text(encoding="utf-8"))
    kept = json.loads(model.model_validate(sample).model_dump_json(exclude_none=True))
    assert kept == sample


def test_a_configuration_is_parsed_as_a_command() -> None:
    """The cameras are typed, and their settings are left for the agent to check."""
    command = parse_command((GOLDEN / "command_configure.json").read_bytes())
    assert isinstance(command, ConfigureCommand)
    assert [camera.camera_id for camera in command.cameras] == ["front-door", "gate"]
    assert command.cameras[0].settings["stream"] == {"rtsp_transport": "udp"}
    assert "192.168.1.100" not in repr(command.cameras[0])


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0},
        {"version": None},
        {"cameras": None},
        {"cameras": [{"camera_id": "a/b", "source": "usb:0"}]},
        {"cameras": [{"camera_id": "a", "source": ""}]},
        {"cameras": [{"camera_id": "a", "source": "usb:0", "detection_sensitivity": 1.1}]},
    ],
)
def test_an_invalid_configuration_is_not_a_command(change: dict[str, Any]) -> None:
    """A version below 1, a missing list and an invalid camera are refused."""
    sample = json.loads((GOLDEN / "command_configure.json").read_text(encoding="utf-8"))
    with pytest.raises(ContractError):
        parse_command(json.dumps(sample | change).encode())


def test_a_command_is_below_the_limit_of_the_broker() -> None:
    """AWS IoT Core takes 128 KiB, topic included."""
    assert 100 * 1024 < MAX_COMMAND_BYTES <= 120 * 1024


def test_a_heartbeat_of_an_earlier_release_is_valid() -> None:
    """The fields are optional; a key that is no key is refused."""
    sample = json.loads((GOLDEN / "heartbeat_managed.json").read_text(encoding="utf-8"))
    earlier = {name: value for name, value in sample.items() if name not in {"configuration", "public_key"}}
    heartbeat = Heartbeat.model_validate(earlier)
    assert (heartbeat.configuration, heartbeat.public_key) == (None, None)
    with pytest.raises(ValidationError):
        Heartbeat.model_validate(sample | {"public_key": "short"})


def _vector() -> dict[str, str]:
    return json.loads((GOLDEN / "sealed_password.json").read_text(encoding="utf-8"))


def _key(text: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(b64decode(text))


def test_both_halves_agree_on_the_sealed_box() -> None:
    """The cloud's half makes exactly the golden box, and the device's half opens it."""
    vector = _vector()
    device = _key(vector["device_private_key"])
    assert b64encode(device.public_key().public_bytes_raw()).decode() == vector["device_public_key"]
    sealed = seal_password(
        vector["password"],
        public_key=vector["device_public_key"],
        camera_id=vector["camera_id"],
        ephemeral_key=_key(vector["ephemeral_private_key"]),
    )
    assert sealed == vector["sealed"]
    assert open_password(sealed, private_key=device, camera_id=vector["camera_id"]) == vector["password"]


def test_a_box_opens_for_its_device_and_its_camera_only() -> None:
    """Another device, another camera, a changed box and text that is no box are refused without the password."""
    vector = _vector()
    device, sealed = _key(vector["device_private_key"]), vector["sealed"]
    box = bytearray(b64decode(sealed))
    box[-1] ^= 1
    attempts: list[tuple[str, X25519PrivateKey, str]] = [
        (sealed, device, "back-door"),
        (sealed, X25519PrivateKey.generate(), vector["camera_id"]),
        (b64encode(bytes(box)).decode(), device, vector["camera_id"]),
        (b64encode(bytes(32) + bytes(box[32:])).decode(), device, vector["camera_id"]),
        ("", device, vector["camera_id"]),
        ("not base64", device, vector["camera_id"]),
    ]
    for text, key, camera_id in attempts:
        with pytest.raises(PermanentError) as refused:
            open_password(text, private_key=key, camera_id=camera_id)
        assert vector["password"] not in str(refused.value)


def test_two_boxes_of_one_password_differ() -> None:
    """Each box has an ephemeral key of its own."""
    vector = _vector()
    boxes = {seal_password("secret", public_key=vector["device_public_key"], camera_id="a") for _ in range(3)}
    assert len(boxes) == 3


@pytest.mark.parametrize("public_key", ["", "AAAA", "not base64 !", b64encode(bytes(32)).decode()])
def test_a_password_is_not_sealed_to_an_unusable_key(public_key: str) -> None:
    """Neither to text that is no key, nor to the point with which every secret is zero."""
    with pytest.raises(PermanentError, match="public key"):
        seal_password("secret", public_key=public_key, camera_id="a")


def test_a_camera_without_a_login_is_complete() -> None:
    """Only the id and the source are required; the defaults are those of the API."""
    camera = DeviceCamera.model_validate({"camera_id": "a", "source": "usb:0"})
    assert (camera.enabled, camera.enable_detection, camera.detection_sensitivity) == (True, True, 0.7)
    assert (camera.username, camera.password_sealed, camera.settings) == (None, None, {})
