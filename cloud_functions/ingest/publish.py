"""Tells the SNS hub about stored events: up to ten a call, several calls at a time."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from cloud_functions.aws import AwsClients, aws_error
from cloud_functions.db.events.record import truncated_data
from cloud_functions.ingest.store import EventDocument
from cloud_functions.ingest.validation import ValidatedEvent
from cloud_functions.ingest.watchlist_matcher import MAX_DOCUMENT_MATCHES, PLATE_MATCH, match_document

log = logging.getLogger(__name__)

MAX_BATCH_ENTRIES: Final = 10
MAX_BATCH_BYTES: Final = 256 * 1024
_ENTRY_OVERHEAD_BYTES: Final = 1024
_SURELY_ATTRIBUTES_BYTES: Final = 200 * 1024
"""More than the attributes of any event take: class names are at most 100, of 200 characters each."""
_CALLS_AT_A_TIME: Final = 8
_MOST_CLASSES: Final = 100  # of an event's classes, as an attribute: the whole message must stay below SNS's limit
# SNS and SQS carry only what XML 1.0 can; in a document such a character is escaped, in an attribute it is replaced.
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Publication(NamedTuple):
    """One document for the hub, with what filter policies look at. It fits into one entry (see ``_fitting``)."""

    event_id: str
    """Of the stored event that it tells of."""
    document: str
    attributes: dict[str, str | list[str]]


class EventPublisher(Protocol):
    """Tells subscribers about events."""

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        """Publish; return the ids of the events for which it did not work."""
        ...


class NoPublisher:
    """For a deployment without a hub: nobody is told."""

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        del publications
        return set()


class SnsPublisher:
    """Publishes to one SNS topic."""

    def __init__(self, *, topic_arn: str, aws: AwsClients) -> None:
        self._topic_arn = topic_arn
        self._aws = aws

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        calls = list(_calls(publications))
        if len(calls) <= 1:
            return set().union(*map(self._call, calls))
        from concurrent.futures import ThreadPoolExecutor

        self._aws.client("sns")  # made here once, rather than waited for by every thread
        with ThreadPoolExecutor(min(_CALLS_AT_A_TIME, len(calls))) as pool:
            return set().union(*pool.map(self._call, calls))

    def _call(self, publications: Sequence[Publication]) -> set[str]:
        entries = [
            {
                "Id": str(number),
                "Message": publication.document,
                "MessageAttributes": _message_attributes(publication.attributes),
            }
            for number, publication in enumerate(publications)
        ]
        try:
            answer = self._aws.client("sns").publish_batch(TopicArn=self._topic_arn, PublishBatchRequestEntries=entries)
        except Exception as error:  # boto3 raises a dozen kinds; whichever it is, these are published again later
            log.warning("%s", aws_error(error, doing=f"publishing {len(entries)} events"))
            return {publication.event_id for publication in publications}
        failed: list[dict[str, Any]] = answer.get("Failed", [])
        for failure in failed:
            log.warning("SNS refused an event: %s", failure.get("Code"))
        return {publications[int(failure["Id"])].event_id for failure in failed}


def publications(stored: Iterable[EventDocument]) -> list[Publication]:
    """Return what the hub is told about these events."""
    return [
        _fitting(Publication(arrived.row.event_id, _for_xml(document), _attributes(arrived)))
        for arrived, document in stored
    ]


def match_publications(
    stored: Iterable[EventDocument], matches: Mapping[str, list[dict[str, Any]]]
) -> list[Publication]:
    """Return what the hub is told about plates that are on a watch-list."""
    found = [one for one in stored if one.arrived.row.event_id in matches] if matches else []
    return [_match_publication(one, matches[one.arrived.row.event_id]) for one in found]


def _match_publication(stored: EventDocument, matches: list[dict[str, Any]]) -> Publication:
    lists = dict.fromkeys(str(match["watchlist"]) for match in matches[:MAX_DOCUMENT_MATCHES])
    attributes = _attributes(stored.arrived) | {"event_type": PLATE_MATCH, "watchlist": list(lists)}
    return _fitting(
        Publication(stored.arrived.row.event_id, _for_xml(match_document(stored.document, matches)), attributes)
    )


def _fitting(publication: Publication) -> Publication:
    """Return a publication that SNS takes: of one that is too large the document comes without its data.

    SNS would refuse it each time, and nobody would ever be told. ``event_data`` then says ``truncated`` and where the
    whole event is; a match keeps the plate, how many patterns it fits, and the first of them.
    """
    if len(publication.document) * 4 + _SURELY_ATTRIBUTES_BYTES <= MAX_BATCH_BYTES:
        return publication
    if _entry_bytes(publication) <= MAX_BATCH_BYTES:
        return publication
    told: dict[str, Any] = json.loads(publication.document)
    data: dict[str, Any] = told["event_data"]
    told["event_data"] = truncated_data(json.dumps(data, ensure_ascii=False), told["id"])
    if told["event_type"] == PLATE_MATCH:
        told["event_data"] |= {
            "plate_normalized": data["plate_normalized"],
            "watchlist_matches": data["watchlist_matches"][:1],
            "watchlist_match_count": data["watchlist_match_count"],
        }
    document = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return publication._replace(document=_for_xml(document))


def _entry_bytes(publication: Publication) -> int:
    attributes = sum(len(_attribute_text(value).encode()) for value in publication.attributes.values())
    return len(publication.document.encode()) + attributes + _ENTRY_OVERHEAD_BYTES


def _attributes(arrived: ValidatedEvent) -> dict[str, str | list[str]]:
    row, classes = arrived.row, arrived.class_names
    attributes: dict[str, str | list[str]] = {
        "event_type": row.event_type,
        "camera_id": row.camera_id,
        "site_id": row.site_id,
    }
    if classes:
        attributes["class_name"] = classes[0] if len(classes) == 1 else list(classes[:_MOST_CLASSES])
    if arrived.rule:
        attributes["rule"] = arrived.rule
    if arrived.plate_token:
        attributes["plate_token"] = arrived.plate_token
    elif arrived.license_plate:
        attributes["license_plate"] = arrived.license_plate
    return attributes


def _message_attributes(attributes: dict[str, str | list[str]]) -> dict[str, dict[str, str]]:
    return {
        name: {
            "DataType": "String" if isinstance(value, str) else "String.Array",
            "StringValue": _NOT_XML.sub("\ufffd", _attribute_text(value)),
        }
        for name, value in attributes.items()
    }


def _attribute_text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _for_xml(document: str) -> str:
    if document.isascii():
        return document
    return document.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def _calls(publications: Sequence[Publication]) -> Iterator[list[Publication]]:
    call: list[Publication] = []
    size = 0
    for publication in publications:
        bytes_ = _entry_bytes(publication)
        if call and (len(call) == MAX_BATCH_ENTRIES or size + bytes_ > MAX_BATCH_BYTES):
            yield call
            call, size = [], 0
        call.append(publication)
        size += bytes_
    if call:
        yield call
