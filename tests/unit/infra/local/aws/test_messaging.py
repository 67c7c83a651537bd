"""The local SNS and SQS, called through boto3."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from infra.local.aws.queue_file import QueueFile
from infra.local.aws.resources import DEAD_LETTER_QUEUE, FANOUT_QUEUES, HUB_TOPIC_ARN, queue_url
from infra.local.aws.sqs_event import sqs_event
from tests.unit.infra.local.conftest import Endpoint

REDIS_QUEUE = FANOUT_QUEUES["redis"]


def test_a_published_message_reaches_the_fan_out_queue(endpoint: Endpoint) -> None:
    """The body is the message itself, as with raw message delivery, and the attributes are those of an SQS event."""
    attributes = {"class_name": {"DataType": "String", "StringValue": "car & van"}}
    endpoint.client("sns").publish(TopicArn=HUB_TOPIC_ARN, Message='{"id": 1}', MessageAttributes=attributes)
    (message,) = endpoint.queues.take(REDIS_QUEUE, most=10, hidden_s=1)
    record = json.loads(sqs_event(REDIS_QUEUE, [message]))["Records"][0]
    assert record["body"] == '{"id": 1}'
    assert record["messageAttributes"] == {"class_name": {"dataType": "String", "stringValue": "car & van"}}


def test_a_batch_is_published_in_order(endpoint: Endpoint) -> None:
    """The response contains the id of every entry."""
    entries = [
        {
            "Id": f"n{number}",
            "Message": f"ä {number}",
            "MessageAttributes": {"event_type": {"DataType": "String", "StringValue": "motion"}},
        }
        for number in range(10)
    ]
    response = endpoint.client("sns").publish_batch(TopicArn=HUB_TOPIC_ARN, PublishBatchRequestEntries=entries)
    assert [entry["Id"] for entry in response["Successful"]] == [f"n{number}" for number in range(10)]
    assert not response.get("Failed")
    taken = endpoint.queues.take(REDIS_QUEUE, most=100, hidden_s=1)
    assert [message.body for message in taken] == [f"ä {number}" for number in range(10)]


def test_the_topic_reports_its_subscriptions(endpoint: Endpoint) -> None:
    """The health check of the API reads the number of confirmed subscriptions."""
    attributes = endpoint.client("sns").get_topic_attributes(TopicArn=HUB_TOPIC_ARN)
    assert attributes["Attributes"]["SubscriptionsConfirmed"] == "1"


def test_an_unknown_topic_and_an_unknown_action_are_rejected(endpoint: Endpoint) -> None:
    """Each is an error with a code of SNS."""
    sns = endpoint.client("sns")
    with pytest.raises(ClientError, match="only local topic"):
        sns.publish(TopicArn=f"{HUB_TOPIC_ARN}-other", Message="x")
    with pytest.raises(ClientError, match="InvalidAction"):
        sns.create_topic(Name="more")


def test_a_dead_letter_can_be_counted_read_and_deleted(endpoint: Endpoint) -> None:
    """It is received with the attribute that contains its reason."""
    sqs, url = endpoint.client("sqs"), queue_url(endpoint.url, DEAD_LETTER_QUEUE)
    reason = {"reason": {"DataType": "String", "StringValue": "not_json"}}
    sqs.send_message(QueueUrl=url, MessageBody="poison", MessageAttributes=reason)
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessages"] == "1"
    (message,) = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    assert (message["Body"], message["MessageAttributes"]["reason"]["StringValue"]) == ("poison", "not_json")
    assert "Messages" not in sqs.receive_message(QueueUrl=url)  # hidden until its visibility timeout
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert endpoint.queues.count(DEAD_LETTER_QUEUE) == 0


def test_messages_are_sent_and_deleted_in_batches(endpoint: Endpoint) -> None:
    """The response of send_message_batch contains each entry, and delete_message_batch deletes each."""
    sqs, url = endpoint.client("sqs"), queue_url(endpoint.url, DEAD_LETTER_QUEUE)
    entries = [{"Id": str(number), "MessageBody": f"m{number}"} for number in range(3)]
    sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in sent["Successful"]] == ["0", "1", "2"]
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    handles = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)]
    sqs.delete_message_batch(QueueUrl=url, Entries=handles)
    assert endpoint.queues.count(DEAD_LETTER_QUEUE) == 0


def test_an_unknown_queue_is_reported_by_name(endpoint: Endpoint) -> None:
    """An unknown action is an error, too."""
    sqs = endpoint.client("sqs")
    with pytest.raises(ClientError, match="no local queue missing"):
        sqs.send_message(QueueUrl=queue_url(endpoint.url, "missing"), MessageBody="x")
    with pytest.raises(ClientError, match="CreateQueue"):
        sqs.create_queue(QueueName="more")


def test_requests_for_other_services_go_to_the_fallback(endpoint: Endpoint) -> None:
    """The endpoint implements S3, SNS and SQS only."""
    with pytest.raises(ResponseParserError, match="elsewhere"):
        endpoint.client("sts").get_caller_identity()


def test_a_message_that_is_not_deleted_is_delivered_again(tmp_path: Path) -> None:
    """A received message is hidden for a time, counts its deliveries, survives a restart, and is then visible."""
    queues = QueueFile(tmp_path / "queues.db")
    queues.put("q", [("a", "{}"), ("b", "{}")])
    first = queues.take("q", most=1, hidden_s=60)
    assert [message.body for message in first] == ["a"]
    assert [message.body for message in queues.take("q", most=10, hidden_s=60)] == ["b"]
    queues.hide(first, hidden_s=0)
    (again,) = queues.take("q", most=10, hidden_s=0)
    assert (again.body, again.receive_count) == ("a", 2)
    queues.close()
    reopened = QueueFile(tmp_path / "queues.db")
    assert reopened.count("q") == 2
    assert [message.body for message in reopened.take("q", most=10, hidden_s=0)] == ["a", "b"]
    reopened.delete([again.receipt_handle, "not a number"])
    assert reopened.count("q") == 1
    reopened.close()


def test_a_waiting_receiver_returns_when_a_message_is_put(tmp_path: Path) -> None:
    """Without a message, it returns an empty list after its timeout."""
    import threading

    queues = QueueFile(tmp_path / "queues.db")
    assert queues.take("q", most=1, hidden_s=1, wait_s=0.01) == []
    threading.Timer(0.05, queues.put, args=("q", [("late", "{}")])).start()
    assert [message.body for message in queues.take("q", most=1, hidden_s=1, wait_s=10)] == ["late"]
    queues.close()


@pytest.mark.parametrize(
    "request_body",
    [
        b"{",
        b'{"QueueUrl": "x/vedette-ingest-dead"}',
        b'{"QueueUrl": "x/vedette-ingest-dead", "MessageBody": "\\ud800"}',
        b'{"QueueUrl": "x/vedette-ingest-dead", "MessageBody": 5}',
        b'{"QueueUrl": "x/vedette-ingest-dead", "MessageBody": "x", "MessageAttributes": ["a"]}',
        b'{"QueueUrl": "x/vedette-ingest-dead", "MessageBody": "x", "MessageAttributes": {"a": "b"}}',
        b"[]",
    ],
)
def test_cloud_c10_a_malformed_request_is_rejected(endpoint: Endpoint, request_body: bytes) -> None:
    """It is answered with status 400, and the queues continue to work."""
    headers = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/eu-central-1/sqs/aws4_request",
        "X-Amz-Target": "AmazonSQS.SendMessage",
    }
    with pytest.raises(urllib.error.HTTPError) as rejected:
        urllib.request.urlopen(urllib.request.Request(endpoint.url, data=request_body, headers=headers))
    assert rejected.value.code == 400
    rejected.value.close()
    endpoint.client("sqs").send_message(QueueUrl=queue_url(endpoint.url, DEAD_LETTER_QUEUE), MessageBody="valid")
    (message,) = endpoint.queues.take(DEAD_LETTER_QUEUE, most=10, hidden_s=1)
    assert message.body == "valid"


def test_cloud_c10_a_failed_write_is_rolled_back(tmp_path: Path) -> None:
    """If SQLite cannot store one message of a batch, none is stored, and no transaction stays open."""
    queues = QueueFile(tmp_path / "queues.db")
    with pytest.raises(UnicodeEncodeError):
        queues.put(REDIS_QUEUE, [("first", "{}"), ("\ud800", "{}")])
    queues.put(REDIS_QUEUE, [("second", "{}")])
    queues.delete([str(10**30), "٣"])
    assert [message.body for message in queues.take(REDIS_QUEUE, most=10, hidden_s=1)] == ["second"]
    queues.close()
