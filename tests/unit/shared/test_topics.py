"""MQTT topics."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ContractError
from shared.event_types import EVENT_TYPES
from shared.topics import DeviceTopics, parse_topic

SEGMENTS = st.from_regex(r"[A-Za-z0-9_-]{1,100}", fullmatch=True)


@given(site=SEGMENTS, device=SEGMENTS, camera=SEGMENTS, event_type=st.sampled_from(EVENT_TYPES))
def test_parse_topic_reverses_event_topics(site: str, device: str, camera: str, event_type: str) -> None:
    """parse_topic returns the parts from which DeviceTopics.events built the topic."""
    address = parse_topic(DeviceTopics(site, device).events(camera, event_type))
    assert (address.site_id, address.device_id, address.kind, address.rest) == (
        site,
        device,
        "events",
        (camera, event_type),
    )


def test_device_topics_are_those_of_the_contract() -> None:
    """The exact topics of the wire contract."""
    topics = DeviceTopics("hq", "gate-01")
    assert topics.heartbeat == "vedette/hq/gate-01/heartbeat"
    assert topics.status == "vedette/hq/gate-01/status"
    assert topics.commands_filter == "vedette/hq/gate-01/commands/+"
    assert topics.command("snapshot") == "vedette/hq/gate-01/commands/snapshot"
    assert topics.reply("c-1") == "vedette/hq/gate-01/replies/c-1"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "vedette",
        "vedette/hq/gate-01",
        "other/hq/gate-01/heartbeat",
        "vedette/hq/gate-01/heartbeat/more",
        "vedette/hq/gate-01/events/camera-1",
        "vedette/hq/gate-01/events/camera-1/tracking/more",
        "vedette/hq/+/events/camera-1/tracking",
        "vedette/hq/#/events/camera-1/tracking",
        "vedette/hq//events/camera-1/tracking",
        "vedette/hq/gate-01/unknown",
    ],
)
def test_parse_topic_rejects_other_topics(topic: str) -> None:
    """A topic outside the contract raises ContractError with a reason."""
    with pytest.raises(ContractError) as raised:
        parse_topic(topic)
    assert raised.value.reason in {"bad_topic", "bad_segment"}


def test_ids_with_topic_characters_are_rejected() -> None:
    """Ids cannot contain separators or wildcards."""
    with pytest.raises(ContractError):
        DeviceTopics("hq", "gate/01")
    with pytest.raises(ContractError):
        DeviceTopics("hq", "gate-01").events("#", "tracking")
