"""Publications are sent to SNS in batches."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.aws import MAX_BATCH_BYTES, MAX_BATCH_ENTRIES
from cloud_functions.ingest.publish import NoPublisher, Publication, SnsPublisher


class RecordingSns:
    """Records requests; rejects the ids in ``rejected``; raises an error for documents that contain ``boom``."""

    def __init__(self, rejected: frozenset[str] = frozenset()) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self._rejected = rejected

    def client(self, service: str) -> RecordingSns:
        assert service == "sns"
        return self

    def publish_batch(self, *, TopicArn: str, PublishBatchRequestEntries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert TopicArn == "arn:topic"
        if any("boom" in entry["Message"] for entry in PublishBatchRequestEntries):
            raise ConnectionError("unavailable")
        self.requests.append(PublishBatchRequestEntries)
        failed = [
            entry for entry in PublishBatchRequestEntries if json.loads(entry["Message"])["event_id"] in self._rejected
        ]
        return {"Failed": [{"Id": entry["Id"], "Code": "InternalError"} for entry in failed]}


def publication(event_id: str, *, text: str = "", **attributes: str | list[str]) -> Publication:
    document = json.dumps({"event_id": event_id, "text": text}, ensure_ascii=False)
    return Publication(event_id, document, {"event_type": "tracking"} | attributes)


def publish(sns: RecordingSns, *publications: Publication) -> set[str]:
    return SnsPublisher(topic_arn="arn:topic", aws=sns).publish(publications)  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 130_000), max_size=40))
def test_cloud_06_requests_stay_within_the_limits_of_sns(sizes: list[int]) -> None:
    """A request has at most ten entries and 256 KB, for events of any size, and each event is in one request."""
    sns = RecordingSns()
    assert publish(sns, *(publication(str(number), text="x" * size) for number, size in enumerate(sizes))) == set()
    published = [json.loads(entry["Message"])["event_id"] for entries in sns.requests for entry in entries]
    assert sorted(published, key=int) == [str(number) for number in range(len(sizes))]
    for entries in sns.requests:
        assert len(entries) <= MAX_BATCH_ENTRIES
        assert sum(len(json.dumps(entry)) for entry in entries) <= MAX_BATCH_BYTES
        assert len({entry["Id"] for entry in entries}) == len(entries)


def test_the_ids_of_unpublished_events_are_returned() -> None:
    """A rejected entry fails alone. If a request fails, all of its ten entries fail."""
    sns = RecordingSns(frozenset({"13"}))
    publications = [publication(str(number), text="boom" if number == 25 else "") for number in range(30)]
    assert publish(sns, *publications) == {"13", *(str(number) for number in range(20, 30))}


def test_attributes_contain_only_characters_that_sns_accepts() -> None:
    """Characters that XML does not allow are replaced. Several classes become an array."""
    sns = RecordingSns()
    publish(sns, publication("1", class_name="a\x01b\uffff"), publication("2", class_name=["car", "Öl\x00"]))
    [first, second] = sns.requests[0]
    assert first["MessageAttributes"]["class_name"] == {"DataType": "String", "StringValue": "a\ufffdb\ufffd"}
    array = second["MessageAttributes"]["class_name"]
    assert array["DataType"] == "String.Array"
    assert json.loads(array["StringValue"]) == ["car", "Öl\x00"]


def test_without_a_topic_nothing_is_published() -> None:
    """A deployment without SNS works, and no event counts as failed."""
    assert NoPublisher().publish([publication("1")]) == set()
