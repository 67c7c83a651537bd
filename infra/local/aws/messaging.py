"""The SNS and SQS calls that the functions use, on top of ``QueueFile``, for boto3.

moto has both, but its SQS slows down with the number of waiting messages: through its topic and queue a burst of 2,000
events reached Redis at 33 events/s, against thousands here. It also loses dead letters when it ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus
from uuid import uuid4
from xml.sax.saxutils import escape

from infra.local.aws.earlier_reasons import EarlierReasons
from infra.local.aws.queue_file import QueueFile
from infra.local.aws.resources import DEAD_LETTER_QUEUE, HUB_TOPIC_ARN, QUEUES, queue_arn
from infra.local.aws.sqs_event import QueueMessage
from infra.local.aws.wsgi import Application, Environ, StartResponse, body_of, service_of

_MALFORMED = (ValueError, KeyError, TypeError, AttributeError)
"""Exceptions from reading a malformed request; the caller gets a 400, and nothing is stored."""
_SNS_NAMESPACE = "http://sns.amazonaws.com/doc/2010-03-31/"


class Messaging:
    """The WSGI application for SNS and SQS; all other requests go to ``fallback``."""

    def __init__(
        self,
        *,
        queues: QueueFile,
        subscribers: Sequence[str],
        fallback: Application,
        reasons: EarlierReasons | None = None,
    ) -> None:
        """``subscribers``: the queues that receive a copy of every message published to the topic.

        ``reasons`` are added to messages that ingest rejects again.
        """
        self._queues = queues
        self._reasons = reasons
        self._subscribers = subscribers
        self._fallback = fallback
        self._topic_calls: dict[str, Callable[[Mapping[str, str]], str]] = {
            "Publish": self._publish,
            "PublishBatch": self._publish_batch,
            "GetTopicAttributes": self._topic_attributes,
        }
        self._queue_calls: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "SendMessage": self._send,
            "SendMessageBatch": self._send_batch,
            "ReceiveMessage": self._receive,
            "DeleteMessage": self._delete,
            "DeleteMessageBatch": self._delete_batch,
            "ChangeMessageVisibility": self._change_visibility,
            "ChangeMessageVisibilityBatch": self._change_visibility_batch,
            "GetQueueAttributes": self._queue_attributes,
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        service = service_of(environ)
        target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
        if service == "sns":
            return self._try_sns(body_of(environ), start_response)
        if service == "sqs" and target.startswith("AmazonSQS."):
            return self._try_sqs(target.partition(".")[2], body_of(environ), start_response)
        return self._fallback(environ, start_response)

    def _try_sns(self, body: bytes, start_response: StartResponse) -> list[bytes]:
        try:
            return self._answer_sns(_read_form(body), start_response)
        except _MALFORMED as error:
            return _sns_error(start_response, "InvalidParameter", _unreadable(error))

    def _try_sqs(self, action: str, body: bytes, start_response: StartResponse) -> list[bytes]:
        try:
            return self._answer_sqs(action, json.loads(body or b"{}"), start_response)
        except _MALFORMED as error:
            return _sqs_error(start_response, "InvalidParameterValue", _unreadable(error))

    # SNS uses the query protocol: a form in the request, XML in the response.

    def _answer_sns(self, form: Mapping[str, str], start_response: StartResponse) -> list[bytes]:
        action = form.get("Action", "")
        call = self._topic_calls.get(action)
        if call is None:
            return _sns_error(start_response, "InvalidAction", f"the local topic has no {action}")
        if form.get("TopicArn", form.get("TargetArn")) != HUB_TOPIC_ARN:
            return _sns_error(start_response, "NotFound", f"the only local topic is {HUB_TOPIC_ARN}")
        text = (
            f'<{action}Response xmlns="{_SNS_NAMESPACE}"><{action}Result>{call(form)}</{action}Result>'
            f"<ResponseMetadata><RequestId>{uuid4()}</RequestId></ResponseMetadata></{action}Response>"
        )
        return _reply(start_response, "200 OK", "text/xml", text.encode())

    def _publish(self, form: Mapping[str, str]) -> str:
        ids = self._fan_out([(form.get("Message", ""), _sns_attributes(form, ""))])
        return f"<MessageId>{ids[0]}</MessageId>"

    def _publish_batch(self, form: Mapping[str, str]) -> str:
        entries: list[tuple[str, str, str]] = []
        while (prefix := f"PublishBatchRequestEntries.member.{len(entries) + 1}.") + "Id" in form:
            entries.append((form[f"{prefix}Id"], form.get(f"{prefix}Message", ""), _sns_attributes(form, prefix)))
        ids = self._fan_out([(body, attributes) for _, body, attributes in entries])
        members = "".join(
            f"<member><Id>{escape(entry[0])}</Id><MessageId>{message_id}</MessageId></member>"
            for entry, message_id in zip(entries, ids, strict=True)
        )
        return f"<Successful>{members}</Successful><Failed></Failed>"

    def _fan_out(self, messages: list[tuple[str, str]]) -> list[str]:
        return self._queues.put_copies(self._subscribers, messages)

    def _topic_attributes(self, form: Mapping[str, str]) -> str:
        attributes = {"TopicArn": form["TopicArn"], "SubscriptionsConfirmed": str(len(self._subscribers))}
        entries = "".join(f"<entry><key>{key}</key><value>{value}</value></entry>" for key, value in attributes.items())
        return f"<Attributes>{entries}</Attributes>"

    # SQS uses JSON.

    def _answer_sqs(self, action: str, request: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        call = self._queue_calls.get(action)
        if call is None:
            return _sqs_error(start_response, "UnsupportedOperation", f"the local queues have no {action}")
        if _queue_of(request) not in QUEUES:
            return _sqs_error(start_response, "QueueDoesNotExist", f"there is no local queue {_queue_of(request)}")
        return _reply(start_response, "200 OK", "application/x-amz-json-1.0", json.dumps(call(request)).encode())

    def _send(self, request: dict[str, Any]) -> dict[str, Any]:
        body: str = request["MessageBody"]
        if self._reasons is not None and _queue_of(request) == DEAD_LETTER_QUEUE:
            body = self._reasons.restored(body)
        digest = _md5(body)  # first, because a text without UTF-8 encoding must be refused before it is stored
        (message_id,) = self._queues.put(_queue_of(request), [(body, _sqs_attributes(request))])
        return {"MessageId": message_id, "MD5OfMessageBody": digest}

    def _send_batch(self, request: dict[str, Any]) -> dict[str, Any]:
        sent = [
            {"Id": entry["Id"], **self._send({**entry, "QueueUrl": request["QueueUrl"]})}
            for entry in request["Entries"]
        ]
        return {"Successful": sent, "Failed": []}

    def _receive(self, request: dict[str, Any]) -> dict[str, Any]:
        messages = self._queues.take(
            _queue_of(request),
            most=min(int(request.get("MaxNumberOfMessages", 1)), 10),
            hidden_s=float(request.get("VisibilityTimeout", 30)),
            wait_s=float(request.get("WaitTimeSeconds", 0)),
        )
        return {"Messages": [_as_received(message) for message in messages]} if messages else {}

    def _delete(self, request: dict[str, Any]) -> dict[str, Any]:
        self._queues.delete([request["ReceiptHandle"]])
        return {}

    def _delete_batch(self, request: dict[str, Any]) -> dict[str, Any]:
        self._queues.delete([entry["ReceiptHandle"] for entry in request["Entries"]])
        return {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]], "Failed": []}

    def _change_visibility(self, request: dict[str, Any]) -> dict[str, Any]:
        self._queues.show_after(request["ReceiptHandle"], hidden_s=float(request["VisibilityTimeout"]))
        return {}

    def _change_visibility_batch(self, request: dict[str, Any]) -> dict[str, Any]:
        for entry in request["Entries"]:
            self._change_visibility(entry)
        return {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]], "Failed": []}

    def _queue_attributes(self, request: dict[str, Any]) -> dict[str, Any]:
        queue = _queue_of(request)
        hidden = self._queues.count_hidden(queue)
        attributes = {
            "QueueArn": queue_arn(queue),
            "ApproximateNumberOfMessages": str(self._queues.count(queue) - hidden),
            "ApproximateNumberOfMessagesNotVisible": str(hidden),
        }
        return {"Attributes": attributes}


def _read_form(body: bytes) -> dict[str, str]:
    """Return the fields of a form. Most of the hundreds of fields of a batch have nothing to decode."""
    form: dict[str, str] = {}
    for field in body.decode("ascii").split("&"):
        name, _, value = field.partition("=")
        form[_decoded(name)] = _decoded(value)
    return form


def _decoded(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _unreadable(error: Exception) -> str:
    return f"the request cannot be read ({type(error).__name__})"


def _as_received(message: QueueMessage) -> dict[str, Any]:
    return {
        "MessageId": message.message_id,
        "ReceiptHandle": message.receipt_handle,
        "Body": message.body,
        "MD5OfBody": _md5(message.body),
        "MessageAttributes": json.loads(message.attributes),
        "Attributes": {
            "SentTimestamp": str(message.sent_at_ms),
            "ApproximateReceiveCount": str(message.receive_count),
        },
    }


def _queue_of(request: Mapping[str, Any]) -> str:
    return str(request.get("QueueUrl", "")).rpartition("/")[2]


def _sqs_attributes(request: Mapping[str, Any]) -> str:
    """Return the message attributes as JSON; raise ValueError if one has no ``DataType``."""
    attributes: Any = request.get("MessageAttributes") or {}
    for name, value in attributes.items():
        if not isinstance(value, dict) or "DataType" not in value:
            raise ValueError(f"the attribute {name} has no DataType")
    return json.dumps(attributes)


def _sns_attributes(form: Mapping[str, str], prefix: str) -> str:
    """Return the message attributes in the form that raw delivery puts on a queue."""
    attributes: dict[str, dict[str, str]] = {}
    while (entry := f"{prefix}MessageAttributes.entry.{len(attributes) + 1}.") + "Name" in form:
        attributes[form[f"{entry}Name"]] = {
            "DataType": form.get(f"{entry}Value.DataType", "String"),
            "StringValue": form.get(f"{entry}Value.StringValue", ""),
        }
    return json.dumps(attributes)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _reply(start_response: StartResponse, status: str, content_type: str, body: bytes) -> list[bytes]:
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [body]


def _sns_error(start_response: StartResponse, code: str, message: str) -> list[bytes]:
    inside = f"<Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message>"
    text = f'<ErrorResponse xmlns="{_SNS_NAMESPACE}"><Error>{inside}</Error></ErrorResponse>'
    return _reply(start_response, "400 Bad Request", "text/xml", text.encode())


def _sqs_error(start_response: StartResponse, code: str, message: str) -> list[bytes]:
    body = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": message})
    return _reply(start_response, "400 Bad Request", "application/x-amz-json-1.0", body.encode())
