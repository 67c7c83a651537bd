"""``vedette-admin dead-letters`` on the queues of the one-machine stack."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.admin.cli import main
from infra.local.aws.earlier_reasons import EarlierReasons
from infra.local.aws.ingest_queue import ingest_queue_mapping
from infra.local.aws.resources import DEAD_LETTER_QUEUE, FANOUT_QUEUES, INGEST_QUEUE, dead_letter_queue
from shared.iot_envelope import encode_ingest_message
from tests.unit.infra.local.conftest import Endpoint

TOPIC = "vedette/hq/gate-01/events/cam-1/motion"
REDIS = FANOUT_QUEUES["redis"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    running = Endpoint(tmp_path)
    (tmp_path / "ports.json").write_text(json.dumps({"aws": urlsplit(running.url).port}), encoding="utf-8")
    yield running
    running.close()


@pytest.fixture
def run(endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a step of dead-letters and returns its status, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        state = () if "--queue-url" in arguments else ("--state", str(endpoint.folder))
        status = main(["dead-letters", *arguments, *state], variables={})
        output = capsys.readouterr()
        return status, output.out, output.err

    return call


def reject(endpoint: Endpoint, payload: bytes, *, reason: str | None = "invalid", topic: str = TOPIC) -> str:
    """Put a message of ingest into its dead letters; return its body."""
    body = encode_ingest_message(topic=topic, payload=payload, client_id="gate-01", received_at_ms=1)
    texts = {"reason": reason, "detail": "no event_id", "topic": topic} if reason else {}
    attributes = {name: {"DataType": "String", "StringValue": text} for name, text in texts.items()}
    endpoint.queues.put(DEAD_LETTER_QUEUE, [(body, json.dumps(attributes))])
    return body


def letters(run: Run, *arguments: str) -> list[dict[str, Any]]:
    return json.loads(run("list", "--json", *arguments)[1])["letters"]


def test_a_list_names_queue_reason_and_device(endpoint: Endpoint, run: Run) -> None:
    """Filtered by queue and reason; a valid message has no reason of ingest. Listing hides nothing."""
    reject(endpoint, b"{}")
    reject(endpoint, b"{}", reason=None)
    endpoint.queues.put(dead_letter_queue(REDIS), [('{"event_type": "motion", "device_id": "gate-02"}', "{}")])
    found = [(letter["queue"], letter["reason"], letter["device"]) for letter in letters(run)]
    assert found == [
        ("ingest", "invalid", "gate-01"), ("ingest", "not_processed", "gate-01"), ("redis", "not_processed", "gate-02"),
    ]  # fmt: skip
    assert len(letters(run, "--queue", "redis")) == 1
    assert len(letters(run, "--reason", "invalid")) == 1
    assert len(run("list")[1].splitlines()) == 4
    status, _, errors = run("list", "--queue", "kafka")
    assert (status, "--queue is one of ingest, redis" in errors) == (2, True)


def test_letters_of_another_reader_are_counted_only(endpoint: Endpoint, run: Run) -> None:
    """They are in flight, and not among those that --all selects."""
    reject(endpoint, b"{}")
    endpoint.queues.take(DEAD_LETTER_QUEUE, most=1, hidden_s=60)
    assert "ingest: 1 more are in flight" in run("list")[1]
    assert run("re-drive", "--all")[1].splitlines()[0] == "0 dead letters were re-driven."
    assert endpoint.queues.count(DEAD_LETTER_QUEUE) == 1


def test_plates_and_secrets_are_not_shown(endpoint: Endpoint, run: Run) -> None:
    """Without the database, which knows the protected sites, no plate is shown, nor what may contain one."""
    event = {"event_type": "anpr", "site_id": "hq", "event_data": {"anpr_result": {"license_plate": "B123ABC"}}}
    reject(endpoint, json.dumps(event).encode())
    reject(endpoint, b"B123ABC")
    reject(endpoint, b'{"event_type": "motion", "source": "rtsp://admin:hidden@camera/1"}')
    shown = [run("show", letter["id"])[1] for letter in letters(run)]
    assert all("***" in text and "B123ABC" not in text and "hidden" not in text for text in shown)
    assert '"event_type": "anpr"' in shown[0]


def test_a_message_that_fails_again_has_both_reasons(endpoint: Endpoint, run: Run) -> None:
    """It goes through the broker, which carries the payload alone, and to the dead letters once more."""
    reject(endpoint, b"first")
    assert run("re-drive", letters(run)[0]["id"][:8])[0] == 0
    published: list[tuple[str, bytes]] = []
    reasons = EarlierReasons()
    ingest_queue_mapping(endpoint.queues, lambda *message: published.append(message), reasons).step(wait_s=0)
    assert published == [(TOPIC, b"first")]
    body = encode_ingest_message(topic=TOPIC, payload=b"first", client_id="gate-01", received_at_ms=2)
    reason = {"reason": {"DataType": "String", "StringValue": "bad_topic"}}
    endpoint.queues.put(DEAD_LETTER_QUEUE, [(reasons.restored(body), json.dumps(reason))])
    [letter] = letters(run)
    assert (letter["reason"], letter["earlier_reasons"]) == ("bad_topic", ["invalid: no event_id"])
    assert reasons.restored(body) == body


def test_fan_out_gets_the_same_body_and_attributes(endpoint: Endpoint, run: Run) -> None:
    """Subscribers get what they would have got; the reason is an attribute, and the letter is gone after that."""
    kept = {"event_type": {"DataType": "String", "StringValue": "motion"}}
    endpoint.queues.put(dead_letter_queue(REDIS), [('{"id":  1}', json.dumps(kept))])
    assert run("re-drive", "--all", "--queue", "redis")[0] == 0
    [message] = endpoint.queues.take(REDIS, most=9, hidden_s=1)
    assert message.body == '{"id":  1}'
    attributes = json.loads(message.attributes)
    assert attributes.pop("earlier_reasons")["StringValue"] == '["not_processed"]'
    assert attributes == kept
    assert endpoint.queues.count(dead_letter_queue(REDIS)) == 0


def test_a_killed_re_drive_loses_nothing(endpoint: Endpoint, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each letter is in its queue, in the source queue, or in both; the next run sends what is left."""
    for number in range(12):
        reject(endpoint, b"%d" % number)

    def killed(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("infra.admin.dead_letters.redrive.delete", killed)
        assert run("re-drive", "--all")[0] == 130
    assert (endpoint.queues.count(INGEST_QUEUE), endpoint.queues.count(DEAD_LETTER_QUEUE)) == (10, 12)
    assert run("re-drive", "--all")[0] == 0
    sent = {
        json.loads(message.body)["payload_base64"]
        for message in endpoint.queues.take(INGEST_QUEUE, most=99, hidden_s=1)
    }
    assert (len(sent), endpoint.queues.count(DEAD_LETTER_QUEUE)) == (12, 0)


def test_a_failed_iot_rule_is_repaired(endpoint: Endpoint, run: Run) -> None:
    """AWS IoT puts its own form of the message there; ingest gets the envelope of the rule."""
    failed = {"topic": TOPIC, "base64OriginalPayload": "e30=", "failures": [{"errorMessage": "throttled"}]}
    endpoint.queues.put(DEAD_LETTER_QUEUE, [(json.dumps(failed), "{}")])
    assert [letter["reason"] for letter in letters(run)] == ["rule_failed"]
    assert run("re-drive", "--all")[0] == 0
    [message] = endpoint.queues.take(INGEST_QUEUE, most=9, hidden_s=1)
    envelope = json.loads(message.body)
    assert (envelope["topic"], envelope["payload_base64"]) == (TOPIC, "e30=")


def test_deleting_needs_a_confirmation(endpoint: Endpoint, run: Run) -> None:
    """And ids, or --all."""
    reject(endpoint, b"{}")
    status, _, errors = run("delete", "--all")
    assert (status, "confirm with --yes" in errors) == (2, True)
    assert "name the dead letters" in run("delete", "--yes")[2]
    assert "there is no dead letter xyz" in run("delete", "xyz", "--yes")[2]
    assert run("delete", "--all", "--yes")[1] == "1 dead letters were deleted.\n"
    assert run("list")[1] == "There are no dead letters.\n"


def test_queues_must_be_named(run: Run) -> None:
    """A wrong --queue-url is an error of the command line."""
    status, _, errors = run("list", "--queue-url", "ingest")
    assert (status, "NAME=URL" in errors) == (2, True)
