"""Publishes stored events to the SNS topic: up to ten in a request, several requests in parallel."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from cloud_functions.aws import MAX_BATCH_BYTES, AwsClients, aws_error, entry_batches
from cloud_functions.db.events.record import truncated_data
from cloud_functions.ingest.storage.documents import EventDocument
from cloud_functions.ingest.validation import ValidatedEvent
from cloud_functions.ingest.watchlist_matcher import MAX_DOCUMENT_MATCHES, PLATE_MATCH, match_document

log = logging.getLogger(__name__)

_ENTRY_OVERHEAD_BYTES: Final = 1024
_MAX_ATTRIBUTES_BYTES: Final = 200 * 1024
"""An upper bound for the attributes of any event, which has at most 100 class names of 200 characters each."""
_PARALLEL_REQUESTS: Final = 8
_MAX_CLASSES: Final = 100
"""Class names in the attributes of an event: the whole message must stay below SNS's limit."""
# SNS and SQS accept only the characters of XML 1.0. A document escapes the others; an attribute replaces them.
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Publication(NamedTuple):
    """One document for the topic, with the attributes that filter policies use. It fits into one entry."""

    event_id: str
    """The id of the stored event."""
    document: str
    attributes: dict[str, str | list[str]]


class EventPublisher(Protocol):
    """Publishes events to subscribers."""

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        """Publish; return the ids of the events that could not be published."""
        ...


class NoPublisher:
    """Publishes nothing, for a deployment without a topic."""

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        del publications
        return set()


class SnsPublisher:
    """Publishes to one SNS topic."""

    def __init__(self, *, topic_arn: str, aws: AwsClients) -> None:
        self._topic_arn = topic_arn
        self._aws = aws

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        batches = list(entry_batches(publications, _entry_bytes))
        if len(batches) <= 1:
            return set().union(*map(self._publish_batch, batches))
        from concurrent.futures import ThreadPoolExecutor

        self._aws.client("sns")  # made once here, so that no thread waits for another to make it
        with ThreadPoolExecutor(min(_PARALLEL_REQUESTS, len(batches))) as pool:
            return set().union(*pool.map(self._publish_batch, batches))

    def _publish_batch(self, publications: Sequence[Publication]) -> set[str]:
        entries = [
            {
                "Id": str(number),
                "Message": publication.document,
                "MessageAttributes": _message_attributes(publication.attributes),
            }
            for number, publication in enumerate(publications)
        ]
        try:
            response = self._aws.client("sns").publish_batch(
                TopicArn=self._topic_arn, PublishBatchRequestEntries=entries
            )
        except Exception as error:  # boto3 raises many types; after any of them the events are published again later
            log.warning("%s", aws_error(error, doing=f"publishing {len(entries)} events"))
            return {publication.event_id for publication in publications}
        failed: list[dict[str, Any]] = response.get("Failed", [])
        for failure in failed:
            log.warning("SNS rejected an event: %s", failure.get("Code"))
        return {publications[int(failure["Id"])].event_id for failure in failed}


def publications(documents: Iterable[EventDocument]) -> list[Publication]:
    """Return the publications of these events."""
    return [
        _limit_size(Publication(event.row.event_id, _for_xml(document), _attributes(event)))
        for event, document in documents
    ]


def match_publications(
    documents: Iterable[EventDocument], matches: Mapping[str, list[dict[str, Any]]]
) -> list[Publication]:
    """Return a ``plate_match`` publication for each event that has watch-list matches."""
    if not matches:
        return []
    return [
        _match_publication(document, matches[document.event.row.event_id])
        for document in documents
        if document.event.row.event_id in matches
    ]


def _match_publication(stored: EventDocument, matches: list[dict[str, Any]]) -> Publication:
    watchlists = dict.fromkeys(str(match["watchlist"]) for match in matches[:MAX_DOCUMENT_MATCHES])
    attributes = _attributes(stored.event) | {"event_type": PLATE_MATCH, "watchlist": list(watchlists)}
    document = _for_xml(match_document(stored.document, matches))
    return _limit_size(Publication(stored.event.row.event_id, document, attributes))


def _limit_size(publication: Publication) -> Publication:
    """Return a publication that SNS accepts; the document of one that is too large comes without its event data.

    SNS would reject it every time, and no subscriber would receive it. ``event_data`` then says ``truncated`` and where
    to read the whole event. A match keeps its plate, its first match and the number of matches.
    """
    if len(publication.document) * 4 + _MAX_ATTRIBUTES_BYTES <= MAX_BATCH_BYTES:
        return publication
    if _entry_bytes(publication) <= MAX_BATCH_BYTES:
        return publication
    flat: dict[str, Any] = json.loads(publication.document)
    data: dict[str, Any] = flat["event_data"]
    flat["event_data"] = truncated_data(json.dumps(data, ensure_ascii=False), flat["id"])
    if flat["event_type"] == PLATE_MATCH:
        flat["event_data"] |= {
            "plate_normalized": data["plate_normalized"],
            "watchlist_matches": data["watchlist_matches"][:1],
            "watchlist_match_count": data["watchlist_match_count"],
        }
    document = json.dumps(flat, ensure_ascii=False, separators=(",", ":"))
    return publication._replace(document=_for_xml(document))


def _entry_bytes(publication: Publication) -> int:
    attributes = sum(len(_attribute_text(value).encode()) for value in publication.attributes.values())
    return len(publication.document.encode()) + attributes + _ENTRY_OVERHEAD_BYTES


def _attributes(event: ValidatedEvent) -> dict[str, str | list[str]]:
    row, classes = event.row, event.class_names
    attributes: dict[str, str | list[str]] = {
        "event_type": row.event_type,
        "camera_id": row.camera_id,
        "site_id": row.site_id,
    }
    if classes:
        attributes["class_name"] = classes[0] if len(classes) == 1 else list(classes[:_MAX_CLASSES])
    if event.rule:
        attributes["rule"] = event.rule
    if event.plate_token:
        attributes["plate_token"] = event.plate_token
    elif event.license_plate:
        attributes["license_plate"] = event.license_plate
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
