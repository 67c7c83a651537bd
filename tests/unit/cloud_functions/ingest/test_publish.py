"""How publications are put into calls."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.aws import MAX_BATCH_BYTES, MAX_BATCH_ENTRIES
from cloud_functions.ingest.publish import NoPublisher, Publication, SnsPublisher


class RecordingSns:
    """Remembers calls; refuses the ids in ``refusing``, breaks on documents that hold ``boom``."""

    def __init__(self, refusing: frozenset[str] = frozenset()) -> None:
        self.calls: list[list[dict[str, Any]]] = []
        self._refusing = refusing

    def client(self, service: str) -> RecordingSns:
        assert service == "sns"
        return self

    def publish_batch(self, *, TopicArn: str, PublishBatchRequestEntries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert TopicArn == "arn:topic"
        if any("boom" in entry["Message"] for entry in PublishBatchRequestEntries):
            raise ConnectionError("away")
        self.calls.append(PublishBatchRequestEntries)
        failed = [
            entry for entry in PublishBatchRequestEntries if json.loads(entry["Message"])["event_id"] in self._refusing
        ]
        return {"Failed": [{"Id": entry["Id"], "Code": "InternalError"} for entry in failed]}


def publication(event_id: str, *, text: str = "", **attributes: str | list[str]) -> Publication:
    document = json.dumps({"event_id": event_id, "text": text}, ensure_ascii=False)
    return Publication(event_id, document, {"event_type": "tracking"} | attributes)


def publish(sns: RecordingSns, *publications: Publication) -> set[str]:
    return SnsPublisher(topic_arn="arn:topic", aws=sns).publish(publications)  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 130_000), max_size=40))
def test_cloud_06_calls_keep_to_the_limits(sizes: list[int]) -> None:
    """Ten entries and 256 KB a call, whatever the events' sizes; each event once."""
    sns = RecordingSns()
    assert publish(sns, *(publication(str(number), text="x" * size) for number, size in enumerate(sizes))) == set()
    told = [json.loads(entry["Message"])["event_id"] for call in sns.calls for entry in call]
    assert sorted(told, key=int) == [str(number) for number in range(len(sizes))]
    for call in sns.calls:
        assert len(call) <= MAX_BATCH_ENTRIES
        assert sum(len(json.dumps(entry)) for entry in call) <= MAX_BATCH_BYTES
        assert len({entry["Id"] for entry in call}) == len(call)


def test_refused_and_broken_calls_name_their_events() -> None:
    """One refused entry fails alone; a call that breaks fails its ten."""
    sns = RecordingSns(frozenset({"13"}))
    publications = [publication(str(number), text="boom" if number == 25 else "") for number in range(30)]
    assert publish(sns, *publications) == {"13", *(str(number) for number in range(20, 30))}


def test_attributes_hold_only_what_sns_carries() -> None:
    """Characters that XML cannot hold are replaced; several classes become an array."""
    sns = RecordingSns()
    publish(sns, publication("1", class_name="a\x01b\uffff"), publication("2", class_name=["car", "Öl\x00"]))
    [first, second] = sns.calls[0]
    assert first["MessageAttributes"]["class_name"] == {"DataType": "String", "StringValue": "a\ufffdb\ufffd"}
    array = second["MessageAttributes"]["class_name"]
    assert array["DataType"] == "String.Array"
    assert json.loads(array["StringValue"]) == ["car", "Öl\x00"]


def test_nobody_is_told_where_there_is_no_hub() -> None:
    """A deployment without SNS works."""
    assert NoPublisher().publish([publication("1")]) == set()
