"""Prints the events of an SQS queue that is subscribed to the events topic, with raw message delivery or without.

    python sqs_consumer.py QUEUE_URL

It needs boto3 and AWS credentials that may receive and delete the messages of the queue. A message is deleted only
after its event was handled, so an event may come twice: ignore an ``event_id`` that you have.
"""

from __future__ import annotations

import base64
import gzip
import json
import sys
from collections import OrderedDict
from typing import Any

KNOWN_EVENTS = 10_000


def event_of(message: dict[str, Any]) -> dict[str, Any]:
    """Return the event of a message of ``receive_message``; raise ValueError if it is not an event."""
    body = message["Body"]
    encoding = message.get("MessageAttributes", {}).get("content_encoding", {}).get("StringValue")
    if encoding is None:
        content = json.loads(body)
        if content.get("Type") != "Notification":
            return content
        body = content["Message"]
        encoding = content.get("MessageAttributes", {}).get("content_encoding", {}).get("Value")
    if encoding == "gzip+base64":
        body = gzip.decompress(base64.b64decode(body)).decode()
    elif encoding is not None:
        raise ValueError(f"unknown content_encoding {encoding!r}")
    return json.loads(body)


def main() -> None:
    import boto3

    queue_url = sys.argv[1]
    sqs = boto3.client("sqs")
    known: OrderedDict[str, None] = OrderedDict()
    while True:
        answer = sqs.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=20,
            MessageAttributeNames=["content_encoding"],
        )
        for message in answer.get("Messages", []):
            event = event_of(message)
            if event["event_id"] not in known:
                print(event["timestamp"], event["camera_id"], event["event_type"])
                known[event["event_id"]] = None
                if len(known) > KNOWN_EVENTS:
                    known.popitem(last=False)
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


if __name__ == "__main__":
    main()
